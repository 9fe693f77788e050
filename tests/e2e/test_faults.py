"""An MCP server behind the gateway breaks: its callers are told at once, the next call works, others notice nothing."""

import json
import signal
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import psutil
import pytest

from connectors import (
    FIXTURE,
    answers,
    beside_a_calm_one,
    call,
    connector,
    counters,
    echo,
    failure,
    marked,
    program,
    seen,
    tools,
)
from harness import HERE, Server, serve, until
from test_search import Reply, Seen, running
from upstreams import listening
from wire import INITIALIZE, LEGACY, MODERN, Json, Wire, request, text

# A call that ends before this has not ended by its deadline.
NEVER = {"timeouts": {"requestMs": 3_600_000}}
CYCLES = 500
ODDITIES = str(HERE / "oddities.py")


def in_the_background(work: Callable[[], object]) -> Future:
    """Runs something that takes its time; the future ends with it, whichever way."""
    ended: Future = Future()

    def run() -> None:
        try:
            ended.set_result(work())
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            ended.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return ended


def hanging_call(server: Server, count: int = 1) -> list[Future]:
    """Calls that never end of themselves, once their server has them all."""
    before = counters(server, "shaky")["calls"]
    calls = [in_the_background(lambda: failure(server, "shaky_hang")) for _ in range(count)]
    looks = iter(range(1, 1_000_000))
    until(lambda: counters(server, "shaky")["calls"] >= before + count + next(looks), "the calls to hang")
    return calls


# Killed


def test_a_killed_program_ends_its_calls_at_once_and_the_next_call_works(tmp_path: Path, mark: str) -> None:
    with beside_a_calm_one(tmp_path, program(env={"MARK": mark}), **NEVER) as server:
        first = seen(server, "shaky")["pid"]
        calls = hanging_call(server, 3)
        psutil.Process(first).kill()
        for ended in calls:
            assert ended.result(60)
        echo(server, "shaky")
        second = seen(server, "shaky")["pid"]
        assert second != first
        until(lambda: [process.pid for process in marked(mark)] == [second], "one process, the new one")
    until(lambda: not marked(mark), "no process after the gateway's end")


def test_a_program_killed_by_its_very_first_call_is_there_for_the_next(tmp_path: Path) -> None:
    with beside_a_calm_one(tmp_path, program(), **NEVER) as server:
        assert failure(server, "shaky_crash")
        echo(server, "shaky")


def test_a_program_that_crashes_says_why_with_its_last_words(tmp_path: Path) -> None:
    with beside_a_calm_one(tmp_path, program(), **NEVER) as server:
        assert "crashing on purpose" in failure(server, "shaky_crash")


@pytest.mark.timeout(1200)
def test_five_hundred_crashes_leave_nothing_behind(tmp_path: Path, mark: str) -> None:
    with beside_a_calm_one(tmp_path, program(env={"MARK": mark}), **NEVER) as server:

        def cycles(count: int) -> None:
            for number in range(count):
                failure(server, "shaky_crash")
                if number % 50 == 0:
                    psutil.Process(seen(server, "shaky")["pid"]).send_signal(signal.SIGKILL)
                echo(server, "shaky")

        gateway = psutil.Process(server.process.pid)
        echo(server, "shaky")

        def size() -> tuple[int, int, int]:
            return gateway.num_fds(), len(server.children()), len(marked(mark))

        cycles(20)  # What is kept for good is there after these.
        descriptors, children, programs = size()
        assert (children, programs) == (2, 1)
        cycles(CYCLES)
        kept = (descriptors, children, programs)
        until(lambda: all(now <= then for now, then in zip(size(), kept, strict=True)), f"no more than {kept}")


# Hung


def test_a_hung_call_ends_at_its_deadline_and_its_server_is_told(tmp_path: Path) -> None:
    with beside_a_calm_one(tmp_path, program(), timeouts={"requestMs": 5000}) as server:
        before = counters(server, "shaky")["cancelled"]
        calls = [in_the_background(lambda: failure(server, "shaky_hang")) for _ in range(8)]
        for ended in calls:
            assert ended.result(60)
        until(lambda: counters(server, "shaky")["cancelled"] == before + 8, "the server to hear of the cancellations")
        echo(server, "shaky")


def test_calls_that_hang_hold_up_no_other_call_of_their_connector(tmp_path: Path) -> None:
    with beside_a_calm_one(tmp_path, program(), **NEVER) as server:
        calls = hanging_call(server, 20)
        for _ in range(20):
            echo(server, "shaky")
        assert not any(ended.done() for ended in calls)


