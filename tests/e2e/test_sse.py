"""The guide's checks with curl: the legacy SSE transport, its headers and its refusals, and CORS on every route."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from harness import Server, until
from wire import INITIALIZE, Wire, error, request, text

ENDPOINT = re.compile(r"(?P<prefix>.*)/mcp/messages\?sessionId=[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
INSPECTOR = "http://localhost:6274"


@dataclass
class Answer:
    """What `curl -i` printed."""

    status: int
    headers: dict[str, str]
    body: str

    @property
    def error(self) -> dict[str, Any]:
        message = json.loads(self.body)
        assert message["jsonrpc"] == "2.0", message
        return message["error"]


def head(lines: Iterator[str]) -> tuple[int, dict[str, str]]:
    """Reads a status line and headers, past any `100 Continue`."""
    status = int(next(lines).split()[1])
    headers: dict[str, str] = {}
    for line in lines:
        if not line.strip():
            break
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return head(lines) if status == 100 else (status, headers)


def curl(*arguments: str, stdin: str | None = None) -> Answer:
    done = subprocess.run(["curl", "-sSi", "-m", "60", *arguments], input=stdin, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = iter(done.stdout.splitlines())
    status, headers = head(lines)
    return Answer(status, headers, "\n".join(lines))


def post(url: str, message: object, *arguments: str) -> Answer:
    body = message if isinstance(message, str) else json.dumps(message)
    return curl(url, "-H", "Content-Type: application/json", "--data-binary", "@-", *arguments, stdin=body)


class EventStream:
    """A running `curl -N` of an event stream."""

    def __init__(self, server: Server, lines: Iterator[str]) -> None:
        self.status, self.headers = head(lines)
        self._lines = lines
        self._base = server.base
        self.first = self.next_event()

    @property
    def messages_url(self) -> str:
        return self._base + self.first[1]

    def next_event(self) -> tuple[str, str]:
        """The next event's name and data, comments skipped."""
        name, data = "message", ""
        for line in self._lines:
            field, _, value = line.rstrip("\n").partition(":")
            if field == "event":
                name = value.strip()
            elif field == "data":
                data += value.removeprefix(" ")
            elif not line.strip() and data:
                return name, data
        raise AssertionError("the stream ended")

    def result(self, id: int) -> dict[str, Any]:
        """The result of request `id`, past any notification before it."""
        while (message := json.loads(self.next_event()[1])).get("id") != id:
            pass
        return message["result"]


