"""The browser's side: a request comes in, and is answered with a page, a refusal, or what its call says.

listener.py    sockets and their TLS
connection.py  one HTTP/1.1 connection of aiohttp's server
identities.py  the names a client certificate proves
reception.py   what a request is, for every front alike: preflight, page, refusal, call
http1.py       a call's `Downstream` over HTTP/1.1
pages.py       static pages; admin.py the operator's
"""
