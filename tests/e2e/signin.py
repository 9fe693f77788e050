"""What it takes to sign in: a gateway that knows people, clients that send them there, and where they come back to."""

import base64
import hashlib
import json
import re
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2

import harness
import proxies
from browser import free_port
from harness import BINARY, Manifests, Server
from loopback import listening
from proxies import PREFIX, Certificate
from wire import META, MODERN, Json, request, result

# The host that stands for every client elsewhere, and where on it ChatGPT wants people back.
CHATGPT = "chatgpt.com"
CHATGPTS = f"https://{CHATGPT}/connector_platform_oauth_redirect"
CURSORS = "cursor://anysphere.cursor-mcp/oauth/callback"
WELL_KNOWN = "/.well-known"


@dataclass(frozen=True)
class Person:
    name: str
    password: str
    full: str
    email: str = ""
    scopes: str = ""


ADA = Person("ada", "an engine to analyse with", "Ada Lovelace", "ada@example.org")
GRACE = Person("grace", "a moth was in the relay", "Grace Hopper")
# May not see what people earn.
ALAN = Person("alan", "any tape of any length", "Alan Turing", scopes="notes:read")

CONNECTORS: tuple[Json, ...] = (
    {"id": "weather", "name": "Weather"},
    {"id": "notes", "name": "Notes of the team", "scopes": ["notes:read"]},
    {"id": "diary", "name": "Diary <b>& more</b>", "scopes": ["notes:read"]},
    {"id": "payroll", "name": "Payroll", "scopes": ["payroll:read"]},
)
ALL = "notes:read payroll:read"


def connectors_in(folder: Path) -> Manifests:
    """Connectors of which some are for everybody who signed in, and some take a scope."""
    folder.mkdir(parents=True)
    tool = {"name": "look", "title": "Look", "description": "Use this when someone looks.", "run": {"args": ["hello"]}}
    tool |= {"annotations": {"readOnly": True, "destructive": False, "openWorld": False}}
    for told in CONNECTORS:
        whole = {"version": "1.0.0", "adapter": {"kind": "command", "program": "printf"}, "tools": [tool], **told}
        (folder / f"{told['id']}.json").write_text(json.dumps(whole))
    return Manifests(folder, "http://127.0.0.1:9")


@dataclass
class Gateway:
    """A running server with the issuer in it, as the world sees it."""

    server: Server
    # The endpoint's address, with the path of the proxy before it.
    url: str
    certificate: Certificate
    settings: list[str]
    http: httpx2.Client = field(init=False)

    def __post_init__(self) -> None:
        self.http = httpx2.Client(verify=self.certificate.believed(), timeout=60, trust_env=False)

    @property
    def base(self) -> str:
        return self.url.removesuffix("/mcp")

    def users(self, *arguments: str, say: str | None = None) -> str:
        """Runs `switchboard users` beside the server."""
        return command("users", *arguments, *self.settings, say=say)

    def codes(self) -> list[str]:
        """The codes to sign in with that the terminal has shown, and for whom."""
        return [line for line in list(self.server.log) if "sign-in code " in line]


