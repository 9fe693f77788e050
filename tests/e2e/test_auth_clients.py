"""Programs by others sign in, from the address of the server alone: the SDKs' own OAuth, and the conformance suite.

The person's part is done by posting the forms of the pages.
"""

import json
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from clients import node, node_env
from harness import PATIENCE, Server
from oauth.client import http, parameters
from oauth.documents import Papers, Web, papers, web
from oauth.house import ada, browsers, built_in  # noqa: F401 - fixtures
from oauth.person import Person
from oauth.programs import CALLBACK, Memory, provider, python, typescript
from test_conformance import SUITE, listed

OPEN = {"id": "open-client"}


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return papers(tmp_path_factory.mktemp("tls"), "127.0.0.1")


@pytest.fixture(scope="module")
def site(tls: Papers) -> Iterator[Web]:
    with web(tls.chain) as site:
        yield site


@pytest.fixture(scope="module")
def server(tls: Papers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    env = {"SSL_CERT_FILE": str(tls.root)}
    with built_in(tmp_path_factory.mktemp("clients"), env=env, allowPrivateClients=True, client=OPEN) as server:
        yield server


WAYS = ["registered", "documented"]


def document(site: Web, way: str, name: str) -> str | None:
    """The address of the client's document, when it has one."""
    if way == "registered":
        return None
    return site.document(f"/{name}/client.json", redirect_uris=[CALLBACK], client_name=name)


@pytest.mark.parametrize("mode", ["auto", "legacy", "2026-07-28"])
@pytest.mark.parametrize("way", WAYS)
async def test_the_python_sdk_signs_in_refreshes_and_asks_for_more(
    server: Server, site: Web, ada: Person, way: str, mode: str
) -> None:
    """Discovery, a client's id, PKCE, tokens; a token that ended; a tool that takes more scopes."""
    memory = Memory()
    url = document(site, way, f"python-{mode}")
    auth = provider(server.url, ada.answers, memory, url)
    async with python(auth, server.url, mode) as client:
        assert "desk_sit" in [tool.name for tool in (await client.list_tools()).tools]
        assert (await client.call_tool("desk_sit", {})).content[0].text == "sit ran"
        assert (memory.client.client_id == url) is (way == "documented")
        assert len(memory.asked) == 1 and parameters(memory.asked[0])["resource"] == server.url
        # The access token ends: nobody is asked, and the refresh token changes.
        before = memory.token
        auth.context.token_expiry_time = 1
        assert (await client.call_tool("desk_sit", {})).content[0].text == "sit ran"
        assert memory.token.refresh_token != before.refresh_token and len(memory.asked) == 1
        # A tool that takes more: asked once more, for all of it together.
        assert (await client.call_tool("docs_write", {})).content[0].text == "write ran"
        assert len(memory.asked) == 2
        assert set(parameters(memory.asked[1])["scope"].split()) >= {"docs:read", "docs:write"}
        assert (await client.call_tool("docs_read", {})).content[0].text == "read ran"
        assert len(memory.asked) == 2
    # Another day: what was kept is enough.
    again = Memory(memory.client, memory.token)
    async with python(provider(server.url, ada.answers, again, url), server.url, mode) as client:
        assert (await client.call_tool("docs_write", {})).content[0].text == "write ran"
        assert again.asked == []


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_the_python_sdk_signs_in_with_a_secret(server: Server, ada: Person, method: str) -> None:
    memory = Memory()
    auth = provider(server.url, ada.answers, memory, token_endpoint_auth_method=method)
    async with python(auth, server.url) as client:
        assert memory.client.client_secret and memory.client.token_endpoint_auth_method == method
        auth.context.token_expiry_time = 1
        assert (await client.call_tool("desk_sit", {})).content[0].text == "sit ran"
        assert len(memory.asked) == 1


async def test_the_python_sdk_hears_when_the_person_says_no(server: Server, ada: Person) -> None:
    memory = Memory()
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - wrapped in groups by the SDK
        async with python(provider(server.url, lambda link: ada.answers(link, "deny"), memory), server.url):
            pass
    assert "access_denied" in deep(caught.value) and memory.token is None


def deep(error: BaseException) -> str:
    """The texts of an error and of all in it."""
    inner = [*getattr(error, "exceptions", []), *([error.__cause__] if error.__cause__ else [])]
    return " ".join([str(error), *map(deep, inner)])


CASES = [
    ("v1", "http", "legacy"),
    ("v1", "sse", "legacy"),
    ("v2", "http", "auto"),
    ("v2", "http", "legacy"),
    ("v2", "sse", "legacy"),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("version", "transport", "era"), CASES, ids=map("-".join, CASES))
def test_the_typescript_sdks_sign_in_refresh_and_ask_for_more(
    server: Server, site: Web, ada: Person, version: str, transport: str, era: str, way: str
) -> None:
    url = document(site, way, f"ts-{version}-{transport}-{era}")
    with typescript(version, ada.answers) as script:
        more = {"clientMetadataUrl": url} if url else {}
        hello = script.ask("connect", url=server.url, transport=transport, era=era, redirect=CALLBACK, **more)
        assert hello["server"] == "switchboard" and len(script.asked) == 1
        assert (hello["client"] == url) is (way == "documented"), hello
        assert parameters(script.asked[0])["resource"] == server.url
        assert "desk_sit" in script.ask("list")
        before = script.ask("kept")
        script.ask("expire")
        assert script.ask("call", tool="desk_sit")["content"][0]["text"] == "sit ran"
        after = script.ask("kept")
        assert after["saved"] == before["saved"] + 1 and len(script.asked) == 1
        assert after["tokens"]["refresh_token"] != before["tokens"]["refresh_token"]
        if version == "v1":
            # While it has a refresh token, this SDK refreshes instead of asking the person for more.
            script.ask("forget")
        answer = script.ask("call", tool="docs_write")
        if transport == "http":
            assert answer["content"][0]["text"] == "write ran" and len(script.asked) == 2
            assert set(parameters(script.asked[1])["scope"].split()) >= {"docs:read", "docs:write"}
        else:
            # On a stream the answer has no status; it tells what to ask for.
            assert answer["isError"] and "insufficient_scope" in answer["_meta"]["mcp/www_authenticate"][0]
        script.ask("close")


# The conformance suite


def authorization(folder: Path, *arguments: str, person: Person | None = None) -> dict[str, list[str]]:
    """Runs the suite's scenarios for authorization servers; gives what was wrong in each."""
    process = subprocess.Popen(
        [node(), SUITE, "authorization", *arguments, "-o", str(folder)],
        env=node_env(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    stop = threading.Timer(PATIENCE, process.kill)
    stop.start()
    said = []
    for line in process.stdout:
        said.append(line)
        if person and (link := re.match(r"https?://\S+/oauth/authorize\?\S+", line.strip())):
            back = person.answers(link[0])
            assert httpx2.get(back, timeout=60, trust_env=False).status_code == 200
    stop.cancel()
    assert process.wait(PATIENCE) == 0, "".join(said)
    found: dict[str, list[str]] = {}
    for report in folder.glob("**/checks.json"):
        for check in json.loads(report.read_text()):
            found.setdefault(check["id"], []).append(check["status"])
            assert check["status"] == "SUCCESS", check
    return found


def test_the_issuer_passes_the_conformance_suite(server: Server, ada: Person, tmp_path: Path, free_port: int) -> None:
    """Both scenarios the suite has for issuers: what it says of itself, and a code for tokens."""
    given = ["--url", server.base, "--client-id", OPEN["id"], "--resource", server.url, "--port", str(free_port)]
    found = authorization(tmp_path, *given, person=ada)
    scenarios = {name for name in listed() if name.startswith("authorization-")}
    assert scenarios == {"authorization-server-metadata-endpoint", "authorization-code-grant"}
    assert set(found) == {
        "authorization-server-metadata",
        "authorization-server-metadata-cimd",
        "authorization-code-grant",
    }


@pytest.fixture
def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


# A person who only looks


def test_discovery_costs_few_requests(server: Server) -> None:
    """Claude gives up on discovery after ten seconds; every document is where it is looked for, and none redirects."""
    for path in (
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/oauth/jwks",
    ):
        assert http(server.base).get(path).status_code == 200, path
