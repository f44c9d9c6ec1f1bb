"""Where keys come from: a page, an issuer's metadata, a file."""

import asyncio
import json
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.policy.fetch import MAX_BODY, Fetcher
from gateway.policy.keys import KeySet
from tests.support.key_server import KeyServer, until
from tests.support.tokens import ec_key, jwk, jwks, rsa_key
from tests.unit.policy.key_pages import FAST, KEYS, NEW, OLD, MakeKeys

METADATA = "/tenant/.well-known/openid-configuration"
MEANT = "write that as issuer, if it is the one you mean"


def metadata(**members: object) -> bytes:
    return json.dumps(members).encode()


async def test_discovers_the_key_set(server: KeyServer, make_keys: MakeKeys) -> None:
    for issuer in (f"{server.url}/tenant", f"{server.url}/tenant/"):
        server.pages[METADATA] = metadata(issuer=issuer, jwks_uri=server.url + KEYS)
        key_set = make_keys("discover", issuer=issuer)
        await key_set.start()
        assert key_set.find("old", "RS256") is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": None},
        {"issuer": "https://login.test/"},
        {"issuer": "{url}/tenant"},
        {"issuer": ["{url}/tenant/"]},
        {"jwks_uri": None},
        {"jwks_uri": 1},
        {"jwks_uri": "/keys"},
        {"jwks_uri": "http://login.test/keys"},
        {"jwks_uri": "file:///etc/keys"},
    ],
    ids=str,
)
async def test_metadata_that_is_not_the_issuers(
    server: KeyServer, make_keys: MakeKeys, changes: dict[str, object]
) -> None:
    issuer = f"{server.url}/tenant/"
    members = {"issuer": issuer, "jwks_uri": server.url + KEYS} | changes
    members = {name: json.loads(json.dumps(value).replace("{url}", server.url)) for name, value in members.items()}
    server.pages[METADATA] = metadata(**members)
    key_set = make_keys("discover", issuer=issuer)
    await key_set.start()
    assert not key_set.ready
    assert server.requests[KEYS] == 0


@pytest.mark.parametrize(
    ("named", "problem", "hint"),
    [
        (
            "http://127.0.0.1:1",
            "the issuer calls itself 'http://127.0.0.1:1'",
            MEANT,
        ),
        ("x" * 1000, f"the issuer calls itself '{'x' * 200}'", MEANT),
        (None, "the metadata names no issuer", ""),
    ],
)
async def test_metadata_of_another_issuer_says_whose(
    server: KeyServer, make_keys: MakeKeys, named: object, problem: str, hint: str
) -> None:
    issuer = f"{server.url}/tenant"
    server.pages[METADATA] = metadata(issuer=named, jwks_uri=server.url + KEYS)
    key_set = make_keys("discover", issuer=issuer)
    await key_set.start()
    assert (key_set.problem, key_set.hint) == (problem, hint)


async def test_an_issuer_elsewhere_cannot_point_to_this_machine(server: KeyServer) -> None:
    server.pages[KEYS] = OLD
    issuer = "https://login.test"

    class Elsewhere(Fetcher):
        async def get(self, url: str) -> bytes:
            if url.startswith(issuer):
                return metadata(issuer=issuer, jwks_uri=server.url + KEYS)
            return await super().get(url)

    key_set = KeySet(issuer, "discover", Elsewhere())
    await key_set.start()
    await key_set.close()
    assert not key_set.ready
    assert server.requests[KEYS] == 0


async def test_a_file_is_read_again_when_it_changes(tmp_path: Path, make_keys: MakeKeys) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(OLD)
    for source in (file, str(file)):
        key_set = make_keys(source, refresh=FAST)
        await key_set.start()
        assert key_set.ready
    with capture_logs() as logs:
        file.write_bytes(b"half a fi")
        await until(lambda: len(logs) > 0)
    assert logs[0]["event"] == "jwks_refresh_failed"
    assert key_set.find("old", "RS256") is not None
    file.write_bytes(NEW)
    await until(lambda: key_set.find("new", "RS256") is not None)
    assert key_set.generation == 2


async def test_what_is_no_file_of_keys(tmp_path: Path, make_keys: MakeKeys) -> None:
    (tmp_path / "big").write_bytes(OLD + b" " * MAX_BODY)
    os.mkfifo(tmp_path / "pipe")
    for source in (tmp_path / "missing", tmp_path, tmp_path / "big", tmp_path / "pipe"):
        key_set = make_keys(source)
        await asyncio.wait_for(key_set.start(), 2)
        assert not key_set.ready


async def test_several_keys_of_one_document(server: KeyServer, make_keys: MakeKeys) -> None:
    server.pages[KEYS] = jwks(jwk(rsa_key("a"), "rsa"), jwk(ec_key("a"), "ec"))
    key_set = make_keys()
    await key_set.start()
    assert key_set.find("ec", "ES256") == ec_key("a").public_key()
    assert key_set.find("rsa", "PS512") == rsa_key("a").public_key()
