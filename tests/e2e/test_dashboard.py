"""How the connectors are: as a tool's result, as a stream, as a page; for those who may know, and without a secret."""

import base64
import json
import re
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
import pytest

import harness
from harness import ROOT, Server, running_with, until
from planted import plant
from test_collection import COLLECTIONS, outcome, refusal, said
from test_manifests import check
from test_search import Api, Reply, running
from test_surface import DOORS, PUBLIC, UPSTREAM, Raw, call, door, manifests_of, page_of, read, tools, wire_to
from wire import META, MODERN, Json, request, result, text

SWITCHBOARD = ROOT / "manifests/switchboard.json"
KEY = plant("k3y-of/the+dashboard=")
SECRET = plant("s3cret-of-the-upstream")
STREAM = "/v1/connectors/stream"
PAGE = "/apps/chatgpt-dashboard/"
MOST_READERS = 5000

TOTALS = {"connectors", "online", "tools", "tokens", "calls", "errors"}
CONNECTOR = {
    *("id", "name", "category", "version", "description", "kind", "state", "status", "reason", "endpoint", "since"),
    *("checkedAt", "expiresAt", "ttlSeconds", "retryAt", "latencyMs", "latencyP50Ms", "latencyP95Ms", "latencies"),
    *("calls", "errors", "tools", "tokens", "sample", "breaker"),
}
KINDS = {"http", "command", "mcp", "collection", "gateway"}
STATES = {"up", "starting", "degraded", "down", "unavailable", "disabled"}
STATUSES = {"online", "offline", "degraded", "unknown"}
MOMENT = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z"


def kit(**more: Any) -> Json:
    """A connector of small programs; its sample greets."""
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    greet = {
        "name": "greet",
        "description": "Use this to greet.",
        "inputSchema": schema,
        "run": {"args": ["hello %s", "{name}"]},
    }
    fail = {
        "name": "fail",
        "description": "Use this to fail.",
        "run": {"program": "python3", "args": ["-c", "import sys; sys.exit('the disk is full')"]},
    }
    long = {
        "name": "long",
        "description": "Use this for much.",
        "run": {"program": "python3", "args": ["-c", "print('ü' * 9000)"]},
    }
    tools = [tool | {"annotations": {"readOnly": True}} for tool in (greet, fail, long)]
    tools.append({"name": "write", "description": "Use this to write.", "run": {"program": "true"}})
    sample = {"title": "Greet Ada", "tool": "greet", "arguments": {"name": "Ada"}}
    told = {"id": "kit", "name": "Kit", "version": "1.2.3", "description": "Small programs.", "category": "Tools"}
    return told | {
        "adapter": {"kind": "command", "program": "printf"},
        "sample": sample,
        "tools": tools,
        **more,
    }


def api(url: str, **more: Any) -> Json:
    """A connector before an HTTP API, with a secret to show it."""
    get = {
        "name": "get",
        "description": "Use this to get.",
        "annotations": {"readOnly": True},
        "request": {"method": "GET", "path": "/v1/thing"},
    }
    adapter = {"kind": "http", "baseUrl": url, "allowPrivate": True}
    credentials = {"headers": {"Authorization": "Bearer ${API_SECRET}"}, "query": {"key": "${API_SECRET}"}}
    return {
        "id": "api",
        "name": "API",
        "version": "1.0.0",
        "adapter": adapter,
        "credentials": credentials,
        "tools": [get],
        **more,
    }


UNSET = {
    "id": "unset",
    "name": "Unset",
    "version": "1.0.0",
    "adapter": {"kind": "http", "baseUrl": "https://unset.example/v1"},
    "credentials": {"headers": {"X-Key": "${NOBODY_SETS_THIS}"}},
    "tools": [{"name": "get", "description": "Use this never.", "request": {"method": "GET", "path": "/"}}],
}


def dashboard(server: Server) -> Json:
    return said(call(Raw(server, "somebody"), "show_connectors"))


