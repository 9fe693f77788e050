"""The audit of a running server: each call and each act is a record, and Python finds the same hashes."""

import hashlib
import json
import signal
import subprocess
from pathlib import Path

import httpx2
import pytest
import rfc8785

from harness import BINARY, Manifests, Server, serve, until
from loopback import Handler, Loopback, listening
from oauth.client import App
from oauth.gateway import cli, gateway
from oauth.house import PASSWORD, built_in
from oauth.person import Person
from planted import plant
from sdk_client import ApiError, SdkClient
from wire import Json, Wire

SECRET = plant("s3cr3t-a7c91b")
KEY = "the-operators-own-key-of-these-tests"
CONVERSION = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "more": {"type": "object", "properties": {"depth": {"type": "integer"}}},
    },
}


class Anything(Handler):
    def do_POST(self) -> None:
        self.answer(200, {"ok": True})


def tool(name: str, **more: object) -> Json:
    request = {"method": "POST", "path": "/", "body": {"json": {"text": "{text}"}}}
    return {"name": name, "description": "Does it.", "inputSchema": CONVERSION, "request": request, **more}


@pytest.fixture
def server_in(tmp_path: Path):
    with listening(Loopback(Anything)) as api:
        adapter = {"kind": "http", "baseUrl": api.url, "allowPrivate": True}
        tools = [
            tool("shape"),
            tool("values", audit={"arguments": "values"}),
            tool("nothing", audit={"arguments": "none"}),
        ]
        manifest = {"id": "c", "name": "C", "version": "1.2.3", "adapter": adapter, "tools": tools}
        manifests = Manifests(tmp_path / "manifests", "")
        manifests.folder.mkdir()
        (manifests.folder / "c.json").write_text(json.dumps(manifest))
        env = {"SWITCHBOARD_DATA_DIR": str(tmp_path / "data")}
        yield lambda **more: serve(manifests, env={**env, **more})


def call(server: Server, name: str, arguments: Json) -> None:
    Wire(server.base).modern("tools/call", {"name": name, "arguments": arguments})


def stop(server: Server) -> None:
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(30) == 0


def records(file: Path) -> list[Json]:
    """The records of a chain's file, their hashes recomputed by what others wrote."""
    found, previous = [], "0" * 64
    for number, line in enumerate(file.read_text().splitlines(), 1):
        record = json.loads(line)
        own = record.pop("hash")
        assert hashlib.sha256(rfc8785.dumps(record)).hexdigest() == own
        assert (record["seq"], record["previous"]) == (number, previous)
        previous = own
        found.append(record)
    return found


def acts(data: Path, *names: str) -> list[Json]:
    """The records of these acts, of all chains of a data folder."""
    lines = [line for file in (data / "audit").glob("*.jsonl") for line in file.read_text().splitlines()]
    return [record for record in map(json.loads, lines) if record.get("act") in names]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    env = {"SWITCHBOARD_DATA_DIR": str(folder), "PATH": "/usr/bin:/bin"}
    return subprocess.run([BINARY, *arguments], env=env, capture_output=True, text=True)


def test_each_call_and_act_is_a_record_whose_chain_others_can_recompute(tmp_path: Path, server_in) -> None:
    sent = {"text": SECRET, "tags": [SECRET, SECRET], "more": {"depth": 1, SECRET: SECRET}, SECRET: 1}
    with server_in() as server:
        for name in ["c_shape", "c_values", "c_nothing", "c_none_of_ours"]:
            call(server, name, sent if name == "c_shape" else {"text": "hello"})
        another = json.loads((server.manifests.folder / "c.json").read_text()) | {"id": "d"}
        server.manifests.replace(server.manifests.folder / "d.json", json.dumps(another))
        log = tmp_path / "data/audit/0.jsonl"
        until(lambda: log.exists() and "manifests.reload" in log.read_text(), "the record of the edit")
        assert run(tmp_path / "data", "audit", "verify").returncode == 0
        # A second process has a chain of its own.
        assert run(tmp_path / "data", "keys", "new", "--subject", "ann").returncode == 0
        stop(server)
    assert SECRET not in log.read_text()
    found = records(log)
    acts = [record["act"] for record in found if record["event"] == "act"]
    assert acts == ["server.start", "manifests.reload", "server.stop"]
    shape, values, nothing, unknown = [record for record in found if record["event"] == "call"]
    assert shape["arguments"] == {
        "members": {
            "text": "string",
            "tags": {"list": ["string"], "length": "2-9"},
            "more": {"members": {"depth": "integer"}, "others": 1},
        },
        "others": 1,
    }
    told = {name: shape[name] for name in ["who", "client", "tool", "connector", "ownTool", "version", "outcome"]}
    assert told == {
        "who": "anonymous", "client": "wire", "tool": "c_shape", "connector": "c", "ownTool": "shape",
        "version": "1.2.3", "outcome": "invalid_arguments",
    }
    assert shape["argumentBytes"] > len(SECRET) and shape["catalog"].startswith("sha256:")
    assert values["outcome"] == "ok" and values["resultBytes"] > 0
    assert json.loads(values["arguments"]["text"]) == {"text": "hello"}
    assert "arguments" not in nothing and nothing["argumentBytes"] > 0
    assert (unknown["outcome"], unknown.get("connector")) == ("unknown_tool", None)
    [made] = records(tmp_path / "data/audit/1.jsonl")
    assert (made["act"], made["who"], made["outcome"]) == ("key.new", "local", "ok")
    last = json.loads(log.read_text().splitlines()[-1])["hash"]
    assert run(tmp_path / "data", "audit", "verify", "--expect-last", last).returncode == 0
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:-1]))
    assert run(tmp_path / "data", "audit", "verify").returncode == 0
    assert run(tmp_path / "data", "audit", "verify", "--expect-last", last).returncode == 1


