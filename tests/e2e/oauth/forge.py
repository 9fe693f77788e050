"""An issuer of tokens that is all a test's own: what it says of itself, its keys, and tokens good and forged."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from test_search import Api, Reply, Seen, running
from wire import Json


@cache
def key(name: str) -> Any:
    """A private key; the name's first part is its kind."""
    match name.split("-")[0]:
        case "rsa":
            return rsa.generate_private_key(65537, 2048)
        case "p256":
            return ec.generate_private_key(ec.SECP256R1())
        case "p384":
            return ec.generate_private_key(ec.SECP384R1())
        case _:
            return ed25519.Ed25519PrivateKey.generate()


ALGORITHMS = {"rsa": "RS256", "p256": "ES256", "p384": "ES384", "ed": "EdDSA"}


def algorithm(name: str) -> str:
    return ALGORITHMS[name.split("-")[0]]


def jwk(name: str, **more: Any) -> Json:
    """The public half, as issuers publish it."""
    kind = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "ES384": ECAlgorithm, "EdDSA": OKPAlgorithm}[algorithm(name)]
    told = kind.to_jwk(key(name).public_key(), as_dict=True)
    told.pop("key_ops", None)
    told = told | {"kid": name, "use": "sig", "alg": algorithm(name)} | more
    return {member: value for member, value in told.items() if value is not None}


def pem(name: str) -> bytes:
    return key(name).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def b64(data: bytes | Json) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def signed(claims: Json, with_key: str = "rsa-1", alg: str | None = None, **header: Any) -> str:
    """A token by a real library. A header given as None is left out."""
    headers = {"kid": with_key, "typ": "at+jwt"} | header
    kept = {name: value for name, value in headers.items() if value is not None}
    if "typ" not in kept:
        kept["typ"] = None
    return jwt.encode(claims, key(with_key), alg or algorithm(with_key), headers=kept)


def by_hand(header: Json, claims: Json, sign: Callable[[bytes], bytes]) -> str:
    """A token as no library would make it."""
    body = f"{b64(header)}.{b64(claims)}"
    return f"{body}.{b64(sign(body.encode()))}"


def hs256(secret: bytes) -> Callable[[bytes], bytes]:
    return lambda body: hmac.new(secret, body, hashlib.sha256).digest()


class Issuer:
    """An issuer that publishes `keys`, and answers questions about tokens that cannot be read from `known`."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.keys = [jwk("rsa-1"), jwk("p256-1"), jwk("p384-1"), jwk("ed-1")]
        self.told: Json = {}
        self.known: dict[str, Json] = {}
        self.away = False
        self.audience = ""
        api.answers = {
            "/.well-known/openid-configuration": lambda _: self.answer(self.metadata()),
            "/jwks": lambda _: self.answer({"keys": self.keys}),
            "/introspect": self.introspect,
        }

    @property
    def url(self) -> str:
        return self.api.url

    def metadata(self) -> Json:
        told = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "introspection_endpoint": f"{self.url}/introspect",
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
        }
        return told | self.told

    def answer(self, value: Json) -> Json | Reply:
        return Reply(503) if self.away else value

    def introspect(self, seen: Seen) -> Json | Reply:
        if seen.headers.get("authorization") != f"Basic {base64.b64encode(b'gateway:it%2Bknows%3D').decode()}":
            return Reply(401)
        [token] = parse_qs(seen.body.decode())["token"]
        return self.answer(self.known.get(token, {"active": False}))

    def asked(self, path: str) -> int:
        """How often a path was asked for."""
        return sum(seen.path == path for seen in self.api.seen)

    def claims(self, **changes: Any) -> Json:
        """What a good token says; a claim given as None is left out."""
        now = int(time.time())
        told = {
            "iss": self.url,
            "sub": "ada",
            "aud": self.audience,
            "iat": now,
            "exp": now + 300,
            "client_id": "tester",
            "scope": "docs:read",
        }
        return {name: value for name, value in (told | changes).items() if value is not None}

    def token(self, with_key: str = "rsa-1", **changes: Any) -> str:
        return signed(self.claims(**changes), with_key)


@contextmanager
def issuer() -> Iterator[Issuer]:
    with running({}) as api:
        yield Issuer(api)
