"""The service map: signed as other languages verify it, without a secret, as a document, a stream and a command."""

import hashlib
import hmac
import html
import json
import os
import random
import re
import stat
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from jwt.utils import base64url_decode

import harness
from harness import Server, until
from test_dashboard import KEY, SECRET, STREAM, UNSET, api, basic, follow, kit, moment
from test_search import Reply, running
from test_surface import Folder, manifests_of
from wire import Json, Wire

MAP = "/v1/connectors/service-map"
SIGNED_WITH = "kéy of the map ✓"
STATUSES = {"online", "offline", "degraded", "unknown"}


def switchboard(folder: Path, *arguments: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    """Runs a command with a data folder of its own."""
    around = {"PATH": os.environ["PATH"], "SWITCHBOARD_DATA_DIR": str(folder / "data"), **env}
    command = [harness.BINARY, *arguments]
    return subprocess.run(command, env=around, input=stdin, capture_output=True, text=True, timeout=60, check=False)


def signature_of(payload: Json, key: str = SIGNED_WITH) -> str:
    """What a program in another language comes to, by its own JSON and by RFC 8785."""
    plain = json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert plain == rfc8785.dumps(payload)
    return hmac.new(key.encode(), plain, hashlib.sha256).hexdigest()


def no_floats(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(no_floats, value.values()))
    if isinstance(value, list):
        return all(map(no_floats, value))
    return not isinstance(value, float) and (not isinstance(value, int) or abs(value) < 2**53)


# What it is signed with


LETTERS = "aZ09 _-./\\\"'\t\n\r\x01\x1f\x7fäßéñ中文字日本\u2028\u2029\ud7ff\ue000\ufffd😀𝒳👩‍👩‍👧"


def words(chance: random.Random, most: int = 12) -> str:
    return "".join(chance.choices(LETTERS, k=chance.randint(1, most)))


def anything(chance: random.Random, depth: int = 3) -> Any:
    """Whatever a person may write into metadata, numbers of all sizes included."""
    simple = [None, True, False, words(chance), chance.randint(-(10**6), 10**6), chance.random(), 1e300, 2**53, -(2**63), 0.0]
    if depth and chance.random() < 0.3:
        return [anything(chance, depth - 1) for _ in range(chance.randint(0, 4))]
    if depth and chance.random() < 0.4:
        return {words(chance): anything(chance, depth - 1) for _ in range(chance.randint(0, 4))}
    return chance.choice(simple)


def free(chance: random.Random) -> Json:
    return {words(chance): anything(chance) for _ in range(chance.randint(0, 5))}


def random_connector(chance: random.Random, at: int) -> Json:
    told = {
        "id": f"c{chance.randint(0, 999)}-{at}",
        "name": words(chance),
        "version": words(chance),
        "endpoint": f"https://u:{SECRET}@h{at}.example/{chance.choice(['mcp', 'v1', 'a/sse', '%C3%BC'])}?k={SECRET}#{SECRET}",
        "auth": {"type": chance.choice(["apiKey", "bearer", "none"])},
        "authentication": {"headers": [{"name": "Authorization", "value": f"Bearer {SECRET}"}]},
        "headers": {"X-Static": SECRET},
        "scopes": list({words(chance) for _ in range(chance.randint(1, 4))}),
        "ttlSeconds": chance.choice([1, 30, 900, 2**53 + 1, 2**63]),
        "quotas": {"perMinute": chance.choice([0, 30, 2**60]), "concurrent": chance.randint(0, 64)},
        "timeouts": {"requestMs": chance.randint(1, 9000)},
        "metadata": free(chance),
        "tags": [words(chance) for _ in range(chance.randint(0, 4))],
    }
    maybe = {"displayName": words(chance), "description": words(chance, 80), "enabled": False, "status": "preview"}
    return told | {name: value for name, value in maybe.items() if chance.random() < 0.4}


def random_document(chance: random.Random, connectors: int) -> Json:
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    told = {
        "id": "".join(chance.choices(alphabet, k=26)),
        "manifestVersion": "1",
        "connectors": [random_connector(chance, at) for at in range(connectors)],
    }
    maybe = {"brand": words(chance), "generatedAt": "2026-01-02T03:04:05Z", "ttlSeconds": 60, "metadata": free(chance)}
    return told | {name: value for name, value in maybe.items() if chance.random() < 0.6}


def test_the_signature_of_a_thousand_random_connectors_is_what_python_comes_to(tmp_path: Path) -> None:
    seen = 0
    for seed in range(50):
        document = random_document(random.Random(seed), 20)
        file = tmp_path / "map.json"
        file.write_text(json.dumps(document))
        run = switchboard(tmp_path, "service-map", "--plain", "--manifests", str(file), CONNECTORS_SIGNATURE_KEY=SIGNED_WITH)
        assert run.returncode == 0, (seed, run.stderr)
        assert SECRET not in run.stdout + run.stderr
        signed = json.loads(run.stdout)
        payload = signed["payload"]
        assert signed == {"payload": payload, "signature": signature_of(payload)}, seed
        assert no_floats(payload)
        ids = [connector["id"] for connector in payload["connectors"]]
        assert ids == sorted(connector["id"] for connector in document["connectors"])
        assert payload["id"] == document["id"] and payload["metadata"]["count"] == 20
        assert payload["generatedAt"] == document.get("generatedAt", payload["generatedAt"])
        ttls = [connector["ttlSeconds"] for connector in document["connectors"]]
        assert payload["ttlSeconds"] == min([*ttls, document.get("ttlSeconds", 2**53 - 1), 2**53 - 1])
        seen += len(ids)
    assert seen == 1000


def test_no_byte_of_what_is_signed_can_be_changed(tmp_path: Path) -> None:
    manifests = manifests_of(tmp_path, kit(tags=["é✓"]), kit(id="second"))
    run = switchboard(tmp_path, "service-map", "--plain", "--manifests", str(manifests.folder), CONNECTORS_SIGNATURE_KEY=SIGNED_WITH)
    line = run.stdout.strip().encode()
    chance = random.Random(8)
    file = tmp_path / "signed.json"
    checked = 0

    def verified() -> bool:
        return switchboard(tmp_path, "verify", str(file), CONNECTORS_SIGNATURE_KEY=SIGNED_WITH).returncode == 0

    file.write_bytes(line)
    assert verified()
    before = json.loads(line)
    for at in range(len(line)):
        changed = line[:at] + bytes([line[at] ^ (1 << chance.randrange(7))]) + line[at + 1 :]
        try:
            told = json.loads(changed)
            holds = hmac.compare_digest(signature_of(told["payload"]), told["signature"])
        except (ValueError, KeyError, TypeError, rfc8785.CanonicalizationError, AssertionError):
            holds = False
        # Python has seen every byte changed, and the command one in ten: it starts anew for each.
        assert not holds or told == before, changed
        if at % 10 == 0 and not holds:
            file.write_bytes(changed)
            assert not verified(), changed
            checked += 1
    assert checked > 50


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda line: line.replace('"signature"', '"signatur"'), "no `signature`"),
        (lambda line: line.replace('"payload"', '"pay"'), "no `payload`"),
        (lambda line: re.sub(r"[0-9a-f]{64}\"}$", lambda it: it[0].upper(), line), "lower-case"),
        (lambda line: re.sub(r"[0-9a-f]\"}$", '"}', line), "lower-case"),
        (lambda line: line.replace('{"payload":', '{"payload":{"id":"another"},"payload":'), "twice"),
        (lambda line: line[:-1], "JSON"),
        (lambda line: "[]", "no `payload`"),
    ],
)
def test_what_is_wrong_with_a_document_is_said(tmp_path: Path, change: Any, why: str) -> None:
    manifests = manifests_of(tmp_path, kit())
    env = {"CONNECTORS_SIGNATURE_KEY": SIGNED_WITH}
    line = switchboard(tmp_path, "service-map", "--plain", "--manifests", str(manifests.folder), **env).stdout.strip()
    good = switchboard(tmp_path, "verify", "-", stdin=line, **env)
    assert good.returncode == 0 and "HMAC-SHA256: verified" in good.stdout
    run = switchboard(tmp_path, "verify", "-", stdin=change(line), **env)
    assert run.returncode == 1 and why in run.stderr and SIGNED_WITH not in run.stdout + run.stderr, run


