"""The pages on which people sign in and decide, before sites that trick them and guests who guess.

Every refusal is next to the same request without the attack, which is granted.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import httpx2
import pytest

from harness import Server, until
from oauth.client import (
    App,
    failure,
    parameters,
    tokens,
)
from oauth.gateway import Caller, add_user, cli
from oauth.house import PASSWORD, ada, app, bob, browsers, built_in, newcomer, starts, turned_back  # noqa: F401 - fixtures
from oauth.person import Forms, Person


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A gateway with its own issuer and two people; every test has a client and browsers of its own."""
    with built_in(tmp_path_factory.mktemp("people"), users=2) as server:
        yield server


# The pages


def test_consent_is_given_by_its_own_form_alone(server: Server, app: App, ada: Person, bob: Person) -> None:
    """Guards: the token of the form, the cookie it belongs to, and the Origin of whoever posts."""
    page = ada.consent_page(app.link())
    form = ada.form(page, "/oauth/consent")
    yes = {"decision": "allow"}
    others = bob.form(bob.consent_page(app.link()), "/oauth/consent").values

    def no(response: httpx2.Response) -> None:
        assert response.status_code in (400, 403) and "location" not in response.headers, response.text

    no(ada.submit(page, form, yes | {"csrf": ""}))
    no(ada.submit(page, form, yes | {"csrf": others["csrf"]}))
    no(ada.submit(page, form, yes | {"csrf": form.values["csrf"][:-1] + "x"}))
    # The whole form of another's flow: an attacker's client, a victim's browser.
    no(ada.submit(page, form, yes | others))
    no(bob.submit(page, form, yes))
    no(Person(server).submit(page, form, yes))
    for origin in ("https://evil.example", "null", "https://chatgpt.com"):
        no(ada.submit(page, form, yes, Origin=origin))
    looked = ada.send("GET", f"{form.action}?{urlencode(form.values | yes)}")
    assert looked.status_code in (200, 400, 404, 405) and "location" not in looked.headers, "looking decides nothing"
    back = ada.decides(page)
    assert isinstance(back, str) and parameters(back)["code"]
    # And once.
    again = ada.submit(page, form, yes)
    assert again.status_code == 400 or "code=" not in again.headers.get("location", ""), "a form is good once"


def test_a_decision_is_allow_or_deny(app: App, ada: Person) -> None:
    """Guard: nothing but the button itself says yes."""
    for decision in ({}, {"decision": ""}, {"decision": "yes"}, {"decision": "ALLOW"}):
        page = ada.consent_page(app.link())
        response = ada.submit(page, ada.form(page, "/oauth/consent"), decision)
        assert "code=" not in response.headers.get("location", ""), decision
    assert parameters(ada.answers(app.link()))["code"]


def test_signing_in_takes_the_form_of_its_own_flow(server: Server, app: App, newcomer: Person) -> None:
    """Guard: nobody is signed in as somebody else by a form that another site posts."""
    page = newcomer.open(app.link())
    form = newcomer.form(page, "/oauth/sign-in")
    good = {"username": "ada", "password": PASSWORD}
    for values, headers in (
        ({"csrf": ""}, {}),
        ({"csrf": "x" * len(form.values["csrf"])}, {}),
        ({}, {"Origin": "https://evil.example"}),
        ({}, {"Origin": "null"}),
        ({}, {"Cookie": None}),
    ):
        response = newcomer.submit(page, form, good | values, **headers)
        assert response.status_code in (400, 403) and "location" not in response.headers, response.text
    assert newcomer.signs_in(page)


def test_a_new_session_begins_with_signing_in(server: Server, app: App, newcomer: Person) -> None:
    """Guard: a session id that somebody planted in the browser before is worth nothing after (fixation)."""
    page = newcomer.open(app.link())
    [(name, before)] = newcomer.cookies.items()
    page = newcomer.signs_in(page)
    assert newcomer.cookies[name] != before
    planted = Person(server)
    planted.cookies = {name: before}
    answer = planted.open(app.link(prompt="none"))
    assert parameters(turned_back(answer))["error"] == "login_required", answer
    assert isinstance(newcomer.decides(page), str)
    # Signed in, and asked for consent before: no page is needed, so none is shown.
    answer = newcomer.open(app.link(prompt="none"))
    assert isinstance(answer, str) and parameters(answer)["code"], answer


def test_consent_is_asked_for_again_when_asked_for_more(app: App, ada: Person) -> None:
    """Guard: what was allowed is remembered for its client, its way back and its scopes, and nothing else."""
    assert ada.answers(app.link(scope="mcp docs:read"))
    assert isinstance(ada.open(app.link(scope="mcp docs:read")), str), "remembered"
    for changes in ({"scope": "mcp docs:read docs:write"}, {"scope": "mcp docs:read", "prompt": "consent"}):
        assert starts(ada, app.link(**changes)), changes
    back = ada.open(app.link(scope="mcp docs:read docs:write", prompt="none"))
    assert isinstance(back, str) and parameters(back)["error"] == "consent_required"


