"""Signing in and letting a client in, by a person's own hands in a real browser: directly, and through proxies that
have the server under a path and name another host to it."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

import browser as chromium
import signin
from browser import LOOPBACK, Tab
from harness import until
from proxies import KINDS, Certificate, certificate
from signin import ADA, ALAN, CHATGPT, CHATGPTS, CURSORS, GRACE, Client, Gateway, Home, Person
from test_widgets import PHONE, barriers, fits, has_light_text, reach

OpenTab = Callable[..., AbstractContextManager[Tab]]

# What Chromium says of a page that comes with a failure's status.
SAYS_SO = "error: Failed to load resource"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate(tmp_path_factory.mktemp("certificate"), CHATGPT)


@pytest.fixture(scope="module")
def chatgpt(made: Certificate) -> Iterator[Home]:
    """What the browser finds at ChatGPT's address."""
    with signin.home(made) as home:
        yield home


@pytest.fixture(scope="module")
def computer() -> Iterator[Home]:
    """A client on the person's own computer."""
    with signin.home() as home:
        yield home


@pytest.fixture(scope="module")
def browser(chatgpt: Home) -> Iterator[Browser]:
    with chromium.launched({CHATGPT: f"127.0.0.1:{chatgpt.server_port}"}) as browser:
        yield browser


@pytest.fixture
def tab(browser: Browser, request: pytest.FixtureRequest) -> OpenTab:
    """Opens tabs named after the test, each with cookies of its own."""

    def opens(**options: object) -> AbstractContextManager[Tab]:
        trusting = {"ignore_https_errors": True, "hosts": (*LOOPBACK, CHATGPT)}
        return chromium.tab(browser, request.node.name, **trusting | options)

    return opens


