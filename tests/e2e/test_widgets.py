"""The pages in a real browser: shown by hosts that know nothing of us, by a minimal host of ours, and alone."""

import json
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Frame, FrameLocator, Locator, Page, expect

import browser as chromium
import harness
from browser import Inspector, MinimalHost, Sunpeak, Tab
from clients import node
from connectors import call, connector, tools
from harness import HERE, ROOT, Manifests, Server, until
from upstreams import package
from wire import Json, Wire

OpenTab = Callable[..., AbstractContextManager[Tab]]
MakeHost = Callable[..., MinimalHost]
View = Frame | FrameLocator

PAGES = ROOT / "widgets/dist"
AXE = HERE / "node_modules/axe-core/axe.min.js"
# What a page may weigh.
HEAVIEST = 200 * 1024
# As narrow as phones are.
PHONE = 360
# The schema library in the examples' pages asks whether it may make scripts from strings, and lives with a no.
ASKS_FOR_EVAL = "error: not allowed: script-src eval"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium.launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def inspector() -> Iterator[Inspector]:
    with chromium.inspector() as inspector:
        yield inspector


@pytest.fixture(scope="module")
def sunpeak(bundled: Server) -> Iterator[Sunpeak]:
    with chromium.sunpeak(bundled) as sunpeak:
        yield sunpeak


@pytest.fixture(scope="module")
def minimal() -> Iterator[MakeHost]:
    """Makes minimal hosts."""
    with chromium.stage() as stage:
        yield partial(MinimalHost, stage)


@pytest.fixture
def tab(browser: Browser, request: pytest.FixtureRequest) -> OpenTab:
    """Opens tabs named after the test."""
    return lambda **options: chromium.tab(browser, request.node.name, **options)


@contextmanager
def serving_bundled(home: Path, **env: str) -> Iterator[Server]:
    """Runs a server with a copy of the bundled manifests, and nothing kept from before."""
    shutil.copytree(ROOT / "manifests", home / "manifests")
    with harness.serve(Manifests(home / "manifests", ""), "--data-dir", str(home / "data"), env=env) as server:
        key = env.get("CONNECTORS_API_KEY")
        until(lambda: {"cart_show", "show_connectors"} <= tools(server, key), f"the bundled tools: {server.log}")
        yield server


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a copy of the bundled manifests."""
    with serving_bundled(tmp_path_factory.mktemp("bundled")) as server:
        yield server


CLOCK, BUDGET = "server-basic-vanillajs_get-time", "server-budget-allocator_get-budget-data"


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Examples of MCP Apps behind a gateway that puts its prefix before the names; their pages call their tools by the
    names that they gave them."""
    folder = tmp_path_factory.mktemp("examples")
    for id in ("server-basic-vanillajs", "server-budget-allocator"):
        manifests = connector(folder, id, {"program": node(), "args": [package(id), "--stdio"]})
    with harness.serve(manifests) as server:
        until(lambda: {CLOCK, BUDGET} <= tools(server), f"the tools of the examples: {server.log}")
        yield server


# What a person sees and does


def has_light_text(text: Locator) -> bool:
    """Whether a text is lighter than grey, as texts are on dark pages."""
    return text.evaluate("""element => {
        const context = document.createElement("canvas").getContext("2d");
        context.fillStyle = getComputedStyle(element).color;
        context.fillRect(0, 0, 1, 1);
        const [red, green, blue] = context.getImageData(0, 0, 1, 1).data;
        return red + green + blue > 3 * 128;
    }""")


def expect_theme(text: Locator, theme: str) -> None:
    until(lambda: has_light_text(text) == (theme == "dark"), f"the {theme} theme")


def fits(view: View) -> bool:
    """Whether nothing stands out to the right of the frame, so that nobody has to scroll sideways."""
    return view.locator("html").evaluate("page => page.scrollWidth <= page.clientWidth")


def reach(page: Page, target: Locator) -> None:
    """Goes to a control by the tab key alone."""
    for _ in range(80):
        if target.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the tab key does not lead to {target}")


def barriers(view: Frame) -> list[Json]:
    """What axe finds that keeps people from using a page."""
    view.evaluate(AXE.read_text())
    found = view.evaluate("axe.run()")["violations"]
    return [{one["help"]: [(node["html"], node["failureSummary"]) for node in one["nodes"]]} for one in found]


# The cart


def new_cart(server: Server, **quantities: int) -> str:
    """Starts a cart the way a model does."""
    items = [{"name": name, "quantity": quantity} for name, quantity in quantities.items()]
    return call(server, "cart_add_items", {"items": items})["structuredContent"]["cartId"]


def kept(server: Server, cart: str) -> dict[str, int]:
    """What is in a cart, as another client sees it."""
    items = call(server, "cart_show", {"cartId": cart})["structuredContent"]["items"]
    return {item["name"]: item["quantity"] for item in items}


