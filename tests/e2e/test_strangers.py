"""What somebody on the network who proves nothing may do, learn and cost."""

import json
import signal
import threading
from collections.abc import Callable

import pytest
from harness import Manifests, Server, until, running_with
from wire import LEGACY, META, MODERN, Wire, request, result, text


def connector(id: str, run: dict | None = None, **more: object) -> str:
    tool = {"name": "run", "description": "Use this in tests.", "run": run or {"program": "echo", "args": ["ran"]}}
    return json.dumps(
        {"id": id, "name": id, "version": "1", "adapter": {"kind": "command"}, "tools": [tool]} | more
    )


@pytest.mark.parametrize("kind", ["apiKey", "bearer", "oauth2"])
def test_a_connector_that_asks_for_a_proof_is_closed_to_them(
    manifests: Manifests, serve: Callable[..., Server], kind: str
) -> None:
    (manifests.folder / "closed.json").write_text(connector("closed", auth={"type": kind}))
    server = serve()
    wire = Wire(server.base)
    assert "closed_run" not in str(result(wire.modern("tools/list")))
    answer = wire.modern("tools/call", {"name": "closed_run"}).json()
    assert answer["error"] == {"code": -32602, "message": "unknown tool `closed_run`"}
    server.says("nobody on the network can use closed")


def test_they_do_not_learn_why_a_connector_is_unavailable(manifests: Manifests, serve: Callable[..., Server]) -> None:
    secret = {"credentials": {"env": {"KEY": {"file": "/very/private/key"}}}}
    (manifests.folder / "away.json").write_text(connector("away", **secret))
    server = serve()
    answer = result(Wire(server.base).modern("tools/call", {"name": "away_run"}))
    assert answer["isError"] and "away is unavailable" in text(answer)
    assert "private" not in text(answer)


def test_one_session_hears_of_a_change_once_however_often_it_says_it_is_ready(
    manifests: Manifests, serve: Callable[..., Server]
) -> None:
    wire = Wire(serve().base)
    opened = wire.legacy("initialize", {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}})
    session = opened.headers["mcp-session-id"]
    for _ in range(50):
        ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        assert wire.post(ready, Mcp_Session_Id=session, MCP_Protocol_Version=LEGACY).status_code == 202
    # A last request in the session, so that all of the above has been dealt with.
    assert result(wire.legacy("ping", Mcp_Session_Id=session)) == {}
    heard: list[str] = []
    with wire.stream("GET", Mcp_Session_Id=session, MCP_Protocol_Version=LEGACY) as (_, events):

        def listen() -> None:
            for event in events:
                if event.data.strip():
                    heard.append(json.loads(event.data)["method"])

        threading.Thread(target=lambda: quietly(listen), daemon=True).start()
        for name in ["first", "second"]:
            manifests.add_tool(name)
            until(lambda: name in str(result(Wire(wire.base).modern("tools/list"))), f"{name} in the list")
            until(lambda: len(heard) >= 1 + (name == "second"), f"the news of {name}")
    assert heard == ["notifications/tools/list_changed"] * 2


def test_a_second_signal_takes_the_programs_along(
    manifests: Manifests, serve: Callable[..., Server], mark: str
) -> None:
    script = f"sleep {mark} & sleep {mark}"
    (manifests.folder / "slow.json").write_text(connector("slow", {"program": "sh", "args": ["-c", script]}))
    server = serve()
    body = request("tools/call", {"name": "slow_run", "_meta": META})
    headers = {"MCP_Protocol_Version": MODERN, "Mcp_Method": "tools/call", "Mcp_Name": "slow_run"}
    threading.Thread(target=lambda: quietly(lambda: Wire(server.base).post(body, **headers)), daemon=True).start()
    until(lambda: len(running_with(mark)) >= 2, "the programs")
    for _ in range(2):
        server.process.send_signal(signal.SIGINT)
        server.says("stopping")
    assert server.process.wait(60) == 130
    until(lambda: not running_with(mark), "the programs to end")


def quietly(work: Callable[[], object]) -> None:
    """A connection that breaks is what the test wants."""
    try:
        work()
    except Exception:  # noqa: BLE001
        pass
