"""Results that are given again: before an API that counts how often it is asked."""

import json
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from connectors import call
from harness import BINARY, Manifests, Server, serve, until
from loopback import Handler, Loopback, listening
from wire import META, MODERN, Json, request, text


class Counting(Loopback):
    """Answers with the number of the request for its path; `/hang…` once `gate` is set."""

    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(CountingHandler)
        self.lock = threading.Lock()
        self.gate = threading.Event()
        self.asked: Counter[str] = Counter()

    def handle_error(self, *_: object) -> None:
        """A client that went away is no news."""

    def of(self, part: str) -> int:
        """How often it was asked for paths with this part."""
        return sum(times for path, times in self.asked.items() if part in path)


class CountingHandler(Handler):
    server: Counting
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.server.lock:
            self.server.asked[self.path] += 1
            number = self.server.asked[self.path]
        if self.path.startswith("/hang"):
            self.server.gate.wait()
        status, value = 200, {"number": number, "path": self.path}
        if self.path.startswith("/fail"):
            status, value = (200, {"error": "no"}) if "soft" in self.path else (500, {"error": "no"})
        self.answer(status, value)

    do_POST = do_GET


def manifest(url: str, **more: object) -> Json:
    properties = {
        "id": {"type": "string"},
        "n": {"type": "integer"},
        "limit": {"type": "integer", "default": 10},
        "filter": {"type": "object"},
    }

    def tool(name: str, path: str, method: str = "GET", **said: object) -> Json:
        query = {"n": "{n}", "limit": "{limit}", "filter": "{filter}"}
        schema = {"type": "object", "properties": properties, "required": ["id"]}
        request = {"method": method, "path": f"{path}/{{id}}", "query": query}
        return {"name": name, "description": "Asks.", "inputSchema": schema, "request": request, **said}

    tools = [
        tool("kept", "/kept", cacheSeconds=3600),
        tool("kept_briefly", "/briefly", cacheSeconds=1),
        tool("kept_search", "/search", "POST", cacheSeconds=3600, annotations={"readOnly": True}),
        tool("not_kept", "/not-kept"),
        tool("fails", "/fail", cacheSeconds=3600),
        tool("promises", "/kept", cacheSeconds=3600, outputSchema={"type": "object", "required": ["absent"]}),
        tool("hangs", "/hang", cacheSeconds=3600),
        tool("text", "/kept", cacheSeconds=3600),
    ]
    adapter = {"kind": "http", "baseUrl": url, "allowPrivate": True, "response": {"failure": [{"at": "/error"}]}}
    return {"id": "api", "name": "api", "version": "1", "adapter": adapter, "tools": tools} | more


@contextmanager
def counting() -> Iterator[Counting]:
    with listening(Counting()) as api:
        yield api
        api.gate.set()


@contextmanager
def serving(folder: Path, api: Counting, **more: object) -> Iterator[Server]:
    folder.mkdir()
    connector = manifest(api.url, **more)
    (folder / "api.json").write_text(json.dumps(connector))
    with serve(Manifests(folder, "")) as server:
        yield server


@pytest.fixture(scope="module")
def api() -> Iterator[Counting]:
    with counting() as api:
        yield api


@pytest.fixture(scope="module")
def server(api: Counting, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("cache") / "manifests", api) as server:
        yield server


def number(server: Server, tool: str, **arguments: object) -> int:
    answer = call(server, f"api_{tool}", arguments)
    assert not answer.get("isError"), text(answer)
    assert json.loads(text(answer)) == answer["structuredContent"]
    return answer["structuredContent"]["number"]


@pytest.mark.parametrize("tool", ["kept", "kept_search"])
def test_the_same_call_is_answered_with_the_same_result(server: Server, tool: str) -> None:
    assert [number(server, tool, id=f"same-{tool}") for _ in range(3)] == [1, 1, 1]


