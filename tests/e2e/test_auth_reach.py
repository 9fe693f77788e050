"""What callers of different reach can use, what they can find out, and whose sessions they can enter.

There is a connector `walrus` that only some may know of. Whatever others ask, they are answered as if there were none.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from connectors import FIXTURE
from harness import Server, until
from oauth.client import App, parameters, tokens
from oauth.forge import Issuer, issuer
from oauth.gateway import ALL, HIDDEN, Caller, challenge, cli, connector, denied, gateway, new_key, settings, tool
from oauth.gateway import parameters as parse_challenge
from oauth.house import PASSWORD, UNLIMITED, built_in
from oauth.person import Person
from test_dashboard import SWITCHBOARD
from test_search import FEEDS, HITS, document, running
from test_surface import WIDGETS
from wire import INITIALIZE, LEGACY, META, MODERN, Json, Wire, error, messages, request, result, text

# A server with pages, so that its own names work beside the published ones, and with something to search.
WALRUS = connector(
    HIDDEN,
    adapter={"kind": "mcp", "program": sys.executable, "args": [str(WIDGETS / "upstream.py")]},
    scopes=["walrus:see"],
    description="The walrus in the cellar.",
    instructions="Never wake the walrus.",
    sample={"title": "Find the walrus", "tool": "find", "arguments": {"text": "tusk"}},
    feeds={
        "search": {"tool": "find", "query": "text", "results": "/books", "id": "/key", "title": "/name"},
        "fetch": {"tool": "read", "id": "key", "text": "/body", "title": "/name"},
    },
)
# And one with prompts, completions, templates, tasks.
PUP = connector(f"{HIDDEN}-pup", adapter={"kind": "mcp", "program": FIXTURE, "args": ["stdio"]}, scopes=["walrus:see"])
for each in (WALRUS, PUP):
    del each["tools"]
KIT = connector("kit", tool("greet"), tool("feed", scopes=["kit:feed"]), sample={"title": "Greet", "tool": "greet"})


@dataclass
class Zoo:
    server: Server
    knows: Caller
    guest: Caller


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zoo]:
    """A server with something to hide: one caller knows of it, and a guest does not."""
    with ExitStack() as stack:
        docs = stack.enter_context(running({"/search": lambda _: {"hits": HITS}, "/docs/": document}))
        home = tmp_path_factory.mktemp("zoo")
        auth = {"mode": "api-key"}
        connectors = (WALRUS, PUP, KIT, SWITCHBOARD, FEEDS / "docs.json")
        server = stack.enter_context(
            gateway(
                home, *connectors, auth=auth, more=UNLIMITED, env={"DOCS_URL": docs.url, "MCP_API_KEY": "operators-own"}
            )
        )
        knows = Caller(server, new_key(server, "--subject", "keeper"))
        guest = Caller(server, new_key(server, "--subject", "guest", "--scopes", "kit:greet"))
        published = {f"{HIDDEN}_find", f"{HIDDEN}-pup_test_simple_text"}
        until(lambda: published <= set(knows.tools()), f"the connectors: {server.log}")
        yield Zoo(server, knows, guest)


def said(caller: Caller, method: str, params: Json | None = None, **headers: str) -> str:
    return caller.ask(method, params, **headers).text


def items(caller: Caller, method: str, member: str) -> list[Json]:
    return result(caller.ask(method))[member]


LISTS = {
    "tools/list": "tools",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
    "prompts/list": "prompts",
}


@pytest.mark.parametrize("method", LISTS)
def test_lists_hold_nothing_hidden(zoo: Zoo, method: str) -> None:
    """Guard: lists are made for each caller."""
    assert HIDDEN in said(zoo.knows, method)
    assert HIDDEN not in said(zoo.guest, method)
    legacy = request(method)
    for caller, there in ((zoo.knows, True), (zoo.guest, False)):
        answer = caller.wire.post(legacy, MCP_Protocol_Version=LEGACY, **caller.headers)
        assert (HIDDEN in answer.text) is there
        batch = caller.wire.post([legacy], MCP_Protocol_Version="2025-03-26", **caller.headers)
        assert (HIDDEN in batch.text) is there


def test_instructions_name_nothing_hidden(zoo: Zoo) -> None:
    """Guard: what models are told first is made for each caller."""
    for caller, there in ((zoo.knows, True), (zoo.guest, False)):
        told = [
            said(caller, "server/discover"),
            caller.wire.post(request("initialize", INITIALIZE), **caller.headers).text,
        ]
        assert [HIDDEN in text for text in told] == [there] * 2, told
        assert all("Kit" in text for text in told)


def like_unknown(zoo: Zoo, method: str, hidden: Json, absent: Json) -> None:
    """The guest's answer about what is hidden is, but for the name, the one about what never was."""
    names = [
        next(iter(value for value in each.values() if isinstance(value, str) and value)) for each in (hidden, absent)
    ]
    answers = [zoo.guest.ask(method, each) for each in (hidden, absent)]
    assert answers[0].status_code == answers[1].status_code
    bodies = [answer.text.replace(name, "<it>") for answer, name in zip(answers, names, strict=True)]
    assert bodies[0] == bodies[1]
    assert "www-authenticate" not in answers[0].headers
    known = zoo.knows.ask(method, hidden)
    assert "result" in messages(known)[0], known.text


