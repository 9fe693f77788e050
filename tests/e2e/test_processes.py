"""What the server does to processes: programs it cancels, its own end, and connectors that hang."""

import json
import signal
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import anyio
import httpx2
import pytest

from clients import Case, Client, connect
from harness import PATIENCE, Server, Upstream, draining, eventually, running_with, until
from wire import INITIALIZE, META, MODERN, Wire, messages, request, result, text

HTTP = Case("python", "http", "2026-07-28")
CANCELLING = [
    HTTP,
    Case("python", "http", "legacy"),
    Case("python", "sse", "legacy"),
    Case("python", "stdio", "2026-07-28"),
]


@pytest.mark.parametrize("case", CANCELLING, ids=str)
async def test_two_hundred_cancelled_programs_leave_none_behind(
    case: Case, serve: Callable[..., Server], mark: str
) -> None:
    server = serve()
    async with connect(case, server) as client:
        for _ in range(10):
            async with anyio.create_task_group() as calls:
                for _ in range(20):
                    calls.start_soon(client.call, "kit_sleep", {"seconds": mark})
                await eventually(lambda: len(running_with(mark)) == 20, "twenty programs")
                calls.cancel_scope.cancel()
            await eventually(lambda: not running_with(mark), "the end of twenty programs")
        await eventually(lambda: not server.children(), "the server's reaping of its children")
        assert text(await client.call("hello")) == "hello"


@pytest.mark.parametrize(
    "case", [HTTP, Case("python", "stdio", "2026-07-28"), Case("python", "sse", "legacy")], ids=str
)
async def test_a_connector_that_hangs_delays_nobody_else(
    case: Case, serve: Callable[..., Server], upstream: Upstream
) -> None:
    server = serve()
    ended: list[str] = []

    async def hang(client: Client) -> None:
        await client.call("stuck_hang")
        ended.append("hung")

    async with connect(case, server) as client, anyio.create_task_group() as calls:
        for _ in range(10):
            calls.start_soon(hang, client)
        await eventually(lambda: upstream.hanging, "a call that hangs")
        for name, asked in [
            ("list", client.list_tools()),
            ("program", client.call("kit_echo", {"text": "hi"})),
            ("same upstream", client.call("api_get_item", {"id": "7"})),
        ]:
            await asked
            ended.append(name)
        async with connect(case, server) as newcomer:
            await newcomer.list_tools()
            ended.append("newcomer")
        assert ended == ["list", "program", "same upstream", "newcomer"]
        upstream.gate.set()
    assert ended[4:] == ["hung"] * 10


def takes_no_more(server: Server) -> bool:
    try:
        return Wire(server.base).legacy("ping").status_code == 503
    except httpx2.TransportError:
        return True


def call_in_flight(
    threads: ThreadPoolExecutor, server: Server, tool: str, arguments: dict[str, str]
) -> Future[httpx2.Response]:
    """Begins a call and returns once its program runs."""
    answer = threads.submit(Wire(server.base).modern, "tools/call", {"name": tool, "arguments": arguments})
    until(lambda: answer.done() or any(running_with(value) for value in arguments.values()), f"the program of {tool}")
    return answer


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT], ids=["sigterm", "sigint"])
def test_a_stopped_server_finishes_what_it_has_begun(
    serve: Callable[..., Server], tmp_path: Path, end: signal.Signals
) -> None:
    server, gate = serve(), tmp_path / "gate"
    with ThreadPoolExecutor() as threads:
        answer = call_in_flight(threads, server, "kit_wait_for_file", {"file": str(gate)})
        server.process.send_signal(end)
        until(lambda: takes_no_more(server), "the server to take no more")
        gate.touch()
        assert "opened" in text(result(answer.result()))
    assert server.process.wait(PATIENCE) == 0


def test_open_streams_do_not_hold_up_the_end(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve(*draining(tmp_path, 86_400))
    with Wire(server.base).stream("GET") as (_, events):
        assert next(events).event == "endpoint"
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE) == 0


def test_a_subscription_ends_gracefully_with_the_server(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve(*draining(tmp_path, 86_400))
    listen = request("subscriptions/listen", {"_meta": META, "notifications": {"toolsListChanged": True}}, id="sub-1")
    with Wire(server.base).stream("POST", listen, MCP_Protocol_Version=MODERN, Mcp_Method="subscriptions/listen") as (
        _,
        events,
    ):
        heard = (json.loads(event.data) for event in events if event.data.strip())
        assert next(heard)["method"] == "notifications/subscriptions/acknowledged"
        server.process.send_signal(signal.SIGTERM)
        [end] = heard
        assert end["id"] == "sub-1" and end["result"]["resultType"] == "complete"
        assert end["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == "sub-1"
        assert server.process.wait(PATIENCE) == 0


def test_a_call_that_outlasts_the_drain_is_told_so(
    serve: Callable[..., Server], upstream: Upstream, tmp_path: Path
) -> None:
    server = serve(*draining(tmp_path, 1))
    with ThreadPoolExecutor() as threads:
        answer = threads.submit(Wire(server.base).modern, "tools/call", {"name": "stuck_hang"})
        until(lambda: upstream.hanging, "the call to hang")
        server.process.send_signal(signal.SIGTERM)
        [message] = messages(answer.result())
        assert message["id"] == 1
        assert "error" in message or message["result"]["isError"]
    server.process.wait(PATIENCE)


def test_a_second_signal_ends_the_server_at_once_with_its_programs(
    serve: Callable[..., Server], tmp_path: Path, mark: str
) -> None:
    server = serve(*draining(tmp_path, 86_400))
    with ThreadPoolExecutor() as threads:
        answer = call_in_flight(threads, server, "kit_family", {"seconds": mark})
        server.process.send_signal(signal.SIGTERM)
        until(lambda: takes_no_more(server), "the server to take no more")
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(PATIENCE)  # The call would last a day, and so would the drain.
        answer.exception()
    until(lambda: not running_with(mark), "the end of the programs")


def test_a_client_that_leaves_takes_its_programs_along(server: Server, mark: str) -> None:
    wire = Wire(server.base)
    with wire.stream("GET") as (_, events):
        endpoint = next(events).data
        wire.post(request("initialize", INITIALIZE), endpoint)
        wire.post({"jsonrpc": "2.0", "method": "notifications/initialized"}, endpoint)
        wire.post(request("tools/call", {"name": "kit_family", "arguments": {"seconds": mark}}, id=2), endpoint)
        until(lambda: len(running_with(mark)) == 3, "the program and its children")
    until(lambda: not running_with(mark), "the end of the programs")
