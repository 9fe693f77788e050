"""A FastAPI application behind the server: what its own document says, and what arrives there."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

import behind
import harness
from apis import shop
from harness import Server, until
from wire import Json, Wire, result, text

TEXTS = ["plain", "a b", "a&b=c#d?e", "%41 %2F %", "+ and /", "ünïcödé 漢字 🦀", "'\"<>\\`{}|^", "..", ";,:@$!*()"]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with behind.python("shop.py") as url:
        yield url


PROOFS: Json = {
    "headers": {"Authorization": "Bearer ${SHOP_BEARER}", "X-Shop-Key": "${SHOP_KEY}"},
    "query": {"shop_key": "${SHOP_KEY}"},
}


@pytest.fixture(scope="module")
def server(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The shop as `shop`, and once more without anything to show it, as `stranger`."""
    folder = tmp_path_factory.mktemp("shop") / "manifests"
    behind.api(folder, "stranger", f"{address}/openapi.json")
    manifests = behind.api(folder, "shop", f"{address}/openapi.json", credentials=PROOFS)
    env = {"SHOP_BEARER": shop.BEARER, "SHOP_KEY": shop.API_KEY}
    with harness.serve(manifests, env=env) as server:
        yield server


@pytest.fixture(scope="module")
def tools(server: Server) -> dict[str, Json]:
    return behind.operations(server, "shop")


class Shop:
    """Calls the shop's tools by the operations they are."""

    def __init__(self, server: Server, tools: dict[str, Json]) -> None:
        self.server, self.tools = server, tools

    def call(self, operation: str, /, **arguments: Any) -> Json:
        params = {"name": self.tools[operation]["name"], "arguments": arguments}
        return result(Wire(self.server.base).modern("tools/call", params))

    def value(self, operation: str, /, **arguments: Any) -> Any:
        answer = self.call(operation, **arguments)
        assert not answer.get("isError"), text(answer)
        return answer["structuredContent"]

    def failure(self, operation: str, /, **arguments: Any) -> str:
        answer = self.call(operation, **arguments)
        assert answer.get("isError"), answer
        return text(answer)

    def schema(self, operation: str) -> Json:
        return self.tools[operation]["inputSchema"]["properties"]


@pytest.fixture(scope="module")
def calls(server: Server, tools: dict[str, Json]) -> Shop:
    return Shop(server, tools)


# Tools


def test_each_operation_is_a_tool_but_for_the_deprecated_one(address: str, tools: dict[str, Json]) -> None:
    described = httpx2.get(f"{address}/openapi.json", trust_env=False).json()
    operations = {f"{method.upper()} {path}" for path, item in described["paths"].items() for method in item}
    assert operations - tools.keys() == {"GET /answers/old"} and tools.keys() <= operations


def test_a_given_operation_id_is_the_name_and_a_written_one_loses_its_tail(tools: dict[str, Json]) -> None:
    assert tools["POST /items"]["name"] == "shop_create_item"
    assert all(len(tool["name"]) <= 64 and "__" not in tool["name"] for tool in tools.values()), tools


def test_the_method_says_what_a_tool_does_to_the_world(tools: dict[str, Json]) -> None:
    assert tools["GET /query"]["annotations"]["readOnlyHint"] is True
    assert tools["PUT /raw/{name}"]["annotations"]["idempotentHint"] is True
    assert tools["DELETE /answers/nothing"]["annotations"]["destructiveHint"] is True
    assert tools["POST /items"]["annotations"].get("readOnlyHint", False) is False


# Where values stand


WHERE = {
    "text": "a b&c=d#e?f%41+g;h,i:@ü",
    "number": -7,
    "ratio": 0.25,
    "yes": True,
    "size": "large",
    "id": "5f0c9e9a-3f0e-4f0e-8f0e-2f0e1f0e0f0e",
    "day": "2026-02-28",
}


def test_values_of_every_kind_arrive_in_the_path(calls: Shop) -> None:
    operation = "GET /path/{text}/{number}/{ratio}/{yes}/{size}/{id}/{day}"
    assert calls.value(operation, **WHERE) == WHERE


def test_a_slash_in_a_path_value_stays_in_its_place(calls: Shop, address: str) -> None:
    assert calls.value("GET /rest/{rest}", rest="a/b c/d") == {"rest": "a/b c/d"}
    seen = httpx2.get(f"{address}/seen", trust_env=False).json()
    assert "/rest/a%2Fb%20c%2Fd" in {one["path"] for one in seen}