def test_without_a_word_of_it_nothing_is_kept(server: Server) -> None:
    assert [number(server, "not_kept", id="a") for _ in range(3)] == [1, 2, 3]


def test_other_arguments_are_another_call(server: Server, api: Counting) -> None:
    # Numbers that are the same to JavaScript, and texts that look like them.
    for arguments in [{"n": 1}, {"n": 2}, {"n": 9007199254740993}, {"n": 9007199254740992}, {"filter": {"a": 1}}, {"filter": {"a": "1"}}, {}]:
        for _ in range(2):
            number(server, "kept", id="others", **arguments)
    assert api.of("/kept/others") == 7
    assert all(times == 1 for path, times in api.asked.items() if "/kept/others" in path)


def test_neither_order_nor_defaults_make_another_call(server: Server, api: Counting) -> None:
    for arguments in [
        {"id": "order", "n": 1, "filter": {"a": {"x": 1, "y": 2}, "b": 2}},
        {"filter": {"b": 2, "a": {"y": 2, "x": 1}}, "n": 1, "id": "order"},
        {"id": "order", "limit": 10, "n": 1, "filter": {"a": {"x": 1, "y": 2}, "b": 2}},
    ]:
        number(server, "kept", **arguments)
    assert api.of("/kept/order") == 1


def test_each_tool_has_results_of_its_own(server: Server, api: Counting) -> None:
    assert number(server, "kept", id="tools") == 1
    assert number(server, "text", id="tools") == 2


def test_a_result_grows_old(server: Server) -> None:
    assert number(server, "kept_briefly", id="old") == 1
    until(lambda: number(server, "kept_briefly", id="old") > 1, "a new result")


@pytest.mark.parametrize("id", ["hard", "soft"])
def test_a_failure_is_not_kept(server: Server, api: Counting, id: str) -> None:
    for _ in range(3):
        assert call(server, "api_fails", {"id": id})["isError"]
    assert api.of(f"/fail/{id}") == 3


def test_a_result_that_breaks_its_promise_is_not_kept(server: Server, api: Counting) -> None:
    for _ in range(3):
        assert call(server, "api_promises", {"id": "promise"})["isError"]
    assert api.of("/kept/promise") == 3


def test_bad_arguments_are_refused_whatever_is_kept(server: Server) -> None:
    assert number(server, "kept", id="checked") == 1
    answer = call(server, "api_kept", {"id": "checked", "unknown": 1})
    assert answer["isError"] and "unknown" in text(answer)


def test_many_who_ask_at_once_make_one_call(server: Server, api: Counting) -> None:
    with ThreadPoolExecutor(24) as pool:
        asking = [pool.submit(number, server, "hangs", id="many") for _ in range(24)]
        until(lambda: api.of("/hang/many"), "the call")
        api.gate.set()
        assert {asked.result() for asked in asking} == {1}
    api.gate.clear()
    assert api.of("/hang/many") == 1


