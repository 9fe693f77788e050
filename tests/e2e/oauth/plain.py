"""An issuer that says little of itself, and an API and an MCP server behind it: what they do next is for tests to say."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, quote, unquote, urlsplit

from loopback import Handler, Loopback, listening
from wire import Json


ENDS = {"authorization_endpoint": "authorize", "token_endpoint": "token", "revocation_endpoint": "revoke"}


class Plain(Loopback):
    def __init__(self) -> None:
        super().__init__(PlainHandler)
        # What proves the client, and what tokens come with; `None` for no end and nothing to have another with.
        self.secret, self.seconds = "one", 4
        # Whom the next code is for, and the issuer it says it is from.
        self.login, self.iss = "ada", ""
        # People whose tokens are refused.
        self.refused: set[str] = set()
        self.asked: list[dict[str, str]] = []
        self.forms: list[dict[str, str]] = []
        self.revoked: list[str] = []
        # Who has a new token waits for this.
        self.go = threading.Event()
        self.go.set()


class PlainHandler(Handler):
    server: Plain
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        if asked.path == "/authorize":
            query = {name: value for name, [value] in parse_qs(asked.query).items()}
            self.server.asked.append(query)
            iss = f"&iss={quote(self.server.iss)}" if self.server.iss else ""
            back = f"{query['redirect_uri']}?code={self.server.login}&state={query['state']}{iss}"
            return self.answer(302, {}, Location=back)
        if asked.path == "/me":
            who = self.who()
            return self.answer(200, {"who": who}) if who else self.answer(401, {"error": "no"})
        if asked.path == "/.well-known/oauth-authorization-server":
            ends = {name: f"{self.server.url}/{end}" for name, end in ENDS.items()}
            return self.answer(200, {"issuer": self.server.url, **ends})
        self.answer(404, {})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if urlsplit(self.path).path == "/mcp":
            return self.mcp(json.loads(body))
        form = {name: value for name, [value] in parse_qs(body.decode()).items()}
        if self.path == "/revoke":
            self.server.revoked.append(form["token"])
            return self.answer(200, {})
        shown = base64.b64decode(self.headers["Authorization"].split()[1]).decode().split(":")[1]
        self.server.forms.append(form)
        if unquote(shown) != self.server.secret:
            return self.answer(401, {"error": "invalid_client"})
        who = form.get("code") or form["refresh_token"].split(".")[1]
        name = f"{len(self.server.forms)}.{who}"
        if "refresh_token" in form:
            self.server.go.wait()
        more = {"expires_in": self.server.seconds, "refresh_token": f"again{name}"} if self.server.seconds else {}
        self.answer(200, {"access_token": f"access{name}", "token_type": "Bearer"} | more)

    def do_DELETE(self) -> None:
        self.answer(200, {})

    def who(self) -> str | None:
        """Whose token is shown, when it counts."""
        _, _, who = self.headers.get("Authorization", "").partition(".")
        return who if who and who not in self.server.refused else None

    def mcp(self, message: Json) -> None:
        if not (who := self.who()):
            return self.answer(401, {})
        if "id" not in message:
            return self.answer(202, {})
        session = self.headers.get("Mcp-Session-Id")
        about = {"capabilities": {"tools": {}}, "serverInfo": {"name": "plain", "version": "1"}}
        said = {
            "initialize": {"protocolVersion": "2025-11-25", **about},
            "tools/list": {"tools": [{"name": "hi", "description": "Says hi.", "inputSchema": {"type": "object"}}]},
            "tools/call": {"content": [{"type": "text", "text": f"{who} in the session of {session}"}]},
        }.get(message["method"])
        new = {"Mcp-Session-Id": who} if message["method"] == "initialize" else {}
        missing = {"error": {"code": -32601, "message": "no"}}
        self.answer(200, {"jsonrpc": "2.0", "id": message["id"], **({"result": said} if said else missing)}, **new)


@contextmanager
def plain() -> Iterator[Plain]:
    with listening(Plain()) as server:
        yield server
