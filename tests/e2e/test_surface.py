"""What hosts with a user interface are told: pages and the tools that show them, to both families of hosts alike.

The standard says `ui`, ChatGPT says `openai/…`; a host reads one of the two and must find the whole of it.
"""

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, Protocol

import mcp
import mcp_types
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from mcp.client.streamable_http import streamable_http_client

import harness
from clients import stdio_arguments
from harness import BINARY, FIXTURES, Manifests, Server, until
from session import over_http
from wire import INITIALIZE, META, Json, Wire, error, messages, result

WIDGETS = FIXTURES / "widgets"
PAGE_TYPE = "text/html;profile=mcp-app"
HOUR_MS = 3_600_000
DOORS = ["sdk-http", "sdk-stdio", "raw-2026-07-28"]


# Gateways and their doors, for all suites about widgets


@dataclass
class Folder(Manifests):
    """Manifests of a test's own, with a data folder beside them."""

    folder: Path
    upstream_url: str = ""
    more: dict[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        return self.folder.parent / "data"

    @property
    def env(self) -> dict[str, str]:
        return {"SWITCHBOARD_DATA_DIR": str(self.data), **self.more}

    def put(self, connector: Json) -> Path:
        """Writes a manifest named after its connector."""
        file = self.folder / f"{connector['id']}.json"
        self.replace(file, json.dumps(connector, indent=2))
        return file

    def get(self, id: str) -> Json:
        return json.loads((self.folder / f"{id}.json").read_text())


def manifests_of(home: Path, *sources: Path | Json, **env: str) -> Folder:
    """A folder of manifests in `home`: copies of files or of whole folders, and connectors as they are given."""
    manifests = Folder(home / "manifests", more=env)
    manifests.folder.mkdir(parents=True)
    for source in sources:
        if isinstance(source, dict):
            manifests.put(source)
        elif source.is_dir():
            shutil.copytree(source, manifests.folder, dirs_exist_ok=True)
        else:
            shutil.copy(source, manifests.folder)
    return manifests


class Refused(Exception):
    """A JSON-RPC error, as opposed to a result that is one."""


class Door(Protocol):
    """A connected client of either era; values have the shape they have on the wire."""

    def ask(self, method: str, params: Json | None = None) -> Json: ...


class Sdk:
    """The Python SDK's client of the handshake era."""

    def __init__(self, client: mcp.Client, portal: BlockingPortal) -> None:
        self.client, self.portal = client, portal

    def ask(self, method: str, params: Json | None = None) -> Json:
        params = params or {}
        meta = params.get("_meta")
        match method:
            case "initialize":
                return {"instructions": self.client.instructions}
            case "tools/list":
                call = partial(self.client.list_tools, cache_mode="bypass", meta=meta)
            case "resources/list":
                call = partial(self.client.list_resources, cache_mode="bypass", meta=meta)
            case "resources/read":
                call = partial(self.client.read_resource, params["uri"], cache_mode="bypass", meta=meta)
            case "tools/call":
                call = partial(self.client.call_tool, params["name"], params.get("arguments"), meta=meta)
            case _:
                raise AssertionError(method)
        try:
            answer = self.portal.call(call)
        except mcp.MCPError as refusal:
            raise Refused(refusal.message) from refusal
        # What the server left out stays out, and what it said to be null stays null.
        return answer.model_dump(mode="json", by_alias=True, exclude_unset=True)


@cache
def wire_to(base: str) -> Wire:
    """One client for all requests to a server; making one takes longer than most requests."""
    return Wire(base)


class Raw:
    """Requests of 2026-07-28 by hand, each of which stands alone."""

    def __init__(self, server: Server, client: str) -> None:
        self.wire = wire_to(server.base)
        self.meta = META | {"io.modelcontextprotocol/clientInfo": {"name": client, "version": "1.0.0"}}

    def ask(self, method: str, params: Json | None = None) -> Json:
        params = params or {}
        name = {"Mcp_Name": params["uri"]} if "uri" in params else {}
        response = self.wire.modern(method, {**params, "_meta": self.meta | params.get("_meta", {})}, **name)
        [answer] = [message for message in messages(response) if message.get("id") == 1]
        if "error" in answer:
            raise Refused(error(response)["message"])
        return result(response)


@contextmanager
def door(kind: str, server: Server, client: str = "somebody") -> Iterator[Door]:
    """A client that calls itself `client`; over stdio with a server process of its own and the same manifests."""
    if kind == "raw-2026-07-28":
        yield Raw(server, client)
        return
    match kind:
        case "sdk-http":
            transport = streamable_http_client(server.url)
        case _:
            command = mcp.StdioServerParameters(command=BINARY, args=stdio_arguments(server), env=server.manifests.env)
            transport = mcp.stdio_client(command)
    info = mcp_types.Implementation(name=client, version="1.0.0")
    with start_blocking_portal() as portal:
        connecting = mcp.Client(transport, mode="legacy", client_info=info)
        with portal.wrap_async_context_manager(connecting) as connected:
            yield Sdk(connected, portal)


def tools(door: Door) -> dict[str, Json]:
    return {tool["name"]: tool for tool in door.ask("tools/list")["tools"]}


def resources(door: Door) -> dict[str, Json]:
    return {resource["uri"]: resource for resource in door.ask("resources/list")["resources"]}


def read(door: Door, uri: str) -> Json:
    [contents] = door.ask("resources/read", {"uri": uri})["contents"]
    return contents


def call(door: Door, tool: str, arguments: Json | None = None, **meta: Any) -> Json:
    params = {"name": tool, "arguments": arguments or {}}
    return door.ask("tools/call", params | ({"_meta": meta} if meta else {}))


def page_of(door: Door, tool: str) -> str:
    """The URI of the page that shows a tool's results."""
    return tools(door)[tool]["_meta"]["ui"]["resourceUri"]


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the score board; nobody edits it."""
    with harness.serve(manifests_of(tmp_path_factory.mktemp("board"), WIDGETS / "board")) as server:
        yield server


@pytest.fixture(params=DOORS)
def at(request: pytest.FixtureRequest, board: Server) -> Iterator[Door]:
    """Each door to the score board."""
    with door(request.param, board) as opened:
        yield opened


# Tools


def uri_of(page: str, door: Door) -> str:
    """Where a page of the board is found: its name, and twelve digits of what it is."""
    [uri] = [uri for uri in resources(door) if re.fullmatch(rf"ui://board/{page}-[0-9a-f]{{12}}\.html", uri)]
    return uri


# Page, visibility, and the words at the end.
TOOLS = {
    "board_show": ("score", ["model", "app"], "Looked"),
    "board_plain": ("plain", ["model", "app"], "Shown"),
    "board_refresh": ("score", ["app"], "Looked"),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_tells_both_families_of_hosts_which_page_shows_its_results(at: Door, tool: str) -> None:
    page, visibility, invoked = TOOLS[tool]
    uri = uri_of(page, at)
    assert tools(at)[tool]["_meta"] == {
        "securitySchemes": [{"type": "noauth"}],
        "ui": {"resourceUri": uri, "visibility": visibility},
        "openai/outputTemplate": uri,
        "openai/widgetAccessible": True,
        "openai/toolInvocation/invoking": "Looking…",
        "openai/toolInvocation/invoked": invoked,
    }


def test_a_tool_without_a_page_may_be_for_pages_only(at: Door) -> None:
    meta = tools(at)["board_count"]["_meta"]
    assert meta["ui"] == {"visibility": ["app"]}
    assert "openai/outputTemplate" not in meta
    assert meta["openai/widgetAccessible"] is True
    assert "ui" not in tools(at)["board_read"]["_meta"]


def test_a_page_calls_only_tools_that_let_it(tmp_path: Path) -> None:
    manifests = manifests_of(tmp_path, WIDGETS / "board")
    board = manifests.get("board")
    del board["tools"][0]["widget"]["accessible"]
    manifests.put(board)
    with harness.serve(manifests) as server:
        meta = tools(Raw(server, "somebody"))["board_show"]["_meta"]
        assert meta["ui"]["visibility"] == ["model"] and meta["openai/widgetAccessible"] is False


@pytest.mark.parametrize("tool", ["board_refresh", "board_count"])
def test_a_tool_hidden_from_models_can_still_be_called(at: Door, tool: str) -> None:
    assert call(at, tool)["content"][0]["text"] in ("refreshed", "counted")


# Pages


SCORE = {
    "ui": {
        "prefersBorder": True,
        "csp": {
            "connectDomains": ["https://api.example"],
            "resourceDomains": ["https://cdn.example", "https://*.images.example"],
            "frameDomains": ["https://frame.example"],
            "baseUriDomains": ["https://base.example"],
        },
        "permissions": {"clipboardWrite": {}},
    },
    "openai/widgetDescription": "Shows the score, and who leads.",
    "openai/widgetPrefersBorder": True,
    "openai/widgetCSP": {
        "connect_domains": ["https://api.example"],
        "resource_domains": ["https://cdn.example", "https://*.images.example"],
        "frame_domains": ["https://frame.example"],
        "redirect_domains": ["https://shop.example"],
    },
}


def test_a_page_is_listed_as_its_manifest_describes_it(at: Door) -> None:
    uri = uri_of("score", at)
    assert resources(at)[uri] == {
        "uri": uri,
        "name": "score",
        "title": "The score",
        "description": "Shows the score, and who leads.",
        "mimeType": PAGE_TYPE,
        "_meta": SCORE,
    }


def test_a_page_of_which_nothing_is_said_may_reach_nothing(at: Door) -> None:
    listed = resources(at)[uri_of("plain", at)]
    assert listed["name"] == "plain" and listed["mimeType"] == PAGE_TYPE
    meta = listed["_meta"]
    assert meta["ui"]["csp"] == {name: [] for name in SCORE["ui"]["csp"]}
    assert meta["openai/widgetCSP"] == {name: [] for name in SCORE["openai/widgetCSP"]}
    assert meta["ui"]["prefersBorder"] is meta["openai/widgetPrefersBorder"]
    assert not {"domain", "permissions"} & {name for name, value in meta["ui"].items() if value}
    assert "openai/widgetDomain" not in meta


@pytest.mark.parametrize("page", ["score", "plain"])
def test_a_page_is_read_with_the_meta_it_is_listed_with(at: Door, page: str) -> None:
    uri = uri_of(page, at)
    assert read(at, uri) == {
        "uri": uri,
        "mimeType": PAGE_TYPE,
        "text": (WIDGETS / "board/pages" / f"{page}.html").read_text(),
        "_meta": resources(at)[uri]["_meta"],
    }


def test_a_server_with_pages_says_that_it_has_resources(board: Server) -> None:
    wire = wire_to(board.base)
    opened = result(wire.post({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": INITIALIZE}))
    for hello in (opened, result(wire.modern("server/discover"))):
        assert hello["capabilities"]["resources"]["listChanged"] is True


def test_two_tools_with_one_page_share_one_resource(at: Door) -> None:
    assert sorted(resources(at)) == sorted([uri_of("plain", at), uri_of("score", at)])


@pytest.mark.parametrize("method", ["resources/list", "resources/read"])
def test_only_2026_07_28_hears_how_long_an_answer_keeps(board: Server, method: str) -> None:
    raw = Raw(board, "somebody")
    params = {"uri": uri_of("score", raw)} if method == "resources/read" else {}
    added = {"resultType", "ttlMs", "cacheScope"}
    modern = raw.ask(method, params)
    assert modern["resultType"] == "complete" and modern["cacheScope"] in ("public", "private")
    if method == "resources/read":
        assert (modern["ttlMs"], modern["cacheScope"]) == (HOUR_MS, "public")
    with over_http(board.url, capabilities={}) as session:
        assert not added & set(session.ask(method, params).value)
    assert not added & set(result(wire_to(board.base).legacy(method, params)))


def test_an_unknown_page_is_an_error(at: Door) -> None:
    with pytest.raises(Refused, match="score"):
        at.ask("resources/read", {"uri": "ui://board/score.html"})


# Whose domain a page is given


PUBLIC = "https://gateway.example/prefix"
CLAUDE = hashlib.sha256(f"{PUBLIC}/mcp".encode()).hexdigest()[:32] + ".claudemcpcontent.com"
CHOSEN = {"chatgpt": "https://a.example", "claude": "abc.claudemcpcontent.com"}
DEFAULT = {"default": "https://b.example"}
DOMAINS: list[tuple[Json | str, str, str | None]] = [
    ("auto", "openai-mcp", "https://gateway.example"),
    ("auto", "claude-ai", CLAUDE),
    ("auto", "Claude", CLAUDE),
    ("auto", "somebody", None),
    (CHOSEN, "openai-mcp", "https://a.example"),
    (CHOSEN, "claude-ai", "abc.claudemcpcontent.com"),
    (CHOSEN, "Claude", "abc.claudemcpcontent.com"),
    (CHOSEN, "somebody", None),
    (CHOSEN | DEFAULT, "openai-mcp", "https://a.example"),
    (CHOSEN | DEFAULT, "somebody", "https://b.example"),
    (DEFAULT, "claude-ai", "https://b.example"),
]


@pytest.fixture(scope="module")
def domains(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a public URL and one connector for each way to say what a page's domain is."""
    manifests = manifests_of(tmp_path_factory.mktemp("domains"), WIDGETS / "board")
    board = manifests.get("board")
    (manifests.folder / "board.json").unlink()
    for number, domain in enumerate(distinct([domain for domain, _, _ in DOMAINS])):
        score = board["pages"]["pages/score.html"] | {"domain": domain}
        manifests.put(board | {"id": f"board{number}", "pages": {"pages/score.html": score}})
    with harness.serve(manifests, "--public-url", PUBLIC) as server:
        yield server


def distinct(values: list[Any]) -> list[Any]:
    return [value for at, value in enumerate(values) if value not in values[:at]]


def domain_for_chatgpt(domain: Json | str) -> str:
    return "https://gateway.example" if domain == "auto" else domain.get("chatgpt") or domain["default"]


@pytest.mark.parametrize("kind", ["sdk-http", "raw-2026-07-28"])
@pytest.mark.parametrize("client", distinct([client for _, client, _ in DOMAINS]))
def test_each_host_is_told_the_domain_it_understands(domains: Server, kind: str, client: str) -> None:
    every = distinct([domain for domain, _, _ in DOMAINS])
    expected = {f"board{every.index(domain)}": told for domain, name, told in DOMAINS if name == client}
    for_chatgpt = {f"board{at}": domain_for_chatgpt(domain) for at, domain in enumerate(every)}
    with door(kind, domains, client) as at:
        for uri, listed in resources(at).items():
            connector = uri.removeprefix("ui://").split("/")[0]
            if connector not in expected or "/score-" not in uri:
                continue
            meta = listed["_meta"]
            assert meta["ui"].get("domain") == expected.pop(connector), connector
            # Nobody but ChatGPT reads its keys, and it does not always say who it is.
            assert meta.get("openai/widgetDomain") == for_chatgpt.get(connector), connector
            assert read(at, uri)["_meta"] == meta
    assert expected == {}


def test_a_host_that_opens_no_session_is_known_by_its_user_agent(domains: Server) -> None:
    told = {}
    for agent in ("openai-mcp/1.0.0", "Claude-User", "python-httpx/1.0"):
        listed = result(wire_to(domains.base).legacy("resources/list", User_Agent=agent))["resources"]
        [page] = [each for each in listed if each["uri"].startswith("ui://board0/score-")]
        told[agent] = page["_meta"]["ui"].get("domain")
    assert told == {"openai-mcp/1.0.0": "https://gateway.example", "Claude-User": CLAUDE, "python-httpx/1.0": None}


def test_without_a_public_url_nobody_is_told_a_domain_of_ours(tmp_path: Path) -> None:
    manifests = manifests_of(tmp_path, WIDGETS / "board")
    board = manifests.get("board")
    manifests.put(board | {"pages": {"pages/score.html": {"domain": "auto"}}})
    with harness.serve(manifests) as server:
        for client in ("openai-mcp", "claude-ai"):
            raw = Raw(server, client)
            meta = resources(raw)[uri_of("score", raw)]["_meta"]
            assert "domain" not in meta["ui"] and "openai/widgetDomain" not in meta


# What models are told first


def test_the_instructions_name_the_connectors_first_and_say_what_manifests_say_after(tmp_path: Path) -> None:
    long = {"instructions": "Mind the gap. " * 100, "description": "A place to go. " * 50}
    quiet = {
        "id": "quiet",
        "name": "Quiet place",
        "version": "1.0.0",
        "adapter": {"kind": "command", "program": "true"},
    }
    tool = {"name": "go", "description": "Use this when it is loud.", "run": {}}
    manifests = manifests_of(tmp_path, WIDGETS / "board", quiet | {"tools": [tool]})
    manifests.put(quiet | {"id": "another", "name": "Another place", "tools": [tool]} | long)
    with harness.serve(manifests) as server:
        wire = wire_to(server.base)
        legacy = result(wire.post({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": INITIALIZE}))
        modern = result(wire.modern("server/discover"))
        assert legacy["instructions"] == modern["instructions"]
        told = modern["instructions"]
        for name in ("Another place", "Score board", "Quiet place"):
            assert name in told[:512], told[:512]
        for words in ("Mind the gap. Mind the gap.", "Read the score before you show the board."):
            assert words in told
        assert told.index("Quiet place") < told.index("Read the score")
        with door("sdk-http", server) as at:
            assert at.ask("initialize")["instructions"] == told


@pytest.mark.parametrize("arguments", [[], ["--public-url", PUBLIC]], ids=["local", "public"])
def test_the_token_that_proves_whose_domain_this_is_stands_where_openai_looks(
    tmp_path: Path, arguments: list[str]
) -> None:
    token = "proof-0123456789_abc~DEF"
    with harness.serve(manifests_of(tmp_path), *arguments, env={"OPENAI_APPS_CHALLENGE": token}) as server:
        headers = {"Host": "gateway.example"} if arguments else {}
        answer = wire_to(server.base).send("GET", "/.well-known/openai-apps-challenge", headers=headers)
        assert (answer.status_code, answer.content) == (200, token.encode())
        assert answer.headers["content-type"].startswith("text/plain")


def test_without_a_token_there_is_nothing_to_prove(board: Server) -> None:
    assert wire_to(board.base).send("GET", "/.well-known/openai-apps-challenge").status_code == 404


# Pages of other MCP servers


UPSTREAM = {
    "id": "other",
    "name": "Other",
    "version": "1.0.0",
    "adapter": {"kind": "mcp", "program": sys.executable, "args": [str(WIDGETS / "upstream.py")]},
}
LINKS = ["standard", "hidden", "flat", "openai", "both", "none"]
CSP = {
    "connectDomains": ["https://api.example"],
    "resourceDomains": ["https://cdn.example"],
    "frameDomains": ["https://frame.example"],
}
IN_STEP: dict[str, Callable[[Json], bool]] = {
    "ui://other/standard/page.html": lambda meta: (
        meta["openai/widgetCSP"]["connect_domains"] == CSP["connectDomains"]
        and meta["openai/widgetCSP"]["resource_domains"] == CSP["resourceDomains"]
        and meta["openai/widgetCSP"]["frame_domains"] == CSP["frameDomains"]
        and meta["openai/widgetPrefersBorder"] is True
        and meta["ui"]["csp"] == CSP | {"baseUriDomains": []}
    ),
    "ui://other/openai/page.html": lambda meta: (
        meta["ui"]["csp"].items() >= CSP.items()
        and meta["ui"]["prefersBorder"] is False
        and meta["openai/widgetDomain"] == "https://widgets.example"
        and meta["openai/widgetDescription"] == "A page of the older family."
        and meta["openai/widgetCSP"]["redirect_domains"] == ["https://shop.example"]
    ),
    # What says both has decided itself.
    "ui://other/both/page.html": lambda meta: (
        meta["ui"] == {"csp": {"connectDomains": ["https://one.example"]}, "prefersBorder": True}
        and meta["openai/widgetCSP"] == {"connect_domains": ["https://another.example"]}
        and meta["openai/widgetPrefersBorder"] is False
    ),
}


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with another MCP server behind it that has pages."""
    with harness.serve(manifests_of(tmp_path_factory.mktemp("other"), UPSTREAM)) as server:
        until(lambda: "other_standard" in tools(Raw(server, "somebody")), f"the other server: {server.log}")
        yield server


@pytest.mark.parametrize("kind", ["sdk-http", "raw-2026-07-28"])
@pytest.mark.parametrize("uri", IN_STEP)
def test_the_page_of_another_server_says_the_same_to_both_families(other: Server, kind: str, uri: str) -> None:
    with door(kind, other) as at:
        for meta in (resources(at)[uri]["_meta"], read(at, uri)["_meta"]):
            assert IN_STEP[uri](meta), meta


def test_nothing_is_made_up_for_a_page_that_says_nothing(other: Server) -> None:
    at = Raw(other, "somebody")
    for page in (resources(at)["ui://other/silent/page.html"], read(at, "ui://other/silent/page.html")):
        assert not page.get("_meta")


@pytest.mark.parametrize("kind", ["sdk-http", "raw-2026-07-28"])
@pytest.mark.parametrize(
    ("tool", "page"),
    [("standard", "standard"), ("hidden", "standard"), ("flat", "standard"), ("openai", "openai"), ("both", "both")],
)
def test_the_tool_of_another_server_names_its_page_to_both_families(
    other: Server, kind: str, tool: str, page: str
) -> None:
    with door(kind, other) as at:
        meta = tools(at)[f"other_{tool}"]["_meta"]
    uri = f"ui://other/{page}/page.html"
    assert (meta["ui"]["resourceUri"], meta["openai/outputTemplate"]) == (uri, uri)
    assert meta["ui"]["visibility"] == (["app"] if tool == "hidden" else ["model", "app"])
    if tool == "openai":
        assert meta["openai/widgetAccessible"] is True


@pytest.mark.parametrize("tool", LINKS)
@pytest.mark.parametrize("level", ["tool", "connector"])
def test_whoever_gives_a_tool_its_page_gives_it_to_both_families(given: Server, level: str, tool: str) -> None:
    meta = tools(Raw(given, "somebody"))[f"by-{level}_{tool}"]["_meta"]
    own = meta["ui"]["resourceUri"].startswith(f"ui://by-{level}/own-")
    assert meta["openai/outputTemplate"] == meta["ui"]["resourceUri"]
    # What is said of one tool goes before what its server says, and that before what is said of them all.
    assert own or (level == "connector" and tool != "none")
    assert ("app" in meta["ui"]["visibility"]) is meta["openai/widgetAccessible"]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The other server twice, with a page of ours for each of its tools, or for all of them."""
    each = [{"name": name, "description": "Use this.", "widget": {"page": "own.html"}} for name in LINKS]
    by_tool, by_connector = UPSTREAM | {"id": "by-tool"}, UPSTREAM | {"id": "by-connector"}
    sources = by_tool | {"tools": each}, by_connector | {"widget": {"page": "own.html"}}
    manifests = manifests_of(tmp_path_factory.mktemp("given"), *sources)
    (manifests.folder / "own.html").write_text("<!doctype html><title>Own</title>")
    with harness.serve(manifests) as server:
        until(lambda: {"by-tool_none", "by-connector_none"} <= set(tools(Raw(server, "x"))), f"tools: {server.log}")
        yield server


def test_a_tool_without_a_page_is_given_none(other: Server) -> None:
    meta = tools(Raw(other, "somebody"))["other_none"]["_meta"]
    assert meta["com.example/other"] == 1 and "ui" not in meta and "openai/outputTemplate" not in meta
