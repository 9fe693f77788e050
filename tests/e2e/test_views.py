"""Fewer tools at once: clients that search for tools instead of seeing them all, and views of a part of them."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import mcp
import mcp_types
import pytest
from anyio.from_thread import start_blocking_portal
from mcp.client.streamable_http import streamable_http_client

import harness
from clients import stdio_arguments
from connectors import connector as upstream
from connectors import program
from harness import BINARY, FIXTURES, Server, until
from oauth.gateway import BOARD, DOCS, Caller, challenge, cli, connector, gateway, new_key, tool
from session import over_http
from test_sse import open_stream, post
from test_surface import WIDGETS, Sdk, manifests_of
from wire import INITIALIZE, META, MODERN, Json, Wire, error, request, result, text

FRONT = ["search_tools", "describe_tools", "call_read_tool", "call_write_tool"]
KIT = json.loads((FIXTURES / "manifests/kit.json").read_text())
SHOP = connector(
    "shop",
    tool("list"),
    tool("order", annotations={"readOnly": False}),
    tool("s" * 60, annotations={"readOnly": False}),
    category="Buying things",
)
PROFILES = {
    "mine": {"tools": ["shop"], "prefix": "my_", "exposure": "all", "clients": ["Claude*"]},
    "found": {
        "tools": ["kit", "board"],
        "exposure": "search",
        "pinned": ["kit_ec*"],
        "clients": ["claude-code", "finder"],
    },
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that shows everything to who asks for nothing, with profiles."""
    home = tmp_path_factory.mktemp("views")
    board = manifests_of(home, WIDGETS / "board").get("board")
    board["tools"][0]["pinned"] = True
    manifests = manifests_of(home / "all", WIDGETS / "board", KIT, SHOP)
    manifests.put(board)
    settings = home / "settings.json"
    settings.write_text(json.dumps({"tools": {"profiles": PROFILES}}))
    with harness.serve(manifests, "--config", str(settings)) as server:
        yield server


@contextmanager
def client(server: Server, query: str = "", name: str = "somebody", era: str = "legacy") -> Iterator[mcp.Client]:
    """The Python SDK's client at an address; `.do(method, …)` waits for its methods."""
    info = mcp_types.Implementation(name=name, version="1.0.0")
    with start_blocking_portal() as portal:
        connecting = mcp.Client(streamable_http_client(server.url + query), mode=era, client_info=info)
        with portal.wrap_async_context_manager(connecting) as connected:
            connected.do = lambda method, *arguments, **more: portal.call(
                lambda: getattr(connected, method)(*arguments, **more)
            )
            yield connected


def names(connected: mcp.Client) -> list[str]:
    return [tool.name for tool in connected.do("list_tools", cache_mode="bypass").tools]


def called(connected: mcp.Client, tool: str, arguments: Json | None = None, **more: Any) -> Json:
    answer = connected.do("call_tool", tool, arguments or {}, **more)
    return answer.model_dump(mode="json", by_alias=True, exclude_none=True)


