"""What becomes of grants when secrets change, tokens are refused and people come and go."""

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from harness import Server, until
from oauth.agreeing import Browser, acting, link_in
from oauth.gateway import Caller, cli, gateway, new_key
from oauth.house import UNLIMITED
from oauth.person import Forms
from oauth.plain import Plain, plain
from sdk_client import SdkClient
from wire import result, text

KEYS = {"CONNECTORS_API_KEY": "the-operators-own-key-of-these-tests"}


@dataclass
class Home:
    server: Server
    behind: Plain
    secret: Path

    def caller(self, name: str, *more: str) -> Caller:
        return Caller(self.server, new_key(self.server, "--subject", name, *more))

    def connect(self, link: str, who: str) -> Browser:
        self.behind.login, browser = who, Browser(who)
        assert "is connected" in str(Forms(back(browser, link).text))
        return browser

    def connected(self, name: str, tool: str = "notes_whoami") -> tuple[Caller, Browser]:
        caller = self.caller(name)
        until(lambda: tool in caller.tools(), "the tool")
        return caller, self.connect(link_in(result(caller.call(tool))), name)


def back(browser: Browser, link: str) -> httpx2.Response:
    """The page that somebody comes back to who agreed."""
    to = browser.leave(browser.press(browser.follow(browser.get(link)), "connect"))
    return browser.follow(browser.get(browser.get(to).headers["location"]))


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with plain() as behind:
        (secret := tmp_path / "secret").write_text(behind.secret)
        told = {
            "authorizationUrl": f"{behind.url}/authorize",
            "tokenUrl": f"{behind.url}/token",
            "clientId": "we",
            "clientSecret": {"file": str(secret)},
        }
        notes = acting("notes", behind.url, "", "https://notes.example/", **told)
        known = acting("known", behind.url, behind.url, "https://known.example/", **told)
        up = acting("up", behind.url, "", "https://up.example/", **told)
        del up["tools"], up["description"], notes["credentials"]["oauth"]["issuer"], up["credentials"]["oauth"]["issuer"]
        up["adapter"] = {"kind": "mcp", "url": f"{behind.url}/mcp", "allowPrivate": True, "protocol": "2025-11-25"}
        with gateway(tmp_path, notes, known, up, auth={"mode": "api-key"}, env=KEYS, more=UNLIMITED) as server:
            yield Home(server, behind, secret)


def test_a_changed_client_secret_ends_no_grant(home: Home) -> None:
    """Also when the issuer knows the new one before we do."""
    caller, _ = home.connected("ada")
    home.behind.secret = "two"
    until(lambda: result(caller.call("notes_whoami")).get("isError"), "the issuer's refusal")
    assert "/connect/" not in text(result(caller.call("notes_whoami")))
    home.secret.write_text("two")
    until(lambda: not result(caller.call("notes_whoami")).get("isError"), "a token by the new secret")


def test_a_refused_token_that_cannot_be_renewed_is_kept(home: Home) -> None:
    """It may be good for the next call; and the person is told what to do if it is not."""
    home.behind.seconds = None
    for tool in ("notes_whoami", "up_hi"):
        caller, _ = home.connected("ada", "up_connect" if tool == "up_hi" else tool)
        until(lambda tool=tool, caller=caller: tool in caller.tools(), "the tools")
        caller.does(tool)
        home.behind.refused.add("ada")
        link = link_in(result(caller.call(tool)))
        home.behind.refused.clear()
        caller.does(tool)
        # The link leads on: another account may be chosen.
        home.connect(link, "second")
        assert "second" in str(caller.does(tool))


def test_an_answer_that_names_an_issuer_nobody_named_is_refused(home: Home) -> None:
    caller = home.caller("ada")
    home.behind.iss = "https://another.example"
    page = back(Browser(), link_in(result(caller.call("notes_whoami"))))
    assert page.status_code == 400 and "cannot be trusted" in str(Forms(page.text))
    assert not home.behind.forms


def test_a_token_had_while_somebody_disconnects_is_taken_back(home: Home) -> None:
    home.behind.seconds = 1
    caller, browser = home.connected("ada", "known_whoami")
    home.behind.go.clear()
    with ThreadPoolExecutor() as pool:

        def renewing() -> bool:
            pool.submit(caller.call, "known_whoami")
            return any("refresh_token" in form for form in home.behind.forms)

        until(renewing, "a refresh")
        browser.press(browser.get(f"{home.server.base}/connect/known"), "disconnect")
        home.behind.go.set()
        until(lambda: home.behind.revoked == ["again1.ada", "again2.ada"], "word of both")
    link_in(result(caller.call("known_whoami")))


def test_the_operator_sees_who_connected_what_and_takes_it_back(home: Home) -> None:
    home.behind.seconds = None
    ada, bob = (home.connected(name, "known_whoami")[0] for name in ("ada", "bob"))
    manifests = home.server.manifests

    def grants(*words: str) -> subprocess.CompletedProcess[str]:
        return cli(manifests, "grants", *words, "--manifests", str(manifests.folder))

    listed = json.loads(grants("list", "--format", "json").stdout)["grants"]
    assert sorted((it["connector"], it["subject"]) for it in listed) == [("known", "ada"), ("known", "bob")]
    done = grants("revoke", "--subject", "ada")
    assert done.returncode == 0 and "1 connections" in done.stderr, done
    assert home.behind.revoked == ["access1.ada"]
    link_in(result(ada.call("known_whoami")))
    bob.does("known_whoami")


def test_a_tenants_own_client_is_used_with_its_scopes(home: Home) -> None:
    acme = new_key(home.server, "--subject", "eve", "--tenant", "acme", "--scopes", "connectors:admin,mcp")
    own = {"clientId": "acme-client", "clientSecret": "one", "scopes": ["read", "write"]}
    sdk = SdkClient(home.server.base, acme)
    sdk.oauth_config("POST", "acme", "notes", own)
    caller = home.caller("ada", "--tenant", "acme")
    page = Browser().get(link := link_in(result(caller.call("notes_whoami"))))
    assert "write" in str(Forms(page.text))
    home.connect(link, "ada")
    assert home.behind.asked[-1]["client_id"] == "acme-client" and home.behind.asked[-1]["scope"] == "read write"
    assert home.behind.asked[-1]["prompt"] == "consent"
    # Whoever takes their client back takes back what it was given.
    sdk.oauth_config("DELETE", "acme", "notes")
    until(lambda: "connect it again" in text(result(caller.call("notes_whoami"))), "the end of the token")


def test_one_whose_access_has_ended_keeps_no_tools_from_others(home: Home) -> None:
    home.behind.seconds = None
    names = [f"caller{n}" for n in range(4)]
    home.behind.refused |= set(names[:3])
    callers = [home.connected(name, "up_connect")[0] for name in names]
    until(lambda: "up_hi" in callers[0].tools(), "the tools as one of them is shown them")
    assert "caller3" in str(callers[3].does("up_hi"))


def test_another_account_does_not_go_on_with_anothers_session(home: Home) -> None:
    caller, browser = home.connected("first", "up_connect")
    until(lambda: "up_hi" in caller.tools(), "the tools")
    assert text(caller.does("up_hi")) == "first in the session of first"
    browser.press(browser.get(f"{home.server.base}/connect/up"), "disconnect")
    home.behind.login = "second"
    back(browser, f"{home.server.base}/connect/up")
    assert text(caller.does("up_hi")) == "second in the session of second"
