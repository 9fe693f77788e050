"""MCP over HTTP by hand: requests of both eras, and answers read whether they come as JSON or as an event stream."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2

LEGACY = "2025-11-25"
MODERN = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "wire", "version": "1.0.0"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
INITIALIZE = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "wire", "version": "1.0.0"}}

Json = dict[str, Any]
EventStream = tuple[httpx2.Response, Iterator[httpx2.ServerSentEvent]]


def request(method: str, params: Any = None, id: int | str = 1) -> Json:
    return {"jsonrpc": "2.0", "id": id, "method": method} | ({} if params is None else {"params": params})


class Wire:
    """A plain HTTP client of one server; headers given as None are left out."""

    def __init__(self, base: str) -> None:
        self.base = base
        self._http = httpx2.Client(base_url=base, timeout=60, trust_env=False)

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str | None] | None = None
    ) -> httpx2.Response:
        defaults = {"Accept": "application/json, text/event-stream"}
        if body is not None:
            defaults["Content-Type"] = "application/json"
        chosen = {name: value for name, value in {**defaults, **(headers or {})}.items() if value is not None}
        prepared = self._http.build_request(method, path, content=body, headers=chosen)
        if chosen.get("Accept") is None:
            prepared.headers.pop("accept", None)
        return self._http.send(prepared)

    def post(self, body: object, path: str = "/mcp", /, **headers: str | None) -> httpx2.Response:
        """Posts JSON (or bytes as they are); a header's name is written with `_` for `-`."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.send("POST", path, content, {name.replace("_", "-"): value for name, value in headers.items()})

    def legacy(self, method: str, params: Any = None, **headers: str | None) -> httpx2.Response:
        return self.post(request(method, params), **{"MCP_Protocol_Version": LEGACY} | headers)

    def modern(self, method: str, params: Json | None = None, **headers: str | None) -> httpx2.Response:
        """A well-formed request of 2026-07-28, unless `headers` says otherwise."""
        params = params or {}
        mirrored: dict[str, str | None] = {"MCP_Protocol_Version": MODERN, "Mcp_Method": method}
        if "name" in params:
            mirrored["Mcp_Name"] = params["name"]
        return self.post(request(method, {"_meta": META, **params}), **mirrored | headers)

    @contextmanager
    def stream(self, method: str, body: Json | None = None, **headers: str) -> Iterator[EventStream]:
        """Opens an event stream on /mcp and gives the response with its events."""
        accept = {"Accept": "text/event-stream", **{name.replace("_", "-"): value for name, value in headers.items()}}
        with self._http.stream(method, "/mcp", json=body, headers=accept) as response:
            yield response, iter(httpx2.EventSource(response))


def messages(response: httpx2.Response) -> list[Json]:
    """All JSON-RPC messages in a body, be it JSON, a batch, or an event stream."""
    if response.headers["content-type"].startswith("text/event-stream"):
        events = httpx2.EventSource(response)
        return [json.loads(event.data) for event in events if event.event == "message" and event.data.strip()]
    body = response.json()
    return body if isinstance(body, list) else [body]


def result(response: httpx2.Response, id: int | str = 1) -> Json:
    """The result that answers request `id`."""
    assert response.status_code == 200, f"{response.status_code}: {response.text}"
    [answer] = [message for message in messages(response) if message.get("id") == id]
    assert "result" in answer, answer
    return answer["result"]


def error(response: httpx2.Response) -> Json:
    """The error in a body, which must be JSON-RPC whatever the status."""
    [answer] = messages(response)
    assert answer["jsonrpc"] == "2.0" and "result" not in answer, answer
    assert isinstance(answer["error"]["code"], int) and answer["error"]["message"], answer
    return answer["error"]


def text(result: Json) -> str:
    """The text of a tool's result."""
    return "".join(block["text"] for block in result["content"] if block["type"] == "text")
