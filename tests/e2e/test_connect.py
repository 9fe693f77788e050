"""Connectors that act in their callers' own names: each caller agrees for themselves, and nobody is served with what is another's."""

import json
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest

import harness
from harness import BINARY, Server, until
from oauth.agreeing import Api, Browser, acting, api, claims, issuer, link_in, stored
from oauth.client import App
from oauth.gateway import Caller, add_user, cli, connector, gateway, new_key, tool
from oauth.house import PASSWORD, UNLIMITED
from oauth.person import Forms, Person
from session import over_http
from test_surface import manifests_of
from wire import META, result, text

BRIEF = "https://brief.example/"
LONG = "https://long.example/"
# So that there is a key before the first one is made.
KEYS = {"CONNECTORS_API_KEY": "the-operators-own-key-of-these-tests"}


@dataclass
class House:
    """A server whose callers show keys, what is behind it, and who gives out the tokens for that."""

    server: Server
    api: Api
    issuer: str

    def caller(self, name: str) -> Caller:
        return Caller(self.server, new_key(self.server, "--subject", name))

    def link(self, caller: Caller, tool: str = "notes_whoami") -> str:
        return link_in(result(caller.call(tool)))

    def connected(self, name: str, tool: str = "notes_whoami") -> tuple[Caller, Browser]:
        caller, browser = self.caller(name), Browser(f"{name}-there")
        browser.connect(self.link(caller, tool))
        return caller, browser

    def page(self, id: str = "notes") -> str:
        return f"{self.server.base}/connect/{id}"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    home = tmp_path_factory.mktemp("house")
    with ExitStack() as stack:
        at, behind = stack.enter_context(issuer()), stack.enter_context(api())
        # Another gateway, which lets in whom the issuer knows.
        told = {"issuer": at, "allowPrivate": True, "scopes": ["docs:read"]}
        desk = connector("desk", tool("sit"))
        other = stack.enter_context(gateway(home / "other", desk, auth={"mode": "oauth", "oauth": told}, more=UNLIMITED))
        board = {
            "id": "board",
            "name": "Board",
            "version": "1.0.0",
            "adapter": {"kind": "mcp", "url": other.url, "allowPrivate": True},
            "credentials": {"oauth": {"grant": "caller", "allowPrivate": True}},
        }
        connectors = [
            acting("notes", behind.url, at, LONG),
            acting("brief", behind.url, at, BRIEF),
            acting("aside", behind.url, at, LONG),
            board,
        ]
        server = stack.enter_context(gateway(home / "own", *connectors, auth={"mode": "api-key"}, env=KEYS, more=UNLIMITED))
        yield House(server, behind, at)


def who(answer: httpx2.Response) -> str:
    told = result(answer)
    assert not told.get("isError"), told
    return told["structuredContent"]["who"]


def test_each_caller_agrees_and_is_answered_in_their_own_name(house: House) -> None:
    callers = [house.caller("ada"), house.caller("bob")]
    links = [house.link(caller) for caller in callers]
    assert links[0] != links[1]
    # Many calls make one link.
    assert house.link(callers[0]) == links[0]
    for name, link in zip(("ada", "bob"), links, strict=True):
        page = Browser(f"{name}-there").connect(link)
        assert name in str(Forms(page.text)) and Forms(page.text).scripts == 0
    assert [who(caller.call("notes_whoami")) for caller in callers] == ["ada-there", "bob-there"]
    # What was given for one connector is none of another's.
    house.link(callers[0], "aside_whoami")


def test_nobody_is_served_with_what_is_anothers(house: House) -> None:
    """Guard: a caller who agreed to nothing reaches nothing, whoever else did."""
    house.connected("owner")
    seen = len(house.api.seen)
    house.link(house.caller("stranger"))
    assert len(house.api.seen) == seen
    house.link(house.caller("owner-"))
    assert len(house.api.seen) == seen


def test_who_proved_nothing_does_not_see_it(house: House, tmp_path: Path) -> None:
    """Guard: where nobody is known, nobody can agree; the server says so to its operator."""
    with gateway(tmp_path, acting("notes", house.api.url, house.issuer, LONG), auth={"mode": "none"}) as server:
        assert Caller(server).tools() == {}
        server.says("notes")