@pytest.mark.parametrize("value", ["..", ".", "a/../b", "../answers/word"])
def test_a_path_value_never_leads_elsewhere(calls: Shop, address: str, value: str) -> None:
    before = len(httpx2.get(f"{address}/seen", trust_env=False).json())
    answer = calls.call("GET /rest/{rest}", rest=value)
    seen = [one["path"] for one in httpx2.get(f"{address}/seen", trust_env=False).json()[before + 1 :]]
    assert all(path.startswith("/rest/") for path in seen if path != "/seen"), seen
    assert answer.get("isError") or answer["structuredContent"] == {"rest": value}


@pytest.mark.parametrize("value", TEXTS)
def test_texts_arrive_in_the_query_as_they_are(calls: Shop, value: str) -> None:
    seen = calls.value("GET /query", text=value, many=[value, "second", value])
    assert (seen["text"], seen["many"]) == (value, [value, "second", value])


def test_values_of_every_kind_arrive_in_the_query(calls: Shop) -> None:
    operation = "GET /query"
    [wire] = [name for name in calls.schema(operation) if "filter" in name]
    given = {
        "number": -5,
        "sizes": ["small", "large"],
        wire: "x eq 'y'",
        "at": "2026-01-02T03:04:05Z",
        "lasting": "P1DT2S",
    }
    seen = calls.value(operation, text="t", **given)
    assert (seen["number"], seen["sizes"], seen["wire"]) == (-5, ["small", "large"], "x eq 'y'")
    assert (seen["at"], seen["lasting"]) == ("2026-01-02T03:04:05Z", "P1DT2S")


def test_what_is_not_given_is_not_sent(calls: Shop) -> None:
    seen = calls.value("GET /query", text="t")
    assert (seen["number"], seen["many"], seen["wire"], seen["at"]) == (1, None, None, None)
    assert "old" not in calls.schema("GET /query")


def test_null_is_as_good_as_nothing_where_the_document_allows_it(calls: Shop) -> None:
    seen = calls.value("GET /query", text="t", many=None, at=None)
    assert (seen["many"], seen["at"]) == (None, None)


def test_a_model_of_the_query_is_spread(server: Server) -> None:
    # By who shows nothing: the model forbids whatever else stands in the query, a key too.
    stranger = Shop(server, behind.operations(server, "stranger"))
    given = {"limit": 5, "order": "price", "tags": ["a", "b c"]}
    assert stranger.value("GET /filters", **given) == given


def test_values_arrive_in_headers_and_cookies(calls: Shop) -> None:
    seen = calls.value("GET /headers", **{"x-text": "a, b; c=d", "x-many": ["one"], "x-number": 3})
    assert seen == {"text": "a, b; c=d", "many": ["one"], "number": 3}
    assert calls.value("GET /cookies", text="c00kie", number=12) == {"text": "c00kie", "number": 12}


def test_a_header_of_the_connections_own_is_not_offered(calls: Shop) -> None:
    assert not {"host", "authorization", "cookie"} & {name.lower() for name in calls.schema("GET /headers")}


def test_a_header_value_cannot_become_two_headers(calls: Shop) -> None:
    answer = calls.call("GET /headers", **{"x-text": "a\r\nx-number: 99"})
    assert answer.get("isError") or answer["structuredContent"]["number"] == 0


def test_one_name_in_four_places_is_four_arguments(calls: Shop) -> None:
    operation = "PUT /clash/{id}"
    schema = calls.schema(operation)
    assert len(schema) == 4, schema
    places = {place: name for place in ("path", "query", "header") for name in schema if name.endswith(place)}
    [body] = schema.keys() - set(places.values())
    given = {places["path"]: "p", places["query"]: "q", places["header"]: "h"}
    whole = schema[body].get("type") == "object"
    assert calls.value(operation, **given, **{body: {"id": "b"} if whole else "b"}) == {
        "path": "p",
        "query": "q",
        "header": "h",
        "body": "b",
    }


# Bodies


ITEM = {
    "name": "Löffel",
    "price": {"amount": "1.50", "currency": "USD"},
    "size": "small",
    "tags": ["a"],
    "extra": {"n": 1},
}


def spread(calls: Shop, operation: str, body: Json) -> Json:
    """A body as the tool wants it: spread over the arguments, or as one."""
    schema = calls.schema(operation)
    return body if body.keys() <= schema.keys() else {"body": body}