def through(name: str, arguments: Json | str | None = None) -> Json:
    """What a tool that calls others is called with."""
    return {"name": name, "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments or {})}


def names_at(server: Server, query: str = "", client: str | None = None) -> list[str]:
    """The tools at an address, by a request of 2026-07-28 that stands alone."""
    meta = META | ({"io.modelcontextprotocol/clientInfo": {"name": client, "version": "1"}} if client else {})
    headers = {"MCP_Protocol_Version": MODERN, "Mcp_Method": "tools/list"}
    answer = Wire(server.base).post(request("tools/list", {"_meta": meta}), f"/mcp{query}", **headers)
    return [tool["name"] for tool in result(answer)["tools"]]


def call_at(server: Server, query: str, tool: str, arguments: Json, meta: Json = META, **more: Any) -> Any:
    sent = {"MCP_Protocol_Version": MODERN, "Mcp_Method": "tools/call", "Mcp_Name": tool}
    params = {"_meta": meta, "name": tool, "arguments": arguments, **more}
    return Wire(server.base).post(request("tools/call", params), f"/mcp{query}", **sent)


# Searching


@pytest.mark.parametrize("era", ["legacy", "2026-07-28"])
def test_who_searches_sees_four_tools_and_pinned_ones_and_calls_all(server: Server, era: str) -> None:
    with client(server, "?exposure=search", era=era) as searching:
        listed = searching.do("list_tools", cache_mode="bypass").tools
        assert [tool.name for tool in listed] == [*FRONT, "board_show"]
        hints = {tool.name: tool.annotations.read_only_hint for tool in listed}
        assert hints["call_read_tool"] is True and hints["call_write_tool"] is False
        # By its own name, although it is not listed.
        assert text(called(searching, "kit_echo", {"text": "plain"})) == "plain"
        # As text, as strict clients have to send it, and as an object.
        assert text(called(searching, "call_read_tool", through("kit_echo", {"text": "hello"}))) == "hello"
        assert text(called(searching, "call_read_tool", {"name": "kit_echo", "arguments": {"text": "hi"}})) == "hi"
        counted = called(searching, "call_write_tool", through("kit_words", {"text": "a b"}))
        assert counted["structuredContent"] == {"words": ["a", "b"], "count": 2}
        assert text(called(searching, "call_tool", through("board_read", ""))) == "Ada leads"
        if era == "legacy":
            assert "search_tools" in (searching.instructions or "")


def test_what_a_search_finds_can_be_described_and_called_as_it_says(server: Server) -> None:
    with client(server, "?profile=mine&exposure=search&tools=shop,kit") as searching:
        assert names(searching) == FRONT
        answer = called(searching, "search_tools", {"query": ["split a text into words", "order something"]})
        assert "structuredContent" not in answer
        found = {tool["name"]: tool for tool in json.loads(text(answer))["tools"]}
        assert {"my_kit_words", "my_shop_order"} <= set(found) and all(name.startswith("my_") for name in found)
        assert found["my_kit_words"]["call"] == "call_write_tool"
        described = text(called(searching, "describe_tools", {"names": ["my_kit_words", "my_board_read"]}))
        assert '"name":"my_kit_words"' in described and "outputSchema" in described and "Ada" not in described
        counted = called(searching, found["my_kit_words"]["call"], through("my_kit_words", {"text": "a b"}))
        assert counted["structuredContent"]["count"] == 2
        none = called(searching, "search_tools", {"query": "  "})
        assert none["isError"] and "query" in text(none)


def test_the_four_cost_little_and_are_not_there_where_all_is_listed(server: Server) -> None:
    four = result(Wire(server.base).legacy("tools/list"))["tools"]
    assert not set(FRONT) & {tool["name"] for tool in four}
    assert "unknown tool" in error(call_at(server, "", "search_tools", {"query": "echo"}))["message"]
    answer = Wire(server.base).post(request("tools/list"), "/mcp?exposure=search&tools=none")
    four = result(answer)["tools"]
    assert [tool["name"] for tool in four] == FRONT
    assert len(json.dumps(four)) < 2600
    for tool in four:
        assert tool["securitySchemes"] == tool["_meta"]["securitySchemes"] == [{"type": "noauth"}]


def test_progress_of_a_tool_reaches_who_calls_it_through_another(server: Server, tmp_path: Path) -> None:
    door = tmp_path / "door"
    heard: list[str | None] = []

    async def hear(_progress: float, _total: float | None, message: str | None) -> None:
        heard.append(message)
        door.touch()

    with client(server, "?exposure=search") as searching:
        waited = through("kit_wait_for_file", {"file": str(door)})
        answer = called(searching, "call_write_tool", waited, progress_callback=hear)
        assert "opened" in text(answer) and heard[0] == "waiting"


def test_what_goes_wrong_says_the_call_that_works(server: Server) -> None:
    def said(tool: str, arguments: Json) -> str:
        answer = result(call_at(server, "?exposure=search", tool, arguments))
        assert answer["isError"], answer
        return text(answer)

    exact = json.dumps(through("kit_words", '{"text":"a b"}'), separators=(",", ":"))
    assert f"call call_write_tool with {exact}" in said("call_read_tool", through("kit_words", '{"text":"a b"}'))
    wrong = said("call_write_tool", through("kit_ecko", '{"text":"x"}'))
    assert "unknown tool `kit_ecko`" in wrong and "call_read_tool" in wrong and '"name":"kit_echo"' in wrong
    flat = said("call_read_tool", {"name": "kit_echo", "text": "x"})
    assert json.dumps(through("kit_echo", '{"text":"x"}'), separators=(",", ":")) in flat
    assert "search_tools" in said("call_read_tool", {})
    assert "not JSON" in said("call_read_tool", through("kit_echo", "{text}"))
    assert "JSON object" in said("call_read_tool", through("kit_echo", "[1]"))
    assert "describe_tools" in said("call_read_tool", through("kit_echo", {"txt": 1}))
    assert "by its own name" in said("call_read_tool", through("search_tools", {"query": "x"}))
    assert "disk is full" in said("call_write_tool", through("kit_fail"))


def test_a_widgets_result_says_through_another_tool_how_it_is_shown(server: Server) -> None:
    with client(server, "?exposure=search") as searching:
        listed = {tool.name: tool for tool in searching.do("list_tools", cache_mode="bypass").tools}
        page = listed["board_show"].meta["ui"]["resourceUri"]
        meta = called(searching, "call_write_tool", through("board_show"))["_meta"]
        assert meta["ui"]["resourceUri"] == meta["openai/outputTemplate"] == page
        assert searching.do("read_resource", page, cache_mode="bypass").contents[0].text


def test_a_list_is_searched_once_it_costs_too_much(server: Server, tmp_path: Path) -> None:
    assert "kit_echo" in names_at(server, "?exposure=auto") and "search_tools" not in names_at(server, "?exposure=auto")
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"tools": {"listBudget": 500, "pinned": ["kit_echo"]}}))
    manifests = manifests_of(tmp_path, KIT, SHOP)
    with harness.serve(manifests, "--config", str(settings), "--exposure", "auto") as small:
        assert names_at(small) == [*FRONT, "kit_echo"]
        # Fewer tools cost less, so this view's list is whole.
        assert set(names_at(small, "?tools=bare,kit_fail")) == {"kit_fail"}
        answer = result(call_at(small, "", "call_read_tool", through("kit_echo", {"text": "hi"})))
        assert text(answer) == "hi"


