"""What the gateway costs, beside Envoy with the same policy: `make bench`, bench/README.md.

__main__.py       the command
run.py            all rounds of the chosen cases (progress.py)
cases.py          what is measured
  unary.py          unary calls; calls.py: how a round of them goes
  streaming.py      server streams
harness.py        what a case has at hand: backends, subjects, a meter
  world.py          certificates, keys, tokens, gateway.yaml
  backend.py        nghttpd, or the grpcio backend of grpcio_backend.py
  subject/          the gateway, Envoy
  load/             what sends calls, and judges the answers
process.py        start, pin to a core, CPU seconds and memory by /proc, end
profile.py        py-spy on the gateway while a case runs
machine.py        where the figures come from
report.py         figures, ratios, JSON; tables.py and chart.py show them
"""
