"""A real Chromium, the hosts that show pages in it, and everything that goes wrong in a page while it is shown."""

import base64
import json
import re
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Frame, FrameLocator, Page, Request, expect, sync_playwright

from clients import node, node_env
from harness import HERE, PATIENCE, Server, kill_tree, until
from wire import Json, Wire, messages, result

ARTEFACTS = HERE / "artefacts"
STUBS = HERE / "stubs"
MODULES = HERE / "node_modules"
INSPECTOR = MODULES / "@modelcontextprotocol/inspector/clients/launcher/build/index.js"
SUNPEAK = MODULES / "sunpeak/bin/sunpeak.js"
LOOPBACK = ("127.0.0.1", "localhost")
NOWHERE_ELSE = ", ".join(["MAP * ~NOTFOUND", *(f"EXCLUDE {host}" for host in LOOPBACK)])
# The Inspector's own page asks for fonts, and for adding a server that it knows already.
INSPECTORS_OWN = re.compile(r"^https://fonts\.googleapis\.com/|^http://127\.0\.0\.1:\d+/api/servers$")
# The strictest policy under which a page of one file can work at all.
STRICT_CSP = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"


def program() -> str:
    """The browser that tests/run finds or installs."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert found, "no Chromium: `tests/run install` looks for chromium, chromium-browser and google-chrome"
    return found


@contextmanager
def launched(stand_ins: dict[str, str] | None = None) -> Iterator[Browser]:
    """One browser, which shows nothing on a screen and reaches this machine only, also by others' names."""
    expect.set_options(timeout=PATIENCE * 1000)
    rules = ", ".join([*(f"MAP {host} {address}" for host, address in (stand_ins or {}).items()), NOWHERE_ELSE])
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program(), args=[f"--host-resolver-rules={rules}"])
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Tab:
    """A page in a profile of its own, whose faults, and those of the frames in it, are written down."""

    page: Page
    name: str
    faults: list[str] = field(default_factory=list)
    # The hosts it may ask.
    hosts: tuple[str, ...] = LOOPBACK

    def watch(self) -> None:
        self.page.set_default_timeout(PATIENCE * 1000)
        self.page.on("console", self._heard)
        # Chromium says nothing of its own accord when a script may not be made from a string.
        self.page.add_init_script(
            "addEventListener('securitypolicyviolation', "
            "({ violatedDirective, blockedURI }) => console.error(`not allowed: ${violatedDirective} ${blockedURI}`))"
        )
        self.page.on("pageerror", lambda error: self.faults.append(f"uncaught: {error}"))
        self.page.on("websocket", lambda websocket: self._asked_for(websocket.url))
        self.page.on("request", self._requested)

    def _heard(self, message: ConsoleMessage) -> None:
        wrong = message.type == "error" or "Content Security Policy" in message.text
        if wrong and not INSPECTORS_OWN.match(message.location["url"]):
            self.faults.append(f"{message.type}: {message.text} ({message.location['url'][:100]})")

    def _requested(self, request: Request) -> None:
        self._asked_for(request.url)
        # Frames within the page come from elsewhere, so all that they hold has to come with them.
        if not request.is_navigation_request() and request.frame.parent_frame and request.url[:5] != "data:":
            self.faults.append(f"asked for by {request.frame.url[:100]}: {request.url}")

    def _asked_for(self, url: str) -> None:
        host = urlsplit(url).hostname
        if host not in (None, *self.hosts) and not INSPECTORS_OWN.match(url):
            self.faults.append(f"asked for something elsewhere: {url}")

    def shoot(self, moment: str = "") -> None:
        """Takes a picture for people to look at."""
        ARTEFACTS.mkdir(exist_ok=True)
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{self.name} {moment}").strip("-")
        self.page.screenshot(animations="disabled", full_page=True, path=ARTEFACTS / f"{name}.png")


