"""Pages: where they come from, where they may not come from, and how an address goes on meaning what it meant."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

import harness
from harness import BINARY, Server, until
from session import over_http
from test_exchange import listener
from test_manifests import BUNDLED, check
from test_surface import (
    PAGE_TYPE,
    PUBLIC,
    WIDGETS,
    Folder,
    Raw,
    Refused,
    call,
    manifests_of,
    page_of,
    read,
    resources,
    tools,
    wire_to,
)
from wire import Json

OWN = "<!doctype html><title>Own</title><p>of one's own</p>"


def board(page: str, **more: Any) -> Json:
    """A connector with one tool that shows this page."""
    tool = {"name": "show", "description": "Use this to see the board.", "widget": {"page": page}, "run": {}}
    adapter = {"kind": "command", "program": "true"}
    return {"id": "board", "name": "Board", "version": "1.0.0", "adapter": adapter, "tools": [tool], **more}


def problems(manifests: Folder, **env: str) -> list[Json]:
    return check(manifests.folder, **manifests.env, **env)["problems"]


def raw(server: Server) -> Raw:
    return Raw(server, "somebody")


# Pages of one's own


@pytest.mark.parametrize(
    "place", ["own.html", "./own.html", "pages/own.html", "pages/deep/own.html", "ünï cödé/own.html"]
)
def test_a_page_beside_its_manifest_is_shown(tmp_path: Path, place: str) -> None:
    manifests = manifests_of(tmp_path, board(place))
    (manifests.folder / place).parent.mkdir(parents=True, exist_ok=True)
    (manifests.folder / place).write_text(OWN)
    with harness.serve(manifests) as server:
        page = read(raw(server), page_of(raw(server), "board_show"))
        assert (page["mimeType"], page["text"]) == (PAGE_TYPE, OWN)
    assert problems(manifests) == []


def test_a_page_of_the_whole_connector_shows_all_tools_that_have_no_other(tmp_path: Path) -> None:
    connector = board("own.html", widget={"page": "./other.html"})
    [own] = connector["tools"]
    plain = {name: value for name, value in own.items() if name != "widget"}
    elsewhere = own | {"name": "elsewhere", "widget": {"template": "ui://elsewhere/page.html"}}
    connector["tools"] += [plain | {"name": "plain"}, plain | {"name": "bare", "widget": {}}, elsewhere]
    manifests = manifests_of(tmp_path, connector)
    for name in ("own", "other"):
        (manifests.folder / f"{name}.html").write_text(OWN)
    with harness.serve(manifests) as server:
        pages = {name: page_of(raw(server), f"board_{name}") for name in ("show", "plain", "bare", "elsewhere")}
    assert pages["elsewhere"] == "ui://elsewhere/page.html" and pages["plain"] == pages["bare"]
    assert pages["show"].startswith("ui://board/own-") and pages["plain"].startswith("ui://board/other-")


@pytest.fixture
def outside(tmp_path: Path) -> Folder:
    """Manifests, with pages around them that are none of theirs."""
    manifests = manifests_of(tmp_path)
    (tmp_path / "secret.html").write_text("<p>secret</p>")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/secret.html").write_text("<p>secret</p>")
    (manifests.folder / "link.html").symlink_to(tmp_path / "secret.html")
    (manifests.folder / "linked").symlink_to(tmp_path / "secrets")
    (manifests.folder / "pages").mkdir()
    (manifests.folder / "folder.html").mkdir()
    os.mkfifo(manifests.folder / "pipe.html")
    (manifests.folder / "large.html").write_text("<!doctype html>" + "x" * (4 << 20))
    return manifests


ESCAPES = [
    "../secret.html",
    "pages/../../secret.html",
    "./../secret.html",
    "{home}/secret.html",
    "/etc/hostname",
    "file://{home}/secret.html",
    "..\\secret.html",
    "link.html",
    "linked/secret.html",
    "folder.html",
    "pipe.html",
    "large.html",
    "missing.html",
    "own.html\u0000",
]


@pytest.mark.parametrize("place", ESCAPES)
def test_a_page_from_elsewhere_is_refused_and_its_place_named(outside: Folder, tmp_path: Path, place: str) -> None:
    outside.put(board(place.replace("{home}", str(tmp_path))))
    found = [problem for problem in problems(outside) if problem["pointer"] == "/tools/0/widget/page"]
    assert len(found) == 1 and found[0]["line"] > 1 and found[0]["column"] > 1, problems(outside)
    assert "secret" not in found[0]["message"].replace("secret.html", "").replace("secrets", "")
    with harness.serve(outside) as server:
        assert resources(raw(server)) == {}


@pytest.mark.parametrize("place", ["../secret.html", "link.html"])
def test_a_page_of_the_whole_connector_may_not_come_from_elsewhere_either(outside: Folder, place: str) -> None:
    connector = board("own.html", widget={"page": place})
    del connector["tools"][0]["widget"]
    outside.put(connector)
    assert [problem["pointer"] for problem in problems(outside)] in (["/widget/page"], ["/tools/0/widget/page"])


@pytest.mark.parametrize(
    ("name", "meant"),
    [("shoping-cart", "shopping-cart"), ("Shopping-Cart", "shopping-cart"), ("connector", "connectors")],
)
def test_an_unknown_page_is_an_error_that_says_what_was_probably_meant(tmp_path: Path, name: str, meant: str) -> None:
    manifests = manifests_of(tmp_path, board(name))
    [problem] = problems(manifests)
    assert problem["pointer"] == "/tools/0/widget/page" and problem["severity"] == "error"
    assert f"`{name}`" in problem["message"] and f"`{meant}`" in problem["message"]
    assert (problem["line"], problem["column"]) > (1, 1)


def test_a_tool_whose_page_is_missing_still_works_without_it(tmp_path: Path) -> None:
    with harness.serve(manifests_of(tmp_path, board("missing.html"))) as server:
        meta = tools(raw(server))["board_show"]["_meta"]
        assert "resourceUri" not in meta.get("ui", {}) and "openai/outputTemplate" not in meta
        assert not call(raw(server), "board_show").get("isError")


# Versions


@contextmanager
def bundle_of(home: Path, **pages: str) -> Iterator[tuple[Folder, Path]]:
    """A folder of pages that replaces the built ones, and a connector that shows its page `board`."""
    bundle = home / "bundle"
    bundle.mkdir()
    for name, html in pages.items():
        (bundle / f"{name}.html").write_text(html)
    yield manifests_of(home, board("board"), APPS_BUNDLE_DIR=str(bundle)), bundle


def page(version: object) -> str:
    return f"<!doctype html><title>Board</title><p>version {version}</p>"


def replace(file: Path, text: str) -> None:
    """Writes a page whole, as a build does: beside it, then over it."""
    draft = file.with_suffix(".draft")
    draft.write_text(text)
    draft.rename(file)


def change(server: Server, file: Path, version: object) -> str:
    """Gives the page another version; its new address."""
    before = page_of(raw(server), "board_show")
    replace(file, page(version))
    until(lambda: page_of(raw(server), "board_show") != before, f"version {version}: {server.log}")
    return page_of(raw(server), "board_show")


def test_a_folder_of_pages_replaces_the_built_ones(tmp_path: Path) -> None:
    with bundle_of(tmp_path, board=page(1)) as (manifests, _), harness.serve(manifests) as server:
        uri = page_of(raw(server), "board_show")
        assert read(raw(server), uri)["text"] == page(1)
        manifests.put(board("shopping-cart"))
        [problem] = problems(manifests)
        assert "`shopping-cart`" in problem["message"]


def test_a_folder_of_pages_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    manifests = manifests_of(tmp_path, WIDGETS / "board", APPS_BUNDLE_DIR=str(tmp_path / "nowhere"))
    command = [BINARY, "serve", "--port", "0", "--manifests", str(manifests.folder)]
    done = subprocess.run(command, env={**os.environ, **manifests.env}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "nowhere" in done.stderr and "APPS_BUNDLE_DIR" in done.stderr


@pytest.mark.parametrize("how", ["environment", "option", "settings"])
def test_the_folder_of_pages_is_named_like_any_setting(tmp_path: Path, how: str) -> None:
    with bundle_of(tmp_path, board=page(1)) as (manifests, bundle):
        del manifests.more["APPS_BUNDLE_DIR"]
        settings = tmp_path / "settings.json"
        settings.write_text(json.dumps({"appsBundleDir": str(bundle)}))
        arguments = {"option": ["--apps-bundle-dir", str(bundle)], "settings": ["--config", str(settings)]}.get(how, [])
        env = {"APPS_BUNDLE_DIR": str(bundle)} if how == "environment" else {}
        with harness.serve(manifests, *arguments, env=env) as server:
            assert read(raw(server), page_of(raw(server), "board_show"))["text"] == page(1)


@pytest.mark.parametrize("beside", [False, True], ids=["in-the-bundle", "beside-the-manifest"])
def test_an_edit_gives_a_page_a_new_address_and_says_so_and_the_old_one_goes_on(tmp_path: Path, beside: bool) -> None:
    with bundle_of(tmp_path, board=page(1)) as (manifests, bundle):
        file = bundle / "board.html"
        if beside:
            file = manifests.folder / "pages" / "board.html"
            file.parent.mkdir()
            file.write_text(page(1))
            manifests.put(board("pages/board.html"))
        with ExitStack() as open_streams:
            server = open_streams.enter_context(harness.serve(manifests))
            session = open_streams.enter_context(over_http(server.url, capabilities={}))
            heard = open_streams.enter_context(listener(server, toolsListChanged=True, resourcesListChanged=True))
            until(lambda: session.standing, "the stream for what the server says unasked")
            first = page_of(raw(server), "board_show")
            second = change(server, file, 2)
            for kind in ("tools", "resources"):
                method = f"notifications/{kind}/list_changed"
                until(lambda kind=kind: session.notifications(f"{kind}/list_changed"), f"{method} in the session")
                until(lambda method=method: any(said.get("method") == method for said in heard), f"{method} elsewhere")
            assert list(resources(raw(server))) == [second]
            assert [read(raw(server), uri)["text"] for uri in (first, second)] == [page(1), page(2)]
            assert read(raw(server), first)["uri"] == first
            assert read(raw(server), first)["_meta"] == read(raw(server), second)["_meta"]
            # What it was is where it was.
            assert change(server, file, 1) == first


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=["orderly", "sudden"])
def test_an_old_address_goes_on_after_a_restart(tmp_path: Path, end: signal.Signals) -> None:
    with bundle_of(tmp_path, board=page(1)) as (manifests, bundle):
        with harness.serve(manifests) as server:
            first = page_of(raw(server), "board_show")
            second = change(server, bundle / "board.html", 2)
            server.process.send_signal(end)
            server.process.wait(harness.PATIENCE)
        replace(bundle / "board.html", page(3))
        with harness.serve(manifests) as server:
            third = page_of(raw(server), "board_show")
            assert [read(raw(server), uri)["text"] for uri in (first, second, third)] == [page(1), page(2), page(3)]
            assert list(resources(raw(server))) == [third]
        # Another process that shares the data folder knows them too.
        with harness.serve(manifests) as server:
            assert read(raw(server), first)["text"] == page(1)


def test_only_the_last_five_versions_are_kept(tmp_path: Path) -> None:
    with bundle_of(tmp_path, board=page(0)) as (manifests, bundle), harness.serve(manifests) as server:
        uris = [page_of(raw(server), "board_show")]
        uris += [change(server, bundle / "board.html", version) for version in range(1, 8)]

        def kept() -> list[int]:
            return [version for version, uri in enumerate(uris) if says(uri, page(version))]

        def says(uri: str, html: str) -> bool:
            try:
                return read(raw(server), uri)["text"] == html
            except Refused:
                return False

        # The oldest goes once the newest is safe.
        until(lambda: 2 not in kept(), "the oldest to go")
        assert kept() == [3, 4, 5, 6, 7]


def test_what_is_said_of_a_page_makes_another_version_of_it_too(tmp_path: Path) -> None:
    with bundle_of(tmp_path, board=page(1)) as (manifests, _), harness.serve(manifests) as server:
        first = page_of(raw(server), "board_show")
        manifests.put(board("board", pages={"board": {"csp": {"connectDomains": ["https://a.example"]}}}))
        until(lambda: page_of(raw(server), "board_show") != first, "the new address")
        listed = resources(raw(server))[page_of(raw(server), "board_show")]
        assert listed["_meta"]["ui"]["csp"]["connectDomains"] == ["https://a.example"]


def test_a_page_half_written_or_gone_does_not_take_the_last_good_one_away(tmp_path: Path) -> None:
    with (
        bundle_of(tmp_path, board=page(1), other=page("other")) as (manifests, bundle),
        harness.serve(manifests) as server,
    ):
        first = page_of(raw(server), "board_show")
        (bundle / "board.html").unlink()
        (bundle / "other.html").write_text("<p>changed, so that the folder is read again</p>")
        server.says("board", "page")
        assert read(raw(server), first)["text"] == page(1)


# Assets


SCRIPT = "export const answer = 42;\n"
USES = '<!doctype html><link rel="stylesheet" href="/assets/look/style.css"><script type="module" src="/assets/app.js"></script><p>see /assets/none.js</p>'


@pytest.fixture(params=[False, True], ids=["local", "public"])
def assets(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Server, str]]:
    """A server with assets, and the address they are found at."""
    with bundle_of(tmp_path, board=USES) as (manifests, bundle):
        (bundle / "assets/look").mkdir(parents=True)
        (bundle / "assets/app.js").write_text(SCRIPT)
        (bundle / "assets/look/style.css").write_text("p { color: teal }")
        (tmp_path / "secret.txt").write_text("secret")
        (bundle / "assets/link.txt").symlink_to(tmp_path / "secret.txt")
        (bundle / "assets/.hidden").write_text("secret")
        arguments = ["--public-url", PUBLIC] if request.param else []
        with harness.serve(manifests, *arguments) as server:
            yield server, PUBLIC if request.param else server.base


def addresses(server: Server, base: str) -> dict[str, str]:
    """The addresses a page loads its assets from, by their ending."""
    html = read(raw(server), page_of(raw(server), "board_show"))["text"]
    found = [part.split('"')[0] for part in html.split(f'"{base}')[1:]]
    return {address.rsplit(".")[-1]: address for address in found}


def test_a_page_loads_its_assets_from_where_they_are(assets: tuple[Server, str]) -> None:
    server, base = assets
    found = addresses(server, base)
    assert set(found) == {"js", "css"}
    page = read(raw(server), page_of(raw(server), "board_show"))
    assert "/assets/app.js" not in page["text"] and "see /assets/none.js" in page["text"]
    origin = "/".join(base.split("/")[:3])
    assert page["_meta"]["ui"]["csp"]["resourceDomains"] == [origin]
    assert page["_meta"]["openai/widgetCSP"]["resource_domains"] == [origin]


def test_an_asset_is_served_for_ever_and_to_every_origin(assets: tuple[Server, str]) -> None:
    server, base = assets
    wire, address = wire_to(server.base), addresses(server, base)["js"]
    got = wire.send("GET", address, headers={"Accept": "*/*", "Origin": "https://web-sandbox.example"})
    assert (got.status_code, got.text) == (200, SCRIPT)
    assert got.headers["content-type"].startswith("text/javascript")
    assert "immutable" in got.headers["cache-control"] and "max-age=31536000" in got.headers["cache-control"]
    assert got.headers["access-control-allow-origin"] == "*"
    assert got.headers["x-content-type-options"] == "nosniff"
    if base == PUBLIC:
        assert wire.send("GET", f"/prefix{address}", headers={"Host": "gateway.example"}).text == SCRIPT
    head = wire.send("HEAD", address, headers={"Accept": "*/*"})
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(SCRIPT))
    assert head.headers["content-type"] == got.headers["content-type"]
    style = wire.send("GET", addresses(server, base)["css"])
    assert style.headers["content-type"].startswith("text/css") and "teal" in style.text


UNKNOWN = [
    "/assets/",
    "/assets/app-000000000000.js",
    "/assets/none.js",
    "/assets/../board.html",
    "/assets/..%2fboard.html",
    "/assets/%2e%2e/%2e%2e/secret.txt",
    "/assets/..%5c..%5csecret.txt",
    "/assets//etc/hostname",
    "/assets/%2fetc%2fhostname",
    "/assets/look",
    "/assets/link.txt",
    "/assets/.hidden",
    "/assets/app.js%00",
]


@pytest.mark.parametrize("path", UNKNOWN)
def test_what_is_no_asset_is_not_served(assets: tuple[Server, str], path: str) -> None:
    server, _ = assets
    host, port = server.base.removeprefix("http://").split(":")
    # By hand, since clients tidy such paths up.
    with socket.create_connection((host, int(port)), harness.PATIENCE) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 404") or answer.startswith(b"HTTP/1.1 400"), answer
    assert b"secret" not in answer and b"version" not in answer


def test_a_new_asset_gives_its_pages_a_new_address(tmp_path: Path) -> None:
    with bundle_of(tmp_path, board=USES) as (manifests, bundle):
        (bundle / "assets/look").mkdir(parents=True)
        (bundle / "assets/look/style.css").write_text("")
        (bundle / "assets/app.js").write_text(SCRIPT)
        with harness.serve(manifests) as server:
            first, old = page_of(raw(server), "board_show"), addresses(server, server.base)["js"]
            replace(bundle / "assets/app.js", SCRIPT.replace("42", "43"))
            until(lambda: page_of(raw(server), "board_show") != first, "the new address")
            new = addresses(server, server.base)["js"]
            assert new != old and "43" in wire_to(server.base).send("GET", new).text


def test_an_old_page_still_finds_its_assets(tmp_path: Path) -> None:
    with bundle_of(tmp_path, board=USES) as (manifests, bundle):
        (bundle / "assets/look").mkdir(parents=True)
        (bundle / "assets/look/style.css").write_text("")
        (bundle / "assets/app.js").write_text(SCRIPT)
        with harness.serve(manifests) as server:
            first, old = page_of(raw(server), "board_show"), addresses(server, server.base)["js"]
            replace(bundle / "assets/app.js", "changed")
            until(lambda: page_of(raw(server), "board_show") != first, "the new address")
            assert old in read(raw(server), first)["text"]
            assert wire_to(server.base).send("GET", old).text == SCRIPT


# What check says of pages


def with_body(body: str) -> str:
    return f"<!doctype html><title>Board</title>{body}"


WARNINGS: list[tuple[str, str, Json, str | None]] = [
    ("a script from elsewhere", '<script src="https://cdn.example/a.js"></script>', {}, "cdn.example"),
    (
        "a script that is allowed",
        '<script src="https://cdn.example/a.js"></script>',
        {"resourceDomains": ["https://cdn.example"]},
        None,
    ),
    (
        "a host below one that is allowed",
        '<img src="https://a.images.example/a.png">',
        {"resourceDomains": ["https://*.images.example"]},
        None,
    ),
    (
        "a style from elsewhere",
        '<link rel="stylesheet" href="https://fonts.example/a.css">',
        {"connectDomains": ["https://fonts.example"]},
        "fonts.example",
    ),
    (
        "a frame from elsewhere",
        '<iframe src="https://frame.example/"></iframe>',
        {"resourceDomains": ["https://frame.example"]},
        "frame.example",
    ),
    (
        "a frame that is allowed",
        '<iframe src="https://frame.example/"></iframe>',
        {"frameDomains": ["https://frame.example"]},
        None,
    ),
    ("a relative script", '<script src="app.js"></script>', {}, "app.js"),
    ("a relative script at the root", '<script src="/app.js"></script>', {}, "app.js"),
    ("a relative picture", '<img src="./img/logo.png" alt="">', {}, "logo.png"),
    ("data is part of the page", '<img src="data:image/png;base64,AA==" alt="">', {}, None),
    ("a link goes nowhere by itself", '<a href="https://elsewhere.example/">go</a>', {}, None),
    ("a comment loads nothing", "<!-- <script src='https://cdn.example/a.js'></script> -->", {}, None),
    ("without the scheme", '<script src="//cdn.example/a.js"></script>', {}, "cdn.example"),
    (
        "a style sheet inside",
        "<style>@import url('https://cdn.example/a.css'); p { background: url(https://cdn.example/p.png) }</style>",
        {},
        "cdn.example",
    ),
]


@pytest.mark.parametrize(("body", "csp", "word"), [case[1:] for case in WARNINGS], ids=[case[0] for case in WARNINGS])
def test_check_warns_of_what_a_page_loads_and_may_not(tmp_path: Path, body: str, csp: Json, word: str | None) -> None:
    manifests = manifests_of(tmp_path, board("own.html", pages={"own.html": {"csp": csp}}))
    (manifests.folder / "own.html").write_text(with_body(body))
    found = problems(manifests)
    assert all(problem["severity"] == "warning" and problem["line"] > 1 for problem in found), found
    if word is None:
        assert found == []
    else:
        assert any(word in problem["message"] for problem in found), found


def test_check_warns_of_a_template_that_nobody_has(tmp_path: Path) -> None:
    connector = board("own.html")
    connector["tools"][0]["widget"] = {"template": "ui://board/nobody.html"}
    manifests = manifests_of(tmp_path, connector)
    [problem] = problems(manifests)
    assert problem["severity"] == "warning" and "ui://board/nobody.html" in problem["message"]
    assert problem["pointer"] == "/tools/0/widget/template" and problem["line"] > 1


@pytest.mark.parametrize(
    ("csp", "pointer"),
    [
        ({"connectDomains": ["api.example"]}, "/pages/own.html/csp/connectDomains/0"),
        ({"resourceDomains": ["https://a.example", "https://b.example/path"]}, "/pages/own.html/csp/resourceDomains/1"),
        ({"frameDomains": ["*"]}, "/pages/own.html/csp/frameDomains/0"),
        ({"connectDomains": ["https://a.example; script-src *"]}, "/pages/own.html/csp/connectDomains/0"),
        ({"scriptDomains": []}, "/pages/own.html/csp/scriptDomains"),
    ],
)
def test_a_policy_is_made_of_origins(tmp_path: Path, csp: Json, pointer: str) -> None:
    manifests = manifests_of(tmp_path, board("own.html", pages={"own.html": {"csp": csp}}))
    (manifests.folder / "own.html").write_text(OWN)
    assert pointer in [problem["pointer"] for problem in problems(manifests)]


def test_pages_that_nobody_shows_are_pointed_out(tmp_path: Path) -> None:
    manifests = manifests_of(tmp_path, board("own.html", pages={"owm.html": {"title": "Own"}}))
    (manifests.folder / "own.html").write_text(OWN)
    [problem] = problems(manifests)
    assert problem["pointer"] == "/pages/owm.html" and problem["severity"] == "warning"


def test_check_has_no_objection_to_assets(tmp_path: Path) -> None:
    with bundle_of(tmp_path, board=USES) as (manifests, bundle):
        (bundle / "assets/look").mkdir(parents=True)
        (bundle / "assets/look/style.css").write_text("")
        (bundle / "assets/app.js").write_text(SCRIPT)
        assert [problem for problem in problems(manifests) if problem["severity"] == "error"] == []


@pytest.mark.parametrize("sources", [[WIDGETS / "board"], [BUNDLED / "cart.json", BUNDLED / "switchboard.json"]])
def test_the_pages_there_are_are_without_fault(tmp_path: Path, sources: list[Path]) -> None:
    assert problems(manifests_of(tmp_path, *sources)) == []
