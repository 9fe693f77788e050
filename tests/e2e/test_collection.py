"""Collections: items kept between calls, found again by conversation, by caller or by everybody, and never lost once told."""

import json
import os
import random
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import jsonschema
import pytest

import harness
from harness import BINARY, FIXTURES, ROOT, Server, until
from session import over_http, over_sse, over_stdio
from test_manifests import check
from test_surface import DOORS, WIDGETS, Door, Raw, call, door, manifests_of, tools, wire_to
from wire import META, Json, messages, result, text

COLLECTIONS = WIDGETS / "collections"


def said(answer: Json) -> Json:
    """What a call gave; it must not be an error, and says the same to those who read text."""
    assert not answer.get("isError"), answer
    [block] = answer["content"]
    assert json.loads(block["text"]) == answer["structuredContent"]
    return answer["structuredContent"]


def refusal(answer: Json) -> str:
    """The words of a call that failed."""
    assert answer.get("isError") is True, answer
    assert text(answer).strip()
    return text(answer)


def kept(answer: Json) -> Json:
    """What pages are told."""
    return answer["_meta"]["switchboard/collection"]


def collection(id: str, **adapter: Any) -> Json:
    """A collection of the fixtures with other settings."""
    connector = json.loads((COLLECTIONS / f"{id}.json").read_text())
    return connector | {"adapter": connector["adapter"] | adapter}


def outcome(server: Server, tool: str, arguments: Json, **meta: Any) -> Json:
    """What a call gives that may fail either way: as a result that is an error, or as a JSON-RPC error."""
    params = {"name": tool, "arguments": arguments, "_meta": META | meta}
    [message] = [message for message in messages(wire_to(server.base).modern("tools/call", params)) if "id" in message]
    failed = {"isError": True, "content": [{"type": "text", "text": message.get("error", {}).get("message", "")}]}
    return message.get("result", failed)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with every collection of the fixtures, which tests use one basket each of."""
    with harness.serve(manifests_of(tmp_path_factory.mktemp("collections"), COLLECTIONS)) as server:
        yield server


@pytest.fixture
def raw(server: Server) -> Raw:
    return Raw(server, "somebody")


@pytest.fixture(params=DOORS)
def at(request: pytest.FixtureRequest, server: Server) -> Iterator[Door]:
    with door(request.param, server) as opened:
        yield opened


# The operations


def test_each_operation_answers_the_whole_collection(at: Door) -> None:
    first = call(at, "basket_put", {"items": [{"name": "eggs", "quantity": 2}, {"name": "milk"}]})
    id = said(first)["basketId"]
    same = {"basketId": id}
    eggs, milk = {"name": "eggs", "quantity": 2}, {"name": "milk", "quantity": 1}
    story = [
        (first, [eggs, milk], ["eggs", "milk"]),
        (call(at, "basket_put", {"items": [{"name": "Eggs"}], **same}), [eggs | {"quantity": 3}, milk], ["eggs"]),
        (
            call(at, "basket_change", {"items": [{"name": "milk", "quantity": 5}], **same}),
            [eggs | {"quantity": 3}, milk | {"quantity": 5}],
            ["milk"],
        ),
        (call(at, "basket_take", {"keys": ["EGGS"], **same}), [milk | {"quantity": 5}], ["eggs"]),
        (call(at, "basket_show", same), [milk | {"quantity": 5}], []),
        (call(at, "basket_empty", same), [], []),
        (call(at, "basket_show", same), [], []),
    ]
    versions = []
    for answer, items, words in story:
        value = said(answer)
        assert set(value) == {"basketId", "items", "count", "message"}
        assert (value["basketId"], value["items"], value["count"]) == (id, items, len(items))
        assert all(word in value["message"].lower() for word in words), value["message"]
        meta = dict(kept(answer))
        versions.append(meta.pop("version"))
        assert meta == {
            "name": "basket",
            "key": "name",
            "scope": "session",
            "argument": "basketId",
            "id": id,
            "maxItems": 5,
            "tools": {
                "add": "basket_put",
                "update": "basket_change",
                "remove": "basket_take",
                "list": "basket_show",
                "clear": "basket_empty",
            },
        }
        assert answer["_meta"]["openai/widgetSessionId"] == id
    # Whoever looks changes nothing; whoever changes something makes a new version.
    assert versions == sorted(versions)
    assert len(set(versions)) == 5 and versions[3] == versions[4] and versions[5] == versions[6]


def test_a_collection_names_only_the_operations_it_has(at: Door) -> None:
    meta = kept(call(at, "read_entries"))
    assert meta["tools"] == {"add": "write_entry", "list": "read_entries"}
    assert {"argument", "id"} & set(meta) == set()


# What tools take


ARGUMENTS: list[tuple[str, Json, bool]] = [
    ("basket_put", {"items": [{"name": "a"}]}, True),
    ("basket_put", {"items": [{"name": "a", "quantity": 999, "weight": 0.5, "note": "", "tags": ["x"]}]}, True),
    ("basket_put", {}, False),
    ("basket_put", {"items": []}, False),
    ("basket_put", {"items": {"name": "a"}}, False),
    ("basket_put", {"items": ["a"]}, False),
    ("basket_put", {"items": [{"quantity": 1}]}, False),
    ("basket_put", {"items": [{"name": ""}]}, False),
    ("basket_put", {"items": [{"name": "x" * 41}]}, False),
    ("basket_put", {"items": [{"name": "a", "quantity": 0}]}, False),
    ("basket_put", {"items": [{"name": "a", "quantity": 1.5}]}, False),
    ("basket_put", {"items": [{"name": "a", "color": "red"}]}, False),
    ("basket_put", {"items": [{"name": "a"}], "basketId": 7}, False),
    ("basket_put", {"items": [{"name": "a"}], "cartId": "x"}, False),
    ("basket_change", {"items": []}, False),
    ("basket_change", {"items": [{"quantity": 2}]}, False),
    ("basket_change", {"items": [{"name": "a", "quantity": 0}]}, False),
    ("basket_take", {}, False),
    ("basket_take", {"keys": []}, False),
    ("basket_take", {"keys": [1]}, False),
    ("basket_take", {"keys": "a"}, False),
    ("basket_show", {}, True),
    ("basket_show", {"verbose": True}, False),
    ("basket_empty", {"items": []}, False),
]


@pytest.mark.parametrize(
    ("tool", "arguments", "fits"), ARGUMENTS, ids=[f"{tool}-{at}" for at, (tool, _, _) in enumerate(ARGUMENTS)]
)
def test_the_schema_a_tool_publishes_is_the_one_it_keeps_to(
    server: Server, raw: Raw, tool: str, arguments: Json, fits: bool
) -> None:
    schema = tools(raw)[tool]["inputSchema"]
    assert jsonschema.Draft202012Validator(schema).is_valid(arguments) is fits
    answer = outcome(server, tool, arguments)
    assert bool(answer.get("isError")) is not fits, answer


def test_every_result_keeps_to_the_schema_that_is_published(raw: Raw) -> None:
    published = tools(raw)
    put = call(raw, "basket_put", {"items": [{"name": "a", "note": "n"}]})
    same = {"basketId": said(put)["basketId"]}
    answers = {
        "basket_put": put,
        "basket_change": call(raw, "basket_change", {"items": [{"name": "a", "quantity": 2}], **same}),
        "basket_show": call(raw, "basket_show", same),
        "basket_take": call(raw, "basket_take", {"keys": ["a"], **same}),
        "basket_empty": call(raw, "basket_empty", same),
        "read_entries": call(raw, "read_entries"),
    }
    for tool, answer in answers.items():
        schema = published[tool]["outputSchema"]
        assert schema["type"] == "object"
        jsonschema.Draft202012Validator(schema).validate(said(answer))


def test_only_what_belongs_to_a_conversation_has_an_argument_that_names_it(raw: Raw) -> None:
    named = {
        name: "basketId" in json.dumps(tool["inputSchema"])
        for name, tool in tools(raw).items()
        if not name.startswith("basket")
    }
    assert set(named.values()) == {False}
    for tool in ("basket_put", "basket_change", "basket_take", "basket_show", "basket_empty"):
        schema = tools(raw)[tool]["inputSchema"]
        assert schema["properties"]["basketId"]["type"] == "string" and "basketId" not in schema.get("required", [])


HINTS = {
    "basket_put": (False, False),
    "basket_change": (False, True),
    "basket_take": (False, True),
    "basket_show": (True, False),
    "basket_empty": (False, True),
}


@pytest.mark.parametrize("tool", HINTS)
def test_hints_say_who_reads_and_who_destroys(raw: Raw, tool: str) -> None:
    hints = tools(raw)[tool]["annotations"]
    read_only, destructive = HINTS[tool]
    assert hints["readOnlyHint"] is read_only and hints["openWorldHint"] is False
    assert destructive or hints["destructiveHint"] is False
    assert hints["idempotentHint"] in (True, False)


def test_schemas_of_a_tools_own_are_published_as_they_are(tmp_path: Path) -> None:
    basket = collection("basket")
    own = {
        "type": "object",
        "properties": {
            "items": {
                "type": "array",
                "maxItems": 1,
                "items": {"type": "object", "properties": {"name": {"const": "eggs"}}, "required": ["name"]},
            },
            "basketId": {"type": "string", "description": "Which."},
        },
        "required": ["items"],
        "additionalProperties": False,
    }
    basket["tools"][0] |= {"inputSchema": own, "outputSchema": {"type": "object", "required": ["items"]}}
    with harness.serve(manifests_of(tmp_path, basket)) as server:
        raw = Raw(server, "somebody")
        put = tools(raw)["basket_put"]
        assert (put["inputSchema"], put["outputSchema"]) == (own, {"type": "object", "required": ["items"]})
        assert said(call(raw, "basket_put", {"items": [{"name": "eggs"}]}))["count"] == 1
        refusal(outcome(server, "basket_put", {"items": [{"name": "milk"}]}))


# Whose collection it is


def put(at: Door, name: str, arguments: Json | None = None, **meta: Any) -> str:
    """Puts something into a basket; the basket's id."""
    return said(call(at, "basket_put", {"items": [{"name": name}], **(arguments or {})}, **meta))["basketId"]


