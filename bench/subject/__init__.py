"""What is measured: a gateway.yaml served by a process of its own, which has a core for itself.

    running.py    what all subjects have
    gateway.py    `grpcweb-gateway serve`
    envoy.py      Envoy, with what `grpcweb-gateway envoy` makes of the same file

Rule: a subject is known by its command line, its configuration file and what it says when it is ready, and by nothing
else.
"""

from collections.abc import Mapping

from bench.subject.envoy import Envoy
from bench.subject.gateway import Gateway
from bench.subject.running import Running

GATEWAY, ENVOY = "gateway", "envoy"
SUBJECTS: Mapping[str, type[Running]] = {GATEWAY: Gateway, ENVOY: Envoy}  # in the order of a pair

__all__ = ["ENVOY", "GATEWAY", "SUBJECTS", "Envoy", "Gateway", "Running"]
