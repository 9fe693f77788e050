"""The protocol's own conformance suite: as a client of the gateway, and as a server behind it.

Nothing is excused: a scenario passes when none of its checks fails, whether the suite counts it or not.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

import harness
from clients import node, node_env
from conformance_client import PLAYS
from connectors import FIXTURE, connector, tools
from harness import HERE, Server, until
from upstreams import listening

SUITE = str(HERE / "node_modules/@modelcontextprotocol/conformance/dist/index.js")

# What the gateway is asked to hold: the sets that revisions require, and all there is for those that have no such set.
SETS = [
    ["--requirements", "2025-11-25"],
    ["--requirements", "2026-07-28"],
    ["--suite", "all", "--spec-version", "2025-06-18"],
    ["--suite", "all", "--spec-version", "2025-03-26"],
]

# Client scenarios that are not for us, and why.
NOT_OURS = {
    "auth/": "the gateway sends upstreams what its manifest holds; it cannot yet obtain a token by OAuth",
    "sep-2640-client-": "skills are files that a client loads; the gateway passes resources on and loads none",
}


@pytest.fixture(scope="module", params=["http", "stdio"])
def gateway(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A gateway that shows what the fixture has under its own names, be it an address or a program."""
    with ExitStack() as running:
        adapter = {"program": FIXTURE, "args": ["stdio"]}
        if request.param == "http":
            base, _ = running.enter_context(listening([FIXTURE, "http"]))
            adapter = {"url": f"{base}/mcp", "allowPrivate": True}
        folder = tmp_path_factory.mktemp("conformance") / "manifests"
        server = running.enter_context(harness.serve(connector(folder, "fixture", adapter, prefix=False)))
        until(lambda: "test_simple_text" in tools(server), f"the fixture's tools: {server.log}")
        yield server


def run(folder: Path, *arguments: str) -> tuple[dict[str, list[str]], subprocess.CompletedProcess]:
    """Runs the suite; gives what failed in each scenario, and how the run ended."""
    done = subprocess.run(
        [node(), SUITE, *arguments, "-o", str(folder)],
        env=node_env(folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )
    failed: dict[str, list[str]] = {}
    for report in folder.glob("**/checks.json"):
        checks = json.loads(report.read_text())
        scenario = re.sub(r"^server-|-\d{4}-\d{2}-\d{2}T.*$", "", str(report.parent.relative_to(folder)))
        wrong = [f"{check['id']}: {check.get('errorMessage', '')}" for check in checks if check["status"] == "FAILURE"]
        failed[scenario] = failed.get(scenario, []) + wrong
    return failed, done


def listed(*arguments: str) -> set[str]:
    """The scenarios the suite lists."""
    done = subprocess.run([node(), SUITE, "list", *arguments], capture_output=True, text=True, check=True)
    return set(re.findall(r"^\s+- (\S+)", done.stdout, re.MULTILINE))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("which", SETS, ids=lambda which: which[-1])
def test_every_scenario_passes_through_the_gateway(gateway: Server, which: list[str], tmp_path: Path) -> None:
    failed, done = run(tmp_path, "server", "--url", gateway.url, *which)
    assert {scenario: wrong for scenario, wrong in failed.items() if wrong} == {}
    assert done.returncode == 0, done.stdout + done.stderr
    if which[0] == "--requirements":
        assert len(failed) >= 30
        assert which[1] != "2026-07-28" or len([scenario for scenario in failed if scenario.startswith("tasks-")]) == 10


@cache
def client_scenarios() -> list[tuple[str, str]]:
    """Those we play, with each revision they are for."""
    done = subprocess.run([node(), SUITE, "list", "--client"], capture_output=True, text=True, check=True)
    lines = re.findall(r"^\s+- (\S+) \[(.*)\]", done.stdout, re.MULTILINE)
    return [(name, version) for name, versions in lines if name in PLAYS for version in versions.split(",")]


@pytest.mark.parametrize(("scenario", "version"), client_scenarios(), ids=map("-".join, client_scenarios()))
def test_the_gateway_is_a_client_as_the_scenario_wants_it(scenario: str, version: str, tmp_path: Path) -> None:
    command = f"{sys.executable} {HERE / 'conformance_client.py'}"
    failed, done = run(
        tmp_path,
        "client",
        "--command",
        command,
        "--scenario",
        scenario,
        "--spec-version",
        version,
        "--timeout",
        "60000",
    )
    said = "".join(file.read_text() for file in tmp_path.glob("**/stderr.txt"))
    assert [wrong for wrongs in failed.values() for wrong in wrongs] == [], said
    assert len(failed) == 1 and done.returncode == 0, done.stdout + done.stderr + said


def test_every_client_scenario_is_played_or_there_is_a_reason() -> None:
    left = {scenario for scenario in listed("--client") if not scenario.startswith(tuple(NOT_OURS))}
    assert left == set(PLAYS)
