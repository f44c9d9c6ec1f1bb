"""What `check` finds before a start: here, what only the library that will use a file can say of it."""

import http.server
import ipaddress
import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from gateway import check
from gateway.app import Gateway
from gateway.policy.tokens import TokenVerifier
from gateway.settings import Settings, SettingsError, parse
from tests.support.backend_http2 import Papers, papers
from tests.support.certificates import leaf, write_pair
from tests.support.tokens import ec_key, jwk, jwks

DNS = x509.DNSName("app.example.com")
CLIENT, SERVER, ANY = (
    ExtendedKeyUsageOID.CLIENT_AUTH,
    ExtendedKeyUsageOID.SERVER_AUTH,
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
)
UNREADABLE = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"no DER")
AUTO, RESOLVED_BY_GRPCIO = "127.0.0.1:1", "xds:///shop"
OF_A_KEY_SET = 'it must be a key set, {"keys": [...]} (RFC 7517)'


@pytest.fixture
def weak(tmp_path: Path) -> Papers:
    """A pair that is good in itself, with a key that OpenSSL finds too short."""
    files = papers(tmp_path)
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    write_pair(tmp_path, *leaf(files.signer, "gateway.test", key=key), stem="gateway")
    return files


def settings_for(files: Papers, base: Path, **upstream: Any) -> Settings:
    tls = {name: str(value) for name, value in files.tls().items()}
    configuration = {
        "listeners": [{"bind": "127.0.0.1:0"}],
        "upstreams": {"shop": {"services": ["*"], "tls": tls, **upstream}},
    }
    return parse(json.dumps(configuration), base)


@pytest.mark.parametrize(
    ("transport", "target", "judged"),
    [
        ("h2", AUTO, True),
        ("auto", AUTO, True),
        ("auto", RESOLVED_BY_GRPCIO, False),
        ("grpcio", AUTO, False),
    ],
)
def test_openssl_judges_the_pairs_that_it_will_use(
    weak: Papers, tmp_path: Path, transport: str, target: str, judged: bool
) -> None:
    settings = settings_for(weak, tmp_path, transport=transport, targets=[target])
    problems = list(check.certificate_problems(settings))
    assert [problem.key for problem in problems] == ["upstreams.shop.tls.certificate"] * judged
    assert all("OpenSSL refuses it" in problem.message for problem in problems)


@pytest.mark.parametrize("transport", ["h2", "grpcio"])
def test_files_that_nobody_can_use_are_found_for_both(weak: Papers, tmp_path: Path, transport: str) -> None:
    weak.gateway[1].write_text("-----BEGIN NONSENSE-----\n")
    settings = settings_for(weak, tmp_path, transport=transport, targets=[AUTO])
    (problem,) = check.certificate_problems(settings)
    assert problem.key == "upstreams.shop.tls.private_key"


# -- what a listener shows -------------------------------------------------------------------------------------------


def shown(folder: Path, *extensions: x509.ExtensionType, name: str = "app.example.com") -> Settings:
    """A listener with a certificate of its own signing."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    write_pair(folder, builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM), key, stem="server")
    text = """
listeners:
  - bind: 127.0.0.1:0
    tls:
      private_key: server.key
      certificate: server.pem
