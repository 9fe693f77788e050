"""The protocol's own conformance suite; conformance.txt names the scenarios we hold."""

import json
import subprocess
from pathlib import Path

import pytest

from clients import node, node_env
from harness import HERE, Server

SUITE = HERE / "node_modules/@modelcontextprotocol/conformance/dist/index.js"
LINES = [
    line.split() for line in (HERE / "conformance.txt").read_text().splitlines() if line and not line.startswith("#")
]
RUNS = [(scenario, version) for scenario, *versions in LINES for version in versions]

# How the suite fails a single check whose diagnostic tool we do not have; no scenario is here only for such a check.
LACKS_A_TOOL = "Not testable: server does not list the diagnostic tool"


@pytest.mark.parametrize(("scenario", "version"), RUNS, ids=map("-".join, RUNS))
def test_the_scenario_passes(scenario: str, version: str, server: Server, tmp_path: Path) -> None:
    command = [node(), str(SUITE), "server", "--url", server.url, "--scenario", scenario, "--spec-version", version]
    done = subprocess.run(
        [*command, "-o", str(tmp_path)],
        env=node_env(tmp_path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    [report] = tmp_path.glob("*/checks.json")
    failed = [check for check in json.loads(report.read_text()) if check["status"] == "FAILURE"]
    untestable = [check for check in failed if LACKS_A_TOOL in check.get("errorMessage", "")]
    assert [check for check in failed if check not in untestable] == []
    assert done.returncode == 0 or untestable, done.stdout + done.stderr
