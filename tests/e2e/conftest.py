"""What the suites share: a server for tests that leave it as it is, and new ones for those that do not."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest

import harness
import planted
from harness import Manifests, Server, Upstream


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def the_binary_exists() -> None:
    assert Path(harness.BINARY).is_file(), f"{harness.BINARY} is missing: `cargo build`, or set SWITCHBOARD_BIN"


@pytest.fixture(scope="session", autouse=True)
def what_servers_keep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Servers keep what outlives them in a folder of this run, whatever a test says of its own. No record has a secret."""
    os.environ["SWITCHBOARD_DATA_DIR"] = str(tmp_path_factory.mktemp("data"))
    yield
    found = planted.found(planted.recorded_in(tmp_path_factory.getbasetemp()))
    assert not found, f"records have secrets: {found}"


@pytest.fixture(scope="session")
def shared_upstream() -> Iterator[Upstream]:
    with harness.upstream() as api:
        yield api


@pytest.fixture(scope="session")
def server(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The shared server; nobody edits its manifests."""
    folder = tmp_path_factory.mktemp("shared") / "manifests"
    with harness.serve(harness.manifests_in(folder, shared_upstream.url)) as server:
        yield server


@pytest.fixture
def mark() -> Iterator[str]:
    """An argument, a day in seconds, by which a test finds the programs it caused; none outlives the test."""
    mark = f"86400.{time.monotonic_ns()}"
    yield mark
    for process in harness.running_with(mark):
        with suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """An upstream of the test's own."""
    with harness.upstream() as api:
        yield api


@pytest.fixture
def manifests(upstream: Upstream, tmp_path: Path) -> Manifests:
    """A manifest folder of the test's own."""
    return harness.manifests_in(tmp_path / "manifests", upstream.url)


@pytest.fixture
def serve(manifests: Manifests) -> Iterator[Callable[..., Server]]:
    """Starts servers of the test's own: `serve("--flag", env={…})`."""
    with ExitStack() as running:
        yield lambda *arguments, **options: running.enter_context(harness.serve(manifests, *arguments, **options))
