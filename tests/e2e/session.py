"""A client of the handshake era by hand: it keeps what it hears as text, and answers what servers ask back.

Its answers are always the same, so two sessions that do the same things at two servers can be compared.
"""

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from itertools import count
from json.decoder import scanstring
from pathlib import Path
from socket import SHUT_RDWR
from typing import Any
from urllib.parse import urljoin

import httpx2

from harness import PATIENCE, kill_tree, until
from wire import LEGACY, Json, request

CAPABILITIES = {"sampling": {}, "elicitation": {"form": {}, "url": {}}, "roots": {"listChanged": True}}
SAMPLED = {
    "role": "assistant",
    "content": {"type": "text", "text": "sampled"},
    "model": "none",
    "stopReason": "endTurn",
}


def member(text: str, name: str) -> str | None:
    """The text of one member of a JSON object, exactly as it stands there."""
    decoder = json.JSONDecoder()

    def past_space(at: int) -> int:
        while text[at] in " \t\r\n":
            at += 1
        return at

    at = past_space(0)
    while text[at] in "{,":
        key, at = scanstring(text, past_space(at + 1) + 1)
        start = past_space(text.index(":", at) + 1)
        _, end = decoder.raw_decode(text, start)
        if key == name:
            return text[start:end]
        at = past_space(end)
    return None


class Answer:
    """The answer to a request: `kind` is `result` or `error`, `raw` its text as it came."""

    def __init__(self, text: str) -> None:
        result = member(text, "result")
        self.kind = "error" if result is None else "result"
        self.raw = result if result is not None else member(text, "error") or text

    @property
    def value(self) -> Any:
        return json.loads(self.raw)

    def __repr__(self) -> str:
        return f"{self.kind} {self.raw}"


def accepted(schema: Json) -> Json:
    """What a form is filled in with: its defaults, else something of the right type."""
    some = {"string": "some text", "integer": 7, "number": 7, "boolean": True, "array": []}
    return {
        name: property.get("default", property.get("enum", [some[property["type"]]])[0])
        for name, property in schema.get("properties", {}).items()
    }


class Session:
    """A connected client; `send` is all that differs between the transports."""

    def __init__(self, roots: Sequence[Path] = ()) -> None:
        self.roots = [{"uri": root.as_uri(), "name": "a root"} for root in roots]
        self.heard: list[Json] = []
        self.asked: list[Json] = []
        self.hello: Json = {}
        self._ids = count(1)
        self._waiting: dict[Any, Future[str]] = {}

    def send(self, message: Json) -> None:
        raise NotImplementedError

    def initialize(self, capabilities: Json) -> None:
        params = {
            "protocolVersion": LEGACY,
            "capabilities": capabilities,
            "clientInfo": {"name": "session", "version": "1"},
        }
        self.hello = self.ask("initialize", params).value
        self.notify("notifications/initialized")

    def begin(self, method: str, params: Json | None = None) -> tuple[int, Future[str]]:
        """Sends a request; the future holds the text of the message that answers it."""
        id, answer = next(self._ids), Future()
        self._waiting[id] = answer
        self.send(request(method, params, id))
        return id, answer

    def ask(self, method: str, params: Json | None = None) -> Answer:
        return Answer(self.begin(method, params)[1].result(PATIENCE))

    def call(self, tool: str, arguments: Json | None = None, **more: Any) -> Answer:
        return self.ask("tools/call", {"name": tool, "arguments": arguments or {}, **more})

    def listed(self, what: str) -> list[str]:
        """Every item of a paginated list, as text."""
        items: list[str] = []
        method = {"resourceTemplates": "resources/templates/list"}.get(what, f"{what}/list")
        cursor: Json = {}
        while True:
            answer = self.ask(method, cursor)
            assert answer.kind == "result", answer
            items += elements(member(answer.raw, what) or "[]")
            if not (after := answer.value.get("nextCursor")):
                return items
            cursor = {"cursor": after}

    def notify(self, method: str, params: Json | None = None) -> None:
        self.send({"jsonrpc": "2.0", "method": method} | ({} if params is None else {"params": params}))

    def notifications(self, method: str) -> list[Json]:
        """The params of the notifications of one kind."""
        return [heard.get("params", {}) for heard in self.heard if heard["method"] == f"notifications/{method}"]

    def receive(self, text: str) -> None:
        message = json.loads(text)
        if "method" not in message:
            if waiting := self._waiting.pop(message.get("id"), None):
                waiting.set_result(text)
        elif "id" in message:
            self.asked.append(message)
            self.send({"jsonrpc": "2.0", "id": message["id"], "result": self.answer(message)})
        else:
            self.heard.append(message)

    def answer(self, message: Json) -> Json:
        match message["method"]:
            case "sampling/createMessage":
                return SAMPLED
            case "elicitation/create":
                content = accepted(message["params"].get("requestedSchema", {}))
                return {"action": "accept"} | ({"content": content} if content else {})
            case "roots/list":
                return {"roots": self.roots}
            case _:
                return {}

    def fail(self, why: Exception, ids: Sequence[Any] | None = None) -> None:
        """Ends the waits named, or all of them."""
        for id in list(self._waiting) if ids is None else ids:
            if waiting := self._waiting.pop(id, None):
                waiting.set_exception(why)