def names(at: Door, arguments: Json | None = None, **meta: Any) -> list[str]:
    return [item["name"] for item in said(call(at, "basket_show", arguments, **meta))["items"]]


def test_without_a_word_of_whose_it_is_each_call_starts_a_new_one(server: Server, raw: Raw) -> None:
    params = {"name": "basket_put", "arguments": {"items": [{"name": "c"}]}}
    third = said(result(wire_to(server.base).legacy("tools/call", params)))["basketId"]
    assert names(raw, {"basketId": third}) == ["c"]
    one, other = put(raw, "a"), put(raw, "b")
    assert one != other and min(len(one), len(other)) >= 16
    assert names(raw, {"basketId": one}) == ["a"]
    assert names(raw, {"basketId": other}) == ["b"]


def test_looking_into_none_shows_nothing_and_starts_none(raw: Raw) -> None:
    answer = call(raw, "basket_show")
    assert (said(answer)["items"], said(answer)["count"]) == ([], 0)
    assert "basketId" not in said(answer) and "id" not in kept(answer)
    assert "openai/widgetSessionId" not in answer["_meta"]
    assert kept(answer)["argument"] == "basketId"


@pytest.mark.parametrize("meta", [{}, {"openai/session": "v1/just begun"}], ids=["nobody", "conversation"])
@pytest.mark.parametrize("tool", ["basket_empty", "basket_show"])
def test_an_id_is_told_once_there_is_something_under_it(raw: Raw, tool: str, meta: Json) -> None:
    answer = call(raw, tool, **meta)
    assert said(answer)["items"] == [] and "basketId" not in said(answer) and "id" not in kept(answer)
    assert "openai/widgetSessionId" not in answer["_meta"]


