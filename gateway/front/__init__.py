"""The browser's side: a request comes in, and is answered with a page, a refusal, or what its call says.

listener.py      sockets and their TLS
switch.py        which front a connection belongs to
census.py        connections and calls of all fronts
snapshot.py      what one request is served by
identities.py    the names a client certificate proves
reception.py     what a request is, for every front alike: preflight, page, refusal, call
fields.py        headers that every answer has

http1.py         a call's `Downstream` over HTTP/1.1; connection.py a connection of aiohttp's server
http2.py         connections over HTTP/2; http2_stream.py a call's `Downstream` there

pages.py         static pages; admin.py the operator's
"""
