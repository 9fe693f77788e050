"""Who may call at all: the modes, the addresses and documents that say so, keys and their file, and limits for strangers."""

import json
import re
import select
import socket
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

import harness
from harness import Server, until
from oauth.forge import issuer
from oauth.gateway import (
    ALL,
    BOARD,
    Caller,
    challenge,
    cli,
    connector,
    denied,
    gateway,
    new_key,
    refusal,
    settings,
    tool,
)
from oauth.house import UNLIMITED
from test_surface import manifests_of
from wire import LEGACY, Json, Wire, error, request, text

OPERATOR = "the-operators-own-key"


def start(home: Path, *arguments: str, auth: Json | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """Starts a server that must not get far."""
    manifests = manifests_of(home, BOARD)
    file = settings(home, **(auth or {}))
    return cli(
        manifests,
        "serve",
        "--port",
        "0",
        "--manifests",
        str(manifests.folder),
        "--config",
        str(file),
        *arguments,
        **env,
    )


# No proof at all


def test_an_open_server_for_everybody_is_started_on_purpose_only(tmp_path: Path) -> None:
    """Guard: without a proof to ask for, an address that others reach is refused, with the ways out."""
    said = refusal(start(tmp_path / "a", "--host", "0.0.0.0", "--auth", "none"))
    for way in ("NO_AUTH", "secret", "auth"):
        assert way.lower() in said.lower(), said
    # Who signs people in has to know its own address.
    assert "public" in refusal(start(tmp_path / "b", "--host", "0.0.0.0", "--auth", "built-in")).lower()
    for number, (arguments, env, auth) in enumerate(
        [
            ((), {}, {}),
            (("--host", "0.0.0.0"), {"NO_AUTH": "true"}, {}),
            (("--host", "0.0.0.0"), {}, {"secretPath": "s" * 24}),
            (("--host", "0.0.0.0"), {"CONNECTORS_API_KEY": OPERATOR}, {}),
            (("--host", "0.0.0.0", "--public-url", "https://gateway.example"), {}, {"mode": "built-in"}),
        ]
    ):
        manifests = manifests_of(tmp_path / str(number), BOARD)
        with harness.serve(
            manifests, "--config", str(settings(tmp_path / str(number), **auth)), *arguments, env=env
        ) as server:
            assert server.url


@pytest.mark.parametrize(
    ("auth", "env", "word"),
    [
        ({}, {"CONNECTORS_API_KEY": OPERATOR, "NO_AUTH": "true"}, "NO_AUTH"),
        ({}, {"KEYS_FILE": "/nonexistent/keys.json", "NO_AUTH": "true"}, "NO_AUTH"),
        ({"mode": "oauth", "oauth": {"issuer": "https://issuer.example"}}, {"NO_AUTH": "true"}, "NO_AUTH"),
        ({"mode": "oauth"}, {}, "issuer"),
        ({"mode": "oauth", "oauth": {"issuer": "http://issuer.example"}}, {}, "https"),
        ({"mode": "basic"}, {}, "mode"),
        ({"secretPath": "short"}, {}, "secretPath"),
        ({"secretPath": "../../../../../../etc"}, {}, "secretPath"),
        ({"builtIn": {"accessTokenSeconds": 1}}, {}, "accessTokenSeconds"),
        ({"nonsense": 1}, {}, "nonsense"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_meant_stop_the_start(
    tmp_path: Path, auth: Json, env: dict[str, str], word: str
) -> None:
    assert word in refusal(start(tmp_path, auth=auth, **env))


def test_with_a_secret_path_there_is_nothing_anywhere_else(tmp_path: Path) -> None:
    """Guard: the endpoint is at the path nobody guesses, and what is around it does not name it."""
    secret = "Unguessable_path-0123456789"
    with gateway(tmp_path, auth={"mode": "none", "secretPath": secret}) as server:
        base = re.match(r"http://[^/]+", server.url)[0]
        wire = Wire(base)
        listing = request("tools/list")
        assert "board_look" in wire.post(listing, f"/{secret}/mcp", MCP_Protocol_Version=LEGACY).text
        for path in (
            "/mcp",
            "/",
            f"/{secret[:-1]}/mcp",
            f"/{secret}x/mcp",
            f"/{secret.upper()}/mcp",
            f"/x/../{secret[:5]}/mcp",
        ):
            answer = wire.post(listing, path, MCP_Protocol_Version=LEGACY)
            assert answer.status_code in (404, 405) and secret not in answer.text, path
        with Wire(base)._http.stream("GET", f"/{secret}/mcp", headers={"Accept": "text/event-stream"}) as stream:  # noqa: SLF001
            assert next(iter(httpx2.EventSource(stream))).data.startswith(f"/{secret}/mcp/messages?")
        assert not [line for line in server.log if secret in line], "a log is read by others"


@pytest.mark.parametrize("mode", ["none", "api-key"])
@pytest.mark.parametrize(
    "path",
    [
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/oauth/register",
    ],
)
def test_without_oauth_nothing_says_that_there_is(keyed: Server, open_server: Server, mode: str, path: str) -> None:
    """Clients look here first; a clean 404 in JSON sends them on without a login."""
    answer = Wire((keyed if mode == "api-key" else open_server).base).send("GET", path)
    assert answer.status_code == 404 and answer.headers["content-type"].startswith("application/json")
    assert answer.json()


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with gateway(tmp_path_factory.mktemp("open"), *ALL, auth={"mode": "none"}) as server:
        yield server


def test_where_nobody_is_asked_what_is_closed_does_not_exist(open_server: Server) -> None:
    """Guard: a proof that nobody can give opens nothing; and one that is shown anyway is not believed. A scope alone asks
    for no proof."""
    for caller in (Caller(open_server), Caller(open_server, "anything"), Caller(open_server, X_API_Key="anything")):
        assert set(caller.tools()) == {"board_look", "docs_read", "docs_write"}
        assert error(caller.call("desk_sit"))["code"] == -32602
        assert text(caller.does("board_look")) == "look ran"
        assert "get_profile" not in caller.tools()
    assert Caller(open_server).tools()["board_look"]["securitySchemes"] == [{"type": "noauth"}]


# Keys


HEADERED = connector("vault", tool("open"), auth={"type": "apiKey", "headerName": "X-Vault-Key"})


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks for keys; the operator's stands in its environment."""
    home = tmp_path_factory.mktemp("keyed")
    with gateway(home, *ALL, HEADERED, env={"MCP_API_KEY": OPERATOR}, more=UNLIMITED) as server:
        yield server


def test_a_key_in_the_environment_is_asked_for(keyed: Server) -> None:
    """Guard: setting a key closes the server, and the challenge names no OAuth."""
    answer = Caller(keyed).ask("tools/list")
    assert answer.status_code == 401 and error(answer)["code"] == -32600
    assert "resource_metadata" not in challenge(answer) and "error" not in challenge(answer)
    told = denied(Caller(keyed, "wrong").ask("tools/list"))
    assert told["realm"] == "switchboard" and "resource_metadata" not in told
    assert Caller(keyed, OPERATOR).counts()
    assert {"board_look", "desk_sit", "docs_write", "vault_open"} <= set(Caller(keyed, OPERATOR).tools())
    assert Caller(keyed, OPERATOR).tools()["board_look"]["securitySchemes"] == [{"type": "noauth"}]


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": "Bearer {}"}, {"Authorization": "bearer {}"}, {"X_API_Key": "{}"}, {"X_Vault_Key": "{}"}],
    ids=str,
)
def test_a_key_stands_in_the_headers_that_are_known_for_it(keyed: Server, headers: dict[str, str]) -> None:
    good = {name: value.replace("{}", OPERATOR) for name, value in headers.items()}
    assert Caller(keyed, **good).does("vault_open")
    denied(Caller(keyed, **{name: value.replace("{}", "wrong") for name, value in headers.items()}).ask("tools/list"))


@pytest.mark.parametrize(
    "headers",
    [
        {"X_Other_Key": OPERATOR},
        {"Authorization": f"Basic {OPERATOR}"},
        {"Authorization": OPERATOR},
        {"Cookie": f"key={OPERATOR}"},
    ],
    ids=str,
)
def test_a_key_elsewhere_is_no_key(keyed: Server, headers: dict[str, str]) -> None:
    assert Caller(keyed, **headers).ask("tools/list").status_code in (400, 401)


@pytest.mark.parametrize("query", ["?api_key={}", "?key={}", "?access_token={}", "?X-Vault-Key={}"])
def test_a_key_in_the_address_is_no_key(keyed: Server, query: str) -> None:
    answer = Wire(keyed.base).post(
        request("tools/list"), f"/mcp{query.replace('{}', OPERATOR)}", MCP_Protocol_Version=LEGACY
    )
    assert answer.status_code == 401
    assert OPERATOR not in "\n".join(keyed.log)


def test_two_keys_are_one_too_many(keyed: Server) -> None:
    """Guard: two different proofs are refused; the same one twice is one."""
    other = new_key(keyed, "--subject", "other")
    for headers in ({"X_API_Key": other}, {"X_Vault_Key": other}):
        assert Caller(keyed, OPERATOR, **headers).ask("tools/list").status_code == 400
    assert Caller(keyed, OPERATOR, X_API_Key=OPERATOR).counts()


def test_a_new_key_is_shown_once_and_kept_as_a_digest(keyed: Server) -> None:
    """Guard: the file does not let its reader in, and is for its owner only."""
    done = cli(keyed.manifests, "keys", "new", "--subject", "ada", "--note", "her laptop", "--tenant", "acme")
    assert done.returncode == 0, done.stderr
    key = done.stdout.removesuffix("\n")
    assert re.fullmatch(r"sb_[a-z0-9]{10}_[A-Za-z0-9_-]{43}", key), done.stdout
    until(lambda: Caller(keyed, key).counts(), "the new key")
    file = keyed.manifests.data / "keys.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert key.split("_", 2)[2] not in file.read_text() and "her laptop" in file.read_text()
    [record] = [each for each in json.loads(file.read_text())["keys"] if each["subject"] == "ada"]
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", record["hash"])
    assert (record["id"], record["tenant"], record["scopes"]) == (key.split("_")[1], "acme", ["*"])
    listed = cli(keyed.manifests, "keys", "list")
    assert record["id"] in listed.stdout and "ada" in listed.stdout and "her laptop" in listed.stdout
    told = json.loads(cli(keyed.manifests, "keys", "list", "--format", "json").stdout)
    assert record["id"] in json.dumps(told)
    for shown in (listed.stdout, json.dumps(told)):
        assert record["hash"].removeprefix("sha256:") not in shown and key not in shown
    assert key not in "\n".join(keyed.log)


def test_a_revoked_key_ends_at_once_and_no_other(keyed: Server) -> None:
    """Guard: a running server sees the file change, without being told."""
    one, two = (new_key(keyed, "--subject", name) for name in ("one", "two"))
    assert cli(keyed.manifests, "keys", "revoke", one.split("_")[1]).returncode == 0
    until(lambda: not Caller(keyed, one).counts(), "the end of the key")
    denied(Caller(keyed, one).ask("tools/list"))
    assert Caller(keyed, two).counts()
    assert cli(keyed.manifests, "keys", "revoke", "nonesuch00").returncode == 1


def test_a_stream_ends_with_the_key_that_opened_it(keyed: Server) -> None:
    """Guard: what is open already is asked again who it belongs to; another's stream goes on."""
    keys = [new_key(keyed, "--subject", name) for name in ("leaves", "stays")]
    ended: list[str] = []
    with ExitStack() as stack:

        def follow(key: str) -> None:
            headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {key}"}
            stream = stack.enter_context(httpx2.stream("GET", keyed.url, headers=headers, timeout=None))
            events = iter(httpx2.EventSource(stream))
            assert next(events).event == "endpoint"

            def read() -> None:
                with suppress(httpx2.TransportError, RuntimeError, httpx2.StreamError):
                    list(events)
                ended.append(key)

            threading.Thread(target=read, daemon=True).start()

        for key in keys:
            follow(key)
        assert cli(keyed.manifests, "keys", "revoke", keys[0].split("_")[1]).returncode == 0
        until(lambda: ended, "the end of the stream")
        assert ended == keys[:1]


@pytest.mark.parametrize(
    "bend",
    [
        lambda key: key[:-1],
        lambda key: key + "x",
        lambda key: key.swapcase(),
        lambda key: key[:14] + "A" * 43,
        lambda key: key.split("_", 2)[2],
        lambda key: f"sb_{'a' * 10}_{key.split('_', 2)[2]}",
    ],
)
def test_a_key_is_compared_whole(keyed: Server, bend: Any) -> None:
    key = new_key(keyed, "--subject", "whole")
    bent = bend(key)
    if bent != key:
        denied(Caller(keyed, bent).ask("tools/list"))


def test_a_key_ends_when_it_was_said_to(keyed: Server) -> None:
    """Guard: `expires` is looked at with each request."""
    key = new_key(keyed, "--subject", "brief", "--expires", "90d")
    file = keyed.manifests.data / "keys.json"
    told = json.loads(file.read_text())
    [record] = [each for each in told["keys"] if each["id"] == key.split("_")[1]]
    left = datetime.fromisoformat(record["expires"]) - datetime.now(UTC)
    assert timedelta(days=89) < left < timedelta(days=91)
    record["expires"] = (datetime.now(UTC) + timedelta(seconds=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    draft = file.with_suffix(".draft")
    draft.write_text(json.dumps(told))
    draft.chmod(0o600)
    draft.rename(file)
    until(lambda: not Caller(keyed, key).counts(), "the key's end")
    assert Caller(keyed, OPERATOR).counts()
    assert cli(keyed.manifests, "keys", "new", "--subject", "x", "--expires", "soon").returncode == 2


def test_a_key_opens_what_its_scopes_open_and_hides_the_rest(keyed: Server) -> None:
    """Guard: a key can ask for nothing more, so what it does not open is not there."""
    reader = Caller(keyed, new_key(keyed, "--subject", "reader", "--scopes", "docs:read,other"))
    assert set(reader.tools()) == {"board_look", "desk_sit", "docs_read", "vault_open"}
    assert text(reader.does("docs_read")) == "read ran"
    answer = reader.call("docs_write")
    assert answer.status_code == 200 or answer.status_code == 400
    assert error(answer)["code"] == -32602 and "www-authenticate" not in answer.headers
    assert "docs_write" not in error(reader.call("docs_writ"))["message"].replace("docs_writ`", "")
    assert text(Caller(keyed, OPERATOR).does("docs_write")) == "write ran"


def test_a_broken_file_of_keys_keeps_the_last_good_ones(tmp_path: Path) -> None:
    """Guard: a slip of an editor neither opens the server nor shuts everybody out; and it is said."""
    with gateway(tmp_path, *ALL, auth={"mode": "api-key"}, env={"MCP_API_KEY": OPERATOR}, more=UNLIMITED) as server:
        key = new_key(server, "--subject", "ada")
        file = server.manifests.data / "keys.json"
        for broken in ("{", '{"keys": [], "nonsense": 1}', '{"keys": [{"id": "x"}]}'):
            heard = len(server.log)
            file.write_text(broken)
            until(
                lambda: any("keys.json" in line for line in server.log[heard:]) or not Caller(server, key).counts(),
                "a word about the file",
            )
            assert Caller(server, key).counts() and Caller(server, OPERATOR).counts()
            denied(Caller(server, "sb_aaaaaaaaaa_" + "A" * 43).ask("tools/list"))
            assert cli(server.manifests, "keys", "list").returncode != 0
        file.write_text('{"keys": []}')
        until(lambda: not Caller(server, key).counts(), "the empty file")


def test_keys_made_at_once_are_all_there(keyed: Server) -> None:
    """Guard: writers take turns."""
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda number: new_key(keyed, "--subject", f"many {number}"), range(8)))
    ids = {each["id"] for each in json.loads((keyed.manifests.data / "keys.json").read_text())["keys"]}
    assert {key.split("_")[1] for key in made} <= ids


def test_the_first_key_in_the_file_asks_everybody_for_one(tmp_path: Path) -> None:
    """Guard: without a word of the mode, a server with a key in its file asks for keys."""
    manifests = manifests_of(tmp_path, BOARD)
    key = cli(manifests, "keys", "new", "--subject", "ada").stdout.strip()
    with harness.serve(manifests) as server:
        assert Caller(server).ask("tools/list").status_code == 401
        assert Caller(server, key).counts()


def test_keys_count_beside_tokens(tmp_path: Path) -> None:
    """In the OAuth modes a key that is set counts too; and what looks like a key is never sent to an issuer."""
    with issuer() as own:
        told = {"issuer": own.url, "allowPrivate": True, "introspection": {"clientId": "a", "clientSecret": "b"}}
        with gateway(
            tmp_path, auth={"mode": "oauth", "oauth": told}, env={"MCP_API_KEY": OPERATOR}, more=UNLIMITED
        ) as server:
            own.audience = f"{server.base}/mcp"
            key = new_key(server, "--subject", "robot")
            assert Caller(server, own.token()).counts() and Caller(server, OPERATOR).counts()
            assert Caller(server, X_API_Key=key).counts()
            told = denied(Caller(server, "sb_aaaaaaaaaa_" + "A" * 43).ask("tools/list"))
            assert told["resource_metadata"]
            assert own.asked("/introspect") == 0
            # A token is no key: it counts where tokens stand.
            assert Caller(server, X_API_Key=own.token()).ask("tools/list").status_code in (200, 401)


# Documents


@pytest.mark.parametrize("prefix", ["", "/tools"])
def test_the_resource_describes_itself_where_clients_look(tmp_path: Path, prefix: str) -> None:
    """RFC 9728, at both addresses, below a path too; the challenge names one that answers."""
    base = f"https://gateway.example{prefix}"
    with issuer() as own:
        told = {"issuer": own.url, "allowPrivate": True, "scopes": ["docs:read"]}
        with gateway(tmp_path, auth={"mode": "oauth", "oauth": told}, env={"BASE_URL": base}) as server:
            wire = Wire(re.match(r"http://[^/]+", server.url)[0])
            at = {"Host": "gateway.example", "Origin": "https://inspector.example"}
            paths = ["/.well-known/oauth-protected-resource", f"/.well-known/oauth-protected-resource{prefix}/mcp"]
            paths += [
                f"{prefix}/.well-known/oauth-protected-resource",
                f"{prefix}/.well-known/oauth-protected-resource/mcp",
            ]
            for path in paths:
                answer = wire.send("GET", path, headers=at)
                assert answer.status_code == 200, path
                assert answer.headers["access-control-allow-origin"] == "*"
                document = answer.json()
                assert document["resource"] == f"{base}/mcp" and document["authorization_servers"] == [own.url]
                assert document["bearer_methods_supported"] == ["header"] and document["resource_name"]
                assert "offline_access" not in document.get("scopes_supported", [])
            refused = wire.post(request("ping"), f"{prefix}/mcp", Host="gateway.example", MCP_Protocol_Version=LEGACY)
            assert refused.status_code == 401
            named = challenge(refused)["resource_metadata"]
            assert (
                named.startswith("https://gateway.example/") and named.removeprefix("https://gateway.example") in paths
            )


def test_a_page_may_read_the_challenge(tmp_path: Path) -> None:
    """Clients in browsers ask first, without a proof, and read the refusal."""
    with (
        issuer() as own,
        gateway(tmp_path, auth={"mode": "oauth", "oauth": {"issuer": own.url, "allowPrivate": True}}) as server,
    ):
        wire = Wire(server.base)
        asked = {
            "Origin": server.base,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization, content-type, mcp-protocol-version",
        }
        before = wire.send("OPTIONS", "/mcp", headers=asked)
        assert before.status_code in (200, 204)
        assert "authorization" in before.headers["access-control-allow-headers"].lower()
        refused = wire.post(request("ping"), Origin=server.base, MCP_Protocol_Version=LEGACY)
        assert refused.status_code == 401
        assert "www-authenticate" in refused.headers["access-control-expose-headers"].lower()
        assert refused.headers["access-control-allow-origin"] in ("*", server.base)


# Limits


@contextmanager
def limited(home: Path, limits: Json, mode: str = "api-key") -> Iterator[Server]:
    with gateway(home, auth={"mode": mode}, env={"MCP_API_KEY": OPERATOR}, more={"limits": limits}) as server:
        yield server


def statuses(caller: Caller, times: int) -> list[int]:
    return [caller.ask("tools/list").status_code for _ in range(times)]


def test_whoever_guesses_keys_is_soon_told_to_wait(tmp_path: Path) -> None:
    """Guard: failures are counted by address; those who show a proof that counts are not held up by them."""
    with limited(tmp_path, {"strangersPerMinute": 6}) as server:
        guesser = Caller(server, "a guess")
        seen = statuses(guesser, 20)
        # One more is let through every ten seconds, and the machine may be slow.
        assert seen[0] == 401 and seen.count(429) >= 8, seen
        answer = next(answer for answer in (guesser.ask("tools/list") for _ in range(9)) if answer.status_code == 429)
        assert int(answer.headers["retry-after"]) >= 1 and error(answer)["message"]
        # Another address is another's business only when a proxy says so that we trust.


def addresses() -> list[str]:
    """This machine's addresses that are not loopback's."""
    found = [each.address for of in psutil.net_if_addrs().values() for each in of if each.family == socket.AF_INET]
    return [address for address in found if not address.startswith("127.")]


def test_nobody_from_elsewhere_says_themselves_where_they_come_from(tmp_path: Path) -> None:
    """Guard: X-Forwarded-For of who is neither this machine nor a trusted proxy counts for nothing."""
    if not addresses():
        pytest.skip("this machine has no address but loopback's")
    more = {"host": "0.0.0.0", "limits": {"strangersPerMinute": 3}}
    with gateway(tmp_path, auth={"mode": "api-key"}, env={"MCP_API_KEY": OPERATOR}, more=more) as server:
        elsewhere = f"http://{addresses()[0]}:{server.base.rsplit(':', 1)[1]}"

        def guess(number: int) -> int:
            headers = {"Host": "localhost", "X_Forwarded_For": f"203.0.113.{number}"}
            return Caller(elsewhere, "a guess", **headers).ask("tools/list").status_code

        seen = [guess(number) for number in range(12)]
        assert seen[0] == 401 and seen.count(429) >= 6, seen
        assert Caller(elsewhere, OPERATOR, Host="localhost").counts()


def test_those_who_are_known_are_not_counted_as_strangers(tmp_path: Path) -> None:
    with limited(tmp_path, {"strangersPerMinute": 5}) as server:
        assert statuses(Caller(server, OPERATOR), 40) == [200] * 40


def test_strangers_cannot_flood_the_issuer(tmp_path: Path) -> None:
    """Guard: documents, registrations and tokens are counted too, before any work is done."""
    with limited(tmp_path, {"strangersPerMinute": 10}, mode="built-in") as server:
        wire = Wire(server.base)
        body = json.dumps({"redirect_uris": ["https://client.example/callback"]}).encode()
        seen = [wire.send("POST", "/oauth/register", body).status_code for _ in range(30)]
        assert seen[0] == 201 and seen.count(429) >= 12, seen
        for method, path in (
            ("GET", "/.well-known/oauth-authorization-server"),
            ("GET", "/oauth/authorize"),
            ("POST", "/oauth/token"),
        ):
            assert 429 in [wire.send(method, path).status_code for _ in range(20)], path
        assert Caller(server, OPERATOR).counts()


def test_each_address_behind_a_trusted_proxy_is_counted_for_itself(tmp_path: Path) -> None:
    """Guard: only what a trusted proxy added counts; what the client wrote before it does not."""
    with gateway(
        tmp_path,
        auth={"mode": "api-key"},
        env={"MCP_API_KEY": OPERATOR, "TRUSTED_PROXIES": "127.0.0.1"},
        more={"limits": {"strangersPerMinute": 5}},
    ) as server:

        def at(addresses: str) -> Caller:
            return Caller(server, "a guess", X_Forwarded_For=addresses)

        assert statuses(at("203.0.113.1"), 14).count(429) >= 5
        assert statuses(at("203.0.113.2"), 1) == [401]
        # The proxy adds the address it sees at the end; a client may have written anything before.
        made_up = [at(f"198.51.100.{number}, 203.0.113.3").ask("tools/list").status_code for number in range(14)]
        assert made_up.count(429) >= 5, made_up


def connections(server: Server) -> socket.socket:
    host, _, port = server.base.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=60)


@pytest.mark.parametrize(
    ("line", "status"),
    [("POST /mcp", 401), ("POST /nonesuch", 404), ("POST /.well-known/oauth-protected-resource", 405)],
)
def test_whoever_is_refused_may_go_on_over_the_same_connection(keyed: Server, line: str, status: int) -> None:
    """A client whose head and body come apart is heard out, or told that the connection ends: not just cut off."""
    head = f"{line} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n"
    with connections(keyed) as connection:
        for _ in range(3):
            connection.sendall(head.encode())
            select.select([connection], [], [], 0.2)
            connection.sendall(b'{"a":1234}')
            answer = connection.recv(65536)
            assert answer.startswith(f"HTTP/1.1 {status}".encode()), answer
            if b"connection: close" in answer.lower():
                break


def ends(connection: socket.socket) -> bool:
    """Whether the other side closes; waits for it."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


def test_whoever_sends_slowly_is_not_waited_for(tmp_path: Path) -> None:
    """Guard: the head of a request has to come within its time (Slowloris); others are served meanwhile."""
    with limited(tmp_path, {"headerSeconds": 1}) as server, ExitStack() as stack:
        slow = [stack.enter_context(connections(server)) for _ in range(20)]
        for connection in slow:
            connection.sendall(b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
            # Half of what a head has unless that is said.
            connection.settimeout(30)
        assert Caller(server, OPERATOR).counts()
        assert all(ends(connection) for connection in slow)


def test_a_head_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with limited(tmp_path, {"headerBytes": 8192}) as server, connections(server) as connection:
        connection.sendall(b"GET /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: " + b"x" * 20_000 + b"\r\n\r\n")
        answer = connection.recv(65536)
        assert not answer or answer.split()[1] in (b"431", b"400"), answer
        assert Caller(server, OPERATOR, X_Long="x" * 4000).counts()


@pytest.mark.parametrize("limit", ["connections", "connectionsPerAddress"])
def test_there_are_only_so_many_connections(tmp_path: Path, limit: str) -> None:
    """Guard: nobody can take all of the machine's sockets, and one address not all of ours; who leaves makes room."""
    with limited(tmp_path, {limit: 8, "headerSeconds": 60}) as server:
        with ExitStack() as stack:
            held = [stack.enter_context(connections(server)) for _ in range(24)]
            for connection in held:
                connection.sendall(b"GET /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n")
            closed: list[socket.socket] = []

            def watch(connection: socket.socket) -> None:
                if ends(connection):
                    closed.append(connection)

            for connection in held:
                threading.Thread(target=lambda it=connection: quietly(watch, it), daemon=True).start()
            until(lambda: len(closed) >= 16, "the surplus to be turned away")
            assert len(closed) == 16
            for connection in held:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        until(lambda: is_served(server), "room")


def is_served(server: Server) -> bool:
    try:
        return Caller(server, OPERATOR).counts()
    except httpx2.TransportError:
        return False


def quietly(work: Any, *arguments: Any) -> None:
    try:
        work(*arguments)
    except OSError:
        pass