CONVERSATIONS = [
    {"openai/widgetSessionId": "widget one"},
    {"openai/session": "v1/conversation one"},
    {"openai/widgetSessionId": "widget two", "openai/session": "v1/conversation two"},
]


@pytest.mark.parametrize("meta", CONVERSATIONS, ids=["widget", "conversation", "both"])
@pytest.mark.parametrize("kind", ["raw-2026-07-28", "sdk-http"])
def test_a_conversation_of_chatgpt_finds_its_own_again(server: Server, kind: str, meta: Json) -> None:
    meta = {name: f"{value} of {kind}" for name, value in meta.items()}
    with door(kind, server) as one, door(kind, server) as another:
        id = put(one, "a", **meta)
        assert put(another, "b", **meta) == id
        assert names(one, **meta) == names(one, {"basketId": id}) == ["a", "b"]
        others = {name: f"{value}!" for name, value in meta.items()}
        assert names(one, **others) == []
        # What ChatGPT calls a conversation is nobody else's business.
        answer = json.dumps(call(one, "basket_show", **meta))
        assert meta.get("openai/session", "-") not in answer


def test_a_widget_wins_over_a_conversation_and_an_argument_over_both(raw: Raw) -> None:
    talk = {"openai/session": "v1/talk"}
    of_talk = put(raw, "talk", **talk)
    of_widget = put(raw, "widget", **talk, **{"openai/widgetSessionId": "w-1"})
    explicit = put(raw, "explicit")
    assert len({of_talk, of_widget, explicit}) == 3
    assert names(raw, {"basketId": explicit}, **talk, **{"openai/widgetSessionId": "w-1"}) == ["explicit"]
    assert names(raw, **talk, **{"openai/widgetSessionId": "w-1"}) == ["widget"]
    assert names(raw, **talk) == ["talk"]


@pytest.mark.parametrize("name", ["openai/widgetSessionId", "openai/session"])
@pytest.mark.parametrize("value", [7, None, True, [], {"a": 1}, "", "x" * 100_000, "\u0000", "ñ\u202e", "../../x"])
def test_whatever_a_client_calls_its_conversation_is_taken_or_left(server: Server, name: str, value: Any) -> None:
    items = {"items": [{"name": "a"}]}
    ids = {said(outcome(server, "basket_put", items, **{name: value}))["basketId"] for _ in range(2)}
    assert len(ids) == (1 if isinstance(value, str) and value else 2)
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", id) for id in ids)


def test_a_session_finds_its_own_again_and_no_other(server: Server) -> None:
    with ExitStack() as opened:
        connect = [over_http, over_http, over_sse]
        sessions = [opened.enter_context(each(server.url, capabilities={})) for each in connect]
        for number, session in enumerate(sessions):
            for name in "ab":
                session.call("basket_put", {"items": [{"name": f"{name}{number}"}]})
        shown = [session.call("basket_show").value["structuredContent"] for session in sessions]
        assert [[item["name"] for item in each["items"]] for each in shown] == [
            ["a0", "b0"],
            ["a1", "b1"],
            ["a2", "b2"],
        ]
        assert len({each["basketId"] for each in shown}) == 3
        # Whoever reads a result has not learnt how to speak for the session.
        for session in sessions:
            secret = session.headers.get("Mcp-Session-Id", "-")
            told = session.call("basket_show").raw
            assert secret not in told and secret.replace("-", "") not in told or secret == "-"


def test_a_conversation_wins_over_a_session(server: Server, raw: Raw) -> None:
    talk = {"openai/session": "v1/talk within a session"}
    id = put(raw, "a", **talk)
    with over_http(server.url, capabilities={}) as session:
        answer = session.call("basket_put", {"items": [{"name": "b"}]}, _meta=talk).value
        assert said(answer)["basketId"] == id
        assert said(session.call("basket_show").value)["items"] == []


def test_over_stdio_the_process_is_the_session(server: Server) -> None:
    command = [BINARY, "stdio", "--manifests", str(server.manifests.folder)]
    with (
        over_stdio(command, server.manifests.env, capabilities={}) as one,
        over_stdio(command, server.manifests.env, capabilities={}) as other,
    ):
        id = said(one.call("basket_put", {"items": [{"name": "a"}]}).value)["basketId"]
        assert said(one.call("basket_put", {"items": [{"name": "b"}]}).value)["basketId"] == id
        assert said(other.call("basket_show").value)["items"] == []
        # Whoever knows the id may go on with it, in another process too.
        assert said(other.call("basket_show", {"basketId": id}).value)["count"] == 2
    # What is this machine's own is not for those who call over the network, whatever they know.
    assert "leave" in refusal(outcome(server, "basket_show", {"basketId": id}))


@pytest.mark.parametrize("tool", ["basket_put", "basket_change", "basket_take", "basket_show", "basket_empty"])
@pytest.mark.parametrize("id", ["nonesuch", "../basket", "a" * 128, "basket' OR 1=1 --", "widget one", "é\u202e"])
def test_an_id_nobody_gave_is_refused_with_what_to_do(server: Server, tool: str, id: str) -> None:
    needed = {
        "basket_put": {"items": [{"name": "a"}]},
        "basket_change": {"items": [{"name": "a"}]},
        "basket_take": {"keys": ["a"]},
    }
    words = refusal(outcome(server, tool, {"basketId": id, **needed.get(tool, {})}))
    assert "leave `basketId` out" in words, words