def test_a_link_counts_once(house: House) -> None:
    caller, first, second = house.caller("once"), Browser("once-there"), Browser("thief")
    link = house.link(caller)
    # Looking does not use it up: programs look at links before people do.
    for _ in range(3):
        assert Browser().get(link).status_code == 200
    page = second.get(link)
    first.connect(link)
    late = second.press(page, "connect")
    assert late.status_code == 400 and "over" in str(Forms(late.text))
    assert Browser().get(link).status_code == 400
    assert Browser().get(link.replace("notes", "brief")).status_code == 400
    assert who(caller.call("notes_whoami")) == "once-there"


def test_a_link_is_for_its_connector(house: House) -> None:
    caller = house.caller("elsewhere")
    link = house.link(caller)
    assert Browser().get(link.replace("/notes", "/aside")).status_code == 400
    assert Browser().get(link[:-1] + ("A" if link[-1] != "A" else "B")).status_code == 400
    assert Browser().get(link).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_a_form_of_another_page_does_nothing(house: House, origin: str) -> None:
    """Guard: what another page sends in a person's browser is refused, and their own form goes on to the issuer."""
    caller, browser = house.caller("csrf"), Browser("csrf-there")
    page = browser.get(house.link(caller))
    for headers in ({"Origin": origin}, {"Sec-Fetch-Site": "cross-site"}):
        assert browser.press(page, "connect", **headers).status_code == 403
    form = browser.form(page)
    url = house.page()
    for values in (form.values | {"csrf": ""}, form.values | {"csrf": "x" * 43}):
        assert browser.jar.post(url, data=values | {"decision": "connect"}).status_code == 400
    # Without the cookie it is another browser.
    assert httpx2.post(url, data=form.values | {"decision": "connect"}, timeout=60, trust_env=False).status_code == 400
    assert browser.leave(browser.press(page, "connect")).startswith(house.issuer)


def test_what_the_issuer_is_asked(house: House) -> None:
    """PKCE, state and the resource, nothing of ours in the address, and no page that others could frame."""
    caller, browser = house.caller("asked"), Browser()
    page = browser.get(house.link(caller))
    headers = page.headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"] and headers["x-frame-options"] == "DENY"
    assert "no-store" in headers["cache-control"]
    [cookie] = headers.get_list("set-cookie")
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie
    asked = {name: value for name, [value] in parse_qs(urlsplit(browser.leave(browser.press(page, "connect"))).query).items()}
    assert asked["code_challenge_method"] == "S256" and len(asked["code_challenge"]) == 43
    assert asked["resource"] == LONG and asked["scope"] == "docs:read" and asked["response_type"] == "code"
    assert asked["redirect_uri"] == f"{house.server.base}/connect/callback/notes" and len(asked["state"]) == 43
    # A key proves nobody's browser: an issuer must not agree in the name of whoever was led there.
    assert "ticket" not in asked and asked["prompt"] == "consent"


def test_an_answer_counts_once_and_in_its_own_browser(house: House) -> None:
    """Guard: nobody else's browser, no second time, no other issuer, no other state."""
    caller, browser = house.caller("answer"), Browser("answer-there")
    back = browser.agree(browser.leave(browser.press(browser.get(house.link(caller)), "connect")))
    # Another person who is known here, and nobody.
    _, other = house.connected("other")
    for stranger in (other, Browser()):
        assert stranger.get(back).status_code == 400
    query = {name: value for name, [value] in parse_qs(urlsplit(back).query).items()}
    assert query["iss"] == house.issuer
    assert browser.get(back.replace("/callback/notes", "/callback/aside")).status_code == 400
    assert browser.get(f"{back.split('?')[0]}?{urlencode(query | {'state': 'x' * 43})}").status_code == 400
    assert browser.follow(browser.get(back)).status_code == 200
    assert browser.get(back).status_code == 400
    assert who(caller.call("notes_whoami")) == "answer-there"


@pytest.mark.parametrize("iss", [None, "https://evil.example"])
def test_an_answer_of_another_issuer_is_refused(house: House, iss: str | None) -> None:
    caller, browser = house.caller("mixed-up"), Browser("mixed-there")
    back = browser.agree(browser.leave(browser.press(browser.get(house.link(caller)), "connect")))
    query = {name: value for name, [value] in parse_qs(urlsplit(back).query).items()}
    told = {name: value for name, value in (query | {"iss": iss}).items() if value}
    page = browser.get(f"{back.split('?')[0]}?{urlencode(told)}")
    assert page.status_code == 400 and "cannot be trusted" in str(Forms(page.text))
    house.link(caller)


