"""The whole way from a file to settings, or to every problem."""

import contextlib
import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.settings import Address, Limits, Listener, Settings, SettingsError, document, load, parse
from gateway.settings.loader import EXAMPLE_HINT, STAND_INS
from gateway.settings.outline import sections
from gateway.settings.problem import Key
from tests.unit.settings.reading import LISTENERS, UPSTREAMS, read, told

NULL_HINT = "give it a value, or remove the key"
LIST_HINT = "write [one, two], or each on a line after a dash"
MAPPING = "must be a mapping (key: value)"
COLON_HINT = "write a space after the colon"
RATE = "must be a rate like 100/second, 20/minute or 500/hour"
RATE_KEYS = "unknown key (hint: known here: key, limit, burst)"
QUOTES = "must be text (hint: put it in quotes)"
DESCRIPTORS = "authorization.descriptors: "
LEVEL = "observability.log.level: "


def loading(path: Path) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(path)
    return [str(problem) for problem in caught.value.problems]


def test_the_least_there_can_be_and_its_defaults() -> None:
    settings = read()
    assert settings.listeners[0].bind == Address("127.0.0.1", 8080)
    assert settings.listeners[0].tls is None
    assert settings.admin is not None
    assert settings.admin.bind == Address("127.0.0.1", 9901)
    assert settings.cors.allow_origins == ()
    assert settings.auth.issuers == ()
    assert settings.auth.public_methods == ("/grpc.health.v1.Health/Check",)
    assert settings.authorization.default == "deny"
    assert settings.upstreams["shop"].keepalive == 300.0
    assert settings.limits.max_request_message == 4 * 1024 * 1024
    assert settings.drain == 15.0


def test_there_may_be_no_admin() -> None:
    assert read("admin: null\n").admin is None


def test_paths_start_at_the_file_not_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc" / "tls").mkdir(parents=True)
    (tmp_path / "etc" / "tls" / "ca.pem").touch()
    (tmp_path / "shop.binpb").touch()
    file = tmp_path / "etc" / "gateway.yaml"
    file.write_text(
        LISTENERS + UPSTREAMS.replace("{}", "{ca: tls/ca.pem}") + "authorization: {descriptors: ../shop.binpb}\n"
    )
    monkeypatch.chdir(tmp_path)
    settings = load(Path("etc/gateway.yaml"))
    tls = settings.upstreams["shop"].tls
    assert tls is not None
    assert tls.ca == tmp_path / "etc" / "tls" / "ca.pem"
    assert settings.authorization.descriptors == tmp_path / "shop.binpb"


def test_problems_call_the_file_as_the_user_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.yaml").write_text("listeners: []\n")
    monkeypatch.chdir(tmp_path)
    assert loading(Path("x.yaml")) == [
        "x.yaml: upstreams: is missing",
        "x.yaml:1: listeners: must not be empty",
    ]


def test_no_file(tmp_path: Path) -> None:
    assert loading(tmp_path / "x.yaml") == [f"no such file: {tmp_path}/x.yaml (hint: {EXAMPLE_HINT})"]


def test_a_directory(tmp_path: Path) -> None:
    assert loading(tmp_path) == [f"cannot read {tmp_path}: Is a directory (hint: name a file in it)"]


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that even root cannot read")
def test_a_file_that_cannot_be_read() -> None:
    assert loading(Path("/proc/self/mem")) == ["cannot read /proc/self/mem: Input/output error"]


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes("# one\n# two\n# caf\u00e9\n".encode("latin-1"))
    assert loading(tmp_path / "x.yaml") == [f"{tmp_path}/x.yaml:3: not a text in UTF-8 (hint: save the file as UTF-8)"]


def test_a_file_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refused)
    assert loading(tmp_path / "x.yaml") == [
        f"cannot read {tmp_path}/x.yaml: Permission denied (hint: let the user that runs this read it)"
    ]


@pytest.mark.parametrize("ending", ["\r\n", "\r"])
def test_lines_end_as_on_any_machine(tmp_path: Path, ending: str) -> None:
    (tmp_path / "x.yaml").write_bytes((LISTENERS + UPSTREAMS + "drain: 5\n").replace("\n", ending).encode())
    assert loading(tmp_path / "x.yaml") == [f"{tmp_path}/x.yaml:3: drain: needs a unit, like 5s"]


