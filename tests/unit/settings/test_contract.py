"""The whole contract of the file is known; what is not built yet is refused by name, and nothing else is."""

import re
from pathlib import Path
from typing import Any

import pytest

from gateway.settings import Settings, parse
from gateway.settings.document import read
from gateway.settings.outline import sections
from tests.unit.settings.reading import UPSTREAMS, told

CONTRACT = Path(__file__).parents[1] / "data" / "contract.yaml"
EXAMPLE = Path(__file__).parents[3] / "gateway.example.yaml"
CHOSEN = {"shop", "x-user-id"}  # names that the author of the file chose
ENVIRON = {"INTROSPECTION_SECRET": "hunter2"}
NAMED_FILES = (
    "tls/server.pem",
    "tls/server.key",
    "tls/ca.pem",
    "tls/client.pem",
    "tls/client.key",
    "protos/shop.binpb",
)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for name in NAMED_FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def keys_of(text: str) -> set[str]:
    """The keys that a file gives, those on a commented line too."""
    return names_in(read(text, "x.yaml").data) | set(re.findall(r"^ *# ([a-z_]+): ", text, re.MULTILINE))


def names_in(data: object) -> set[str]:
    if isinstance(data, dict):
        return set(data).union(*map(names_in, data.values()))
    return set().union(*map(names_in, data)) if isinstance(data, list) else set()


def test_the_contract_is_fine(base: Path) -> None:
    settings = parse(CONTRACT.read_text(), base, ENVIRON)
    outliers = settings.upstreams["shop"].outlier_detection
    assert outliers is not None
    assert (outliers.consecutive_failures, outliers.eject_for) == (5, 30.0)


UPSTREAM = UPSTREAMS.rstrip()[:-2]  # open at its end


@pytest.mark.parametrize(
    "sections",
    [
        {"listeners": "listeners: [{bind: '127.0.0.1:1', http2: false}]\n"},
        {"listeners": "listeners: [{bind: '127.0.0.1:1', http2: true}]\n"},
        {"upstreams": f"{UPSTREAM}, transport: h2, balance: least_request}}}}\n"},
        {"upstreams": f"{UPSTREAM}, transport: grpcio, balance: round_robin, idempotent_methods: []}}}}\n"},
        {
            "upstreams": f"{UPSTREAM}, transport: grpcio, health_check: true, "
            "idempotent_methods: [/shop.v1.Orders/Get, /shop.v1.Orders/*]}}\n"
        },
        {"upstreams": f"{UPSTREAM}, transport: auto, health_check: true, outlier_detection: {{}}}}}}\n"},
        {"upstreams": f"{UPSTREAM}, transport: auto, health_check: false, outlier_detection: null}}}}\n"},
        {"rest": "limits: {max_calls_per_peer: 5}\n"},
        {"rest": "limits: {max_calls_per_peer: none, rate: [], rate_storage: memory, rate_storage_failure: refuse}\n"},
        {"rest": "limits: {rate: [{key: peer, limit: 1/second}], rate_storage: 'redis://:hunter2@cache'}\n"},
        {"rest": "observability: {tracing: {otlp: null}}\nworkers: 2\n"},
        {"rest": "observability: {tracing: {otlp: 'http://localhost:4318/v1/traces', ratio: 0.1}}\n"},
    ],
)
def test_a_value_that_says_what_is_built_is_accepted(sections: dict[str, Any]) -> None:
    assert told(**sections) == []


def test_the_models_know_every_key_of_the_contract_and_no_other() -> None:
    contract = keys_of(CONTRACT.read_text()) - CHOSEN
    known = {name for _, section in sections() for name in section.model_fields}
    assert contract - known == set()
    # The contract has the first two in comments only, and says nothing of a Redis that does not answer, of which calls
    # are sampled, nor of connections that are old.
    unsaid = {"rate_storage_failure", "ratio", "max_connection_age"}
    assert known - contract == {"allow_plaintext", "allow_insecure_tokens"} | unsaid


def test_the_example_is_fine(base: Path) -> None:
    settings = parse(EXAMPLE.read_text(), base, ENVIRON, "gateway.example.yaml")
    assert settings.upstreams["shop"].tls is not None
    assert settings.upstreams["shop"].tls.ca == base / "tls" / "ca.pem"


def test_the_example_shows_every_key_that_works_and_no_other() -> None:
    known = {name for _, section in sections() for name in section.model_fields}
    assert known - keys_of(EXAMPLE.read_text()) == {"allow_plaintext"}
    assert "allow_plaintext: true" in EXAMPLE.read_text()


def test_the_example_shows_the_defaults(base: Path) -> None:
    """What the example says of optional values, other than those it gives "for example", changes nothing."""
    written = parse(EXAMPLE.read_text(), base, ENVIRON).redacted()
    least = Settings.model_validate(
        {
            "listeners": written["listeners"],
            "upstreams": {"shop": {"services": ["a.B"], "targets": ["a:1"]}},
            "auth": {"issuers": [{"issuer": "https://a.example", "audiences": ["a"]}]},
        }
    ).redacted()
    written["limits"]["rate"] = []  # for example
    for section in ("admin", "limits", "observability", "drain", "workers"):
        assert written[section] == least[section]
    assert written["cors"] | {"allow_origins": []} == least["cors"]
    assert written["auth"]["public_methods"] == least["auth"]["public_methods"]
    assert written["auth"]["issuers"][0] | {"issuer": 0, "audiences": 0} == (
        least["auth"]["issuers"][0] | {"issuer": 0, "audiences": 0}
    )
    given = {"services", "targets", "tls", "outlier_detection"}
    assert {key: value for key, value in written["upstreams"]["shop"].items() if key not in given} == {
        key: value for key, value in least["upstreams"]["shop"].items() if key not in given
    }