def test_a_caller_keeps_one_in_every_conversation(server: Server, raw: Raw) -> None:
    with over_http(server.url, capabilities={}) as session, over_sse(server.url, capabilities={}) as older:
        assert "shelfId" not in said(session.call("shelf_put", {"items": [{"title": "one"}]}).value)
        older.call("shelf_put", {"items": [{"title": "two"}]})
        call(raw, "shelf_put", {"items": [{"title": "three"}]})
        seen = [
            said(session.call("shelf_show").value),
            said(older.call("shelf_show").value),
            said(call(raw, "shelf_show")),
        ]
    assert [[item["title"] for item in each["items"]] for each in seen] == [["one", "two", "three"]] * 3


def test_whoever_serves_and_whoever_calls_share_what_everybody_shares(tmp_path: Path) -> None:
    manifests = manifests_of(tmp_path, COLLECTIONS)
    command = ["--manifests", str(manifests.folder)]

    def called(tool: str, arguments: Json) -> Json:
        env = {**os.environ, **manifests.env}
        line = [BINARY, "call", tool, *command, "--json", json.dumps(arguments)]
        done = subprocess.run(line, env=env, capture_output=True, text=True, timeout=harness.PATIENCE)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    with harness.serve(manifests) as one, harness.serve(manifests) as another:
        with over_stdio([BINARY, "stdio", *command], manifests.env, capabilities={}) as session:
            said(call(Raw(one, "somebody"), "write_entry", {"items": [{"entry": "served", "amount": 1}]}))
            said(call(Raw(another, "somebody"), "write_entry", {"items": [{"entry": "served", "amount": 1}]}))
            said(session.call("write_entry", {"items": [{"entry": "over stdio", "amount": 1}]}).value)
            called("write_entry", {"items": [{"entry": "called", "amount": 1}]})
            # An id that one call gave is good for the next.
            first = called("basket_put", {"items": [{"name": "a"}]})
            assert called("basket_show", {"basketId": first["basketId"]})["count"] == 1
            expected = [
                {"entry": "served", "amount": 2},
                {"entry": "over stdio", "amount": 1},
                {"entry": "called", "amount": 1},
            ]
            answers = [
                call(Raw(one, "x"), "read_entries"),
                call(Raw(another, "y"), "read_entries"),
                session.call("read_entries").value,
            ]
            for answer in answers:
                assert said(answer)["items"] == expected
                assert kept(answer)["version"] == kept(answers[0])["version"] >= 4
            assert "called" in json.dumps(called("read_entries", {}))


# How items become one


MERGED: list[tuple[str, list[tuple[str, Any]], list[Json]]] = [
    (
        "numbers are added up",
        [("put", {"name": "a", "quantity": 2}), ("put", {"name": "a", "quantity": 3})],
        [{"name": "a", "quantity": 5}],
    ),
    ("a default counts", [("put", {"name": "a"}), ("put", {"name": "a"})], [{"name": "a", "quantity": 2}]),
    (
        "what is not added up is replaced",
        [("put", {"name": "a", "note": "x"}), ("put", {"name": "a", "note": "y"})],
        [{"name": "a", "quantity": 2, "note": "y"}],
    ),
    (
        "what is left out stays",
        [("put", {"name": "a", "note": "x", "tags": ["t"]}), ("put", {"name": "a"})],
        [{"name": "a", "quantity": 2, "note": "x", "tags": ["t"]}],
    ),
    (
        "a sum can begin late",
        [("put", {"name": "a"}), ("put", {"name": "a", "weight": 0.5}), ("put", {"name": "a", "weight": 1.25})],
        [{"name": "a", "quantity": 3, "weight": 1.75}],
    ),
    (
        "the case of the first stays",
        [("put", {"name": "Crème"}), ("put", {"name": "CRÈME"})],
        [{"name": "Crème", "quantity": 2}],
    ),
    (
        "spaces do not matter",
        [("put", {"name": "rye  bread"}), ("put", {"name": " Rye bread "})],
        [{"name": "rye  bread", "quantity": 2}],
    ),
    (
        "the order of the first time stays",
        [("put", {"name": "b"}), ("put", {"name": "a"}), ("put", {"name": "b"})],
        [{"name": "b", "quantity": 2}, {"name": "a", "quantity": 1}],
    ),
    (
        "an update replaces",
        [("put", {"name": "a", "quantity": 2, "note": "x"}), ("change", {"name": "A", "quantity": 7})],
        [{"name": "a", "quantity": 7, "note": "x"}],
    ),
    (
        "an update needs no default",
        [("put", {"name": "a", "quantity": 2}), ("change", {"name": "a", "note": "x"})],
        [{"name": "a", "quantity": 2, "note": "x"}],
    ),
    (
        "what was removed comes last when it comes again",
        [("put", {"name": "a"}), ("put", {"name": "b"}), ("take", "a"), ("put", {"name": "a"})],
        [{"name": "b", "quantity": 1}, {"name": "a", "quantity": 1}],
    ),
]


def step(at: Door, id: str | None, tool: str, value: Any) -> Json:
    several = value if isinstance(value, list) else [value]
    arguments = {"keys" if tool == "take" else "items": several} | ({"basketId": id} if id else {})
    return call(at, f"basket_{tool}", arguments)


@pytest.mark.parametrize(
    ("steps", "items"), [(steps, items) for _, steps, items in MERGED], ids=[name for name, _, _ in MERGED]
)
def test_items_become_one_in_several_calls(raw: Raw, steps: list[tuple[str, Any]], items: list[Json]) -> None:
    id = None
    for tool, value in steps:
        answer = said(step(raw, id, tool, value))
        id = answer["basketId"]
    assert answer["items"] == items


@pytest.mark.parametrize(
    "name",
    ["numbers are added up", "a default counts", "the case of the first stays", "the order of the first time stays"],
)
def test_items_become_one_in_one_call_as_in_several(raw: Raw, name: str) -> None:
    [(steps, items)] = [(steps, items) for this, steps, items in MERGED if this == name]
    assert said(step(raw, None, "put", [value for _, value in steps]))["items"] == items