def test_a_key_is_made_at_first_use_and_a_document_without_a_known_key_is_no_pass(tmp_path: Path) -> None:
    manifests = manifests_of(tmp_path, kit())
    run = switchboard(tmp_path, "service-map", "--manifests", str(manifests.folder))
    file = tmp_path / "data/signature.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    key = file.read_text().strip()
    assert re.fullmatch("[0-9a-f]{64}", key) and key not in run.stdout + run.stderr
    signed = json.loads(run.stdout)
    assert signed["signature"] == signature_of(signed["payload"], key) and len(run.stdout.splitlines()) > 10
    assert switchboard(tmp_path, "verify", "-", stdin=run.stdout).returncode == 0
    elsewhere = switchboard(tmp_path / "elsewhere", "verify", "-", stdin=run.stdout)
    assert elsewhere.returncode == 1 and "no key is known" in elsewhere.stderr
    assert not (tmp_path / "elsewhere/data/signature.key").exists()
    another = switchboard(tmp_path, "verify", "-", stdin=run.stdout, CONNECTORS_SIGNATURE_KEY="another key")
    assert another.returncode == 1 and "none of this payload" in another.stderr


def test_everybody_can_verify_the_second_signature(tmp_path: Path) -> None:
    config = tmp_path / "switchboard.yaml"
    config.write_text("signature:\n  ed25519KeyFile: pair.pem\n")
    manifests = manifests_of(tmp_path, kit())
    with harness.serve(manifests, "--config", str(config), env={"SWITCHBOARD_DATA_DIR": str(tmp_path / "data")}) as server:
        signed = Wire(server.base).send("GET", MAP).json()
        keys = Wire(server.base).send("GET", "/.well-known/switchboard-keys.json")
        server.says("made an Ed25519 key")
    assert stat.S_IMODE((tmp_path / "pair.pem").stat().st_mode) == 0o600
    [key], [made] = keys.json()["keys"], signed["signatures"]
    assert set(key) == {"kty", "crv", "x", "kid", "alg", "use"}
    assert (made["alg"], made["kid"]) == ("EdDSA", key["kid"])
    public = Ed25519PublicKey.from_public_bytes(base64url_decode(key["x"]))
    public.verify(base64url_decode(made["signature"]), rfc8785.dumps(signed["payload"]))
    (tmp_path / "keys.json").write_text(keys.text)
    asked = ("verify", "-", "--public-key", str(tmp_path / "keys.json"))
    run = switchboard(tmp_path / "elsewhere", *asked, stdin=json.dumps(signed))
    assert run.returncode == 0 and f"EdDSA: verified with the key `{key['kid']}`" in run.stdout, run
    signed["payload"]["brand"] = "Somebody else"
    assert switchboard(tmp_path / "elsewhere", *asked, stdin=json.dumps(signed)).returncode == 1
    # Whoever names a key wants its signature, and so does whoever has it.
    del signed["signatures"]
    assert "none of its signatures" in switchboard(tmp_path / "elsewhere", *asked, stdin=json.dumps(signed)).stderr
    signed["signature"] = signature_of(signed["payload"], (tmp_path / "data/signature.key").read_text().strip())
    own = switchboard(tmp_path, "verify", "-", "--config", str(config), stdin=json.dumps(signed))
    assert own.returncode == 1 and "none of its signatures" in own.stderr
    # A key of one's own has not signed what another server did.
    unsigned = signed | {"signatures": []}
    assert "none of its signatures" in switchboard(tmp_path, *asked, stdin=json.dumps(unsigned), CONNECTORS_SIGNATURE_KEY=SIGNED_WITH).stderr


