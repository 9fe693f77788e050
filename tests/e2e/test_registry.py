"""Connectors added and removed while the server runs: by the HTTP API, by tools, by the command line; and whose they are."""

import base64
import hashlib
import io
import json
import os
import re
import signal
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

import harness
from connectors import FIXTURE, bystanders, echo, marked, program
from harness import Server, kill_tree, until
from loopback import Handler, Loopback, listening
from oauth.gateway import Caller, cli, gateway, new_key, settings
from oauth.house import UNLIMITED
from planted import plant
from sdk_client import ApiError, SdkClient
from test_surface import manifests_of
from wire import Json, Wire, result

OPERATOR = "the-operators-own-key"
SECRET = plant("a-value-of-the-servers-environment")
NOWHERE = "http://127.0.0.1:9/mcp"


def calm() -> Json:
    return {"id": "calm", "name": "Calm", "version": "1.0.0", "adapter": {"kind": "mcp", **program()}}


@contextmanager
def mcp_server(*flags: str) -> Iterator[str]:
    """An MCP server at an address of this machine."""
    process = subprocess.Popen([FIXTURE, "http", *flags], stderr=subprocess.PIPE, text=True)
    try:
        found = re.search(r"http://\S+", process.stderr.readline())
        assert found
        threading.Thread(target=lambda: process.stderr.read(), daemon=True).start()
        yield found[0]
    finally:
        kill_tree(process)


class Slow(Loopback):
    """Stands before an MCP server: lets nothing through until `gate` is set, and remembers what it was shown."""

    def __init__(self, behind: str) -> None:
        super().__init__(SlowHandler)
        self.behind = behind
        self.gate = threading.Event()
        self.seen: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/mcp"


class Api(Loopback):
    """An API with one operation, and the document that describes it."""

    def __init__(self) -> None:
        super().__init__(ApiHandler)

    @property
    def document(self) -> Json:
        parameter = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
        operation = {
            "operationId": "getItem",
            "summary": "Reads an item.",
            "parameters": [parameter],
            "responses": {"200": {"description": "The item.", "content": {"application/json": {"schema": ITEM}}}},
        }
        info = {"title": "Items", "version": "1.0.0"}
        return {"openapi": "3.1.0", "info": info, "paths": {"/items/{id}": {"get": operation}}}


ITEM = {"type": "object", "properties": {"id": {"type": "string"}, "name": {"type": "string"}}}


class ApiHandler(Handler):
    server: Api

    def do_GET(self) -> None:
        item = self.path.removeprefix("/items/")
        self.answer(200, self.server.document if self.path == "/openapi.json" else {"id": item, "name": f"item {item}"})


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with listening(Api()) as server:
        yield server


class SlowHandler(Handler):
    server: Slow

    def do_POST(self) -> None:
        self.server.seen.append({name.lower(): value for name, value in self.headers.items()})
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.gate.wait()
        kept = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "accept-encoding")}
        answer = Wire(self.server.behind.removesuffix("/mcp")).send("POST", "/mcp", body, kept)
        try:
            self.send_response(answer.status_code)
            for name in ("content-type", "mcp-session-id", "mcp-protocol-version"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)
        except OSError:
            pass

    def do_GET(self) -> None:
        self.send_error(405)

    do_DELETE = do_GET