def test_who_says_no_is_told_what_the_issuer_said(house: House) -> None:
    caller, browser = house.caller("no"), Browser()
    to = browser.leave(browser.press(browser.get(house.link(caller)), "connect"))
    state = parse_qs(urlsplit(to).query)["state"][0]
    said = {"error": "access_denied", "error_description": "<b>no</b>", "state": state, "iss": house.issuer}
    page = browser.get(f"{house.server.base}/connect/callback/notes?{urlencode(said)}")
    assert page.status_code == 400 and "access_denied: <b>no</b>" in str(Forms(page.text))
    assert "<b>" not in page.text
    house.link(caller)


def test_tokens_are_renewed_in_the_middle_of_calls(house: House) -> None:
    """No call fails while tokens end every six seconds, and the refresh token, which counts once, is used by one."""
    caller, _ = house.connected("busy", "brief_whoami")

    def calls(_: int) -> set[str]:
        return {who(caller.call("brief_whoami")) for _ in range(40)}

    def used() -> list[str]:
        return list(dict.fromkeys(house.api.tokens_of("busy-there")))

    while len(used()) < 4:
        with ThreadPoolExecutor(8) as pool:
            assert set().union(*pool.map(calls, range(8))) == {"busy-there"}
    assert all(claims(token)["aud"] == BRIEF for token in used())


def test_a_token_that_is_refused_is_renewed(house: House) -> None:
    caller, _ = house.connected("refused")
    assert who(caller.call("notes_whoami")) == "refused-there"
    house.api.refused.add(house.api.tokens_of("refused-there")[-1])
    # One that is new itself is not had anew: what refuses it would refuse the next.
    until(lambda: not result(caller.call("notes_whoami")).get("isError"), "another token")
    assert house.api.tokens_of("refused-there")[-1] not in house.api.refused


def test_disconnecting_takes_it_back_everywhere(house: House) -> None:
    caller, browser = house.connected("leaver")
    assert who(caller.call("notes_whoami")) == "leaver-there"
    seen = len(house.api.seen)
    page = browser.get(house.page())
    left = browser.follow(browser.press(page, "disconnect"))
    assert left.status_code == 200 and "was told so" in str(Forms(left.text)), str(Forms(left.text))
    link = house.link(caller)
    assert len(house.api.seen) == seen
    # And again.
    Browser("leaver-again").connect(link)
    assert who(caller.call("notes_whoami")) == "leaver-again"


def test_one_who_disconnects_leaves_others_connected(house: House) -> None:
    stays, _ = house.connected("stays")
    goes, browser = house.connected("goes")
    browser.press(browser.get(house.page()), "disconnect")
    house.link(goes)
    assert who(stays.call("notes_whoami")) == "stays-there"


def test_the_list_shows_what_acts_for_whom(house: House) -> None:
    """To a browser that came by links: of the connectors they were for, since models see links, too."""
    caller, browser = house.connected("lister")
    words = str(Forms(browser.get(f"{house.server.base}/connect").text))
    assert "lister" in words and "Notes connected since" in words and "Aside" not in words
    assert browser.get(house.page("aside")).status_code == 403
    browser.press(browser.get(house.link(caller, "aside_whoami")), "connect")
    words = str(Forms(browser.get(f"{house.server.base}/connect").text))
    assert "Notes connected since" in words and "Aside not connected" in words
    assert Browser().get(f"{house.server.base}/connect").status_code == 403
    assert Browser().get(house.page()).status_code == 403
    assert browser.get(house.page()).status_code == 200 and browser.get(house.page("nothing")).status_code == 403


def test_a_link_of_a_key_that_is_revoked_opens_nothing(house: House) -> None:
    key = new_key(house.server, "--subject", "revoked")
    caller, browser = Caller(house.server, key), Browser("revoked-there")
    link, other = (house.link(caller, tool) for tool in ("notes_whoami", "aside_whoami"))
    browser.connect(link)
    assert cli(house.server.manifests, "keys", "revoke", key.split("_")[1]).returncode == 0
    until(lambda: not caller.counts(), "the end of the key")
    assert browser.get(house.page()).status_code == 403 and Browser().get(other).status_code == 400