CALLS = {
    "published-name": (f"{HIDDEN}_find", "gopher_find"),
    # The server has pages, and those call its tools by the server's own names: so may others, once they may call it.
    "own-name": ("find", "fund"),
    "own-name-of-a-tool-with-a-page": ("standard", "stendard"),
    "of-the-pup": (f"{HIDDEN}-pup_test_simple_text", "gopher-pup_test_simple_text"),
}


@pytest.mark.parametrize("which", CALLS)
def test_a_hidden_tool_is_as_unknown_as_one_that_never_was(zoo: Zoo, which: str) -> None:
    """Guards: names, aliases and hints are resolved for each caller."""
    hidden, absent = CALLS[which]
    arguments = {"arguments": {"text": "x"}}
    like_unknown(zoo, "tools/call", {"name": hidden} | arguments, {"name": absent} | arguments)
    answer = error(zoo.guest.call(hidden, {"text": "x"}))
    assert answer["code"] == -32602


@pytest.mark.parametrize(
    "name", [f"{HIDDEN}_fined", f"{HIDDEN}_fin", f"{HIDDEN}s_find", "findd", "Find", "walru_find", "kit_feedd"]
)
def test_a_hint_never_names_what_is_hidden(zoo: Zoo, name: str) -> None:
    """Guard: the nearest names are looked for among those the caller sees."""
    told = error(zoo.guest.call(name))["message"].replace(name, "")
    assert HIDDEN not in told and "kit_feed" not in told


def test_hints_do_name_what_is_seen(zoo: Zoo) -> None:
    """The twin: hints are given, so that the test above means something."""
    assert f"{HIDDEN}_find" in error(zoo.knows.call(f"{HIDDEN}_fined"))["message"]
    assert "kit_greet" in error(zoo.guest.call("kit_gree"))["message"]


def test_hidden_pages_prompts_and_completions_are_unknown(zoo: Zoo) -> None:
    """Guard: what is read by its address or name is checked like what is called."""
    pages = [
        page["uri"]
        for page in items(zoo.knows, "resources/list", "resources")
        if page["uri"].startswith(f"ui://{HIDDEN}/")
    ]
    assert pages
    for uri in pages[:1] + ["ui://standard/page.html"]:
        like_unknown(
            zoo, "resources/read", {"uri": uri}, {"uri": uri.replace(HIDDEN, "gopher").replace("standard", "stendard")}
        )
    [template, *_] = items(zoo.knows, "resources/templates/list", "resourceTemplates")
    uri = template["uriTemplate"]
    assert HIDDEN in uri
    [prompt] = [
        each for each in items(zoo.knows, "prompts/list", "prompts") if each["name"].endswith("test_simple_prompt")
    ]
    like_unknown(zoo, "prompts/get", {"name": prompt["name"]}, {"name": prompt["name"].replace(HIDDEN, "gopher")})
    for ref in (
        {"type": "ref/prompt", "name": prompt["name"]},
        {"type": "ref/resource", "uri": uri},
    ):
        asked = {"ref": ref, "argument": {"name": "arg1", "value": "t"}}
        absent = json.loads(json.dumps(asked).replace(HIDDEN, "gopher"))
        answers = [
            zoo.guest.ask("completion/complete", each).text.replace(HIDDEN, "gopher") for each in (asked, absent)
        ]
        assert answers[0] == answers[1]


def test_a_search_looks_only_where_the_caller_may(zoo: Zoo) -> None:
    """Guard: `search` and `fetch` make their calls for the caller, not for themselves."""
    for caller, there in ((zoo.knows, True), (zoo.guest, False)):
        found = caller.does("search", {"query": "anything"})["structuredContent"]["results"]
        assert any(each["id"].startswith(HIDDEN) for each in found) is there, found
        assert any(each["id"].startswith("docs") for each in found), "what is open is found by both"
    ids = [each["id"] for each in zoo.knows.does("search", {"query": "x"})["structuredContent"]["results"]]
    [hidden, *_] = [id for id in ids if id.startswith(HIDDEN)]
    assert "Chapter" in text(zoo.knows.does("fetch", {"id": hidden}))
    refused, absent = (result(zoo.guest.call("fetch", {"id": id})) for id in (hidden, hidden.replace(HIDDEN, "gopher")))
    assert refused["isError"] and "Chapter" not in text(refused)
    assert text(refused).replace(hidden, "<id>") == text(absent).replace(hidden.replace(HIDDEN, "gopher"), "<id>")
    assert HIDDEN not in said(zoo.guest, "tools/list")


