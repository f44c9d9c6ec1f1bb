"""What the gateway costs, beside Envoy with the same policy: `make bench`, bench/README.md.

__main__.py       the command
run.py            all rounds of the chosen cases (progress.py)
cases.py          what is measured
  unary.py          unary calls
  streaming.py      server streams
  full_load.py      as many calls as the subject takes; part_load.py: so many a second
  trial.py          one round of one subject; way.py: how calls reach it
harness.py        what a case has at hand: backends, subjects, a meter
  world.py          certificates, keys, tokens, gateway.yaml
  methods.py        the methods that are called, and their answers
  backend.py        nghttpd, and the backend of ngh2_backend.py
  subject/          the gateway, Envoy
  load/             what sends calls, and judges the answers
process.py        start, pin to a core, CPU seconds and memory by /proc, end
profile.py        py-spy on the gateway while a case runs
machine.py        where the figures come from
result.py         the figures of a case, and ratios; report.py: of a run, as JSON
targets.py        what the gateway is to reach, and whether it does
tables.py         a report for people; chart.py: as a picture
"""
