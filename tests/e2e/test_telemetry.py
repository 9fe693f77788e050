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
from connectors import FIXTURE, connector, program
from harness import PATIENCE, Manifests, Server, until
from planted import plant
from telemetry import attributes
from test_search import Api, Reply, Seen, running
from wire import LEGACY, META, Json, Wire, request, result

KEY = plant("k3y-of-the-numbers-0000")
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
    with harness.serve(folder_of(tmp_path / "again"), env=PROMETHEUS | {"ENABLE_PROMETHEUS": ""}) as server:
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
        [(own, state)] = [(it.headers["traceparent"], it.headers["tracestate"]) for it in behind.seen if it.path == "/get"]
        assert state == "a=b"
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
        asked = attributes(client)
        assert (asked["brand"], asked["component"], asked["connectorId"]) == ("Switchboard", "adapter", "api")
        assert asked["runId"] == answered.headers["x-request-id"]
        assert (parent.name, parent.parent_span_id.hex(), parent.kind) == ("tools/call api_get", "00f067aa0ba902b7", 2)
        steps = {span.name for span in spans.values() if span.parent_span_id == parent.span_id}
        assert steps >= {"resolve", "check", "turn", "credential", "shape"}
        told = attributes(parent)
        assert told["mcp.method.name"] == "tools/call" and told["gen_ai.tool.name"] == "api_get"
        assert (told["brand"], told["component"], told["connectorId"]) == ("Switchboard", "gateway", "api")
        assert told["runId"] == answered.headers["x-request-id"]
        server.says('"called"')
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
        server.says('"called"')
        lines = [json.loads(line) for line in server.log if line.startswith("{")]
        assert all({"timestamp", "level", "brand", "component", "trace_id", "request_id"} <= set(it) for it in lines)
        [called] = [line for line in lines if line["message"] == "called"]
        assert (called["brand"], called["component"]) == ("Acme", "gateway")
        assert called["request_id"] == answered.headers["x-request-id"]
        assert re.fullmatch("[0-9a-f]{32}", called["trace_id"])


def test_each_line_of_the_log_for_people_says_so_too(tmp_path: Path) -> None:
    env = {"LOG_LEVEL": "debug", "SWITCHBOARD_BRAND": "Acme Tools"}
    with upstream() as behind, harness.serve(folder_of(tmp_path, api(behind.url)), env=env) as server:
        answered = call(server, "api_get")
        called = server.says(" called ")
        entries = [line for line in server.log if re.match(r"\d{4}-\d\d-\d\dT", line)]
        assert all(re.search(r' component=\w+ brand="(Acme Tools|Switchboard)"', line) for line in entries)
        ids = rf"request_id={answered.headers['x-request-id']} trace_id=[0-9a-f]{{32}}"
        assert re.search(rf' component=gateway brand="Acme Tools" {ids}$', called)


def test_a_failed_result_says_by_what_it_is_found(tmp_path: Path) -> None:
    with upstream() as behind, harness.serve(folder_of(tmp_path, api(behind.url))) as server:
        answered = call(server, "api_fail")
        assert result(answered)["_meta"]["switchboard/requestId"] == answered.headers["x-request-id"]


NEXT = f"01-{TRACE}-00f067aa0ba902b7-01"


# What a client says, and what goes on of it.
CONTEXTS: list[tuple[tuple[str, str | None], tuple[str | None, str | None]]] = [
    ((PARENT, "a=b,c@d=e"), (PARENT, "a=b,c@d=e")),
    ((NEXT, None), (PARENT, None)),
    ((f"{NEXT}-{'x' * 100_000}", None), (PARENT, None)),
    ((f"{NEXT}x", None), (None, None)),
    ((f"{PARENT}-x", "a=b"), (None, None)),
    ((PARENT.upper(), None), (None, None)),
    ((PARENT.replace("00-", "ff-", 1), None), (None, None)),
    ((PARENT.replace(TRACE, "0" * 32), None), (None, None)),
    ((PARENT.replace("00f067aa0ba902b7", "0" * 16), None), (None, None)),
    ((PARENT.replace(TRACE, TRACE[:-1]), None), (None, None)),
    ((PARENT, "no list"), (PARENT, None)),
    ((PARENT, "a=b\r\nEvil: 1"), (PARENT, None)),
    ((PARENT, f"a={'b' * 3000}"), (PARENT, None)),
]