def test_a_byte_order_mark_is_no_problem(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("\ufeff" + LISTENERS + UPSTREAMS)
    assert load(tmp_path / "x.yaml").drain == 15.0


@pytest.mark.parametrize(
    ("rest", "problem"),
    [
        ("limit: {}\n", "limit: unknown key (hint: did you mean limits?)"),
        ("limits: {max_call: 1}\n", "limits.max_call: unknown key (hint: did you mean max_calls?)"),
        ("limits: {Max-Calls: 1}\n", "limits.Max-Calls: unknown key (hint: did you mean max_calls?)"),
        ("max_calls: 1\n", "max_calls: unknown key (hint: it belongs in upstreams.* or limits)"),
        ("bind: x\n", "bind: unknown key (hint: it belongs in listeners[] or admin)"),
        ("admin: {port: 1}\n", "admin.port: unknown key (hint: known here: bind)"),
        ("cors:\n", f"cors: must be a mapping (key: value) (hint: {NULL_HINT})"),
        ("observability: {log: debug}\n", "observability.log: " + MAPPING + " (hint: its keys: format, level, access)"),
        ("observability: {log: 'level:debug'}\n", "observability.log: " + MAPPING + " (hint: " + COLON_HINT + ")"),
        ("admin: false\n", f"admin: {MAPPING} (hint: write null for none)"),
        ("admin: 9901\n", f"admin: {MAPPING} (hint: its keys: bind)"),
        ("limits: {rate: [{key: peer, limit: 5/second, size: 1}]}\n", "limits.rate[0].size: " + RATE_KEYS),
        ("limits: {rate: [{key: peer, limit: 100}]}\n", "limits.rate[0].limit: " + RATE),
        ("cors: {origins: []}\n", "cors.origins: unknown key (hint: did you mean allow_origins?)"),
        ("auth: {issuers: [{issuer: 'https://a/', audiences: [5]}]}\n", "auth.issuers[0].audiences[0]: " + QUOTES),
        ("cors: {allow_origins: '*'}\n", f"cors.allow_origins: must be a list (hint: {LIST_HINT})"),
        ("cors: {require_origin: 2}\n", "cors.require_origin: must be true or false"),
        ("cors: {require_origin: 'perhaps'}\n", "cors.require_origin: must be true or false"),
        ("auth: {forward_claims: [a]}\n", "auth.forward_claims: must be a mapping (key: value)"),
        ("auth: {forward_claims: {x-id: 5}}\n", "auth.forward_claims.x-id: must be text (hint: put it in quotes)"),
        ("auth: {forward_claims: {x-id: }}\n", f"auth.forward_claims.x-id: must be text (hint: {NULL_HINT})"),
        ("authorization: {default: allow}\n", "authorization.default: must be 'deny' or 'authenticated'"),
        ("authorization: {descriptors: /etc}\n", DESCRIPTORS + "is a directory: /etc (hint: name a file in it)"),
        (
            "authorization: {descriptors: ''}\n",
            DESCRIPTORS + "names no file (hint: leave the key out if there is none)",
        ),
        ("authorization: {descriptors: 5}\n", DESCRIPTORS + "must be the name of a file"),
        ("observability: {log: {level: warn}}\n", LEVEL + "must be 'debug', 'info', 'warning' or 'error'"),
    ],
)
def test_a_wrong_key_or_value(rest: str, problem: str) -> None:
    assert told(rest) == [f"gateway.yaml:3: {problem}"]


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.binpb").touch()
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert told("authorization: {descriptors: x.binpb}\n", base=tmp_path) == [
        "gateway.yaml:3: authorization.descriptors: cannot be read: x.binpb "
        f"(hint: let the user that runs the gateway read {tmp_path / 'x.binpb'})"
    ]


def test_reflection_is_no_file() -> None:
    assert read("authorization: {descriptors: reflection}\n").authorization.descriptors == "reflection"


def test_each_problem_has_the_line_of_its_key() -> None:
    text = """\
listeners:
  - bind: 127.0.0.1:8080

  - tls:
      certificate: none.pem
    bind: 127.0.0.1:8443
upstreams:
  shop:
    targets: [a:1]
    tls: {}
    services:
      - x.Y

      - /x.Z
"""
    with pytest.raises(SettingsError) as caught:
        parse(text, Path("/etc"), {})
    assert [(problem.line, problem.key) for problem in caught.value.problems] == [
        (4, "listeners[1].tls.private_key"),  # missing: the section it should be in
        (5, "listeners[1].tls.certificate"),
        (14, "upstreams.shop.services[1]"),
    ]


def test_a_key_twice_is_told_beside_everything_else() -> None:
    assert told("drain: 5\ndrain: 6s\nadmin: {bind: x}\n") == [
        "gateway.yaml:4: drain: written twice: first on line 3",
        "gateway.yaml:5: admin.bind: must be HOST:PORT or [V6]:PORT, like x:8080",
    ]


def test_a_value_cannot_break_the_line_or_command_the_terminal() -> None:
    (problem,) = told('cors: {allow_origins: ["https://a\\nb\\u001b[2J"]}\n')
    assert "\n" not in problem
    assert "\x1b" not in problem


def test_settings_are_frozen() -> None:
    settings = read()
    with pytest.raises(ValidationError):
        settings.drain = 1.0  # type: ignore[misc]
    with pytest.raises(ValidationError):
        settings.limits.max_calls = 5  # type: ignore[misc]


def test_later_problems_know_the_lines_too() -> None:
    settings = read("cors:\n  max_age: 5s\n")
    assert str(settings.problem(("cors", "max_age"), "is bad", "mend it")) == (
        "gateway.yaml:4: cors.max_age: is bad (hint: mend it)"
    )
    assert str(settings.problem(("cors", "allow_origins", 3), "is bad")) == (
        "gateway.yaml:3: cors.allow_origins[3]: is bad"
    )


def test_code_gives_values_of_their_own_type() -> None:
    limits = Limits(max_deadline=5.0, max_metadata=2048, stream_idle=None)
    assert (limits.max_deadline, limits.max_metadata, limits.stream_idle) == (5.0, 2048, None)
    assert Listener(bind=Address("127.0.0.1", 1)).bind.port == 1
    with pytest.raises(ValidationError):
        Limits(max_calls=True)


def test_what_could_be_read_is_there_to_judge_further_with_its_doubts() -> None:
    with pytest.raises(SettingsError) as caught:
        parse(LISTENERS + UPSTREAMS + "cors: {max_age: x, allow_origins: [y]}\ndrain: 5s\n", Path("/etc"), {})
    error = caught.value
    assert isinstance(error.partial, Settings)
    assert error.partial.drain == 5.0
    assert error.doubts("cors.max_age")
    assert error.doubts("cors.allow_origins[0]")
    assert not error.doubts("cors.max_age_of_another")
    assert not error.doubts("drain")


def test_every_required_key_has_a_stand_in() -> None:
    required = {
        name for _, section in sections() for name, field in section.model_fields.items() if field.is_required()
    }
    assert required == set(STAND_INS)


CONTRACT = document.read((Path(__file__).parents[1] / "data" / "contract.yaml").read_text(), "contract.yaml")
PLAIN = st.none() | st.booleans() | st.integers() | st.sampled_from(["", "*", "none", "10s", "a:1", "/a.B/*", "${X}"])
NAMES = st.sampled_from(sorted({str(key[-1]) for key in CONTRACT.places.lines}))
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
)


@settings(deadline=None)  # a noisy machine is no defect
@given(st.lists(st.tuples(st.sampled_from(list(CONTRACT.places.lines)), VALUES), max_size=4))
def test_whatever_is_written_is_settings_or_problems(changes: list[tuple[Key, object]]) -> None:
    data = copy.deepcopy(CONTRACT.data)
    for key, value in changes:
        around: Any = data
        with contextlib.suppress(KeyError, IndexError, TypeError):  # an earlier change took the way there
            for step in key[:-1]:
                around = around[step]
            around[key[-1]] = value
    with pytest.raises(SettingsError, match=r"^gateway.yaml"):  # always: none of the files is there
        parse(json.dumps(data), Path("/etc"), {})