def test_the_dashboard_and_its_samples_show_no_more_than_the_caller_may_use(zoo: Zoo) -> None:
    """Guard: `show_connectors` is made for the caller, and `run_sample` calls as the caller."""
    assert HIDDEN in json.dumps(zoo.knows.does("show_connectors")["structuredContent"])
    shown = zoo.guest.does("show_connectors")
    assert HIDDEN not in json.dumps(shown) and "Kit" in json.dumps(shown)
    assert shown["structuredContent"]["totals"]["connectors"] == len(shown["structuredContent"]["connectors"])
    assert zoo.knows.does("run_sample", {"connector": HIDDEN})["structuredContent"]["ok"] is True
    refused, absent = (result(zoo.guest.call("run_sample", {"connector": id})) for id in (HIDDEN, "gopher"))
    assert refused["isError"]
    assert text(refused).replace(HIDDEN, "<id>") == text(absent).replace("gopher", "<id>")
    assert zoo.guest.does("run_sample", {"connector": "kit"})["structuredContent"]["ok"] is True


@pytest.mark.parametrize("path", ["/apps/chatgpt-dashboard/", "/v1/connectors/stream"])
def test_the_operators_view_is_for_those_who_may_use_everything(zoo: Zoo, path: str) -> None:
    """Guard: the page that shows all connectors takes a key without limits; a guest's is not enough."""

    def look(headers: dict[str, str]) -> int:
        with httpx2.stream("GET", f"{zoo.server.base}{path}", headers=headers, timeout=60) as answer:
            return answer.status_code

    assert look(zoo.knows.headers) == 200
    assert look(zoo.guest.headers) in (401, 403)
    assert look({"Authorization": "Bearer sb_aaaaaaaaaa_" + "A" * 43}) in (401, 403)


def test_errors_about_headers_say_nothing_of_what_is_hidden(zoo: Zoo) -> None:
    """Guard: a request is looked at before its tool is known, and with the caller's eyes only."""
    mismatched = [
        {"Mcp_Name": "kit_greet"},
        {"Mcp_Method": "tools/list"},
        {"MCP_Protocol_Version": "2027-01-01"},
        {"Mcp_Param_Text": "y"},
    ]
    for headers in mismatched:
        answers = [zoo.guest.call(name, {"text": "x"}, **headers) for name in (f"{HIDDEN}_find", "gopher_find")]
        bodies = {answer.text.replace(HIDDEN, "gopher") for answer in answers}
        assert len(bodies) == 1 and len({answer.status_code for answer in answers}) == 1
    # Wrong arguments are not told from right ones.
    answers = [zoo.guest.call(f"{HIDDEN}_find", arguments).text for arguments in ({"text": "x"}, {"nonsense": 1}, {})]
    assert len(set(answers)) == 1


def test_subscriptions_and_tasks_tell_nothing_hidden(zoo: Zoo) -> None:
    """Guard: what is asked about later is checked like what is asked at once."""
    for method, params in (
        ("resources/subscribe", {"uri": "{}"}),
        ("tasks/get", {"taskId": "walrus-pup.1"}),
        ("tasks/cancel", {"taskId": "walrus-pup.1"}),
    ):
        [uri, *_] = [each["uri"] for each in items(zoo.knows, "resources/list", "resources") if HIDDEN in each["uri"]]
        hidden = json.dumps(request(method, params)).replace("{}", uri)
        headers = {"MCP_Protocol_Version": LEGACY} | zoo.guest.headers
        answers = [
            zoo.guest.wire.post(json.loads(body), **headers).text.replace(HIDDEN, "gopher")
            for body in (hidden, hidden.replace(HIDDEN, "gopher"))
        ]
        assert answers[0] == answers[1]


def test_what_is_published_under_fixed_addresses_names_nothing_hidden(zoo: Zoo) -> None:
    """Guard: documents for everybody say nothing of connectors that are not for everybody."""
    stranger = Wire(zoo.server.base)
    for path in (
        "/",
        "/health",
        "/healthz",
        "/livez",
        "/readyz",
        "/v1/connectors",
        "/metrics",
        "/.well-known/oauth-protected-resource",
    ):
        assert HIDDEN not in stranger.send("GET", path).text.lower(), path
    assert HIDDEN not in stranger.modern("tools/list").text