def test_of_a_context_only_what_is_well_formed_is_passed_on(tmp_path: Path) -> None:
    with upstream() as behind, harness.serve(folder_of(tmp_path, api(behind.url)), env=PROMETHEUS) as server:
        for (parent, state), _ in CONTEXTS:
            meta = META | {"traceparent": parent} | ({"tracestate": state} if state else {})
            params = {"name": "api_get", "arguments": {}, "_meta": meta}
            answered = Wire(server.base).modern("tools/call", params, Authorization=BEARER["Authorization"])
            assert not result(answered).get("isError"), answered.text
        seen = [it.headers for it in behind.seen if it.path == "/get"]
        passed = [(it.get("traceparent"), it.get("tracestate")) for it in seen]
        assert passed == [passed_on for _, passed_on in CONTEXTS]


@pytest.mark.parametrize("collected", [False, True])
def test_an_mcp_server_finds_the_context_in_meta(tmp_path: Path, collected: bool) -> None:
    heard, script = tmp_path / "heard", tmp_path / "tee.sh"
    script.write_text(f"#!/bin/sh\ntee -a {heard} | {FIXTURE} stdio --faults\n")
    script.chmod(0o755)
    manifest = mcp() | {"adapter": {"kind": "mcp", "program": str(script), "args": []}}
    # Nobody listens there.
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_BSP_SCHEDULE_DELAY": "100"} if collected else {}

    def said() -> list[Json]:
        asked = [json.loads(line) for line in heard.read_text().splitlines()]
        return [it["params"].get("_meta", {}) for it in asked if it.get("method") == "tools/call"]

    with harness.serve(folder_of(tmp_path, manifest), env=PROMETHEUS | env) as server:
        headers = {"traceparent": PARENT, "tracestate": "a=b"}
        call(server, "mcp_echo", {"message": "hello"}, **headers)
        other = f"00-{'a' * 32}-{'b' * 16}-01"
        params = {"name": "mcp_echo", "arguments": {"message": "hello"}, "_meta": META | {"traceparent": other}}
        Wire(server.base).modern("tools/call", params, Authorization=BEARER["Authorization"], **headers)
        until(lambda: len(said()) == 2, "both calls")
        first, second = said()
        assert first["tracestate"] == "a=b" and "tracestate" not in second
        if collected:
            assert first["traceparent"].startswith(f"00-{TRACE}-") and first["traceparent"] != PARENT
            assert second["traceparent"].startswith(f"00-{'a' * 32}-") and second["traceparent"] != other
            server.says("traces are lost")
            assert len([line for line in server.log if "traces are lost" in line]) == 1
        else:
            assert (first["traceparent"], second["traceparent"]) == (PARENT, other)


FORGED = b"oops\n1999-01-01T00:00:00.000000Z ERROR forged\r\x1b[31mred"


def babbling(seen: Seen) -> object:
    """An MCP server whose tool fails in words that look like a line of a log."""
    asked = json.loads(seen.body or b"{}")
    results: dict[str, Json] = {
        "initialize": {
            "protocolVersion": LEGACY,
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "babbling", "version": "1.0.0"},
        },
        "tools/list": {"tools": [{"name": "talk", "inputSchema": {"type": "object"}}]},
    }
    method = asked.get("method")
    if method in results:
        return {"jsonrpc": "2.0", "id": asked["id"], "result": results[method]}
    if method == "tools/call":
        return Reply(500, FORGED, {"Content-Type": "text/plain"})
    return Reply(202 if method and "id" not in asked else 405)


def test_what_an_upstream_says_makes_no_line_of_the_log(tmp_path: Path) -> None:
    with running({"/mcp": babbling}) as behind:
        manifest = mcp() | {"adapter": {"kind": "mcp", "url": f"{behind.url}/mcp", "allowPrivate": True}}
        with harness.serve(folder_of(tmp_path, manifest)) as server:
            call(server, "mcp_talk")
            server.says("    1999-01-01")
            [at] = [at for at, line in enumerate(server.log) if "oops" in line and "called" in line]
            line, forged = server.log[at : at + 2]
            assert forged.startswith("    1999-01-01") and "forged\\r" in forged and "\x1b" not in line + forged
            assert "[31mred" in forged and "request_id=" in forged
            assert not any(line.startswith("1999") for line in server.log)


def test_for_machines_problems_of_manifests_are_lines_of_the_log_like_all_others(tmp_path: Path) -> None:
    manifests = folder_of(tmp_path, mcp())
    (manifests.folder / "bad.json").write_text('{"id": "bad"}')
    with harness.serve(manifests, env={"LOG_FORMAT": "json"}) as server:
        call(server, "mcp_echo", {"message": "hello"})
        lines = [json.loads(line) for line in list(server.log)]
        assert [line for line in lines if line["level"] == "ERROR" and "bad.json" in line["message"]]