def test_a_default_does_not_replace_what_was_said_before(tmp_path: Path) -> None:
    unit = {"type": "string", "default": "piece"}
    basket = collection("basket")
    basket["adapter"]["item"]["properties"]["unit"] = unit
    with harness.serve(manifests_of(tmp_path, basket)) as server:
        raw = Raw(server, "somebody")
        id = said(step(raw, None, "put", {"name": "eggs", "unit": "dozen"}))["basketId"]
        assert said(step(raw, id, "put", {"name": "eggs"}))["items"] == [
            {"name": "eggs", "quantity": 2, "unit": "dozen"}
        ]


def test_without_ignore_case_a_key_is_what_it_is(raw: Raw) -> None:
    entries = [{"entry": "Tea"}, {"entry": "tea"}, {"entry": "tea "}]
    shown = said(call(raw, "write_entry", {"items": entries}))["items"]
    assert [item for item in shown if item["entry"].strip().lower() == "tea"] == [
        entry | {"amount": 0} for entry in entries
    ]


class Kept:
    """A basket as one would keep it by hand: items in order, each under its name without case and spaces."""

    def __init__(self) -> None:
        self.items: dict[str, Json] = {}

    def does(self, tool: str, value: Any) -> bool:
        """Whether the basket allows it; if not, nothing changes."""
        items = {key: dict(item) for key, item in self.items.items()}
        for each in value:
            key = " ".join((each if tool == "take" else each["name"]).split()).lower()
            if tool == "put" and key not in items:
                items[key] = {"name": each["name"], "quantity": 1, **each}
            elif tool == "put":
                quantity = items[key]["quantity"] + each.get("quantity", 1)
                items[key] |= {name: told for name, told in each.items() if name != "name"} | {"quantity": quantity}
            elif key not in items:
                return False
            elif tool == "take":
                items[key]["gone"] = True
            else:
                items[key] |= {name: told for name, told in each.items() if name != "name"}
        items = {key: item for key, item in items.items() if not item.get("gone")}
        if len(items) > 5 or any(item["quantity"] > 999 for item in items.values()):
            return False
        self.items = items
        return True


@pytest.mark.parametrize("seed", [1, 2])
def test_a_basket_does_what_one_would_do_by_hand(server: Server, raw: Raw, seed: int) -> None:
    chance = random.Random(seed)
    id, kept_by_hand = put(raw, "first"), Kept()
    call(raw, "basket_empty", {"basketId": id})
    for _ in range(120):
        tool = chance.choice(["put", "put", "change", "take"])
        chosen = [
            chance.choice(["a", "A", "b", " b", "c  d", "C D", "e", "f", "g"]) for _ in range(chance.randint(1, 3))
        ]
        parts = [{"quantity": chance.choice([1, 5, 700])}, {"note": chance.choice("xyz")}, {}]
        value = chosen if tool == "take" else [{"name": name, **chance.choice(parts)} for name in chosen]
        arguments = {"keys" if tool == "take" else "items": value, "basketId": id}
        answer = outcome(server, f"basket_{tool}", arguments)
        assert bool(answer.get("isError")) is not kept_by_hand.does(tool, value), (value, kept_by_hand.items, answer)
        if not answer.get("isError"):
            assert said(answer)["items"] == list(kept_by_hand.items.values()), value


# All or nothing


FULL = [{"name": name} for name in "abcde"]
LARGE = {"name": "l", "note": "x" * 600}
FAULTS: list[tuple[str, list[Json], str, Any, list[str]]] = [
    ("unknown key to remove", FULL, "take", ["a", "zebra"], ["zebra"]),
    (
        "unknown key to change",
        FULL,
        "change",
        [{"name": "a", "quantity": 9}, {"name": "zebra", "quantity": 1}],
        ["zebra"],
    ),
    ("one item too many", FULL, "put", [{"name": "a"}, {"name": "f"}], ["5"]),
    ("six at once", [{"name": "a"}], "put", [{"name": name} for name in "fghij"], ["5"]),
    ("too large an item", [{"name": "a"}], "put", [{"name": "b"}, LARGE], ["512"]),
    ("grown too large", [{"name": "l"}], "change", [LARGE], ["512"]),
    (
        "a sum beyond what an item may be",
        [{"name": "a", "quantity": 999}],
        "put",
        [{"name": "b"}, {"name": "a", "quantity": 1}],
        ["quantity"],
    ),
]


@pytest.mark.parametrize(
    ("before", "tool", "value", "words"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS]
)
def test_a_call_does_all_it_says_or_nothing(
    server: Server, raw: Raw, before: list[Json], tool: str, value: Any, words: list[str]
) -> None:
    first = step(raw, None, "put", before)
    id = said(first)["basketId"]
    arguments = {"keys" if tool == "take" else "items": value, "basketId": id}
    told = refusal(outcome(server, f"basket_{tool}", arguments))
    assert all(word in told for word in words), told
    after = call(raw, "basket_show", {"basketId": id})
    assert said(after)["items"] == said(first)["items"]
    assert kept(after)["version"] == kept(first)["version"]


def test_a_first_call_that_fails_starts_nothing(server: Server, raw: Raw) -> None:
    meta = {"openai/widgetSessionId": "starts nothing"}
    refusal(outcome(server, "basket_put", {"items": [LARGE]}, **meta))
    refusal(outcome(server, "basket_take", {"keys": ["a"]}, **meta))
    assert names(raw, **meta) == []


def test_no_more_collections_than_allowed(tmp_path: Path) -> None:
    with harness.serve(manifests_of(tmp_path, collection("basket", maxCollections=3))) as server:
        raw = Raw(server, "somebody")
        ids = [put(raw, "a") for _ in range(3)]
        told = refusal(outcome(server, "basket_put", {"items": [{"name": "a"}]}))
        assert "3" in told and "maxCollections" in told, told
        assert [names(raw, {"basketId": id}) for id in ids] == [["a"]] * 3
        # One that is there can still be changed.
        assert put(raw, "b", {"basketId": ids[0]}) == ids[0]