def test_an_object_arrives_as_the_body(calls: Shop) -> None:
    assert calls.value("POST /items", **spread(calls, "POST /items", ITEM)) == ITEM


def test_a_body_arrives_beside_parameters(calls: Shop) -> None:
    operation = "PUT /items/{number}"
    seen = calls.value(operation, number=4, dry=True, **spread(calls, operation, ITEM))
    assert seen == {"number": 4, "dry": True, "item": ITEM}


def test_a_body_of_two_parts_arrives(calls: Shop) -> None:
    operation = "PATCH /items/{number}"
    seen = calls.value(operation, number=4, **spread(calls, operation, {"item": ITEM, "note": "n"}))
    assert seen == {"number": 4, "item": ITEM, "note": "n"}


def test_a_body_that_is_no_object_is_one_argument(calls: Shop) -> None:
    for operation, sent in [("POST /numbers", [1, 2.5, -3e10]), ("POST /word", 'w"ord\n')]:
        [name] = calls.schema(operation)
        assert calls.value(operation, **{name: sent}) == {"result": sent}


@pytest.mark.parametrize("thing", [None, True, 0, -1.5, "text", [], [[1], {}], {}, {"a": {"b": [None]}}])
def test_anything_arrives_where_anything_is_allowed(calls: Shop, thing: Any) -> None:
    [name] = calls.schema("POST /anything")
    assert calls.value("POST /anything", **{name: thing}) == {"thing": thing}


def test_a_map_of_any_names_arrives(calls: Shop) -> None:
    [name] = calls.schema("POST /map")
    sent = {"a b": [1], "$x": [], "ü": [2, 3]}
    assert calls.value("POST /map", **{name: sent}) == sent


def test_what_holds_itself_arrives_however_deep(calls: Shop) -> None:
    folder: Json = {"name": "0", "inside": []}
    for depth in range(1, 12):
        folder = {"name": str(depth), "inside": [folder]}
    assert calls.value("POST /folders", **spread(calls, "POST /folders", folder)) == folder


@pytest.mark.parametrize("pet", [{"kind": "cat", "lives": 9}, {"kind": "dog", "good": True}])
def test_one_of_two_forms_arrives(calls: Shop, pet: Json) -> None:
    [name] = calls.schema("POST /pets")
    assert calls.value("POST /pets", **{name: pet}) == pet


@pytest.mark.parametrize("value", TEXTS)
def test_a_form_arrives(calls: Shop, value: str) -> None:
    sent = {"user": value, "roles": [value, "b"], "remember": True}
    assert calls.value("POST /login", **spread(calls, "POST /login", sent)) == sent


def in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_files_arrive_with_what_goes_along(calls: Shop) -> None:
    data = bytes(range(256))
    sent = {"file": in_base64(data), "note": "a note; ü", "labels": ["x", "y z"]}
    seen = calls.value("POST /upload", **spread(calls, "POST /upload", sent))
    assert (seen["bytes"], seen["note"], seen["labels"]) == (data.hex(), "a note; ü", ["x", "y z"]) and seen["name"]
    several = {"files": [in_base64(b"one"), in_base64(b"\r\n--two")], "cover": in_base64(b"c")}
    seen = calls.value("POST /uploads", **spread(calls, "POST /uploads", several))
    assert [file["bytes"] for file in seen["files"]] == [b"one".hex(), b"\r\n--two".hex()]
    assert seen["cover"] == b"c".hex()


def test_what_is_no_base64_is_for_the_model_to_mend(calls: Shop) -> None:
    said = calls.failure("POST /upload", **spread(calls, "POST /upload", {"file": "not base64!"}))
    assert "file" in said and "base64" in said


def test_bytes_and_text_arrive_as_they_are(calls: Shop) -> None:
    [body] = calls.schema("PUT /raw/{name}").keys() - {"name"}
    data = bytes(range(256))
    seen = calls.value("PUT /raw/{name}", name="n", **{body: in_base64(data)})
    assert seen == {"name": "n", "bytes": data.hex(), "type": "application/octet-stream"}
    [body] = calls.schema("PUT /text/{name}").keys() - {"name"}
    seen = calls.value("PUT /text/{name}", name="n", **{body: "line\nünï"})
    assert (seen["text"], seen["type"].split(";")[0]) == ("line\nünï", "text/plain")


