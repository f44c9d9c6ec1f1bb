"""The corpus: every request that is played through the gateway and through Envoy.

case.py        what a case is, and how one is written
scripts.py     what the backend answers, by the method's name
calls.py       valid calls, streams, text mode
preflights.py  preflights, CORS headers, origins
tokens.py      tokens, roles
wire.py        HTTP methods, paths, content types, bytes that are not quite HTTP
frames.py      frames, metadata, deadlines
failures.py    statuses, answers that are not gRPC, streams and connections that end
http2.py       most of it again over HTTP/2, native gRPC, requests that are malformed there
"""

from dataclasses import replace

from tests.envoy.corpus import calls, failures, frames, http2, preflights, tokens, wire
from tests.envoy.corpus.case import Case

SECTIONS: dict[str, list[Case]] = {
    "calls": calls.VALID,
    "streams": calls.STREAMS,
    "text": calls.TEXT_MODE,
    "preflights": preflights.PREFLIGHTS,
    "cors": preflights.CORS,
    "origins": preflights.ORIGINS,
    "tokens": tokens.TOKENS,
    "roles": tokens.ROLES,
    "methods": wire.METHODS,
    "paths": wire.PATHS,
    "types": wire.TYPES,
    "malformed": wire.MALFORMED,
    "frames": frames.FRAMES,
    "metadata": frames.METADATA,
    "deadlines": frames.DEADLINES,
    "statuses": failures.STATUSES,
    "answers": failures.NOT_GRPC,
    "endings": failures.ENDINGS,
    "native": http2.NATIVE,
    "http2": http2.HTTP2,
}
_OWN = [replace(case, section=section) for section, cases in SECTIONS.items() for case in cases]
CORPUS = [*_OWN, *http2.repeated(_OWN)]
assert len({str(case) for case in CORPUS}) == len(CORPUS), "two cases have one name"
