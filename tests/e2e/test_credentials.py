"""What upstreams are shown: fixed values, secrets of Vault, and tokens of issuers.

Vault is a double written from its API documentation (`vault.py`), the issuers are `oidc-provider` and one of the
tests' own, which rotates refresh tokens and takes them once.
"""

import base64
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from urllib.parse import parse_qsl, unquote_plus
from uuid import uuid4

import httpx2
import jwt
import pytest

import harness
from clients import node
from harness import BINARY, HERE, Server, until
from oauth.client import App
from oauth.gateway import Caller, add_user, new_key
from oauth.house import PASSWORD, UNLIMITED, signed_in
from planted import plant
from test_search import Api, Reply, Seen, running
from test_surface import Folder, manifests_of
from vault import Vault, vault
from wire import Json, Wire, error, messages, result, text

KEY = plant("operator-key-for-tests")
SECRET = plant("s3cret-of-the-client+/=")


# An API that sees what it is shown


@dataclass
class Witness:
    """An API that remembers what it was shown, and refuses what it is told to."""

    api: Api
    refused: set[str] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)

    def answer(self, seen: Seen) -> Json | Reply:
        shown = f"{seen.headers.get('authorization', '')} {seen.headers.get('x-port', '')}"
        if seen.path in self.closed or any(token in shown for token in self.refused):
            said = {"message": f"the credential {shown} does not count"}
            return Reply(401, json.dumps(said).encode(), {"Content-Type": "application/json"})
        return {"ok": True}

    @property
    def calls(self) -> list[Seen]:
        """Its calls; checks of its health show nothing."""
        return [seen for seen in self.api.seen if seen.path in ("/look", "/make")]

    def last(self) -> Seen:
        return self.calls[-1]

    def token(self) -> str:
        return self.last().headers["authorization"].removeprefix("Bearer ")


# An issuer that is all a test's own


@dataclass
class Issuer:
    """A token endpoint. A refresh token counts once; whoever shows it again ends the whole family."""

    api: Api
    life: int | None = 3600
    away: bool = False
    refuse: Json | None = None
    forms: list[dict[str, str]] = field(default_factory=list)
    proofs: list[str | None] = field(default_factory=list)
    refresh: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)
    gate: threading.Event | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"{self.api.url}/token"

    def answer(self, seen: Seen) -> Json | Reply:
        form = dict(parse_qsl(seen.body.decode(), keep_blank_values=True))
        with self.lock:
            self.forms.append(form)
            self.proofs.append(seen.headers.get("authorization"))
        if self.gate:
            self.gate.wait(30)
        if self.away:
            return Reply(503)
        if self.refuse:
            return Reply(400, json.dumps(self.refuse).encode(), {"Content-Type": "application/json"})
        told: Json = {"access_token": f"at-{uuid4()}", "token_type": "Bearer"}
        if self.life is not None:
            told["expires_in"] = self.life
        if form["grant_type"] == "refresh_token":
            with self.lock:
                shown = form["refresh_token"]
                if shown in self.used:
                    self.refresh.clear()
                if shown not in self.refresh:
                    return Reply(400, b'{"error":"invalid_grant"}', {"Content-Type": "application/json"})
                self.refresh.remove(shown)
                self.used.add(shown)
                told["refresh_token"] = f"rt-{uuid4()}"
                self.refresh.add(told["refresh_token"])
        return told

    def shown(self) -> list[tuple[str, str]]:
        """The ids and secrets that came in headers."""
        pairs = [base64.b64decode(proof.removeprefix("Basic ")).decode().split(":") for proof in self.proofs if proof]
        return [(unquote_plus(id), unquote_plus(secret)) for id, secret in pairs]


@contextmanager
def issuer(**more: Any) -> Iterator[Issuer]:
    with running({}) as api:
        own = Issuer(api, **more)
        api.answers["/token"] = own.answer
        yield own


@contextmanager
def witness() -> Iterator[Witness]:
    with running({}) as api:
        own = Witness(api)
        api.answers["/"] = own.answer
        yield own


# Connectors


def connector(id: str, base: str, credentials: Json, **more: Any) -> Json:
    tool = {
        "name": "look",
        "description": "Use this to look.",
        "request": {"method": "GET", "path": "/look"},
    }
    post = {**tool, "name": "make", "request": {"method": "POST", "path": "/make"}}
    adapter = {"kind": "http", "baseUrl": base, "allowPrivate": True}
    told = {"id": id, "name": id.title(), "version": "1.0.0", "adapter": adapter, "tools": [tool, post]}
    return told | {"credentials": credentials} | more


def robot(own: Issuer, **more: Any) -> Json:
    """A token in our own name."""
    told = {
        "grant": "clientCredentials",
        "tokenUrl": own.url,
        "clientId": "robot:1",
        "clientSecret": "${CLIENT_SECRET}",
        "allowPrivate": True,
    }
    return {"oauth": told | more}


def refreshing(own: Issuer, **more: Any) -> Json:
    own.refresh.add("rt-first")
    told = {"grant": "refreshToken", "tokenUrl": own.url, "clientId": "app", "refreshToken": "${FIRST}"}
    return {"oauth": told | {"allowPrivate": True} | more}