def test_a_changed_list_is_no_news_for_those_who_do_not_see_the_change(tmp_path: Path) -> None:
    """Guard: no session learns from a notification that something hidden came (it may hear that something changed)."""
    with gateway(tmp_path, KIT, auth={"mode": "api-key"}, env={"MCP_API_KEY": "own"}, more=UNLIMITED) as server:
        guest = Caller(server, new_key(server, "--subject", "guest", "--scopes", "x"))
        server.manifests.put(connector(HIDDEN, tool("feed"), scopes=["walrus:see"]))
        until(lambda: f"{HIDDEN}_feed" in Caller(server, "own").tools(), "the new connector")
        assert HIDDEN not in said(guest, "tools/list")
        assert error(guest.call(f"{HIDDEN}_feed"))["code"] == -32602


# More scopes


@dataclass
class Office:
    server: Server
    issuer: Issuer

    def caller(self, scope: str | None = "", **headers: str) -> Caller:
        return Caller(self.server, self.issuer.token(scope=scope) if scope is not None else None, **headers)


def office_in(home: Path, own: Issuer, stack: ExitStack, **auth: Any) -> Office:
    told = {"issuer": own.url, "allowPrivate": True, "scopes": ["docs:read", "docs:write"]}
    server = stack.enter_context(gateway(home, *ALL, auth={"mode": "oauth", "oauth": told, **auth}, more=UNLIMITED))
    own.audience = f"{server.base}/mcp"
    return Office(server, own)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with ExitStack() as stack:
        yield office_in(tmp_path_factory.mktemp("office"), stack.enter_context(issuer()), stack)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with ExitStack() as stack:
        yield office_in(tmp_path_factory.mktemp("mixed"), stack.enter_context(issuer()), stack, mixed=True)


def test_a_tool_that_takes_more_scopes_says_which(office: Office) -> None:
    """403 with all that is needed at once, beside what is held; with the scopes it works."""
    answer = office.caller("docs:read").call("docs_write")
    assert answer.status_code == 403
    told = challenge(answer)
    assert told["error"] == "insufficient_scope" and told["error_description"]
    assert set(told["scope"].split()) == {"docs:read", "docs:write"}
    assert told["resource_metadata"] == f"{office.server.base}/.well-known/oauth-protected-resource/mcp"
    assert [message["id"] for message in messages(answer)] == [1] and "error" in messages(answer)[0]
    assert set(challenge(office.caller("").call("docs_write"))["scope"].split()) >= {"docs:read", "docs:write"}
    assert text(office.caller("docs:read docs:write").does("docs_write")) == "write ran"


def refused_in_result(answer: Json) -> dict[str, str]:
    """A result that is an error, with a challenge that makes ChatGPT show its sign-in."""
    assert answer["isError"] is True and text(answer)
    [value] = answer["_meta"]["mcp/www_authenticate"]
    assert value.startswith("Bearer ")
    told = parse_challenge(value.removeprefix("Bearer "))
    assert told["error"] and told["error_description"] and told["resource_metadata"], told
    return told


@pytest.mark.parametrize("agent", ["openai-mcp/1.0.0", "openai-mcp/2.3 (beta)"])
def test_chatgpt_is_asked_for_more_in_a_result(office: Office, agent: str) -> None:
    told = refused_in_result(result(office.caller("docs:read", User_Agent=agent).call("docs_write")))
    assert told["error"] == "insufficient_scope" and set(told["scope"].split()) == {"docs:read", "docs:write"}
    assert office.caller("docs:read docs:write", User_Agent=agent).does("docs_write")


def test_in_a_batch_the_refusal_is_a_result(office: Office) -> None:
    """One status cannot answer for two calls."""
    caller = office.caller("docs:read")
    batch = [request("tools/call", {"name": name}, id=name) for name in ("docs_write", "docs_read")]
    answer = caller.wire.post(batch, MCP_Protocol_Version="2025-03-26", **caller.headers)
    assert refused_in_result(result(answer, "docs_write"))
    assert text(result(answer, "docs_read")) == "read ran"


def test_the_legacy_era_is_refused_alike(office: Office) -> None:
    caller = office.caller("docs:read")
    answer = caller.wire.legacy("tools/call", {"name": "docs_write"}, **caller.headers)
    assert answer.status_code == 403 and challenge(answer)["error"] == "insufficient_scope"
    assert text(result(caller.wire.legacy("tools/call", {"name": "docs_read"}, **caller.headers))) == "read ran"


