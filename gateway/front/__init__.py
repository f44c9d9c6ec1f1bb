"""The browser's side: a request comes in, and is answered with a page, a refusal, or what its call says.

For both fronts
    listener.py      sockets and their TLS
    switch.py        which front a connection belongs to
    census.py        connections and calls: how many, their tick, their drain
    snapshot.py      what one request is served by
    reception.py     what a request is: preflight, page, refusal, call
    fields.py        headers that every answer has
HTTP/1.1, on aiohttp
    connection.py    a connection
    http1.py         a request, and a call's `Downstream`
HTTP/2, on the room http2/
    http2.py         a connection
    http2_stream.py  its streams: an answer that is complete at once, or a call's `Downstream`
Pages
    pages.py         static ones
    admin.py         the operator's
"""