def test_without_a_place_to_keep_things_everything_else_works(tmp_path: Path) -> None:
    bare = json.loads((FIXTURES / "manifests/bare.json").read_text())
    manifests = manifests_of(tmp_path, COLLECTIONS, bare)
    manifests.data.write_text("a file where a folder should be")
    with harness.serve(manifests) as server:
        assert text(outcome(server, "hello", {})) == "hello"
        told = refusal(outcome(server, "basket_show", {}))
        assert "basket" in told and str(tmp_path) not in told
    reasons = {each["id"]: each["reason"] for each in check(manifests.folder, **manifests.env)["connectors"]}
    assert "SWITCHBOARD_DATA_DIR" in reasons["basket"]


def test_what_is_kept_is_for_its_owner_only(server: Server) -> None:
    data = server.manifests.data
    assert {oct(path.stat().st_mode & 0o077) for path in [data, *data.iterdir()]} == {"0o0"}


# Many at once, and sudden ends


CALLERS = 64


@pytest.mark.parametrize("same", [False, True], ids=["another-item-each", "the-same-item"])
@pytest.mark.parametrize("servers", [1, 2])
def test_nothing_is_lost_when_many_add_at_once(tmp_path: Path, servers: int, same: bool) -> None:
    manifests = manifests_of(tmp_path, collection("basket", maxItems=CALLERS + 1))
    with ExitStack() as running:
        bases = [running.enter_context(harness.serve(manifests)) for _ in range(servers)]
        callers = running.enter_context(ThreadPoolExecutor(CALLERS))
        id = put(Raw(bases[0], "first"), "first")
        together = threading.Barrier(CALLERS)

        def add(number: int) -> Json:
            raw = Raw(bases[number % servers], "somebody")
            together.wait()
            item = {"name": "eggs" if same else f"item {number}", "quantity": 2}
            return call(raw, "basket_put", {"items": [item], "basketId": id})

        answers = list(callers.map(add, range(CALLERS)))
        answers.sort(key=lambda answer: kept(answer)["version"])
        assert len({kept(answer)["version"] for answer in answers}) == CALLERS
        shown = said(call(Raw(bases[-1], "last"), "basket_show", {"basketId": id}))
        if same:
            assert shown["items"][1:] == [{"name": "eggs", "quantity": 2 * CALLERS}]
        else:
            assert shown["count"] == CALLERS + 1
            expected = {"first"} | {f"item {number}" for number in range(CALLERS)}
            assert {item["name"] for item in shown["items"]} == expected
        # Each was told a state that there was: each version holds one change more than the one before.
        changes = [
            said(answer)["items"][1]["quantity"] // 2 if same else said(answer)["count"] - 1 for answer in answers
        ]
        assert changes == list(range(1, CALLERS + 1))


@contextmanager
def writing(server: Server, answered: list[str]) -> Iterator[None]:
    """Writes entries from several sides until the server is gone; `answered` is what it said it has kept."""

    def write(side: int) -> None:
        wire = wire_to(server.base)
        for number in range(10_000):
            entry = f"{side}-{number}"
            params = {"name": "write_entry", "arguments": {"items": [{"entry": entry, "amount": 1}]}}
            answer = result(wire.modern("tools/call", params))
            assert not answer.get("isError"), answer
            answered.append(entry)

    def until_gone(side: int) -> None:
        with suppress(httpx2.TransportError):
            write(side)

    sides = [threading.Thread(target=until_gone, args=[side], daemon=True) for side in range(4)]
    for side in sides:
        side.start()
    yield
    for side in sides:
        side.join()


def test_what_was_answered_survives_a_sudden_end(tmp_path: Path) -> None:
    manifests = manifests_of(tmp_path, COLLECTIONS)
    answered: list[str] = []
    for round in range(3):
        enough = len(answered) + 40
        with harness.serve(manifests) as server, writing(server, answered):
            until(lambda: len(answered) >= enough, f"entries in round {round}: {server.log}")
            os.kill(server.process.pid, signal.SIGKILL)
            server.process.wait()
        with harness.serve(manifests) as server:
            shown = said(call(Raw(server, "somebody"), "read_entries"))["items"]
            assert set(answered) <= {item["entry"] for item in shown}
            # Each side waits for its answer, so at most one entry of each was under way; it is there whole or not at all.
            times: dict[str, int] = {entry: answered.count(entry) for entry in set(answered)}
            assert all(
                times.get(item["entry"], 0) <= item["amount"] <= times.get(item["entry"], 0) + round + 1
                for item in shown
            )


def test_a_basket_is_there_after_an_orderly_restart(tmp_path: Path) -> None:
    manifests = manifests_of(tmp_path, COLLECTIONS)
    with harness.serve(manifests) as server:
        id = put(Raw(server, "somebody"), "a", **{"openai/session": "v1/long talk"})
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(harness.PATIENCE)
    with harness.serve(manifests) as server:
        raw = Raw(server, "somebody")
        assert names(raw, {"basketId": id}) == ["a"]
        assert put(raw, "b", **{"openai/session": "v1/long talk"}) == id


def test_what_nobody_changes_is_forgotten(tmp_path: Path) -> None:
    with harness.serve(manifests_of(tmp_path, collection("basket", expireSeconds=1), collection("ledger"))) as server:
        raw = Raw(server, "somebody")
        call(raw, "write_entry", {"items": [{"entry": "stays"}]})
        id = put(raw, "a")
        # Looking keeps nothing alive.
        until(lambda: outcome(server, "basket_show", {"basketId": id}).get("isError"), "the basket to be forgotten")
        assert "leave `basketId` out" in refusal(outcome(server, "basket_show", {"basketId": id}))
        assert said(call(raw, "read_entries"))["count"] == 1


