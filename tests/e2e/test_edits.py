"""Manifests edited while the server runs."""

from collections.abc import Callable

import anyio
import pytest

from clients import Case, connect
from harness import Manifests, Server, Upstream, eventually
from wire import text

CASES = [Case("python", "http", "2026-07-28"), Case("python", "http", "legacy")]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_broken_edit_keeps_the_last_good_tools_and_says_why(
    case: Case, serve: Callable[..., Server], manifests: Manifests
) -> None:
    server = serve()
    async with connect(case, server) as client:
        before = await client.list_tools()
        file = manifests.folder / "bare.json"
        good = file.read_text()
        manifests.replace(file, good.replace('"tools"', '"toools"'))
        await eventually(lambda: any("toools" in line for line in server.log), "the reason in the log")
        assert await client.list_tools() == before
        assert text(await client.call("hello")) == "hello"
        manifests.replace(file, good)
        manifests.add_tool("goodbye")
        await eventually(client.list_changed.is_set, "the mended edit")
        assert text(await client.call("goodbye")) == "hello"


async def test_a_removed_manifest_takes_its_tools_away(serve: Callable[..., Server], manifests: Manifests) -> None:
    async with connect(CASES[0], serve()) as client:
        (manifests.folder / "bare.json").unlink()
        await eventually(client.list_changed.is_set, "the announcement")
        assert "hello" not in [tool["name"] for tool in await client.list_tools()]


async def test_an_edit_amid_a_call_does_not_disturb_it(
    serve: Callable[..., Server], manifests: Manifests, upstream: Upstream
) -> None:
    outcomes = []
    async with connect(CASES[0], serve()) as client, anyio.create_task_group() as calls:

        async def hang() -> None:
            outcomes.append(await client.call("stuck_hang"))

        calls.start_soon(hang)
        await eventually(lambda: upstream.hanging, "a call in flight")
        (manifests.folder / "stuck.json").unlink()
        await eventually(client.list_changed.is_set, "the announcement")
        upstream.gate.set()
    assert outcomes[0]["structuredContent"] == {"hung": True}