@contextmanager
def gateway(home: Path, *connectors: Json, settings: Json | None = None, **env: str) -> Iterator[Server]:
    home.mkdir(parents=True, exist_ok=True)
    file = home / "settings.json"
    file.write_text(json.dumps(settings or {}))
    manifests = manifests_of(home, *connectors)
    told = {"CLIENT_SECRET": SECRET, "FIRST": "rt-first"} | env
    with harness.serve(manifests, "--config", str(file), env=told) as server:
        yield server


def ask(server: Server, tool: str, token: str | None = None) -> Json:
    shown = {"Authorization": f"Bearer {token}"} if token else {}
    return result(Wire(server.base).modern("tools/call", {"name": tool, "arguments": {}}, **shown))


def does(server: Server, tool: str, token: str | None = None) -> None:
    answer = ask(server, tool, token)
    assert not answer.get("isError"), text(answer)


def fails(server: Server, tool: str, token: str | None = None) -> str:
    shown = {"Authorization": f"Bearer {token}"} if token else {}
    response = Wire(server.base).modern("tools/call", {"name": tool, "arguments": {}}, **shown)
    [message] = [message for message in messages(response) if "id" in message]
    if "error" in message:
        return error(response)["message"]
    assert message["result"].get("isError") is True, message
    return text(message["result"])


def silent(server: Server, *secrets: str) -> None:
    """No line of the log holds one of these."""
    for secret in secrets:
        assert not [line for line in server.log if secret in line], secret


def check(manifests: Folder, **env: str) -> subprocess.CompletedProcess[str]:
    told = {**os.environ, **manifests.env, **env}
    arguments = ["check", "--manifests", str(manifests.folder)]
    return subprocess.run([BINARY, *arguments], env=told, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def shared() -> Iterator[Witness]:
    with witness() as own:
        yield own


@pytest.fixture
def api(shared: Witness) -> Witness:
    shared.refused, shared.closed = set(), set()
    return shared


# Fixed values


def test_every_kind_of_fixed_credential_arrives_in_its_place(api: Witness, tmp_path: Path) -> None:
    home = tmp_path / "gateway"
    all_kinds = {
        "headers": {"X-Key": "${KEY}", "X-Unset": "${UNSET:}"},
        "query": {"key": {"file": "key.txt", "prefix": "k-"}},
        "cookies": {"session": "${COOKIE}", "other": "fixed"},
        "basic": {"username": "${USER_NAME}", "password": "${PASS}"},
    }
    bearer = {"bearer": "${TOKEN}"}
    connectors = connector("all", api.api.url, all_kinds), connector("bearer", api.api.url, bearer)
    secrets = {"KEY": "key-1", "COOKIE": "c00kie", "USER_NAME": "ada", "PASS": "pass word:ü", "TOKEN": "tok-1"}
    home.mkdir()
    (home / "manifests").mkdir()
    (home / "manifests/key.txt").write_text("filed\n")
    folder = Folder(home / "manifests")
    for each in connectors:
        folder.put(each)
    with harness.serve(folder, env=secrets) as server:
        does(server, "all_look")
        seen = api.last()
        assert seen.headers["x-key"] == "key-1" and "x-unset" not in seen.headers
        assert seen.query == {"key": "k-filed"}
        assert seen.headers["cookie"] == "other=fixed; session=c00kie"
        scheme, pair = seen.headers["authorization"].split(" ")
        assert (scheme, base64.b64decode(pair).decode()) == ("Basic", "ada:pass word:ü")
        does(server, "bearer_look")
        assert api.last().headers["authorization"] == "Bearer tok-1"
        silent(server, "key-1", "c00kie", "pass word", "tok-1", pair)


def test_a_password_of_nobody_is_sent(api: Witness, tmp_path: Path) -> None:
    """As some take their tokens."""
    told = connector("notes", api.api.url, {"basic": {"username": "", "password": "${CLIENT_SECRET}"}})
    with gateway(tmp_path, told) as server:
        does(server, "notes_look")
        shown = api.last().headers["authorization"].removeprefix("Basic ")
        assert base64.b64decode(shown).decode() == f":{SECRET}"


def test_what_cannot_stand_in_a_cookie_is_not_sent(api: Witness, tmp_path: Path) -> None:
    told = connector("jar", api.api.url, {"cookies": {"session": "${COOKIE}"}})
    with gateway(tmp_path, told, COOKIE="a; admin=1") as server:
        before = len(api.calls)
        said = fails(server, "jar_look")
        assert "cannot stand in a cookie" in said and "admin" not in said
        assert len(api.calls) == before


@pytest.mark.parametrize(
    ("credentials", "said"),
    [
        ({"bearer": "a", "headers": {"authorization": "b"}}, "already fills the header"),
        ({"bearer": "a", "basic": {"username": "u", "password": "p"}}, "already fills the header"),
        ({"headers": {"X": {"vault": "no-field"}}}, "mount/path#field"),
        ({"headers": {"X": {"vault": "kv/../sys#f"}}}, "mount/path#field"),
        ({"oauth": {"grant": "clientCredentials", "clientId": "c", "clientSecret": "s"}}, "give `issuer` or `tokenUrl`"),
        ({"oauth": {"grant": "clientCredentials", "tokenUrl": "https://a.example"}}, "give `clientId`"),
        ({"oauth": {"grant": "refreshToken", "tokenUrl": "https://a.example", "clientId": "c"}}, "first `refreshToken`"),
        ({"cookies": {"a b": "x"}}, "no name of a cookie"),
    ],
)
def test_credentials_that_make_no_sense_are_found_before_anything_runs(
    tmp_path: Path, credentials: Json, said: str
) -> None:
    done = check(manifests_of(tmp_path, connector("odd", "https://api.example", credentials)))
    assert done.returncode == 1 and said in done.stderr, done.stderr


def test_a_token_for_a_program_is_refused_with_the_way_that_works(tmp_path: Path) -> None:
    told = {"id": "run", "name": "Run", "version": "1.0.0", "adapter": {"kind": "command", "program": "true"}}
    idle = {"name": "idle", "description": "Use this to wait.", "run": {"args": []}}
    done = check(manifests_of(tmp_path, told | {"tools": [idle], "credentials": {"bearer": "x"}}))
    assert done.returncode == 1 and "by `env`" in done.stderr, done.stderr


# Vault


def kv(path: str = "secret/apps/notes#token", **more: str) -> Json:
    return {"vault": path, **more}


@pytest.fixture
def store() -> Iterator[Vault]:
    with vault(secrets={"secret/apps/notes": {"token": "vaulted-1", "port": 8080, "more": {}}}) as own:
        own.tokens.add("hvs.given")
        own.roles = {"approle": {"role_id": "r-1", "secret_id": "s-1"}}
        yield own


def with_vault(api: Witness) -> Json:
    told = {"bearer": kv(), "headers": {"X-Port": kv("secret/apps/notes#port", prefix="p")}}
    return connector("notes", api.api.url, told)


def test_a_secret_of_vault_is_shown_and_asked_for_once(api: Witness, store: Vault, tmp_path: Path) -> None:
    env = {"VAULT_ADDR": store.url, "VAULT_ROLE_ID": "r-1", "VAULT_SECRET_ID": "s-1", "VAULT_NAMESPACE": "team"}
    store.namespace = "team"
    with gateway(tmp_path, with_vault(api), **env) as server, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: does(server, "notes_look"), range(16)))
        assert api.token() == "vaulted-1" and api.last().headers["x-port"] == "p8080"
        assert store.asked("secret/data/apps/notes") == 1 and store.logins() == 1
        silent(server, "vaulted-1", "s-1", *store.tokens)