def item(view: View, name: str) -> Locator:
    return view.get_by_role("listitem").filter(has_text=name)


def quantity(view: View, name: str) -> Locator:
    return view.get_by_role("spinbutton", name=f"Quantity of {name}")


def add(view: View, name: str) -> None:
    view.get_by_role("textbox", name="Item").fill(name)
    view.get_by_role("button", name="Add", exact=True).click()
    expect(item(view, name)).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_cart_is_shown_and_changed_in_the_inspector(
    inspector: Inspector, bundled: Server, tab: OpenTab, theme: str
) -> None:
    cart = new_cart(bundled, eggs=2)
    with tab(theme=theme) as opened:
        view = inspector.show(opened.page, bundled, "cart_show", {"cartId": cart})
        expect(quantity(view, "eggs")).to_have_value("2")
        expect_theme(view.get_by_role("heading", name="Shopping cart"), theme)
        add(view, "milk")
        until(lambda: kept(bundled, cart) == {"eggs": 2, "milk": 1}, "the milk in the cart")
        view.get_by_role("button", name="One more: eggs").click()
        expect(quantity(view, "eggs")).to_have_value("3")
        until(lambda: kept(bundled, cart) == {"eggs": 3, "milk": 1}, "the third egg in the cart")


def test_the_cart_fits_a_phone_in_the_inspector(inspector: Inspector, bundled: Server, tab: OpenTab) -> None:
    cart = new_cart(bundled, **{"eggs": 2, "a really very long name of something to buy " * 2: 1})
    with tab() as opened:
        view = inspector.show(opened.page, bundled, "cart_show", {"cartId": cart})
        inspector.narrow(opened.page, PHONE)
        expect(quantity(view, "eggs")).to_be_visible()
        until(lambda: view.locator("html").evaluate("page => innerWidth") == PHONE, "the narrow frame")
        assert fits(view)


def test_the_cart_works_in_sunpeak(bundled: Server, sunpeak: Sunpeak, tab: OpenTab) -> None:
    with tab() as opened:
        view = sunpeak.show(opened.page, "cart_show", theme="light")
        expect(view.get_by_text("Your cart is empty")).to_be_visible()
        add(view, "milk")
        expect(view.locator("[data-busy=false]")).to_be_visible()
        expect(quantity(view, "milk")).to_have_value("1")