def elements(text: str) -> list[str]:
    """The texts of a JSON array's elements, exactly as they stand there."""
    decoder, found, at = json.JSONDecoder(), [], text.index("[") + 1
    while True:
        while text[at] in " \t\r\n,":
            at += 1
        if text[at] == "]":
            return found
        _, end = decoder.raw_decode(text, at)
        found.append(text[at:end])
        at = end


class OverStdio(Session):
    def __init__(self, process: subprocess.Popen, roots: Sequence[Path]) -> None:
        super().__init__(roots)
        self.process = process
        self._writing = threading.Lock()
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, message: Json) -> None:
        with self._writing:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.receive(line.decode())
        self.fail(ConnectionError("the server's output ended"))


@contextmanager
def over_stdio(
    command: Sequence[str],
    env: Mapping[str, str] | None = None,
    *,
    capabilities: Json = CAPABILITIES,
    roots: Sequence[Path] = (),
) -> Iterator[Session]:
    """Runs a server, with PATH and `env` for its whole environment, and connects to it."""
    # Sorted, so that a program that shows its environment shows it the same way however it was started.
    variables = dict(sorted({"PATH": os.environ["PATH"], **(env or {})}.items()))
    process = subprocess.Popen(
        command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        session = OverStdio(process, roots)
        session.initialize(capabilities)
        yield session
    finally:
        kill_tree(process)


class OverHttp(Session):
    """Streamable HTTP with a session, and its stream for what the server says unasked."""

    def __init__(self, url: str, roots: Sequence[Path]) -> None:
        super().__init__(roots)
        self.url = url
        self.standing: httpx2.Response | None = None
        self.headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": LEGACY}
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=8)
        self.http = httpx2.Client(timeout=httpx2.Timeout(10, read=None), limits=limits, trust_env=False)

    def initialize(self, capabilities: Json) -> None:
        super().initialize(capabilities)
        threading.Thread(target=self._listen, daemon=True).start()

    def send(self, message: Json) -> None:
        if "id" in message and "method" in message:
            threading.Thread(target=self._post, args=[message], daemon=True).start()
        else:
            self._post(message)

    def _post(self, message: Json) -> None:
        ids = [message["id"]] if "id" in message and "method" in message else []
        try:
            with self.http.stream("POST", self.url, json=message, headers=self.headers) as response:
                if session := response.headers.get("mcp-session-id"):
                    self.headers["Mcp-Session-Id"] = session
                if response.headers.get("content-type", "").startswith("text/event-stream"):
                    for event in httpx2.EventSource(response):
                        self.hear(event.event, event.data)
                elif (body := response.read().decode()) and ids:
                    self.receive(body)
            self.fail(ConnectionError(f"status {response.status_code} and no answer"), ids)
        except httpx2.TransportError as error:
            self.fail(error, ids)

    def _listen(self) -> None:
        try:
            with self.http.stream("GET", self.url, headers=self.headers | {"Accept": "text/event-stream"}) as response:
                if response.status_code == 200:
                    self._follow(response)
        except (httpx2.TransportError, RuntimeError):
            pass  # The session has ended, or the test has.

    def _follow(self, response: httpx2.Response) -> None:
        self.standing = response
        for event in httpx2.EventSource(response):
            self.hear(event.event, event.data)

    def hear(self, event: str, data: str) -> None:
        if event == "message" and data.strip():
            self.receive(data)

    def close(self) -> None:
        """Leaves, as a client's end would: the standing stream's connection is cut, even while a thread reads it."""
        with suppress(OSError, httpx2.TransportError):
            if "Mcp-Session-Id" in self.headers:
                self.http.delete(self.url, headers=self.headers)
        with suppress(OSError):
            if self.standing:
                self.standing.extensions["network_stream"].get_extra_info("socket").shutdown(SHUT_RDWR)
        self.http.close()


class OverSse(OverHttp):
    """The older transport: one stream of events, and an address to post to that its first event names."""

    def initialize(self, capabilities: Json) -> None:
        self.post_to = ""
        threading.Thread(target=self._listen, daemon=True).start()
        until(lambda: self.post_to, "the stream's endpoint")
        Session.initialize(self, capabilities)

    def _post(self, message: Json) -> None:
        try:
            self.http.post(self.post_to, json=message)
        except httpx2.TransportError as error:
            self.fail(error, [message["id"]] if "id" in message else [])

    def hear(self, event: str, data: str) -> None:
        if event == "endpoint":
            self.post_to = urljoin(self.url, data)
        else:
            super().hear(event, data)

    def _listen(self) -> None:
        try:
            with self.http.stream("GET", self.url, headers={"Accept": "text/event-stream"}) as response:
                self._follow(response)
        except (httpx2.TransportError, RuntimeError):
            pass  # The test has ended.
        self.fail(ConnectionError("the stream ended"))


def _over(kind: type[OverHttp]) -> Callable[..., Any]:
    @contextmanager
    def connect(
        url: str,
        *,
        capabilities: Json = CAPABILITIES,
        roots: Sequence[Path] = (),
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[Session]:
        session = kind(url, roots)
        session.http.headers.update(headers or {})
        try:
            session.initialize(capabilities)
            yield session
        finally:
            session.close()

    return connect


over_http = _over(OverHttp)
over_sse = _over(OverSse)
