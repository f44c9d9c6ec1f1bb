"""Whether the gateway stays as it is while everything around it changes: `make soak`, soak/README.md.

__main__.py     the command
run.py          the phases of a run: warm-up, rest, load with changes, rest
world.py        certificates, issuer (issuer.py), gateway.yaml
backend.py      a backend, in a process of its own; replica.py: how it is started, ended and killed
gateway.py      the gateway, in a process of its own: its log, /metrics and /proc
load.py         so many calls a second, and what became of them
  plan.py         one call: what is sent, when it is given up, what the right answer is
  caller.py       carries a plan out
  answer.py       what an answer says
  wire.py         its place in the air: http1.py, http2.py; lines.py: the connections that calls share
changes.py      rotations, reloads, restarts, kills
samples.py      what is read every second
verdict.py      what is judged of it
report.py       a run as JSON; chart.py: as a picture
"""
