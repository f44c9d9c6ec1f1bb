"""Headers that every answer has, whatever its front (RFC 9110, sections 6.6.1 and 10.2.4)."""

from functools import lru_cache
from time import time
from wsgiref.handlers import format_date_time

from gateway.protocol.metadata import Header

SERVER_NAME = "grpcweb-gateway"  # without a version
SERVER: Header = (b"server", SERVER_NAME.encode())


def date() -> Header:
    return _date_at(int(time()))


@lru_cache(maxsize=1)
def _date_at(second: int) -> Header:
    return (b"date", format_date_time(second).encode())
