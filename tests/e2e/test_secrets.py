"""Forty secrets are planted wherever secrets are kept and sent; none shows in anything the server tells of itself."""

import json
import signal
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest

import harness
import telemetry
from connectors import program
from harness import PATIENCE, Manifests, until
from planted import found, plant, told_by
from test_search import Reply, running
from test_surface import manifests_of
from wire import META, Wire, request

PLANTED = [plant(f"pl4nted-{number:02}-secret-{number * 7919 % 99991:05}") for number in range(40)]
(
    *IN_HEADERS,
    IN_QUERY,
    IN_COOKIE,
    IN_BEARER,
    IN_PASSWORD,
    IN_FILE,
    IN_ENDPOINT,
    IN_OWNER,
    IN_ENV,
    IN_MCP_ENV,
    API_KEY,
    MCP_KEY,
    SIGNATURE_KEY,
    VAULT_TOKEN,
    COLLECTOR_KEY,
    IN_OTHER_ENV,
    RESULT,
    GUESS,
    OTHER_GUESS,
    IN_ADDRESS,
    ARGUMENT,
    WRONG_ARGUMENT,
    LOST_ARGUMENT,
    PERSONAL,
    BAGGAGE,
    OTHER_RESULT,
    SAID_ON_ERROR,
) = PLANTED
# What only the server holds: its clients may not read it either. A program's plain settings are no credentials, and what
# it says of them is its answer.
HELD = PLANTED[: PLANTED.index(IN_OTHER_ENV)]


