"""Who may call what.

cors.py           origins
tokens.py         an Authorization header -> a Subject or a Refusal; token_cache.py remembers
jwt.py            one JWT, with claims.py and strict_json.py for what signature libraries let pass
keys.py           an issuer's keys, kept fresh; jwks.py reads them, fetch.py fetches them
introspection.py  opaque tokens
authorize.py      permissions per method; descriptors.py what methods there are
rates.py          how often a peer, subject or method may be called: rate_limit.py one of them, rate_memory.py and
                  rate_redis.py the counts; peers.py what a peer is
gate.py           THE GATE: all of it in order
"""
