"""A double of Vault, written from Vault's HTTP API documentation: no real Vault can be had for these tests.

It knows what is documented of the key-value engine of version 2 (`/v1/:mount/data/:path`), of logins as an AppRole and
from Kubernetes, and of tokens (`lookup-self`, `renew-self`): paths, headers, the forms of answers, and their statuses.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from test_search import Api, Reply, Seen, running
from wire import Json


@dataclass
class Vault:
    """A Vault with secrets by `mount/path`, and logins that end after `life` seconds, or never with 0."""

    api: Api
    secrets: dict[str, Json] = field(default_factory=dict)
    namespace: str | None = None
    life: int = 3600
    renewable: bool = True
    sealed: bool = False
    tokens: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)
    roles: dict[str, Json] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.api.url

    def asked(self, path: str) -> int:
        """How often a path was asked for."""
        return sum(seen.path == f"/v1/{path}" for seen in self.api.seen)

    def logins(self) -> int:
        return sum(seen.path.endswith("/login") for seen in self.api.seen)

    def answer(self, seen: Seen) -> Json | Reply:
        if self.sealed:
            return errors(503, "Vault is sealed")
        if seen.headers.get("x-vault-namespace") != self.namespace:
            return errors(404, f"no handler for route {seen.path!r}")
        path = seen.path.removeprefix("/v1/")
        body = json.loads(seen.body) if seen.body else {}
        if seen.method == "POST" and path.startswith("auth/") and path.endswith("/login"):
            return self.login(path.removeprefix("auth/").removesuffix("/login"), body)
        token = seen.headers.get("x-vault-token")
        if token not in self.tokens or seen.headers.get("x-vault-request") != "true":
            return errors(403, "permission denied")
        match (seen.method, path):
            case ("POST", "auth/token/renew-self"):
                if not self.renewable:
                    return errors(400, "lease is not renewable")
                return self.wrapped(auth=self.auth(token))
            case ("GET", "auth/token/lookup-self"):
                return self.wrapped({"id": token, "ttl": self.life, "renewable": self.renewable, "type": "service"})
            case ("GET", _):
                return self.read(path)
        return errors(405, "unsupported operation")

    def login(self, mount: str, shown: Json) -> Json | Reply:
        if mount not in self.roles or shown != self.roles[mount]:
            return errors(400, "invalid role or secret ID" if mount == "approle" else "permission denied")
        token = f"hvs.{uuid4()}"
        self.tokens.add(token)
        return self.wrapped(auth=self.auth(token))

    def read(self, path: str) -> Json | Reply:
        mount, data, rest = path.partition("/data/")
        name = f"{mount}/{rest}"
        metadata = {"created_time": "2026-01-01T00:00:00Z", "deletion_time": "", "destroyed": False, "version": 1}
        if name in self.closed:
            return errors(403, "1 error occurred:\n\t* permission denied\n\n")
        if name in self.deleted:
            return errors(404, data={"data": None, "metadata": metadata | {"deletion_time": "2026-02-01T00:00:00Z"}})
        if not data or name not in self.secrets:
            return errors(404)
        return self.wrapped({"data": self.secrets[name], "metadata": metadata})

    def auth(self, token: str) -> Json:
        lasts = {"lease_duration": self.life, "renewable": self.renewable and self.life > 0}
        return {"client_token": token, "accessor": "a", "policies": ["default"], "token_type": "service"} | lasts

    def wrapped(self, data: Json | None = None, auth: Json | None = None) -> Json:
        told = {"request_id": str(uuid4()), "lease_id": "", "renewable": False, "lease_duration": 0}
        return told | {"data": data, "wrap_info": None, "warnings": None, "auth": auth}


def errors(status: int, *said: str, data: Json | None = None) -> Reply:
    body = {"data": data} if data else {"errors": list(said)}
    return Reply(status, json.dumps(body).encode(), {"Content-Type": "application/json"})


@contextmanager
def vault(**more: object) -> Iterator[Vault]:
    with running({}) as api:
        double = Vault(api, **more)
        api.answers["/v1/"] = double.answer
        yield double
