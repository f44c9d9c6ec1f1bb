"""What keeps a gateway from starting, apart from its configuration (settings/problem.py)."""


class StartError(Exception):
    """Something cannot be had on this machine, or now; the message is one line for a person."""