def test_a_program_that_stops_reading_ends_its_calls_at_their_deadline(tmp_path: Path) -> None:
    with beside_a_calm_one(tmp_path, program(), timeouts={"requestMs": 5000}) as server:
        frozen = psutil.Process(seen(server, "shaky")["pid"])
        frozen.suspend()
        # Far more than a pipe holds.
        calls = [in_the_background(lambda: failure(server, "shaky_echo", {"message": "x" * 100_000})) for _ in range(8)]
        for ended in calls:
            assert ended.result(60)
        frozen.resume()
        until(lambda: answers(server, "shaky"), "the server to be back")


# Talking nonsense


def test_lines_that_are_no_json_are_passed_over(tmp_path: Path) -> None:
    with beside_a_calm_one(tmp_path, program("--garbage")) as server:
        for _ in range(10):
            echo(server, "shaky")


@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_a_line_of_twenty_megabytes_costs_its_own_call_at_most(tmp_path: Path, transport: str) -> None:
    with listening([FIXTURE, "http", "--faults"]) as (base, _):
        adapter = program() if transport == "stdio" else {"url": f"{base}/mcp", "allowPrivate": True}
        with beside_a_calm_one(tmp_path, adapter, **NEVER) as server:
            echo(server, "shaky")
            waiting = hanging_call(server)
            message = failure(server, "shaky_long_line", {"megabytes": 20})
            assert len(message) < 10_000
            echo(server, "shaky")
            # It is another call's line: the connection, and what waits on it, need not end for it.
            assert not waiting[0].done()


def test_a_result_of_a_megabyte_arrives_whole(tmp_path: Path) -> None:
    with beside_a_calm_one(tmp_path, program()) as server:
        assert text(call(server, "shaky_big", {"bytes": 1_000_000})) == "x" * 1_000_000


def test_a_flood_of_logs_and_changes_holds_up_nobody(tmp_path: Path) -> None:
    with beside_a_calm_one(tmp_path, program()) as server:
        call(server, "shaky_flood", {"count": 5000})
        echo(server, "shaky")


def test_a_giant_list_is_bounded_or_whole_and_holds_up_nobody(tmp_path: Path) -> None:
    with beside_a_calm_one(tmp_path, program()) as server:
        call(server, "shaky_many_tools", {"count": 2000})
        until(lambda: "shaky_bulk_2000" in tools(server), "two thousand tools")
        assert text(call(server, "shaky_bulk_0042")) == "bulk_0042 was called"


def test_a_session_that_does_not_read_holds_up_no_other_and_fills_no_memory(tmp_path: Path) -> None:
    with beside_a_calm_one(tmp_path, {"program": sys.executable, "args": [ODDITIES, "--flood"]}, up=False) as server:
        until(lambda: "shaky_numbers" in tools(server), "the tools")
        wire = Wire(server.base)
        opened = wire.post(request("initialize", INITIALIZE))
        mine = {"Mcp-Session-Id": opened.headers["mcp-session-id"], "MCP-Protocol-Version": LEGACY}
        wire.send("POST", "/mcp", b'{"jsonrpc":"2.0","method":"notifications/initialized"}', mine)
        host = server.base.removeprefix("http://")
        deaf = socket.create_connection(host.split(":"))
        headers = "".join(
            f"{name}: {value}\r\n" for name, value in {"Host": host, "Accept": "text/event-stream", **mine}.items()
        )
        deaf.sendall(f"GET /mcp HTTP/1.1\r\n{headers}\r\n".encode())
        memory = psutil.Process(server.process.pid).memory_info
        before = memory().rss
        body = json.dumps(request("tools/call", {"name": "shaky_numbers"})).encode()
        for _ in range(10):
            # Each lets the flood run to this session while it is under way.
            in_the_background(lambda: wire.send("POST", "/mcp", body, mine))
        for _ in range(100):
            assert not call(server, "shaky_numbers").get("isError")
        assert memory().rss < before + 64 * 2**20
        deaf.close()


# Half dead


@pytest.mark.parametrize("era", [LEGACY, MODERN])
def test_a_program_that_closes_its_output_is_replaced_and_its_calls_end_at_once(
    tmp_path: Path, mark: str, era: str
) -> None:
    with beside_a_calm_one(tmp_path, program(env={"MARK": mark}, protocol=era), **NEVER) as server:
        echo(server, "shaky")
        assert failure(server, "shaky_half_close")
        echo(server, "shaky")
        until(lambda: len(marked(mark)) == 1, "the half dead process's end")