@contextmanager
def tab(
    browser: Browser,
    name: str,
    *,
    theme: str = "light",
    width: int = 1200,
    excused: str | None = None,
    hosts: tuple[str, ...] = LOOPBACK,
    **more: Any,
) -> Iterator[Tab]:
    """A tab for the block; at its end a picture is taken, and nothing but what is excused may have gone wrong in it."""
    context = browser.new_context(color_scheme=theme, viewport={"width": width, "height": 900}, **more)
    opened = Tab(context.new_page(), name, hosts=hosts)
    try:
        opened.watch()
        yield opened
        opened.shoot()
        faults = [fault for fault in opened.faults if not (excused and fault.startswith(excused))]
        assert faults == [], "\n".join(faults)
    except BaseException:
        opened.shoot("failed")
        print("\n".join(opened.faults))
        raise
    finally:
        context.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@contextmanager
def running(command: list[str], env: dict[str, str], ready: str) -> Iterator[None]:
    """Runs a program in a folder of its own from when it has printed `ready` to the end of the block."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        process = subprocess.Popen(
            command,
            cwd=home,
            env=node_env(Path(home)) | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        said: list[str] = []
        threading.Thread(target=lambda: said.extend(process.stdout), daemon=True).start()
        try:
            until(lambda: ready in "".join(said) or process.poll() is not None, f"{ready!r} from {command}")
            assert process.poll() is None, "".join(said)
            yield
        finally:
            kill_tree(process)


# The MCP Inspector


@dataclass
class Inspector:
    base: str
    token: str

    def show(self, page: Page, server: Server, tool: str, arguments: Json | None = None) -> FrameLocator:
        """Calls a tool as its user would, and gives the page that the Inspector shows for it."""
        query = {
            "serverUrl": server.url,
            "transport": "http",
            "autoConnect": self.token,
            "openApp": tool,
            "appArgs": base64.urlsafe_b64encode(json.dumps(arguments or {}).encode()).decode().rstrip("="),
            "autoOpen": self.token,
            "MCP_INSPECTOR_API_TOKEN": self.token,
        }
        page.goto(f"{self.base}/?{urlencode(query)}")
        page.locator("[data-app-status=ready]").wait_for()
        return page.frame_locator("iframe").frame_locator("iframe")

    def narrow(self, page: Page, width: int) -> None:
        """Gives the page no more room than a phone has; the Inspector itself never becomes that narrow."""
        page.add_style_tag(content=f"iframe {{ width: {width}px !important }}")


@contextmanager
def inspector() -> Iterator[Inspector]:
    port, token = free_port(), "a-token-for-the-tests"
    env = {
        "HOST": "127.0.0.1",
        "CLIENT_PORT": str(port),
        "MCP_SANDBOX_PORT": "0",
        "MCP_AUTO_OPEN_ENABLED": "false",
        "MCP_INSPECTOR_API_TOKEN": token,
        "MCP_INSPECTOR_SECRET_STORE": "memory",
    }
    with running([node(), str(INSPECTOR)], env, "Sandbox (MCP Apps):"):
        yield Inspector(f"http://127.0.0.1:{port}", token)


# sunpeak


@dataclass
class Sunpeak:
    base: str

    def show(self, page: Page, tool: str, **options: str) -> FrameLocator:
        """Calls a tool in a conversation that looks like one of ChatGPT's, and gives the page shown there."""
        query = {"tool": tool, "host": "chatgpt", "sidebar": "false", **options}
        page.goto(f"{self.base}/?{urlencode(query)}")
        page.get_by_role("button", name="Run").click()
        return page.frame_locator("iframe").frame_locator("iframe")


@contextmanager
def sunpeak(server: Server) -> Iterator[Sunpeak]:
    port = free_port()
    # CI keeps it from opening a browser; the overlay would be a part of every page.
    env = {"CI": "true", "NO_COLOR": "1", "SUNPEAK_DEV_OVERLAY": "false", "SUNPEAK_SANDBOX_PORT": str(free_port())}
    command = [node(), str(SUNPEAK), "inspect", "--server", server.url, "--port", str(port)]
    with running(command, env, f"http://127.0.0.1:{port}/"):
        yield Sunpeak(f"http://127.0.0.1:{port}")


