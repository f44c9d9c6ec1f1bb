"""A gRPC-Web gateway: browsers in front, native gRPC over mutual TLS behind. The map of the house.

A call takes one way through, and its reply the same way back:

    browser ──▶ front/ ──▶ call.py ──▶ policy/gate.py ──▶ upstream/ ──▶ backend

    protocol/   the wire, pure: frames, base64 text, metadata, timeouts, trailers, statuses, content types, compression
    permit.py   what the gate decides: Permit, Refusal, Subject
    request.py  a request that is not known to be a call yet, and plain HTTP answers
    peer.py     who is at the other end of a connection; standstill.py whether something moves that has to;
                seldom.py when to tell of what happens again and again
    http2/      one HTTP/2 connection, either end of it, over libnghttp2
    tasks.py    tasks that run as long as the gateway does
    extras.py   libraries that only some of it needs; errors.py what keeps it from starting
    ends.py     what a call acts on: its two ends, the gate, what all calls share
    call.py     THE ROAD of one call, sans-IO; reply_writer.py its reply in the form that its browser reads
    policy/     who may call what: origins, tokens and their keys, permissions, the gate
    front/      the browser's side: listeners, the switch between HTTP/2 (http2.py) and HTTP/1.1 (aiohttp), what a
                request is (reception.py), the operator's pages, static pages
    upstream/   the backend's side: certificates, routes, and two clients: HTTP/2 (h2.py, over the connections of
                pool.py, which resolver.py and balancer.py serve) and grpcio (grpcio.py, channels.py); reflection
    observe/    logs, metrics and traces
    settings/   the configuration file: YAML in, frozen models out
    demo/       everything a demonstration has around the gateway
    envoy/      the same policy as an Envoy configuration
    check.py    what a configuration promises, tried
    reload.py   watched files
    generation.py  all that one configuration makes; succession.py those that are in use; listeners.py what they share
    app.py      the composition root: settings in, a running gateway out; gauges.py what /metrics says of it
    configuration_file.py  the file that a running gateway follows
    process.py  a gateway as a process; run.py what the commands run; cli/ the command line
    supervisor.py  several workers (supervised.py: one of them; worker.py: its process), which it gives an order and a
                configuration (order.py) and asks over a line (control.py)

Imports point downwards only: cli, run, app, then generation, then check, reload and envoy, then front, upstream,
observe and demo, then policy, call, ends, then permit, request, http2, tasks, errors and extras, then peer, seldom and
standstill, then protocol (import-linter in pyproject.toml keeps it so).
"""