@pytest.mark.parametrize("way", ["token", "token file", "kubernetes"])
def test_every_way_to_log_in_at_vault_opens_secrets(way: str, api: Witness, store: Vault, tmp_path: Path) -> None:
    file = tmp_path / "given"
    env = {"VAULT_ADDR": store.url}
    match way:
        case "token":
            env["VAULT_TOKEN"] = "hvs.given"
        case "token file":
            file.write_text("hvs.given\n")
            env["VAULT_TOKEN_FILE"] = str(file)
        case "kubernetes":
            file.write_text("a.pod.jwt\n")
            store.roles = {"cluster": {"role": "gateway", "jwt": "a.pod.jwt"}}
            env |= {"VAULT_K8S_ROLE": "gateway", "VAULT_K8S_TOKEN_FILE": str(file), "VAULT_AUTH_MOUNT": "cluster"}
    with gateway(tmp_path / "gateway", with_vault(api), **env) as server:
        does(server, "notes_look")
        assert api.token() == "vaulted-1"


def test_a_login_is_renewed_before_it_ends_and_made_anew_when_it_is_taken_back(
    api: Witness, store: Vault, tmp_path: Path
) -> None:
    store.life = 3
    env = {"VAULT_ADDR": store.url, "VAULT_ROLE_ID": "r-1", "VAULT_SECRET_ID": "s-1"}
    settings = {"vault": {"cacheSeconds": 0}}
    with gateway(tmp_path, with_vault(api), settings=settings, **env) as server:
        does(server, "notes_look")
        until(lambda: store.asked("auth/token/renew-self") >= 2, "renewals without any call")
        assert store.logins() == 1
        store.tokens.clear()
        does(server, "notes_look")
        assert store.logins() == 2


def test_a_rotated_secret_is_found_and_an_old_one_serves_while_vault_is_away(
    api: Witness, store: Vault, tmp_path: Path
) -> None:
    env = {"VAULT_ADDR": store.url, "VAULT_TOKEN": "hvs.given"}
    settings = {"vault": {"cacheSeconds": 0}}
    with gateway(tmp_path, with_vault(api), settings=settings, **env) as server:
        does(server, "notes_look")
        store.secrets["secret/apps/notes"] = {"token": "vaulted-2", "port": 1}
        does(server, "notes_look")
        assert api.token() == "vaulted-2"
        store.sealed = True
        does(server, "notes_look")
        assert api.token() == "vaulted-2"
        # What Vault takes back is not shown any longer, be it ever so fresh.
        store.sealed = False
        store.deleted.add("secret/apps/notes")

        def is_gone() -> bool:
            before = len(api.calls)
            answer = ask(server, "notes_look")
            return bool(answer.get("isError")) and len(api.calls) == before

        until(is_gone, "the end of the deleted secret")
        assert "switchboard check" in fails(server, "notes_look")