# The minimal host


class Stage(ThreadingHTTPServer):
    """Serves what is in stubs/, and lets each minimal host answer for the rest, by the first part of the path."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), StageHandler)
        self.hosts: list[MinimalHost] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class StageHandler(BaseHTTPRequestHandler):
    server: Stage
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        _, number, name = self.path.split("/")
        host = self.server.hosts[int(number)]
        if name == "setup":
            self.answer("application/json", json.dumps(host.setup).encode())
        elif name == "page":
            self.answer("text/html", host.html.encode(), STRICT_CSP)
        else:
            self.answer("text/javascript" if name == "host.js" else "text/html", (STUBS / name).read_bytes())

    def do_POST(self) -> None:
        host = self.server.hosts[int(self.path.split("/")[1])]
        params = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer("application/json", json.dumps(host.call(params)).encode())

    def answer(self, kind: str, body: bytes, policy: str | None = None) -> None:
        self.send_response(200)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        if policy:
            self.send_header("Content-Security-Policy", policy)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def stage() -> Iterator[Stage]:
    stage = Stage()
    threading.Thread(target=stage.serve_forever, daemon=True).start()
    try:
        yield stage
    finally:
        stage.shutdown()
        stage.server_close()


@dataclass
class MinimalHost:
    """The host of stubs/: a sandboxed frame, the standard bridge or `window.openai` or both, and a strict policy."""

    stage: Stage
    page: Page
    server: Server
    tool: str
    arguments: Json
    bridge: bool = True
    openai: bool = False
    theme: str = "light"

    def open(self, **more: Any) -> Frame:
        """Calls the tool, and gives the frame with its page; `more` is what `window.openai` knows from before."""
        called = self.call({"name": self.tool, "arguments": self.arguments})["result"]
        self.setup = {"bridge": self.bridge, "theme": self.theme, "toolInput": self.arguments, "toolResult": called}
        self.html = self.read()
        if self.openai:
            known = {
                "theme": self.theme,
                "toolInput": self.arguments,
                "toolOutput": called.get("structuredContent"),
                "toolResponseMetadata": called.get("_meta"),
            }
            self.html = with_openai(self.html, known | more)
        self.stage.hosts.append(self)
        self.page.goto(f"{self.stage.url}/{len(self.stage.hosts) - 1}/host.html")
        self.frame = self.page.locator("iframe").element_handle().content_frame()
        self.frame.wait_for_url("**/page")
        return self.frame

    def read(self) -> str:
        """The tool's page as the server gives it."""
        wire = Wire(self.server.base)
        [tool] = [tool for tool in result(wire.legacy("tools/list"))["tools"] if tool["name"] == self.tool]
        [content] = result(wire.legacy("resources/read", {"uri": tool["_meta"]["ui"]["resourceUri"]}))["contents"]
        return content["text"]

    def call(self, params: Json) -> Json:
        """The server's answer to a call of a tool."""
        [answer] = messages(Wire(self.server.base).legacy("tools/call", params))
        return answer

    def set_theme(self, theme: str) -> None:
        if self.openai:
            self.frame.evaluate("theme => window.openai.setGlobals({ theme })", theme)
        if self.bridge:
            self.page.evaluate("theme => window.setTheme(theme)", theme)

    def heard(self, method: str) -> list[Json]:
        """What the page has asked or told by this method of the bridge."""
        return [message["params"] for message in self.page.evaluate("heard") if message["method"] == method]


def with_openai(html: str, known: Json) -> str:
    """A page whose host put `window.openai` into it."""
    globals = json.dumps(known).replace("</", "<\\/")
    stub = f"<script>{{ const GLOBALS = {globals};\n{(STUBS / 'openai.js').read_text()} }}</script>"
    return re.sub(r"<head[^>]*>", lambda head: head[0] + stub, html, count=1)
