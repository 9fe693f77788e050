"""Connections to MCP servers: one for all, one more for each session that can be asked back, no more than allowed."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

import harness
from connectors import connector, echo, failure, marked, program, seen, tools
from harness import Server, until
from session import CAPABILITIES, Session, over_http, over_sse
from wire import LEGACY, MODERN, text

CYCLES = 100


def serve(folder: Path, **adapter: Any) -> Any:
    """A gateway with the fixture behind it as a program that speaks the handshake era."""
    return harness.serve(connector(folder / "manifests", "shaky", program(**{"protocol": LEGACY} | adapter)))


def ready(server: Server) -> None:
    until(lambda: "shaky_echo" in tools(server), f"the tools: {server.log}")


def process_of(session: Session) -> int:
    return session.call("shaky_whoami").value["structuredContent"]["pid"]


def test_callers_that_cannot_be_asked_share_one_process(tmp_path: Path, mark: str) -> None:
    with serve(tmp_path, env={"MARK": mark}) as server, ExitStack() as sessions:
        ready(server)
        open_sessions = [sessions.enter_context(over_http(server.url, capabilities={})) for _ in range(8)]
        processes = {process_of(session) for session in open_sessions} | {seen(server, "shaky")["pid"]}
        assert len(processes) == len(marked(mark)) == 1


@pytest.mark.parametrize("connect", [over_http, over_sse])
def test_a_session_that_can_be_asked_has_a_process_of_its_own_which_ends_with_it(
    tmp_path: Path, mark: str, connect: Any
) -> None:
    with serve(tmp_path, env={"MARK": mark}) as server:
        ready(server)
        with connect(server.url) as one, connect(server.url) as other:
            processes = {process_of(one), process_of(other), seen(server, "shaky")["pid"]}
            assert len(processes) == len(marked(mark)) == 3
            known = one.call("shaky_whoami").value["structuredContent"]
            assert set(known["clientCapabilities"]) >= set(CAPABILITIES)
        until(lambda: len(marked(mark)) == 1, "the sessions' processes to end")


def test_a_server_of_2026_needs_one_process_for_all(tmp_path: Path, mark: str) -> None:
    with serve(tmp_path, env={"MARK": mark}, protocol=MODERN) as server:
        ready(server)
        with over_http(server.url) as one, over_http(server.url) as other:
            assert "sampled" in text(one.call("shaky_test_sampling", {"prompt": "anything"}).value)
            assert "sampled" in text(other.call("shaky_test_sampling", {"prompt": "anything"}).value)
            assert len(marked(mark)) == 1


def test_when_all_connections_are_busy_one_more_is_refused_and_the_rest_go_on(tmp_path: Path, mark: str) -> None:
    with serve(tmp_path, env={"MARK": mark}, maxConnections=3) as server, ExitStack() as sessions:
        ready(server)
        first, second, third = (sessions.enter_context(over_http(server.url)) for _ in range(3))
        hanging = [session.begin("tools/call", {"name": "shaky_hang", "arguments": {}}) for session in (first, second)]
        until(lambda: len(marked(mark)) == 3, "a process for all and one for each of the two")
        refused = third.call("shaky_echo", {"message": "?"})
        assert refused.kind == "error" or refused.value.get("isError") is True, refused
        assert "maxConnections" in refused.raw
        echo(server, "shaky")
        assert text(first.call("shaky_echo", {"message": "still here"}).value) == "still here"
        with over_http(server.url, capabilities={}) as modest:
            assert text(modest.call("shaky_echo", {"message": "shared"}).value) == "shared"
        # One that has nothing under way gives way.
        first.notify("notifications/cancelled", {"requestId": hanging[0][0]})
        until(lambda: text(third.call("shaky_echo", {"message": "in"}).value) == "in", "room for the third")
        assert len(marked(mark)) <= 3


def test_a_connection_that_nobody_uses_is_closed_and_made_again_when_it_is_wanted(tmp_path: Path, mark: str) -> None:
    with serve(tmp_path, env={"MARK": mark}, idleSeconds=1) as server, over_http(server.url) as session:
        ready(server)
        first = process_of(session)
        until(lambda: len(marked(mark)) == 1, "the session's process to be given up")
        assert process_of(session) != first


def test_a_lazy_one_runs_only_while_it_is_used_and_its_tools_stay(tmp_path: Path, mark: str) -> None:
    with serve(tmp_path, env={"MARK": mark}, start="lazy", idleSeconds=1) as server:
        ready(server)
        known = tools(server)
        for _ in range(3):
            until(lambda: not marked(mark), "the idle program's end")
            assert tools(server) == known
            echo(server, "shaky")


def test_sessions_that_come_and_go_leave_nothing_behind(tmp_path: Path, mark: str) -> None:
    with serve(tmp_path, env={"MARK": mark}) as server:
        ready(server)
        gateway = psutil.Process(server.process.pid)

        def cycles(count: int) -> None:
            for number in range(count):
                with (over_sse if number % 2 else over_http)(server.url) as session:
                    assert text(session.call("shaky_echo", {"message": "hello"}).value) == "hello"
            until(lambda: len(marked(mark)) == 1, "the sessions' processes to end")

        cycles(10)
        descriptors = gateway.num_fds()
        cycles(CYCLES)
        until(lambda: gateway.num_fds() <= descriptors, f"{gateway.num_fds()} descriptors to be {descriptors} again")
        until(lambda: len(server.children()) == 1, "the processes to be reaped")


def test_a_session_whose_process_dies_gets_another(tmp_path: Path, mark: str) -> None:
    with serve(tmp_path, env={"MARK": mark}) as server, over_http(server.url) as session:
        ready(server)
        first = process_of(session)
        psutil.Process(first).kill()
        until(lambda: first not in [process.pid for process in marked(mark)], "its end")
        assert process_of(session) != first
        ended = session.call("shaky_crash")
        assert ended.kind == "error" or ended.value["isError"] is True
        assert text(session.call("shaky_echo", {"message": "hello"}).value) == "hello"
        assert failure(server, "shaky_crash")
        echo(server, "shaky")
