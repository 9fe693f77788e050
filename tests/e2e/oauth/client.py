"""A client program of an issuer, by hand: every parameter of every request can be bent."""

import base64
import hashlib
import secrets
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Self
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2

from harness import Server
from wire import Json

from .person import Person

REDIRECT = "https://client.example/callback"
VERIFIER = "v" * 20 + "-._~" + "A1" * 20


def challenge_of(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def parameters(url: str) -> dict[str, str]:
    """The parameters of an address that a browser is sent to, each there once."""
    found = parse_qs(urlsplit(url).query, keep_blank_values=True, strict_parsing=True)
    assert all(len(values) == 1 for values in found.values()), url
    return {name: values[0] for name, values in found.items()}


@cache
def http(base: str) -> httpx2.Client:
    """One client for all requests to a server; making one takes longer than most requests."""
    return httpx2.Client(base_url=base, timeout=60, trust_env=False)


def metadata(base: str) -> Json:
    response = http(base).get("/.well-known/oauth-authorization-server")
    assert response.status_code == 200, response.text
    return response.json()


def registered(base: str, **more: Any) -> httpx2.Response:
    """The answer to a program that registers itself."""
    told = {"client_name": "Tester", "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none"} | more
    return http(base).post("/oauth/register", json={name: value for name, value in told.items() if value is not None})


@dataclass(frozen=True)
class App:
    """A registered program. `base` is where it finds the server, `issuer` and `resource` what it was told of it."""

    base: str
    id: str
    redirect: str = REDIRECT
    secret: str | None = None
    resource: str = ""

    @classmethod
    def register(cls, server: Server, redirect: str = REDIRECT, **more: Any) -> Self:
        response = registered(server.base, redirect_uris=[redirect], **more)
        assert response.status_code == 201, response.text
        told = response.json()
        return cls(server.base, told["client_id"], redirect, told.get("client_secret"), f"{server.base}/mcp")

    def link(self, **changes: str | None) -> str:
        """Where it sends the browser; a parameter given as None is left out."""
        asked = {
            "response_type": "code",
            "client_id": self.id,
            "redirect_uri": self.redirect,
            "state": "st=te&/+ü",
            "code_challenge": challenge_of(VERIFIER),
            "code_challenge_method": "S256",
            "resource": self.resource,
        }
        kept = {name: value for name, value in (asked | changes).items() if value is not None}
        return f"{self.base}/oauth/authorize?{urlencode(kept)}"

    def token(self, **parameters: str | None) -> httpx2.Response:
        """A request to the token endpoint, as the public client it is unless `parameters` say otherwise."""
        sent = {"client_id": self.id} | ({"client_secret": self.secret} if self.secret else {}) | parameters
        return http(self.base).post(
            "/oauth/token", data={name: value for name, value in sent.items() if value is not None}
        )

    def redeem(self, code: str, /, **changes: str | None) -> httpx2.Response:
        asked = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect,
            "code_verifier": VERIFIER,
            "resource": self.resource,
        }
        return self.token(**(asked | changes))

    def refresh(self, token: str, /, **changes: str | None) -> httpx2.Response:
        return self.token(**({"grant_type": "refresh_token", "refresh_token": token} | changes))

    def revoke(self, token: str) -> httpx2.Response:
        return http(self.base).post("/oauth/revoke", data={"token": token, "client_id": self.id})

    def code(self, person: Person, **changes: str | None) -> str:
        """A code, by a person who allows it."""
        told = parameters(person.answers(self.link(**changes)))
        assert "error" not in told, told
        return told["code"]

    def grant(self, person: Person, scope: str | None = None) -> Json:
        """Tokens, by a person who allows it."""
        return tokens(self.redeem(self.code(person, scope=scope)))

    def with_(self, **changes: Any) -> Self:
        return replace(self, **changes)


def tokens(response: httpx2.Response) -> Json:
    """An answer with tokens, in the form that RFC 6749 gives it."""
    assert response.status_code == 200, response.text
    assert "no-store" in response.headers["cache-control"]
    told = response.json()
    assert told["token_type"].lower() == "bearer" and told["access_token"], told
    return told


def failure(response: httpx2.Response, status: int = 400) -> str:
    """The error of an answer of the token endpoint."""
    assert response.status_code == status, f"{response.status_code}: {response.text}"
    assert "no-store" in response.headers["cache-control"]
    told = response.json()
    assert "access_token" not in told, told
    return told["error"]


def some() -> str:
    return secrets.token_urlsafe(16)