def shown(server: Server, id: str) -> Json:
    """What is said of one connector."""
    [connector] = [connector for connector in dashboard(server)["connectors"] if connector["id"] == id]
    return connector


def to_operator(server: Server) -> dict[str, Json]:
    """What is said to whoever is at this machine, by connector."""
    with follow(server) as response:
        return {each["id"]: each for each in next(events(response))["dashboard"]["connectors"]}


def moment(text: str) -> datetime:
    assert re.fullmatch(MOMENT, text), text
    return datetime.fromisoformat(text)


@pytest.fixture(scope="module")
def upstream_api() -> Iterator[Api]:
    with running({"/v1": lambda _: {"thing": 1}, "/": lambda _: {}}) as api:
        yield api


@pytest.fixture(scope="module")
def server(upstream_api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a connector of every kind and in several states."""
    sources = [SWITCHBOARD, COLLECTIONS / "basket.json", kit(), api(upstream_api.url, ttlSeconds=30), UPSTREAM, UNSET]
    sources.append(kit(id="off", enabled=False))
    dead = {
        "kind": "mcp",
        "program": sys.executable,
        "args": ["-c", "import os, sys; sys.exit(f\"no {os.environ['TOKEN']}\")"],
    }
    sources.append(
        {
            "id": "dead",
            "name": "Dead",
            "version": "1.0.0",
            "adapter": dead,
            "credentials": {"env": {"TOKEN": "${API_SECRET}"}},
        }
    )
    manifests = manifests_of(tmp_path_factory.mktemp("dashboard"), *sources, API_SECRET=SECRET)
    with harness.serve(manifests) as server:
        until(lambda: shown(server, "other")["state"] == "up", f"the MCP server: {server.log}")
        until(lambda: shown(server, "dead")["reason"], f"the dead one's reason: {server.log}")
        for id in ("api", "basket", "kit", "switchboard"):
            until(lambda id=id: shown(server, id)["checkedAt"], f"the first probe of {id}: {server.log}")
        yield server


# What it says


def check_shape(value: Json) -> None:
    """Every member, its type, and what must agree."""
    assert set(value) == {"generatedAt", "version", "totals", "connectors"}
    assert set(value["totals"]) == TOTALS and moment(value["generatedAt"])
    for connector in value["connectors"]:
        assert set(connector) == CONNECTOR, CONNECTOR ^ set(connector)
        assert connector["kind"] in KINDS and connector["state"] in STATES and connector["status"] in STATUSES
        for name in ("since", "checkedAt", "expiresAt", "retryAt"):
            assert connector[name] is None or moment(connector[name])
        for name in ("latencyMs", "latencyP50Ms", "latencyP95Ms"):
            assert connector[name] is None or connector[name] >= 0
        assert len(connector["latencies"]) <= 30 and all(number >= 0 for number in connector["latencies"])
        assert connector["ttlSeconds"] >= 1 and connector["errors"] <= connector["calls"]
        assert connector["sample"] is None or set(connector["sample"]) == {"title", "tool", "arguments"}
        if connector["checkedAt"] and connector["expiresAt"]:
            kept = moment(connector["expiresAt"]) - moment(connector["checkedAt"])
            assert abs(kept - timedelta(seconds=connector["ttlSeconds"])) <= timedelta(seconds=1)
    totals, connectors = value["totals"], value["connectors"]
    assert totals["connectors"] == len(connectors)
    assert totals["online"] == len([connector for connector in connectors if connector["status"] == "online"])
    for name in ("tools", "tokens", "calls", "errors"):
        assert totals[name] == sum(connector[name] for connector in connectors), name


@pytest.mark.parametrize("kind", DOORS)
def test_the_tool_shows_every_connector_in_every_era(server: Server, kind: str) -> None:
    with door(kind, server) as at:
        answer = call(at, "show_connectors")
        assert page_of(at, "show_connectors").startswith("ui://switchboard/connectors-")
        assert tools(at)["show_connectors"]["_meta"]["ui"]["visibility"] == ["model", "app"]
    value = said(answer)
    check_shape(value)
    assert answer["_meta"]["switchboard/tools"] == {"connectors": "show_connectors", "sample": "run_sample"}
    assert {connector["id"] for connector in value["connectors"]} == set(EXPECTED)


EXPECTED: dict[str, Json] = {
    "kit": {
        "kind": "command",
        "name": "Kit",
        "version": "1.2.3",
        "category": "Tools",
        "description": "Small programs.",
        "status": "online",
        "state": "up",
        "tools": 4,
        "reason": None,
    },
    "basket": {
        "kind": "collection",
        "state": "up",
        "status": "online",
        "tools": 5,
        "endpoint": None,
        "category": None,
        "sample": None,
    },
    "api": {"kind": "http", "state": "up", "status": "online", "tools": 1, "ttlSeconds": 30, "description": None},
    "other": {"kind": "mcp", "state": "up", "status": "online", "tools": 8},
    "unset": {"kind": "http", "state": "unavailable", "status": "offline"},
    "off": {"kind": "command", "state": "disabled"},
    "dead": {"kind": "mcp", "status": "offline", "tools": 0},
    "switchboard": {"kind": "gateway", "state": "up", "status": "online", "tools": 2},
}


@pytest.mark.parametrize("id", EXPECTED)
def test_each_kind_and_state_is_told_as_it_is(server: Server, id: str) -> None:
    connector = to_operator(server)[id]
    assert {name: connector[name] for name in EXPECTED[id]} == EXPECTED[id]
    assert (connector["tokens"] > 0) is (connector["tools"] > 0)


def test_what_is_not_up_says_why_and_when_it_is_tried_again(server: Server) -> None:
    # Which variable that is concerns whoever is at this machine.
    assert "switchboard check" in shown(server, "unset")["reason"] and "NOBODY" not in shown(server, "unset")["reason"]
    with door("sdk-stdio", server) as at:
        reasons = {each["id"]: each["reason"] for each in said(call(at, "show_connectors"))["connectors"]}
    assert "NOBODY_SETS_THIS" in reasons["unset"]
    dead = shown(server, "dead")
    assert dead["state"] in ("down", "starting") and dead["reason"]
    until(lambda: shown(server, "dead")["retryAt"], "the next attempt")


def test_a_sample_names_a_tool_as_it_is_published(server: Server) -> None:
    assert shown(server, "kit")["sample"] == {"title": "Greet Ada", "tool": "kit_greet", "arguments": {"name": "Ada"}}


def test_a_probe_measures_how_long_an_answer_takes(server: Server) -> None:
    probed = shown(server, "api")
    assert probed["latencyMs"] > 0 and probed["latencies"]
    # Where that is, inside this network, is said to whoever is at this machine.
    assert probed["endpoint"] is None and to_operator(server)["api"]["endpoint"].startswith("127.0.0.1")


# Samples


@pytest.mark.parametrize("kind", DOORS)
def test_a_sample_runs_and_says_how_it_went(server: Server, kind: str) -> None:
    with door(kind, server) as at:
        assert tools(at)["run_sample"]["_meta"]["ui"]["visibility"] == ["app"]
        value = said(call(at, "run_sample", {"connector": "kit"}))
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value.pop("requestId"))
    assert value.pop("ms") >= 0
    assert value == {"connector": "kit", "tool": "kit_greet", "ok": True, "output": "hello Ada"}


@pytest.mark.parametrize("connector", ["off", "keyless"])
def test_a_sample_of_what_cannot_be_called_says_so(tmp_path: Path, connector: str) -> None:
    without_key = kit(id="keyless", credentials={"env": {"KEY": "${NOBODY_SETS_THIS}"}})
    with harness.serve(manifests_of(tmp_path, SWITCHBOARD, kit(id="off", enabled=False), without_key)) as server:
        answer = outcome(server, "run_sample", {"connector": connector})
        assert answer.get("isError") or answer["structuredContent"]["ok"] is False
        assert connector in text(answer) and "NOBODY_SETS_THIS" not in text(answer)


@pytest.mark.parametrize("connector", ["nobody", "", "basket", "../kit"])
def test_a_sample_that_is_not_there_is_refused_in_words(server: Server, connector: str) -> None:
    words = refusal(outcome(server, "run_sample", {"connector": connector}))
    assert connector in words


def test_a_sample_takes_a_connector_and_nothing_else(server: Server) -> None:
    schema = tools(Raw(server, "somebody"))["run_sample"]["inputSchema"]
    assert set(schema["properties"]) == {"connector"} and schema["required"] == ["connector"]
    for arguments in ({}, {"connector": "kit", "tool": "kit_fail"}, {"connector": ["kit"]}):
        refusal(outcome(server, "run_sample", arguments))


@pytest.mark.parametrize(
    ("more", "pointer"),
    [
        ({"sample": {"title": "Me", "tool": "run_sample", "arguments": {"connector": "switchboard"}}}, "/sample"),
        ({"feeds": {"search": {"tool": "s", "id": "/id"}, "fetch": {"tool": "f", "id": "id"}}}, "/feeds"),
    ],
    ids=["sample", "feeds"],
)
def test_the_gateway_does_not_ask_itself(tmp_path: Path, more: Json, pointer: str) -> None:
    manifests = manifests_of(tmp_path, json.loads(SWITCHBOARD.read_text()) | more)
    problems = check(manifests.folder)["problems"]
    assert any(problem["pointer"].startswith(pointer) and problem["severity"] == "error" for problem in problems)


@pytest.mark.parametrize(
    ("sample", "pointer", "word"),
    [
        ({"title": "Greet", "tool": "great"}, "/sample/tool", "greet"),
        ({"title": "Greet", "tool": "greet", "arguments": {"nome": "Ada"}}, "/sample", "name"),
        ({"tool": "greet"}, "/sample", "title"),
        ({"title": "Write", "tool": "write"}, "/sample/tool", "readOnly"),
    ],
    ids=["tool", "argument", "title", "writes"],
)
def test_check_finds_what_is_wrong_with_a_sample(tmp_path: Path, sample: Json, pointer: str, word: str) -> None:
    problems = check(manifests_of(tmp_path, kit(sample=sample)).folder)["problems"]
    assert any(problem["pointer"].startswith(pointer) and word in problem["message"] for problem in problems), problems


@pytest.mark.parametrize(("tool", "ok", "output"), [("fail", False, "the disk is full"), ("long", True, "ü" * 100)])
def test_a_sample_shows_what_fails_and_cuts_what_is_long(tmp_path: Path, tool: str, ok: bool, output: str) -> None:
    manifests = manifests_of(tmp_path, SWITCHBOARD, kit(sample={"title": "Try", "tool": tool}))
    with harness.serve(manifests) as server:
        value = said(call(Raw(server, "somebody"), "run_sample", {"connector": "kit"}))
        assert value["ok"] is ok and output in value["output"] and len(value["output"]) <= 4001


# Counting


def test_calls_and_errors_are_counted_and_looking_is_not(tmp_path: Path) -> None:
    with harness.serve(manifests_of(tmp_path, SWITCHBOARD, kit())) as server:
        raw = Raw(server, "somebody")
        before = shown(server, "kit")
        assert (before["calls"], before["errors"]) == (0, 0)
        for _ in range(35):
            call(raw, "kit_greet", {"name": "Ada"})
        outcome(server, "kit_fail", {})
        # What is wrong with a call itself says nothing of its connector.
        outcome(server, "kit_greet", {"nome": "Ada"})
        after = shown(server, "kit")
        assert (after["calls"], after["errors"]) == (36, 1)
        assert len(after["latencies"]) == 30 and after["latencyP50Ms"] <= after["latencyP95Ms"]


# Probes


def test_an_api_that_goes_is_noticed_and_so_is_its_return(tmp_path: Path) -> None:
    answers = {"/": lambda _: {}}
    with running(answers) as first:
        manifests = manifests_of(tmp_path, SWITCHBOARD, api(first.url, ttlSeconds=1), API_SECRET=SECRET)
        port = first.server_port
        with harness.serve(manifests) as server:
            until(lambda: shown(server, "api")["status"] == "online", f"the API: {server.log}")
            until(lambda: len(first.seen) >= 2, "two probes")
            first.stop()
            until(lambda: shown(server, "api")["status"] == "offline", "that it is gone")
            gone = shown(server, "api")
            assert gone["reason"] and SECRET not in json.dumps(gone)
            with running(answers, port):
                until(lambda: shown(server, "api")["status"] == "online", "that it is back")
            after = shown(server, "api")
            assert (after["calls"], after["errors"]) == (0, 0)
        for probe in first.seen:
            assert probe.method in ("GET", "HEAD", "OPTIONS")
            assert "authorization" not in probe.headers and "key" not in probe.query
            assert SECRET not in repr(probe)


def test_a_probe_goes_where_the_manifest_says(tmp_path: Path) -> None:
    answers = {"/": lambda _: Reply(404), "/v1/healthy": lambda _: {}, "/v1/ill": lambda _: Reply(503)}
    with running(answers) as upstream:
        well, ill = (api(f"{upstream.url}/v1", ttlSeconds=1) for _ in range(2))
        well["adapter"] |= {"probe": "/healthy"}
        ill |= {"id": "ill", "adapter": ill["adapter"] | {"probe": "/ill"}}
        with harness.serve(manifests_of(tmp_path, SWITCHBOARD, well, ill, API_SECRET=SECRET)) as server:
            until(lambda: shown(server, "api")["status"] == "online", f"the healthy one: {server.log}")
            until(lambda: shown(server, "ill")["status"] in ("offline", "degraded"), f"the ill one: {server.log}")
            assert {seen.path for seen in upstream.seen} == {"/v1/healthy", "/v1/ill"}


def test_a_server_that_starts_when_needed_is_not_started_by_probes(tmp_path: Path, mark: str) -> None:
    adapter = UPSTREAM["adapter"] | {"args": [*UPSTREAM["adapter"]["args"], mark], "start": "lazy", "idleSeconds": 1}
    lazy = UPSTREAM | {"adapter": adapter, "ttlSeconds": 1}
    with running({"/": lambda _: {}}) as upstream:
        manifests = manifests_of(tmp_path, SWITCHBOARD, lazy, api(upstream.url, ttlSeconds=1), API_SECRET=SECRET)
        with harness.serve(manifests) as server:
            # It may have been asked once what it has.
            until(lambda: len(upstream.seen) >= 2 and not running_with(mark), "the server to be at rest")
            enough, started = len(upstream.seen) + 3, False
            while len(upstream.seen) < enough:
                started = started or bool(running_with(mark))
                dashboard(server)
            assert not started
            assert shown(server, "other")["status"] != "offline"


# The stream


@cache
def browser(base: str) -> httpx2.Client:
    """Somebody who looks at pages and speaks no MCP."""
    return httpx2.Client(base_url=base, timeout=60, trust_env=False)


def follow(server: Server, **headers: str) -> Any:
    return browser(server.base).stream("GET", STREAM, headers={"Accept": "text/event-stream", **headers})


def events(response: httpx2.Response) -> Iterator[Json]:
    for event in httpx2.EventSource(response):
        assert event.event == "status"
        yield json.loads(event.data)


def test_the_stream_says_how_things_are_at_once_and_again_when_they_change(tmp_path: Path) -> None:
    manifests = manifests_of(tmp_path, SWITCHBOARD, kit())
    with harness.serve(manifests) as server, follow(server) as response:
        assert response.status_code == 200 and response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"].startswith("no-") and response.headers["x-accel-buffering"] == "no"
        told = events(response)
        first = next(told)
        assert set(first) == {"timestamp", "payload", "dashboard"} and moment(first["timestamp"])
        check_shape(first["dashboard"])
        manifests.put(kit(id="second"))
        seen = next(event for event in told if len(event["dashboard"]["connectors"]) == 3)
        # Well before the next turn of every fifteen seconds.
        assert moment(seen["timestamp"]) - moment(first["timestamp"]) < timedelta(seconds=12)


def test_a_stream_does_not_hold_up_the_end(tmp_path: Path) -> None:
    # Calls under way are given a day; a stream is no call.
    patient = harness.draining(tmp_path, 86_400)
    with harness.serve(manifests_of(tmp_path, SWITCHBOARD), *patient) as server, follow(server) as response:
        told = events(response)
        next(told)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(harness.PATIENCE) == 0 and list(told) == []


def test_many_may_follow_but_not_all_and_whoever_leaves_makes_room(server: Server) -> None:
    host, port = server.base.removeprefix("http://").split(":")
    ask = f"GET {STREAM} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()

    def follows(reader: socket.socket) -> bool:
        reader.sendall(ask)
        return reader.recv(1000).startswith(b"HTTP/1.1 200")

    def reader(at: int) -> socket.socket:
        # One address may not have as many connections as there may be readers.
        own = f"127.0.0.{2 + at % 2}"
        return socket.create_connection((host, int(port)), 60, source_address=(own, 0))

    with ExitStack() as readers:
        followed = [follows(readers.enter_context(reader(at))) for at in range(MOST_READERS + 10)]
        assert followed.count(True) == MOST_READERS and all(followed[:MOST_READERS])
        status, answer = status_of(server, STREAM, {})
        assert status == 503 and answer["body"]["detail"].startswith("[Switchboard] ")
    until(lambda: status_of(server, STREAM, {})[0] == 200, "room for another")


# The page


def test_the_page_stands_alone_under_a_strict_policy(server: Server) -> None:
    got = wire_to(server.base).send("GET", PAGE, headers={"Accept": "text/html"})
    assert got.status_code == 200 and got.headers["content-type"].startswith("text/html")
    policy = dict(part.strip().split(" ", 1) for part in got.headers["content-security-policy"].strip("; ").split(";"))
    assert policy["default-src"] == "'none'" and policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'" and policy["base-uri"] == "'none'"
    assert "*" not in got.headers["content-security-policy"].replace("*.", "")
    assert got.headers["x-content-type-options"] == "nosniff"
    assert re.search("no-store|no-cache", got.headers["cache-control"])
    raw = Raw(server, "somebody")
    assert got.text == read(raw, page_of(raw, "show_connectors"))["text"]


def test_a_page_of_ones_own_takes_its_place_and_may_load_its_assets(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    (bundle / "assets").mkdir(parents=True)
    (bundle / "assets/app.js").write_text("export {};")
    (bundle / "connectors.html").write_text('<!doctype html><script type="module" src="/assets/app.js"></script>')
    with harness.serve(manifests_of(tmp_path, SWITCHBOARD, APPS_BUNDLE_DIR=str(bundle))) as server:
        got = wire_to(server.base).send("GET", PAGE, headers={"Accept": "text/html"})
        address = got.text.split('src="')[1].split('"')[0]
        assert "/assets/app-" in address and wire_to(server.base).send("GET", address).text == "export {};"
        script = got.headers["content-security-policy"].split("script-src")[1].split(";")[0]
        assert "'self'" in script or server.base in script


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("HEAD", PAGE, {200}),
        ("POST", PAGE, {405}),
        ("POST", STREAM, {405}),
        ("GET", f"{PAGE}secret", {404}),
        ("GET", f"{PAGE}../../etc/passwd", {404}),
        ("GET", PAGE.rstrip("/"), {200, 301, 307, 308}),
    ],
)
def test_only_what_is_there_answers(server: Server, method: str, path: str, status: set[int]) -> None:
    answer = wire_to(server.base).send(method, path, headers={"Accept": "*/*"})
    assert answer.status_code in status
    assert method != "HEAD" or answer.content == b""


def test_a_sample_runs_by_the_request_that_the_page_makes(server: Server) -> None:
    sample = shown(server, "kit")["sample"]
    meta = META | {"io.modelcontextprotocol/clientInfo": {"name": "switchboard-dashboard", "version": "0.1.0"}}
    body = request("tools/call", {"name": sample["tool"], "arguments": sample["arguments"], "_meta": meta})
    headers = {
        "MCP_Protocol_Version": MODERN,
        "Mcp_Method": "tools/call",
        "Mcp_Name": sample["tool"],
        "Origin": server.base,
    }
    answer = wire_to(server.base).post(body, **headers)
    assert text(result(answer)) == "hello Ada"
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", answer.headers["x-request-id"])


def test_the_page_may_call_from_below_a_path_too(locked: Server) -> None:
    meta = META | {"io.modelcontextprotocol/clientInfo": {"name": "switchboard-dashboard", "version": "0.1.0"}}
    body = request("tools/call", {"name": "kit_greet", "arguments": {"name": "Ada"}, "_meta": meta})
    headers = {"MCP_Protocol_Version": MODERN, "Mcp_Method": "tools/call", "Mcp_Name": "kit_greet"}
    seen = {"Host": "gateway.example", "Origin": "https://gateway.example", "Authorization": basic("anybody", KEY)}
    assert text(result(wire_to(locked.base).post(body, "/prefix/mcp", **headers, **seen))) == "hello Ada"


# Who may look


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a key, known to the world under a path."""
    manifests = manifests_of(tmp_path_factory.mktemp("locked"), SWITCHBOARD, kit())
    with harness.serve(manifests, "--public-url", PUBLIC, env={"CONNECTORS_API_KEY": KEY}) as server:
        yield server


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def status_of(server: Server, path: str, headers: dict[str, str]) -> tuple[int, Json]:
    """Status and body; of what streams, the status alone."""
    with browser(server.base).stream("GET", path, headers=headers) as answer:
        if answer.status_code == 200:
            return 200, {}
        answer.read()
        return answer.status_code, {"body": answer.json(), "challenge": answer.headers.get("www-authenticate", "")}


OPEN = [f"Bearer {KEY}", f"bearer {KEY}", basic("", KEY), basic("anybody", KEY), basic("ünï", KEY)]
SHUT: list[tuple[str | None, int]] = [
    (None, 401),
    ("", 401),
    (KEY, 401),
    (f"Token {KEY}", 401),
    ("Bearer", 401),
    ("Bearer wrong", 403),
    (f"Bearer {KEY[:-1]}", 403),
    (f"Bearer {KEY}x", 403),
    (f"Bearer {KEY.upper()}", 403),
    (basic("anybody", "wrong"), 403),
    (basic(KEY, ""), 403),
    ("Basic not-base64!", 401),
]
BOTH = [PAGE, STREAM]


@pytest.mark.parametrize("path", [*BOTH, *(f"/prefix{path}" for path in BOTH)])
@pytest.mark.parametrize("authorization", OPEN)
def test_the_key_opens(locked: Server, path: str, authorization: str) -> None:
    for host in ({}, {"Host": "gateway.example"}, {"Host": "gateway.example", "X-Forwarded-For": "203.0.113.7"}):
        assert status_of(locked, path, {"Authorization": authorization, **host})[0] == 200, host


@pytest.mark.parametrize("path", BOTH)
@pytest.mark.parametrize(("authorization", "status"), SHUT)
def test_nothing_else_does(locked: Server, path: str, authorization: str | None, status: int) -> None:
    given = {} if authorization is None else {"Authorization": authorization}
    got, answer = status_of(locked, path, given)
    # A password that is wrong may be asked for again, which browsers do on 401 only.
    again = {401} if (authorization or "").startswith("Basic") else set()
    assert got in {status} | again
    assert set(answer["body"]) == {"detail"} and answer["body"]["detail"].startswith("[Switchboard] ")
    assert KEY not in json.dumps(answer) and "wrong" not in json.dumps(answer).replace("is wrong", "")
    assert got != 401 or re.search("(?i)basic", answer["challenge"])


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_says_the_same_whatever_was_wrong(locked: Server, status: int) -> None:
    told = set()
    for path in BOTH:
        for authorization, _ in SHUT:
            got, answer = status_of(locked, path, {"Authorization": authorization} if authorization else {})
            if got == status:
                told.add(answer["body"]["detail"])
    assert len(told) == 1


def test_the_key_cannot_be_given_in_the_address(locked: Server) -> None:
    for query in (f"?key={KEY}", f"?api_key={KEY}", f"?access_token={KEY}"):
        assert status_of(locked, f"{PAGE}{query}", {})[0] == 401


ELSEWHERE = [
    {"X-Forwarded-For": "203.0.113.7"},
    {"X-Forwarded-Host": "gateway.example"},
    {"X-Forwarded-Proto": "https"},
    {"Forwarded": "for=203.0.113.7"},
    {"Host": "gateway.example"},
    {"Host": "rebound.example"},
]


@pytest.fixture(scope="module")
def keyless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server without a key, on this machine."""
    with harness.serve(manifests_of(tmp_path_factory.mktemp("keyless"), SWITCHBOARD, kit())) as server:
        yield server


@pytest.mark.parametrize("path", BOTH)
@pytest.mark.parametrize("headers", ELSEWHERE, ids=["-".join(each) + str(at) for at, each in enumerate(ELSEWHERE)])
def test_without_a_key_only_this_machine_may_look(keyless: Server, path: str, headers: dict[str, str]) -> None:
    assert status_of(keyless, path, {})[0] == 200
    status, answer = status_of(keyless, path, headers)
    assert status in (401, 403, 404) and "kit" not in json.dumps(answer)


def test_whoever_asks_for_it_may_let_everybody_look(tmp_path: Path) -> None:
    manifests = manifests_of(tmp_path, SWITCHBOARD)
    with harness.serve(manifests, "--public-url", PUBLIC, env={"NO_AUTH": "true"}) as server:
        for path in BOTH:
            assert status_of(server, path, {"Host": "gateway.example"})[0] == 200


def test_a_server_known_to_the_world_shows_nothing_without_a_key(tmp_path: Path) -> None:
    # A tunnel that ends here makes everybody look as if he were at this machine.
    with harness.serve(manifests_of(tmp_path, SWITCHBOARD, kit()), "--public-url", PUBLIC) as server:
        for path in BOTH:
            status, answer = status_of(server, path, {})
            assert status in (401, 403) and "CONNECTORS_API_KEY" in answer["body"]["detail"]


@pytest.mark.parametrize("path", BOTH)
def test_a_page_of_another_origin_may_not_look(server: Server, path: str) -> None:
    status, _ = status_of(server, path, {"Origin": "https://evil.example"})
    assert status == 403


# Secrets


def test_no_secret_is_in_anything_that_is_shown(server: Server, locked: Server) -> None:
    raw, wire = Raw(server, "somebody"), wire_to(server.base)
    with follow(server) as response:
        streamed = next(events(response))
    seen = [dashboard(server), streamed, wire.send("GET", PAGE).text, raw.ask("resources/list"), raw.ask("tools/list")]
    seen += [outcome(server, "run_sample", {"connector": id}) for id in ("kit", "api", "dead")]
    assert SECRET not in json.dumps(seen)
    with follow(locked, Authorization=f"Bearer {KEY}") as response:
        assert KEY not in json.dumps(next(events(response)))
    for log in (server.log, locked.log):
        assert SECRET not in "\n".join(log) and KEY not in "\n".join(log)
