"""The MCP Inspector's command line against every transport and era, its schema linter (`--strict`) included."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from clients import node, node_env, stdio_arguments
from harness import BINARY, HERE, Server
from wire import text

LAUNCHER = HERE / "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"
WAYS = [
    *((transport, era) for transport in ("http", "stdio") for era in ("legacy", "auto", "modern")),
    ("sse", "legacy"),
]

# The Inspector's exit code for a result with `isError`.
TOOL_ERROR = 5

Inspect = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(params=WAYS, ids="-".join)
def inspect(request: pytest.FixtureRequest, server: Server, tmp_path: Path) -> Inspect:
    transport, era = request.param
    if transport == "stdio":
        target = [BINARY, *stdio_arguments(server)]
        options = [part for name, value in server.manifests.env.items() for part in ("-e", f"{name}={value}")]
    else:
        target, options = [server.url], ["--transport", transport]

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [
            node(),
            str(LAUNCHER),
            "--cli",
            *target,
            *options,
            "--protocol-era",
            era,
            "--format",
            "json",
            *arguments,
        ]
        env = node_env(tmp_path) | {"MCP_CATALOG_PATH": str(tmp_path / "mcp.json")}
        return subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)

    return run


def test_the_inspector_finds_no_fault_with_the_tools(inspect: Inspect) -> None:
    done = inspect("--method", "tools/list", "--strict")
    assert done.returncode == 0, done.stderr
    tools = {tool["name"]: tool for tool in json.loads(done.stdout)["result"]["tools"]}
    assert tools["api_personal"]["_meta"]["securitySchemes"][1] == {"type": "oauth2", "scopes": ["x:read"]}


def test_the_inspector_calls_a_tool(inspect: Inspect) -> None:
    done = inspect("--method", "tools/call", "--tool-name", "kit_echo", "--tool-arg", "text=hi")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["result"]["content"] == [{"type": "text", "text": "hi"}]


@pytest.mark.parametrize(
    ("tool", "told"), [("kit_echo", "text"), ("api_broken", "the database is on fire")], ids=["argument", "upstream"]
)
def test_the_inspector_sees_a_tools_error(inspect: Inspect, tool: str, told: str) -> None:
    done = inspect("--method", "tools/call", "--tool-name", tool, "--tool-args-json", "{}")
    assert done.returncode == TOOL_ERROR, done.stderr
    assert told in text(json.loads(done.stdout)["result"])
