"""What every client sees, whatever its SDK, transport and era: one list of checks, run for each of `CASES`."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
import pytest

from clients import CASES, Case, Client, RpcError, connect
from harness import Manifests, Server, eventually, running_with
from wire import text

TOOLS = {
    *("api_broken", "api_delete_item", "api_get_item", "api_personal", "hello", "stuck_hang"),
    *("kit_book", "kit_echo", "kit_fail", "kit_family", "kit_sleep", "kit_wait_for_file", "kit_words"),
}
HINTS = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


@pytest.fixture
async def client(case: Case, server: Server) -> AsyncIterator[Client]:
    async with connect(case, server) as client:
        yield client


async def test_client_and_server_agree_on_the_newest_version_both_know(case: Case, client: Client) -> None:
    assert client.version == case.version
    assert client.server_name == "switchboard"
    assert client.capabilities["tools"]["listChanged"] is True


async def test_the_list_has_every_tool_with_its_schemes_and_all_four_hints(client: Client) -> None:
    tools = {tool["name"]: tool for tool in await client.list_tools()}
    assert set(tools) == TOOLS
    for tool in tools.values():
        assert tool["_meta"]["securitySchemes"], tool["name"]
        assert all(isinstance(tool["annotations"][hint], bool) for hint in HINTS), tool["name"]
    assert tools["hello"]["_meta"]["securitySchemes"] == [{"type": "noauth"}]
    assert tools["api_personal"]["_meta"]["securitySchemes"] == [
        {"type": "noauth"},
        {"type": "oauth2", "scopes": ["x:read"]},
    ]
    assert tools["api_get_item"]["annotations"]["readOnlyHint"] is True
    assert tools["api_delete_item"]["annotations"]["destructiveHint"] is True


async def test_the_list_keeps_its_order(client: Client) -> None:
    first, second = [[tool["name"] for tool in await client.list_tools()] for _ in range(2)]
    assert first == second


async def test_a_program_answers_with_text(client: Client) -> None:
    result = await client.call("kit_echo", {"text": "héllo * $HOME"})
    assert not result.get("isError")
    assert text(result) == "héllo * $HOME"


async def test_a_program_answers_with_structure_that_its_schema_holds(client: Client) -> None:
    await client.list_tools()  # A client checks a result against the schema it has listed.
    result = await client.call("kit_words", {"text": "to be or"})
    assert result["structuredContent"] == {"words": ["to", "be", "or"], "count": 3}
    assert '"count"' in text(result)


async def test_an_http_api_answers_with_structure(client: Client) -> None:
    result = await client.call("api_get_item", {"id": "7"})
    assert result["structuredContent"] == {"id": "7", "name": "item 7"}


async def test_wrong_arguments_are_for_the_model_to_fix_and_all_named(client: Client) -> None:
    result = await client.call("kit_book", {"guests": 99, "room": "attic", "night": "tomorrow", "pets": 2})
    assert result["isError"] is True
    for wrong in ("guests", "room", "night", "email", "pets"):
        assert wrong in text(result)


async def test_an_upstreams_failure_comes_with_its_message(client: Client) -> None:
    result = await client.call("api_broken")
    assert result["isError"] is True
    assert "the database is on fire" in text(result)


async def test_a_programs_failure_comes_with_what_it_said(client: Client) -> None:
    result = await client.call("kit_fail")
    assert result["isError"] is True
    assert "the disk is full" in text(result)


async def test_an_unknown_tool_is_a_protocol_error(client: Client) -> None:
    with pytest.raises(RpcError) as caught:
        await client.call("kit_nonesuch")
    assert caught.value.code == -32602


async def test_progress_arrives_while_the_program_runs(client: Client, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    heard: list[str | None] = []

    def open_the_gate(message: str | None) -> None:
        heard.append(message)
        gate.touch()

    # The program ends only once its first line has reached us.
    result = await client.call("kit_wait_for_file", {"file": str(gate)}, open_the_gate)
    assert not result.get("isError"), text(result)
    assert heard[0] == "waiting"


async def test_a_cancelled_call_takes_its_whole_family_of_processes_along(client: Client, mark: str) -> None:
    async with anyio.create_task_group() as calls:
        calls.start_soon(client.call, "kit_family", {"seconds": mark})
        await eventually(lambda: len(running_with(mark)) == 3, "the program and its two children")
        calls.cancel_scope.cancel()
    await eventually(lambda: not running_with(mark), "the processes' end")
    assert text(await client.call("hello")) == "hello"


async def test_an_edited_manifest_is_announced_and_listed(
    case: Case, serve: Callable[..., Server], manifests: Manifests
) -> None:
    async with connect(case, serve()) as client:
        assert "goodbye" not in [tool["name"] for tool in await client.list_tools()]
        manifests.add_tool("goodbye")
        await eventually(client.list_changed.is_set, "notifications/tools/list_changed")
        assert "goodbye" in [tool["name"] for tool in await client.list_tools()]
        assert text(await client.call("goodbye")) == "hello"