def test_a_cached_secret_that_the_upstream_refuses_is_asked_for_again(
    api: Witness, store: Vault, tmp_path: Path
) -> None:
    env = {"VAULT_ADDR": store.url, "VAULT_TOKEN": "hvs.given"}
    with gateway(tmp_path, with_vault(api), settings={"vault": {"cacheSeconds": 3600}}, **env) as server:
        does(server, "notes_look")
        store.secrets["secret/apps/notes"] = {"token": "vaulted-3", "port": 1}
        api.refused = {"vaulted-1"}
        does(server, "notes_make")
        assert api.token() == "vaulted-3"


def test_a_secret_beside_a_token_is_asked_for_again_too(api: Witness, store: Vault, tmp_path: Path) -> None:
    env = {"VAULT_ADDR": store.url, "VAULT_TOKEN": "hvs.given"}
    with issuer() as own:
        told = robot(own) | {"headers": {"X-Port": kv("secret/apps/notes#port", prefix="p")}}
        with gateway(tmp_path, connector("notes", api.api.url, told), **env) as server:
            does(server, "notes_look")
            store.secrets["secret/apps/notes"] = {"port": 1}
            api.refused = {"p8080"}
            does(server, "notes_look")
            assert api.last().headers["x-port"] == "p1"


def test_a_secret_that_our_login_does_not_open_costs_no_login(api: Witness, store: Vault, tmp_path: Path) -> None:
    env = {"VAULT_ADDR": store.url, "VAULT_ROLE_ID": "r-1", "VAULT_SECRET_ID": "s-1"}
    store.closed.add("secret/apps/theirs")
    theirs = connector("theirs", api.api.url, {"bearer": kv("secret/apps/theirs#token")})
    with gateway(tmp_path, with_vault(api), theirs, **env) as server:
        does(server, "notes_look")
        fails(server, "theirs_look")
        assert store.asked("secret/data/apps/theirs") == 1 and store.logins() == 1


def test_our_login_follows_vault_to_the_same_host_only(api: Witness, store: Vault, tmp_path: Path) -> None:
    env = {"VAULT_ADDR": store.url, "VAULT_TOKEN": "hvs.given"}
    with vault(secrets=store.secrets, tokens=store.tokens) as active:

        def lead(host: str) -> None:
            there = active.url.replace("127.0.0.1", host)
            store.api.answers["/v1/"] = lambda seen: Reply(307, headers={"Location": there + seen.path})

        lead("localhost")
        with gateway(tmp_path, with_vault(api), **env) as server:
            fails(server, "notes_look")
            assert active.api.seen == []
            lead("127.0.0.1")
            until(lambda: not ask_or_none(server, "notes_look"), "the node that answers")


def test_without_vault_a_connector_says_what_is_missing_and_others_work(api: Witness, tmp_path: Path) -> None:
    plain = connector("plain", api.api.url, {})
    with gateway(tmp_path, with_vault(api), plain) as server:
        does(server, "plain_look")
        names = {tool["name"] for tool in result(Wire(server.base).modern("tools/list"))["tools"]}
        assert "plain_look" in names and "notes_look" not in names


def test_check_names_each_missing_secret_with_its_place_and_no_value(
    api: Witness, store: Vault, tmp_path: Path
) -> None:
    wrong = connector("wrong", api.api.url, {"bearer": kv("secret/apps/notes#nothing"), "headers": {"X": kv()}})
    gone = connector("gone", api.api.url, {"query": {"q": kv("secret/none#token")}})
    manifests = manifests_of(tmp_path, wrong, gone, connector("env", api.api.url, {"bearer": "${NOT_SET_ANYWHERE}"}))
    done = check(manifests, VAULT_ADDR=store.url, VAULT_TOKEN="hvs.given")
    said = done.stdout + done.stderr
    assert "/credentials/bearer" in said and "secret/apps/notes#nothing" in said, said
    assert "/credentials/query/q" in said and "secret/none#token" in said, said
    assert "NOT_SET_ANYWHERE" in said
    assert "vaulted-1" not in said and "hvs.given" not in said
    fine = manifests_of(tmp_path / "fine", with_vault(api))
    done = check(fine, VAULT_ADDR=store.url, VAULT_TOKEN="hvs.given")
    assert done.returncode == 0 and "secret/apps" not in done.stdout + done.stderr, done.stdout + done.stderr


# Tokens in our own name


