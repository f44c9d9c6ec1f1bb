"""By which configuration a worker serves: that of the others, and what it makes of the file later."""

import os
from pathlib import Path

import pytest
import yaml

from gateway.errors import StartError
from gateway.order import Configuration, Order
from gateway.settings import SettingsError

UPSTREAM = {"services": ["*"], "targets": ["localhost:1"], "plaintext": True, "allow_insecure_tokens": True}
FIRST = {
    "listeners": [{"bind": "127.0.0.1:8080", "http2": False}],
    "upstreams": {"a": UPSTREAM},
    "cors": {"allow_origins": ["https://one.example.com"]},
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gateway.yaml"


def order(path: Path, workers: int | None = None) -> Order:
    return Order(str(path), 1, workers, ["127.0.0.1:8080"], [[5], [6, 7]], line=8, debug=True)


def write(path: Path, **changes: object) -> str:
    path.write_text(text := yaml.safe_dump(FIRST | changes))
    return text


def test_an_order_is_what_it_was(path: Path) -> None:
    assert Order.read(order(path).text()) == order(path)


def test_what_is_in_use_comes_before_the_file(path: Path) -> None:
    in_use = write(path)
    path.write_text("nonsense")
    configuration = Configuration(order(path), in_use)
    assert configuration.at_start().cors.allow_origins == ("https://one.example.com",)
    assert configuration.text == in_use
    with pytest.raises(SettingsError, match=r"gateway\.yaml"):
        configuration.from_file()
    assert configuration.text == in_use


def test_relative_paths_start_where_the_file_is(path: Path) -> None:
    path.with_name("ca.pem").touch()
    tls = {"services": ["*"], "targets": ["localhost:1"], "tls": {"ca": "ca.pem"}}
    settings = Configuration(order(path), write(path, upstreams={"a": tls})).at_start()
    assert settings.upstreams["a"].tls is not None
    assert settings.upstreams["a"].tls.ca == path.with_name("ca.pem")


def test_a_problem_with_it_is_not_taken_for_one_of_the_file(path: Path) -> None:
    in_use = write(path, auth={"issuers": [{"issuer": "https://i.test", "audiences": ["a"], "jwks": "gone.json"}]})
    write(path)
    with pytest.raises(SettingsError) as caught:
        Configuration(order(path), in_use).at_start()
    assert str(caught.value).startswith(f"{path} (as it was when it was last good):")


def test_without_one_the_file_has_to_do(path: Path) -> None:
    text = write(path)
    configuration = Configuration(order(path, workers=3), None)
    assert configuration.at_start().workers == 3
    assert configuration.text == text


@pytest.mark.parametrize("binds", [["127.0.0.1:8081"], ["127.0.0.1:8080", "127.0.0.1:8081"]])
def test_listeners_for_which_there_are_no_sockets_are_refused(path: Path, binds: list[str]) -> None:
    write(path, listeners=[{"bind": bind} for bind in binds])
    with pytest.raises(StartError, match="restart"):
        Configuration(order(path), None).at_start()


def test_sections_that_only_a_restart_changes_are_kept_and_the_rest_is_followed(path: Path) -> None:
    configuration = Configuration(order(path), write(path))
    before = configuration.at_start()
    cors = {"allow_origins": ["https://two.example.com", "https://${WHERE:-three}.example.com"]}
    write(path, listeners=[{"bind": "127.0.0.1:1"}], admin=None, cors=cors, drain="010s")
    read = configuration.from_file()
    configuration.follow(["listeners", "admin"])
    again = Configuration(order(path), configuration.text).at_start()
    assert (again.listeners, again.admin) == (before.listeners, before.admin)
    assert (again.cors, again.drain) == (read.cors, read.drain)
    assert "${WHERE:-three}" in str(configuration.text)  # what the environment says is not written down


def test_a_text_that_is_followed_whole_stays_as_it_is_written(path: Path) -> None:
    configuration = Configuration(order(path), write(path))
    path.write_text(text := "# why\n" + write(path, drain="1s"))
    configuration.from_file()
    configuration.follow([])
    assert configuration.text == text


def test_a_file_that_cannot_be_read_is_a_problem_and_no_crash(path: Path) -> None:
    configuration = Configuration(order(path), None)
    with pytest.raises(SettingsError, match="no such file"):
        configuration.from_file()
    path.write_bytes(b"\xff")
    with pytest.raises(SettingsError, match="UTF-8"):
        configuration.from_file()
    os.unlink(path)
    path.mkdir()
    with pytest.raises(SettingsError, match="cannot read"):
        configuration.from_file()
