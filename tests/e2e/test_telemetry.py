"""What the server tells of what goes on: numbers, traces, lines of its log; and no secret in any of it."""

import json
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
import pytest

import harness
import telemetry
from connectors import connector, program
from harness import PATIENCE, Manifests, Server, until
from telemetry import attributes
from test_search import Api, Reply, running
from wire import META, Json, Wire, request, result

KEY = "k3y-of-the-numbers-0000"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
PROMETHEUS = {"ENABLE_PROMETHEUS": "true", "CONNECTORS_API_KEY": KEY}
BEARER = {"Authorization": f"Bearer {KEY}"}


def api(url: str, **more: object) -> Json:
    """A tool that asks an HTTP API, and one that fails there."""
    tools = [
        {
            "name": name,
            "description": "Use this to ask.",
            "inputSchema": {"type": "object", "properties": {"q": {"type": "string"}}},
            "annotations": {"readOnly": True},
            "request": {"method": "GET", "path": f"/{name}", "query": {"q": "{q}"}},
        }
        for name in ("get", "fail")
    ]
    return {
        "id": "api",
        "name": "Api",
        "version": "1.0.0",
        "adapter": {"kind": "http", "baseUrl": url, "allowPrivate": True},
        "tools": tools,
        **more,
    }


@contextmanager
def upstream() -> Iterator[Api]:
    answers = {"/get": lambda seen: seen.headers, "/fail": lambda seen: Reply(404, b"nothing")}
    with running(answers) as server:
        yield server


def folder_of(tmp_path: Path, *manifests: Json) -> Manifests:
    folder = tmp_path / "manifests"
    folder.mkdir()
    for manifest in manifests:
        (folder / f"{manifest['id']}.json").write_text(json.dumps(manifest))
    return Manifests(folder, "http://127.0.0.1:9")


def call(server: Server, tool: str, arguments: Json | None = None, **headers: str) -> httpx2.Response:
    return Wire(server.base).modern(
        "tools/call", {"name": tool, "arguments": arguments or {}}, Authorization=BEARER["Authorization"], **headers
    )


def metrics(server: Server, **headers: str) -> httpx2.Response:
    return httpx2.get(f"{server.base}/metrics", headers=headers, trust_env=False)


