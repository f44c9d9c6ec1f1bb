"""A backend that does over HTTP/2 what a test tells it, allowed or not, and shows what it was sent (RFC 9113).

Rule: what the gateway sends must keep to the protocol; where it does not, h2 says so in `Connection.error`, which fails
the test at the end. What the backend sends need not: resets, GOAWAY and windows are as the test wants them.
"""

from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from tests.support.backend_http2.answers import NOT_SERVING, SERVING, WATCH, Answer, Health, ok, silent
from tests.support.backend_http2.connection import Connection
from tests.support.backend_http2.papers import Papers, papers
from tests.support.backend_http2.request import Request
from tests.support.backend_http2.server import Backend, backend

__all__ = [
    "NOT_SERVING",
    "SERVING",
    "WATCH",
    "Answer",
    "Backend",
    "Connection",
    "ErrorCodes",
    "Health",
    "Papers",
    "Request",
    "SettingCodes",
    "backend",
    "ok",
    "papers",
    "silent",
]