# What it says, and to whom


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a key, a brand, and connectors in several states."""
    home = tmp_path_factory.mktemp("map")
    with running({"/v1": lambda _: {"thing": 1}}) as upstream:
        reached = upstream.url.replace("http://", f"http://user:{SECRET}@") + f"/v1?key={SECRET}#{SECRET}"
        unset = UNSET | {"id": "written", "adapter": {"kind": "http", "baseUrl": "https://${HOST_OF_IT:h.example}/v1"}}
        sources = [kit(quotas={"concurrent": 3}), kit(id="off", enabled=False), UNSET, unset, api(upstream.url, ttlSeconds=30)]
        sources.append({"id": "planted", "name": "P", "version": "1", "adapter": {"kind": "mcp", "url": reached, "allowPrivate": True}})
        env = {"CONNECTORS_API_KEY": KEY, "CONNECTORS_SIGNATURE_KEY": SIGNED_WITH, "SWITCHBOARD_BRAND": "Acme Tools"}
        with harness.serve(manifests_of(home, *sources, API_SECRET=SECRET), env=env) as server:
            yield server


def map_of(server: Server, key: str | None = KEY) -> httpx2.Response:
    return Wire(server.base).send("GET", MAP, headers={"Authorization": f"Bearer {key}"} if key else None)


def mapped(server: Server) -> dict[str, Json]:
    return {connector["id"]: connector for connector in map_of(server).json()["payload"]["connectors"]}


def test_the_map_says_how_each_connector_is(server: Server) -> None:
    until(lambda: mapped(server)["api"]["status"] == "online", f"the first probe: {server.log}")
    got = map_of(server)
    assert got.headers["content-type"] == "application/json" and got.headers["cache-control"] == "no-store"
    signed = got.json()
    payload = signed["payload"]
    assert signed["signature"] == signature_of(payload) and no_floats(payload)
    assert payload["brand"] == payload["metadata"]["brand"] == "Acme Tools"
    assert re.fullmatch("[0-7][0-9A-HJKMNP-TV-Z]{25}", payload["id"]) and moment(payload["generatedAt"])
    assert payload["ttlSeconds"] == 30 and payload["metadata"]["count"] == len(payload["connectors"]) == 6
    all = mapped(server)
    for connector in all.values():
        assert connector["status"] == connector["availability"]["status"] in STATUSES
        assert re.fullmatch("sha256:[0-9a-f]{64}", connector["metadata"]["catalog"]["hash"])
        assert connector["auth"]["type"] in {"apiKey", "bearer", "none"} and urlsplit(connector["endpoint"]).scheme
        assert set(connector["telemetry"]) >= {"requestCount", "errorCount"}
    assert all["kit"]["metadata"]["catalog"]["tools"] == 4 and all["kit"]["quotas"] == {"concurrent": 3}
    assert all["kit"]["endpoint"] == "urn:switchboard:connector:kit" and all["off"]["enabled"] is False
    # What a reference stands for is unknown before it is filled in, and its default may be a secret.
    assert all["written"]["endpoint"] == "urn:switchboard:connector:written"
    assert all["unset"]["status"] == "offline" and "NOBODY" not in all["unset"]["availability"]["failureReason"]
    checked = all["api"]
    assert moment(checked["expiresAt"]) > moment(checked["availability"]["lastCheckedAt"])
    assert checked["telemetry"]["latencyP95Ms"] >= 0 and checked["availability"]["lastSuccessAt"]
    assert SECRET not in got.text and SECRET not in "\n".join(server.log)
    assert "@" not in all["planted"]["endpoint"] and all["planted"]["endpoint"].endswith("/v1")


@pytest.mark.parametrize(
    ("authorization", "status"),
    [(None, 401), ("", 401), (KEY, 401), (f"Token {KEY}", 401), ("Bearer wrong", 403), (f"Bearer {KEY}", 200), (basic("", KEY), 200)],
)
def test_the_key_opens_it_and_nothing_else_does(server: Server, authorization: str | None, status: int) -> None:
    for path in (MAP, STREAM):
        headers = {} if authorization is None else {"Authorization": authorization}
        with httpx2.Client(trust_env=False, timeout=60).stream("GET", server.base + path, headers=headers) as got:
            assert got.status_code == status
            if status != 200:
                [(name, text)] = json.loads(got.read()).items()
                assert name == "detail" and text.startswith("[Acme Tools] ")
                assert KEY not in text


def test_without_a_manifest_there_is_no_map(tmp_path: Path) -> None:
    manifests = manifests_of(tmp_path)
    (manifests.folder / "broken.json").write_text("{")
    with harness.serve(manifests, env={"NO_AUTH": "true"}) as server:
        got = map_of(server, None)
        assert got.status_code == 503 and got.json()["detail"].startswith("[Switchboard] no manifest could be loaded")
        manifests.put(kit())
        until(lambda: map_of(server, None).status_code == 200, "the map")
    (manifests.folder / "kit.json").unlink()
    run = switchboard(tmp_path, "service-map", "--manifests", str(manifests.folder))
    assert run.returncode == 1 and "no manifest could be loaded" in run.stderr


def test_a_document_stays_who_it_was_while_it_is_broken(tmp_path: Path) -> None:
    manifests = manifests_of(tmp_path)
    file = manifests.folder / "map.json"
    document = random_document(random.Random(1), 2) | {"brand": "brAInwav", "metadata": {"note": "é"}}
    file.write_text(json.dumps(document))
    with harness.serve(manifests, env={"NO_AUTH": "true"}) as server:
        first = map_of(server, None).json()["payload"]
        assert (first["id"], first["brand"], first["metadata"]["note"]) == (document["id"], "brAInwav", "é")
        manifests.put(kit())
        manifests.replace(file, "{")
        until(lambda: map_of(server, None).json()["payload"]["metadata"]["count"] == 3, "the other connector")
        assert map_of(server, None).json()["payload"]["id"] == document["id"]
        assert Wire(server.base).send("GET", "/health").json()["brand"] == "brAInwav"


def test_of_two_documents_the_first_stays_who_we_are_while_it_is_broken(tmp_path: Path) -> None:
    manifests = manifests_of(tmp_path)
    for seed, name in enumerate(("alpha", "beta")):
        (manifests.folder / f"{name}.json").write_text(json.dumps(random_document(random.Random(seed), 1) | {"brand": name}))
    with harness.serve(manifests, env={"NO_AUTH": "true"}) as server:
        assert map_of(server, None).json()["payload"]["brand"] == "alpha"
        manifests.put(kit())
        manifests.replace(manifests.folder / "alpha.json", "{")
        until(lambda: map_of(server, None).json()["payload"]["metadata"]["count"] == 3, "the other connector")
        assert map_of(server, None).json()["payload"]["brand"] == "alpha"


def test_what_a_program_says_at_its_end_is_its_operators_business(tmp_path: Path) -> None:
    own = "what-the-program-calls-a-password"
    says = f"import sys; sys.exit('no /home/ada/{own} at postgres://u:{own}@10.1.2.3/db')"
    dead = {"id": "dead", "name": "Dead", "version": "1", "adapter": {"kind": "mcp", "program": "python3", "args": ["-c", says]}}
    with harness.serve(manifests_of(tmp_path, dead)) as server:
        server.says(own)
        until(lambda: mapped(server)["dead"]["status"] == "offline", "its status")
        got = map_of(server)
        assert own not in got.text and mapped(server)["dead"]["availability"]["failureReason"]


def test_an_edit_makes_nothing_online_that_was_not(tmp_path: Path) -> None:
    with running({"/v1": lambda _: Reply(503)}) as upstream:
        failing = api(upstream.url) | {"adapter": {"kind": "http", "baseUrl": upstream.url, "allowPrivate": True, "probe": "/v1"}}
        manifests = manifests_of(tmp_path, failing, API_SECRET=SECRET)
        with harness.serve(manifests) as server, follow(server) as response:
            told = (event["payload"]["payload"]["connectors"][0] for _, event in events(response))
            assert next(it for it in told if it["status"] != "unknown")["status"] == "offline"
            manifests.put(failing | {"description": "Another text."})
            edited = next(it for it in told if it.get("description") == "Another text.")
            assert edited["status"] == "offline" and "lastSuccessAt" not in edited["availability"]


# The stream


def test_the_stream_ends_with_the_key_that_it_was_opened_with(tmp_path: Path) -> None:
    manifests = manifests_of(tmp_path, kit())
    env = {"CONNECTORS_API_KEY": KEY, "SWITCHBOARD_DATA_DIR": str(tmp_path / "data")}
    with harness.serve(manifests, env=env) as server:
        key = switchboard(tmp_path, "keys", "new", "--subject", "ada").stdout.strip()
        [kept] = json.loads(switchboard(tmp_path, "keys", "list", "--format", "json").stdout)["keys"]
        headers = {"Authorization": f"Bearer {key}"}
        until(lambda: Wire(server.base).send("GET", MAP, headers=headers).status_code == 200, "the key")
        with follow(server, **headers) as response:
            told = events(response)
            assert next(told)
            assert switchboard(tmp_path, "keys", "revoke", kept["id"]).returncode == 0
            until(lambda: Wire(server.base).send("GET", MAP, headers=headers).status_code == 403, "its end")
            manifests.put(kit(id="second"))
            assert all(event["payload"]["payload"]["metadata"]["count"] == 1 for _, event in told)


def events(response: httpx2.Response) -> Iterator[tuple[str, Json]]:
    for event in httpx2.EventSource(response):
        assert event.event == "status" and event.id
        yield event.id, json.loads(event.data)


def test_the_stream_tells_the_signed_map_at_once_and_when_it_changes(tmp_path: Path) -> None:
    manifests: Folder = manifests_of(tmp_path, kit(), CONNECTORS_SIGNATURE_KEY=SIGNED_WITH)
    with harness.serve(manifests) as server, ExitStack() as readers:
        until(lambda: "lastCheckedAt" in mapped(server)["kit"]["availability"], "the first check, which is an event")
        told, also = (events(readers.enter_context(follow(server))) for _ in range(2))
        first_id, first = next(told)
        assert next(also) == (first_id, first)
        signed = first["payload"]
        assert signed["signature"] == signature_of(signed["payload"]) and moment(first["timestamp"])
        # Who knows the newest event is told the next; who knows another, or none, the newest.
        with follow(server, **{"Last-Event-ID": first_id}) as three, follow(server, **{"Last-Event-ID": "old"}) as four:
            assert next(events(four))[0] == first_id
            manifests.put(kit(id="second"))
            second_id, second = next(event for event in told if event[1]["payload"]["payload"]["metadata"]["count"] == 2)
            assert second_id != first_id and second["payload"]["signature"] == signature_of(second["payload"]["payload"])
            assert next(events(three))[0] != first_id
            assert any(event == (second_id, second) for event in also)


# How the server is


def test_health_says_where_things_are_and_the_page_for_people_how_to_connect(server: Server) -> None:
    told = Wire(server.base).send("GET", "/health").json()
    assert told["service"] == "switchboard" and told["brand"] == "Acme Tools"
    assert told["endpoints"] == {"api": "/api/v1", "mcp": "/mcp", "health": "/health"}
    page = Wire(server.base).send("GET", "/", headers={"Accept": "text/html"})
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "script" not in policy
    for word in ("Acme Tools", "ChatGPT", "Claude Code", "Cursor", "VS Code", "/apps/chatgpt-dashboard/"):
        assert word in html.unescape(page.text), word
    # Anybody may ask, so nothing is named.
    assert "kit" not in page.text and "planted" not in page.text and SECRET not in page.text
    assert f"{server.base}/mcp" in html.unescape(page.text)
    # A server that wants a key says where it stands.
    assert html.unescape(page.text).count("Bearer <your key>") == 3
    odd = Wire(server.base).send("GET", "/", headers={"Host": 'localhost"><script>'})
    assert odd.status_code == 403 and odd.headers["content-type"] == "application/json"


def test_a_secret_address_is_told_to_nobody(tmp_path: Path) -> None:
    secret = "a-path-that-nobody-can-guess-0123456789"
    with harness.serve(manifests_of(tmp_path, kit()), env={"MCP_SECRET_PATH": secret}) as server:
        base = re.sub(r"(http://[^/]+).*", r"\1", server.base)
        page, told = Wire(base).send("GET", "/"), Wire(base).send("GET", "/health")
        assert page.status_code == 200 and secret not in page.text + told.text
        assert told.json()["endpoints"] == {"api": None, "mcp": None, "health": "/health"}


def test_a_server_is_ready_once_its_connectors_have_started(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    wait = "import os, sys, time\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.02)\nsys.exit('no')"
    slow = {"kind": "mcp", "program": "python3", "args": ["-c", wait, str(gate)]}
    manifests = manifests_of(tmp_path, kit(), {"id": "slow", "name": "Slow", "version": "1", "adapter": slow})
    with harness.serve(manifests) as server:
        got = Wire(server.base).send("GET", "/ready")
        assert got.status_code == 503 and got.headers["retry-after"] and got.json()["ready"] is False
        assert got.json()["checks"] == {"accepting": True, "connectors": False}
        assert got.json()["reasons"] == ["connectors start for the first time: 1"]
        gate.touch()
        until(lambda: Wire(server.base).send("GET", "/ready").status_code == 200, "that it is ready")
        assert Wire(server.base).send("GET", "/ready").json()["reasons"] == []