def command(*arguments: str, say: str | None = None) -> str:
    done = subprocess.run([BINARY, *arguments], input=say or "", capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def gateway(
    home: Path, certificate: Certificate, *people: Person, way: str = "direct", strangers: int | None = 1_000_000
) -> Iterator[Gateway]:
    """Runs a server with these people, reached directly or through a proxy of a kind, until the block ends. All tests
    are one stranger to it, of whom it takes more than it usually would."""
    manifests = connectors_in(home / "manifests")
    limits = {"limits": {"strangersPerMinute": strangers}} if strangers else {}
    (home / "settings.json").write_text(json.dumps({"auth": {"mode": "built-in"}} | limits))
    settings = ["--config", str(home / "settings.json"), "--data-dir", str(home / "data")]
    for person in people:
        more = [
            *(["--email", person.email] if person.email else []),
            *(["--scopes", person.scopes] if person.scopes else []),
        ]
        add = ["users", "add", person.name, "--name", person.full, "--password-stdin", *more, *settings]
        command(*add, say=f"{person.password}\n")
    with ExitStack() as running:
        if way == "direct":
            server = running.enter_context(harness.serve(manifests, *settings))
            yield Gateway(server, server.url, certificate, settings)
            return
        public = f"https://localhost:{free_port()}{PREFIX}"
        server = running.enter_context(harness.serve(manifests, *settings, "--public-url", public))
        listening = re.search(r"//127\.0\.0\.1:\d+", " ".join(server.log))
        assert listening, server.log
        running.enter_context(proxies.before(way, listening[0].strip("/"), urlsplit(public).port or 0, certificate))
        yield Gateway(server, f"{public}/mcp", certificate, settings)


# Clients


@dataclass
class Client:
    """A client that knows nothing but the endpoint's address, and finds the rest as clients do."""

    gateway: Gateway
    redirect: str
    name: str = "A client of the tests"
    id: str = ""
    metadata: Json = field(default_factory=dict)
    resource: str = ""
    verifier: str = ""
    state: str = ""

    def __post_init__(self) -> None:
        http = self.gateway.http
        refused = self.ask("tools/list", None)
        assert refused.status_code == 401, refused.text
        found = re.search(r'resource_metadata="([^"]+)"', refused.headers["www-authenticate"])
        assert found, refused.headers
        protected = http.get(found[1]).raise_for_status().json()
        assert protected["resource"] == self.gateway.url
        self.resource = protected["resource"]
        [issuer] = protected["authorization_servers"]
        self.metadata = self.described(issuer)
        assert self.metadata["issuer"] == issuer == self.gateway.base
        wanted = {"client_name": self.name, "redirect_uris": [self.redirect], "token_endpoint_auth_method": "none"}
        self.id = http.post(self.metadata["registration_endpoint"], json=wanted).raise_for_status().json()["client_id"]

    def described(self, issuer: str) -> Json:
        """What the issuer says of itself, at the first of the addresses where clients look."""
        origin, path = issuer.removesuffix(urlsplit(issuer).path), urlsplit(issuer).path
        forms = [
            f"{origin}{WELL_KNOWN}/oauth-authorization-server{path}",
            f"{origin}{WELL_KNOWN}/openid-configuration{path}",
            f"{issuer}{WELL_KNOWN}/openid-configuration",
        ]
        for form in forms:
            if (answer := self.gateway.http.get(form)).status_code == 200:
                return answer.json()
        raise AssertionError(f"{issuer} is described nowhere")

    def link(self, **more: str) -> str:
        """Where a person is sent who wants to connect this client."""
        self.verifier, self.state = secrets.token_urlsafe(48), secrets.token_urlsafe(12)
        digest = hashlib.sha256(self.verifier.encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": self.id,
            "redirect_uri": self.redirect,
            "state": self.state,
            "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
            "code_challenge_method": "S256",
            "resource": self.resource,
            "scope": ALL,
        }
        return f"{self.metadata['authorization_endpoint']}?{urlencode(asked | more)}"

    def told(self, url: str) -> dict[str, str]:
        """What the address says with which a person came back."""
        assert url.startswith(f"{self.redirect}?"), url
        answer = {name: value for name, [value] in parse_qs(urlsplit(url).query).items()}
        assert answer["state"] == self.state and answer["iss"] == self.metadata["issuer"], answer
        return answer

    def redeem(self, url: str) -> str:
        """The token that the address is good for with which a person came back."""
        form = {
            "grant_type": "authorization_code",
            "client_id": self.id,
            "code": self.told(url)["code"],
            "redirect_uri": self.redirect,
            "code_verifier": self.verifier,
            "resource": self.resource,
        }
        return (
            self.gateway.http.post(self.metadata["token_endpoint"], data=form).raise_for_status().json()["access_token"]
        )

    def ask(self, method: str, token: str | None, **params: Any) -> httpx2.Response:
        headers = {
            "MCP-Protocol-Version": MODERN,
            "Mcp-Method": method,
            "Accept": "application/json, text/event-stream",
        }
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if "name" in params:
            headers["Mcp-Name"] = params["name"]
        return self.gateway.http.post(
            self.gateway.url, json=request(method, {"_meta": META, **params}), headers=headers
        )

    def profile(self, token: str) -> Json:
        """Whose token it is."""
        return result(self.ask("tools/call", token, name="get_profile", arguments={}))["structuredContent"]

    def may(self, token: str, tool: str) -> bool:
        answer = self.ask("tools/call", token, name=tool, arguments={})
        return answer.status_code == 200 and "result" in answer.json()


# Where people come back to


class Home(ThreadingHTTPServer):
    """A client's own pages: one that says welcome back, and whatever else a test puts there."""

    daemon_threads = True

    def __init__(self, certificate: Certificate | None) -> None:
        super().__init__(("127.0.0.1", 0), HomeHandler)
        self.pages: dict[str, str] = {}
        if certificate:
            self.socket = certificate.shown().wrap_socket(self.socket, server_side=True)

    @property
    def callback(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/callback"


class HomeHandler(BaseHTTPRequestHandler):
    server: Home
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        html = self.server.pages.get(self.path, "<h1>Welcome back</h1>")
        body = f"<!doctype html><html lang=en><title>A client</title><link rel=icon href=data:,>{html}</html>".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def home(certificate: Certificate | None = None) -> Iterator[Home]:
    """A client's pages, over TLS with a certificate."""
    with listening(Home(certificate)) as pages:
        yield pages