def test_a_token_is_had_once_and_shown_until_it_ends(api: Witness, tmp_path: Path) -> None:
    with issuer() as own, ExitStack() as stack:
        told = connector("robot", api.api.url, robot(own, scopes=["a", "b"], audience="https://aud.example"))
        server = stack.enter_context(gateway(tmp_path, told))
        pool = stack.enter_context(ThreadPoolExecutor(8))
        list(pool.map(lambda _: does(server, "robot_look"), range(24)))
        [form] = own.forms
        assert form == {"grant_type": "client_credentials", "scope": "a b", "audience": "https://aud.example"}
        assert own.shown() == [("robot:1", SECRET)]
        assert api.token().startswith("at-")
        silent(server, SECRET, api.token())


@pytest.mark.parametrize(("way", "secret"), [("post", SECRET), ("none", None)])
def test_a_client_shows_itself_as_the_manifest_says(
    way: str, secret: str | None, api: Witness, tmp_path: Path
) -> None:
    with issuer() as own, gateway(tmp_path, connector("robot", api.api.url, robot(own, clientAuth=way))) as server:
        does(server, "robot_look")
        [form] = own.forms
        assert form["client_id"] == "robot:1" and form.get("client_secret") == secret
        assert own.proofs == [None]


def test_a_token_is_renewed_ahead_of_its_end_and_no_call_fails(api: Witness, tmp_path: Path) -> None:
    with issuer(life=2) as own, gateway(tmp_path, connector("robot", api.api.url, robot(own))) as server:
        deadline = time.monotonic() + 60
        while len(own.forms) < 3:
            assert time.monotonic() < deadline
            does(server, "robot_look")
            time.sleep(0.05)


def test_a_token_serves_to_its_end_while_the_issuer_is_away(api: Witness, tmp_path: Path) -> None:
    with issuer(life=40) as own, gateway(tmp_path, connector("robot", api.api.url, robot(own))) as server:
        does(server, "robot_look")
        own.away = True
        does(server, "robot_look")
        assert len(own.forms) == 1


def test_a_refused_token_is_thrown_away_and_the_call_made_again(api: Witness, tmp_path: Path) -> None:
    with issuer(life=None) as own, gateway(tmp_path, connector("robot", api.api.url, robot(own))) as server:
        does(server, "robot_look")
        api.refused = {api.token()}
        does(server, "robot_make")
        assert len(own.forms) == 2 and api.token() not in api.refused


def test_a_refusal_takes_a_good_token_from_nobody(api: Witness, tmp_path: Path) -> None:
    with issuer() as own, gateway(tmp_path, connector("robot", api.api.url, robot(own))) as server:
        does(server, "robot_look")
        api.closed, own.away = {"/make"}, True
        fails(server, "robot_make")
        does(server, "robot_look")


def test_an_upstream_that_refuses_every_token_is_not_asked_on_and_on(api: Witness, tmp_path: Path) -> None:
    with issuer() as own, gateway(tmp_path, connector("robot", api.api.url, robot(own))) as server:
        api.refused = {"at-"}
        before = len(api.calls)
        said = fails(server, "robot_look")
        assert len(api.calls) == before + 2 and len(own.forms) == 2
        assert "at-" not in said and "[secret]" in said
        for _ in range(20):
            fails(server, "robot_look")
        assert len(own.forms) < 12
        api.refused = set()
        does(server, "robot_look")


def test_a_refusal_is_told_without_secrets_and_healed_without_a_restart(api: Witness, tmp_path: Path) -> None:
    with issuer() as own, gateway(tmp_path, connector("robot", api.api.url, robot(own))) as server:
        own.refuse = {"error": "invalid_client", "error_description": f"no client with {SECRET}"}
        said = fails(server, "robot_look")
        assert "invalid_client" in said and SECRET not in said and own.url not in said
        silent(server, SECRET)
        own.refuse = None
        until(lambda: not ask(server, "robot_look").get("isError"), "a token after all")


def test_who_waits_for_a_token_that_is_refused_hears_so_without_asking_again(api: Witness, tmp_path: Path) -> None:
    refused = {"error": "unauthorized_client"}
    with issuer(gate=threading.Event(), refuse=refused) as own, ExitStack() as stack:
        server = stack.enter_context(gateway(tmp_path, connector("robot", api.api.url, robot(own))))
        pool = stack.enter_context(ThreadPoolExecutor(16))
        calls = [pool.submit(fails, server, "robot_look") for _ in range(16)]
        until(lambda: own.forms, "the question")
        own.gate.set()
        assert all("unauthorized_client" in call.result() for call in calls)
        assert len(own.forms) < 16


def test_nothing_is_shown_where_an_issuer_leads_elsewhere(api: Witness, tmp_path: Path) -> None:
    with issuer() as own, issuer() as trap:
        own.api.answers["/token"] = lambda _: Reply(307, headers={"Location": trap.url})
        with gateway(tmp_path, connector("robot", api.api.url, robot(own))) as server:
            fails(server, "robot_look")
            assert trap.forms == []


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """oidc-provider."""
    arguments = [node(), str(HERE / "oauth/provider.mjs")]
    pipes: Json = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(arguments, **pipes) as process:
        line = next(line for line in process.stderr if "listening on" in line)
        try:
            yield f"http://{line.rsplit(' ', 1)[1].strip()}"
        finally:
            process.kill()


