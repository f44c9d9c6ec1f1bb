"""What the gateway costs: calls per CPU-second, latency, memory (`make bench`, bench/README.md).

    __main__.py       the command
    run.py            all rounds of the chosen cases (progress.py)
    cases.py          what is measured
    harness.py        what a case has at hand: backends, a gateway, a meter
      world.py          certificates, keys, tokens, gateway.yaml
      backend.py        nghttpd, or the grpcio backend of grpcio_backend.py
      gateway.py        `grpcweb-gateway serve`, as its users run it
      load.py           unary calls by wrk (wrk.lua)
      streams.py        server streams by asyncio
    process.py        start, pin to a core, CPU seconds and memory by /proc, end
    profile.py        py-spy on the gateway while a case runs
    machine.py        where the figures come from
    report.py         tables and JSON

The gateway is known by its command line, its configuration file and its `ready` event, and by nothing else.
"""
