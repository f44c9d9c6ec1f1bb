"""The backend's side: a permitted call becomes a stream on a connection with mutual TLS.

base.py          the seam that upstreams fulfil, and the routes to them
factory.py       which client an upstream is called with
tls.py           certificates and keys, judged before use
credentials.py   what a connection proves, and whom it believes

call_bound.py    how many calls one upstream may have at once

h2.py            an upstream over HTTP/2; h2_stream.py its calls, idempotent_stream.py those that may be sent again
retries.py       when, and how often
retry_buffer.py  what a call is sent again from; http_reply.py, opened_reply.py: replies that do not cross as they are
pool.py          its connections, spread over (balancer.py); resolver.py where to
place.py         keeps one of them connected (backoff.py); backend_link.py one that is
roster.py        which of them take calls: health.py what a backend says of itself, outlier.py how its calls end

grpcio.py        an upstream over grpcio; grpcio_stream.py its calls; channels.py its connections;
                 grpcio_metadata.py metadata as it has it
reflection.py    asks a backend for its descriptors
"""