WAYS = {
    "the bridge": {"bridge": True, "openai": False},
    "window.openai": {"bridge": False, "openai": True},
    "both": {"bridge": True, "openai": True},
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Json:
    """What a host offers to the pages in it."""
    return WAYS[request.param]


def test_the_cart_works_under_a_strict_policy(bundled: Server, minimal: MakeHost, tab: OpenTab, way: Json) -> None:
    cart = new_cart(bundled, eggs=2)
    with tab() as opened:
        host = minimal(opened.page, bundled, "cart_show", {"cartId": cart}, **way)
        view = host.open()
        expect(quantity(view, "eggs")).to_have_value("2")
        add(view, "milk")
        until(lambda: kept(bundled, cart) == {"eggs": 2, "milk": 1}, "the milk in the cart")
        heading = view.get_by_role("heading", name="Shopping cart")
        for theme in ("dark", "light"):
            host.set_theme(theme)
            expect_theme(heading, theme)
            opened.shoot(theme)


def test_ticks_and_a_draft_outlive_the_page_in_chatgpt(bundled: Server, minimal: MakeHost, tab: OpenTab) -> None:
    cart = new_cart(bundled, eggs=2, milk=1)
    with tab() as opened:
        host = minimal(opened.page, bundled, "cart_show", {"cartId": cart}, openai=True)
        view = host.open()
        view.get_by_role("checkbox", name="eggs").check()
        view.get_by_role("textbox", name="Item").fill("bread")

        def state() -> Json:
            return view.evaluate("window.openai.widgetState") or {}

        until(lambda: state().get("privateContent", {}).get("draft", {}).get("name") == "bread", "the state")
        assert state()["modelContent"] == {"tickedOff": ["eggs"]}
        view = host.open(widgetState=state())
        expect(view.get_by_role("checkbox", name="eggs")).to_be_checked()
        expect(view.get_by_role("checkbox", name="milk")).not_to_be_checked()
        expect(view.get_by_role("textbox", name="Item")).to_have_value("bread")


def test_the_model_hears_of_ticks_over_the_bridge(bundled: Server, minimal: MakeHost, tab: OpenTab) -> None:
    cart = new_cart(bundled, eggs=2)
    with tab() as opened:
        host = minimal(opened.page, bundled, "cart_show", {"cartId": cart})
        host.open().get_by_role("checkbox", name="eggs").check()
        until(lambda: "eggs" in str(host.heard("ui/update-model-context")[-1:]), "the tick in the model's context")


def test_the_cart_needs_no_mouse(bundled: Server, minimal: MakeHost, tab: OpenTab) -> None:
    cart = new_cart(bundled, eggs=2)
    with tab() as opened:
        keyboard = opened.page.keyboard
        view = minimal(opened.page, bundled, "cart_show", {"cartId": cart}).open()
        reach(opened.page, view.get_by_role("textbox", name="Item"))
        keyboard.type("milk")
        keyboard.press("Enter")
        until(lambda: kept(bundled, cart) == {"eggs": 2, "milk": 1}, "the milk in the cart")
        reach(opened.page, quantity(view, "milk"))
        keyboard.type("5")
        keyboard.press("Enter")
        until(lambda: kept(bundled, cart) == {"eggs": 2, "milk": 5}, "five bottles in the cart")
        reach(opened.page, view.get_by_role("button", name="One less: milk"))
        keyboard.press("Space")
        until(lambda: kept(bundled, cart) == {"eggs": 2, "milk": 4}, "four bottles in the cart")
        reach(opened.page, view.get_by_role("button", name="Remove milk"))
        keyboard.press("Enter")
        until(lambda: kept(bundled, cart) == {"eggs": 2}, "the cart without milk")
        expect(item(view, "milk")).to_have_count(0)
        # Whoever works by keyboard goes on from where he was.
        expect(view.get_by_role("button", name="Remove eggs")).to_be_focused()


# The connectors


def row(view: View, id: str) -> Locator:
    return view.locator(f"[data-connector={id}]")


def run_sample(view: View) -> str:
    """Finds a connector, has its sample run, and gives the id of the request that did it."""
    view.get_by_role("searchbox", name="Filter connectors").fill("machine")
    machine = row(view, "machine")
    sample = machine.get_by_test_id("sample")

    def runs() -> bool:
        machine.get_by_role("button", name=re.compile("^Run sample of ")).click()
        return sample.is_visible()

    # A host moves the frame while its height follows the rows, and a click beside the frame is lost without a word.
    until(runs, "a click that runs the sample")
    expect(sample).to_contain_text("OK")
    expect(machine.get_by_test_id("sample-output")).not_to_be_empty()
    return machine.get_by_test_id("request-id").inner_text()


def calls(server: Server, id: str) -> int:
    """How often a connector was called, as another client is told."""
    connectors = call(server, "show_connectors")["structuredContent"]["connectors"]
    return next(connector["calls"] for connector in connectors if connector["id"] == id)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_connectors_are_shown_and_tried_in_the_inspector(
    inspector: Inspector, bundled: Server, tab: OpenTab, theme: str
) -> None:
    before = calls(bundled, "machine")
    with tab(theme=theme) as opened:
        view = inspector.show(opened.page, bundled, "show_connectors")
        expect_theme(view.get_by_role("heading", name="Connectors"), theme)
        opened.shoot("first")
        assert uuid.UUID(run_sample(view))
        expect(row(view, "machine").get_by_text("Up", exact=True)).to_be_visible()
        assert calls(bundled, "machine") == before + 1


def test_the_connectors_fit_a_phone_in_the_inspector(inspector: Inspector, bundled: Server, tab: OpenTab) -> None:
    with tab() as opened:
        view = inspector.show(opened.page, bundled, "show_connectors")
        inspector.narrow(opened.page, PHONE)
        run_sample(view)
        until(lambda: view.locator("html").evaluate("page => innerWidth") == PHONE, "the narrow frame")
        assert fits(view)


def test_the_connectors_work_in_sunpeak(bundled: Server, sunpeak: Sunpeak, tab: OpenTab) -> None:
    with tab(theme="dark") as opened:
        view = sunpeak.show(opened.page, "show_connectors", theme="dark")
        assert uuid.UUID(run_sample(view))


def test_the_connectors_work_under_a_strict_policy(bundled: Server, minimal: MakeHost, tab: OpenTab, way: Json) -> None:
    with tab() as opened:
        host = minimal(opened.page, bundled, "show_connectors", {}, **way)
        view = host.open()
        assert uuid.UUID(run_sample(view))
        heading = view.get_by_role("heading", name="Connectors")
        for theme in ("dark", "light"):
            host.set_theme(theme)
            expect_theme(heading, theme)
            opened.shoot(theme)


# The connectors without a host


def dashboard(server: Server) -> str:
    return f"{server.base}/apps/chatgpt-dashboard/"


def test_the_dashboard_shows_and_tries_the_connectors(bundled: Server, tab: OpenTab) -> None:
    with tab() as opened:
        page = opened.page
        policy = page.goto(dashboard(bundled)).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        shown = {connector["id"] for connector in call(bundled, "show_connectors")["structuredContent"]["connectors"]}
        expect(page.get_by_test_id("connector")).to_have_count(len(shown))
        assert {one.get_attribute("data-connector") for one in page.get_by_test_id("connector").all()} == shown
        opened.shoot("first")
        before = calls(bundled, "machine")
        request = run_sample(page.main_frame)
        assert calls(bundled, "machine") == before + 1
        bundled.says(request)
        assert fits(page.main_frame)


def test_the_dashboard_follows_the_connectors(tmp_path: Path, tab: OpenTab) -> None:
    with serving_bundled(tmp_path) as server, tab(theme="dark", width=PHONE) as opened:
        page = opened.page
        page.goto(dashboard(server))
        expect(row(page.main_frame, "machine")).to_have_attribute("data-state", "up")
        opened.shoot("before")
        file = server.manifests.folder / "machine.json"
        manifest = json.loads(file.read_text())
        server.manifests.replace(file, json.dumps(manifest | {"enabled": False}))
        expect(row(page.main_frame, "machine")).to_have_attribute("data-state", "disabled")
        server.manifests.replace(file, json.dumps(manifest))
        expect(row(page.main_frame, "machine")).to_have_attribute("data-state", "up")
        assert fits(page.main_frame)


def test_a_key_locks_the_dashboard(tmp_path: Path, tab: OpenTab) -> None:
    with serving_bundled(tmp_path, CONNECTORS_API_KEY="open sesame") as server:
        for path in ("/apps/chatgpt-dashboard/", "/v1/connectors/stream"):
            refused = Wire(server.base).send("GET", path)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"].count("Basic realm=") == 1
            assert refused.json()["detail"].startswith("[Switchboard] ")
        with tab(http_credentials={"username": "anyone", "password": "open sesame"}) as opened:
            opened.page.goto(dashboard(server))
            expect(row(opened.page.main_frame, "machine")).to_be_visible()
            assert uuid.UUID(run_sample(opened.page.main_frame))


# Both


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everybody_can_use_the_cart(bundled: Server, minimal: MakeHost, tab: OpenTab, theme: str) -> None:
    cart = new_cart(bundled, eggs=2, milk=1)
    with tab(theme=theme) as opened:
        view = minimal(opened.page, bundled, "cart_show", {"cartId": cart}, theme=theme).open()
        view.get_by_role("checkbox", name="eggs").check()
        view.get_by_role("button", name="Remove milk").click()
        expect(view.get_by_role("button", name="Undo")).to_be_visible()
        assert barriers(view) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everybody_can_use_the_connectors(bundled: Server, minimal: MakeHost, tab: OpenTab, theme: str) -> None:
    with tab(theme=theme) as opened:
        view = minimal(opened.page, bundled, "show_connectors", {}, theme=theme).open()
        run_sample(view)
        row(view, "machine").locator("[aria-expanded]").click()
        expect(row(view, "machine").get_by_test_id("details")).to_be_visible()
        assert barriers(view) == []


@pytest.mark.parametrize("page", ["connectors", "shopping-cart"])
def test_a_page_is_light(page: str) -> None:
    assert (PAGES / f"{page}.html").stat().st_size <= HEAVIEST


# Pages of other servers


def test_a_page_of_another_server_works_in_the_inspector(inspector: Inspector, examples: Server, tab: OpenTab) -> None:
    with tab(excused=ASKS_FOR_EVAL) as opened:
        view = inspector.show(opened.page, examples, CLOCK)
        time = view.locator("#server-time")
        expect(time).to_contain_text("Z")
        before = time.inner_text()
        view.get_by_role("button", name="Get Server Time").click()
        expect(time).not_to_have_text(before)


def test_a_chart_of_another_server_is_drawn_in_the_inspector(
    inspector: Inspector, examples: Server, tab: OpenTab
) -> None:
    with tab(theme="dark", excused=ASKS_FOR_EVAL) as opened:
        view = inspector.show(opened.page, examples, BUDGET)
        expect(view.get_by_text("Allocated: $100,000 / $100,000")).to_be_visible()
        view.get_by_role("combobox").first.select_option(label="$500,000")
        expect(view.get_by_text("Allocated: $500,000 / $500,000")).to_be_visible()


def test_a_page_of_another_server_works_in_a_minimal_host(examples: Server, minimal: MakeHost, tab: OpenTab) -> None:
    with tab(excused=ASKS_FOR_EVAL) as opened:
        frame = minimal(opened.page, examples, CLOCK, {}).open()
        time = frame.locator("#server-time")
        expect(time).to_contain_text("Z")
        before = time.inner_text()
        frame.get_by_role("button", name="Get Server Time").click()
        expect(time).not_to_have_text(before)
