"""Tokens, good ones and every kind of bad one, as a table that any entrance of the gateway can be tried with."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.protocol.metadata import Header
from gateway.protocol.status import Code
from tests.support.tokens import KeyWorld, authorization, b64, ec_key, jwk, rsa_key, signer


@dataclass(frozen=True)
class Case:
    """One way to present oneself, and what must come of it."""

    name: str
    headers: Callable[[KeyWorld], list[Header]]
    reason: str  # the code in the log; empty: accepted
    code: Code = Code.UNAUTHENTICATED


def _sent(token: Callable[[KeyWorld], bytes]) -> Callable[[KeyWorld], list[Header]]:
    return lambda world: authorization(token(world))


def _good(name: str, token: Callable[[KeyWorld], bytes]) -> Case:
    return Case(name, _sent(token), "", Code.OK)


def _bad(name: str, reason: str, token: Callable[[KeyWorld], bytes]) -> Case:
    return Case(name, _sent(token), reason)


def _claims(name: str, reason: str, **changes: object) -> Case:
    """A well signed token whose claims are changed; a callable is given the world."""

    def token(world: KeyWorld) -> bytes:
        values = {name: value(world) if callable(value) else value for name, value in changes.items()}
        return world.token(world.claims(**values))

    return _bad(name, reason, token)


def _header(name: str, reason: str, **members: object) -> Case:
    return _bad(name, reason, lambda world: world.token(header=members))


def _raw(name: str, change: Callable[[KeyWorld, bytes], bytes]) -> Case:
    """A well signed token whose payload is JSON that was changed by hand."""
    return _bad(
        name,
        "token_malformed",
        lambda world: world.token(change(world, json.dumps(world.claims()).encode())),
    )


def _hmac_with_public_key(world: KeyWorld) -> bytes:
    pem = world.rsa_private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return world.token(header={"alg": "HS256"}, sign=lambda data: hmac.digest(pem, data, hashlib.sha256))


def _tampered(world: KeyWorld) -> bytes:
    header, _, signature = world.token().split(b".")
    return b".".join((header, b64(json.dumps(world.claims(sub="root")).encode()), signature))


def _not_canonical(world: KeyWorld) -> bytes:
    # A signature of 64 bytes leaves four unused bits in its last character, and a decoder that ignores them accepts
    # sixteen spellings of it.
    token = world.es256()
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + bytes((alphabet[alphabet.index(token[-1]) + 1],))


def _padded_payload(world: KeyWorld) -> bytes:
    # Signed over the padded text, so that nothing but the padding is wrong.
    claims = world.claims()
    while len(json.dumps(claims)) % 3 == 0:
        claims["sub"] = f"{claims['sub']}e"
    header = b64(json.dumps({"alg": "RS256", "typ": "at+jwt", "kid": "rsa"}).encode())
    signed = header + b"." + base64.urlsafe_b64encode(json.dumps(claims).encode())
    return signed + b"." + b64(signer(world.rsa_private, "RS256")(signed))


def _with_own_key(world: KeyWorld) -> bytes:
    thief = rsa_key("thief")
    return world.token(header={"jwk": jwk(thief, "rsa"), "kid": "thief"}, key=thief)


def _der_signature(world: KeyWorld) -> bytes:
    return world.es256(sign=lambda data: world.ec_private.sign(data, ec.ECDSA(hashes.SHA256())))


def _two_headers(world: KeyWorld) -> list[Header]:
    return authorization(world.token()) * 2


def _credentials(value: Callable[[KeyWorld], bytes]) -> Callable[[KeyWorld], list[Header]]:
    return lambda world: [(b"authorization", value(world))]


CASES: tuple[Case, ...] = (
    # What is let in.
    _good("RS256", lambda world: world.token()),
    _good("ES256", lambda world: world.es256()),
    _good("the other issuer", lambda world: world.token(world.claims(iss=world.other_issuer), key=rsa_key("b"))),
    _good("typ JWT", lambda world: world.token(header={"typ": "JWT"})),
    _good("typ as a whole media type", lambda world: world.token(header={"typ": "application/AT+JWT"})),
    _good("several audiences", lambda world: world.token(world.claims(aud=["billing", world.audience]))),
    _good("a clock that is ahead, within leeway", lambda world: world.token(world.claims(iat=world.at(20)))),
    _good("no iat", lambda world: world.token(world.claims(iat=...))),
    _good("text beyond ASCII", lambda world: world.token(world.claims(sub="Zoë \N{SNOWMAN}"))),
    _good(
        "jwk, jku and x5u, ignored",
        lambda world: world.token(
            header={"jwk": jwk(rsa_key("thief"), "x"), "jku": "http://127.0.0.1:1/", "x5u": "http://127.0.0.1:1/"}
        ),
    ),
    Case("scheme bearer", _credentials(lambda world: b"bearer " + world.token()), "", Code.OK),
    Case("scheme BEARER", _credentials(lambda world: b"BEARER " + world.token()), "", Code.OK),
    # The algorithm.
    _bad("alg none", "token_algorithm", lambda world: world.token(header={"alg": "none"}, sign=lambda _: b"")),
    _header("alg none, signed", "token_algorithm", alg="none"),
    _bad("alg NoNe", "token_algorithm", lambda world: world.token(header={"alg": "NoNe"}, sign=lambda _: b"")),
    _header("alg missing", "token_algorithm", alg=...),
    _header("alg empty", "token_algorithm", alg=""),
    _header("alg a list", "token_algorithm", alg=["RS256"]),
    _header("alg null", "token_algorithm", alg=None),
    _header("alg rs256", "token_algorithm", alg="rs256"),
    _header("alg not allowed: RS512", "token_algorithm", alg="RS512"),
    _header("alg not allowed: PS256", "token_algorithm", alg="PS256"),
    _bad("HS256 with the public key", "token_algorithm", _hmac_with_public_key),
    _bad(
        "HS256 with a secret of the key set",
        "token_algorithm",
        lambda world: world.token(
            header={"alg": "HS256", "kid": "oct"}, sign=lambda data: hmac.digest(b"k" * 32, data, hashlib.sha256)
        ),
    ),
    _bad(
        "ES256 with a P-384 key",
        "token_key_unknown",
        lambda world: world.token(header={"alg": "ES256", "kid": "p384"}, key=ec_key("p384")),
    ),
    _header("ES256 with the RSA key", "token_key_unknown", alg="ES256"),
    # The signature.
    _bad("signature empty", "token_signature", lambda world: world.token(sign=lambda _: b"")),
    _bad("signature short", "token_signature", lambda world: world.token(sign=lambda _: b"short")),
    _bad("ECDSA all zero", "token_signature", lambda world: world.es256(sign=lambda _: bytes(64))),
    _bad("ECDSA short", "token_signature", lambda world: world.es256(sign=lambda _: bytes(63))),
    _bad("ECDSA empty", "token_signature", lambda world: world.es256(sign=lambda _: b"")),
    _bad("ECDSA in DER", "token_signature", _der_signature),
    _bad("payload changed", "token_signature", _tampered),
    _bad("another key of this name", "token_signature", lambda world: world.token(key=rsa_key("thief"))),
    _bad("another issuer's key", "token_signature", lambda world: world.token(key=rsa_key("b"))),
    _bad(
        "another issuer's token under this key",
        "token_signature",
        lambda world: world.token(world.claims(iss=world.other_issuer)),
    ),
    # The key.
    _header("kid unknown", "token_key_unknown", kid="nobody"),
    _header("kid empty", "token_key_unknown", kid=""),
    _header("kid missing, several keys", "token_key_unknown", kid=...),
    _header("kid too long", "token_malformed", kid="k" * 257),
    _header("kid a number", "token_malformed", kid=1),
    _header("kid null", "token_malformed", kid=None),
    _header("kid a path", "token_key_unknown", kid="../../dev/null"),
    _bad(
        "RSA with 1024 bits",
        "token_key_unknown",
        lambda world: world.token(header={"kid": "weak"}, key=rsa_key("weak", 1024)),
    ),
    _bad(
        "key for encryption", "token_key_unknown", lambda world: world.token(header={"kid": "enc"}, key=rsa_key("enc"))
    ),
    _bad(
        "key without verify", "token_key_unknown", lambda world: world.token(header={"kid": "ops"}, key=rsa_key("ops"))
    ),
    _bad("its own key in jwk", "token_key_unknown", _with_own_key),
    # The form.
    _header("crit", "token_malformed", crit=["exp"], exp=1),
    _header("crit empty", "token_malformed", crit=[]),
    _header("crit null", "token_malformed", crit=None),
    _header("crit b64", "token_malformed", crit=["b64"], b64=True),
    _header("b64 true", "token_malformed", b64=True),
    _header("b64 false", "token_malformed", b64=False),
    _header("zip", "token_malformed", zip="DEF"),
    _header("enc", "token_malformed", enc="A256GCM"),
    _header("cty JWT", "token_malformed", cty="JWT"),
    _bad("nested token", "token_malformed", lambda world: world.token(world.token(), header={"typ": "JWT"})),
    _bad(
        "JWE",
        "token_malformed",
        lambda world: b".".join((b64(b'{"alg":"RSA-OAEP","enc":"A256GCM"}'), b"a", b"b", b"c", b"d")),
    ),
    _bad("2 segments", "token_malformed", lambda world: world.token().rsplit(b".", 1)[0]),
    _bad("4 segments", "token_malformed", lambda world: world.token() + b".e30"),
    _bad("5 segments", "token_malformed", lambda world: world.token() + b".e30.e30"),
    _bad("1 segment", "token_malformed", lambda world: b"opaque"),
    _bad("no header", "token_malformed", lambda world: b"." + world.token().split(b".", 1)[1]),
    _bad("no payload", "token_malformed", lambda world: world.token().split(b".")[0] + b"..e30"),
    _bad("padding in the payload", "token_malformed", _padded_payload),
    _bad("padding at the end", "token_malformed", lambda world: world.token() + b"=="),
    _bad("base64 not canonical", "token_malformed", _not_canonical),
    _bad("base64 not url-safe", "token_malformed", lambda world: world.token() + b"+/+/"),
    _bad("header no JSON", "token_malformed", lambda world: world.token(header=b"x")),
    _bad("header a list", "token_malformed", lambda world: world.token(header=b"[]")),
    _bad(
        "header with a member twice",
        "token_malformed",
        lambda world: world.token(header=b'{"alg":"none","alg":"RS256","typ":"at+jwt","kid":"rsa"}'),
    ),
    _raw("payload no JSON", lambda _, payload: b"x"),
    _raw("payload empty object", lambda _, payload: b""),
    _raw("payload a list", lambda _, payload: b"[" + payload + b"]"),
    _raw("payload with something after", lambda _, payload: payload + b"{}"),
    _raw("payload with a member twice", lambda _, payload: payload[:-1] + b',"sub":"root"}'),
    _raw("payload with a member twice, deeper", lambda _, payload: payload[:-1] + b',"x":{"a":1,"a":2}}'),
    _raw("payload in UTF-16", lambda _, payload: payload.decode().encode("utf-16")),
    _raw("payload in UTF-16 without BOM", lambda _, payload: payload.decode().encode("utf-16-le")),
    _raw("payload with BOM", lambda _, payload: b"\xef\xbb\xbf" + payload),
    _raw("payload not UTF-8", lambda _, payload: payload[:-1] + b',"x":"\xff"}'),
    _raw("payload with a lone surrogate", lambda _, payload: payload[:-1] + b',"x":"\\ud800"}'),
    _raw("payload nested too deep", lambda _, payload: payload[:-1] + b',"x":' + b"[" * 50 + b"]" * 50 + b"}"),
    _raw("payload nested deeper than the parser", lambda _, payload: payload[:-1] + b',"x":' + b"[" * 4000),
    _raw("payload with a number of 5000 digits", lambda _, payload: payload[:-1] + b',"x":' + b"9" * 5000 + b"}"),
    _raw("exp NaN", lambda world, _: json.dumps(world.claims(exp=float("nan"))).encode()),
    _raw("exp Infinity", lambda world, _: json.dumps(world.claims(exp=float("inf"))).encode()),
    _raw("exp 1e999", lambda world, _: json.dumps(world.claims(exp=7)).replace('"exp": 7', '"exp": 1e999').encode()),
    _bad("over 8 KiB", "token_too_large", lambda world: world.token(world.claims(x="x" * 8192))),
    # The type.
    _header("typ of another kind", "token_type", typ="logout+jwt"),
    _header("typ missing", "token_type", typ=...),
    _header("typ no text", "token_type", typ=["at+jwt"]),
    # The time.
    _claims("exp missing", "token_lifetime", exp=...),
    _claims("exp null", "token_malformed", exp=None),
    _claims("exp text", "token_malformed", exp=lambda world: str(world.at(300))),
    _claims("exp true", "token_malformed", exp=True),
    _claims("exp a list", "token_malformed", exp=lambda world: [world.at(300)]),
    _claims("exp beyond all clocks", "token_malformed", exp=10**300),
    _claims("exp negative", "token_malformed", exp=-1),
    _claims("expired", "token_expired", exp=lambda world: world.at(-1)),
    _claims("expired, within leeway", "token_expired", exp=lambda world: world.at(-10)),
    _claims("exp is now", "token_expired", exp=lambda world: world.at(0)),
    _claims("lives too long", "token_lifetime", exp=lambda world: world.at(86410)),
    _claims("lives too long, no iat", "token_lifetime", iat=..., exp=lambda world: world.at(86460)),
    _claims("nbf in the future", "token_not_yet_valid", nbf=lambda world: world.at(60)),
    _claims("iat in the future", "token_not_yet_valid", iat=lambda world: world.at(60)),
    _claims("nbf text", "token_malformed", nbf="0"),
    _claims("iat text", "token_malformed", iat=lambda world: str(world.at(0))),
    # Whom it is for and from.
    _claims("aud another", "token_audience", aud="billing"),
    _claims("aud missing", "token_audience", aud=...),
    _claims("aud null", "token_audience", aud=None),
    _claims("aud empty", "token_audience", aud=""),
    _claims("aud in other case", "token_audience", aud=lambda world: world.audience.upper()),
    _claims("aud a prefix", "token_audience", aud=lambda world: world.audience[:-1]),
    _claims("aud longer", "token_audience", aud=lambda world: world.audience + "-admin"),
    _claims("aud an empty list", "token_audience", aud=[]),
    _claims("aud an object", "token_audience", aud=lambda world: {world.audience: True}),
    _claims("aud a list in a list", "token_audience", aud=lambda world: [[world.audience]]),
    _claims("aud with a number", "token_audience", aud=lambda world: [world.audience, 1]),
    _bad(
        "iss without the slash",
        "token_issuer",
        lambda world: world.token(world.claims(iss=world.issuer.removesuffix("/"))),
    ),
    _bad("iss a prefix", "token_issuer", lambda world: world.token(world.claims(iss=world.issuer[:-3]))),
    _bad("iss longer", "token_issuer", lambda world: world.token(world.claims(iss=world.issuer + "x"))),
    _bad("iss in other case", "token_issuer", lambda world: world.token(world.claims(iss=world.issuer.upper()))),
    _bad("iss a list", "token_issuer", lambda world: world.token(world.claims(iss=[world.issuer]))),
    _claims("iss missing", "token_issuer", iss=...),
    _claims("iss unknown", "token_issuer", iss="https://evil.test/"),
    # Who it stands for.
    _claims("sub missing", "token_subject", sub=...),
    _claims("sub empty", "token_subject", sub=""),
    _claims("sub null", "token_subject", sub=None),
    _claims("sub a number", "token_subject", sub=7),
    _claims("sub a list", "token_subject", sub=["alice"]),
    # The header that carries it.
    Case("no token", lambda _: [], "token_missing"),
    Case("token in a cookie", lambda world: [(b"cookie", b"authorization=" + world.token())], "token_missing"),
    Case("two Authorization headers", _two_headers, "token_malformed"),
    Case(
        "an empty second Authorization",
        lambda world: [*authorization(world.token()), (b"authorization", b"")],
        "token_malformed",
    ),
    Case(
        "a list of credentials",
        _credentials(lambda world: b"Bearer " + world.token() + b", Bearer " + world.token()),
        "token_malformed",
    ),
    Case(
        "two tokens", _credentials(lambda world: b"Bearer " + world.token() + b" " + world.token()), "token_malformed"
    ),
    Case("Basic", _credentials(lambda _: b"Basic YWxpY2U6c2VjcmV0"), "token_scheme"),
    Case("token without a scheme", _credentials(lambda world: world.token()), "token_scheme"),
    Case("DPoP", _credentials(lambda world: b"DPoP " + world.token()), "token_scheme"),
    Case("Authorization empty", _credentials(lambda _: b""), "token_malformed"),
    Case("Bearer and nothing", _credentials(lambda _: b"Bearer"), "token_malformed"),
    Case("a tab after Bearer", _credentials(lambda world: b"Bearer\t" + world.token()), "token_scheme"),
    Case("text after the token", _credentials(lambda world: b"Bearer " + world.token() + b";x=1"), "token_malformed"),
)
