"""What `deploy/` and the Dockerfile hold is right, by the programs that will read it."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from harness import BINARY, ROOT, Server
from proxies import program

DEPLOY = ROOT / "deploy"
PROMETHEUS = DEPLOY / "prometheus"

# Every number the server tells, less the brand's own gauge, by kind. Histograms end on _bucket, _sum and _count too.
GAUGES = {
    "switchboard_audit_failing",
    "switchboard_audit_records_total",
    "switchboard_audit_lost_total",
    "switchboard_breaker_open",
    "switchboard_build_info",
    "switchboard_cache_lookups_total",
    "switchboard_call_argument_bytes_total",
    "switchboard_call_result_bytes_total",
    "switchboard_call_result_tokens_total",
    "switchboard_call_retries_total",
    "switchboard_calls_in_flight",
    "switchboard_calls_total",
    "switchboard_calls_waiting",
    "switchboard_connector_descriptor_tokens",
    "switchboard_connector_probe_failures_total",
    "switchboard_connector_tools",
    "switchboard_requests_total",
    "switchboard_sessions",
    "switchboard_streams",
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_threads",
}
HISTOGRAMS = {"switchboard_call_duration_seconds", "switchboard_request_duration_seconds"}
TOLD = GAUGES | {f"{name}_{part}" for name in HISTOGRAMS for part in ("bucket", "sum", "count")}
BRAND = r'__name__=~".+_mcp_connector_proxy_up"'
NAMED = re.compile(r"\b(?:switchboard|process)_[a-z_]+\b")


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def expressions(part: object) -> Iterator[str]:
    """Every query in a document of rules or panels."""
    if isinstance(part, dict):
        yield from (value for key, value in part.items() if key in ("expr", "definition") and isinstance(value, str))
        part = list(part.values())
    for inner in part if isinstance(part, list) else []:
        yield from expressions(inner)


def dashboard() -> dict:
    return json.loads((DEPLOY / "grafana/dashboard.json").read_text())


def test_prometheus_takes_its_configuration_and_each_alert_comes_when_it_should() -> None:
    promtool = program("promtool")
    run(promtool, "check", "config", "--syntax-only", PROMETHEUS / "prometheus.yml")
    run(promtool, "check", "rules", PROMETHEUS / "rules.yml")
    run(promtool, "test", "rules", PROMETHEUS / "rules_test.yml")
    rules = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"][0]["rules"]
    tested = (PROMETHEUS / "rules_test.yml").read_text()
    assert all(rule["alert"] in tested for rule in rules)


def test_alerts_and_dashboard_ask_for_numbers_that_are_told() -> None:
    rules = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())
    asked = list(expressions(rules)), list(expressions(dashboard()))
    for queries in asked:
        assert any(BRAND in query for query in queries)
        assert {name for query in queries for name in NAMED.findall(query)} <= TOLD
    shown = {name for query in asked[1] for name in NAMED.findall(query)}
    assert {name for name in GAUGES if name not in shown} == set()
    assert all(f"{name}_bucket" in shown for name in HISTOGRAMS)


def test_prometheus_reads_every_query_of_the_dashboard(tmp_path: Path) -> None:
    ours = {"$__rate_interval": "5m", "$__range": "1h", "$datasource": "x"}
    queries = [query for query in expressions(dashboard()) if not query.startswith("label_values(")]
    for variable, value in ours.items():
        queries = [query.replace(variable, value) for query in queries]
    rules = [{"record": f"query:{index}", "expr": query} for index, query in enumerate(queries)]
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    run(program("promtool"), "check", "rules", "--lint=none", file)


def test_the_dashboard_can_be_imported_anywhere() -> None:
    board = dashboard()
    assert board["templating"]["list"][0] | {"type": "datasource", "query": "prometheus"} == board["templating"]["list"][0]
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    assert all(panel["datasource"]["uid"] == "${datasource}" and panel["title"] for panel in panels)
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))


@pytest.fixture(scope="module")
def kubernetes() -> dict[str, dict]:
    parts = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    return {f"{part['kind']}/{part['metadata']['name']}": part for part in parts if part}


def test_kubernetes_takes_its_parts_and_restricts_the_pod(kubernetes: dict[str, dict]) -> None:
    run(Path(sys.executable).with_name("kubernetes-validate"), "--strict", DEPLOY / "kubernetes.yaml")
    pod = kubernetes["Deployment/switchboard"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    probes = {name: container[name]["httpGet"]["path"] for name in ("livenessProbe", "readinessProbe", "startupProbe")}
    assert probes == {"livenessProbe": "/health", "readinessProbe": "/ready", "startupProbe": "/ready"}


def test_the_program_takes_what_kubernetes_gives_it(kubernetes: dict[str, dict], tmp_path: Path) -> None:
    for name in ("switchboard-manifests", "switchboard-settings"):
        for file, text in kubernetes[f"ConfigMap/{name}"]["data"].items():
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / file).write_text(text)
    settings = tmp_path / "switchboard-settings/switchboard.yaml"
    said = run(BINARY, "check", "--strict", "--config", settings, "--manifests", tmp_path / "switchboard-manifests")
    assert "weather_get_current" in said and "0 errors, 0 warnings" in said


def test_the_health_check_says_whether_requests_are_taken(server: Server) -> None:
    assert run(BINARY, "health", "--server", server.base) == "ready\n"
    nobody = subprocess.run([BINARY, "health", "--server", "http://127.0.0.1:1"], capture_output=True, text=True)
    assert (nobody.returncode, nobody.stdout) == (1, "") and nobody.stderr.startswith("not ready: ")


def test_the_service_is_one_that_systemd_takes_and_shuts_in(tmp_path: Path) -> None:
    unit = (DEPLOY / "switchboard.service").read_text()
    for wanted in ("Type=exec", "Restart=always", "kill -HUP", "DynamicUser=yes", "ProtectSystem=strict", "NoNewPrivileges=yes"):
        assert wanted in unit
    if not (analyze := shutil.which("systemd-analyze")):
        return
    # The program is not installed here.
    here = tmp_path / "switchboard.service"
    here.write_text(unit.replace("/usr/local/bin/switchboard", BINARY))
    run(analyze, "verify", here)
    # Its scale of exposure ends at 100; a service nobody thought about has more than 90.
    run(analyze, "security", "--offline=true", "--threshold=20", here)


def test_containers_get_what_they_need_and_no_more() -> None:
    run(Path(sys.executable).with_name("hadolint"), "--failure-threshold", "style", ROOT / "Dockerfile")
    compose = yaml.safe_load((DEPLOY / "docker-compose.yml").read_text())
    # Compose copies those into the container, which one that is read-only does not take.
    from_environment = {name for name, secret in compose["secrets"].items() if "environment" in secret}
    for name, service in compose["services"].items():
        copied = from_environment.intersection(service.get("secrets", []))
        assert service["read_only"] == (not copied), name
        assert service["cap_drop"] == ["ALL"] and service["healthcheck"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
    files = [mount.split(":")[0] for it in compose["services"].values() for mount in it["volumes"] if mount[0] == "."]
    assert files and all((DEPLOY / file).exists() for file in files)
    for file in (DEPLOY / "grafana/provisioning").rglob("*.yml"):
        assert yaml.safe_load(file.read_text())["apiVersion"] == 1
