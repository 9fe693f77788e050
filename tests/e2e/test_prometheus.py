"""A real Prometheus scrapes the server as `deploy/prometheus` says it should."""

import os
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
import yaml

from harness import ROOT, Server, kill_tree, until
from planted import plant
from proxies import listens, program
from test_deploy import GAUGES, HISTOGRAMS
from wire import Wire, result

KEY = plant("a-key-that-only-this-test-knows")
BEARER = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture
def server(serve: Callable[..., Server]) -> Server:
    """A server that tells its numbers and was called, well and in vain."""
    server = serve(env={"CONNECTORS_API_KEY": KEY, "ENABLE_PROMETHEUS": "true"})
    wire = Wire(server.base)
    tools = result(wire.modern("tools/list", **BEARER))["tools"]
    wire.modern("tools/call", {"name": tools[0]["name"], "arguments": {"no-such-argument": 1}}, **BEARER)
    return server


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def prometheus(server: Server, home: Path) -> Iterator[str]:
    """Runs Prometheus with our own configuration, less the names of containers, and gives its address."""
    settings = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    settings["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    settings["rule_files"] = [str(ROOT / "deploy/prometheus/rules.yml")]
    [job] = settings["scrape_configs"]
    job["authorization"]["credentials_file"] = str(home / "key")
    job["static_configs"][0]["targets"] = [server.base.removeprefix("http://")]
    (home / "key").write_text(KEY)
    (home / "prometheus.yml").write_text(yaml.safe_dump(settings))
    port = free_port()
    command = [
        program("prometheus"),
        f"--config.file={home / 'prometheus.yml'}",
        f"--storage.tsdb.path={home / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (home / "log").open("w") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ})
    try:
        until(lambda: process.poll() is not None or listens(port), "Prometheus")
        assert process.poll() is None, (home / "log").read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        kill_tree(process)


def test_prometheus_scrapes_the_server_with_its_key_and_finds_the_connectors(server: Server, tmp_path: Path) -> None:
    with prometheus(server, tmp_path) as address:

        def asked(query: str) -> list[dict]:
            answer = httpx2.get(f"{address}/api/v1/query", params={"query": query})
            return answer.json()["data"]["result"] if answer.is_success else []

        def value(query: str) -> float | None:
            return float(found[0]["value"][1]) if (found := asked(query)) else None

        until(lambda: value('up{job="switchboard"}') == 1, "a scrape that goes well")
        # A scrape that is late takes all numbers away until the next.
        connectors = lambda: {it["metric"]["connector"] for it in asked('{__name__=~".+_mcp_connector_proxy_up"}')}
        until(lambda: {"api", "kit"} <= connectors(), "the connectors")
        until(lambda: value('sum(switchboard_calls_total{outcome="invalid_arguments"})') == 1, "the call")
        until(lambda: (value("process_resident_memory_bytes") or 0) > 1 << 20, "the memory")
        rules = httpx2.get(f"{address}/api/v1/rules").json()["data"]["groups"][0]["rules"]
        assert rules and all(rule["health"] in ("ok", "unknown") for rule in rules)


def test_what_is_told_is_clean_and_needs_the_key(server: Server) -> None:
    address = f"{server.base}/metrics"
    assert httpx2.get(address).status_code == 401
    assert httpx2.get(address, headers={"Authorization": "Bearer another-key-altogether"}).status_code == 403
    text = httpx2.get(address, headers=BEARER).raise_for_status().text
    checked = subprocess.run([program("promtool"), "check", "metrics"], input=text, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert not checked.stderr.strip(), checked.stderr


def test_dashboard_and_alerts_know_every_number_that_is_told(server: Server) -> None:
    text = httpx2.get(f"{server.base}/metrics", headers=BEARER).raise_for_status().text
    told = set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))
    brand = {name for name in told if name.endswith("_mcp_connector_proxy_up")}
    assert brand == {"switchboard_mcp_connector_proxy_up"}
    ours = {name for name in told - brand if name.startswith("switchboard_")}
    assert ours <= GAUGES | HISTOGRAMS, ours - GAUGES - HISTOGRAMS
    assert {name for name in GAUGES if name.startswith("process_")} <= told