def test_another_servers_tool_is_called_through_one_of_ours_as_it_is(tmp_path: Path) -> None:
    """Guard: what it answers stays as it was sent, in a view with a prefix too."""
    profiles = {"p": {"prefix": "p_", "exposure": "search", "tools": ["calm"]}}
    manifests = upstream(tmp_path / "manifests", "calm", program())
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"tools": {"profiles": profiles}}))
    with harness.serve(manifests, "--config", str(settings)) as server:
        until(lambda: "p_calm_echo" in names_at(server, "?profile=p&exposure=all"), "the server")
        plain = result(call_at(server, "", "calm_echo", {"message": "hello"}))
        through_it = through("p_calm_echo", {"message": "hello"})
        assert result(call_at(server, "?profile=p", "call_write_tool", through_it)) == plain
        # A task of it is one, and what it asks is asked.
        capabilities = {"elicitation": {"form": {}}, "extensions": {"io.modelcontextprotocol/tasks": {}}}
        meta = META | {"io.modelcontextprotocol/clientCapabilities": capabilities}
        started = call_at(server, "?profile=p", "call_write_tool", through("p_calm_slow_compute", {"seconds": 0}), meta)
        assert result(started)["taskId"].startswith("calm.")
        asking = through("p_calm_test_input_required_result_elicitation")
        asked = result(call_at(server, "?profile=p", "call_write_tool", asking, meta))
        [question] = asked["inputRequests"]
        given = {"inputResponses": {question: {"action": "accept", "content": {"name": "Ada"}}}}
        given |= {"requestState": asked["requestState"]} if "requestState" in asked else {}
        assert "Ada" in text(result(call_at(server, "?profile=p", "call_write_tool", asking, meta, **given)))
        # Its server judges what it is called with, and its own words come back.
        wrong = call_at(server, "?profile=p", "call_write_tool", through("p_calm_echo", {"msg": 1}))
        right = call_at(server, "?profile=p", "p_calm_echo", {"msg": 1})
        assert wrong.json().get("error") == right.json().get("error")


# Views