@contextmanager
def slow(behind: str) -> Iterator[Slow]:
    with listening(Slow(behind)) as server:
        try:
            yield server
        finally:
            server.gate.set()


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    with mcp_server("--faults") as url:
        yield url


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that lets its own machine add connectors, programs too."""
    home = tmp_path_factory.mktemp("open")
    more = {"registry": {"open": True, "allowPrivate": True, "programs": ["npm", "stdio"]}}
    with gateway(home, calm(), auth={"mode": "none"}, more=more) as server:
        until(lambda: "calm_echo" in names(server), f"the calm one: {server.log}")
        yield server


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of several tenants."""
    home = tmp_path_factory.mktemp("keyed")
    more = {"registry": {"allowPrivate": True}, **UNLIMITED}
    with gateway(home, calm(), env={"MCP_API_KEY": OPERATOR, "HUSH": SECRET}, more=more) as server:
        yield server


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose configuration file says nothing of the registry, whatever the environment says."""
    home = tmp_path_factory.mktemp("strict")
    env = {"MCP_API_KEY": OPERATOR, "REGISTRY_PROGRAMS": "npm,stdio", "REGISTRY_ALLOW_PRIVATE": "true"}
    with gateway(home, calm(), env=env) as server:
        yield server


@pytest.fixture(scope="module")
def tenants(keyed: Server) -> dict[str, SdkClient]:
    keys = {
        "acme": new_key(keyed, "--subject", "ada", "--tenant", "acme", "--scopes", "connectors:admin"),
        "globex": new_key(keyed, "--subject", "grace", "--tenant", "globex"),
        "acme reader": new_key(keyed, "--subject", "alan", "--tenant", "acme", "--scopes", "other"),
        "nobody's": new_key(keyed, "--subject", "niklaus", "--scopes", "connectors:admin"),
        "operator": OPERATOR,
    }
    return {who: SdkClient(keyed.base, key) for who, key in keys.items()}


def names(server: Server, key: str | None = None) -> set[str]:
    return set(Caller(server, key).tools())


def http(url: str, **headers: str) -> Json:
    return {"type": "http", "url": url} | ({"headers": headers} if headers else {})


def runs(client: SdkClient, name: str, source: Json, **more: object) -> Json:
    """Adds a connector that must run."""
    deployment = client.wait(client.add(name, source, **more)["deploymentId"])
    assert deployment["status"] == "running", deployment
    return deployment


def fails(client: SdkClient, name: str, source: Json) -> str:
    """Adds a connector that must not run; gives the reason."""
    deployment = client.wait(client.add(name, source)["deploymentId"])
    assert deployment["status"] == "failed" and "toolsDiscovered" not in deployment, deployment
    assert name not in client.custom() and name not in client.integrations()
    return deployment["error"]


def refused(status: int, ask: object, *arguments: object, **more: object) -> str:
    """What is said to who may not, or asks for nonsense."""
    with pytest.raises(ApiError) as caught:
        ask(*arguments, **more)  # type: ignore[operator]
    assert caught.value.status == status, caught.value
    assert caught.value.body["success"] is False
    return caught.value.words


# From nothing to nothing


@pytest.mark.parametrize("kind", ["openapi", "http"])
def test_a_connector_is_added_listed_invoked_and_removed_while_others_call(
    open_server: Server, upstream: str, api: Api, kind: str
) -> None:
    client = SdkClient(open_server.base)
    source, tool, argument, answer = {
        "openapi": ({"type": "openapi", "url": f"{api.url}/openapi.json"}, "getItem", "id", {"id": "7", "name": "item 7"}),
        "http": (http(upstream), "echo", "message", {"message": "7"}),
    }[kind]
    with bystanders(open_server, "calm"):
        for _ in range(2):
            taken = client.add("weather", source, "Weather & Climate", description="Tells the weather.")
            assert taken["name"] == "weather" and taken["status"] == "pending" and taken["message"], taken
            ended = client.wait(taken["deploymentId"])
            assert ended["status"] == "running" and ended["progress"] == 100, ended
            assert ended["toolsDiscovered"] >= 1 and ended["startedAt"] <= ended["completedAt"], ended
            told = client.integrations()["weather"]
            assert told["custom"] is True and told["description"] == "Tells the weather.", told
            assert told["toolCount"] == ended["toolsDiscovered"] and told["category"] == "weather-climate"
            assert client.integrations()["calm"]["custom"] is False
            [server] = client.custom().values()
            assert server["name"] == "weather" and server["status"] == "up", server
            listed = client.list_tools(integration="weather")
            assert listed["success"] and listed["total"] == ended["toolsDiscovered"]
            [found] = [each for each in listed["tools"] if each["name"] == tool]
            assert found["toolId"] == f"weather.{tool}" and found["integration"] == "weather", found
            [parameter] = found["parameters"]
            assert parameter["name"] == argument and parameter["type"] == "string" and parameter["required"] is True
            done = client.invoke(f"weather.{tool}", "weather", {argument: "7"})
            assert done["success"] is True and done["data"] == answer and done["executionTimeMs"] >= 0, done
            if kind == "openapi":
                # What an MCP server is called with, it judges itself.
                refused(400, client.invoke, f"weather.{tool}", "weather", {})
            assert client.remove("weather")["name"] == "weather"
            assert client.custom() == {} and "weather" not in client.integrations()
            assert client.list_tools(integration="weather")["total"] == 0
            assert not [name for name in names(open_server) if name.startswith("weather")]
            refused(404, client.invoke, f"weather.{tool}", "weather", {argument: "7"})
            refused(404, client.remove, "weather")


def test_many_connectors_are_added_at_once(open_server: Server, upstream: str) -> None:
    """Guard: only so many deployments run at once; the others wait, and all come up."""
    clients = [SdkClient(open_server.base) for _ in range(12)]
    with ThreadPoolExecutor(12) as together:
        list(together.map(lambda n: runs(clients[n], f"many-{n}", http(upstream)), range(12)))
        assert {f"many-{n}" for n in range(12)} <= set(clients[0].custom())
        list(together.map(lambda n: clients[n].remove(f"many-{n}"), range(12)))
    assert clients[0].custom() == {}
    echo(open_server, "calm")


def test_tools_are_found_by_category_words_and_page(open_server: Server, upstream: str) -> None:
    client = SdkClient(open_server.base)
    runs(client, "paged", http(upstream), category="Paging")
    try:
        whole = client.list_tools(category="paging")
        assert whole["total"] == len(whole["tools"]) > 4
        assert client.list_tools(category="Paging")["total"] == whole["total"]
        pages = [client.list_tools(category="paging", limit=3, page=page)["tools"] for page in (1, 2)]
        assert [*pages[0], *pages[1]] == whole["tools"][:6]
        assert client.list_tools(category="paging", limit=3, offset=2)["tools"] == whole["tools"][2:5]
        assert {"paged.echo"} <= {tool["toolId"] for tool in client.list_tools(search="ECHO paged")["tools"]}
        assert client.list_tools(search="nothing-is-called-so")["total"] == 0
        refused(400, client.list_tools, limit="many")
        one = client.get_tool("paged.echo")
        assert one["inputSchema"]["required"] == ["message"] and one["publishedName"] == "paged_echo"
        refused(404, client.get_tool, "paged.none")
        [category] = [each for each in client.categories() if each["id"] == "paging"]
        assert category == {"id": "paging", "name": "Paging", "toolCount": whole["total"]}
    finally:
        client.remove("paged")


def test_a_call_that_fails_says_why_and_is_not_repeated(open_server: Server) -> None:
    """Guard: what may have been done is answered so that no client does it again."""
    client = SdkClient(open_server.base)
    before = client.requests
    failed = client.invoke("calm.fail", "calm", {"message": "no"}) if "calm_fail" in names(open_server) else None
    assert failed is None or (failed["success"] is False and failed["error"] and failed["executionTimeMs"] >= 0)
    words = refused(404, client.invoke, "calm.nonesuch", "calm")
    assert "nonesuch" in words
    refused(400, client.request, "POST", "/api/v1/tools/invoke", {"tool": "calm.echo"})
    assert client.requests - before <= 3
    bare = Wire(open_server.base).send("POST", "/api/v1/tools/invoke", b"{", {"Content-Type": "application/json"})
    assert bare.status_code == 400 and bare.json()["success"] is False
    simple = Wire(open_server.base).send("POST", "/api/v1/mcp/add", b"{}", {"Content-Type": "text/plain"})
    assert simple.status_code == 415


# What fails leaves nothing behind


def test_a_connector_that_cannot_be_reached_is_not_there(open_server: Server, upstream: str) -> None:
    client = SdkClient(open_server.base)
    assert "could not be reached" in fails(client, "nowhere", http(NOWHERE))
    assert fails(client, "nowhere", {"type": "openapi", "url": NOWHERE})
    assert fails(client, "nowhere", {"type": "openapi", "url": upstream.replace("/mcp", "/none")})
    # Its name is free again, and the same name runs when there is something behind it.
    runs(client, "nowhere", http(upstream))
    client.remove("nowhere")


def test_a_program_that_dies_leaves_no_process_and_no_folder(open_server: Server, mark: str) -> None:
    client = SdkClient(open_server.base)
    env = {"MARK": mark, "FIXTURE_SECRET": "hush-hush-hush"}
    words = fails(client, "dies", {"type": "stdio", "command": FIXTURE, "args": ["stdio", "--die-at-start"], "env": env})
    assert "refuses to start" in words and "hush-hush" not in words, words
    until(lambda: not marked(mark), "the end of the program")
    folders = open_server.manifests.data / "registry"
    assert not folders.exists() or not list(folders.iterdir())
    # The twin: one that lives, until it is removed.
    runs(client, "dies", {"type": "stdio", "command": FIXTURE, "args": ["stdio"], "env": env})
    assert marked(mark)
    client.remove("dies")
    until(lambda: not marked(mark), "the end of the program")
    assert not list(folders.iterdir())


def test_a_connector_removed_before_it_runs_never_runs(open_server: Server, upstream: str) -> None:
    client = SdkClient(open_server.base)
    with slow(upstream) as gate:
        taken = client.add("early", http(gate.url))
        until(lambda: gate.seen, "the first request")
        assert client.wait(taken["deploymentId"], "deploying")["status"] == "deploying"
        refused(409, client.add, "early", http(upstream))
        client.remove("early")
        ended = client.wait(taken["deploymentId"])
        assert ended["status"] == "failed" and "removed" in ended["error"], ended
        gate.gate.set()
        assert "early" not in client.custom() and "early" not in client.integrations()


@pytest.mark.parametrize(
    "source",
    [
        {},
        {"type": "ftp", "url": "ftp://example.com"},
        {"type": "http"},
        {"type": "http", "url": "file:///etc/passwd"},
        {"type": "http", "url": "http://user:pass@example.com/"},
        {"type": "http", "url": "http://example.com/", "headers": {"X-Key": "a\nb"}},
        {"type": "openapi", "url": 7},
        {"type": "npm", "package": "left-pad"},
        {"type": "npm", "package": "left-pad@latest"},
        {"type": "npm", "package": "left-pad@^1.0.0"},
        {"type": "npm", "package": "--eval@1.0.0"},
        {"type": "npm", "package": "../evil@1.0.0"},
        {"type": "npm", "package": "left-pad@1.3.0", "env": {"npm_config_registry": "http://elsewhere.example/"}},
        {"type": "npm", "package": "left-pad@1.3.0", "env": {"NODE_OPTIONS": "--require=/tmp/evil.js"}},
        {"type": "stdio", "command": ""},
        {"type": "stdio", "command": "true", "env": {"A=B": "c"}},
    ],
    ids=json.dumps,
)
def test_a_source_that_makes_no_sense_is_refused(open_server: Server, source: Json) -> None:
    client = SdkClient(open_server.base)
    refused(400, client.add, "nonsense", source)
    assert client.custom() == {}


@pytest.mark.parametrize("name", ["", "Weather", "we_ather", "-weather", "a" * 55, "../x", "we ather", "pay-5bc1a08d"])
def test_a_name_that_is_none_is_refused(open_server: Server, upstream: str, name: str) -> None:
    assert "name" in refused(400, SdkClient(open_server.base).add, name, http(upstream))


def test_a_name_in_a_file_is_taken(open_server: Server, upstream: str) -> None:
    client = SdkClient(open_server.base)
    assert "calm" in refused(409, client.add, "calm", http(upstream))
    refused(404, client.remove, "calm")
    echo(open_server, "calm")


def test_every_no_has_the_form_of_the_api(open_server: Server) -> None:
    client = SdkClient(open_server.base)
    refused(404, client.request, "GET", "/api/v1/nothing")
    refused(400, client.request, "GET", "/api/v1/tools/%FF")
    refused(405, client.request, "POST", "/api/v1/tools/list", {})


# Restarts


def test_what_was_added_is_there_after_a_restart_and_what_was_under_way_goes_on(tmp_path: Path, upstream: str) -> None:
    """The server is killed in the middle of a deployment; the next one ends it, and knows what ran before."""
    manifests = manifests_of(tmp_path, calm())
    file = settings(tmp_path, mode="none")
    more = {"registry": {"open": True, "allowPrivate": True, "programs": ["stdio"]}}
    file.write_text(json.dumps(json.loads(file.read_text()) | more))
    with slow(upstream) as gate, slow(upstream) as never:
        with harness.serve(manifests, "--config", str(file)) as first:
            client = SdkClient(first.base)
            runs(client, "before", http(upstream))
            runs(client, "local", {"type": "stdio", "command": FIXTURE, "args": ["stdio"]})
            taken = client.add("during", http(gate.url))
            dropped = client.add("dropped", http(never.url))
            until(lambda: gate.seen and never.seen, "the first requests")
            assert client.wait(taken["deploymentId"], "deploying")["progress"] < 100
            first.process.send_signal(signal.SIGKILL)
            first.process.wait()
        gate.gate.set()
        with harness.serve(manifests, "--config", str(file)) as second:
            client = SdkClient(second.base)
            ended = client.wait(taken["deploymentId"])
            assert ended["status"] == "running" and ended["toolsDiscovered"] > 3, ended
            assert client.invoke("during.echo", "during", {"message": "hello"})["data"] == {"message": "hello"}
            until(lambda: "before_echo" in names(second), "what was added before")
            assert client.invoke("before.echo", "before", {"message": "hello"})["data"] == {"message": "hello"}
            assert {"before", "during", "local", "dropped"} == set(client.custom())
            client.remove("dropped")
            assert client.wait(dropped["deploymentId"])["status"] == "failed"
            second.process.send_signal(signal.SIGTERM)
            second.process.wait()
        # What the operator no longer allows is not started, and is there again when that is taken back.
        file.write_text(json.dumps({"auth": {"mode": "none"}, "registry": {"open": True, "allowPrivate": True}}))
        with harness.serve(manifests, "--config", str(file)) as third:
            client = SdkClient(third.base)
            until(lambda: "before_echo" in names(third), "what was added before")
            assert "local" not in client.integrations() and client.custom()["local"]["status"] == "unavailable"
            third.says("registry.programs")


# Who may


def test_only_this_machine_itself_may_add_where_nobody_proves_anything(open_server: Server, upstream: str) -> None:
    client = SdkClient(open_server.base)
    order = {"name": "sneaky", "source": http(upstream), "category": "x"}
    for headers in (
        {"X_Forwarded_For": "203.0.113.7"},
        {"Forwarded": "for=203.0.113.7"},
        {"Via": "1.1 tunnel"},
        {"Origin": "http://localhost:9"},
    ):
        words = refused(403, client.request, "POST", "/api/v1/mcp/add", order, **headers)
        assert "connectors:admin" in words or "origin" in words, words
        refused(403, client.request, "DELETE", "/api/v1/mcp/custom/sneaky", **headers)
    assert client.custom() == {}


def test_nobody_may_add_where_the_file_does_not_say_so(tmp_path: Path, upstream: str) -> None:
    env = {"REGISTRY_OPEN": "true"}
    with gateway(tmp_path, calm(), auth={"mode": "none"}, env=env) as server:
        words = refused(403, SdkClient(server.base).add, "sneaky", http(upstream))
        assert "registry.open" in words
        assert not {"connector_add", "connector_list"} & names(server)
        # Listing and invoking are as open as the tools are.
        until(lambda: "calm_echo" in names(server), "the calm one")
        assert SdkClient(server.base).invoke("calm.echo", "calm", {"message": "hello"})["data"] == {"message": "hello"}


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        ("npm", {"package": "@scope/name@1.2.3"}),
        ("stdio", {"command": "sh"}),
        ("docker", {"image": "alpine"}),
        ("github", {"repository": "owner/name"}),
    ],
)
def test_programs_are_refused_unless_the_file_says_so(strict: Server, kind: str, source: Json) -> None:
    client = SdkClient(strict.base, OPERATOR)
    words = refused(403, client.add, "prog", {"type": kind, **source})
    assert "registry.programs" in words and kind in words
    assert client.custom() == {} and client.deployments() == []
    assert refused(403, SdkClient(strict.base, OPERATOR).add, "prog", {"type": kind, **source, "programs": [kind]})


def test_a_private_address_is_refused_unless_the_file_says_so(strict: Server, upstream: str) -> None:
    words = fails(SdkClient(strict.base, OPERATOR), "private", http(upstream))
    assert "private" in words, words


def test_a_key_needs_the_scope(keyed: Server, tenants: dict[str, SdkClient], upstream: str) -> None:
    assert refused(401, SdkClient(keyed.base).list_tools)
    assert refused(401, SdkClient(keyed.base, "wrong").add, "mine", http(upstream))
    reader = tenants["acme reader"]
    assert "connectors:admin" in refused(403, reader.add, "mine", http(upstream))
    assert "connectors:admin" in refused(403, reader.remove, "mine")
    assert "connectors:admin" in refused(403, reader.oauth_config, "POST", "acme", "calm", CLIENT)
    assert reader.invoke("calm.echo", "calm", {"message": "hello"})["data"] == {"message": "hello"}


def test_tenants_see_nothing_of_each_other(keyed: Server, tenants: dict[str, SdkClient], upstream: str) -> None:
    acme, globex, nobodys, operator = (tenants[who] for who in ("acme", "globex", "nobody's", "operator"))
    first = acme.add("shared", http(upstream), description="Of acme alone.")
    assert acme.wait(first["deploymentId"])["status"] == "running"
    [published] = [name for name in names(keyed, acme.api_key) if name.endswith("_echo") and name != "calm_echo"]
    assert re.fullmatch(r"shared-[0-9a-f]{8}_echo", published)
    for other in (globex, nobodys):
        assert "shared" not in other.integrations() and other.custom() == {}
        assert other.list_tools(integration="shared")["total"] == 0
        assert "Of acme alone." not in json.dumps([other.integrations(), other.list_tools()])
        refused(404, other.get_tool, "shared.echo")
        refused(404, other.invoke, "shared.echo", "shared", {"message": "hello"})
        refused(404, other.invoke, published, "shared", {"message": "hello"})
        refused(404, other.deployment, first["deploymentId"])
        refused(404, other.remove, "shared")
        assert first["deploymentId"] not in json.dumps(other.deployments())
        assert published not in names(keyed, other.api_key)
        answer = Caller(keyed, other.api_key).call(published, {"message": "hello"}).text
        assert "unknown tool" in answer and "acme" not in answer, answer
        assert "acme" not in json.dumps(result(Caller(keyed, other.api_key).ask("server/discover")))
    # The same name is another tenant's too, and each has its own.
    assert runs(globex, "shared", http(upstream), description="Of globex alone.")["toolsDiscovered"] > 3
    assert acme.integrations()["shared"]["description"] == "Of acme alone."
    assert globex.integrations()["shared"]["description"] == "Of globex alone."
    for tenant in (acme, globex, tenants["acme reader"]):
        assert tenant.invoke("shared.echo", "shared", {"message": "mine"})["data"] == {"message": "mine"}
        assert Caller(keyed, tenant.api_key).counts()
    # Who is limited by nothing sees both, and acts for either.
    both = [each["connector"] for each in operator.request("GET", "/api/v1/mcp/custom")["servers"]]
    assert len(both) == 2 and len(set(both)) == 2 and all(each.startswith("shared-") for each in both)
    assert operator.custom(tenantId="acme")["shared"]["description"] == "Of acme alone."
    assert operator.invoke("shared.echo", "shared", {"message": "op"}, tenantId="globex")["data"] == {"message": "op"}
    operator.remove("shared", tenantId="globex")
    assert globex.custom() == {} and set(acme.custom()) == {"shared"}
    acme.remove("shared")


def test_a_tenant_is_named_by_its_own_only(keyed: Server, tenants: dict[str, SdkClient], upstream: str) -> None:
    key = tenants["acme"].api_key
    stranger = SdkClient(keyed.base, key, tenant="globex")
    assert "globex" in refused(403, stranger.list_tools)
    assert refused(403, stranger.add, "theirs", http(upstream))
    own = SdkClient(keyed.base, key, tenant="acme")
    assert refused(403, own.custom, tenantId="globex") and refused(403, own.tenant_integrations, "globex")
    assert refused(403, own.add, "theirs", http(upstream), tenantId="globex")
    assert refused(403, own.invoke, "calm.echo", "calm", {"message": "x"}, tenantId="globex")
    assert refused(403, tenants["nobody's"].custom, tenantId="acme")
    assert refused(400, SdkClient(keyed.base, OPERATOR, tenant="acme").custom, tenantId="globex")
    # The twin: one's own, by each way at once.
    assert own.invoke("calm.echo", "calm", {"message": "x"}, tenantId="acme")["data"] == {"message": "x"}


def test_an_added_connector_reads_no_variable_of_the_server(
    keyed: Server, tenants: dict[str, SdkClient], upstream: str
) -> None:
    with slow(upstream) as gate:
        gate.gate.set()
        runs(tenants["acme"], "probe", http(gate.url + "?a=${HUSH}", **{"X-Probe": "${HUSH} $${HUSH} ${HUSH:x}"}))
        shown = {each["x-probe"] for each in gate.seen}
        assert shown == {"${HUSH} $${HUSH} ${HUSH:x}"}, shown
        told = json.dumps([tenants["acme"].custom(), tenants["acme"].deployments()])
        assert "X-Probe" not in told and "?a=" not in told
        tenants["acme"].remove("probe")
    assert SECRET not in "\n".join(keyed.log)


# The same as tools


def test_tools_add_and_remove_for_whom_may(keyed: Server, tenants: dict[str, SdkClient], upstream: str) -> None:
    tools = {"connector_add", "connector_status", "connector_remove", "connector_list"}
    assert not tools & names(keyed, tenants["acme reader"].api_key)
    reader = Caller(keyed, tenants["acme reader"].api_key)
    assert "unknown tool" in reader.call("connector_list").text
    for who in ("acme", "globex", "operator"):
        assert tools <= names(keyed, tenants[who].api_key)
    admin = Caller(keyed, tenants["acme"].api_key)
    order = {"name": "by-tool", "source": http(upstream), "category": "test"}
    taken = admin.does("connector_add", order)["structuredContent"]
    assert tenants["acme"].wait(taken["deploymentId"])["status"] == "running"
    status = admin.does("connector_status", {"deploymentId": taken["deploymentId"]})["structuredContent"]
    assert status["status"] == "running" and status["toolsDiscovered"] > 3
    [server] = admin.does("connector_list")["structuredContent"]["servers"]
    assert server["name"] == "by-tool" and server["source"] == {"type": "http", "url": upstream.removesuffix("/mcp")}
    again = result(admin.call("connector_add", order))
    assert again["isError"] and "by-tool" in again["content"][0]["text"]
    program = result(admin.call("connector_add", {"name": "prog", "source": {"type": "stdio", "command": "sh"}}))
    assert program["isError"] and "registry.programs" in program["content"][0]["text"]
    foreign = Caller(keyed, tenants["globex"].api_key).call("connector_remove", {"name": "by-tool"})
    assert result(foreign)["isError"]
    lock = keyed.manifests.folder / "switchboard.lock"
    until(lambda: "by-tool" in lock.read_text(), "its tools are pinned")
    admin.does("connector_remove", {"name": "by-tool"})
    # Nothing of it stays that would count for the next one of this name.
    assert "by-tool" not in lock.read_text()
    assert admin.does("connector_list")["structuredContent"] == {"count": 0, "servers": []}


def test_the_command_line_adds_and_removes(keyed: Server, tenants: dict[str, SdkClient], upstream: str) -> None:
    at = ("--server", keyed.base)
    env = {"SWITCHBOARD_KEY": tenants["acme"].api_key or ""}
    done = cli(keyed.manifests, "add", "by-hand", "--http", upstream, "--category", "test", *at, **env)
    assert done.returncode == 0 and re.search(r"by-hand runs, with \d+ tools", done.stdout), done
    assert "by-hand" in tenants["acme"].custom()
    failed = cli(keyed.manifests, "add", "broken", "--http", NOWHERE, *at, **env)
    assert failed.returncode == 1 and "could not be" in failed.stdout, failed
    listed = cli(keyed.manifests, "status", "--deployments", *at, **env)
    assert listed.returncode == 0 and "by-hand" in listed.stdout and "failed" in listed.stdout, listed
    assert cli(keyed.manifests, "remove", "by-hand", *at, **env).returncode == 0
    assert tenants["acme"].custom() == {}
    again = cli(keyed.manifests, "remove", "by-hand", *at, **env)
    assert again.returncode == 2 and "by-hand" in again.stderr, again
    unkeyed = cli(keyed.manifests, "add", "by-hand", "--http", upstream, *at)
    assert unkeyed.returncode == 2 and "SWITCHBOARD_KEY" in unkeyed.stderr, unkeyed
    nobody = cli(keyed.manifests, "remove", "by-hand", "--server", "http://127.0.0.1:9", **env)
    assert nobody.returncode == 2 and "no server answers" in nobody.stderr, nobody


# Clients of tenants at issuers

CLIENT = {
    "clientId": "acme-client",
    "clientSecret": "only-acme-knows-this-secret",
    "redirectUri": "https://acme.example/callback",
    "scopes": ["read", "write"],
}


def test_a_client_may_come_with_a_connector_and_goes_with_it(tenants: dict[str, SdkClient], upstream: str) -> None:
    acme = tenants["acme"]
    refused(400, acme.add, "crm", http(upstream), oauthConfig={"clientId": "x"})
    runs(acme, "crm", http(upstream), oauthConfig=CLIENT)
    assert acme.oauth_config("GET", "acme", "crm")["clientId"] == "acme-client"
    acme.remove("crm")
    assert acme.tenant_integrations("acme") == []


def test_a_tenants_client_is_kept_and_its_secret_never_told(keyed: Server, tenants: dict[str, SdkClient]) -> None:
    acme = tenants["acme"]
    stored = acme.oauth_config("POST", "acme", "calm", CLIENT)
    read = acme.oauth_config("GET", "acme", "calm")
    assert stored["clientId"] == read["clientId"] == "acme-client" and read["scopes"] == ["read", "write"]
    assert acme.tenant_integrations("acme") == ["calm"] and tenants["globex"].tenant_integrations("globex") == []
    assert refused(403, tenants["globex"].oauth_config, "GET", "acme", "calm")
    assert refused(404, tenants["globex"].oauth_config, "GET", "globex", "calm")
    assert tenants["operator"].oauth_config("GET", "acme", "calm") == read
    assert refused(400, acme.oauth_config, "POST", "acme", "calm", {"clientId": "x"})
    secret = CLIENT["clientSecret"]
    assert secret not in json.dumps([stored, read]) and secret not in "\n".join(keyed.log)
    for file in keyed.manifests.data.rglob("*"):
        assert not file.is_file() or secret.encode() not in file.read_bytes(), file
    acme.oauth_config("DELETE", "acme", "calm")
    assert refused(404, acme.oauth_config, "GET", "acme", "calm") and acme.tenant_integrations("acme") == []


# Packages of npm

MCP_PROGRAM = """#!/usr/bin/env node
const reply = (id, result) => process.stdout.write(JSON.stringify({ jsonrpc: "2.0", id, result }) + "\\n");
const tool = { name: "double", description: "Doubles a number.", inputSchema: { type: "object",
  properties: { n: { type: "number" } }, required: ["n"] } };