admin: null
upstreams: {shop: {services: ['*'], targets: ['127.0.0.1:1'], tls: {}}}
"""
    return parse(text, folder)


def told(settings: Settings) -> list[str]:
    return [str(problem) for problem in check.certificate_problems(settings)]


def without_san(folder: Path, san: str) -> str:
    return (
        f"gateway.yaml:6: listeners[0].tls.certificate: {folder}/server.pem names no host as SAN, so no browser takes "
        f"it: its CN does not count (hint: issue it anew, as openssl req -addext subjectAltName={san} does; "
        "openssl x509 -req needs -copy_extensions copy)"
    )


@pytest.mark.parametrize(
    ("name", "san"),
    [
        ("app.example.com", "DNS:app.example.com"),
        ("*.example.com", "DNS:*.example.com"),
        ("192.0.2.1", "IP:192.0.2.1"),
        ("My gateway", "DNS:HOST"),
        ("", "DNS:HOST"),
    ],
)
def test_a_certificate_without_a_host_is_for_no_browser(tmp_path: Path, name: str, san: str) -> None:
    assert told(shown(tmp_path, name=name)) == [without_san(tmp_path, san)]
    mail = x509.SubjectAlternativeName([x509.RFC822Name("a@example.com"), x509.DirectoryName(x509.Name([]))])
    assert told(shown(tmp_path, mail, name=name)) == [without_san(tmp_path, san)]


@pytest.mark.parametrize("host", [DNS, x509.IPAddress(ipaddress.ip_address("::1"))])
@pytest.mark.parametrize("usages", [[], [SERVER], [CLIENT, SERVER], [ANY]])
def test_certificates_that_browsers_take(
    tmp_path: Path, host: x509.GeneralName, usages: list[x509.ObjectIdentifier]
) -> None:
    extended = [x509.ExtendedKeyUsage(usages)] if usages else []
    assert told(shown(tmp_path, x509.SubjectAlternativeName([host]), *extended)) == []


def test_a_certificate_of_a_client_is_not_for_servers(tmp_path: Path) -> None:
    not_for_servers = (
        f"gateway.yaml:6: listeners[0].tls.certificate: {tmp_path}/server.pem is not for servers: its "
        "extendedKeyUsage lacks serverAuth (hint: issue it anew with extendedKeyUsage serverAuth, or without any; "
        "is it the certificate of a client?)"
    )
    client = x509.ExtendedKeyUsage([CLIENT])
    assert told(shown(tmp_path, x509.SubjectAlternativeName([DNS]), client)) == [not_for_servers]
    assert told(shown(tmp_path, client)) == [without_san(tmp_path, "DNS:app.example.com"), not_for_servers]


def test_openssl_judges_extensions_that_cannot_be_read(tmp_path: Path) -> None:
    (problem,) = told(shown(tmp_path, UNREADABLE))
    assert "OpenSSL refuses it" in problem


async def test_a_start_finds_what_check_does(tmp_path: Path) -> None:
    gateway = Gateway(shown(tmp_path))
    try:
        with pytest.raises(SettingsError, match="names no host as SAN"):
            await gateway.start()
    finally:
        await gateway.stop()


# -- keys in files ---------------------------------------------------------------------------------------------------


def with_key_set(folder: Path, document: bytes, *, issuer: str = "https://never.invalid/") -> Settings:
    """The second of two issuers has its keys in a file."""
    (folder / "keys.json").write_bytes(document)
    issuers = [
        {"issuer": issuer, "audiences": ["a"]},
        {"issuer": "https://login.example.com/", "audiences": ["a"], "jwks": "keys.json"},
    ]
    configuration = {
        "listeners": [{"bind": "127.0.0.1:0"}],
        "auth": {"issuers": issuers},
        "upstreams": {"shop": {"services": ["*"], "targets": [AUTO], "tls": {}}},
    }
    return parse(json.dumps(configuration), folder)


@pytest.mark.parametrize("document", [b"", b'{"keys":', b"[]", b'{"keys": []}'])
def test_a_key_set_in_a_file_is_judged_offline_too(tmp_path: Path, document: bytes) -> None:
    (problem,) = check.run(with_key_set(tmp_path, document), offline=True)
    assert problem.key == "auth.issuers[1].jwks"
    assert problem.message.startswith(f"no keys in {tmp_path}/keys.json: ")
    assert problem.hint == OF_A_KEY_SET


@pytest.mark.parametrize(("late", "named"), [((), [0, 1]), (["https://never.invalid/"], [1])])
async def test_an_issuer_that_may_be_late_is_no_problem(tmp_path: Path, late: list[str], named: list[int]) -> None:
    settings = with_key_set(tmp_path, b"")
    tokens = TokenVerifier(settings.auth)  # before its start it has nobody's keys
    try:
        problems = check.key_problems(settings, tokens, late)
        assert [problem.key for problem in problems] == [f"auth.issuers[{index}].jwks" for index in named]
    finally:
        await tokens.close()


def test_a_good_key_set_is_fine_and_no_issuer_is_asked_offline(tmp_path: Path) -> None:
    assert check.run(with_key_set(tmp_path, jwks(jwk(ec_key("a"), "a"))), offline=True) == []


def test_what_an_issuer_says_of_itself_is_told(tmp_path: Path) -> None:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"issuer": "https://other.example"}')

        def log_message(self, *_said: object) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as issuer:
        threading.Thread(target=issuer.serve_forever).start()
        named = f"http://127.0.0.1:{issuer.server_port}"
        settings = with_key_set(tmp_path, b"", issuer=named)
        try:
            problem, of_the_file = check.run(settings.model_copy(update={"upstreams": {}}), offline=False)
        finally:
            issuer.shutdown()
    assert problem.message == "no keys came: the issuer calls itself 'https://other.example'"
    assert problem.hint == "write that as issuer, if it is the one you mean"
    assert of_the_file.hint == OF_A_KEY_SET


# -- backends --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("transport", "message", "hint"),
    [
        ("h2", f"no target can be reached: {AUTO}: Connection refused", "is a backend listening there?"),
        ("grpcio", "no target can be reached", check.UNREACHED_HINT),
    ],
)
def test_a_backend_that_is_not_there(tmp_path: Path, transport: str, message: str, hint: str) -> None:
    (problem,) = check.run(settings_for(papers(tmp_path), tmp_path, transport=transport, targets=[AUTO]), offline=False)
    assert (problem.key, problem.message, problem.hint) == ("upstreams.shop.targets", message, hint)


# -- a file that cannot be used --------------------------------------------------------------------------------------


def test_what_is_wrong_with_a_value_is_told_once(tmp_path: Path) -> None:
    """That no upstream serves it says enough of a method that the descriptors do not have."""
    descriptors = FileDescriptorSet()
    service = descriptors.file.add(name="shop.proto", package="shop.v1").service.add(name="Orders")
    service.method.add(name="Get", input_type=".shop.v1.A", output_type=".shop.v1.A")
    (tmp_path / "shop.binpb").write_bytes(descriptors.SerializeToString())
    configuration = {
        "listeners": [{"bind": "127.0.0.1:0"}],
        "authorization": {
            "default": "deny",
            "rules": [{"methods": ["/shop.v1.Order/Get", "/shop.v1.Orders/Gt"], "roles": ["reader"]}],
            "descriptors": "shop.binpb",
        },
        "auth": {"issuers": [{"issuer": "https://login.example.com/", "audiences": ["a"]}]},
        "upstreams": {"shop": {"services": ["shop.v1.Orders"], "targets": [AUTO], "tls": {}}},
    }
    with pytest.raises(SettingsError) as caught:
        parse(json.dumps(configuration), tmp_path)
    assert [(problem.message, problem.hint) for problem in check.all_problems(caught.value)] == [
        ("no upstream serves shop.v1.Order", "did you mean shop.v1.Orders?"),
        ("no such method: /shop.v1.Orders/Gt", "did you mean /shop.v1.Orders/Get?"),
    ]
