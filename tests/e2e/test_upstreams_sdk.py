"""Real servers behind the gateway as the Python SDK sees them, compared with what it sees when it asks them itself."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import mcp
import pytest
from mcp.client.streamable_http import streamable_http_client

import harness
from connectors import connector, tools
from harness import until
from upstreams import APP, GIT, MEMORY, TIME, Upstream, same_text
from wire import Json

# A server, the era the client speaks to it directly, and the era it speaks to the gateway.
CASES = [
    (MEMORY, "legacy", "legacy"),
    (MEMORY, "legacy", "2026-07-28"),
    (APP, "legacy", "legacy"),
    (TIME, "legacy", "legacy"),
    (TIME, "2026-07-28", "2026-07-28"),
    (TIME, "2026-07-28", "legacy"),
    (GIT, "2026-07-28", "2026-07-28"),
    (GIT, "legacy", "auto"),
]
# What servers say in one era only. The gateway speaks 2026-07-28 to those that can, whatever its caller speaks.
OF_THE_ERA = {"resultType", "ttlMs", "cacheScope"}
SERVER_INFO = "io.modelcontextprotocol/serverInfo"


@asynccontextmanager
async def client(transport: Any, era: str) -> AsyncIterator[mcp.Client]:
    async with mcp.Client(transport, mode=era) as connected:
        yield connected


def plain(value: Any) -> Json:
    dumped = value.model_dump(mode="json", by_alias=True, exclude_none=True)
    dumped.get("_meta", {}).pop(SERVER_INFO, None)
    return {
        name: member for name, member in dumped.items() if name not in OF_THE_ERA and (name, member) != ("_meta", {})
    }


async def answer(client: mcp.Client, tool: str, arguments: Json) -> Json:
    try:
        return plain(await client.call_tool(tool, arguments))
    except mcp.MCPError as error:
        return {"code": error.code, "message": error.message}


@pytest.mark.parametrize(("upstream", "direct_era", "passed_era"), CASES, ids=lambda value: str(value))
async def test_the_sdk_gets_through_the_gateway_what_it_gets_directly(
    tmp_path: Path, upstream: Upstream, direct_era: str, passed_era: str
) -> None:
    one, other = tmp_path / "copy-1", tmp_path / "copy-2"
    for folder in (one, other):
        folder.mkdir()
        upstream.prepare(folder)
    program, *arguments = upstream.command_in(one)
    direct_transport = mcp.stdio_client(
        mcp.StdioServerParameters(command=program, args=arguments, env=upstream.env_in(one))
    )
    program, *arguments = upstream.command_in(other)
    adapter = {"program": program, "args": arguments, "env": upstream.env_in(other)}

    def same(value: Any) -> str:
        text = json.dumps(value, sort_keys=True, ensure_ascii=False)
        return same_text(text.replace(f"://{upstream.id}/", "://").replace(str(other), str(one)))

    with harness.serve(connector(tmp_path / "manifests", upstream.id, adapter)) as server:
        async with (
            client(direct_transport, direct_era) as direct,
            client(streamable_http_client(server.url), passed_era) as passed,
        ):
            until(lambda: tools(server), f"the tools: {server.log}")
            names = sorted(tool.name for tool in (await passed.list_tools()).tools)
            assert names == sorted(f"{upstream.id}_{tool.name}" for tool in (await direct.list_tools()).tools)
            if "resources" in plain(direct.server_capabilities):
                resources = [plain(each) for each in (await direct.list_resources()).resources]
                assert same([plain(each) for each in (await passed.list_resources()).resources]) == same(resources)
            for tool, arguments in upstream.calls:
                directly, through = (
                    json.loads(json.dumps(arguments).replace("{folder}", str(folder))) for folder in (one, other)
                )
                got = await answer(passed, f"{upstream.id}_{tool}", through)
                assert same(got) == same(await answer(direct, tool, directly))