def test_a_view_holds_connectors_tools_patterns_and_categories(server: Server) -> None:
    assert set(names_at(server, "?tools=shop")) == {tool for tool in names_at(server) if tool.startswith("shop_")}
    assert names_at(server, "?tools=kit_echo,%20shop_l*") == ["kit_echo", "shop_list"]
    assert names_at(server, "?tools=kit_echo&tools=bare") == ["kit_echo"]
    assert "shop_order" in names_at(server, "?tools=buying-things")
    assert names_at(server, "?tools=nothing") == []
    resources = "/mcp?tools=kit", "/mcp?tools=board_read"
    listed = [result(Wire(server.base).post(request("resources/list"), at))["resources"] for at in resources]
    assert listed[0] == [] and listed[1] != []


def test_what_is_outside_a_view_is_unknown_there(server: Server) -> None:
    refused = error(call_at(server, "?tools=shop", "kit_echo", {"text": "x"}))["message"]
    assert "unknown tool" in refused and "kit_" not in refused.removeprefix("unknown tool `kit_echo`")
    assert "shop_order" in error(call_at(server, "?tools=shop", "shop_oder", {}))["message"]
    lost = error(call_at(server, "?exposure=search", "nothing_alike", {}))["message"]
    assert lost.endswith("search_tools finds tools")
    inner = result(call_at(server, "?tools=shop&exposure=search", "call_read_tool", through("kit_echo", {"text": "x"})))
    assert inner["isError"] and "unknown tool" in text(inner)


def test_a_profile_is_had_by_address_or_by_the_clients_name(server: Server) -> None:
    mine = ["my_shop_list", "my_shop_order"]
    assert names_at(server, "?profile=mine")[:2] == mine
    assert names_at(server, client="CLAUDE-ai")[:2] == mine
    # The name that fits more exactly, and the address before any name.
    assert names_at(server, client="Claude-Code") == [*FRONT, "board_show", "kit_echo"]
    assert names_at(server, "?profile=mine", client="finder")[:2] == mine
    assert names_at(server, "?profile=mine&tools=kit_echo") == ["my_kit_echo"]
    asked = {"_meta": META | {"io.modelcontextprotocol/clientInfo": {"name": "finder", "version": "1"}}}
    assert "profile found" in result(Wire(server.base).modern("server/discover", asked))["instructions"]
    with client(server, name="finder") as finder, client(server, name="claude-ai") as mine_too:
        assert names(finder) == [*FRONT, "board_show", "kit_echo"]
        assert "profile found" in (finder.instructions or "") and "shop" not in (finder.instructions or "").lower()
        assert names(mine_too)[:2] == mine and "my_" in (mine_too.instructions or "")


def test_a_prefix_stands_before_every_name_and_leads_back(server: Server) -> None:
    listed = names_at(server, "?profile=mine")
    long = listed[2]
    assert long.startswith("my_shop_sss") and all(len(name) <= 64 for name in listed)
    for name in ["my_shop_list", long, "shop_list"]:
        assert "ran" in text(result(call_at(server, "?profile=mine", name, {})))
    assert "my_shop_order" in error(call_at(server, "?profile=mine", "my_shop_oder", {}))["message"]
    answer = result(call_at(server, "?profile=mine&exposure=search", "call_write_tool", through("my_shop_order")))
    assert text(answer) == "order ran"


def test_an_address_that_asks_for_what_is_not_there_is_refused(server: Server) -> None:
    for query, status, said in [
        ("?profile=walrus", 404, "walrus"),
        ("?exposure=some", 400, "`all`, `search` or `auto`"),
        ("?tools=" + "a" * 200, 400, "128"),
        ("?tools=" + ",".join(map(str, range(300))), 400, "200"),
        ("?tools=" + ",".join(["*a*b"] * 11), 400, "10"),
    ]:
        answer = Wire(server.base).post(request("tools/list"), f"/mcp{query}")
        assert answer.status_code == status and said in error(answer)["message"]
        assert not any(profile in answer.text for profile in PROFILES)


