"""The backend's side: a permitted call becomes a stream on a connection with mutual TLS.

base.py          the seam that upstreams fulfil, and the routes to them
factory.py       which client an upstream is called with
tls.py           certificates and keys, judged before use
credentials.py   what a connection proves, and whom it believes

h2.py            an upstream over HTTP/2; h2_stream.py its calls, opened_reply.py what some of them need
pool.py          its connections, kept, spread over (balancer.py) and renewed
backend_link.py  one connection; resolver.py where to

grpcio.py        an upstream over grpcio, and its calls; channels.py its connections
reflection.py    asks a backend for its descriptors
"""