def test_a_tool_out_of_reach_is_not_there_at_all(tmp_path: Path) -> None:
    """Guard: a scope that the issuer cannot give is not asked for; the tool is unknown, and not in the challenge."""
    with ExitStack() as stack:
        own = stack.enter_context(issuer())
        office = office_in(tmp_path, own, stack)
        office.server.manifests.put(connector(HIDDEN, tool("feed"), scopes=["walrus:see"]))
        able = office.caller("walrus:see")
        until(lambda: f"{HIDDEN}_feed" in able.tools(), "the connector")
        caller = office.caller("docs:read docs:write")
        assert HIDDEN not in said(caller, "tools/list")
        assert error(caller.call(f"{HIDDEN}_feed"))["code"] == -32602
        assert HIDDEN not in caller.call("docs_nonesuch").text


def schemes(tools: dict[str, Json]) -> dict[str, list[Json]]:
    for each in tools.values():
        assert each["securitySchemes"] == each["_meta"]["securitySchemes"], each
    return {name: each["securitySchemes"] for name, each in tools.items()}


def test_every_tool_says_what_it_takes_when_everybody_signs_in(office: Office) -> None:
    told = schemes(office.caller("docs:read").tools())
    assert told["board_look"] == told["desk_sit"] == [{"type": "oauth2", "scopes": []}]
    assert told["docs_read"] == [{"type": "oauth2", "scopes": ["docs:read"]}]
    [write] = told["docs_write"]
    assert write["type"] == "oauth2" and set(write["scopes"]) == {"docs:read", "docs:write"}
    assert told["get_profile"] == [{"type": "oauth2", "scopes": []}]


def test_the_profile_tool_has_the_form_that_chatgpt_reads(office: Office) -> None:
    tool = office.caller("").tools()["get_profile"]
    assert tool["_meta"]["openai/profile"] is True
    assert tool["annotations"]["readOnlyHint"] is True and tool["annotations"]["openWorldHint"] is False
    assert tool["outputSchema"]["required"] == ["id"] and tool["outputSchema"]["additionalProperties"] is False
    answer = office.caller("").does("get_profile")
    assert answer["structuredContent"]["id"] and json.loads(text(answer)) == answer["structuredContent"]


def test_in_mixed_mode_each_tool_says_for_itself_what_it_takes(mixed: Office) -> None:
    """Strangers connect, list, and use what is open; the rest asks them to sign in."""
    stranger = mixed.caller(None)
    told = schemes(stranger.tools())
    assert told["board_look"] == [{"type": "noauth"}]
    assert told["desk_sit"] == [{"type": "oauth2", "scopes": []}]
    assert text(stranger.does("board_look")) == "look ran"
    for name, scopes in (("desk_sit", set()), ("docs_read", {"docs:read"})):
        answer = stranger.call(name)
        assert answer.status_code == 401
        told = challenge(answer)
        assert told["error"] == "insufficient_scope" and set(told.get("scope", "").split()) >= scopes, told
        assert refused_in_result(result(mixed.caller(None, User_Agent="openai-mcp/1.0.0").call(name)))
    assert text(mixed.caller("").does("desk_sit")) == "sit ran"
    assert result(stranger.ask("server/discover"))


def test_in_mixed_mode_a_wrong_proof_is_not_the_same_as_none(mixed: Office) -> None:
    """Guard: whoever shows a proof that does not count hears so, instead of quietly being nobody."""
    for bad in (mixed.issuer.token(exp=2), "nonsense"):
        denied(Caller(mixed.server, bad).ask("tools/list"))
    assert mixed.caller(None).counts()


# Sessions


def open_session(caller: Caller) -> str:
    answer = caller.wire.post(request("initialize", INITIALIZE), **caller.headers)
    session = answer.headers["mcp-session-id"]
    caller.wire.post(
        {"jsonrpc": "2.0", "method": "notifications/initialized"}, Mcp_Session_Id=session, **caller.headers
    )
    return session


def in_session(caller: Caller, session: str) -> httpx2.Response:
    return caller.wire.legacy("tools/list", Mcp_Session_Id=session, **caller.headers)


def test_a_session_is_its_owners_whichever_token_they_show(office: Office) -> None:
    """Guards: a session is found by principal, never by its id alone; a refreshed token is the same principal."""
    owner = Caller(office.server, office.issuer.token(jti="1"))
    session = open_session(owner)
    assert result(in_session(owner, session))["tools"]
    refreshed = Caller(office.server, office.issuer.token(jti="2", scope="docs:read docs:write"))
    assert result(in_session(refreshed, session))["tools"]
    for other in ({"sub": "mallory"}, {"client_id": "another program"}):
        thief = Caller(office.server, office.issuer.token(**other))
        assert in_session(thief, session).status_code == 404, other
        assert thief.wire.send("DELETE", "/mcp", headers={"Mcp-Session-Id": session} | thief.headers).status_code == 404
        stream = thief.wire.send(
            "GET", "/mcp", headers={"Mcp-Session-Id": session, "Accept": "text/event-stream"} | thief.headers
        )
        assert stream.status_code == 404
    assert in_session(office.caller(None), session).status_code == 401
    assert result(in_session(owner, session))["tools"]


