"""Every case in every cell: it ends as it must, and with the same bytes as in the reference cell."""

import asyncio
import time
from operator import itemgetter

import pytest

from gateway.version import USER_AGENT
from tests.contract.backends import KINDS, LISTENER, ODD
from tests.contract.cases import CASES, Case, frames, sent
from tests.contract.cells import CELLS, CONTENT_TYPES, REFERENCE, BrokenOffError, Cell, Raw, Stage, in_every_cell
from tests.contract.differences import DIFFERENCES, EVERYTHING, Difference, differences, is_spoilt
from tests.contract.observation import BROKEN_OFF, Observation, observe
from tests.contract.odd import ODDITIES, Odd

pytestmark = pytest.mark.asyncio(loop_scope="session")

IN_TIME = 10.0  # seconds: far more than any case takes, far less than a hang
ATTEMPTS = 5  # at what may be spoilt now and then
TOKEN = b"Bearer ..."  # in place of one that differs from gateway to gateway

Seen = dict[str, Observation]  # by case
Odds = dict[Cell, dict[str, Observation | BaseException]]


async def play(stage: Stage, case: Case, cell: Cell) -> Observation:
    fields = [
        (name, case.changes.get(name, value)) for name, value in stage.fields(cell, *case.metadata, role=case.role)
    ]
    present = [(name, value) for name, value in fields if value is not None]
    started = time.monotonic()
    async with stage.exchange(cell, case.path, present, cell.encode(case.body), case.method) as exchange:
        raw = await exchange.answer()
    assert time.monotonic() - started < IN_TIME
    return observe(cell, raw, tells=case.tells)


# -- the cases -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def references() -> Seen:
    """What the reference cell was seen to do."""
    return {}


async def reference(stage: Stage, references: Seen, name: str, case: Case) -> Observation:
    for _ in range(ATTEMPTS):
        if name not in references or is_spoilt(references[name]):
            references[name] = await play(stage, case, REFERENCE)
    return references[name]


@in_every_cell
@pytest.mark.parametrize("group", CASES)
async def test_a_case(stage: Stage, references: Seen, group: str, cell: Cell) -> None:
    cases = CASES[group]
    expected = {name: await reference(stage, references, name, case) for name, case in cases.items()}
    calls, received = stage.calls(cell), stage.witness.received
    found = dict(zip(cases, await asyncio.gather(*(play(stage, case, cell) for case in cases.values())), strict=True))
    assert_backends(stage, cell, list(cases.values()), calls, received)
    wrong: list[str] = []
    for name, case in cases.items():
        seen = found[name]
        wrong += [f"{name}: {each}" for each in mistold(case, seen)]
        wrong += [f"{name}: {each}" for each in differences(name, cell, seen, case.rule, None)]
        wrong += [f"{name}: {each}" for each in differences(name, cell, seen, expected[name], REFERENCE)]
    assert not wrong, "\n".join(wrong)


def assert_backends(stage: Stage, cell: Cell, cases: list[Case], calls: int, received: int) -> None:
    """What they saw of these cases: `calls` and `received` are the counts before."""
    if cell.refused:
        cases = []
    if all(case.calls is not None for case in cases):
        assert stage.calls(cell) - calls == sum(case.calls or 0 for case in cases), "calls that reached a backend"
    if all(case.received is not None for case in cases):
        assert stage.witness.received - received == sum(case.received or 0 for case in cases), "messages at a backend"


def mistold(case: Case, seen: Observation) -> list[str]:
    """What the backend was told otherwise than the case says."""
    wrong = []
    if "told metadata" not in seen:
        return []  # refused
    for name in dict.fromkeys(name for name, _ in case.told or ()):
        told = [value for each, value in seen["told metadata"] if each == name.encode()]
        if told != [value for each, value in case.told or () if each == name]:
            wrong.append(f"{name} arrived as {told}")
    if case.tells:
        left = seen["told deadline"]
        if (left is None) != (case.left is None) or (case.left is not None and not case.left[0] < left < case.left[1]):
            wrong.append(f"the backend has {left} s, not {case.left}")
    return wrong


# -- odd backends ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def odds() -> Odds:
    return {}


async def play_odds(stage: Stage, odds: Odds, cell: Cell) -> dict[str, Observation | BaseException]:
    """All of them with a method of each kind, some at a time, once: their backends take their time between frames."""
    places = asyncio.Semaphore(40)

    async def one(odd: Odd, kind: str) -> Observation:
        path, body = f"/{ODD}{odd.name}/{kind}", cell.encode(frames(*sent(kind)))
        async with places, stage.exchange(cell, path, stage.fields(cell), body, plaintext=True) as exchange:
            try:
                return observe(cell, await exchange.answer())
            except BrokenOffError:
                return BROKEN_OFF

    if cell not in odds:
        pairs = [(odd, kind) for kind in KINDS for odd in ODDITIES]
        found = await asyncio.gather(*(one(odd, kind) for odd, kind in pairs), return_exceptions=True)
        odds[cell] = {odd_name(odd, kind): each for (odd, kind), each in zip(pairs, found, strict=True)}
    return odds[cell]


def odd_name(odd: Odd, kind: str) -> str:
    return f"odd {odd.name}.{kind}"