def test_a_view_holds_for_an_sse_stream_and_for_stdio(server: Server) -> None:
    stream = Server(server.process, server.manifests, url=f"{server.url}?exposure=search&tools=kit")
    with open_stream(stream) as opened:
        post(server.base + opened.first[1], request("initialize", INITIALIZE))
        assert "search_tools" in opened.result(1)["instructions"]
        post(server.base + opened.first[1], request("tools/list", {}, 2))
        assert [tool["name"] for tool in opened.result(2)["tools"]] == FRONT
    arguments = [*stdio_arguments(server), "--tools", "kit_echo,shop", "--exposure", "search"]
    command = mcp.StdioServerParameters(command=BINARY, args=arguments, env=server.manifests.env)
    with start_blocking_portal() as portal:
        connecting = mcp.Client(mcp.stdio_client(command), mode="legacy")
        with portal.wrap_async_context_manager(connecting) as connected:
            door = Sdk(connected, portal)
            assert [tool["name"] for tool in door.ask("tools/list")["tools"]] == FRONT
            call = {"name": "call_read_tool", "arguments": through("kit_echo", {"text": "hi"})}
            assert text(door.ask("tools/call", call)) == "hi"
    for wrong in (["--profile", "walrus"], ["--exposure", "some"]):
        assert cli(server.manifests, *arguments[:3], *wrong).returncode == 2


def test_faults_of_views_in_the_settings_are_told_with_their_place(server: Server, tmp_path: Path) -> None:
    def checked(tools: Json) -> tuple[int, str]:
        file = tmp_path / "settings.json"
        file.write_text(json.dumps({"tools": tools}, indent=2))
        done = cli(server.manifests, "check", "--manifests", str(server.manifests.folder), "--config", str(file))
        return done.returncode, done.stderr

    for fault, place in [
        ({"pinned": ["a b"]}, "/tools/pinned/0"),
        ({"profiles": {"a": {"prefix": "a.b"}}}, "/tools/profiles/a/prefix"),
        ({"profiles": {"a": {"clients": ["x"]}, "b": {"clients": ["X"]}}}, "/tools/profiles/b/clients/0"),
        ({"profiles": {"a": {"clients": ["a*b"]}}}, "/tools/profiles/a/clients/0"),
    ]:
        code, said = checked(fault)
        assert code == 2 and f"error at {place}" in said and "settings.json:" in said, said
    tools = ["shop", "Buying things", "kit_e*", "seal"]
    code, said = checked({"pinned": ["kit_echo", "walrus"], "profiles": {"a": {"tools": tools}}})
    assert code == 0 and said.count("warning at /tools/") == 2, said
    assert "/tools/pinned/1" in said and "/tools/profiles/a/tools/3" in said


# Callers


def test_who_lacks_a_scope_is_asked_for_the_real_tools_scopes(tmp_path: Path) -> None:
    """Guard: nothing of a tool that nobody but others may use shows through the four."""
    secret = connector("walrus", tool("dive", pinned=True), scopes=["sea"])
    env = {"TOOLS_EXPOSURE": "search", "CONNECTORS_API_KEY": "the-operators-own-key"}
    with gateway(tmp_path, BOARD, DOCS, secret, auth={"mode": "api-key"}, env=env) as server:
        assert list(Caller(server, env["CONNECTORS_API_KEY"]).tools()) == [*FRONT, "walrus_dive"]
        reader = Caller(server, new_key(server, "--subject", "reader", "--scopes", "docs:read"))
        assert list(reader.tools()) == FRONT
        assert text(reader.does("call_read_tool", through("docs_read"))) == "read ran"
        for query in ("walrus dive", "dive", "walrus_dive"):
            assert "walrus" not in text(reader.does("search_tools", {"query": query}))
        for name in ("walrus_dive", "walrus_dove", "docs_write"):
            answer = result(reader.call("call_read_tool", through(name)))
            assert answer["isError"] and "unknown tool" in text(answer)
            assert "walrus" not in text(answer).replace(f"`{name}`", "")


def test_a_stranger_is_asked_to_sign_in_for_the_tool_that_is_meant(tmp_path: Path) -> None:
    auth = {"mode": "built-in", "mixed": True}
    with gateway(tmp_path, BOARD, DOCS, auth=auth, env={"TOOLS_EXPOSURE": "search"}) as server:
        stranger = Caller(server)
        assert list(stranger.tools()) == FRONT
        assert text(stranger.does("call_read_tool", through("board_look"))) == "look ran"
        refused = stranger.call("call_read_tool", through("docs_read"))
        assert refused.status_code == 401 and challenge(refused)["scope"] == "docs:read"
        call = {"name": "call_read_tool", "arguments": through("docs_read")}
        assert Wire(server.base).legacy("tools/call", call).status_code == 401
        with ExitStack() as stack:
            session = stack.enter_context(over_http(server.url, capabilities={}))
            assert [tool["name"] for tool in session.ask("tools/list").value["tools"]] == FRONT