def test_a_real_issuer_is_found_by_its_metadata_and_gives_a_token(
    provider: str, api: Witness, tmp_path: Path
) -> None:
    told = {
        "grant": "clientCredentials",
        "issuer": provider,
        "clientId": "robot",
        "clientSecret": "${ROBOT}",
        "scopes": ["docs:read"],
        "resource": "https://api.example",
        "allowPrivate": True,
    }
    wrong = {**told, "clientSecret": "wrong"}
    other = {**told, "issuer": f"{provider}/other"}
    every = [connector(id, api.api.url, {"oauth": it}) for id, it in (("r", told), ("w", wrong), ("o", other))]
    with gateway(tmp_path, *every, ROBOT="robot+secret=") as server:
        does(server, "r_look")
        claims = jwt.decode(api.token(), options={"verify_signature": False})
        assert (claims["iss"], claims["aud"], claims["scope"]) == (provider, "https://api.example", "docs:read")
        assert "invalid_client" in fails(server, "w_look")
        assert "cannot be asked" in fails(server, "o_look")


# Refresh tokens


def test_a_rotated_refresh_token_is_kept_sealed_and_outlives_the_program(api: Witness, tmp_path: Path) -> None:
    with issuer(life=2) as own:
        told = connector("app", api.api.url, refreshing(own))
        with gateway(tmp_path, told) as server:
            until(lambda: (does(server, "app_look"), len(own.forms) >= 3)[1], "some rotations")
            folder = server.manifests.data
        kept = b"".join(file.read_bytes() for file in folder.iterdir() if file.name.startswith("switchboard.db"))
        assert len(own.refresh) == 1 and not [token for token in own.refresh | own.used if token.encode() in kept]
        assert (folder / "seal.key").stat().st_mode & 0o777 == 0o600
        again = Folder(tmp_path / "manifests")
        with harness.serve(again, env={"FIRST": "rt-first"}) as server:
            does(server, "app_look")
        assert len(own.refresh) == 1


def test_a_sealing_key_that_is_gone_is_told_and_no_refresh_token_shown_twice(api: Witness, tmp_path: Path) -> None:
    with issuer(life=2) as own:
        with gateway(tmp_path, connector("app", api.api.url, refreshing(own))) as server:
            until(lambda: (does(server, "app_look"), len(own.forms) >= 2)[1], "a rotation")
            key = server.manifests.data / "seal.key"
        again = Folder(tmp_path / "manifests")
        right, _ = key.read_text(), key.write_text("")
        with pytest.raises(AssertionError, match=r"seal\.key"), harness.serve(again, env={"FIRST": "rt-first"}):
            pass
        key.unlink()
        with harness.serve(again, env={"FIRST": "rt-first"}) as server:
            server.says("sealed records cannot be opened")
            fails(server, "app_look")
            server.says("sealed with a key that is gone")
        assert len(own.refresh) == 1, "the first refresh token was not shown again"
        key.write_text(right)
        key.chmod(0o644)
        with harness.serve(again, env={"FIRST": "rt-first"}) as server:
            does(server, "app_look")
            server.says("can be read by others")


def test_two_programs_with_one_store_take_turns(api: Witness, tmp_path: Path) -> None:
    with issuer(life=2) as own, ExitStack() as stack:
        first = stack.enter_context(gateway(tmp_path, connector("app", api.api.url, refreshing(own))))
        second = stack.enter_context(harness.serve(Folder(tmp_path / "manifests"), env={"FIRST": "rt-first"}))
        pool = stack.enter_context(ThreadPoolExecutor(4))
        deadline = time.monotonic() + 60
        while len(own.forms) < 4:
            assert time.monotonic() < deadline
            list(pool.map(lambda server: does(server, "app_look"), (first, second) * 2))
        assert len(own.refresh) == 1, "nobody showed a refresh token twice"


def test_a_refresh_token_that_does_not_count_any_more_is_told(api: Witness, tmp_path: Path) -> None:
    with issuer() as own:
        told = connector("app", api.api.url, refreshing(own))
        own.refresh.clear()
        with gateway(tmp_path, told) as server:
            assert "does not take its grant" in fails(server, "app_look")
            silent(server, "rt-first")


def test_a_call_that_is_given_up_loses_no_rotated_token(api: Witness, tmp_path: Path) -> None:
    with issuer(gate=threading.Event()) as own:
        told = connector("app", api.api.url, refreshing(own), timeouts={"requestMs": 500})
        with gateway(tmp_path, told) as server:
            fails(server, "app_look")
            own.gate.set()
            until(lambda: not ask(server, "app_look").get("isError"), "the token that came late")
            assert len(own.forms) == 1


# Tokens in the caller's name