def test_a_session_of_mixed_mode_is_not_taken_over(mixed: Office) -> None:
    """Guard: strangers share no session with those who signed in."""
    owner = mixed.caller("")
    session = open_session(owner)
    assert in_session(mixed.caller(None), session).status_code == 404
    assert result(in_session(owner, session))["tools"]
    open_to_all = open_session(mixed.caller(None))
    assert in_session(mixed.caller(None), open_to_all).status_code == 200


def test_a_session_does_not_keep_what_its_opener_was_allowed(office: Office) -> None:
    """Guard: each request in a session counts with its own token's scopes."""
    able = Caller(office.server, office.issuer.token(scope="docs:read docs:write"))
    session = open_session(able)
    params = {"name": "docs_write"}
    assert text(result(able.wire.legacy("tools/call", params, Mcp_Session_Id=session, **able.headers))) == "write ran"
    fewer = Caller(office.server, office.issuer.token(scope="docs:read"))
    answer = fewer.wire.legacy("tools/call", params, Mcp_Session_Id=session, **fewer.headers)
    assert answer.status_code == 403
    late = Caller(office.server, office.issuer.token(exp=2))
    assert in_session(late, session).status_code == 401


def test_a_stream_of_the_older_transport_is_its_owners(office: Office) -> None:
    """Guards: posting to somebody's stream takes their proof, not only its id; a refreshed token goes on."""
    owner = Caller(office.server, office.issuer.token(jti="1"))
    assert httpx2.get(office.server.url, headers={"Accept": "text/event-stream"}, timeout=60).status_code == 401
    with httpx2.stream(
        "GET", office.server.url, headers={"Accept": "text/event-stream"} | owner.headers, timeout=60
    ) as stream:
        assert stream.status_code == 200
        events = iter(httpx2.EventSource(stream))
        path = next(events).data
        assert office.issuer.token().split(".")[0] not in path

        def post(headers: dict[str, str], id: int = 1) -> int:
            body = request("initialize", INITIALIZE, id=id)
            return owner.wire.send("POST", path, json.dumps(body).encode(), headers).status_code

        assert post({}) == 401
        assert post(Caller(office.server, office.issuer.token(sub="mallory")).headers) == 404
        assert post(Caller(office.server, office.issuer.token(client_id="another")).headers) == 404
        assert post(Caller(office.server, office.issuer.token(jti="2")).headers, 7) == 202
        answer = next(json.loads(event.data) for event in events if event.event == "message")
        assert answer["id"] == 7 and answer["result"]
        call = request("tools/call", {"name": "docs_write"}, id=8)
        assert owner.wire.send("POST", path, json.dumps(call).encode(), owner.headers).status_code == 202
        answer = next(json.loads(event.data) for event in events if event.event == "message")
        assert answer["id"] == 8 and refused_in_result(answer["result"])


