"""The Dockerfile, replayed without an engine: `python -m tests.support.dockerfile` in this checkout.

Rule: what a step would do in a container, it does here below a temporary folder: /app, /build and /etc/grpcweb-gateway
are folders in it, and the base image is a Python of this machine. An instruction, a flag or a place that this program
does not know is an error: nothing is passed over. What it cannot show is what the base image brings, how layers are
cached, and what an engine makes of the names of users.
"""
