"""Starts the server under test, watches its processes, and stands in for its upstream."""

import json
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import psutil

import planted
from loopback import Handler, Loopback, listening

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
BINARY = os.environ.get("SWITCHBOARD_BIN", str(ROOT / "target/debug/switchboard"))
FIXTURES = ROOT / "tests/fixtures"

# Far longer than anything takes; a wait that reaches it is a failure, never a measurement.
PATIENCE = 60.0


def until(condition: Callable[[], Any], what: object) -> Any:
    """Waits for a condition and gives what met it; for tests that are not async. `what` is written once it fails."""
    deadline = time.monotonic() + PATIENCE
    while not (met := condition()):
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.02)
    return met


async def eventually(condition: Callable[[], object], what: str) -> None:
    """Waits for a condition without holding up the event loop."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        await anyio.sleep(0.02)


def running_with(mark: str) -> list[psutil.Process]:
    """The machine's processes that have `mark` as one of their arguments."""
    return [p for p in psutil.process_iter(["cmdline"]) if mark in (p.info["cmdline"] or [])]


def kill_tree(process: subprocess.Popen) -> None:
    """Ends a process we started and everything it started."""
    family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.kill()
    process.wait()
    for child in family:
        with suppress(psutil.NoSuchProcess):
            child.kill()


@dataclass
class Manifests:
    """A folder of manifests that a test may edit, and the environment they need."""

    folder: Path
    upstream_url: str

    @property
    def env(self) -> dict[str, str]:
        return {"UPSTREAM_URL": self.upstream_url}

    def add_tool(self, name: str) -> None:
        """Adds one more tool to the connector that publishes bare names."""
        file = self.folder / "bare.json"
        connector = json.loads(file.read_text())
        connector["tools"].append({**connector["tools"][0], "name": name})
        self.replace(file, json.dumps(connector))

    def replace(self, file: Path, text: str) -> None:
        """Writes a manifest whole, the way editors do: beside it, then over it."""
        draft = file.with_suffix(".draft")
        draft.write_text(text)
        draft.rename(file)


def manifests_in(folder: Path, upstream_url: str) -> Manifests:
    shutil.copytree(FIXTURES / "manifests", folder)
    return Manifests(folder, upstream_url)


@dataclass
class Server:
    """A running `switchboard serve`."""

    process: subprocess.Popen
    manifests: Manifests
    log: list[str] = field(default_factory=list)
    url: str = ""

    @property
    def base(self) -> str:
        """`http://host:port`, without the path."""
        return self.url.removesuffix("/mcp")

    def says(self, *words: str) -> str:
        """The first line of its log that has these words. It is waited for: the log is read beside the test."""
        found = lambda: next((line for line in list(self.log) if all(word in line for word in words)), None)
        return until(found, (words, self.log))

    def children(self) -> list[psutil.Process]:
        """Every process below the server, those it has not yet reaped included."""
        return psutil.Process(self.process.pid).children(recursive=True)


def draining(folder: Path, seconds: int) -> list[str]:
    """What has a server wait so long for what is under way when it ends."""
    config = folder / "draining.json"
    config.write_text(json.dumps({"limits": {"drainSeconds": seconds}}))
    return ["--config", str(config)]


@contextmanager
def serve(manifests: Manifests, *arguments: str, env: dict[str, str] | None = None) -> Iterator[Server]:
    """Runs a server on a free port until the block ends, and looks whether it told a secret."""
    env = {**os.environ, **manifests.env, **(env or {})}
    if not any(name.startswith("OTEL_") for name in env):
        env.setdefault("ENABLE_PROMETHEUS", "true")
    process = subprocess.Popen(
        [BINARY, "serve", "--port", "0", "--manifests", str(manifests.folder), *arguments],
        env=env,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    server = Server(process, manifests)

    def read_log() -> None:
        for line in process.stderr:
            server.log.append(line.rstrip())
            if found := re.search(r"listening on (http://[^\s\"]+)", line):
                server.url = found[1]

    reader = threading.Thread(target=read_log, daemon=True)
    reader.start()
    try:
        until(lambda: server.url or process.poll() is not None, f"the server's address in {server.log}")
        assert server.url, f"the server did not start: {server.log}"
        yield server
        told = planted.told_by(server.base, env.get("CONNECTORS_API_KEY"))
    finally:
        kill_tree(process)
    reader.join(PATIENCE)
    found = planted.found("\n".join([told, *server.log]))
    assert not found, f"a server told secrets: {found}"


class Upstream(Loopback):
    """The HTTP API behind the fixture manifests; `/hang` answers only once `gate` is set."""

    def __init__(self) -> None:
        super().__init__(UpstreamHandler)
        self.gate = threading.Event()
        self.hanging = 0


class UpstreamHandler(Handler):
    server: Upstream
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/hang":
            self.server.hanging += 1
            self.server.gate.wait()
            self.answer(200, {"hung": True})
        elif self.path.startswith("/items/"):
            item = self.path.removeprefix("/items/")
            self.answer(200, {"id": item, "name": f"item {item}"})
        else:
            self.answer(500, {"message": "the database is on fire"})

    do_DELETE = do_GET


@contextmanager
def upstream() -> Iterator[Upstream]:
    with listening(Upstream()) as api:
        try:
            yield api
        finally:
            api.gate.set()