def test_a_response_that_ends_half_way_ends_its_call_at_once(tmp_path: Path) -> None:
    with listening([FIXTURE, "http", "--faults"]) as (base, _):
        adapter = {"url": f"{base}/mcp", "allowPrivate": True, "protocol": MODERN}
        with beside_a_calm_one(tmp_path, adapter, **NEVER) as server:
            assert failure(server, "shaky_half_close")
            echo(server, "shaky")


def test_a_response_that_ends_half_way_in_a_session_is_asked_for_again_until_the_deadline(tmp_path: Path) -> None:
    with listening([FIXTURE, "http", "--faults"]) as (base, _):
        adapter = {"url": f"{base}/mcp", "allowPrivate": True, "protocol": LEGACY}
        with beside_a_calm_one(tmp_path, adapter, timeouts={"requestMs": 15_000}) as server:
            # This one answers late, on the stream that a client opens in place of the one that ended.
            assert "after the stream had ended" in text(call(server, "shaky_test_reconnection"))
            # This one never answers.
            assert failure(server, "shaky_half_close")
            echo(server, "shaky")


def test_a_lost_session_is_opened_again(tmp_path: Path) -> None:
    with listening([FIXTURE, "http", "--faults"]) as (base, _):
        adapter = {"url": f"{base}/mcp", "allowPrivate": True, "protocol": "2025-11-25"}
        with beside_a_calm_one(tmp_path, adapter, **NEVER) as server:
            for _ in range(5):
                before = counters(server, "shaky")["initialized"]
                call(server, "shaky_close_sessions")
                echo(server, "shaky")
                assert counters(server, "shaky")["initialized"] == before + 1


@pytest.mark.parametrize("status", [400, 404])
def test_an_error_that_answers_a_call_is_its_answer_whatever_its_status(tmp_path: Path, status: int) -> None:
    calls = []

    def answer(asked: Seen) -> Json | Reply:
        message = json.loads(asked.body or b"{}")
        said: Json = {"jsonrpc": "2.0", "id": message.get("id")}
        match message.get("method"):
            case "initialize":
                about = {"protocolVersion": "2025-11-25", "serverInfo": {"name": "it", "version": "1"}}
                body = json.dumps(said | {"result": about | {"capabilities": {"tools": {}}}})
                return Reply(200, body.encode(), {"Content-Type": "application/json", "Mcp-Session-Id": "s-1"})
            case "tools/list":
                return said | {"result": {"tools": [{"name": "pay", "inputSchema": {"type": "object"}}]}}
            case "tools/call":
                calls.append(message)
                data = {"shown": [asked.headers["authorization"]]}
                wrong = {"code": -32000, "message": "the checkout session was charged already", "data": data}
                return Reply(status, json.dumps(said | {"error": wrong}).encode(), {"Content-Type": "application/json"})
        return Reply(202 if asked.method == "POST" else 405)

    with running({"/": answer}) as api:
        adapter = {"kind": "mcp", "url": f"{api.url}/mcp", "allowPrivate": True, "protocol": "2025-11-25"}
        told = connector(tmp_path / "manifests", "shaky", adapter, credentials={"bearer": "s3cret-of-ours"})
        with serve(told) as server:
            until(lambda: "shaky_pay" in tools(server), "its tool")
            said = Wire(server.base).modern("tools/call", {"name": "shaky_pay", "arguments": {}}).text
            assert "charged already" in said and "s3cret" not in said, said
            assert len(calls) == 1


def test_an_address_that_goes_away_and_comes_back_is_found_again(tmp_path: Path) -> None:
    with listening([FIXTURE, "http", "--faults"]) as (base, first):
        adapter = {"url": f"{base}/mcp", "allowPrivate": True}
        with beside_a_calm_one(tmp_path, adapter, **NEVER) as server:
            echo(server, "shaky")
            waiting = hanging_call(server)
            first.kill()
            assert waiting[0].result(60)
            assert failure(server, "shaky_echo", {"message": "anybody?"})
            assert "shaky_echo" in tools(server)
            with listening([FIXTURE, "http", "--faults", "--port", base.rpartition(":")[2]]):
                until(lambda: answers(server, "shaky"), "the server to be found again")