def test_our_issuer_vouches_for_who_signed_in_and_for_nobody_else(api: Witness, tmp_path: Path) -> None:
    with issuer() as own:
        told = {"grant": "tokenExchange", "tokenUrl": own.url, "clientId": "gateway", "clientSecret": "${CLIENT_SECRET}"}
        swap = connector("swap", api.api.url, {"oauth": {**told, "scopes": ["files"], "allowPrivate": True}})
        settings = {"auth": {"mode": "built-in"}, **UNLIMITED}
        with gateway(tmp_path, swap, settings=settings, CONNECTORS_API_KEY=KEY) as server:
            for name in ("ada", "bob"):
                add_user(server, name, PASSWORD)
            app = App.register(server)
            tokens = {name: app.grant(signed_in(server, name))["access_token"] for name in ("ada", "bob")}
            shown = {}
            for name, token in tokens.items():
                does(server, "swap_look", token)
                does(server, "swap_look", token)
                shown[name] = api.token()
            assert shown["ada"] != shown["bob"] and len(own.forms) == 2
            keys = jwt.PyJWKSet.from_dict(httpx2.get(f"{server.base}/oauth/jwks", timeout=60).json())
            subjects = []
            for form in own.forms:
                assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange"
                assert form["subject_token_type"] == "urn:ietf:params:oauth:token-type:jwt"
                assert form["scope"] == "files" and form["subject_token"] not in tokens.values()
                subject = form["subject_token"]
                key = keys[jwt.get_unverified_header(subject)["kid"]]
                claims = jwt.decode(subject, key, algorithms=["ES256"], audience=own.url, issuer=server.base)
                assert claims["exp"] - claims["iat"] <= 300
                subjects.append(claims["sub"])
                # It opens nothing here.
                refused = Wire(server.base).modern("tools/list", Authorization=f"Bearer {subject}")
                assert refused.status_code == 401
            assert len(set(subjects)) == 2
            assert "sign in" in fails(server, "swap_look", KEY)
            assert len(own.forms) == 2


def test_without_our_issuer_nobody_can_vouch_and_check_says_so(api: Witness, tmp_path: Path) -> None:
    told = {"grant": "tokenExchange", "tokenUrl": "https://issuer.example/token", "clientId": "gateway"}
    done = check(manifests_of(tmp_path, connector("swap", api.api.url, {"oauth": told})))
    assert "built-in" in done.stdout + done.stderr


def test_a_tenant_with_a_client_of_its_own_gets_tokens_by_it_and_nobody_else_does(
    api: Witness, tmp_path: Path
) -> None:
    with issuer() as own:
        told = connector("robot", api.api.url, robot(own, scopes=["files"]))
        with gateway(tmp_path, told, settings={"auth": {"mode": "api-key"}}, CONNECTORS_API_KEY=KEY) as server:
            admin = ("--scopes", "connectors:admin")
            acme, globex = (
                new_key(server, "--subject", tenant, "--tenant", tenant, *admin) for tenant in ("acme", "globex")
            )
            place = f"{server.base}/api/v1/tenants/acme/integrations/robot/oauth-config"
            client = {"clientId": "acme's", "clientSecret": "acme+secret", "scopes": ["theirs"]}
            answer = httpx2.post(place, json=client, headers={"X-API-Key": acme}, timeout=60)
            assert answer.status_code < 300 and "acme+secret" not in answer.text, answer.text
            shown = {}
            for name, key in (("acme", acme), ("globex", globex)):
                does(server, "robot_look", key)
                does(server, "robot_look", key)
                shown[name] = api.token()
            assert own.shown() == [("acme's", "acme+secret"), ("robot:1", SECRET)]
            assert [form["scope"] for form in own.forms] == ["theirs", "files"]
            assert shown["acme"] != shown["globex"]
            silent(server, "acme+secret")


# Another MCP server


def mcp_server(shown: list[str]) -> Callable[[Seen], Json | Reply]:
    """Answers as an MCP server with one tool, which says what it is shown, and with what is its caller's own."""
    about = {"protocolVersion": "2025-11-25", "serverInfo": {"name": "it", "version": "1"}}
    private = {"uri": "drive://salaries", "name": "salaries"}
    answers: dict[str, Json] = {
        "initialize": about | {"capabilities": {"tools": {}, "resources": {}, "prompts": {}}, "instructions": "salaries"},
        "resources/list": {"resources": [private]},
        "resources/read": {"contents": [{"uri": "drive://salaries", "text": "a lot"}]},
        "prompts/list": {"prompts": [{"name": "salaries"}]},
        "tools/list": {"tools": [{"name": "look", "inputSchema": {"type": "object"}}]},
    }

    def answer(seen: Seen) -> Json | Reply:
        if seen.method != "POST":
            return Reply(405)
        shown.append(seen.headers.get("authorization", ""))
        asked = json.loads(seen.body)
        if "id" not in asked:
            return Reply(202)
        if asked["method"] == "tools/call":
            return {"jsonrpc": "2.0", "id": asked["id"], "result": {"content": [{"type": "text", "text": shown[-1]}]}}
        return {"jsonrpc": "2.0", "id": asked["id"], "result": answers.get(asked["method"], {})}

    return answer