# Keys and values of all kinds


ODD = [
    "__proto__",
    "constructor",
    "ключ",
    "🥚 \u202e",
    "é",
    "e\u0301",
    "ǅ",
    "İ",
    "ß",
    'a"b\\c',
    "<b>&amp;</b>",
    "line\nbreak",
    "\u0000nul",
    "%00",
    "../..",
    "{name}",
    "${HOME}",
    "null",
    "0",
    "k" * 4000,
]


def test_keys_of_all_kinds_come_back_as_they_were(tmp_path: Path) -> None:
    with harness.serve(manifests_of(tmp_path, collection("ledger", maxItemBytes=16384, maxItems=100))) as server:
        raw = Raw(server, "somebody")
        for key in ODD:
            assert not outcome(server, "write_entry", {"items": [{"entry": key, "amount": 1}]}).get("isError"), key
        assert [item["entry"] for item in said(call(raw, "read_entries"))["items"]] == ODD
        again = said(call(raw, "write_entry", {"items": [{"entry": key, "amount": 1} for key in ODD]}))
        assert again["items"] == [{"entry": key, "amount": 2} for key in ODD]


@pytest.mark.parametrize(
    "key", ["__proto__", "ключ", "$ref-like/with~tilde", "constructor", "n" * 200, "key with spaces", "0"]
)
def test_properties_of_items_may_have_any_name(tmp_path: Path, key: str) -> None:
    item = {
        "type": "object",
        "properties": {key: {"type": "string"}, f"{key}!": {"type": "integer"}},
        "required": [key],
    }
    odd = collection("ledger", item=item, key=key, sum=[f"{key}!"])
    odd["tools"] += [
        {"name": "change_entry", "description": "Use this to change.", "operation": "update"},
        {"name": "drop_entry", "description": "Use this to drop.", "operation": "remove"},
    ]
    with harness.serve(manifests_of(tmp_path, odd)) as server:
        raw = Raw(server, "somebody")
        call(raw, "write_entry", {"items": [{key: "a", f"{key}!": 1}, {key: "b"}]})
        assert said(call(raw, "write_entry", {"items": [{key: "a", f"{key}!": 1}]}))["items"] == [
            {key: "a", f"{key}!": 2},
            {key: "b"},
        ]
        assert said(call(raw, "change_entry", {"items": [{key: "b", f"{key}!": 5}]}))["items"][1] == {
            key: "b",
            f"{key}!": 5,
        }
        assert said(call(raw, "drop_entry", {"keys": ["a"]}))["items"] == [{key: "b", f"{key}!": 5}]
        assert kept(call(raw, "read_entries"))["key"] == key


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    return value


HOSTILE: list[tuple[str, str]] = [
    ("a hundred thousand items", json.dumps({"items": [{"name": str(number)} for number in range(100_000)]})),
    ("a hundred thousand keys", json.dumps({"keys": [str(number) for number in range(100_000)]})),
    ("deep nesting", '{"items": ' + "[" * 5000 + "]" * 5000 + "}"),
    ("deep nesting in an item", '{"items": [{"name": "a", "note": ' + '{"a":' * 5000 + "1" + "}" * 5000 + "}]}"),
    ("a huge number", '{"items": [{"name": "a", "quantity": ' + "9" * 400 + "}]}"),
    ("an infinite sum", '{"items": [{"name": "a", "weight": 1e308}, {"name": "a", "weight": 1e308}]}'),
    ("a huge text", json.dumps({"items": [{"name": "a", "note": "x" * 1_000_000}]})),
    ("the same member twice", '{"items": [{"name": "a", "name": "b", "quantity": 0, "quantity": 1}], "items": []}'),
    ("half a character", '{"items": [{"name": "\\ud800"}]}'),
]


@pytest.mark.parametrize("arguments", [arguments for _, arguments in HOSTILE], ids=[name for name, _ in HOSTILE])
def test_hostile_arguments_are_refused_and_leave_the_server_as_it_was(server: Server, arguments: str) -> None:
    tool = "basket_take" if '"keys"' in arguments[:10] else "basket_put"
    body = f'{{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {{"_meta": {json.dumps(META)}, "name": "{tool}", "arguments": {arguments}}}}}'
    headers = {"MCP_Protocol_Version": "2026-07-28", "Mcp_Method": "tools/call", "Mcp_Name": tool}
    response = wire_to(server.base).post(body.encode(), **headers)
    assert response.status_code < 500 and len(response.content) < 10_000
    [answer] = messages(response)
    assert "error" in answer or answer["result"].get("isError"), answer
    assert put(Raw(server, "somebody"), "still here")


# Faults in manifests