def test_nothing_lies_open_in_the_store_or_the_log(house: House) -> None:
    caller, browser = house.connected("sealed")
    assert who(caller.call("notes_whoami")) == "sealed-there"
    [token] = house.api.tokens_of("sealed-there")
    kept = stored(house.server)
    code = parse_qs(urlsplit(browser.back[0]).query)["code"][0]
    for secret in (token, token.rsplit(".", 1)[1], code):
        assert secret.encode() not in kept
        assert secret not in "\n".join(house.server.log)


def test_a_client_that_opens_links_is_asked_to(house: House) -> None:
    """MCP's words for it: an error in the handshake era with word when it is done, a question later."""
    key = new_key(house.server, "--subject", "opener")
    caller = Caller(house.server, key)
    url = {"elicitation": {"url": {}}}
    with over_http(house.server.url, headers=caller.headers, capabilities=url) as session:
        answer = session.call("notes_whoami")
        assert answer.kind == "error" and answer.value["code"] == -32042
        [asked] = answer.value["data"]["elicitations"]
        assert asked["mode"] == "url" and asked["message"]
        Browser("opener-there").connect(asked["url"])
        until(lambda: session.notifications("elicitation/complete"), "word that it is done")
        assert session.notifications("elicitation/complete") == [{"elicitationId": asked["elicitationId"]}]
        assert session.call("notes_whoami").value["structuredContent"]["who"] == "opener-there"
    # One that shows forms only gets the link in words.
    with over_http(house.server.url, headers=caller.headers, capabilities={"elicitation": {"form": {}}}) as session:
        link_in(session.call("aside_whoami").value)


def test_a_client_of_the_later_era_is_asked_and_its_next_try_waits(house: House) -> None:
    caller = house.caller("later")
    meta = META | {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {"url": {}}}}
    call = {"name": "notes_whoami", "arguments": {}, "_meta": meta}
    asked = result(caller.ask("tools/call", call))
    assert asked["resultType"] == "input_required"
    [(key, question)] = asked["inputRequests"].items()
    assert question["method"] == "elicitation/create" and question["params"]["mode"] == "url"
    no = result(caller.ask("tools/call", call | {"inputResponses": {key: {"action": "decline"}}}))
    assert no["isError"] and "did not want" in text(no)
    # The person opens the link, and the client tries again before they are through.
    with ThreadPoolExecutor() as pool:
        again = pool.submit(caller.ask, "tools/call", call | {"inputResponses": {key: {"action": "accept"}}})
        Browser("later-there").connect(question["params"]["url"])
        assert who(again.result()) == "later-there"


def test_an_mcp_server_is_spoken_to_in_each_callers_name(house: House) -> None:
    """Its own documents say who gives out tokens; its tools are known once somebody is connected."""
    ada, bob = house.caller("mcp-ada"), house.caller("mcp-bob")
    before = {name for name in ada.tools() if name.startswith("board_")}
    assert before == {"board_connect"}
    Browser("mcp-ada-there").connect(link_in(result(ada.call("board_connect"))))
    until(lambda: "board_desk_sit" in ada.tools(), "the server's tools")
    assert "board_connect" not in ada.tools()
    assert text(ada.does("board_desk_sit")) == "sit ran"
    mine = ada.does("board_get_profile")["structuredContent"]
    # Bob sees the tools, and uses none before he agreed.
    link = link_in(result(bob.call("board_get_profile")))
    Browser("mcp-bob-there").connect(link)
    assert bob.does("board_get_profile")["structuredContent"]["id"] != mine["id"]
    assert ada.does("board_get_profile")["structuredContent"] == mine


