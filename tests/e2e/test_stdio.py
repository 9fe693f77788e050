"""stdio line by line: nothing but MCP on stdout, and the end of the input is the end of the server."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import harness
from clients import stdio_arguments
from harness import BINARY, PATIENCE, Server, running_with, until
from wire import INITIALIZE, META, Json, request, text

# The SDKs give a server two seconds to end after its input ended, then kill it; twice that for a busy machine.
SDK_PATIENCE = 4


class Stdio:
    """A running `switchboard stdio`."""

    def __init__(self, server: Server) -> None:
        self.process = subprocess.Popen(
            [BINARY, *stdio_arguments(server)],
            env={**os.environ, **server.manifests.env, "LOG_LEVEL": "trace"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def say(self, message: Json | str) -> None:
        self.process.stdin.write(message if isinstance(message, str) else json.dumps(message))
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def hear(self) -> Json:
        """The next line, which must be a JSON-RPC message."""
        message = json.loads(self.process.stdout.readline())
        assert message["jsonrpc"] == "2.0"
        return message

    def ask(self, method: str, params: Any = None, id: int = 1) -> Json:
        """The answer to a request, past any notification before it."""
        self.say(request(method, params, id))
        while (message := self.hear()).get("id") != id:
            assert "method" in message, message
        return message

    def initialize(self) -> Json:
        answer = self.ask("initialize", INITIALIZE)
        self.say({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return answer


@pytest.fixture
def stdio(server: Server) -> Iterator[Stdio]:
    stdio = Stdio(server)
    yield stdio
    harness.kill_tree(stdio.process)


def test_it_answers_the_old_handshake_and_the_end_of_input_ends_it(stdio: Stdio) -> None:
    assert stdio.initialize()["result"]["serverInfo"]["name"] == "switchboard"
    tools = stdio.ask("tools/list", id=2)["result"]["tools"]
    assert all(tool["securitySchemes"] == tool["_meta"]["securitySchemes"] for tool in tools)
    failed = stdio.ask("tools/call", {"name": "kit_fail"}, id=3)["result"]
    assert failed["isError"] and "the disk is full" in text(failed)
    assert stdio.ask("tools/call", {"name": "kit_nonesuch"}, id=4)["error"]["code"] == -32602
    stdio.process.stdin.close()
    assert stdio.process.stdout.read() == ""
    assert stdio.process.wait(PATIENCE) == 0


def test_it_answers_discover_first_and_needs_no_handshake(stdio: Stdio) -> None:
    assert "2026-07-28" in stdio.ask("server/discover", {"_meta": META})["result"]["supportedVersions"]
    outcome = stdio.ask("tools/call", {"_meta": META, "name": "hello"}, id=2)["result"]
    assert text(outcome) == "hello" and outcome["resultType"] == "complete"


def test_the_old_handshake_still_works_after_discover(stdio: Stdio) -> None:
    stdio.ask("server/discover", {"_meta": META})
    assert stdio.initialize()["result"]["protocolVersion"] == "2025-11-25"
    assert stdio.ask("tools/list", id=2)["result"]["tools"]


def test_a_line_that_is_no_json_ends_nothing(stdio: Stdio) -> None:
    stdio.initialize()
    stdio.say("nonsense")
    stdio.say(request("ping", id=2))
    answers = [stdio.hear()]
    while answers[-1].get("id") != 2:
        answers.append(stdio.hear())
    assert answers[-1]["result"] == {}
    assert all(answer["error"]["code"] == -32700 for answer in answers[:-1])


LISTEN = request("subscriptions/listen", {"_meta": META, "notifications": {"toolsListChanged": True}}, id=3)
CANCEL = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 3}}


@pytest.mark.parametrize("attempt", range(3))  # Ending is a race between the input's end and what is under way.
@pytest.mark.parametrize("last_words", [[LISTEN], [LISTEN, CANCEL]], ids=["subscribed", "unsubscribed"])
def test_a_subscription_does_not_hold_up_the_end(stdio: Stdio, last_words: list[Json], attempt: int) -> None:
    stdio.ask("tools/list", {"_meta": META})
    for message in last_words:
        stdio.say(message)
    stdio.process.stdin.close()
    assert stdio.process.wait(SDK_PATIENCE) == 0


def test_a_call_does_not_hold_up_the_end(stdio: Stdio, mark: str) -> None:
    call = {"_meta": META, "name": "kit_sleep", "arguments": {"seconds": mark}}
    stdio.say(request("tools/call", call))
    until(lambda: running_with(mark), "the program")
    stdio.process.stdin.close()
    assert stdio.process.wait(SDK_PATIENCE) == 0


def test_malformed_params_of_a_call_are_invalid_params(stdio: Stdio) -> None:
    stdio.initialize()
    assert stdio.ask("tools/call", {"name": "kit_echo", "arguments": "hi"}, id=2)["error"]["code"] == -32602


def test_an_end_of_input_amid_a_call_leaves_no_program(stdio: Stdio, mark: str) -> None:
    stdio.initialize()
    stdio.say(request("tools/call", {"name": "kit_family", "arguments": {"seconds": mark}}, id=2))
    until(lambda: len(running_with(mark)) == 3, "the program and its children")
    stdio.process.stdin.close()
    assert stdio.process.wait(PATIENCE) == 0
    until(lambda: not running_with(mark), "the end of the programs")


def test_a_broken_manifest_is_told_on_stderr_only(server: Server, tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text('{"id": "broken", "colour": "red"}')
    done = subprocess.run(
        [BINARY, "stdio", "--manifests", str(tmp_path)], input="", capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.stdout == ""
    assert "colour" in done.stderr
