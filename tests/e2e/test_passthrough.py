"""What no SDK has a type for arrives as it was sent: the server behind is `oddities.py`, known to the byte."""

import hashlib
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest

import harness
import oddities
from connectors import Published, connector
from harness import BINARY, HERE, Manifests, Server, until
from session import Session, elements, member, over_http, over_sse, over_stdio
from test_supervision import status
from test_upstreams import exact, without_our_additions
from wire import META, Json, Wire, result

ADAPTER = {"program": sys.executable, "args": [str(HERE / "oddities.py")]}
TRANSPORTS = ["http", "sse", "stdio"]


class Odd(Published):
    id = "odd"


PUBLISHED = Odd()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A gateway with the oddities behind it."""
    with harness.serve(connector(tmp_path_factory.mktemp("odd") / "manifests", "odd", ADAPTER)) as server:
        yield server


@contextmanager
def session_over(transport: str, server: Server, capabilities: Json | None = None) -> Iterator[Session]:
    manifests = ["stdio", "--manifests", str(server.manifests.folder)]
    connected = {
        "http": lambda: over_http(server.url, capabilities=capabilities or {}),
        "sse": lambda: over_sse(server.url, capabilities=capabilities or {}),
        "stdio": lambda: over_stdio([BINARY, *manifests], capabilities=capabilities or {}),
    }
    with connected[transport]() as session:
        until(lambda: session.listed("tools"), "the tools")
        yield session


@pytest.fixture(scope="module", params=TRANSPORTS)
def session(request: pytest.FixtureRequest, server: Server) -> Iterator[Session]:
    with session_over(request.param, server) as session:
        yield session


@pytest.fixture
def wire(server: Server, session: Session) -> Wire:
    """For requests without a session; the tools are there."""
    return Wire(server.base)


def answer_text(response: httpx2.Response) -> str:
    """The text of the message that answers, be it the body or an event of it."""
    if response.headers["content-type"].startswith("text/event-stream"):
        events = [event.data for event in httpx2.EventSource(response) if event.data.strip()]
        return events[-1]
    return response.text


def descriptors(session: Session) -> dict[str, Json]:
    """The published tools by the names their server gave them."""
    names = {name: json.loads(tool)["name"] for tool in oddities.TOOLS for name in [published_name(tool)]}
    published = [exact(PUBLISHED.original(tool)) for tool in session.listed("tools")]
    return {names[tool["name"]]: tool for tool in published}


def published_name(tool: str) -> str:
    """What clients take: letters, digits, `_` and `-`, 64 of them; what is longer ends in a hash of the whole."""
    name = PUBLISHED.tool(json.loads(tool)["name"])
    safe = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    if len(safe) <= 64:
        return safe
    return f"{safe[:55]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


# Results and errors


@pytest.mark.parametrize("tool", oddities.VERBATIM)
def test_the_text_of_a_result_arrives_as_it_was_written(session: Session, tool: str) -> None:
    answer = session.call(PUBLISHED.tool(tool))
    assert answer.kind == "result"
    assert answer.raw == oddities.VERBATIM[tool]


@pytest.mark.parametrize("tool", oddities.VERBATIM)
def test_a_modern_client_gets_the_same_and_the_type_its_revision_wants(wire: Wire, tool: str) -> None:
    got = exact(member(answer_text(wire.modern("tools/call", {"name": PUBLISHED.tool(tool)})), "result"))
    assert got.pop("resultType") == "complete"
    assert got == exact(oddities.VERBATIM[tool])


def test_a_modern_client_gets_the_same_numbers_as_they_were_written(wire: Wire) -> None:
    text = answer_text(wire.modern("tools/call", {"name": "odd_numbers"}))
    assert member(member(text, "result"), "structuredContent") == member(
        oddities.VERBATIM["numbers"], "structuredContent"
    )


def test_an_error_arrives_with_its_own_code_message_and_data(session: Session, wire: Wire) -> None:
    answer = session.call("odd_fails")
    assert answer.kind == "error"
    assert exact(answer.raw) == exact(oddities.FAILURE)
    assert member(answer.raw, "data") == member(oddities.FAILURE, "data")
    error = member(answer_text(wire.modern("tools/call", {"name": "odd_fails"})), "error")
    assert exact(error) == exact(oddities.FAILURE)


def test_links_and_embedded_resources_carry_published_uris_and_nothing_else_changes(session: Session) -> None:
    got = exact(session.call("odd_links").raw)
    expected = exact(oddities.LINKS)
    link, embedded, book = expected["content"]
    link["uri"] = PUBLISHED.uri(link["uri"])
    embedded["resource"]["uri"] = PUBLISHED.uri(embedded["resource"]["uri"])
    book["resource"]["uri"] = "switchboard://odd/urn:isbn:0451450523"
    assert got == expected


# Requests


def values(text: str) -> Any:
    """JSON with numbers of any size and precision."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