def test_a_task_is_its_owners(zoo: Zoo) -> None:
    """Guard: a task is found by principal; another's is as unknown as one that never was, and goes on."""
    knows_tasks = {"io.modelcontextprotocol/clientCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}}}
    meta = META | knows_tasks
    asked = {"name": f"{HIDDEN}-pup_slow_compute", "arguments": {"seconds": 30, "label": "x"}, "_meta": meta}
    task = result(zoo.knows.ask("tools/call", asked))["taskId"]
    thief = Caller(zoo.server, new_key(zoo.server, "--subject", "thief"))

    def ask(caller: Caller, method: str, id: str) -> Json:
        return messages(caller.ask(method, {"taskId": id, "_meta": meta}, Mcp_Name=id))[0]

    made_up = task[:-1] + ("0" if task[-1] != "0" else "1")
    for method in ("tasks/get", "tasks/cancel"):
        for caller in (thief, zoo.guest):
            answers = [json.dumps(ask(caller, method, id)).replace(id, "<id>") for id in (task, made_up)]
            assert answers[0] == answers[1] and "error" in answers[0], answers
    assert ask(zoo.knows, "tasks/get", task)["result"]["status"] == "working"
    assert "result" in ask(zoo.knows, "tasks/cancel", task)


def test_what_a_conversation_keeps_is_its_owners(tmp_path: Path) -> None:
    """Guard: what a collection holds for a caller is found by principal; the same id by another is another's or nobody's."""
    with ExitStack() as stack:
        own = stack.enter_context(issuer())
        told = {"issuer": own.url, "allowPrivate": True}
        server = stack.enter_context(
            gateway(tmp_path, WIDGETS / "collections", auth={"mode": "oauth", "oauth": told}, more=UNLIMITED)
        )
        own.audience = f"{server.base}/mcp"
        ada, bob, other = (Caller(server, own.token(**who)) for who in ({}, {"sub": "bob"}, {"client_id": "another"}))
        ada.does("shelf_put", {"items": [{"title": "her book"}]})
        assert "her book" in text(ada.does("shelf_show")) and "her book" in text(other.does("shelf_show"))
        assert "her book" not in text(bob.does("shelf_show"))
        id = ada.does("basket_put", {"items": [{"name": "eggs"}]})["structuredContent"]["basketId"]
        assert "eggs" in text(ada.does("basket_show", {"basketId": id}))
        for name, arguments in (("basket_show", {}), ("basket_put", {"items": [{"name": "poison"}]})):
            theirs = result(bob.call(name, {"basketId": id} | arguments))
            assert theirs.get("isError") and "eggs" not in text(theirs), theirs
        assert "poison" not in text(ada.does("basket_show", {"basketId": id}))


# What headers cannot do


FORGED = [
    {"X_Forwarded_For": "127.0.0.1"},
    {"X_Forwarded_Host": "evil.example"},
    {"X_Forwarded_Proto": "https"},
    {"X_Forwarded_Prefix": "/evil"},
    {"Forwarded": 'for=127.0.0.1;host="evil.example";proto=https'},
    {"X_Real_Ip": "127.0.0.1"},
    {"X_Forwarded_User": "root"},
    {"X_Remote_User": "root"},
    {"X_Auth_Request_User": "root"},
    {"X_Original_Url": "/"},
    {"X_Http_Method_Override": "GET"},
]


@pytest.mark.parametrize("headers", FORGED, ids=lambda headers: next(iter(headers)))
def test_headers_that_proxies_write_let_nobody_in(office: Office, headers: dict[str, str]) -> None:
    """Guard: forwarded headers of whoever is no trusted proxy are not read: not for who calls, nor for who we are."""
    answer = office.caller(None, **headers).ask("tools/list")
    assert answer.status_code == 401
    assert challenge(answer)["resource_metadata"].startswith(f"{office.server.base}/.well-known/")
    told = Wire(office.server.base).send(
        "GET",
        "/.well-known/oauth-protected-resource",
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )
    assert told.json()["resource"] == f"{office.server.base}/mcp"
    assert "evil" not in answer.text + told.text + str(answer.headers)
    assert office.caller("", **headers).counts()


@pytest.mark.parametrize("name", ["access_token", "token", "api_key", "key", "authorization", "bearer", "X-API-Key"])
def test_a_proof_in_the_address_is_no_proof(office: Office, name: str) -> None:
    """Guard: addresses end up in logs and histories; proofs are read from headers alone. (RFC 9700, 4.3.2)"""
    token = office.issuer.token()
    wire = Wire(office.server.base)
    body = request("tools/list", {"_meta": META})
    headers = {"MCP_Protocol_Version": MODERN, "Mcp_Method": "tools/list"}
    assert wire.post(body, f"/mcp?{name}={token}", **headers).status_code == 401
    stream = wire.send("GET", f"/mcp?{name}={token}", headers={"Accept": "text/event-stream"})
    assert stream.status_code == 401
    assert wire.post(body, "/mcp?x=1", **headers, Authorization=f"Bearer {token}").status_code == 200
    assert token not in "\n".join(office.server.log)


def test_two_proofs_are_one_too_many(office: Office) -> None:
    """Guard: nobody has to guess whose request it is."""
    token = office.issuer.token()
    other = office.issuer.token(sub="mallory")
    for headers in (
        {"X-API-Key": other, "Authorization": f"Bearer {token}"},
        {"X-API-Key": token, "Authorization": f"Bearer {other}"},
    ):
        assert Caller(office.server, **headers).ask("tools/list").status_code == 400
    pairs = [("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {other}")]
    sent = [
        ("Accept", "application/json"),
        ("Content-Type", "application/json"),
        ("MCP-Protocol-Version", MODERN),
        ("Mcp-Method", "tools/list"),
    ]
    body = json.dumps(request("tools/list", {"_meta": META}))
    with httpx2.Client(timeout=60, trust_env=False) as client:
        assert client.post(office.server.url, content=body, headers=[*sent, *pairs]).status_code == 400
        assert client.post(office.server.url, content=body, headers=[*sent, pairs[0]]).status_code == 200


def test_every_answer_carries_its_number(office: Office) -> None:
    """Refusals too: a person who asks for help can name the request."""
    wire = Wire(office.server.base)
    answers = [
        office.caller("").ask("tools/list"),
        office.caller(None).ask("tools/list"),
        Caller(office.server, "x").ask("tools/list"),
        office.caller("docs:read").call("docs_write"),
        wire.send("GET", "/.well-known/oauth-protected-resource"),
        wire.send("GET", "/nonesuch"),
        wire.send("POST", "/mcp", b"{}", {"Host": "evil.example"}),
    ]
    numbers = {answer.headers["x-request-id"] for answer in answers}
    assert len(numbers) == len(answers)


# DNS rebinding


ROUTES = [
    ("GET", "/mcp"),
    ("POST", "/mcp"),
    ("DELETE", "/mcp"),
    ("OPTIONS", "/mcp"),
    ("POST", "/mcp/messages?sessionId=0"),
    ("GET", "/.well-known/oauth-protected-resource"),
    ("GET", "/.well-known/oauth-protected-resource/mcp"),
    ("GET", "/.well-known/oauth-authorization-server"),
    ("GET", "/.well-known/openid-configuration"),
    ("GET", "/oauth/jwks"),
    ("GET", "/oauth/authorize"),
    ("POST", "/oauth/authorize"),
    ("POST", "/oauth/sign-in"),
    ("POST", "/oauth/consent"),
    ("POST", "/oauth/token"),
    ("POST", "/oauth/register"),
    ("POST", "/oauth/revoke"),
    ("GET", "/apps/chatgpt-dashboard/"),
    ("GET", "/v1/connectors/stream"),
    ("GET", "/"),
    ("GET", "/nonesuch"),
]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with built_in(tmp_path_factory.mktemp("house")) as server:
        yield server


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=map(" ".join, ROUTES))
def test_no_route_answers_under_a_name_that_was_rebound_to_us(house: Server, method: str, path: str) -> None:
    """Guard: Host is checked before every route (DNS rebinding), Origin on those that do something."""
    wire = Wire(house.base)
    body = b"a=b" if method == "POST" else None
    form = {"Content-Type": "application/x-www-form-urlencoded"} if method == "POST" else {}
    port = house.base.rsplit(":", 1)[1]
    for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example", f"evil.example:{port}"):
        answer = wire.send(method, path, body, form | {"Host": host})
        assert answer.status_code == 403, f"{host}: {answer.status_code}"
        assert "location" not in answer.headers and "set-cookie" not in answer.headers
    if method == "POST":
        answer = wire.send(method, path, body, form | {"Origin": "https://evil.example"})
        assert answer.status_code == 403
        form["Origin"] = house.base
    # The same without the attack gets to the route, whatever it says to a request without sense.
    with wire._http.stream(method, path, content=body, headers=form) as answer:  # noqa: SLF001 - some never end
        assert answer.status_code != 403 or path.startswith(("/v1/", "/apps/")), answer.read()