@pytest.fixture(scope="module")
def gateway(made: Certificate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with signin.gateway(tmp_path_factory.mktemp("direct"), made, ADA, GRACE, ALAN) as gateway:
        yield gateway


@pytest.fixture(scope="module", params=KINDS)
def proxied(
    request: pytest.FixtureRequest, made: Certificate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    home = tmp_path_factory.mktemp(request.param)
    with signin.gateway(home, made, ADA, GRACE, ALAN, way=request.param) as gateway:
        yield gateway


@pytest.fixture
def nobody(made: Certificate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A server that knows no person, as it is when it was just installed."""
    with signin.gateway(tmp_path_factory.mktemp("nobody"), made) as gateway:
        yield gateway


# What a person sees and does


def username(page: Page) -> Locator:
    return page.locator("form[action$='/oauth/sign-in'] input[name=username]")


def password(page: Page) -> Locator:
    return page.locator("form[action$='/oauth/sign-in'] input[name=password]")


def code(page: Page) -> Locator:
    return page.locator("form[action$='/oauth/sign-in'] input[name=code]")


def go_on(page: Page) -> Locator:
    return page.locator("form[action$='/oauth/sign-in'] button").first


def allow(page: Page) -> Locator:
    return page.locator("form[action$='/oauth/consent'] button[name=decision][value=allow]")


def deny(page: Page) -> Locator:
    return page.locator("form[action$='/oauth/consent'] button[name=decision][value=deny]")


def another_account(page: Page) -> Locator:
    return page.get_by_text(re.compile("another account", re.I))


def complaint(page: Page) -> Locator:
    return page.get_by_role("alert")


def sign_in(page: Page, person: Person) -> None:
    username(page).fill(person.name)
    password(page).fill(person.password)
    go_on(page).click()


def returns(page: Page, client: Client) -> str:
    """The address with which the person comes back to the client."""
    page.wait_for_url(lambda url: url.startswith(client.redirect))
    expect(page.get_by_role("heading", name="Welcome back")).to_be_visible()
    client.told(page.url)
    return page.url


def words(page: Page) -> str:
    """All that there is to read."""
    return page.locator("main").inner_text()


def is_fit_for_all(opened: Tab, moment: str) -> None:
    """Whether everybody can use a page, on a phone too; takes a picture of it both ways."""
    page = opened.page
    usual = page.viewport_size
    assert usual
    opened.shoot(moment)
    assert fits(page.main_frame)
    assert barriers(page.main_frame) == []
    page.set_viewport_size({"width": PHONE, "height": 740})
    opened.shoot(f"{moment} phone")
    assert fits(page.main_frame)
    assert barriers(page.main_frame) == []
    page.set_viewport_size(usual)


# Letting a client in


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_person_signs_in_and_lets_chatgpt_in(gateway: Gateway, tab: OpenTab, theme: str) -> None:
    """The whole way, and what its pages say: who asks, where the person will be sent, what is opened and for whom."""
    client = Client(gateway, CHATGPTS, "ChatGPT")
    with tab(theme=theme) as opened:
        page = opened.page
        page.goto(client.link())
        # The page, and whose it is: nobody should type a password into another's.
        assert "ChatGPT" in words(page) and urlsplit(gateway.base).netloc in words(page)
        heading = page.get_by_role("heading", level=1)
        expect(heading).to_be_visible()
        assert has_light_text(heading) == (theme == "dark")
        assert username(page).get_attribute("autocomplete") == "username"
        assert password(page).get_attribute("autocomplete") == "current-password"
        expect(username(page)).to_be_focused()
        is_fit_for_all(opened, "sign in")
        sign_in(page, ADA)
        expect(allow(page)).to_be_visible()
        said = words(page)
        for wanted in ("ChatGPT", CHATGPT, ADA.full, "Weather", "Notes of the team", "Diary <b>& more</b>", "Payroll"):
            assert wanted in said, f"{wanted} is not in {said}"
        assert "registered itself" in said and urlsplit(gateway.base).netloc in said
        is_fit_for_all(opened, "consent")
        allow(page).click()
        token = client.redeem(returns(page, client))
    assert client.profile(token)["name"] == ADA.full
    assert client.profile(token)["email"] == ADA.email
    assert all(client.may(token, f"{id}_look") for id in ("weather", "notes", "payroll"))


@pytest.mark.parametrize("where", ["elsewhere", "here"])
def test_signing_in_works_through_a_proxy(proxied: Gateway, computer: Home, tab: OpenTab, where: str) -> None:
    """Behind a proxy that names another host to us, with a path before ours, every address is the one people know."""
    client = Client(proxied, CHATGPTS if where == "elsewhere" else computer.callback)
    for address in ("authorization_endpoint", "token_endpoint", "registration_endpoint"):
        assert client.metadata[address].startswith(f"{proxied.base}/"), client.metadata
    with tab(width=PHONE, excused=SAYS_SO) as opened:
        page = opened.page
        page.goto(client.link())
        username(page).fill(GRACE.name)
        password(page).fill("not hers")
        go_on(page).click()
        expect(complaint(page)).to_be_visible()
        sign_in(page, GRACE)
        expect(allow(page)).to_be_visible()
        assert page.url.startswith(f"{proxied.base}/")
        assert urlsplit(proxied.base).netloc in words(page)
        opened.shoot("consent")
        [cookie] = page.context.cookies(proxied.base)
        assert cookie["name"] == "__Host-switchboard" and cookie["path"] == "/"
        assert cookie["secure"] and cookie["httpOnly"] and cookie["sameSite"] == "Lax"
        allow(page).click()
        token = client.redeem(returns(page, client))
    assert client.profile(token)["name"] == GRACE.full


def test_signing_in_takes_no_scripts(gateway: Gateway, tab: OpenTab) -> None:
    client = Client(gateway, CHATGPTS)
    with tab(java_script_enabled=False) as opened:
        page = opened.page
        page.goto(client.link())
        assert page.locator("script").count() == 0
        sign_in(page, ADA)
        assert page.locator("script").count() == 0
        allow(page).click()
        client.redeem(returns(page, client))


def test_signing_in_needs_no_mouse(gateway: Gateway, tab: OpenTab) -> None:
    client = Client(gateway, CHATGPTS)
    with tab() as opened:
        page, keyboard = opened.page, opened.page.keyboard
        page.goto(client.link())
        # The cursor stands in the first field already.
        keyboard.type(ADA.name)
        keyboard.press("Tab")
        expect(password(page)).to_be_focused()
        opened.shoot("focus on the password")
        keyboard.type(ADA.password)
        keyboard.press("Enter")
        expect(allow(page)).to_be_visible()
        reach(page, deny(page))
        opened.shoot("focus on deny")
        reach(page, allow(page))
        opened.shoot("focus on allow")
        assert allow(page).evaluate("button => getComputedStyle(button).outlineStyle") != "none"
        keyboard.press("Enter")
        client.redeem(returns(page, client))


def test_a_person_says_no(gateway: Gateway, tab: OpenTab) -> None:
    client = Client(gateway, CHATGPTS)
    with tab() as opened:
        page = opened.page
        page.goto(client.link())
        sign_in(page, ADA)
        deny(page).click()
        answer = client.told(returns(page, client))
        assert answer["error"] == "access_denied" and "code" not in answer
        # A no is not kept: the person is asked again, and need not sign in for it.
        page.goto(client.link())
        allow(page).click()
        client.redeem(returns(page, client))


def test_a_yes_is_remembered_for_what_it_was_said_to(gateway: Gateway, tab: OpenTab) -> None:
    client = Client(gateway, CHATGPTS)
    with tab() as opened:
        page = opened.page
        page.goto(client.link(scope="notes:read"))
        sign_in(page, ADA)
        expect(allow(page)).to_be_visible()
        assert "Notes of the team" in words(page) and "Payroll" not in words(page)
        allow(page).click()
        token = client.redeem(returns(page, client))
        assert client.may(token, "notes_look") and not client.may(token, "payroll_look")
        # The same again: no page in between.
        page.goto(client.link(scope="notes:read"))
        client.redeem(returns(page, client))
        # More than that: asked again.
        page.goto(client.link(scope="notes:read payroll:read"))
        expect(allow(page)).to_be_visible()
        assert "Payroll" in words(page)
        allow(page).click()
        assert client.may(client.redeem(returns(page, client)), "payroll_look")
        # The client wants to have it asked.
        page.goto(client.link(scope="notes:read", prompt="consent"))
        expect(allow(page)).to_be_visible()


def test_nobody_lets_in_to_more_than_is_open_to_themselves(gateway: Gateway, tab: OpenTab) -> None:
    client = Client(gateway, CHATGPTS)
    with tab() as opened:
        page = opened.page
        page.goto(client.link())
        sign_in(page, ALAN)
        expect(allow(page)).to_be_visible()
        assert "Notes of the team" in words(page) and "Payroll" not in words(page)
        allow(page).click()
        token = client.redeem(returns(page, client))
    assert client.may(token, "notes_look") and not client.may(token, "payroll_look")


def test_another_account_is_used(gateway: Gateway, tab: OpenTab) -> None:
    client = Client(gateway, CHATGPTS)
    with tab() as opened:
        page = opened.page
        page.goto(client.link())
        sign_in(page, ADA)
        expect(page.get_by_text(ADA.full)).to_be_visible()
        another_account(page).click()
        expect(username(page)).to_be_visible()
        expect(username(page)).not_to_have_value(ADA.name)
        opened.shoot("sign in again")
        sign_in(page, GRACE)
        expect(page.get_by_text(GRACE.full)).to_be_visible()
        expect(page.get_by_text(ADA.full)).to_have_count(0)
        allow(page).click()
        token = client.redeem(returns(page, client))
    assert client.profile(token)["name"] == GRACE.full


def test_two_tabs_of_one_browser_do_not_disturb_each_other(gateway: Gateway, tab: OpenTab) -> None:
    """Whoever signs in in one tab can still go on in the other, where the page to sign in is open."""
    first, second = Client(gateway, CHATGPTS, "The first"), Client(gateway, CHATGPTS, "The second")
    with tab() as opened:
        one, two = opened.page, opened.page.context.new_page()
        one.goto(first.link())
        two.goto(second.link())
        sign_in(one, ADA)
        expect(allow(one)).to_be_visible()
        sign_in(two, ADA)
        expect(allow(two)).to_be_visible()
        assert "The second" in words(two)
        allow(one).click()
        first.redeem(returns(one, first))
        allow(two).click()
        second.redeem(returns(two, second))


def test_going_back_does_no_harm(gateway: Gateway, tab: OpenTab) -> None:
    """A decision stands; whoever goes back and decides again is told so, and how to go on."""
    client = Client(gateway, CHATGPTS)
    with tab(excused=SAYS_SO) as opened:
        page = opened.page
        page.goto(client.link())
        sign_in(page, ADA)
        allow(page).click()
        came = returns(page, client)
        page.go_back()
        if allow(page).count():
            allow(page).click()
            page.wait_for_load_state()
        opened.shoot("after going back")
        assert "code=" not in page.url or page.url == came
        assert not page.url.startswith("chrome-error:")
        client.redeem(came)


# Whom to believe


def test_the_address_people_are_sent_to_stands_out(gateway: Gateway, tab: OpenTab) -> None:
    client = Client(gateway, CHATGPTS, "Harmless Helper")
    with tab() as opened:
        page = opened.page
        page.goto(client.link())
        sign_in(page, ADA)
        address = page.get_by_text(CHATGPT, exact=True).first
        expect(address).to_be_visible()
        assert int(address.evaluate("element => getComputedStyle(element).fontWeight")) >= 600


def test_a_program_on_ones_own_computer_is_warned_of_and_always_asked_about(
    gateway: Gateway, computer: Home, tab: OpenTab
) -> None:
    client = Client(gateway, computer.callback, "Editor")
    with tab() as opened:
        page = opened.page
        page.goto(client.link())
        sign_in(page, ADA)
        expect(allow(page)).to_be_visible()
        assert "program on your computer" in words(page) and "127.0.0.1" in words(page)
        opened.shoot("consent")
        allow(page).click()
        client.redeem(returns(page, client))
        page.goto(client.link())
        expect(allow(page)).to_be_visible()


def test_a_program_with_an_address_of_its_own_kind_is_warned_of(gateway: Gateway, tab: OpenTab) -> None:
    client = Client(gateway, CURSORS, "Cursor")
    # There is no Cursor here to open.
    with tab(excused="error: Failed to launch 'cursor:", hosts=(*LOOPBACK, urlsplit(CURSORS).netloc)) as opened:
        page = opened.page
        page.goto(client.link())
        sign_in(page, ADA)
        expect(allow(page)).to_be_visible()
        assert "app on your device" in words(page) and "cursor" in words(page)
        opened.shoot("consent")
        with page.expect_response(re.compile("/oauth/consent$")) as answered:
            allow(page).click()
        client.redeem(answered.value.headers["location"])


def test_a_clients_name_is_text_however_it_is_written(gateway: Gateway, tab: OpenTab) -> None:
    name = '<img src=x onerror="alert(1)"> {{ 7 * 7 }} ' + "Averylongnamewithoutanyspace" * 4
    client = Client(gateway, CHATGPTS, name)
    with tab(width=PHONE) as opened:
        page = opened.page
        page.goto(client.link())
        assert "<img src=x" in words(page) and "{{ 7 * 7 }}" in words(page)
        is_fit_for_all(opened, "sign in")
        sign_in(page, ADA)
        expect(allow(page)).to_be_visible()
        assert "<img src=x" in words(page)
        assert page.locator("img[src=x]").count() == 0
        is_fit_for_all(opened, "consent")


def test_another_sites_page_cannot_hold_ours(gateway: Gateway, computer: Home, tab: OpenTab) -> None:
    """Nobody lays our buttons under something else to click at."""
    client = Client(gateway, computer.callback)
    computer.pages["/game"] = f'<iframe id=below src="{client.link().replace("&", "&amp;")}"></iframe>'
    with tab(excused="error: ") as opened:
        page = opened.page
        page.goto(computer.callback.replace("/callback", "/game"))
        frame = page.locator("#below").element_handle().content_frame()
        assert frame
        until(lambda: any("frame" in fault.lower() for fault in opened.faults), "the browser's word on the frame")
        assert frame.locator("input, button").count() == 0


def test_another_sites_page_cannot_press_our_buttons(gateway: Gateway, computer: Home, tab: OpenTab) -> None:
    """A form elsewhere, sent to our consent page by a person who is signed in, opens nothing."""
    client = Client(gateway, CHATGPTS)
    with tab(excused=SAYS_SO) as opened:
        page = opened.page
        page.goto(client.link())
        sign_in(page, ADA)
        expect(allow(page)).to_be_visible()
        action = page.locator("form[action$='/oauth/consent']").evaluate("form => form.action")
        hidden = page.locator("form[action$='/oauth/consent'] input[type=hidden]")
        known = {one.get_attribute("name"): one.get_attribute("value") for one in hidden.all()}
        stolen = "".join(f'<input type=hidden name="{name}" value="{value}">' for name, value in known.items())
        computer.pages["/prize"] = (
            f'<form method=post action="{action}">{stolen}<input type=hidden name=decision value=allow>'
            "<button>Get your prize</button></form>"
        )
        # The same browser, and even the same words; but from another site.
        page.goto(computer.callback.replace("127.0.0.1", "localhost").replace("/callback", "/prize"))
        with page.expect_response(action) as answered:
            page.get_by_role("button", name="prize").click()
        assert answered.value.status == 403
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        opened.shoot("refused")
        assert page.url == action


# What goes wrong


def test_a_wrong_password_and_an_unknown_name_are_told_alike(gateway: Gateway, tab: OpenTab) -> None:
    client = Client(gateway, CHATGPTS)
    with tab(excused=SAYS_SO) as opened:
        page = opened.page
        page.goto(client.link())
        told = []
        for name in (ADA.name, "nobody of that name"):
            username(page).fill(name)
            password(page).fill("let me in")
            go_on(page).click()
            expect(complaint(page)).to_be_visible()
            told.append(complaint(page).inner_text())
            expect(username(page)).to_have_value(name)
            expect(password(page)).to_have_value("")
        assert told[0] == told[1]
        is_fit_for_all(opened, "wrong")
        sign_in(page, ADA)
        allow(page).click()
        client.redeem(returns(page, client))


def test_an_empty_form_does_not_count_as_a_try(gateway: Gateway, tab: OpenTab) -> None:
    client = Client(gateway, CHATGPTS)
    with tab(excused=SAYS_SO) as opened:
        page = opened.page
        page.goto(client.link())
        for _ in range(6):
            go_on(page).click()
        sign_in(page, ADA)
        expect(allow(page)).to_be_visible()


def test_whoever_guesses_is_stopped(made: Certificate, tab: OpenTab, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Five wrong tries end it, and the client is told. Starting again does not help, as the name has to wait."""
    with signin.gateway(tmp_path_factory.mktemp("guessed"), made, ADA, GRACE) as gateway:
        client, another = Client(gateway, CHATGPTS), Client(gateway, CHATGPTS)
        with tab(excused=SAYS_SO) as opened, tab(excused=SAYS_SO) as elsewhere:
            page, again = opened.page, elsewhere.page
            # The first pause is short, so what is tried in it is there already.
            again.goto(another.link())
            username(again).fill(ADA.name)
            password(again).fill(ADA.password)
            page.goto(client.link())
            for guess in range(5):
                username(page).fill(ADA.name)
                password(page).fill(f"guess {guess}")
                with page.expect_response(re.compile("/oauth/sign-in$")):
                    go_on(page).click()
            go_on(again).click()
            expect(complaint(again)).to_contain_text("Try again in")
            is_fit_for_all(elsewhere, "has to wait")
            assert client.told(returns(page, client))["error"] == "access_denied"
            # Others are not kept out by that.
            sign_in(again, GRACE)
            expect(allow(again)).to_be_visible()


def test_a_link_that_is_not_ours_leads_to_an_explanation_and_not_away(gateway: Gateway, tab: OpenTab) -> None:
    client = Client(gateway, CHATGPTS)
    broken = {
        "unknown client": client.link(client_id="nobody"),
        "another address": client.link(redirect_uri="https://chatgpt.com.evil.example/callback"),
        "no address": client.link(redirect_uri=""),
    }
    with tab(excused=SAYS_SO) as opened:
        page = opened.page
        for what, link in broken.items():
            answer = page.goto(link)
            assert answer and answer.status == 400, what
            assert "text/html" in answer.headers["content-type"]
            expect(page.get_by_role("heading", level=1)).to_be_visible()
            assert page.locator("form, a[href*=evil]").count() == 0
            is_fit_for_all(opened, what)


def test_a_client_that_asks_wrongly_is_told_and_the_person_is_not_troubled(gateway: Gateway, tab: OpenTab) -> None:
    client = Client(gateway, CHATGPTS)
    with tab() as opened:
        for wrong, told in {"code_challenge_method": "invalid_request", "resource": "invalid_target"}.items():
            opened.page.goto(client.link(**{wrong: "plain" if "method" in wrong else "https://another.example/mcp"}))
            assert client.told(returns(opened.page, client))["error"] == told


# When nobody is known yet


def shown_code(gateway: Gateway, client: str, host: str) -> str:
    """The code that the terminal shows for a client."""
    until(lambda: any(client in line for line in gateway.codes()), f"a code in {gateway.server.log}")
    line = next(line for line in gateway.codes() if client in line)
    found = re.search(r'sign-in code ([A-Z0-9]{4}-[A-Z0-9]{4}) for (\S+) \(calls itself "(.+)"\)$', line)
    assert found and found[2] == host, line
    assert not set(found[1]) & set("0O1IL"), line
    return found[1]


def test_the_owner_signs_in_by_the_code_on_the_terminal(nobody: Gateway, tab: OpenTab) -> None:
    client = Client(nobody, CHATGPTS, "ChatGPT")
    with tab(excused=SAYS_SO) as opened:
        page = opened.page
        page.goto(client.link())
        expect(code(page)).to_be_focused()
        assert username(page).count() == password(page).count() == 0
        assert code(page).get_attribute("autocomplete") == "one-time-code"
        is_fit_for_all(opened, "sign in")
        right = shown_code(nobody, "ChatGPT", CHATGPT)
        code(page).fill("ABCD-EFGH")
        go_on(page).click()
        expect(complaint(page)).to_be_visible()
        opened.shoot("wrong")
        # As people type it.
        code(page).fill(f" {right.replace('-', ' ').lower()} ")
        go_on(page).click()
        is_fit_for_all(opened, "consent")
        allow(page).click()
        token = client.redeem(returns(page, client))
    assert client.profile(token)["id"]


def test_a_code_is_for_one_tab_and_once(nobody: Gateway, tab: OpenTab) -> None:
    first, second = Client(nobody, CHATGPTS, "The first"), Client(nobody, CHATGPTS, "The second")
    with tab(excused=SAYS_SO) as opened, tab(excused=SAYS_SO) as elsewhere:
        page, other = opened.page, elsewhere.page
        page.goto(first.link())
        other.goto(second.link())
        code(other).fill(shown_code(nobody, "The first", CHATGPT))
        go_on(other).click()
        expect(complaint(other)).to_be_visible()
        code(page).fill(shown_code(nobody, "The first", CHATGPT))
        go_on(page).click()
        expect(allow(page)).to_be_visible()
        # The other one has its own still.
        code(other).fill(shown_code(nobody, "The second", CHATGPT))
        go_on(other).click()
        expect(allow(other)).to_be_visible()
        # The same person both times.
        allow(page).click()
        allow(other).click()
        one, two = (client.redeem(returns(page, client)) for client, page in ((first, page), (second, other)))
    assert first.profile(one)["id"] == second.profile(two)["id"]


def test_a_new_person_can_sign_in_while_the_server_runs(nobody: Gateway, tab: OpenTab) -> None:
    client = Client(nobody, CHATGPTS)
    nobody.users("add", GRACE.name, "--name", GRACE.full, "--password-stdin", say=f"{GRACE.password}\n")
    with tab() as opened:
        page = opened.page
        page.goto(client.link())
        sign_in(page, GRACE)
        allow(page).click()
        token = client.redeem(returns(page, client))
        assert client.profile(token)["name"] == GRACE.full
        # Whoever is removed is signed in no longer; and as there is nobody left, there are codes again.
        nobody.users("remove", GRACE.name)
        page.goto(client.link())
        expect(code(page)).to_be_visible()
