"""What passes between callers and MCP servers while a call runs or nobody calls: progress, cancellation, news and logs.

Each test runs for a program and for an address, spoken to in both eras of the protocol.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx2
import pytest

import harness
from connectors import FIXTURE, call, connector, counters, program, tools
from harness import Server, until
from session import over_http, over_sse
from upstreams import listening
from wire import LEGACY, META, MODERN, Json, Wire, messages, request, result, text

WATCHED = "test://shaky/watched-resource"


@dataclass(frozen=True)
class Way:
    """How the gateway speaks to the server behind it."""

    transport: str
    era: str

    def __str__(self) -> str:
        return f"{self.transport}-{self.era}"


WAYS = [Way(transport, era) for transport in ("stdio", "http") for era in (LEGACY, MODERN)]


@pytest.fixture(params=WAYS, ids=str)
def way(request: pytest.FixtureRequest) -> Way:
    return request.param


@pytest.fixture
def server(way: Way, tmp_path: Path) -> Iterator[Server]:
    """A gateway with the fixture behind it as connector `shaky`."""
    with ExitStack() as running:
        adapter = program(protocol=way.era)
        if way.transport == "http":
            base, _ = running.enter_context(listening([FIXTURE, "http", "--faults"]))
            adapter = {"url": f"{base}/mcp", "allowPrivate": True, "protocol": way.era}
        server = running.enter_context(harness.serve(connector(tmp_path / "manifests", "shaky", adapter)))
        until(lambda: "shaky_echo" in tools(server), f"the tools: {server.log}")
        yield server


@contextmanager
def listener(server: Server, **wanted: Any) -> Iterator[list[Json]]:
    """A client of 2026-07-28 that listens; the notifications it hears."""
    heard: list[Json] = []
    listen = request("subscriptions/listen", {"_meta": META, "notifications": wanted}, id="listening")
    headers = {"MCP_Protocol_Version": MODERN, "Mcp_Method": "subscriptions/listen"}

    def read(events: Iterator[Any]) -> None:
        try:
            for event in events:
                if event.data.strip():
                    heard.append(json.loads(event.data))
        except (httpx2.HTTPError, RuntimeError):
            pass  # The stream ends with the test.

    with Wire(server.base).stream("POST", listen, **headers) as (_, events):
        threading.Thread(target=read, args=[events], daemon=True).start()
        until(lambda: any("acknowledged" in message.get("method", "") for message in heard), "the subscription")
        yield heard


def heard_of(heard: list[Json], method: str) -> list[Json]:
    return [message.get("params", {}) for message in heard if message.get("method") == f"notifications/{method}"]


# Progress


@pytest.mark.parametrize("token", ["my token", 7])
@pytest.mark.parametrize("connect", [over_http, over_sse])
def test_progress_comes_to_a_session_under_its_own_token(server: Server, connect: Any, token: str | int) -> None:
    with connect(server.url, capabilities={}) as session:
        answer = session.call("shaky_slow", {"ms": 30, "steps": 3}, _meta={"progressToken": token})
        assert text(answer.value) == "done in 3 steps"
        until(lambda: len(session.notifications("progress")) == 3, "three steps")
        steps = [(step["progressToken"], step["progress"], step["total"]) for step in session.notifications("progress")]
        assert steps == [(token, 1, 3), (token, 2, 3), (token, 3, 3)]


@pytest.mark.parametrize("token", ["my token", 7])
def test_progress_comes_to_a_modern_caller_under_its_own_token(server: Server, token: str | int) -> None:
    params = {"name": "shaky_slow", "arguments": {"ms": 30, "steps": 3}, "_meta": {**META, "progressToken": token}}
    response = Wire(server.base).modern("tools/call", params)
    steps = [message["params"] for message in messages(response) if message.get("method") == "notifications/progress"]
    assert [(step["progressToken"], step["progress"]) for step in steps] == [(token, 1), (token, 2), (token, 3)]
    assert text(result(response)) == "done in 3 steps"


def test_callers_with_the_same_token_get_each_their_own_progress(server: Server) -> None:
    with over_http(server.url, capabilities={}) as one, over_http(server.url, capabilities={}) as other:
        calls = [
            session.begin(
                "tools/call",
                {
                    "name": "shaky_slow",
                    "arguments": {"ms": 200, "steps": steps},
                    "_meta": {"progressToken": 1},
                },
            )[1]
            for session, steps in [(one, 2), (other, 5)]
        ]
        for answer in calls:
            answer.result(60)
        for session, steps in [(one, 2), (other, 5)]:
            until(lambda: len(session.notifications("progress")) == steps, f"{steps} steps")
            assert {step["total"] for step in session.notifications("progress")} == {steps}


# Cancellation


def arrived(server: Server, before: int) -> None:
    """Waits until the server behind has one more call than `before`, our own looks not counted."""
    looks = iter(range(1, 1_000_000))
    until(lambda: counters(server, "shaky")["calls"] >= before + 1 + next(looks), "the call to arrive")


@pytest.mark.parametrize("connect", [over_http, over_sse])
def test_a_session_that_cancels_its_call_cancels_it_at_the_server_behind(server: Server, connect: Any) -> None:
    before = counters(server, "shaky")
    with connect(server.url, capabilities={}) as session:
        id, _ = session.begin("tools/call", {"name": "shaky_hang", "arguments": {}})
        arrived(server, before["calls"])
        session.notify("notifications/cancelled", {"requestId": id, "reason": "no longer wanted"})
        until(lambda: counters(server, "shaky")["cancelled"] == before["cancelled"] + 1, "the cancellation")
        assert text(session.call("shaky_echo", {"message": "next"}).value) == "next"


def test_a_modern_caller_that_leaves_cancels_its_call_at_the_server_behind(server: Server) -> None:
    before = counters(server, "shaky")
    body = request("tools/call", {"name": "shaky_hang", "arguments": {}, "_meta": META})
    headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": "shaky_hang"}
    accept = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
    caller = HTTPConnection(server.base.removeprefix("http://"))
    caller.request("POST", "/mcp", json.dumps(body), headers | accept)
    arrived(server, before["calls"])
    caller.close()
    until(lambda: counters(server, "shaky")["cancelled"] == before["cancelled"] + 1, "the cancellation")


# News


def test_a_list_that_changes_during_a_call_is_announced_in_both_eras_and_the_call_goes_on(server: Server) -> None:
    with over_http(server.url, capabilities={}) as session, listener(server, toolsListChanged=True) as heard:
        until(lambda: session.listed("tools"), "the session's tools")
        call_under_way = {"ms": 60_000, "steps": 600}
        id, answer = session.begin(
            "tools/call", {"name": "shaky_slow", "arguments": call_under_way, "_meta": {"progressToken": "t"}}
        )
        until(lambda: session.notifications("progress"), "the call's first step")
        call(server, "shaky_add_tool", {"name": "fresh"})
        until(lambda: session.notifications("tools/list_changed"), "the news over the session")
        until(lambda: heard_of(heard, "tools/list_changed"), "the news over the subscription")
        # Params are an object or absent; strict clients drop what has `null` there.
        assert None not in [message.get("params", {}) for message in [*session.heard, *heard]]
        assert "shaky_fresh" in tools(server)
        assert any(json.loads(tool)["name"] == "shaky_fresh" for tool in session.listed("tools"))
        assert text(call(server, "shaky_fresh")) == "fresh was called"
        steps = len(session.notifications("progress"))
        until(lambda: len(session.notifications("progress")) > steps or answer.done(), "the call's next step")
        session.notify("notifications/cancelled", {"requestId": id})


def test_an_update_of_a_resource_reaches_its_subscribers_of_both_eras_and_nobody_else(server: Server) -> None:
    with (
        over_http(server.url, capabilities={}) as session,
        over_http(server.url, capabilities={}) as other,
        listener(server, resourceSubscriptions=[WATCHED]) as heard,
    ):
        assert session.ask("resources/subscribe", {"uri": WATCHED}).value == {}
        call(server, "shaky_update_resource")
        until(lambda: session.notifications("resources/updated"), "the news over the session")
        until(lambda: heard_of(heard, "resources/updated"), "the news over the subscription")
        assert {update["uri"] for update in session.notifications("resources/updated")} == {WATCHED}
        assert {update["uri"] for update in heard_of(heard, "resources/updated")} == {WATCHED}
        assert session.ask("resources/unsubscribe", {"uri": WATCHED}).value == {}
        count = len(session.notifications("resources/updated"))
        call(server, "shaky_update_resource")
        until(lambda: len(heard_of(heard, "resources/updated")) >= 2, "the second update over the subscription")
        assert len(session.notifications("resources/updated")) == count
        assert other.notifications("resources/updated") == []


# Logs


def test_logs_reach_the_session_that_asked_for_their_level_and_no_other(server: Server) -> None:
    with over_http(server.url, capabilities={}) as session, over_http(server.url, capabilities={}) as other:
        assert session.ask("logging/setLevel", {"level": "warning"}).value == {}
        session.call("shaky_log", {"level": "info", "text": "too quiet"})
        session.call("shaky_log", {"level": "error", "text": "loud enough"})
        until(lambda: session.notifications("message"), "the log")
        assert [(said["level"], said["data"]) for said in session.notifications("message")] == [
            ("error", "loud enough")
        ]
        assert "loud enough" not in [said["data"] for said in other.notifications("message")]


# A server of the handshake era says by the session alone whom it speaks to.
@pytest.mark.parametrize("way", [way for way in WAYS if way.era == MODERN], ids=str)
def test_logs_come_to_a_modern_caller_with_the_answer_it_asked_them_for(server: Server) -> None:
    meta = {**META, "io.modelcontextprotocol/logLevel": "warning"}
    params = {"name": "shaky_log", "arguments": {"level": "error", "text": "loud enough"}, "_meta": meta}
    heard = heard_of(messages(Wire(server.base).modern("tools/call", params)), "message")
    assert [(said["level"], said["data"]) for said in heard] == [("error", "loud enough")]


# Questions


def test_each_session_is_asked_what_its_own_calls_need_and_nothing_else(server: Server) -> None:
    with over_http(server.url) as one, over_http(server.url) as other:
        prompts = [(one, "from one"), (other, "from the other")]
        calls = [
            session.begin("tools/call", {"name": "shaky_test_sampling", "arguments": {"prompt": prompt}})[1]
            for session, prompt in prompts
        ]
        assert all("LLM response: sampled" in ended.result(60) for ended in calls)
        for session, prompt in prompts:
            [asked] = [ask for ask in session.asked if ask["method"] == "sampling/createMessage"]
            assert asked["params"]["messages"][0]["content"]["text"] == prompt


def test_a_user_is_asked_through_the_gateway_and_the_answer_arrives(server: Server) -> None:
    with over_http(server.url) as session:
        answer = session.call("shaky_test_elicitation", {"message": "who are you?"})
        assert text(answer.value).startswith("User response: action=accept")
        [asked] = [ask for ask in session.asked if ask["method"] == "elicitation/create"]
        assert asked["params"]["message"] == "who are you?"


def test_a_caller_that_cannot_be_asked_gets_a_failure_that_says_so(server: Server) -> None:
    with over_http(server.url, capabilities={}) as session:
        answer = session.call("shaky_test_sampling", {"prompt": "anybody?"})
        assert answer.kind == "error" or answer.value.get("isError") is True
        assert "sampling" in answer.raw