@contextmanager
def open_stream(server: Server, *arguments: str) -> Iterator[EventStream]:
    command = ["curl", "-sSiN", server.url, "-H", "Accept: text/event-stream", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield EventStream(server, iter(process.stdout))
        finally:
            process.kill()


def test_the_stream_opens_with_the_guides_headers_and_its_endpoint(server: Server) -> None:
    with open_stream(server) as stream:
        assert stream.status == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.headers["cache-control"] == "no-cache"
        assert stream.headers["connection"].lower() == "keep-alive"
        assert stream.headers["x-accel-buffering"] == "no"
        assert stream.headers["access-control-allow-origin"]
        event, data = stream.first
        assert event == "endpoint"
        assert ENDPOINT.fullmatch(data)["prefix"] == ""


def test_the_endpoint_keeps_the_prefix_of_the_public_address(serve: Callable[..., Server]) -> None:
    server = serve("--public-url", "https://gateway.example/tools")
    with open_stream(server, "-H", "Host: gateway.example") as stream:
        assert ENDPOINT.fullmatch(stream.first[1])["prefix"] == "/tools"


def test_posted_messages_are_accepted_and_answered_on_the_stream(server: Server) -> None:
    with open_stream(server) as stream:
        accepted = post(stream.messages_url, request("initialize", INITIALIZE, id=1))
        assert accepted.status == 202
        assert accepted.headers["access-control-allow-origin"]
        assert stream.result(1)["serverInfo"]["name"] == "switchboard"
        assert post(stream.messages_url, {"jsonrpc": "2.0", "method": "notifications/initialized"}).status == 202
        post(stream.messages_url, request("tools/list", id=2))
        for tool in stream.result(2)["tools"]:
            assert tool["securitySchemes"] == tool["_meta"]["securitySchemes"]
        post(stream.messages_url, request("tools/call", {"name": "kit_echo", "arguments": {"text": "hi"}}, id=3))
        assert text(stream.result(3)) == "hi"


def test_every_stream_is_its_own_session(server: Server) -> None:
    with open_stream(server) as one, open_stream(server) as other:
        assert one.messages_url != other.messages_url


def test_an_unknown_session_is_not_found(server: Server) -> None:
    answer = post(f"{server.url}/messages?sessionId=00000000-0000-4000-8000-000000000000", request("ping"))
    assert answer.status == 404
    assert answer.error["message"]


def test_a_session_is_gone_with_its_stream(server: Server) -> None:
    with open_stream(server) as stream:
        url = stream.messages_url
        assert post(url, request("ping")).status == 202
    until(lambda: post(url, request("ping")).status == 404, "the session's end")


@pytest.mark.parametrize("other", [["-H", "Authorization: Bearer mallory"], []], ids=["another", "nobody"])
def test_a_session_is_unknown_to_anyone_else(server: Server, other: list[str]) -> None:
    with open_stream(server, "-H", "Authorization: Bearer alice") as stream:
        assert post(stream.messages_url, request("ping"), *other).status == 404
        assert post(stream.messages_url, request("ping"), "-H", "Authorization: Bearer alice").status == 202


def test_messages_without_a_session_are_refused(server: Server) -> None:
    answer = post(f"{server.url}/messages", request("ping"))
    assert answer.status in (400, 404)
    assert answer.error["message"]


def test_a_message_that_is_no_json_is_a_parse_error(server: Server) -> None:
    with open_stream(server) as stream:
        answer = post(stream.messages_url, "{nonsense")
        assert (answer.status, answer.error["code"]) == (400, -32700)


def test_a_message_too_long_is_refused(server: Server) -> None:
    with open_stream(server) as stream:
        answer = post(stream.messages_url, '"' + "x" * 2**25 + '"')
        assert answer.status == 413
        assert answer.error["message"]


def test_a_client_that_posts_but_does_not_read_is_told_to_wait(server: Server) -> None:
    with open_stream(server) as stream:  # curl blocks once nobody reads what it prints
        wire = Wire(server.base)
        wire.post(request("initialize", INITIALIZE, id=0), stream.first[1])
        wire.post({"jsonrpc": "2.0", "method": "notifications/initialized"}, stream.first[1])
        answers = (wire.post(request("tools/list", id=id), stream.first[1]) for id in range(1, 5000))
        refused = next((answer for answer in answers if answer.status_code != 202), None)
        assert refused is not None, "the server kept everything"
        assert refused.status_code == 503 and int(refused.headers["retry-after"]) > 0
        assert error(refused)["message"]
        assert wire.legacy("ping").status_code == 200  # Nobody else is affected.


@pytest.mark.parametrize("path", ["/mcp", "/mcp/messages?sessionId=0"])
def test_a_browser_may_ask_first(server: Server, path: str) -> None:
    asked = "authorization, content-type, mcp-protocol-version, mcp-session-id, mcp-method, mcp-name, last-event-id"
    answer = curl(
        *("-X", "OPTIONS", server.base + path, "-H", f"Origin: {INSPECTOR}"),
        *("-H", "Access-Control-Request-Method: POST", "-H", f"Access-Control-Request-Headers: {asked}"),
    )
    assert answer.status in (200, 204)
    assert answer.headers["access-control-allow-origin"] in ("*", INSPECTOR)
    assert "POST" in answer.headers["access-control-allow-methods"]
    allowed = answer.headers["access-control-allow-headers"].lower()
    # A `*` does not cover Authorization.
    assert all(name in allowed for name in (["authorization"] if "*" in allowed else asked.split(", ")))


def test_a_browser_may_read_answers_errors_and_the_session(server: Server) -> None:
    opened = post(server.url, request("initialize", INITIALIZE), "-H", f"Origin: {INSPECTOR}")
    exposed = opened.headers["access-control-expose-headers"].lower()
    assert "mcp-session-id" in exposed and "www-authenticate" in exposed
    for answer in (opened, post(server.url, "{"), curl(f"{server.base}/nonsense", "-H", f"Origin: {INSPECTOR}")):
        assert answer.headers["access-control-allow-origin"] in ("*", INSPECTOR)