def test_when_who_asked_first_leaves_the_others_are_answered(server: Server, api: Counting) -> None:
    host, port = server.base.removeprefix("http://").split(":")
    body = json.dumps(request("tools/call", {"_meta": META, "name": "api_hangs", "arguments": {"id": "left"}}))
    headers = {
        "Host": f"{host}:{port}",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": MODERN,
        "Mcp-Method": "tools/call",
        "Mcp-Name": "api_hangs",
        "Content-Length": str(len(body)),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with ThreadPoolExecutor(1) as pool:
        with socket.create_connection((host, int(port))) as first:
            first.sendall(f"POST /mcp HTTP/1.1\r\n{head}\r\n{body}".encode())
            until(lambda: api.of("/hang/left") == 1, "the first call")
            second = pool.submit(number, server, "hangs", id="left")
        until(lambda: api.of("/hang/left") == 2, "the call of who is still there")
        api.gate.set()
        assert second.result() == 2
    api.gate.clear()
    assert number(server, "hangs", id="left") == 2


def test_an_edit_of_the_manifest_empties_it(tmp_path: Path) -> None:
    with counting() as api, serving(tmp_path / "manifests", api) as server:
        assert [number(server, "kept", id="edit") for _ in range(2)] == [1, 1]
        connector = manifest(f"http://127.0.0.1:{api.server_port}", description="Another one.")
        server.manifests.replace(server.manifests.folder / "api.json", json.dumps(connector))
        until(lambda: number(server, "kept", id="edit") == 2, "the edit")
        assert number(server, "kept", id="edit") == 2


def test_an_edit_of_the_document_empties_it(tmp_path: Path) -> None:
    folder = tmp_path / "manifests"
    (folder / "apis").mkdir(parents=True)
    with counting() as api:
        url = f"http://127.0.0.1:{api.server_port}"

        def document(path: str) -> str:
            operation = {"operationId": "look", "responses": {"200": {"description": "ok"}}}
            info = {"title": "x", "version": "1"}
            return json.dumps({"openapi": "3.1.0", "info": info, "servers": [{"url": url}], "paths": {path: {"get": operation}}})

        adapter = {"kind": "openapi", "spec": "apis/x.json", "allowPrivate": True}
        adapter |= {"operations": {"look": {"description": "Looks.", "cacheSeconds": 600}}}
        (folder / "apis/x.json").write_text(document("/before"))
        (folder / "api.json").write_text(json.dumps({"id": "api", "name": "api", "version": "1", "adapter": adapter}))
        with serve(Manifests(folder, "")) as server:
            path = lambda: call(server, "api_look")["structuredContent"]["path"]  # noqa: E731
            assert path() == "/before"
            server.manifests.replace(folder / "apis/x.json", document("/after"))
            until(lambda: path() == "/after", "the edit")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"request": {"method": "POST", "path": "/x"}}, "change nothing"),
        ({"annotations": {"readOnly": False}}, "change nothing"),
        ({"cacheSeconds": 0}, "/cacheSeconds"),
        ({}, None),
    ],
)
def test_only_what_changes_nothing_can_be_kept(change: Json, words: str | None, tmp_path: Path) -> None:
    tool = {"name": "x", "description": "X.", "request": {"method": "GET", "path": "/x"}, "cacheSeconds": 5} | change
    file = tmp_path / "api.json"
    file.write_text(json.dumps(manifest("http://127.0.0.1:9", tools=[tool])))
    ran = subprocess.run([BINARY, "check", "--manifests", str(file)], capture_output=True, text=True, timeout=60)
    assert (ran.returncode == 1 and words in ran.stderr) if words else ran.returncode == 0, ran.stderr


def test_of_what_each_caller_connects_nothing_is_kept_and_that_is_said(tmp_path: Path) -> None:
    oauth = {"grant": "caller", "authorizationUrl": "https://id.example.com/a", "tokenUrl": "https://id.example.com/t", "clientId": "x"}
    file = tmp_path / "api.json"
    file.write_text(json.dumps(manifest("http://127.0.0.1:9", credentials={"oauth": oauth})))
    ran = subprocess.run([BINARY, "check", "--manifests", str(file)], capture_output=True, text=True, timeout=60)
    assert "/tools/0/cacheSeconds" in ran.stderr and "no results are kept" in ran.stderr, ran.stderr


def test_what_another_server_says_is_not_kept(tmp_path: Path) -> None:
    tool = {"name": "x", "description": "X.", "annotations": {"readOnly": True}, "cacheSeconds": 5}
    file = tmp_path / "mcp.json"
    file.write_text(json.dumps({"id": "m", "name": "m", "version": "1", "adapter": {"kind": "mcp", "program": "cat"}, "tools": [tool]}))
    ran = subprocess.run([BINARY, "check", "--manifests", str(file)], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 1 and "`http`, `openapi` and `command` only" in ran.stderr