def test_grants_outlive_the_server(house: House, tmp_path: Path) -> None:
    """Also the ways to renew them; another sealing key opens nothing, and says so in the log."""
    auth = {"mode": "api-key"}
    with gateway(tmp_path, acting("brief", house.api.url, house.issuer, BRIEF), auth=auth, env=KEYS, more=UNLIMITED) as server:
        key = new_key(server, "--subject", "ada")
        first = House(server, house.api, house.issuer)
        Browser("outlives").connect(first.link(Caller(server, key), "brief_whoami"))
        assert who(Caller(server, key).call("brief_whoami")) == "outlives"
        manifests = server.manifests
    settings = ["--config", str(tmp_path / "settings.json")]
    with harness.serve(manifests, *settings, env=KEYS) as server:
        assert who(Caller(server, key).call("brief_whoami")) == "outlives"
    other = KEYS | {"SWITCHBOARD_SEAL_KEY": "A" * 43 + "="}
    with harness.serve(manifests, *settings, env=other) as server:
        link_in(result(Caller(server, key).call("brief_whoami")))


def test_two_servers_on_one_store_renew_once(house: House, tmp_path: Path) -> None:
    """Guard: a refresh token counts once with this issuer, and its second use would end the grant."""
    auth = {"mode": "api-key"}
    with gateway(tmp_path, acting("brief", house.api.url, house.issuer, BRIEF), auth=auth, env=KEYS, more=UNLIMITED) as one:
        key = new_key(one, "--subject", "ada")
        Browser("shared").connect(House(one, house.api, house.issuer).link(Caller(one, key), "brief_whoami"))
        with harness.serve(one.manifests, "--config", str(tmp_path / "settings.json"), env=KEYS) as two:

            def calls(server: Server) -> set[str]:
                return {who(Caller(server, key).call("brief_whoami")) for _ in range(30)}

            while len(set(house.api.tokens_of("shared"))) < 4:
                with ThreadPoolExecutor(4) as pool:
                    assert set().union(*pool.map(calls, (one, two, one, two))) == {"shared"}


def test_an_issuer_that_forgot_everything_is_asked_anew(house: House, tmp_path: Path) -> None:
    """Neither the grant nor the client that we registered is known any more: the call says to connect, and that works."""
    with ExitStack() as stack:
        first = stack.enter_context(ExitStack())
        at = first.enter_context(issuer())
        told = acting("brief", house.api.url, at, BRIEF)
        server = stack.enter_context(gateway(tmp_path, told, auth={"mode": "api-key"}, env=KEYS, more=UNLIMITED))
        alone = House(server, house.api, at)
        caller, _ = alone.connected("forgotten", "brief_whoami")
        assert who(caller.call("brief_whoami")) == "forgotten-there"
        first.close()
        # While nobody is there, the token that still counts does, and then it is said that nobody is there.
        refusal = lambda: text(result(caller.call("brief_whoami")))
        said = until(lambda: next((it for it in [refusal()] if "cannot be asked for a token" in it), None), "the end of the token")
        assert "/connect/" not in said
        stack.enter_context(issuer(urlsplit(at).port))
        until(lambda: "/connect/" in text(result(caller.call("brief_whoami"))), "the issuer's answer")
        Browser("forgotten-again").connect(alone.link(caller, "brief_whoami"))
        assert who(caller.call("brief_whoami")) == "forgotten-again"


def test_with_our_own_issuer_a_link_is_for_its_person(house: House, tmp_path: Path) -> None:
    """Guard: whoever opens another's link is told so and opens nothing; the person themselves signs in and goes on."""
    auth = {"mode": "built-in", "builtIn": {}}
    with gateway(tmp_path, acting("notes", house.api.url, house.issuer, LONG), auth=auth, more=UNLIMITED) as server:
        for name in ("ada", "bob"):
            add_user(server, name, PASSWORD)
        app = App.register(server)
        ada, bob = (Person(server, name, PASSWORD) for name in ("ada", "bob"))
        caller = Caller(server, app.grant(ada)["access_token"])
        link = link_in(result(caller.call("notes_whoami")))
        app.code(bob)
        page = bob.open(link)
        assert page.status_code == 403 and "not yours" in str(Forms(page.text)) and not Forms(page.text).found
        # Nobody is signed in yet: the page asks who they are, and shows the connector.
        fresh = Person(server, "ada", PASSWORD)
        page = fresh.signs_in(fresh.open(link))
        assert "Connect Notes ?" in str(Forms(page.text)) and "ada" in str(Forms(page.text))
        # It says to another who is the one.
        other = Person(server, "bob", PASSWORD)
        assert other.signs_in(other.open(link)).status_code == 403
        browser = Browser("ada-there")
        for name, value in fresh.cookies.items():
            browser.jar.cookies.set(name, value)
        browser.connect(link)
        assert who(caller.call("notes_whoami")) == "ada-there"
        # Bob's own page is his, and empty.
        words = str(Forms(bob.open(f"{server.base}/connect").text))
        assert "bob" in words and "Notes not connected" in words
        # Who is removed leaves nothing.
        gone = cli(server.manifests, "users", "remove", "ada", "--manifests", str(server.manifests.folder))
        assert "1 connections are ended" in gone.stderr, gone