def test_what_the_document_forbids_is_refused_before_it_is_sent(calls: Shop, address: str) -> None:
    before = len(httpx2.get(f"{address}/seen", trust_env=False).json())
    for operation, wrong in [
        ("GET /query", {"text": "t", "number": 6}),
        ("GET /query", {"text": "t", "sizes": ["medium"]}),
        ("GET /query", {}),
        ("GET /query", {"text": "t", "unknown": 1}),
        ("POST /items", spread(calls, "POST /items", {**ITEM, "name": ""})),
        ("POST /items", spread(calls, "POST /items", {**ITEM, "size": "medium"})),
    ]:
        calls.failure(operation, **wrong)
    assert [
        one for one in httpx2.get(f"{address}/seen", trust_env=False).json()[before:] if one["path"] != "/seen"
    ] == []


# Answers


def test_answers_of_every_kind_come_back(calls: Shop) -> None:
    assert calls.value("GET /answers/list") == {
        "result": [{"amount": "1.50", "currency": "EUR"}, {"amount": "2.00", "currency": "USD"}]
    }
    assert calls.value("GET /answers/word") == {"result": "word"}
    assert text(calls.call("GET /answers/text")) == "plain, and ünïcode"
    assert "<p>page</p>" in text(calls.call("GET /answers/page"))
    assert not calls.call("DELETE /answers/nothing").get("isError")
    events = text(calls.call("GET /answers/events"))
    assert all(f"{number}" in events for number in range(3))


def test_a_picture_is_a_picture(calls: Shop) -> None:
    blocks = calls.call("GET /answers/picture")["content"]
    [shown] = [block for block in blocks if block["type"] in ("image", "resource")]
    data = shown["data"] if shown["type"] == "image" else shown["resource"]["blob"]
    assert base64.b64decode(data) == shop.PIXEL


def test_an_answer_other_than_the_document_says_is_no_failure(calls: Shop) -> None:
    answer = calls.call("GET /answers/other")
    assert not answer.get("isError") and json.loads(text(answer)) == {"price": None, "kind": "other"}


@pytest.mark.parametrize("status", [400, 404, 409, 422, 500, 503])
def test_a_refusal_is_an_error_that_says_why(calls: Shop, status: int) -> None:
    said = calls.failure("GET /answers/status/{status}", status=status)
    assert str(status) in said and f"asked for {status}" in said


# Who asks


@pytest.mark.parametrize("place", ["bearer", "header", "query"])
def test_what_the_operator_gave_is_shown(calls: Shop, place: str) -> None:
    assert calls.value(f"GET /proofs/{place}") == {"allowed": True}


@pytest.mark.parametrize("place", ["bearer", "header", "query", "cookie", "basic"])
def test_who_has_nothing_to_show_is_refused_by_the_api(server: Server, place: str) -> None:
    stranger = Shop(server, behind.operations(server, "stranger"))
    said = stranger.failure(f"GET /proofs/{place}")
    assert any(status in said for status in ("401", "403")), said


def test_no_tool_asks_the_model_for_what_the_operator_gives(calls: Shop) -> None:
    for place in ("bearer", "header", "query", "cookie", "basic"):
        assert calls.schema(f"GET /proofs/{place}") == {}
    shown = json.dumps(list(calls.tools.values()))
    assert shop.BEARER not in shown and shop.API_KEY not in shown


def test_a_new_operation_is_a_new_tool(tmp_path: Path) -> None:
    """The document of an API that is deployed anew is read again."""
    document = {
        "openapi": "3.1.0",
        "info": {"title": "t", "version": "1"},
        "servers": [{"url": "http://127.0.0.1:9"}],
        "paths": {"/one": {"get": {"operationId": "one", "responses": {"200": {"description": "ok"}}}}},
    }
    file = tmp_path / "manifests/api.yaml.spec"
    manifests = behind.api(tmp_path / "manifests", "edited", file.name)
    file.write_text(json.dumps(document))
    with harness.serve(manifests) as server:
        assert behind.operations(server, "edited").keys() == {"GET /one"}
        document["paths"]["/two"] = {"post": {"operationId": "two", "responses": {"200": {"description": "ok"}}}}
        manifests.replace(file, json.dumps(document))
        until(
            lambda: behind.operations(server, "edited").keys() == {"GET /one", "POST /two"},
            f"the new tool: {server.log}",
        )