def test_a_server_that_dies_leaves_a_chain_that_the_next_one_goes_on_with(tmp_path: Path, server_in) -> None:
    log = tmp_path / "data/audit/0.jsonl"
    with server_in() as server:
        call(server, "c_shape", {"text": "hello"})
        until(lambda: log.exists() and '"event":"call"' in log.read_text(), "the record of the call")
        server.process.kill()
        server.process.wait()
    with log.open("a") as file:
        file.write('{"at":"2026')
    with server_in() as server:
        stop(server)
    events = [record["event"] for record in records(log)]
    assert events == ["act", "call", "repaired", "act", "act"]


def test_a_tenants_client_is_a_record_without_its_secret_when_it_is_set_and_dropped(tmp_path: Path) -> None:
    with gateway(tmp_path, env={"CONNECTORS_API_KEY": KEY}) as server:
        data, sdk = server.manifests.data, SdkClient(server.base, KEY)
        sdk.oauth_config("POST", "acme", "notes", {"clientId": "ours", "clientSecret": SECRET})
        with pytest.raises(ApiError):
            sdk.oauth_config("POST", "acme", "notes", {"clientId": "", "clientSecret": SECRET})
        sdk.oauth_config("DELETE", "acme", "notes")
        with pytest.raises(ApiError):
            sdk.oauth_config("DELETE", "acme", "notes")
        stop(server)
    found = acts(data, "oauth-client.set", "oauth-client.drop")
    assert [(it["act"], it["on"], it["outcome"] == "ok") for it in found] == [
        ("oauth-client.set", "notes of acme", True),
        ("oauth-client.set", "notes of acme", False),
        ("oauth-client.drop", "notes of acme", True),
    ]
    assert all(isinstance(it["who"], dict) for it in found) and SECRET not in json.dumps(found)


def test_what_a_person_agrees_to_is_a_record(tmp_path: Path) -> None:
    with built_in(tmp_path) as server:
        app, ada = App.register(server), Person(server, "ada", PASSWORD)
        ada.answers(app.link(), "deny")
        app.code(ada)
        stop(server)
    [given] = acts(server.manifests.data, "consent.give")
    assert (given["on"], given["outcome"], given["who"]["issuer"]) == (app.id, "ok", server.base)
    words = ["password", "ada", "--password-stdin", "--disconnect"]
    assert cli(server.manifests, "users", *words, say="another password of hers\n").returncode == 0
    ended = acts(server.manifests.data, "user.password", "user.disconnect")
    assert [(it["act"], it["on"]) for it in ended] == [("user.password", "ada"), ("user.disconnect", "ada")]


def test_settings_read_again_are_a_record_and_so_is_their_refusal(tmp_path: Path, server_in) -> None:
    data, file = tmp_path / "data", tmp_path / "settings" / "switchboard.yaml"
    file.parent.mkdir()
    file.write_text("log:\n  level: info\n")
    with server_in(SWITCHBOARD_CONFIG=str(file)) as server:
        file.write_text("log:\n  level: debug\nlimits:\n  sessions: 7\n")
        until(lambda: len(acts(data, "config.reload")) == 1, "the record of the change")
        file.write_text(f"prot: {SECRET}\n")
        until(lambda: len(acts(data, "config.reload")) == 2, "the record of the refusal")
        stop(server)
    changed, refused = acts(data, "config.reload")
    assert changed["outcome"] == "ok"
    assert changed["details"] == {"changed": ["log.level"], "takeRestart": ["limits.sessions"]}
    assert refused["outcome"] == "problems: 1" and SECRET not in json.dumps(refused)


@pytest.mark.parametrize("folder", ["/dev/full/audit", "/proc/audit"])
def test_a_folder_that_cannot_be_written_stops_no_call_and_is_told_at_once(server_in, folder: str) -> None:
    with server_in(AUDIT_DIR=folder, CONNECTORS_API_KEY=KEY, ENABLE_PROMETHEUS="true") as server:
        shown = {"Authorization": f"Bearer {KEY}"}

        def numbers() -> list[str]:
            return httpx2.get(f"{server.base}/metrics", headers=shown, timeout=60).raise_for_status().text.splitlines()

        # Long before any record is lost.
        until(lambda: "switchboard_audit_failing 1" in numbers(), "the number that says so")
        assert "switchboard_audit_lost_total 0" in numbers()
        for _ in range(20):
            asked = {"name": "c_shape", "arguments": {"text": "hello"}}
            answer = Wire(server.base).modern("tools/call", asked, **shown)
            assert '"ok"' in answer.text
        stop(server)
    complaints = [line for line in server.log if "cannot be recorded" in line]
    assert len(complaints) == 1 and folder in complaints[0], server.log