def test_a_program_on_this_machine_is_asked_about_every_time(server: Server, ada: Person) -> None:
    """Guard: any program can listen on a port, so what was allowed to one is not allowed to the next."""
    app = App.register(server, "http://127.0.0.1:1/callback")
    for _ in range(2):
        page = ada.consent_page(app.link())
        assert "computer" in str(Forms(page.text)).lower()
        assert isinstance(ada.decides(page), str)


def test_consent_says_who_gets_what_and_where(app: App, ada: Person) -> None:
    words = str(Forms(ada.consent_page(app.link(scope="mcp docs:read")).text))
    for word in ("Tester", "client.example", "ada", "Docs", "docs:read", "Board"):
        assert word.lower() in words.lower(), f"{word} in {words}"


def directives(response: httpx2.Response) -> dict[str, list[str]]:
    parts = [part.split() for part in response.headers["content-security-policy"].split(";") if part.strip()]
    return {name: values for name, *values in parts}


def test_no_page_can_be_framed_scripted_or_kept(server: Server, app: App, newcomer: Person) -> None:
    """Guards against clickjacking and injected content, on every page: sign-in, consent, errors."""
    pages = [newcomer.open(app.link(client_id="nobody")), newcomer.open(app.link())]
    pages.append(newcomer.signs_in(pages[-1]))
    for page in pages:
        assert not isinstance(page, str)
        policy = directives(page)
        assert policy["frame-ancestors"] == policy["base-uri"] == policy["default-src"] == ["'none'"], policy
        assert "script-src" not in policy and "unsafe" not in str(policy) and Forms(page.text).scripts == 0
        [style] = re.findall(r"<style>(.*?)</style>", page.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert policy["style-src"] == [f"'sha256-{digest}'"]
        assert "'self'" in policy["form-action"] or policy["form-action"] == ["'none'"]
        assert "*" not in str(policy["form-action"])
        assert page.headers["x-frame-options"] == "DENY"
        assert page.headers["referrer-policy"] in ("same-origin", "no-referrer")
        assert page.headers["cross-origin-opener-policy"] == "unsafe-none"
        assert "no-store" in page.headers["cache-control"]
        assert page.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-credentials" not in page.headers


def test_the_cookie_is_for_this_host_and_for_no_script(tmp_path: Path) -> None:
    with built_in(tmp_path, env={"BASE_URL": "https://gateway.example"}) as server:
        app = App.register(server).with_(resource="https://gateway.example/mcp")
        ada = Person(server, "ada", PASSWORD, origin="https://gateway.example")
        assert ada.answers(app.link())
        assert ada.set_cookies
        for cookie in ada.set_cookies:
            name, *attributes = [part.strip().lower() for part in cookie.split(";")]
            assert name.startswith("__host-switchboard=")
            assert {"secure", "httponly", "samesite=lax", "path=/"} <= set(attributes)
            assert not any(attribute.startswith("domain") for attribute in attributes)


def test_cookies_over_plain_http_are_for_loopback_alone(server: Server, newcomer: Person, app: App) -> None:
    newcomer.open(app.link())
    [cookie] = newcomer.set_cookies[:1]
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    port = httpx2.URL(server.base).port
    assert cookie.startswith(f"switchboard-{port}=") and {"httponly", "samesite=lax", "path=/"} <= attributes


# People


def test_a_code_on_the_terminal_is_for_the_flow_that_it_was_shown_for(tmp_path: Path) -> None:
    """Guards: a code is bound to its flow, good once, and five wrong ones end the flow."""
    with built_in(tmp_path, users=0) as server:
        app = App.register(server)
        one, two = Person(server), Person(server)
        first = one.open(app.link())
        code = one.code()
        assert re.fullmatch(r"[A-HJ-NP-Z2-9]{4}-[A-HJ-NP-Z2-9]{4}", code), code
        second = two.open(app.link())
        form = two.form(second, "/oauth/sign-in")
        wrong = two.submit(second, form, {"code": code})
        assert wrong.status_code in (200, 400, 401, 403, 422) and Forms(wrong.text).has("/oauth/sign-in"), wrong.text
        for _ in range(4):
            wrong = two.submit(second, form, {"code": "AAAA-AAAA"})
        assert "code=" not in wrong.headers.get("location", "")
        over = two.submit(second, form, {"code": two.code()})
        assert over.status_code == 400 and not Forms(over.text).has("/oauth/consent"), "the flow is over"
        # The first flow is untouched; its code works once.
        form = one.form(first, "/oauth/sign-in")
        pages = [one.submit(first, form, {"code": code.lower()})]
        # Guessing slows everybody down for a moment.
        until(lambda: pages[-1].status_code == 303 or pages.append(one.submit(first, form, {"code": code})), "consent")
        page = one.follow(pages[-1])
        token = tokens(app.redeem(parameters(one.decides(page))["code"]))["access_token"]
        assert Caller(server, token).counts()
        again = Person(server)
        again.open(app.link())
        assert one.submit(first, form, {"code": code}).status_code in (303, 400, 403)
        assert code not in "".join(line for line in server.log if "sign-in code " not in line)


def test_who_is_unknown_is_answered_like_who_mistyped(server: Server, app: App) -> None:
    """Guard: the page does not tell whether somebody has an account."""
    said = []
    for name, password in (("ada", "wrong horse battery"), ("nobody-of-that-name", PASSWORD)):
        person = Person(server, name, password)
        page = person.open(app.link())
        answer = person.submit(page, person.form(page, "/oauth/sign-in"), {"username": name, "password": password})
        answer = person.follow(answer)
        assert not isinstance(answer, str)
        said.append((answer.status_code, str(Forms(answer.text)).replace(name, "")))
    assert said[0] == said[1]
    ada = Person(server, "ada", PASSWORD)
    assert ada.answers(app.link())


def test_guessing_a_password_is_soon_slow(tmp_path: Path) -> None:
    """Guard: wrong passwords lock a name for a while, even before the right one; other names go on."""
    with built_in(tmp_path, users=2) as server:
        app = App.register(server)

        def tries(name: str, password: str) -> httpx2.Response | str:
            person = Person(server, name, password)
            page = person.open(app.link())
            return person.follow(
                person.submit(page, person.form(page, "/oauth/sign-in"), {"username": name, "password": password})
            )

        def is_in(answer: httpx2.Response | str) -> bool:
            return not isinstance(answer, str) and Forms(answer.text).has("/oauth/consent")

        def guess(number: int) -> bool:
            """Whether a guess is still looked at."""
            answer = tries("ada", f"wrong horse {number}")
            assert not is_in(answer)
            return isinstance(answer, str) or "too many" not in str(Forms(answer.text))

        looked_at = next(number for number in range(30) if not guess(number))
        assert 3 <= looked_at <= 15
        assert not is_in(tries("ada", PASSWORD)), "the name is locked for a while"
        assert is_in(tries("bob", PASSWORD))


def test_whoever_is_removed_has_nothing_left(tmp_path: Path) -> None:
    """Guard: removing a person ends their grants and browser sessions, for a server that runs already."""
    with built_in(tmp_path, users=2) as server:
        app, ada, bob = App.register(server), Person(server, "ada", PASSWORD), Person(server, "bob", PASSWORD)
        told, others = app.grant(ada), app.grant(bob)
        assert "ada" in cli(server.manifests, "users", "list").stdout
        assert cli(server.manifests, "users", "remove", "ada").returncode == 0
        listed = json.loads(cli(server.manifests, "users", "list", "--format", "json").stdout)
        assert "ada" not in json.dumps(listed) and PASSWORD not in json.dumps(listed)
        assert failure(app.refresh(told["refresh_token"])) == "invalid_grant"
        answer = ada.open(app.link(prompt="none"))
        assert parameters(turned_back(answer))["error"] == "login_required"
        until(lambda: not Caller(server, told["access_token"]).counts(), "the end of the access token")
        assert Caller(server, others["access_token"]).counts()
        assert tokens(app.refresh(others["refresh_token"]))


def test_a_person_gives_no_more_than_they_have(tmp_path: Path) -> None:
    """Guard: a person's own scopes are the ceiling of every grant."""
    with built_in(tmp_path, users=1) as server:
        add_user(server, "eve", PASSWORD, "--scopes", "docs:read")
        app = App.register(server)
        for name, may_write in (("eve", False), ("ada", True)):
            told = app.grant(Person(server, name, PASSWORD), "mcp docs:read docs:write")
            caller = Caller(server, told["access_token"])
            assert caller.does("docs_read")
            assert ("docs_write" in caller.tools()) is may_write
            assert ("docs:write" in told["scope"].split()) is may_write


def test_a_password_has_to_be_long_and_is_nowhere_to_be_read(server: Server) -> None:
    refused = cli(server.manifests, "users", "add", "carl", "--password-stdin", say="short\n")
    assert refused.returncode != 0 and "10" in refused.stderr
    files = [file for file in Path(server.manifests.data).rglob("*") if file.is_file()]
    assert files
    for file in files:
        assert PASSWORD.encode() not in file.read_bytes(), file
        assert not file.stat().st_mode & 0o077, f"{file} is for its owner only"


def test_a_second_person_of_a_name_is_refused(server: Server) -> None:
    again = cli(server.manifests, "users", "add", "ada", "--password-stdin", say=f"{PASSWORD}!\n")
    assert again.returncode != 0 and "ada" in again.stderr