NUMBERS = '{"beyond":9007199254740993,"huge":123456789012345678901234567890,"one":1.0,"hundred":1E+2,"é":"\\u00e9"}'


def test_arguments_arrive_with_every_digit(wire: Wire) -> None:
    body = json.dumps(
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"_meta": META, "name": "odd_echo"}}
    )
    body = body.replace('"name": "odd_echo"', f'"name": "odd_echo", "arguments": {NUMBERS}')
    headers = {"MCP_Protocol_Version": "2026-07-28", "Mcp_Method": "tools/call", "Mcp_Name": "odd_echo"}
    answer = result(wire.post(body.encode(), **headers))
    line = answer["content"][0]["text"]
    assert values(member(member(line, "params"), "arguments")) == values(NUMBERS)


def test_a_call_reaches_its_server_with_nothing_added_but_what_belongs_to_the_connection(session: Session) -> None:
    answer = session.call("odd_echo", {"b": None}, _meta={"com.example/trace": {"n": 1}, "progressToken": "mine"})
    params = json.loads(answer.value["content"][0]["text"])["params"]
    assert params["name"] == "echo"
    assert params["arguments"] == {"b": None}  # The default for `a` is the server's own affair.
    assert params["_meta"]["com.example/trace"] == {"n": 1}
    assert set(params) == {"name", "arguments", "_meta"}


@pytest.mark.parametrize("tool", ["draft-07", "nonsense", "away"])
@pytest.mark.parametrize("arguments", [{}, {"a": 1}, {"a": "text", "c": []}])
def test_whether_arguments_fit_is_for_the_server_to_say(session: Session, tool: str, arguments: Json) -> None:
    answer = session.call(PUBLISHED.tool(tool), arguments).value
    assert json.loads(answer["content"][0]["text"])["params"] == {"name": tool, "arguments": arguments}


# Lists


def test_descriptors_keep_what_nobody_has_a_type_for(session: Session) -> None:
    published = descriptors(session)
    for text in oddities.TOOLS:
        original = exact(text)
        if original["name"] == "twin":
            continue
        tool = published[original["name"]] | {"name": original["name"]}
        assert without_our_additions(tool, original) == original


def test_resources_templates_and_prompts_keep_what_nobody_has_a_type_for(session: Session) -> None:
    resources = [exact(PUBLISHED.original(resource)) for resource in session.listed("resources")]
    expected = [exact(text) for text in oddities.RESOURCES.values()]
    for resource in expected:
        if resource["uri"].startswith("urn:"):
            resource["uri"] = f"switchboard://{resource['uri']}"
        if resource["uri"].startswith("ui://"):
            # What a page may load is said in the words of both families of clients.
            resource["_meta"]["openai/widgetCSP"] = {"connect_domains": resource["_meta"]["ui"]["csp"]["connectDomains"]}
    assert sorted(resources, key=str) == sorted(expected, key=str)
    [template] = session.listed("resourceTemplates")
    assert exact(template) == exact(oddities.TEMPLATE) | {"uriTemplate": "odd://odd/things/{id}{?page}"}
    [prompt] = session.listed("prompts")
    assert exact(prompt) == exact(oddities.PROMPT) | {"name": "odd_ask"}


def test_a_prompt_arrives_as_it_was_written(session: Session) -> None:
    assert session.ask("prompts/get", {"name": "odd_ask", "arguments": {"what": "?"}}).raw == oddities.PROMPTED


