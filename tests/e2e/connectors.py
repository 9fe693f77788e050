"""Connectors for tests: manifests with MCP servers behind them, calls of their tools, and others who call meanwhile."""

import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil

from harness import FIXTURES, ROOT, Manifests, Server, serve, until
from session import Session, over_http
from wire import Json, Wire, error, messages, result, text

FIXTURE = os.environ.get("FIXTURE_BIN", str(ROOT / "target/debug/examples/fixture"))
WRAPPER = FIXTURES / "mcp/wrapper.py"
# How many call another connector while one is faulty.
BYSTANDERS = 32


def connector(folder: Path, id: str, adapter: Json, **more: Any) -> Manifests:
    """Adds a connector to a folder of manifests."""
    folder.mkdir(parents=True, exist_ok=True)
    manifests = Manifests(folder, "http://127.0.0.1:9")
    manifest = {"id": id, "name": id.title(), "version": "1.0.0", "adapter": {"kind": "mcp"} | adapter, **more}
    manifests.replace(folder / f"{id}.json", json.dumps(manifest, indent=2))
    return manifests


class Published:
    """The names and URIs of one connector that puts its id before them."""

    id: str

    def tool(self, name: str) -> str:
        return f"{self.id}_{name}"

    def uri(self, uri: str) -> str:
        return uri.replace("://", f"://{self.id}/", 1)

    def original(self, text: str) -> str:
        """A text with every published URI and task as its server has it."""
        return text.replace(f"://{self.id}/", "://").replace(f'"taskId":"{self.id}.', '"taskId":"')


def program(*flags: str, **more: Any) -> Json:
    """An adapter with the fixture server as its program."""
    return {"program": FIXTURE, "args": ["stdio", "--faults", *flags], **more}


def wrapped(*flags: str, **more: Any) -> Json:
    """The same, as the child of a program that waits for it."""
    return {"program": sys.executable, "args": [str(WRAPPER), *flags, FIXTURE, "stdio", "--faults"], **more}


def call(server: Server, tool: str, arguments: Json | None = None) -> Json:
    """The result of a call."""
    return result(Wire(server.base).modern("tools/call", {"name": tool, "arguments": arguments or {}}))


def echo(server: Server, id: str) -> None:
    """The connector's echo answers."""
    answer = call(server, f"{id}_echo", {"message": "hello"})
    assert not answer.get("isError") and text(answer) == "hello", answer


def answers(server: Server, id: str) -> bool:
    """Whether the connector's echo answers."""
    response = Wire(server.base).modern("tools/call", {"name": f"{id}_echo", "arguments": {"message": "hello"}})
    [message] = [message for message in messages(response) if "id" in message]
    return "result" in message and not message["result"].get("isError")


def failure(server: Server, tool: str, arguments: Json | None = None) -> str:
    """What a call says that must fail, be it by an error or by a result that is one."""
    response = Wire(server.base).modern("tools/call", {"name": tool, "arguments": arguments or {}})
    [message] = [message for message in messages(response) if "id" in message]
    if "error" in message:
        return error(response)["message"]
    assert message["result"].get("isError") is True, message
    return text(message["result"])


def seen(server: Server, id: str) -> Json:
    """What the fixture behind a connector knows of itself and of us."""
    return call(server, f"{id}_whoami")["structuredContent"]


def counters(server: Server, id: str) -> Json:
    return call(server, f"{id}_counters")["structuredContent"]


def tools(server: Server, key: str | None = None) -> set[str]:
    shown = {"Authorization": f"Bearer {key}"} if key else {}
    return {tool["name"] for tool in result(Wire(server.base).modern("tools/list", **shown))["tools"]}


def marked(mark: str) -> list[psutil.Process]:
    """The processes of a program that was given `MARK` in its environment, its children included."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get("MARK") == mark:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


@contextmanager
def bystanders(server: Server, id: str) -> Iterator[None]:
    """Others who call the echo of connector `id`, of both eras, while the block runs; none of them sees an error."""
    stop = threading.Event()
    wrong: list[object] = []
    calls = [0] * BYSTANDERS

    def call_on(number: int, session: Session | None, wire: Wire) -> None:
        params = {"name": f"{id}_echo", "arguments": {"message": f"from {number}"}}
        while not stop.is_set():
            try:
                answer = (
                    session.ask("tools/call", params).value if session else result(wire.modern("tools/call", params))
                )
                if answer.get("isError") or text(answer) != f"from {number}":
                    wrong.append(answer)
            except Exception as exception:  # noqa: BLE001 - whatever it is, the test has to hear of it
                wrong.append(exception)
            calls[number] += 1
            stop.wait(0.2)

    def all_called_again(what: str) -> None:
        before = list(calls)
        until(
            lambda: wrong or all(now > then for now, then in zip(calls, before, strict=True)), f"all bystanders {what}"
        )

    with ExitStack() as open_sessions:
        wire = Wire(server.base)
        callers = []
        for number in range(BYSTANDERS):
            legacy = number % 2 == 0
            session = open_sessions.enter_context(over_http(server.url, capabilities={})) if legacy else None
            callers.append(threading.Thread(target=call_on, args=[number, session, wire], daemon=True))
        for caller in callers:
            caller.start()
        try:
            all_called_again("before the fault")
            yield
            all_called_again("after the fault")
        finally:
            stop.set()
            for caller in callers:
                caller.join()
    assert wrong == [], f"{len(wrong)} of {sum(calls)} calls: {wrong[:3]}"


@contextmanager
def beside_a_calm_one(
    folder: Path, adapter: Json, *, up: bool = True, env: dict[str, str] | None = None, **more: Any
) -> Iterator[Server]:
    """A gateway with a connector `shaky` of the test's own, which comes `up` or not, and `calm`, which others call."""
    connector(folder / "manifests", "calm", program())
    manifests = connector(folder / "manifests", "shaky", adapter, **more)
    with serve(manifests, env=env) as server:
        wanted = {"calm_echo", "shaky_echo"} if up else {"calm_echo"}
        until(lambda: wanted <= tools(server), f"{wanted}: {server.log}")
        with bystanders(server, "calm"):
            yield server