Change = Callable[[Json], Any]
FAULTY: dict[str, tuple[Change, str, str]] = {
    "key-not-in-item": (lambda it: it["adapter"].update(key="colour"), "/adapter/key", "colour"),
    "key-no-string": (lambda it: it["adapter"].update(key="quantity"), "/adapter/key", "string"),
    "key-not-required": (lambda it: it["adapter"]["item"].pop("required"), "/adapter/item", "required"),
    "sum-of-a-string": (lambda it: it["adapter"].update(sum=["quantity", "note"]), "/adapter/sum/1", "note"),
    "sum-of-nothing": (lambda it: it["adapter"].update(sum=["nothing"]), "/adapter/sum/0", "nothing"),
    "item-no-object": (lambda it: it["adapter"]["item"].update(type="array"), "/adapter/item", "object"),
    "item-no-schema": (
        lambda it: it["adapter"]["item"]["properties"].update(note={"type": "strnig"}),
        "/adapter/item",
        "string",
    ),
    "item-refers-away": (
        lambda it: it["adapter"]["item"]["properties"].update(note={"$ref": "#/x"}),
        "/adapter/item",
        "$ref",
    ),
    "unknown-operation": (lambda it: it["tools"][1].update(operation="upsert"), "/tools/1/operation", "must be one of"),
    "no-operation": (lambda it: it["tools"][1].pop("operation"), "/tools/1", "operation"),
    "operation-of-another-kind": (
        lambda it: it["tools"][1].update(operation="connectors"),
        "/tools/1/operation",
        "must be one of",
    ),
    "unknown-scope": (
        lambda it: it["adapter"].update(scope="conversation"),
        "/adapter/scope",
        "session, caller, shared",
    ),
    "no-room": (lambda it: it["adapter"].update(maxItems=0), "/adapter/maxItems", "minimum of 1"),
    "no-end": (
        lambda it: it["adapter"].update(maxItems=10000, maxItemBytes=65536),
        "/adapter/maxItems",
        "maxItemBytes",
    ),
    "name-of-two-words": (lambda it: it["adapter"].update(name="my basket"), "/adapter/name", "does not match"),
    "misspelt": (lambda it: it["adapter"].update(maxItem=3), "/adapter/maxItem", "maxItems"),
    "no-items-to-add": (
        lambda it: it["tools"][0].update(inputSchema={"type": "object", "properties": {"things": {}}}),
        "/tools/0/inputSchema",
        "items",
    ),
    "id-no-string": (
        lambda it: it["tools"][3].update(
            inputSchema={"type": "object", "properties": {"basketId": {"type": "integer"}}}
        ),
        "/tools/3/inputSchema/properties/basketId",
        "string",
    ),
    "id-of-nobody": (
        lambda it: (
            it["adapter"].update(scope="shared"),
            it["tools"][3].update(inputSchema={"type": "object", "properties": {"basketId": {"type": "string"}}}),
        ),
        "/tools/3/inputSchema/properties/basketId",
        "basketId",
    ),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_check_finds_what_is_wrong_with_a_collection_and_where(tmp_path: Path, fault: str) -> None:
    change, pointer, word = FAULTY[fault]
    basket = collection("basket")
    change(basket)
    found = check(manifests_of(tmp_path, basket).folder)["problems"]
    there = [problem for problem in found if problem["pointer"].startswith(pointer)]
    assert any(word in problem["message"] and problem["line"] > 1 and problem["column"] > 0 for problem in there), found


def test_the_collections_of_the_fixtures_are_without_fault(tmp_path: Path) -> None:
    report = check(manifests_of(tmp_path, COLLECTIONS).folder)
    assert (report["problems"], report["exit"]) == ([], 0)


# Where things are kept


@pytest.mark.parametrize("how", ["environment", "option", "settings"])
def test_the_data_folder_is_named_like_any_setting(tmp_path: Path, how: str) -> None:
    manifests = manifests_of(tmp_path, COLLECTIONS / "basket.json", SWITCHBOARD_DATA_DIR="")
    data, settings = tmp_path / "elsewhere", tmp_path / "settings.json"
    settings.write_text(json.dumps({"dataDir": "elsewhere"}))
    arguments = {"option": ["--data-dir", str(data)], "settings": ["--config", str(settings)]}.get(how, [])
    env = {"SWITCHBOARD_DATA_DIR": str(data)} if how == "environment" else {}
    with harness.serve(manifests, *arguments, env=env) as server:
        put(Raw(server, "somebody"), "a")
        assert list(data.iterdir())


# The bundled cart


CART = {
    "cart_add_items": {"items": [{"name": "eggs", "quantity": 2, "note": "free range"}]},
    "cart_update_items": {"items": [{"name": "Eggs", "quantity": 3}]},
    "cart_show": {},
    "cart_remove_items": {"keys": ["eggs"]},
    "cart_clear": {},
}


@pytest.fixture(scope="module")
def cart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with harness.serve(manifests_of(tmp_path_factory.mktemp("cart"), ROOT / "manifests/cart.json")) as server:
        yield server


def test_the_bundled_cart_takes_what_its_page_was_made_for(cart: Server) -> None:
    published = tools(Raw(cart, "somebody"))
    item = published["cart_add_items"]["inputSchema"]["properties"]["items"]["items"]
    without_words = {name: dict(told) for name, told in item["properties"].items()}
    for told in without_words.values():
        assert told.pop("description")
    assert without_words == {
        "name": {"type": "string", "minLength": 1, "maxLength": 120},
        "quantity": {"type": "integer", "minimum": 1, "maximum": 999, "default": 1},
        "note": {"type": "string", "maxLength": 200},
    }
    assert (item["required"], item["additionalProperties"]) == (["name"], False)
    # Clients fill in defaults, and a change of the note is none of the quantity.
    assert "default" not in json.dumps(published["cart_update_items"]["inputSchema"])


@pytest.mark.parametrize("kind", DOORS)
def test_the_bundled_cart_keeps_eggs(cart: Server, kind: str) -> None:
    with door(kind, cart) as at:
        published = tools(at)
        assert set(published) == set(CART)
        pages = {tool["_meta"]["ui"]["resourceUri"] for tool in published.values()}
        [page] = pages
        assert re.fullmatch(r"ui://cart/shopping-cart-[0-9a-f]{12}\.html", page)
        for tool in published.values():
            assert tool["_meta"]["ui"]["visibility"] == ["model", "app"] and tool["title"]
            assert all(
                0 < len(tool["_meta"][f"openai/toolInvocation/{when}"]) <= 64 for when in ("invoking", "invoked")
            )
        counts, cart_id = [], {}
        for tool, arguments in CART.items():
            value = said(call(at, tool, arguments | cart_id))
            cart_id = {"cartId": value["cartId"]}
            counts.append((value["count"], [item["quantity"] for item in value["items"]]))
        assert counts == [(1, [2]), (1, [3]), (1, [3]), (0, []), (0, [])]
