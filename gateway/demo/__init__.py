"""The demonstration: everything around a gateway, on one machine and made to be thrown away.

    world.py         all of it together, and the gateway.yaml that fits: what `grpcweb-gateway demo` starts
    standalone.py    backend and issuer alone, for a proxy in another container: `python -m gateway.demo`
    pki.py           an authority and certificates, in a directory
    backend.py       a gRPC server over mutual TLS, with health and reflection
      interceptors.py  whom it lets in: the other half of the gateway's subject, made to be copied
      service.py       demo.v1.Demo itself
    issuer.py        a development OAuth2 issuer: HTTP
      oauth.py         its decisions: clients, roles, codes, PKCE
      signer.py        its key
    pages/           what the issuer shows to people
    pb/              generated from protos/demo/v1/ (protos/compile.py)

The gateway knows none of this: what it needs is in gateway.yaml, and it would be the same for real services. The extra
`demo` of the distribution brings the libraries.
"""

NEEDED = ("trustme", "aiohttp_cors", "grpc_health")  # some of them, and none comes with the gateway
