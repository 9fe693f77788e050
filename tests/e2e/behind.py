"""OpenAPI servers that others wrote, to put behind the server under test, and arguments for the tools made of them."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from clients import node, node_env
from harness import FIXTURES, HERE, Manifests, Server, kill_tree, until
from wire import Json, Wire, result

APIS = HERE / "apis"
SERVICES = FIXTURES / "openapi/services"


@dataclass
class Program:
    """A running program, and what it printed, line by line."""

    process: subprocess.Popen
    printed: list[str] = field(default_factory=list)

    def messages(self) -> list[Json]:
        return [json.loads(line) for line in list(self.printed) if line.startswith("{")]


@contextmanager
def running(*command: str, **more: Any) -> Iterator[Program]:
    """Runs a program until the block ends."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more
    )
    program = Program(process)

    def read() -> None:
        for line in process.stdout:
            program.printed.append(line.rstrip())

    threading.Thread(target=read, daemon=True).start()
    try:
        yield program
    finally:
        kill_tree(process)


def alive(program: Program, done: bool) -> bool:
    assert program.process.poll() is None, f"it ended: {program.printed}"
    return done


@contextmanager
def python(script: str, *arguments: str) -> Iterator[str]:
    """The address of an API in `apis/`."""
    with running(sys.executable, str(APIS / script), *arguments) as program:
        until(lambda: alive(program, any("url" in said for said in program.messages())), f"the address of {script}")
        yield next(said["url"] for said in program.messages() if "url" in said)


@dataclass
class Prism:
    """Prism as the API of several documents: it checks each request, and answers with the document's examples."""

    program: Program
    urls: dict[str, str]

    def requests(self, document: str) -> list[Json]:
        """What arrived for a document."""
        said = self.program.messages()
        return [
            one["request"]
            for one in said
            if one["document"] == document and "request" in one and "complaint" not in one
        ]

    def complaints(self, document: str) -> list[Json]:
        """What it had to say against it. The look whether the API is there asks for its base address, by HEAD."""
        said = [one for one in self.program.messages() if one["document"] == document and "complaint" in one]
        return [one for one in said if (one.get("request") or {}).get("method") != "head"]


@contextmanager
def prism(documents: list[Path], home: Path) -> Iterator[Prism]:
    command = [node(), str(APIS / "prism.mjs"), *map(str, documents)]
    with running(*command, env=node_env(home)) as program:

        def urls() -> dict[str, str]:
            return {said["document"]: said["url"] for said in program.messages() if "url" in said}

        until(lambda: alive(program, len(urls()) == len(documents)), f"Prism with {documents}")
        yield Prism(program, urls())


@contextmanager
def notebooks(home: Path, token: str) -> Iterator[tuple[str, Path]]:
    """The address of a Jupyter server, and the folder whose files it serves."""
    files = home / "files"
    files.mkdir(parents=True)
    options = {
        "ServerApp.root_dir": files,
        "ServerApp.port": 0,
        "ServerApp.ip": "127.0.0.1",
        "IdentityProvider.token": token,
    }
    command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root"]
    env = {**os.environ, "HOME": str(home), "JUPYTER_NO_CONFIG": "1"}
    with running(*command, *(f"--{name}={value}" for name, value in options.items()), env=env) as program:

        def address() -> re.Match[str] | None:
            return re.search(r"http://127\.0\.0\.1:\d+", "\n".join(program.printed))

        until(lambda: alive(program, bool(address())), "the notebooks' address")
        yield address()[0], files


def made_up(tools: list[Json], home: Path) -> dict[str, list[Json]]:
    """Several arguments for each tool, each of them valid; see `apis/arguments.mjs`."""
    done = subprocess.run(
        [node(), str(APIS / "arguments.mjs")],
        input=json.dumps([{"name": tool["name"], "inputSchema": tool["inputSchema"]} for tool in tools]),
        env=node_env(home),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    drafts = json.loads(done.stdout)
    chosen = {}
    for tool in tools:
        validator = Draft202012Validator(tool["inputSchema"])
        fitting: list[Json] = []
        for draft in drafts[tool["name"]]:
            if validator.is_valid(draft) and draft not in fitting:
                fitting.append(draft)
        chosen[tool["name"]] = fitting
    return chosen


def api(
    folder: Path, id: str, spec: str | Path, base_url: str | None = None, *, adapter: Json | None = None, **more: Any
) -> Manifests:
    """Adds a connector for an OpenAPI document to a folder of manifests."""
    folder.mkdir(parents=True, exist_ok=True)
    manifests = Manifests(folder, "http://127.0.0.1:9")
    settings = {"kind": "openapi", "spec": str(spec), "allowPrivate": True} | (adapter or {})
    if base_url:
        settings["baseUrl"] = base_url
    manifest = {"id": id, "name": id.title(), "version": "1.0.0", "adapter": settings, **more}
    manifests.replace(folder / f"{id}.json", json.dumps(manifest, indent=2))
    return manifests


OPERATION = re.compile(r"\b(GET|PUT|POST|DELETE|OPTIONS|HEAD|PATCH|TRACE)(?: (.*))?$")


def operation(tool: Json) -> str:
    """Which operation a tool is: `GET /path`, as its description says at its end."""
    found = OPERATION.search(tool.get("description", ""))
    assert found, f"{tool['name']} does not say which operation it is: {tool.get('description')!r}"
    return f"{found[1]} {found[2] or ''}"


def listed(server: Server, id: str, **headers: str) -> list[Json]:
    """A connector's tools, of all pages."""
    found: list[Json] = []
    cursor = None
    while True:
        page = result(Wire(server.base).modern("tools/list", {"cursor": cursor} if cursor else {}, **headers))
        found += [tool for tool in page["tools"] if tool["name"].startswith(f"{id}_")]
        cursor = page.get("nextCursor")
        if not cursor:
            return found


def operations(server: Server, id: str) -> dict[str, Json]:
    """A connector's tools by the operations they are, once it has any."""
    until(lambda: listed(server, id), f"the tools of {id}: {server.log}")
    return {operation(tool): tool for tool in listed(server, id)}
