"""What /config shows."""

import json
from pathlib import Path

from gateway.settings import Introspection, Limits, Settings
from tests.unit.settings.reading import read

INTROSPECTION = "{url: 'https://a.example/', client_id: gateway, client_secret: '${SECRET}'}"
REST = "auth: {introspection: " + INTROSPECTION + "}\nlimits: {max_deadline: 90s}\n"


def test_secrets_are_redacted() -> None:
    settings = read(REST, environ={"SECRET": "hunter2"})
    assert settings.auth.introspection is not None
    assert settings.auth.introspection.client_secret.get_secret_value() == "hunter2"
    shown = settings.redacted()
    assert shown["auth"]["introspection"]["client_secret"] == "[redacted]"
    assert "hunter2" not in json.dumps(shown)
    assert "hunter2" not in repr(settings) + str(settings) + repr(settings.auth.introspection)
    assert "hunter2" not in settings.model_dump_json()


def test_users_and_passwords_in_urls_are_redacted() -> None:
    introspection = Introspection(url="https://a.example/", client_id="a", client_secret="b")
    limits = Limits.model_construct(rate_storage="redis://user:hunter2@cache:6379/0")
    settings = read().model_copy(update={"limits": limits})
    assert settings.redacted()["limits"]["rate_storage"] == "redis://[redacted]@cache:6379/0"
    assert "hunter2" not in json.dumps(settings.redacted())
    assert introspection.client_secret.get_secret_value() == "b"


def test_queries_of_urls_are_redacted() -> None:
    rest = REST.replace("https://a.example/", "https://a.example/introspect?key=hunter2")
    settings = read(rest, environ={"SECRET": "x"})
    assert settings.redacted()["auth"]["introspection"]["url"] == "https://a.example/introspect?[redacted]"


def test_the_rest_is_as_people_write_it() -> None:
    shown = read(REST, environ={"SECRET": "x"}, base=Path("/etc")).redacted()
    assert shown["listeners"][0]["bind"] == "127.0.0.1:8080"
    assert shown["limits"]["max_deadline"] == "90s"
    assert shown["limits"]["stream_idle"] is None
    assert shown["limits"]["max_metadata"] == "8KiB"
    assert shown["limits"]["max_calls"] == 1000
    assert set(shown) == set(Settings.model_fields)
