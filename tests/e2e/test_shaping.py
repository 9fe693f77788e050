"""Large answers that become small results: `response.select`, `drop` and `maxBytes`, and what clients are told of them."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors import call
from harness import BINARY, Manifests, Server, serve
from loopback import Handler, Loopback, listening
from wire import Json, text

ITEMS = [{"id": n, "name": f"item {n}", "url": f"https://example.com/{n}", "notes": "x" * 200} for n in range(20_000)]


class Lists(Handler):
    def do_GET(self) -> None:
        plain = self.path == "/text"
        if plain:
            self.answer(200, ("ü" * 5000).encode(), "text/plain; charset=utf-8")
        else:
            self.answer(200, {"items": ITEMS, "next": "/items?page=2"})

    do_POST = do_GET


def tool(name: str, path: str = "/items", **response: object) -> Json:
    request = {"method": "GET", "path": path, "response": response}
    return {"name": name, "description": "Reads.", "request": request}


# Of answers to a POST, what makes them useless.
UNUSABLE: dict[str, Json] = {"post_pick": {"pick": "/nowhere"}, "post_select": {"select": "$.nowhere"}}


def made(name: str, **response: object) -> Json:
    it = tool(name, **response)
    return it | {"request": it["request"] | {"method": "POST"}}


def manifest(url: str, *tools: Json) -> Json:
    adapter = {"kind": "http", "baseUrl": url, "allowPrivate": True, "maxResponseBytes": 32 << 20}
    return {"id": "api", "name": "api", "version": "1", "adapter": adapter, "tools": list(tools)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("shaping") / "manifests"
    folder.mkdir()
    promised = {"type": "object", "properties": {"items": {"type": "array"}}, "required": ["items", "next"]}
    with listening(Loopback(Lists)) as api:
        tools = [
            tool("names", select="$.items[?@.id < 3].name"),
            tool("one", select="$.items[-1].id"),
            tool("nothing", select="$.nowhere"),
            tool("short", drop=["$.items[2:]", "$..notes", "$..url"]),
            tool("few", maxBytes=4000) | {"outputSchema": promised},
            tool("few_names", select="$.items[*].name", maxBytes=1000),
            tool("text", "/text", maxBytes=1000),
            tool("select_of_text", "/text", select="$.a"),
            tool("whole"),
            *(made(name, **response) for name, response in UNUSABLE.items()),
        ]
        (folder / "api.json").write_text(json.dumps(manifest(api.url, *tools)))
        small = manifest(api.url, made("post")) | {"id": "small"}
        small["adapter"] |= {"maxResponseBytes": 1000}
        (folder / "small.json").write_text(json.dumps(small))
        with serve(Manifests(folder, "")) as server:
            yield server
        api.shutdown()


def value(server: Server, tool: str) -> Json:
    answer = call(server, f"api_{tool}")
    assert not answer.get("isError"), text(answer)
    assert json.loads(answer["content"][0]["text"]) == answer["structuredContent"]
    return answer["structuredContent"]


def test_a_query_chooses(server: Server) -> None:
    assert value(server, "names") == {"result": ["item 0", "item 1", "item 2"]}
    assert value(server, "one") == {"result": 19_999}
    answer = call(server, "api_nothing")
    assert answer["isError"] and "nothing at `$.nowhere`" in text(answer)
    answer = call(server, "api_select_of_text")
    assert answer["isError"] and "not JSON" in text(answer)


def test_a_call_that_was_made_is_told_as_made(server: Server) -> None:
    for tool in [*(f"api_{name}" for name in UNUSABLE), "small_post"]:
        answer = call(server, tool)
        assert answer["isError"] and "the upstream answered 200 OK, so the call itself was made" in text(answer), tool
    assert "was made" not in text(call(server, "api_nothing"))


def test_what_is_dropped_is_not_there(server: Server) -> None:
    assert value(server, "short") == {"items": [{"id": n, "name": f"item {n}"} for n in range(2)], "next": "/items?page=2"}


def test_a_large_answer_becomes_a_small_result_and_words_say_what_is_missing(server: Server) -> None:
    answer = call(server, "api_few")
    structured = answer["structuredContent"]
    kept = structured["items"]
    assert 0 < len(kept) < 20 and kept == ITEMS[: len(kept)] and structured["next"] == "/items?page=2"
    assert len(answer["content"][0]["text"]) <= 4000
    assert f"the last {20_000 - len(kept)} of 20000 items of `/items`" in answer["content"][1]["text"]
    names = call(server, "api_few_names")["structuredContent"]["result"]
    assert names == [item["name"] for item in ITEMS[: len(names)]] and len(names) > 20


def test_text_is_cut_between_characters(server: Server) -> None:
    kept, words = call(server, "api_text")["content"]
    assert kept["text"].rstrip("…") == "ü" * (len(kept["text"]) - 1) and len(kept["text"].encode()) <= 1000
    assert "of 10000 bytes" in words["text"]


def test_without_any_of_it_an_answer_stays_whole_or_is_refused(server: Server) -> None:
    answer = call(server, "api_whole")
    assert answer["isError"] or len(answer["structuredContent"]["items"]) == 20_000


@pytest.mark.parametrize(
    ("response", "words"),
    [
        ({"select": "$.a["}, "no JSONPath query, at character"),
        ({"drop": ["$.a", "$"]}, "leaves nothing"),
        ({"drop": ["a"]}, "/drop/0"),
        ({"maxBytes": 10}, "/maxBytes"),
        ({"select": "$.a", "drop": ["$..b"], "maxBytes": 256}, None),
    ],
)
def test_check_reads_the_queries(response: Json, words: str | None, tmp_path: Path) -> None:
    file = tmp_path / "api.json"
    file.write_text(json.dumps(manifest("http://127.0.0.1:9", tool("x", **response))))
    ran = subprocess.run([BINARY, "check", "--manifests", str(file)], capture_output=True, text=True, timeout=60)
    assert (ran.returncode == 1 and words in ran.stderr) if words else ran.returncode == 0, ran.stderr
