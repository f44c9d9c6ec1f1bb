"""The backend's side: a permitted call becomes a stream on a connection with mutual TLS.

base.py        the seam that upstreams fulfil, and the routes to them
tls.py         certificates and keys, judged before use
channels.py    grpcio channels, renewed with their certificates
grpcio.py      a call's `UpstreamStream` over grpcio
reflection.py  asks a backend for its descriptors
"""