@in_every_cell
@pytest.mark.parametrize("odd", ODDITIES, ids=lambda odd: odd.name)
async def test_an_odd_reply(stage: Stage, odds: Odds, odd: Odd, cell: Cell) -> None:
    """It is what the rule says, and the same in all cells with this upstream."""
    other = Cell("http1", cell.upstream, "binary")
    here, there = await play_odds(stage, odds, cell), await play_odds(stage, odds, other)
    wrong: list[str] = []
    for name in (odd_name(odd, kind) for kind in KINDS):
        seen, seen_there = here[name], there[name]
        if isinstance(seen, BaseException) or isinstance(seen_there, BaseException):
            wrong.append(f"{name}: {seen!r:.300}; in {other}: {seen_there!r:.300}")
        else:
            wrong += [f"{name}: {each}" for each in differences(name, cell, seen, odd.rule, None)]
            wrong += [f"{name}: {each}" for each in differences(name, cell, seen, seen_there, other)]
    assert not wrong, "\n".join(wrong)


# -- what the backend is sent ----------------------------------------------------------------------------------------


def sent_rule(stage: Stage, codec: str) -> Observation:
    """Of a call with a deadline and a header of its own: all that stands in the head, byte for byte."""
    headers = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":authority", b"127.0.0.1:%d" % stage.listener_port),
        (b":path", f"/{LISTENER}/Echo".encode()),
        (b"te", b"trailers"),
        (b"content-type", f"application/grpc{codec}".encode()),
        (b"user-agent", USER_AGENT.encode()),
        (b"grpc-accept-encoding", b"identity"),
        (b"grpc-timeout", b"5S"),
        (b"authorization", TOKEN),
        (b"x-mine", b"1"),
        (b"x-mine", b"2"),
        (b"x-forwarded-for", b"127.0.0.1"),
        (b"x-forwarded-proto", b"https"),
        (b"x-forwarded-host", b"gateway.test"),
        (b"x-user-id", b"reader@demo"),
    ]
    return {"sent": sorted(headers, key=itemgetter(0)), "sent body": frames(b"one", b"", b"three")}


async def play_sent(stage: Stage, codec: str, cell: Cell) -> tuple[Raw, Observation]:
    """The answer, and the call as the backend saw it."""
    stage.listener.arrivals.clear()
    fields = dict(stage.fields(cell))
    fields["content-type"] = fields["content-type"].replace("+proto", codec)
    mine = [("x-mine", "1"), ("grpc-timeout", "5S"), ("x-mine", "2")]
    body = cell.encode(frames(b"one", b"", b"three"))
    async with stage.exchange(cell, f"/{LISTENER}/Echo", [*fields.items(), *mine], body) as exchange:
        raw = await exchange.answer()
    seen: dict[str, object] = {}
    for arrival in stage.listener.arrivals:
        assert not seen, "a second request"
        assert (arrival.ended, arrival.trailers) == ("end", [])
        headers = [(name, TOKEN if name == b"authorization" else value) for name, value in arrival.headers]
        assert [name for name, _ in headers[:4] if name.startswith(b":")] == [name for name, _ in headers[:4]]
        seen = {"sent": sorted(headers, key=itemgetter(0)), "sent body": bytes(arrival.body)}
    return raw, seen


@in_every_cell
@pytest.mark.parametrize("codec", ["", "+proto", "+thrift"])
async def test_what_the_backend_is_sent(stage: Stage, codec: str, cell: Cell) -> None:
    raw, seen = await play_sent(stage, codec, cell)
    if cell.refused:
        assert (raw.status, seen) == (415, {})
        return
    kind = CONTENT_TYPES[cell.form].replace("+proto", codec).encode()
    assert dict(raw.headers)[b"content-type"] == kind
    assert observe(cell, raw)["body"] == frames(b"one", b"", b"three")
    wrong = list(differences(f"sent {codec}", cell, seen, sent_rule(stage, codec), None))
    assert not wrong, "\n".join(wrong)


# -- the table -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [line for line in DIFFERENCES if line.always], ids=str)
async def test_a_listed_difference_is_one(stage: Stage, references: Seen, odds: Odds, line: Difference) -> None:
    """Without the line its example is a difference that nothing allows."""
    name, others = line.example, [each for each in DIFFERENCES if each is not line]
    cells = [each for each in CELLS if line.holds(each, name) and each != REFERENCE]
    cell = next(each for each in cells if each.refused == (line.field == EVERYTHING))
    if name.startswith("sent "):
        codec = name.removeprefix("sent ")
        _, seen = await play_sent(stage, codec, cell)
        found = list(differences(name, cell, seen, sent_rule(stage, codec), None, table=others))
    elif name.startswith("odd "):
        other = Cell("http1", cell.upstream, "binary")
        shown, shown_there = [(await play_odds(stage, odds, each))[name] for each in (cell, other)]
        assert not isinstance(shown, BaseException), shown
        assert not isinstance(shown_there, BaseException), shown_there
        rule = next(odd.rule for odd in ODDITIES if name.startswith(f"odd {odd.name}."))
        found = [
            *differences(name, cell, shown, rule, None, table=others),
            *differences(name, cell, shown, shown_there, other, table=others),
        ]
    else:
        case = CASES[name.partition(".")[0]][name]
        seen, expected = await play(stage, case, cell), await reference(stage, references, name, case)
        found = list(differences(name, cell, seen, expected, REFERENCE, table=others))
    assert found, "nothing differs any more: the line can go"