let rest = "";
process.stdin.on("data", (chunk) => {
  const lines = (rest + chunk).split("\\n");
  rest = lines.pop();
  for (const { id, method, params } of lines.filter((line) => line.trim()).map((line) => JSON.parse(line))) {
    if (id === undefined) continue;
    if (method === "initialize") reply(id, { protocolVersion: "2025-11-25", capabilities: { tools: {} },
      serverInfo: { name: "doubler", version: process.env.npm_package_version ?? "1.0.1" } });
    else if (method === "tools/list") reply(id, { tools: [tool] });
    else if (method === "tools/call") reply(id, { content: [{ type: "text", text: String(2 * params.arguments.n) }] });
    else process.stdout.write(JSON.stringify({ jsonrpc: "2.0", id, error: { code: -32601, message: "no" } }) + "\\n");
  }
});
"""


class Npm(Loopback):
    """A registry of npm with one package."""

    def __init__(self) -> None:
        super().__init__(NpmHandler)
        self.asked: list[str] = []
        manifest = {"name": "@sb/doubler", "version": "1.0.1", "bin": {"doubler": "main.js"}}
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for name, text in (("package.json", json.dumps(manifest)), ("main.js", MCP_PROGRAM)):
                entry = tarfile.TarInfo(f"package/{name}")
                entry.size, entry.mode = len(text), 0o755
                archive.addfile(entry, io.BytesIO(text.encode()))
        self.archive = packed.getvalue()
        digest = base64.b64encode(hashlib.sha512(self.archive).digest()).decode()
        dist = {"tarball": f"{self.url}/doubler.tgz", "integrity": f"sha512-{digest}"}
        versions = {"1.0.1": {**manifest, "dist": dist}}
        self.document = {"name": "@sb/doubler", "dist-tags": {"latest": "1.0.1"}, "versions": versions}


class NpmHandler(Handler):
    server: Npm

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        package = self.path.lower().replace("%2f", "/").split("?")[0]
        known = {"/@sb/doubler": self.server.document, "/doubler.tgz": self.server.archive}
        self.answer(200 if package in known else 404, known.get(package, {"error": "not found"}))


@pytest.fixture(scope="module")
def npm() -> Iterator[Npm]:
    with listening(Npm()) as registry:
        yield registry


def test_a_package_of_npm_runs_at_its_exact_version_from_the_machines_registry(
    npm: Npm, tmp_path: Path, mark: str
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    env = {"npm_config_registry": npm.url, "HOME": str(home)}
    more = {"registry": {"open": True, "programs": ["npm"]}}
    with gateway(tmp_path / "sb", calm(), auth={"mode": "none"}, env=env, more=more) as server:
        client = SdkClient(server.base)
        source = {"type": "npm", "package": "@sb/doubler@1.0.1", "env": {"MARK": mark}}
        assert runs(client, "doubler", source)["toolsDiscovered"] == 1
        assert client.invoke("doubler.double", "doubler", {"n": 21})["data"] == "42"
        assert any("doubler" in path for path in npm.asked)
        words = fails(client, "missing", {"type": "npm", "package": "@sb/doubler@9.9.9"})
        assert "npx ended with" in words, words
        client.remove("doubler")
        until(lambda: not marked(mark), "the end of the program")


def test_a_source_this_machine_cannot_run_says_what_is_missing(tmp_path: Path) -> None:
    """Guard: no container engine and no git on the path; the deployment ends with words, and does not hang."""
    empty = tmp_path / "bin"
    empty.mkdir()
    more = {"registry": {"open": True, "programs": ["docker", "github", "npm"]}}
    with gateway(tmp_path / "sb", calm(), auth={"mode": "none"}, env={"PATH": str(empty)}, more=more) as server:
        client = SdkClient(server.base)
        assert "container engine" in fails(client, "box", {"type": "docker", "image": "example/server:1"})
        assert "git" in fails(client, "hub", {"type": "github", "repository": "owner/name"})
        assert "npx" in fails(client, "pack", {"type": "npm", "package": "left-pad@1.3.0"})


def test_a_container_has_its_variables_and_its_engine_has_none(tmp_path: Path) -> None:
    engine = tmp_path / "bin" / "docker"
    engine.parent.mkdir()
    said = {name: tmp_path / f"engine.{name}" for name in ("args", "env", "file")}
    lines = [f'echo "$@" >> {said["args"]}', f"env >> {said['env']}", f"cat variables >> {said['file']}", '[ "$1" != run ]']
    engine.write_text("\n".join(["#!/bin/sh", *lines]))
    engine.chmod(0o755)
    path = f"{engine.parent}:{os.environ['PATH']}"
    more = {"registry": {"open": True, "programs": ["docker"]}}
    with gateway(tmp_path / "sb", calm(), auth={"mode": "none"}, env={"PATH": path}, more=more) as server:
        source = {"type": "docker", "image": "example/server:1", "env": {"DOCKER_HOST": "tcp://elsewhere.example:1"}}
        fails(SdkClient(server.base), "box", source)
    args = said["args"].read_text()
    assert re.search("run --rm --interactive --init --label switchboard=\\S+ --env-file variables example/server:1", args), args
    # What may be left of it is looked for at the end.
    assert "ps --all --quiet --filter label=switchboard=" in args, args
    assert "elsewhere" in said["file"].read_text() and "elsewhere" not in said["env"].read_text()


# How the server is


def test_the_server_says_how_it_is_and_whether_it_is_ready(keyed: Server) -> None:
    until(lambda: health(keyed)["status"] == "healthy", f"health: {keyed.log}")
    told = health(keyed)
    assert isinstance(told["uptime"], int) and told["version"] and told["brand"] and told["timestamp"], told
    assert all(isinstance(word, str) for word in told["components"].values()), told
    # Anybody may ask, so nothing is named.
    assert "calm" not in json.dumps(told)
    ready = Wire(keyed.base).send("GET", "/ready")
    assert ready.status_code == 200 and ready.json()["ready"] is True and all(ready.json()["checks"].values())


def health(server: Server) -> Json:
    answer = Wire(server.base).send("GET", "/health")
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/json"
    return answer.json()


def test_a_server_that_waits_for_a_lost_connector_is_degraded(tmp_path: Path) -> None:
    lost = {"id": "lost", "name": "Lost", "version": "1.0.0", "adapter": {"kind": "mcp", "url": NOWHERE, "allowPrivate": True}}
    with gateway(tmp_path, calm(), lost, auth={"mode": "none"}) as server:
        until(lambda: health(server)["status"] == "degraded", "degraded")
        assert Wire(server.base).send("GET", "/ready").status_code == 200


def test_every_change_is_in_the_log(keyed: Server, tenants: dict[str, SdkClient], upstream: str) -> None:
    runs(tenants["acme"], "audited", http(upstream, Authorization="Bearer not-for-the-log"))
    tenants["acme"].remove("audited")
    for words in ("a connector is added", "a deployment ended", "a connector is removed"):
        keyed.says(words, "audited")
        [line] = [line for line in keyed.log if words in line and "audited" in line]
        assert "acme" in line, line
    log = "\n".join(keyed.log)
    assert "ada" in log and "not-for-the-log" not in log
    assert os.environ.get("PATH") not in log