# Built-in issuer: what a person granted is what their program may do


def test_a_program_asks_for_more_when_a_tool_takes_more(house: Server) -> None:
    """A step-up by hand: refused with the scopes, asked for again with them, then done; the first token stays as it was."""
    app, ada = App.register(house), Person(house, "ada", PASSWORD)
    first = app.grant(ada, "mcp")
    refused = Caller(house, first["access_token"]).call("docs_write")
    assert refused.status_code == 403
    wanted = challenge(refused)["scope"]
    assert set(wanted.split()) >= {"docs:read", "docs:write", "mcp"}
    told = tokens(app.redeem(parameters(ada.answers(app.link(scope=wanted)))["code"]))
    assert text(Caller(house, told["access_token"]).does("docs_write")) == "write ran"
    assert Caller(house, first["access_token"]).call("docs_write").status_code == 403


def test_settings_never_show_secrets(house: Server, tmp_path: Path) -> None:
    """Guard: `check` prints what is in force, and no secret of it."""
    file = settings(
        tmp_path,
        mode="built-in",
        builtIn={"client": {"id": "predefined", "secret": "very-secret-secret"}},
        secretPath="s" * 32,
    )
    shown = cli(
        house.manifests,
        "check",
        "--format",
        "json",
        "--config",
        str(file),
        "--manifests",
        str(house.manifests.folder),
        MCP_API_KEY="operators-own-key",
    )
    assert "predefined" in shown.stdout, shown.stderr
    for secret in ("very-secret-secret", "operators-own-key", "s" * 32):
        assert secret not in shown.stdout + shown.stderr
