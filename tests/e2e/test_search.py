"""`search` and `fetch`, as ChatGPT's research asks for them: many connectors, one list, and no one of them in the way."""

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

import harness
from harness import Server, until
from test_collection import outcome, refusal, said
from test_manifests import check
from test_surface import DOORS, UPSTREAM, WIDGETS, Raw, call, door, manifests_of, tools
from wire import Json, text

FEEDS = WIDGETS / "feeds"


# HTTP APIs whose answers a test chooses


@dataclass
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass
class Reply:
    """An answer that is more than a JSON value. A body in parts is sent part by part."""

    status: int = 200
    body: bytes | Iterator[bytes] = b""
    headers: dict[str, str] = field(default_factory=dict)


Answer = Callable[[Seen], Any]


class Api(ThreadingHTTPServer):
    """An HTTP API: `answers` by the beginning of the path. Whoever waits for `gate` waits until the test's end."""

    daemon_threads = True

    def __init__(self, answers: Mapping[str, Answer], port: int) -> None:
        super().__init__(("127.0.0.1", port), ApiHandler)
        self.answers = dict(answers)
        self.seen: list[Seen] = []
        self.gate = threading.Event()
        self.connections: list[socket.socket] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.append(request)
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no news."""

    def stop(self) -> None:
        """Is gone, for those that are connected too."""
        self.gate.set()
        self.shutdown()
        self.server_close()
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class ApiHandler(BaseHTTPRequestHandler):
    server: Api
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        seen = Seen(self.command, unquote(parts.path), dict(parse_qsl(parts.query)), headers, self.body(headers))
        self.server.seen.append(seen)
        known = [path for path in self.server.answers if seen.path.startswith(path)]
        answer = self.server.answers[max(known, key=len)](seen) if known else Reply(404)
        if not isinstance(answer, Reply):
            answer = Reply(body=json.dumps(answer).encode(), headers={"Content-Type": "application/json"})
        self.reply(answer)

    do_POST = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = do_GET

    def body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def reply(self, reply: Reply) -> None:
        whole = isinstance(reply.body, bytes)
        self.send_response(reply.status)
        length = {"Content-Length": str(len(reply.body))} if whole else {"Connection": "close"}
        for name, value in {**length, **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        for part in [reply.body] if whole else reply.body:
            self.wfile.write(part)
            self.wfile.flush()
        if not whole:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def running(answers: Mapping[str, Answer], port: int = 0) -> Iterator[Api]:
    api = Api(answers, port)
    threading.Thread(target=api.serve_forever, args=[0.01], daemon=True).start()
    try:
        yield api
    finally:
        api.stop()


# Two of them and an MCP server, to be searched


HITS = [{"id": f"d{number}", "name": f"Document {number}"} for number in (1, 2, 3)]
FOUND = [
    {"owner": "ada", "repo": f"engine.{number}", "links": {"html": f"https://repos.example/{number}"}}
    for number in (1, 2)
]


def document(seen: Seen) -> Any:
    id = seen.path.removeprefix("/docs/")
    if id not in [hit["id"] for hit in HITS]:
        return Reply(404, b'{"message": "no such document"}', {"Content-Type": "application/json"})
    return {
        "id": id,
        "name": f"Document {id[1:]}",
        "body": f"All of {id}.",
        "link": f"https://docs.example/{id}",
        "author": "Ada",
        "pages": 3,
    }


def repository(seen: Seen) -> Any:
    _, _, owner, repo = seen.path.split("/")
    return {"full_name": f"{owner}/{repo}", "readme": f"# {repo}"}


LIBRARY = UPSTREAM | {
    "id": "library",
    "name": "Library",
    "feeds": {
        "search": {"tool": "find", "query": "text", "results": "/books", "id": "/key", "title": "/name"},
        "fetch": {"tool": "read", "id": "key", "text": "/body", "title": "/name"},
    },
}


@dataclass
class Library:
    """A server with three connectors to search, and the two APIs behind it."""

    server: Server
    docs: Api
    repos: Api

    @property
    def raw(self) -> Raw:
        return Raw(self.server, "somebody")

    def search(self, query: str = "anything") -> Json:
        return said(call(self.raw, "search", {"query": query}))


@contextmanager
def library_in(home: Path, *connectors: Json) -> Iterator[Library]:
    with ExitStack() as stack:
        docs = stack.enter_context(running({"/search": lambda _: {"hits": HITS}, "/docs/": document}))
        repos = stack.enter_context(running({"/find": lambda _: FOUND, "/repos/": repository}))
        sources = connectors or (FEEDS, LIBRARY)
        manifests = manifests_of(home, *sources, DOCS_URL=docs.url, REPOS_URL=repos.url)
        server = stack.enter_context(harness.serve(manifests))
        library = Library(server, docs, repos)
        if not connectors:
            until(lambda: "library_find" in tools(library.raw), f"the library: {server.log}")
        yield library


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """A server for tests that leave it as it is."""
    with library_in(tmp_path_factory.mktemp("library")) as library:
        yield library


@pytest.fixture
def library(shared: Library) -> Iterator[Library]:
    """The same for tests that change what the APIs answer; afterwards they answer as before."""
    apis = (shared.docs, shared.repos)
    before = [dict(api.answers) for api in apis]
    yield shared
    for api, answers in zip(apis, before, strict=True):
        api.answers = answers


# The tools


@pytest.mark.parametrize(("tool", "argument"), [("search", "query"), ("fetch", "id")])
@pytest.mark.parametrize("kind", DOORS)
def test_the_two_tools_take_what_chatgpt_gives_and_nothing_else(
    shared: Library, kind: str, tool: str, argument: str
) -> None:
    with door(kind, shared.server) as at:
        published = tools(at)[tool]
    schema = published["inputSchema"]
    assert schema["type"] == "object" and list(schema["properties"]) == [argument] == schema["required"]
    assert schema["properties"][argument]["type"] == "string" and schema["additionalProperties"] is False
    assert published["annotations"]["readOnlyHint"] is True and published["annotations"]["destructiveHint"] is False
    assert "outputSchema" in published and published["title"] and published["description"].startswith("Use this")


DOCS = [
    {"id": f"docs:d{number}", "title": f"Document {number}", "url": f"https://docs.example/d{number}"}
    for number in (1, 2, 3)
]
BOOKS = [{"id": f"library:book {number}", "title": f"Book {number}", "url": ""} for number in (1, 2)]
REPOS = [
    {"id": f"repos:ada/engine.{number}", "title": f"engine.{number} of ada", "url": f"https://repos.example/{number}"}
    for number in (1, 2)
]


@pytest.mark.parametrize("kind", DOORS)
def test_a_search_takes_one_of_each_in_turn(shared: Library, kind: str) -> None:
    with door(kind, shared.server) as at:
        if kind == "sdk-stdio":
            until(lambda: "library_find" in tools(at), "the library")
        answer = call(at, "search", {"query": "anything"})
    expected = [DOCS[0], BOOKS[0], REPOS[0], DOCS[1], BOOKS[1], REPOS[1], DOCS[2]]
    value = said(answer)
    assert set(value) == {"results"}
    assert [result["id"] for result in value["results"]] == [result["id"] for result in expected]
    for result, wanted in zip(value["results"], expected, strict=True):
        assert set(result) == {"id", "title", "url"} and result["title"] == wanted["title"]
        assert result["url"] == wanted["url"] or not wanted["url"], result


def test_a_search_asks_each_connector_in_its_own_words(shared: Library) -> None:
    query = "ünï & cödé? #1 {q}"
    shared.search(query)
    assert shared.docs.seen[-1].query == {"q": query, "limit": "5"}
    assert shared.repos.seen[-1].query == {"query": query}


@pytest.mark.parametrize("kind", DOORS)
@pytest.mark.parametrize(
    ("id", "expected"),
    [
        (
            "docs:d2",
            {
                "title": "Document 2",
                "text": "All of d2.",
                "url": "https://docs.example/d2",
                "metadata": {"author": "Ada", "pages": "3"},
            },
        ),
        ("repos:ada/engine.1", {"title": "ada/engine.1", "text": "# engine.1"}),
        ("library:book 2", {"title": "Book 2", "text": "Chapter 2"}),
    ],
)
def test_what_was_found_can_be_fetched(shared: Library, kind: str, id: str, expected: Json) -> None:
    with door(kind, shared.server) as at:
        if kind == "sdk-stdio":
            until(lambda: "library_find" in tools(at), "the library")
        value = said(call(at, "fetch", {"id": id}))
    assert value["id"] == id
    assert set(value) <= {"id", "title", "text", "url", "metadata"} and {"id", "title", "text", "url"} <= set(value)
    metadata = {name: str(told) for name, told in (value.get("metadata") or {}).items()}
    assert {**value, "metadata": metadata}.items() >= ({"metadata": {}} | expected).items()
    assert all(isinstance(value[name], str) for name in ("title", "text", "url"))


def test_every_id_of_a_search_leads_back(shared: Library) -> None:
    for found in shared.search()["results"]:
        fetched = said(call(shared.raw, "fetch", {"id": found["id"]}))
        assert fetched["id"] == found["id"] and fetched["text"]
    assert shared.docs.seen[-1].query == {"format": "plain"}


def test_an_id_is_taken_apart_and_cannot_climb(shared: Library) -> None:
    call(shared.raw, "fetch", {"id": "repos:ada/engine.1"})
    assert shared.repos.seen[-1].path == "/repos/ada/engine.1"
    before = len(shared.repos.seen)
    for id in ("repos:../secrets", "repos:ada/../../x", "repos:ada", "repos:/", "repos:a/b/c", "repos:"):
        refusal(outcome(shared.server, "fetch", {"id": id}))
    assert len(shared.repos.seen) == before
    call(shared.raw, "fetch", {"id": "docs:../search"})
    assert shared.docs.seen[-1].path == "/docs/../search" or shared.docs.seen[-1].path.startswith("/docs/d")


@pytest.mark.parametrize(
    "id",
    [
        "nobody:1",
        "d1",
        "",
        ":",
        ":d1",
        "board:1",
        "docs_get_doc:1",
        "https://docs.example/d1",
        "DOCS:d1",
        "x" * 100_000,
    ],
)
def test_an_id_that_no_search_gave_is_refused_in_words(shared: Library, id: str) -> None:
    words = refusal(outcome(shared.server, "fetch", {"id": id}))
    assert re.search("search|id", words) and len(words) < 2000, words


def test_what_is_no_longer_there_is_said_in_the_words_of_its_connector(shared: Library) -> None:
    words = refusal(outcome(shared.server, "fetch", {"id": "docs:gone"}))
    assert "no such document" in words or "404" in words, words


@pytest.mark.parametrize("arguments", [{}, {"query": 7}, {"query": "a", "limit": 1}])
def test_a_search_for_nothing_known_is_refused(shared: Library, arguments: Json) -> None:
    refusal(outcome(shared.server, "search", arguments))


# When some fail


def hang(api: Api) -> Answer:
    def wait(_: Seen) -> Any:
        api.gate.wait()
        return Reply(500)

    return wait


def broken(_: Seen) -> Any:
    return Reply(500, b'{"message": "the database is on fire"}', {"Content-Type": "application/json"})


def test_one_that_fails_is_named_and_the_others_answer(library: Library) -> None:
    library.docs.answers["/search"] = broken
    value = library.search()
    assert [result["id"] for result in value["results"]] == [
        result["id"] for result in (BOOKS[0], REPOS[0], BOOKS[1], REPOS[1])
    ]
    [failure] = value["failures"]
    assert set(failure) == {"connector", "reason"} and failure["connector"] == "docs" and failure["reason"]
    assert library.docs.url not in json.dumps(value)


def test_one_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    with library_in(tmp_path) as library:
        library.repos.stop()
        [failure] = library.search()["failures"]
        assert failure["connector"] == "repos" and failure["reason"]


def test_one_that_hangs_is_waited_for_no_longer_than_its_deadline(library: Library) -> None:
    library.docs.answers["/search"] = hang(library.docs)
    value = library.search()
    [failure] = value["failures"]
    assert failure["connector"] == "docs" and "did not finish within 5 s" in failure["reason"]
    assert len(value["results"]) == 4


def test_an_error_of_an_mcp_server_is_a_failure_like_any_other(library: Library) -> None:
    value = library.search("nothing works")
    [failure] = value["failures"]
    assert failure["connector"] == "library" and "the shelf fell over" in failure["reason"]


def test_when_all_fail_the_search_does(library: Library) -> None:
    library.docs.answers["/search"] = broken
    library.repos.answers["/find"] = lambda _: Reply(503)
    words = refusal(outcome(library.server, "search", {"query": "nothing works"}))
    assert all(name in words for name in ("docs", "repos", "library")), words


def test_nothing_found_is_no_failure(library: Library) -> None:
    library.docs.answers["/search"] = lambda _: {"hits": []}
    library.repos.answers["/find"] = lambda _: []
    assert "failures" not in library.search()


# What connectors may say


def hits(*hits: Any) -> Answer:
    return lambda _: {"hits": list(hits)}


GOOD = {"id": "d1", "name": "Document 1"}
HOSTILE: dict[str, Answer] = {
    "no id": hits({"name": "Document"}, GOOD),
    "an empty id": hits({"id": "", "name": "Document"}, GOOD),
    "an id that is null": hits({"id": None, "name": "Document"}, GOOD),
    "an id that is an object": hits({"id": {"a": 1}, "name": "x"}, GOOD),
    "hits that are no objects": hits(1, "two", None, [3], GOOD),
    "a huge title": hits({"id": "h", "name": "x" * 300_000}, GOOD),
    "a title that is no text": hits({"id": "h", "name": ["a", 1]}, GOOD),
    "ten thousand hits": hits(GOOD, *({"id": f"n{number}", "name": "n"} for number in range(10_000))),
    "control characters": hits({"id": "c", "name": "a\u0000b\u001b[31m\u202e"}, GOOD),
    "the same twice": hits(GOOD, GOOD),
}


@pytest.mark.parametrize("answer", HOSTILE.values(), ids=HOSTILE.keys())
def test_odd_hits_neither_break_the_list_nor_fill_it(library: Library, answer: Answer) -> None:
    library.docs.answers["/search"] = answer
    value = library.search()
    for result in value["results"]:
        assert set(result) == {"id", "title", "url"} and all(isinstance(told, str) for told in result.values())
        assert re.fullmatch(r"(docs|repos|library):.+", result["id"], re.DOTALL)
        assert len(result["title"]) < 10_000
    ids = [result["id"] for result in value["results"]]
    assert "docs:d1" in ids and "repos:ada/engine.2" in ids and "library:book 2" in ids
    assert len(ids) <= 200


NO_LIST: dict[str, Answer] = {
    "no such member": lambda _: {"results": [GOOD]},
    "no list": lambda _: {"hits": {"0": GOOD}},
    "no JSON": lambda _: Reply(200, b"<p>Welcome</p>", {"Content-Type": "text/html"}),
    "nothing": lambda _: Reply(204),
}


@pytest.mark.parametrize("answer", NO_LIST.values(), ids=NO_LIST.keys())
def test_an_answer_that_holds_no_list_is_a_failure_with_a_name(library: Library, answer: Answer) -> None:
    library.docs.answers["/search"] = answer
    value = library.search()
    assert len(value["results"]) == 4
    assert [failure["connector"] for failure in value["failures"]] == ["docs"]


URLS = [
    "javascript:alert(1)",
    "JavaScript:alert(1)",
    " javascript:alert(1)",
    "java\nscript:alert(1)",
    "data:text/html,<script>1</script>",
    "file:///etc/passwd",
    "vbscript:x",
    "not an address",
    7,
]


@pytest.mark.parametrize("url", URLS)
def test_only_addresses_of_the_web_are_passed_on(library: Library, url: Any) -> None:
    library.repos.answers["/find"] = lambda _: [FOUND[0] | {"links": {"html": url}}]
    for result in library.search()["results"]:
        assert re.match("https?://", result["url"]) or result["url"] == "", result
    library.docs.answers["/docs/"] = lambda seen: document(seen) | {"link": url}
    fetched = said(call(library.raw, "fetch", {"id": "docs:d1"}))
    assert re.match("https?://", fetched["url"]) or fetched["url"] == "", fetched


def test_a_huge_document_is_cut(library: Library) -> None:
    library.docs.answers["/docs/"] = lambda seen: document(seen) | {"body": "x" * 1_000_000, "name": "n" * 100_000}
    fetched = said(call(library.raw, "fetch", {"id": "docs:d1"}))
    assert 1000 < len(fetched["text"]) < 200_000 and len(fetched["title"]) < 10_000


def test_a_document_without_a_text_still_says_what_it_is(library: Library) -> None:
    library.docs.answers["/docs/"] = lambda _: {"name": "Bare"}
    fetched = said(call(library.raw, "fetch", {"id": "docs:d1"}))
    assert fetched["title"] == "Bare" and isinstance(fetched["text"], str) and isinstance(fetched["url"], str)


# Who feeds them


def test_without_feeds_there_is_nothing_to_search(tmp_path: Path) -> None:
    docs = json.loads((FEEDS / "docs.json").read_text())
    del docs["feeds"]
    with library_in(tmp_path, docs) as library:
        assert set(tools(library.raw)) == {"docs_search_docs", "docs_get_doc"}


@pytest.mark.parametrize("results", [None, ""], ids=["unsaid", "said"])
def test_a_list_that_is_the_whole_answer_needs_no_pointer(tmp_path: Path, results: str | None) -> None:
    repos = json.loads((FEEDS / "repos.json").read_text())
    del repos["feeds"]["search"]["results"]
    if results is not None:
        repos["feeds"]["search"]["results"] = results
    with library_in(tmp_path, repos) as library:
        assert len(library.search()["results"]) == 2


def test_a_feed_that_comes_or_goes_brings_and_takes_the_tools(tmp_path: Path) -> None:
    docs = json.loads((FEEDS / "docs.json").read_text())
    without = {name: value for name, value in docs.items() if name != "feeds"}
    with library_in(tmp_path, without) as library:
        library.server.manifests.put(docs)
        until(lambda: {"search", "fetch"} <= set(tools(library.raw)), f"the tools: {library.server.log}")
        assert len(library.search()["results"]) == 3
        library.server.manifests.put(without)
        until(lambda: not {"search", "fetch"} & set(tools(library.raw)), "the tools to go")


def test_a_tool_of_that_name_stays_its_connectors_own(tmp_path: Path) -> None:
    own = {"name": "search", "description": "Use this to search.", "run": {"args": ["%s", "mine"]}}
    bare = {
        "id": "bare",
        "name": "Bare",
        "version": "1.0.0",
        "prefix": False,
        "adapter": {"kind": "command", "program": "printf"},
        "tools": [own],
    }
    docs = json.loads((FEEDS / "docs.json").read_text())
    with library_in(tmp_path, docs, bare) as library:
        names = [tool["name"] for tool in library.raw.ask("tools/list")["tools"]]
        assert names.count("search") == 1 and len(names) == len(set(names))
        assert text(call(library.raw, "search")) == "mine"


FAULTY: list[tuple[Callable[[Json], Any], str, str]] = [
    (lambda it: it["search"].update(tool="search_dcos"), "/feeds/search/tool", "search_docs"),
    (lambda it: it["fetch"].update(tool="nothing"), "/feeds/fetch/tool", "nothing"),
    (lambda it: it["search"].update(query="query"), "/feeds/search", "query"),
    (lambda it: it["search"]["arguments"].update(limmit=1), "/feeds/search", "limit"),
    (lambda it: it["fetch"].update(id="doc"), "/feeds/fetch", "doc"),
    (lambda it: it["fetch"].update(id="{a}{b}"), "/feeds/fetch", ""),
    (lambda it: it["search"].update(url="https://x/{id"), "/feeds/search/url", ""),
    (lambda it: it["search"].update(results="hits"), "/feeds/search/results", ""),
    (lambda it: it["search"].update(tool="write_doc", query="text", arguments={}), "/feeds/search/tool", "readOnly"),
    (lambda it: it["search"].pop("id"), "/feeds/search", "id"),
    (lambda it: it.pop("fetch"), "/feeds", "fetch"),
]


@pytest.mark.parametrize(
    ("change", "pointer", "word"), FAULTY, ids=[f"{pointer}-{at}" for at, (_, pointer, _) in enumerate(FAULTY)]
)
def test_check_finds_what_is_wrong_with_a_feed(
    tmp_path: Path, change: Callable[[Json], Any], pointer: str, word: str
) -> None:
    docs = json.loads((FEEDS / "docs.json").read_text())
    schema = {"type": "object", "properties": {"text": {"type": "string"}}}
    write = {"name": "write_doc", "description": "Use this to write.", "inputSchema": schema}
    docs["tools"].append(write | {"request": {"method": "POST", "path": "/", "body": {"text": "{text}"}}})
    change(docs["feeds"])
    manifests = manifests_of(tmp_path, docs)
    found = check(manifests.folder, DOCS_URL="http://127.0.0.1:9")["problems"]
    there = [problem for problem in found if problem["pointer"].startswith(pointer) and problem["severity"] == "error"]
    assert any(word in problem["message"] and problem["line"] > 1 for problem in there), found


def test_the_feeds_of_the_fixtures_are_without_fault(tmp_path: Path) -> None:
    manifests = manifests_of(tmp_path, FEEDS)
    assert check(manifests.folder, DOCS_URL="http://127.0.0.1:9", REPOS_URL="http://127.0.0.1:9")["problems"] == []
