"""The backend of `dev`: who writes it otherwise is shown the command that was meant."""

import pytest

from gateway import cli, run

PLAINTEXT = ", with --tls if the backend wants TLS"


@pytest.mark.parametrize(
    ("target", "scheme", "command"),
    [
        ("localhost", "", "localhost:50051" + PLAINTEXT),
        ("50051", "", "localhost:50051" + PLAINTEXT),
        (":50051", "", "localhost:50051" + PLAINTEXT),
        ("localhost:50051/", "", "localhost:50051" + PLAINTEXT),
        ("::1", "", "[::1]:50051" + PLAINTEXT),
        ("::1:9090", "", "[::1]:9090" + PLAINTEXT),
        ("http://localhost:50051", "http", "localhost:50051" + PLAINTEXT),
        ("http://user:hunter2@localhost:9090/x?y#z", "http", "localhost:9090" + PLAINTEXT),
        ("http://localhost", "http", "localhost:50051" + PLAINTEXT),
        ("grpc://[::1]:9090", "grpc", "[::1]:9090" + PLAINTEXT),
        ("dns:///shop.internal:50051", "dns", "shop.internal:50051" + PLAINTEXT),
        ("https://localhost:50051", "https", "localhost:50051 --tls"),
        ("HTTPS://shop.example.com/api", "https", "shop.example.com:443 --tls"),
        ("grpcs://shop.example.com:50051", "grpcs", "shop.example.com:50051 --tls"),
    ],
)
def test_whoever_writes_a_target_otherwise_is_shown_the_command(
    target: str, scheme: str, command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.main(["dev", target]) == 2
    instead = f", not {scheme}://" if scheme else ""
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"grpcweb-gateway: HOST:PORT is expected{instead} (hint: grpcweb-gateway dev {command})"
    ran = []
    monkeypatch.setattr(run, "dev", lambda *given, **_options: ran.append(given))
    assert cli.main(["dev", *command.removesuffix(PLAINTEXT).split()]) == 0
    assert len(ran) == 1


def test_a_target_that_only_a_configuration_can_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["dev", "unix:/run/shop.sock"]) == 2
    assert capsys.readouterr().err == (
        'grpcweb-gateway: dev takes HOST:PORT only (hint: "serve" with a gateway.yaml takes unix: and xds: targets)\n'
    )
