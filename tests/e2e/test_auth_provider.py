"""oidc-provider, which many run, as the issuer: its tokens of both kinds, its keys changing, and a whole sign-in."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote_plus, urljoin

import httpx2
import pytest

from clients import node
from harness import HERE, Server
from oauth.gateway import ALL, Caller, denied, gateway
from oauth.house import UNLIMITED
from oauth.person import Forms
from oauth.programs import CALLBACK, Memory, provider, python
from wire import Json, text

# A name and a secret as Basic wants them: encoded like the values of a form.
ROBOT = ("robot", quote_plus("robot+secret="))


@dataclass
class Realm:
    """A gateway behind an issuer of somebody else's."""

    issuer: str
    process: subprocess.Popen[str]
    server: Server

    def token(self, resource: str | None = None, scope: str = "docs:read") -> str:
        """A token for a machine."""
        asked = {"grant_type": "client_credentials", "resource": resource or self.server.url, "scope": scope}
        answer = httpx2.post(f"{self.issuer}/token", data=asked, auth=ROBOT, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()["access_token"]

    def rotate(self) -> None:
        self.process.stdin.write("rotate\n")
        self.process.stdin.flush()
        assert any(line == "rotated\n" for line in self.process.stdout)


@pytest.fixture
def realm(tmp_path: Path) -> Iterator[Realm]:
    with ExitStack() as stack:
        process = stack.enter_context(started())
        line = next(line for line in process.stderr if "listening on" in line)
        issuer = f"http://{line.rsplit(' ', 1)[1].strip()}"
        introspection = {"clientId": "gateway", "clientSecret": "gateway+secret="}
        told = {
            "issuer": issuer,
            "allowPrivate": True,
            "scopes": ["docs:read", "docs:write"],
            "introspection": introspection,
        }
        server = stack.enter_context(gateway(tmp_path, *ALL, auth={"mode": "oauth", "oauth": told}, more=UNLIMITED))
        yield Realm(issuer, process, server)


def started() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [node(), str(HERE / "oauth/provider.mjs")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_tokens_of_a_real_issuer_count_for_their_audience(realm: Realm) -> None:
    """Guards: audience and signature; scopes are those of the token."""
    token = realm.token()
    caller = Caller(realm.server, token)
    assert text(caller.does("docs_read")) == "read ran"
    assert caller.call("docs_write").status_code == 403
    assert text(Caller(realm.server, realm.token(scope="docs:read docs:write")).does("docs_write")) == "write ran"
    denied(Caller(realm.server, realm.token(resource="http://127.0.0.1:9/mcp")).ask("tools/list"))
    denied(Caller(realm.server, token[:-2]).ask("tools/list"))


def test_an_issuer_may_change_its_keys_in_the_middle(realm: Realm) -> None:
    before = realm.token()
    assert Caller(realm.server, before).counts()
    realm.rotate()
    after = realm.token()
    assert Caller(realm.server, after).counts()
    # The old key is gone at the issuer, and so here.
    denied(Caller(realm.server, realm.token() + "x").ask("tools/list"))
    assert Caller(realm.server, after).counts()


def through_forms(link: str) -> str:
    """Goes through pages of somebody else's: signs in as ada, and says yes to everything."""
    with httpx2.Client(timeout=60, trust_env=False) as browser:
        page = browser.get(link)
        for _ in range(20):
            if page.status_code in (302, 303):
                target = urljoin(str(page.request.url), page.headers["location"])
                if target.startswith(CALLBACK):
                    return target
                page = browser.get(target)
                continue
            assert page.status_code == 200, page.text
            form = next(form for form in Forms(page.text).found if form.method == "post")
            typed = {"login": "ada", "password": "anything"}
            values = form.values | {name: typed.get(name, "") for name in form.blanks}
            page = browser.post(urljoin(str(page.request.url), form.action), data=values)
    raise AssertionError("too many pages")


@pytest.mark.parametrize("kind", ["readable", "opaque"])
async def test_a_program_signs_in_at_the_issuer_and_uses_the_gateway(realm: Realm, kind: str) -> None:
    """The Python SDK finds the issuer by the gateway's own documents, registers there, and comes back with a token."""
    memory = Memory()
    auth = provider(realm.server.url, through_forms, memory, application_type="native", client_name=kind)
    async with python(auth, realm.server.url) as client:
        answer: Json = (await client.call_tool("get_profile", {})).structured_content
        assert answer["id"]
        assert (await client.call_tool("docs_read", {})).content[0].text == "read ran"
        assert (memory.token.access_token.count(".") == 2) is (kind == "readable")
        asked = len(memory.asked)
        auth.context.token_expiry_time = 1
        assert (await client.call_tool("docs_read", {})).content[0].text == "read ran"
        assert len(memory.asked) == asked and memory.saved >= 2
    if kind == "opaque":
        is_taken_back(realm, memory)


def is_taken_back(realm: Realm, memory: Memory) -> None:
    """Guard: a token that the issuer took back before it was shown here is found out."""
    who = {"client_id": memory.client.client_id}
    for taken_back in (False, True):
        asked = {
            "grant_type": "refresh_token",
            "refresh_token": memory.token.refresh_token,
            "resource": realm.server.url,
        }
        told = httpx2.post(f"{realm.issuer}/token", data=asked | who, timeout=60).json()
        memory.token.refresh_token = told["refresh_token"]
        token = told["access_token"]
        if taken_back:
            assert httpx2.post(f"{realm.issuer}/token/revocation", data={"token": token} | who, timeout=60).status_code == 200
            denied(Caller(realm.server, token).ask("tools/list"))
        else:
            assert Caller(realm.server, token).counts()