@pytest.mark.parametrize("uri", oddities.RESOURCES)
def test_a_resource_is_read_under_its_published_uri_and_comes_whole(session: Session, uri: str) -> None:
    published = PUBLISHED.uri(uri) if "://" in uri else f"switchboard://odd/{uri}"
    answer = session.ask("resources/read", {"uri": published})
    expected = exact(oddities.contents(uri))
    expected["contents"][0]["uri"] = published
    assert exact(answer.raw) == expected


def test_all_pointers_to_a_widget_move_together(session: Session) -> None:
    [tool] = [tool for text in session.listed("tools") if (tool := json.loads(text))["name"] == "odd_widget"]
    meta = tool["_meta"]
    pointers = {meta["ui"]["resourceUri"], meta["ui/resourceUri"], meta["openai/outputTemplate"]}
    assert pointers == {PUBLISHED.uri(oddities.WIDGET)}
    assert meta["ui"]["visibility"] == ["model"] and meta["openai/widgetAccessible"] is True
    [page] = session.ask("resources/read", {"uri": pointers.pop()}).value["contents"]
    assert page["_meta"]["ui"]["prefersBorder"] is True and "openai/widgetCSP" in page["_meta"]


def test_names_that_clients_refuse_are_published_under_names_they_take(session: Session) -> None:
    names = [json.loads(tool)["name"] for tool in session.listed("tools")]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) for name in names)
    for original in (oddities.ODD, oddities.LONG, f"{oddities.LONG}m"):
        [text] = [text for text in oddities.TOOLS if json.loads(text)["name"] == original]
        assert published_name(text) in names
        line = session.call(published_name(text)).value["content"][0]["text"]
        assert json.loads(line)["params"]["name"] == original


def test_of_two_tools_with_one_name_the_first_is_published_and_the_other_reported(
    session: Session, server: Server
) -> None:
    [twin] = [tool for text in session.listed("tools") if (tool := json.loads(text))["name"] == "odd_twin"]
    assert twin["description"] == "the first"
    assert session.call("odd_twin").kind == "result"
    reported = "left out: a second tool called `twin`"
    assert status(server)["odd"]["reason"] == reported
    server.says(reported)


# Servers that do not know when to stop


def test_a_list_without_end_is_ended(tmp_path: Path) -> None:
    endless = {"program": sys.executable, "args": [str(HERE / "oddities.py"), "--same-cursor"]}
    with harness.serve(with_a_sound_one(tmp_path, "endless", endless)) as server, over_http(server.url) as session:
        until(lambda: {"odd_numbers"} <= names(session), "the sound one's tools")
        assert session.call("odd_numbers").raw == oddities.VERBATIM["numbers"]
        until(lambda: "endless_numbers" in names(session), f"the endless one's tools: {server.log}")
        assert session.call("endless_numbers").raw == oddities.VERBATIM["numbers"]
        listed = [json.loads(tool)["name"] for tool in session.listed("tools")]
        assert len(listed) == len(set(listed))


def test_a_flood_of_notifications_drowns_nobody(tmp_path: Path) -> None:
    flood = {"program": sys.executable, "args": [str(HERE / "oddities.py"), "--flood"]}
    with harness.serve(with_a_sound_one(tmp_path, "flood", flood)) as server, over_http(server.url) as session:
        until(lambda: {"odd_numbers", "flood_numbers"} <= names(session), f"both servers' tools: {server.log}")
        for _ in range(5):
            assert session.call("odd_numbers").raw == oddities.VERBATIM["numbers"]
            assert session.call("flood_numbers").raw == oddities.VERBATIM["numbers"]


def with_a_sound_one(tmp_path: Path, id: str, adapter: Json) -> Manifests:
    connector(tmp_path / "manifests", "odd", ADAPTER)
    return connector(tmp_path / "manifests", id, adapter)


def names(session: Session) -> set[str]:
    return {json.loads(tool)["name"] for tool in session.listed("tools")}


def test_the_parts_of_an_array_are_taken_as_they_stand() -> None:
    assert elements('[ {"a":1.0}, [2 ] ,"]"]') == ['{"a":1.0}', "[2 ]", '"]"']
    assert member(' { "a" : 1.0 , "b": [ {} ]}', "b") == "[ {} ]"
