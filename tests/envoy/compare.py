"""Two observations of one case -> what differs, and whether the table knows it."""

from collections.abc import Iterator, Mapping, Sequence

from tests.envoy.differences.row import ABSENT, Row, fit
from tests.envoy.observation import Observation

Found = Mapping[str, tuple[str, str]]  # field -> what the gateway and what Envoy has there
Table = Mapping[str, Sequence[Row]]  # heading -> rows
WHERE = "tests/envoy/differences"


def differ(gateway: Observation, envoy: Observation) -> Found:
    """What the backend saw is compared where both let the same calls through; otherwise `backend calls` says it all."""
    fields = sorted({*gateway, *envoy})
    if gateway["backend calls"] != envoy["backend calls"]:
        fields = [field for field in fields if not field.startswith("backend ") or field == "backend calls"]
    pairs = ((field, gateway.get(field, ABSENT), envoy.get(field, ABSENT)) for field in fields)
    return {field: (ours, theirs) for field, ours, theirs in pairs if ours != theirs}


def problems(case: str, gateway: Observation, envoy: Observation, table: Table) -> list[str]:
    """What is wrong with the table about this case, each with what to do."""
    found = differ(gateway, envoy)
    known: dict[str, str] = {}
    wrong: list[str] = []
    for row, field, (ours, theirs) in _claims(case, gateway, envoy, table):
        seen = found.get(field)
        if field in known:
            wrong.append(f"{field}: listed twice, by {known[field]!r} and {row.what!r}: take it out of one of them")
        elif seen is None:
            wrong.append(_gone(case, row, field, gateway.get(field, ABSENT)))
        elif not fit((ours, theirs), seen):
            wrong.append(_other(row, field, (ours, theirs), seen))
        known[field] = row.what
    wrong += [_new(field, *pair) for field, pair in found.items() if field not in known]
    return wrong


def _claims(
    case: str, gateway: Observation, envoy: Observation, table: Table
) -> Iterator[tuple[Row, str, tuple[str, str]]]:
    for rows in table.values():
        for row in rows:
            for at in row.at:
                if at.names(case) and at.when(gateway, envoy):
                    for field, pair in at.says(case).items():
                        yield row, field, pair


def _new(field: str, ours: str, theirs: str) -> str:
    return (
        f"{field}: the gateway has {ours!r}, Envoy has {theirs!r}, and no row says so. "
        f"Mend one of the two, or list it in {WHERE} with the reason and who is right."
    )


def _gone(case: str, row: Row, field: str, value: str) -> str:
    return (
        f"{field}: both have {value!r}, but the row {row.what!r} says that they differ. "
        f"Take {field!r} or {case!r} out of that row in {WHERE}."
    )


def _other(row: Row, field: str, listed: tuple[str, str], seen: tuple[str, str]) -> str:
    return (
        f"{field}: the row {row.what!r} in {WHERE} says {listed[0]!r} for the gateway and {listed[1]!r} for Envoy; "
        f"seen were {seen[0]!r} and {seen[1]!r}."
    )
