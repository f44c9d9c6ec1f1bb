"""The metrics of several workers as one page: each series with the label `worker`.

Rule: they are not added up. A worker that starts again begins at zero, which Prometheus understands of one series; of a
sum it would be a reset of all.
"""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector


class _Families(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def together(texts: Mapping[int, str], own: Iterable[Metric]) -> bytes:
    """`texts`: what each worker says, in the text format; `own`: families without that label."""
    families: dict[str, Metric] = {}
    for worker, text in texts.items():
        for family in text_string_to_metric_families(text):
            merged = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for name, labels, value, *_ in family.samples:
                merged.add_sample(name, {**labels, "worker": str(worker)}, value)
    registry = CollectorRegistry()
    registry.register(_Families([*own, *families.values()]))
    return generate_latest(registry)