def over_sse(answer: Callable[[Seen], Json | Reply]) -> Callable[[Seen], Json | Reply]:
    """The same over the older transport: what is answered comes on the stream that was opened last."""
    streams: list[SimpleQueue[Json]] = []

    def events(said: SimpleQueue[Json]) -> Iterator[bytes]:
        yield b"event: endpoint\ndata: /message\n\n"
        while True:
            yield f"event: message\ndata: {json.dumps(said.get())}\n\n".encode()

    def posted(seen: Seen) -> Json | Reply:
        if seen.method == "GET":
            streams.append(SimpleQueue())
            return Reply(body=events(streams[-1]), headers={"Content-Type": "text/event-stream"})
        answered = answer(seen)
        if isinstance(answered, Reply):
            return answered
        streams[-1].put(answered)
        return Reply(202)

    return posted


def peer(api: Api, credentials: Json, path: str = "/mcp", **more: Any) -> Json:
    adapter = {"kind": "mcp", "url": f"{api.url}{path}", "allowPrivate": True, "protocol": "2025-11-25"} | more
    return {"id": "peer", "name": "Peer", "version": "1.0.0", "adapter": adapter, "credentials": credentials}


def test_an_mcp_server_is_shown_who_calls_and_its_tools_come_with_the_first(tmp_path: Path) -> None:
    """Nothing can be listed in nobody's name: until somebody connects, that is the only tool."""
    shown: list[str] = []
    told = {"grant": "tokenExchange", "clientId": "gateway", "clientSecret": "${CLIENT_SECRET}", "allowPrivate": True}
    with issuer() as own, running({"/": mcp_server(shown)}) as api:
        swap = peer(api, {"oauth": {**told, "tokenUrl": own.url}}, maxConnections=2)
        with gateway(tmp_path, swap, settings={"auth": {"mode": "built-in"}, **UNLIMITED}) as server:
            for name in ("ada", "bob"):
                add_user(server, name, PASSWORD)
            app = App.register(server)
            ada, bob = (app.grant(signed_in(server, name))["access_token"] for name in ("ada", "bob"))

            def listed(token: str) -> list[str]:
                return [name for name in Caller(server, token).tools() if name.startswith("peer_")]

            until(lambda: listed(ada) == ["peer_connect"], "the way to connect")
            assert not shown
            does(server, "peer_connect", ada)
            until(lambda: listed(bob) == ["peer_look"], "the tools")
            seen_as = [text(ask(server, "peer_look", token)) for token in (ada, bob, ada)]
            assert seen_as[0] == seen_as[2] != seen_as[1], seen_as
            # What is somebody's own is listed for nobody else, and read by its owner.
            for method in ("resources/list", "prompts/list"):
                assert "salaries" not in Caller(server, bob).ask(method).text
            assert "salaries" not in Caller(server, bob).ask("server/discover").text
            uri = {"uri": "drive://peer/salaries"}
            assert "a lot" in Caller(server, ada).ask("resources/read", uri).text
            # A connection that could not be made keeps no place.
            does(server, "peer_look", bob)
            api.answers["/"] = lambda _: Reply(500)
            fails(server, "peer_look", ada)
            api.answers["/"] = mcp_server(shown)
            does(server, "peer_look", bob)


def test_a_connection_to_an_mcp_server_shows_each_new_token(tmp_path: Path) -> None:
    shown: list[str] = []
    with issuer(life=2) as own, running({"/": mcp_server(shown)}) as api:
        with gateway(tmp_path, peer(api, robot(own))) as server:
            until(lambda: not ask_or_none(server, "peer_look"), "the peer's tool")
            deadline = time.monotonic() + 60
            while len(set(shown)) < 3:
                assert time.monotonic() < deadline
                does(server, "peer_look")
                time.sleep(0.05)
            assert all(each.startswith("Bearer at-") for each in shown)
            assert sum(seen.body.count(b'"initialize"') for seen in api.seen) == 1


def test_a_stream_of_the_older_transport_is_asked_with_each_new_token(tmp_path: Path) -> None:
    shown: list[str] = []
    refused: set[str] = set()
    answer = over_sse(mcp_server(shown))

    def strict(seen: Seen) -> Json | Reply:
        return Reply(401) if refused & {seen.headers.get("authorization"), "all"} else answer(seen)

    with issuer() as own, running({"/": strict}) as api:
        with gateway(tmp_path, peer(api, robot(own), "/sse")) as server:
            until(lambda: not ask_or_none(server, "peer_look"), "the peer's tool")
            refused.add(shown[-1])
            does(server, "peer_look")
            assert len(own.forms) == 2 and shown[-1] not in refused
            assert sum(seen.method == "GET" for seen in api.seen) == 1
            # Where no token counts, it is left, and found again.
            refused.add("all")
            assert "credential" in fails(server, "peer_look")
            refused.clear()
            until(lambda: not ask_or_none(server, "peer_look"), "the peer to take us again")


def ask_or_none(server: Server, tool: str) -> bool:
    """Whether a call fails."""
    response = Wire(server.base).modern("tools/call", {"name": tool, "arguments": {}})
    [message] = [message for message in messages(response) if "id" in message]
    return "error" in message or bool(message["result"].get("isError"))
