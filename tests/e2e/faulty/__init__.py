"""An MCP server with sign-in that is fit for ChatGPT as it stands, and has a switch for each fault it could have."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from faulty.faults import Fault
from faulty.issuer import Issuer, Refusal
from faulty.tools import COMMANDS, SECRET, Tools
from loopback import listening

__all__ = ["COMMANDS", "PASSWORD", "SECRET", "USER", "Fault", "Faulty", "serving"]

Json = dict[str, Any]

USER, PASSWORD = "visitor", "a password to try things with"
MODERN, LEGACY = "2026-07-28", "2025-11-25"
PROTECTED = "/.well-known/oauth-protected-resource"
EMPTY = (b"", b"{}", b"[]")
# More than anybody has to read to know that a document is none.
ENDLESS = 8 << 20


class Faulty(ThreadingHTTPServer):
    """The server, and what it saw."""

    daemon_threads = True

    def __init__(self, faults: frozenset[Fault]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults = faults
        self.issuer = Issuer(self.base, faults, {USER: PASSWORD})
        self.tools = Tools(faults)
        self.calls: list[str] = []
        # Another server's address, where redirects lead, and whatever secret somebody took there.
        self.elsewhere = ""
        self.told: list[str] = []

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def url(self) -> str:
        return f"{self.base}/mcp"


class Handler(BaseHTTPRequestHandler):
    server: Faulty
    protocol_version = "HTTP/1.1"
    # Head and body are sent one by one; the body does not wait for a word that the head came.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path.startswith(PROTECTED):
            return self.protected(url.path.removeprefix(PROTECTED))
        if url.path.startswith("/.well-known/"):
            return self.metadata(url.path)
        if url.path == "/jwks":
            return self.json(200, self.issuer.keys())
        if url.path == "/authorize":
            return self.person(lambda cookie: self.issuer.authorize(query(url.query), cookie))
        if url.path == "/mcp":
            return self.json(405, failure("this server opens no streams"), Allow="POST")
        self.json(404, failure("there is nothing here"))

    do_DELETE = do_GET

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        match url.path:
            case "/mcp" | "/mcp/":
                self.mcp(url.path, body)
            case "/register":
                self.machine(lambda: self.issuer.register(json.loads(body)), 201)
            case "/token":
                self.machine(lambda: self.issuer.token(query(body.decode())), 200)
            case "/sign-in":
                self.person(lambda cookie: self.issuer.sign_in(query(body.decode()), cookie))
            case "/consent":
                self.person(lambda cookie: self.issuer.consent(query(body.decode()), cookie))
            case _:
                self.json(404, failure("there is nothing here"))

    # Documents

    def protected(self, below: str) -> None:
        if below not in ("", "/mcp") or self.has(Fault.NO_RESOURCE_METADATA):
            return self.json(404, failure("there is nothing here"))
        if self.has(Fault.ENDLESS_RESOURCE_METADATA):
            return self.answer(200, b'{"resource":"' + b"x" * ENDLESS, {"Content-Type": "application/json"})
        if self.has(Fault.RESOURCE_METADATA_IS_A_PAGE):
            return self.page("<p>Welcome!</p>")
        self.json(200, self.issuer.protected())

    def metadata(self, path: str) -> None:
        if path != "/.well-known/oauth-authorization-server" or self.has(Fault.NO_ISSUER_METADATA):
            return self.json(404, failure("there is nothing here"))
        self.json(200, self.issuer.metadata())

    # People and programs at the issuer

    def person(self, act: Any) -> None:
        """Answers with a page or leads elsewhere; a person's browser is known by its cookie."""
        cookie = SimpleCookie(self.headers.get("Cookie", "")).get("faulty")
        try:
            shown = act(cookie.value if cookie else None)
        except Refusal as refusal:
            return self.page(f"<h1>This does not work</h1><p>{refusal}</p>", 400)
        headers = {"Set-Cookie": f"faulty={shown.cookie}; HttpOnly; SameSite=Lax; Path=/"} if shown.cookie else {}
        if shown.location:
            return self.answer(303, b"", headers | {"Location": shown.location})
        self.page(shown.page, **headers)

    def machine(self, act: Any, status: int) -> None:
        try:
            self.json(status, act(), Cache_Control="no-store")
        except Refusal as refusal:
            told = {"error": refusal.code, "error_description": str(refusal)}
            self.json(refusal.status, told, Cache_Control="no-store")

    # MCP

    def mcp(self, path: str, body: bytes) -> None:
        shown = self.headers.get("Authorization", "")
        if self.has(Fault.REDIRECTS) and path == "/mcp":
            return self.answer(307, b"", {"Location": "/mcp/"})
        if self.has(Fault.REDIRECTS_ELSEWHERE):
            return self.answer(307, b"", {"Location": f"{self.server.elsewhere}/mcp"})
        if body in EMPTY and self.has(Fault.EMPTY_IS_REFUSED):
            return self.answer(400, b"Bad Request", {"Content-Type": "text/plain"})
        self.server.told.append(shown)
        if not (scopes := self.issuer.scopes(shown)):
            return self.challenge(bool(shown))
        if body in EMPTY:
            return self.answer(200, b"", {})
        message = json.loads(body)
        if "id" not in message:
            return self.answer(202, b"", {})
        method, params = message["method"], message.get("params") or {}
        era = MODERN if "io.modelcontextprotocol/protocolVersion" in (params.get("_meta") or {}) else LEGACY
        headers = {}
        if self.has(Fault.NEEDS_A_SESSION) and era == LEGACY:
            if method == "initialize":
                headers["Mcp-Session-Id"] = "the-one-session"
            elif self.headers.get("Mcp-Session-Id") != "the-one-session":
                return self.json(404, failure("session not found", message["id"]))
        if method == "tools/call":
            self.server.calls.append(params.get("name", ""))
        try:
            result = self.result(method, params, era, scopes or set())
        except Refusal as refusal:
            return self.json(refusal.status, failure(str(refusal), message["id"], int(refusal.code)))
        if era == MODERN:
            result |= {"resultType": "complete", "_meta": result.get("_meta", {}) | self.info()}
        self.json(200, {"jsonrpc": "2.0", "id": message["id"], "result": result}, **headers)

    def result(self, method: str, params: Json, era: str, scopes: set[str]) -> Json:
        lists = {"ttlMs": 60_000, "cacheScope": "private"} if era == MODERN else {}
        tools = self.server.tools
        match method:
            case "server/discover" if era == MODERN and not self.has(Fault.NO_DISCOVER):
                versions = [LEGACY] if self.has(Fault.DISCOVER_WITHOUT_THE_VERSION) else [MODERN]
                return lists | {"supportedVersions": versions, "capabilities": CAPABILITIES, "instructions": "Notes."}
            case "initialize" if era == LEGACY and not self.has(Fault.NO_INITIALIZE):
                info = self.info()["io.modelcontextprotocol/serverInfo"]
                return {"protocolVersion": LEGACY, "capabilities": CAPABILITIES, "serverInfo": info}
            case "ping" if era == LEGACY:
                return {}
            case "tools/list":
                return lists | {"tools": tools.listed(era == MODERN)}
            case "tools/call":
                return tools.call(params, scopes, f"{self.server.base}{PROTECTED}/mcp")
            case "resources/list":
                return lists | {"resources": tools.pages()}
            case "resources/templates/list":
                return lists | {"resourceTemplates": []}
            case "resources/read":
                return lists | {"contents": [tools.read(params.get("uri", ""))]}
            case "prompts/list":
                return lists | {"prompts": []}
        raise Refusal(f"method not found: {method}", "-32601", 404 if era == MODERN else 200)

    def info(self) -> Json:
        return {"io.modelcontextprotocol/serverInfo": {"name": "notes", "title": "Notes", "version": "1.0.0"}}

    def challenge(self, wrong: bool) -> None:
        parts = [f'resource_metadata="{self.server.base}{PROTECTED}/mcp"', 'scope="notes:read"']
        if self.has(Fault.CHALLENGE_WITHOUT_METADATA):
            parts = parts[1:]
        if wrong:
            parts += ['error="invalid_token"', 'error_description="this token does not count here"']
        headers = {} if self.has(Fault.NO_CHALLENGE) else {"WWW-Authenticate": f"Bearer {', '.join(parts)}"}
        self.json(401, failure("sign in first"), Cache_Control="no-store", **headers)

    # Answers

    def has(self, fault: Fault) -> bool:
        return fault in self.server.faults

    @property
    def issuer(self) -> Issuer:
        return self.server.issuer

    def page(self, html: str, status: int = 200, **headers: str) -> None:
        whole = f"<!doctype html><html lang=en><title>Notes</title>{html}</html>"
        shut = {} if self.has(Fault.PAGES_CAN_BE_FRAMED) else {"X-Frame-Options": "DENY"}
        self.answer(status, whole.encode(), {"Content-Type": "text/html; charset=utf-8"} | shut | headers)

    def json(self, status: int, value: object, **headers: str) -> None:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        self.answer(status, json.dumps(value).encode(), {"Content-Type": "application/json"} | named)

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            self.close_connection = True  # Whoever asked has heard enough.

    def log_message(self, *_: object) -> None:
        pass


CAPABILITIES = {
    "tools": {"listChanged": True},
    "resources": {},
    "extensions": {"io.modelcontextprotocol/ui": {"mimeTypes": ["text/html;profile=mcp-app"]}},
}


def query(text: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(text, keep_blank_values=True).items()}


def failure(message: str, id: object = None, code: int = -32600) -> Json:
    return {"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}}


@contextmanager
def serving(*faults: Fault) -> Iterator[Faulty]:
    """Runs the server with these faults until the block ends."""
    with listening(Faulty(frozenset(faults))) as server:
        yield server