def manifests_in(folder: Path, url: str) -> Manifests:
    folder.mkdir()
    secret = folder.parent / "secret.txt"
    secret.write_text(IN_FILE)
    tool = {
        "description": "Use this to ask.",
        "inputSchema": {"type": "object", "properties": {"q": {"type": "string"}, "n": {"type": "integer"}}},
        "annotations": {"readOnly": True},
    }
    get, fail = ({"name": name, **tool, "request": {"method": "GET", "path": f"/{name}"}} for name in ("get", "fail"))
    http = {"kind": "http", "baseUrl": url, "allowPrivate": True}
    headers = {f"X-Secret-{number}": f"${{HEADER_{number}}}" for number in range(len(IN_HEADERS) - 2)}
    given = {
        "headed": {"headers": headers, "query": {"key": "${QUERY}"}, "cookies": {"sid": "${COOKIE}"}},
        "borne": {"bearer": "${BEARER}"},
        "basic": {"basic": {"username": "ada", "password": "${PASSWORD}"}},
        "filed": {"headers": {"X-Key": {"file": str(secret)}}},
    }
    for id, credentials in given.items():
        manifest = {"id": id, "name": id, "version": "1", "adapter": http, "tools": [get, fail]}
        (folder / f"{id}.json").write_text(json.dumps(manifest | {"credentials": credentials}))
    shell = {"kind": "command", "program": "python3", "env": {"OTHER": IN_OTHER_ENV}}
    broken = {"name": "break", **tool, "run": {"args": ["-c", "import os, sys; sys.exit(os.environ['OWN'] + os.environ['OTHER'])"]}}
    command = {"id": "shell", "name": "Shell", "version": "1", "adapter": shell, "tools": [broken]}
    (folder / "shell.json").write_text(json.dumps(command | {"credentials": {"env": {"OWN": "${ENV}"}}}))
    mcp = {"id": "mcp", "name": "Mcp", "version": "1", "adapter": {"kind": "mcp", **program(env={"OWN": "${MCP_ENV}"})}}
    (folder / "mcp.json").write_text(json.dumps(mcp))
    mapped = {
        "id": "mapped",
        "name": "Mapped",
        "version": "1",
        "endpoint": f"{url.replace('//', f'//ada:{IN_OWNER}@')}/mapped?key={IN_ENDPOINT}",
        "auth": {"type": "none"},
        "authentication": {"headers": [{"name": "X-Given", "value": IN_HEADERS[-2]}]},
        "headers": {"X-Static": IN_HEADERS[-1]},
        "scopes": ["a"],
        "ttlSeconds": 5,
    }
    document = {"id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "manifestVersion": "1", "connectors": [mapped]}
    (folder / "map.json").write_text(json.dumps(document))
    return Manifests(folder, url)


def test_none_of_forty_secrets_shows_in_what_the_server_tells_of_itself(tmp_path: Path) -> None:
    assert len(set(PLANTED)) == 40
    echo = lambda seen: Reply(500, json.dumps([seen.headers, seen.query, SAID_ON_ERROR]).encode())  # noqa: E731
    with ExitStack() as stack:
        seen = stack.enter_context(telemetry.backend())
        behind = stack.enter_context(running({"/get": lambda _: {"a": RESULT}, "/fail": echo, "/": lambda _: {}}))
        data = tmp_path / "data"
        env = {
            **{f"HEADER_{number}": secret for number, secret in enumerate(IN_HEADERS)},
            **{"QUERY": IN_QUERY, "COOKIE": IN_COOKIE, "BEARER": IN_BEARER, "PASSWORD": IN_PASSWORD, "ENV": IN_ENV},
            **{"MCP_ENV": IN_MCP_ENV, "CONNECTORS_API_KEY": API_KEY, "MCP_API_KEY": MCP_KEY},
            **{"CONNECTORS_SIGNATURE_KEY": SIGNATURE_KEY, "VAULT_TOKEN": VAULT_TOKEN, "ENABLE_PROMETHEUS": "true"},
            **{"OTEL_EXPORTER_OTLP_ENDPOINT": seen.url, "OTEL_EXPORTER_OTLP_HEADERS": f"x-key={COLLECTOR_KEY}"},
            **{"OTEL_BSP_SCHEDULE_DELAY": "100", "LOG_LEVEL": "trace", "LOG_FORMAT": "json"},
            "SWITCHBOARD_DATA_DIR": str(data),
        }
        server = stack.enter_context(harness.serve(manifests_in(tmp_path / "manifests", behind.url), env=env))
        wire, own = Wire(server.base), {"Authorization": f"Bearer {API_KEY}"}
        answers: list[str] = []

        def call(tool: str, arguments: dict[str, object], **headers: str) -> None:
            meta = META | {"openai/userLocation": {"city": PERSONAL}}
            params = {"name": tool, "arguments": arguments, "_meta": meta}
            answers.append(wire.modern("tools/call", params, **own | {"baggage": f"user={BAGGAGE}"} | headers).text)

        until(lambda: "mcp_echo" in wire.modern("tools/list", **own).text, "the server behind is there")
        for id in ("headed", "borne", "basic", "filed"):
            call(f"{id}_get", {"q": ARGUMENT})
            call(f"{id}_fail", {"q": ARGUMENT})
            call(f"{id}_get", {"n": WRONG_ARGUMENT})
        call("shell_break", {})
        call("mcp_echo", {"message": OTHER_RESULT})
        call("nobody_has_this", {"q": LOST_ARGUMENT})
        call("headed_get", {}, Authorization=f"Bearer {GUESS}")
        call("headed_get", {}, Authorization=f"Bearer {MCP_KEY}", X_API_Key=OTHER_GUESS)
        refused = wire.post(request("ping"), f"/mcp?profile={IN_ADDRESS}", **own)
        told = {
            path: httpx2.get(server.base + path, headers=own, trust_env=False).text
            for path in ("/metrics", "/v1/connectors/service-map", "/health", "/ready", "/status", "/")
        }
        with httpx2.stream("GET", f"{server.base}/v1/connectors/stream", headers=own, trust_env=False) as stream:
            lines = stream.iter_lines()
            told["stream"] = "\n".join(next(line for line in lines if line.startswith("data:")) for _ in range(1))
        until(lambda: len([span for span in seen.spans() if span.kind == 2]) > 10, "spans came")
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(PATIENCE)
        assert refused.status_code == 404
        assert all("switchboard_calls_total" in told["/metrics"] and told[path] for path in told), told
        records = [file for file in (data / "audit").rglob("*") if file.is_file()]
        assert records and any(b"headed_get" in file.read_bytes() for file in records)
        told["audit"] = "\n".join(file.read_text() for file in records)
        told["log"] = "\n".join(server.log)
        told["traces"] = seen.raw.decode("latin-1")
        assert "tools/call headed_get" in told["traces"] and '"called"' in told["log"]
        leaks = {(place, secret) for place, text in told.items() for secret in PLANTED if secret in text}
        leaks |= {("answer", secret) for answer in answers for secret in HELD if secret in answer}
        assert not leaks


def test_who_looks_for_secrets_finds_them(tmp_path: Path) -> None:
    """Guard: every server of every test is looked at so, and this one tells, because its program does."""
    own = plant("what-a-program-says/at+its=end")
    says = f"import sys; sys.exit({own!r})"
    dead = {"id": "dead", "name": "Dead", "version": "1", "adapter": {"kind": "mcp", "program": "python3", "args": ["-c", says]}}
    with pytest.raises(AssertionError, match="told secrets"), harness.serve(manifests_of(tmp_path, dead)) as server:
        server.says(own)
        pages = told_by(server.base, None)
        assert '"healthy"' in pages or '"degraded"' in pages
        assert "switchboard_build_info" in pages and '"connectors"' in pages
    assert found(f"a key: sb_0123456789_{'x' * 43}.") and found(quote(own, safe="")) and not found("nothing")
