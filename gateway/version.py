"""The version, as installed."""

from importlib.metadata import version

VERSION = version("grpcweb-gateway")
USER_AGENT = f"grpcweb-gateway/{VERSION}"