def test_a_form_acts_for_whom_its_page_was_for(house: House, tmp_path: Path) -> None:
    """Guard: whose link was opened in this browser before gets nothing of what its person agrees to."""
    auth = {"mode": "built-in", "builtIn": {}}
    with gateway(tmp_path, acting("notes", house.api.url, house.issuer, LONG), auth=auth, more=UNLIMITED) as server:
        add_user(server, "ada", PASSWORD)
        ada = Caller(server, App.register(server).grant(Person(server, "ada", PASSWORD))["access_token"])
        mallory = Caller(server, new_key(server, "--subject", "mallory"))
        browser = Browser("ada-there")
        browser.press(browser.get(link_in(result(mallory.call("notes_whoami")))), "connect")
        person = Person(server, "ada", PASSWORD)
        person.cookies = dict(browser.jar.cookies)
        page = person.open(link_in(result(ada.call("notes_whoami"))))
        assert page.status_code == 403 and "not yours" in str(Forms(page.text))
        page = person.signs_in(person.open(f"{page.request.url}&as=other"))
        for name, value in person.cookies.items():
            browser.jar.cookies.set(name, value)
        assert "For ada" in str(Forms(page.text))
        page = browser.follow(browser.get(browser.agree(browser.leave(browser.press(page, "connect")))))
        assert "is connected" in str(Forms(page.text)) and "For ada" in str(Forms(page.text))
        assert who(ada.call("notes_whoami")) == "ada-there"
        link_in(result(mallory.call("notes_whoami")))
        # A form that says another's name is nobody's.
        form = browser.form(page)
        theirs = browser.form(browser.get(f"{server.base}/connect/notes")).values["for"]
        assert theirs != form.values["for"]
        said = form.values | {"for": theirs, "decision": "disconnect"}
        assert browser.jar.post(f"{server.base}/connect/notes", data=said).status_code == 400
        assert "disconnected" in str(Forms(browser.follow(browser.press(page, "disconnect")).text))
        link_in(result(ada.call("notes_whoami")))


def test_the_person_at_this_machine_connects_in_a_terminal(house: House, tmp_path: Path) -> None:
    """`switchboard connect` waits on loopback for them to come back, and the grant is theirs alone."""
    manifests = manifests_of(tmp_path, acting("notes", house.api.url, house.issuer, LONG))
    asks = json.dumps({})
    call = cli(manifests, "call", "notes_whoami", "--json", asks, "--manifests", str(manifests.folder))
    assert "switchboard connect notes" in call.stdout + call.stderr, call

    def begin() -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [BINARY, "connect", "notes", "--manifests", str(manifests.folder)],
            env={**os.environ, **manifests.env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return process, next(line.strip() for line in process.stdout if line.startswith(house.issuer))

    process, link = begin()
    try:
        browser = Browser("local-there")
        page = browser.get(browser.agree(link))
        assert page.status_code == 200 and "connected" in page.text, page.text
        assert process.wait(harness.PATIENCE) == 0
    finally:
        harness.kill_tree(process)
    call = cli(manifests, "call", "notes_whoami", "--json", asks, "--manifests", str(manifests.folder))
    assert "local-there" in call.stdout, call
    # The issuer knows us from the last time.
    process, again = begin()
    harness.kill_tree(process)
    assert parse_qs(urlsplit(again).query)["client_id"] == parse_qs(urlsplit(link).query)["client_id"]
    gone = cli(manifests, "disconnect", "notes", "--manifests", str(manifests.folder))
    assert gone.returncode == 0, gone.stderr
    call = cli(manifests, "call", "notes_whoami", "--json", asks, "--manifests", str(manifests.folder))
    assert "switchboard connect notes" in call.stdout + call.stderr, call