def samples(server: Server) -> dict[str, float]:
    lines = [line for line in metrics(server, **BEARER).text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_numbers_are_there_for_who_has_the_key_and_where_they_are_wanted(tmp_path: Path) -> None:
    with upstream() as behind, harness.serve(folder_of(tmp_path, api(behind.url)), env=PROMETHEUS) as server:
        assert metrics(server).status_code == 401
        assert metrics(server, Authorization="Bearer wrong").status_code == 403
        told = metrics(server, **BEARER)
        assert told.status_code == 200 and told.headers["content-type"].startswith("text/plain; version=0.0.4")
    (tmp_path / "again").mkdir()
    with harness.serve(folder_of(tmp_path / "again"), env={"CONNECTORS_API_KEY": KEY}) as server:
        assert metrics(server, **BEARER).status_code == 404


def test_calls_are_counted_by_connector_tool_and_outcome_and_what_is_not_there_by_none(tmp_path: Path) -> None:
    with upstream() as behind, harness.serve(folder_of(tmp_path, api(behind.url)), env=PROMETHEUS) as server:
        for _ in range(3):
            assert not result(call(server, "api_get", {"q": "a"})).get("isError")
        assert result(call(server, "api_fail"))["isError"]
        call(server, "nobody_has_this_7f3")
        told = samples(server)
        assert told['switchboard_calls_total{connector="api",outcome="ok",tool="get"}'] == 3
        assert told['switchboard_calls_total{connector="api",outcome="failed",tool="fail"}'] == 1
        assert told['switchboard_calls_total{connector="",outcome="unknown_tool",tool=""}'] == 1
        assert told['switchboard_call_duration_seconds_count{connector="api",tool="get"}'] == 3
        assert told['switchboard_call_argument_bytes_total{connector="api",tool="get"}'] > 0
        assert told['switchboard_call_result_tokens_total{connector="api",tool="get"}'] > 0
        assert told['switchboard_calls_in_flight{connector="api"}'] == 0
        assert told['switchboard_mcp_connector_proxy_up{connector="api"}'] == 1
        assert told['switchboard_connector_tools{connector="api"}'] == 2
        assert told['switchboard_requests_total{era="2026-07-28",method="tools/call",transport="http"}'] == 5
        assert told["process_open_fds"] > 0
        assert "nobody_has_this" not in metrics(server, **BEARER).text


def test_a_brand_names_the_number_that_says_who_is_up(tmp_path: Path) -> None:
    env = PROMETHEUS | {"SWITCHBOARD_BRAND": "brAInwav"}
    with upstream() as behind, harness.serve(folder_of(tmp_path, api(behind.url)), env=env) as server:
        assert samples(server)['brainwav_mcp_connector_proxy_up{connector="api"}'] == 1


def test_a_trace_goes_from_the_client_to_the_upstream(tmp_path: Path) -> None:
    with ExitStack() as stack:
        seen = stack.enter_context(telemetry.backend())
        address = stack.enter_context(telemetry.collector(seen, tmp_path))
        behind = stack.enter_context(upstream())
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "LOG_FORMAT": "json", "CONNECTORS_API_KEY": KEY}
        server = stack.enter_context(
            harness.serve(folder_of(tmp_path, api(behind.url), mcp()), env=env | {"OTEL_BSP_SCHEDULE_DELAY": "100"})
        )
        meta = META | {"traceparent": PARENT, "tracestate": "a=b"}
        answered = Wire(server.base).modern(
            "tools/call", {"name": "api_get", "arguments": {}, "_meta": meta}, Authorization=BEARER["Authorization"]
        )
        assert not result(answered).get("isError"), answered.text
        [own] = [it.headers["traceparent"] for it in behind.seen if it.path == "/get"]
        assert behind.seen[-1].headers["tracestate"] == "a=b"
        # In the header, where the request says nothing itself.
        call(server, "mcp_echo", {"message": "hello"}, traceparent=PARENT)
        until(lambda: len([span for span in seen.spans() if span.kind == 2]) >= 2, "the spans came")
        spans = {span.span_id.hex(): span for span in seen.spans()}
        assert {span.trace_id.hex() for span in spans.values()} == {TRACE}
        _, trace, sender, sampled = own.split("-")
        assert (trace, sampled) == (TRACE, "01")
        client = spans[sender]
        parent = spans[client.parent_span_id.hex()]
        assert (client.name, client.kind) == ("tools/call get", 3)
        assert (parent.name, parent.parent_span_id.hex(), parent.kind) == ("tools/call api_get", "00f067aa0ba902b7", 2)
        steps = {span.name for span in spans.values() if span.parent_span_id == parent.span_id}
        assert steps >= {"resolve", "check", "turn", "credential", "shape"}
        told = attributes(parent)
        assert told["mcp.method.name"] == "tools/call" and told["gen_ai.tool.name"] == "api_get"
        assert (told["brand"], told["component"], told["connectorId"]) == ("Switchboard", "gateway", "api")
        assert told["runId"] == answered.headers["x-request-id"]
        lines = [json.loads(line) for line in server.log if '"called"' in line]
        assert {line["trace_id"] for line in lines} == {TRACE}
        assert lines[0]["request_id"] == answered.headers["x-request-id"]
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(PATIENCE)
        until(lambda: "switchboard.calls" in seen.numbers(), "numbers came as OTLP")


def mcp() -> Json:
    return {"id": "mcp", "name": "Mcp", "version": "1.0.0", "adapter": {"kind": "mcp", **program()}}


def test_where_no_trace_is_kept_a_context_is_passed_on_as_it_came(tmp_path: Path) -> None:
    with upstream() as behind, harness.serve(folder_of(tmp_path, api(behind.url)), env=PROMETHEUS) as server:
        call(server, "api_get", traceparent=PARENT)
        call(server, "api_get")
        call(server, "api_get", traceparent="00-nonsense")
        assert [it.headers.get("traceparent") for it in behind.seen if it.path == "/get"] == [PARENT, None, None]


def test_each_line_of_the_log_says_who_speaks_and_of_which_request(tmp_path: Path) -> None:
    env = {"LOG_FORMAT": "json", "LOG_LEVEL": "debug", "SWITCHBOARD_BRAND": "Acme"}
    with upstream() as behind, harness.serve(folder_of(tmp_path, api(behind.url)), env=env) as server:
        answered = call(server, "api_get")
        until(lambda: any('"called"' in line for line in server.log), "the call is told of")
        lines = [json.loads(line) for line in server.log if line.startswith("{")]
        assert all({"timestamp", "level", "brand", "component", "trace_id", "request_id"} <= set(it) for it in lines)
        [called] = [line for line in lines if line["message"] == "called"]
        assert (called["brand"], called["component"]) == ("Acme", "gateway")
        assert called["request_id"] == answered.headers["x-request-id"]
        assert re.fullmatch("[0-9a-f]{32}", called["trace_id"])


def test_a_failed_result_says_by_what_it_is_found(tmp_path: Path) -> None:
    with upstream() as behind, harness.serve(folder_of(tmp_path, api(behind.url))) as server:
        answered = call(server, "api_fail")
        assert result(answered)["_meta"]["switchboard/requestId"] == answered.headers["x-request-id"]
