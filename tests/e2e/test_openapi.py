"""The `openapi` adapter: APIs that a document describes, before a server that repeats what it was asked."""

import base64
import gzip
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

import harness
from connectors import call, failure, tools
from harness import BINARY, FIXTURES, Manifests, Server, serve, until
from loopback import Handler, Loopback, listening
from planted import plant
from wire import Json, Wire, result

pytestmark = pytest.mark.anyio

SPEC = FIXTURES / "openapi/echo.yaml"
SECRET = plant("k3y/of the=echo&API")
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


# The API


class Echo(Loopback):
    """An API that answers with what it was asked, and keeps documents."""

    def __init__(self) -> None:
        super().__init__(EchoHandler)
        self.documents: dict[str, bytes] = {}
        self.asked: list[tuple[str, int]] = []
        self.headers_of: list[dict[str, str]] = []
        self.hung = threading.Event()

    def statuses(self, path: str) -> list[int]:
        return [status for asked, status in self.asked if asked == path]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no news."""


class EchoHandler(Handler):
    server: Echo
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.read_body(headers)
        if path in self.server.documents:
            return self.document(path, headers)
        if path == "/hang":
            self.server.hung.wait()
        if path == "/v1/ticks":
            return self.tick()
        answers: dict[str, tuple[int, str, bytes]] = {
            "/v1/list": (200, "application/json", b'[{"id": 1}, {"id": 2}]'),
            "/v1/wrong": (200, "application/json", b'{"id": "seven", "name": "x", "tags": ["a", 5, "b"], "more": true}'),
            "/v1/rows": (200, "application/json", json.dumps([{"id": "7"}, "x", {"n": 1}] * 1000).encode()),
            "/v1/nothing": (204, "", b""),
            "/v1/missing": (404, "application/json", b'{"message": "no such thing"}'),
            "/v1/picture": (200, "image/png", PNG),
            "/v1/events": (200, "text/event-stream", b"data: one\n\ndata: two\n\n"),
            "/v1/plain": (200, "text/plain; charset=utf-8", "grüße".encode()),
        }
        seen = {"method": self.command, "path": path, "query": query, "headers": headers}
        echo = json.dumps(seen | {"body": base64.b64encode(body).decode()}).encode()
        self.reply(*answers.get(path, (200, "application/json", echo)))

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_GET

    def tick(self) -> None:
        """A stream of events that does not end."""
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(b"data: tick\n\n")
        self.wfile.flush()
        self.server.hung.wait()

    def document(self, path: str, headers: dict[str, str]) -> None:
        document = self.server.documents[path]
        etag = f'"{hash(document)}"'
        same = headers.get("if-none-match") == etag
        self.server.asked.append((path, 304 if same else 200))
        self.server.headers_of.append(headers)
        # Kept packed, so that a small one may be a large one.
        packed = {"Content-Encoding": "gzip"} if document.startswith(b"\x1f\x8b") else {}
        self.reply(304 if same else 200, "application/json", b"" if same else document, ETag=etag, **packed)

    def read_body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def reply(self, status: int, kind: str, body: bytes, **headers: str) -> None:
        self.send_response(status)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", kind)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def echoing() -> Iterator[Echo]:
    with listening(Echo()) as api:
        try:
            yield api
        finally:
            api.hung.set()


@pytest.fixture(scope="module")
def api() -> Iterator[Echo]:
    with echoing() as api:
        yield api


@pytest.fixture
def docs() -> Iterator[Echo]:
    """A server of documents of the test's own."""
    with echoing() as api:
        yield api


# Connectors and their servers


def adapter(spec: str, **more: Any) -> Json:
    return {"kind": "openapi", "spec": spec, "allowPrivate": True, **more}


def described(folder: Path, adapter: Json, id: str = "echo", **more: Any) -> Manifests:
    """A folder of manifests with a connector that a document describes."""
    folder.mkdir(parents=True, exist_ok=True)
    manifests = Manifests(folder, "http://127.0.0.1:9")
    manifest = {"id": id, "name": id.title(), "version": "1.0.0", "adapter": adapter, **more}
    manifests.replace(folder / f"{id}.json", json.dumps(manifest, indent=2))
    return manifests


def beside(folder: Path, name: str, document: Any) -> Path:
    """A document in a subfolder, where no manifest is looked for."""
    file = folder / "apis" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".draft")
    draft.write_text(document if isinstance(document, str) else json.dumps(document))
    draft.rename(file)
    return file


def small(*paths: str, base: str = "https://api.example.com", **more: Any) -> Json:
    """A document with a GET for each path."""
    operation: Json = {"responses": {"200": {"description": "fine"}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Small", "version": "1"},
        "servers": [{"url": base}],
        "paths": {path: {"get": {"operationId": path.strip("/").replace("/", "_"), **operation}} for path in paths},
        **more,
    }


def check(manifests: Manifests, **env: str) -> Json:
    done = subprocess.run(
        [BINARY, "check", "--format", "json", "--manifests", str(manifests.folder)],
        env=dict(os.environ) | env,
        capture_output=True,
        text=True,
        timeout=harness.PATIENCE,
    )
    assert done.stdout, done.stderr
    return json.loads(done.stdout) | {"exit": done.returncode}


def reason(server: Server, id: str = "echo") -> str:
    """How a connector is, in words."""
    rows = Wire(server.base).send("GET", "/status").json()["connectors"]
    [row] = [row for row in rows if row["id"] == id]
    return f"{row['state']}: {row['reason']}"


MENDS: Json = {
    "keepNote": {"name": "note", "description": "Use this when a note has to be kept."},
    "POST /search": {"annotations": {"readOnly": True}},
    "makeItem": {
        "parameters": {
            "source": {"value": "us"},
            "shelf": {"hidden": True, "default": "top"},
            "price": {"name": "cost", "default": 5},
        }
    },
    "sendPicture": {"parameters": {"picture": {"file": {"allowPrivate": True}}}},
    "secretThing": {"enabled": False},
    "ticks": {"timeoutMs": 3000},
}


@pytest.fixture(scope="module")
def server(api: Echo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the echo API, whose document stands in a file. Nobody edits it."""
    folder = tmp_path_factory.mktemp("echo") / "manifests"
    settings = adapter("apis/echo.yaml", baseUrl=f"{api.url}/v1", operations=MENDS, headers={"X-Plain": "plain"})
    credentials = {"headers": {"X-Key": "${ECHO_KEY}"}}
    manifests = described(folder, settings, credentials=credentials)
    beside(folder, "echo.yaml", SPEC.read_text())
    with serve(manifests, env={"ECHO_KEY": SECRET}) as server:
        yield server


def listed(server: Server) -> dict[str, Json]:
    return {tool["name"]: tool for tool in result(Wire(server.base).modern("tools/list"))["tools"]}


def sent(server: Server, tool: str, **arguments: Any) -> Json:
    """What the API was asked, by its own account."""
    answer = call(server, f"echo_{tool}", arguments)
    assert not answer.get("isError"), answer
    seen = json.loads(answer["content"][0]["text"])
    return seen | {"body": base64.b64decode(seen["body"])}


# Tools


async def test_every_operation_is_a_tool_a_real_client_can_use(server: Server) -> None:
    async with Client(server.url) as client:
        listed = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert {"echo_getItem", "echo_makeItem", "echo_note", "echo_sendPicture"} <= listed.keys()
        assert "echo_secretThing" not in listed
        assert "echo_oldThing" not in listed
        assert "echo_brokenThing" not in listed
        for tool in listed.values():
            assert tool.input_schema["type"] == "object", tool
        answer = await client.call_tool("echo_getItem", {"id": "a/b", "tags": ["x", "y"]})
        assert not answer.is_error
        assert json.loads(answer.content[0].text)["query"] == "tags=x,y"


def test_hints_follow_from_the_method_unless_they_are_mended(server: Server) -> None:
    listed = result(Wire(server.base).modern("tools/list"))["tools"]
    hints = {tool["name"]: tool["annotations"] for tool in listed}
    assert hints["echo_getItem"]["readOnlyHint"] is True
    assert hints["echo_search"]["readOnlyHint"] is True
    assert hints["echo_makeItem"]["readOnlyHint"] is False
    assert hints["echo_makeItem"]["idempotentHint"] is False
    assert hints["echo_putBytes"]["idempotentHint"] is True
    assert hints["echo_dropItem"] == {
        "readOnlyHint": False,
        "destructiveHint": True,
        "idempotentHint": True,
        "openWorldHint": True,
    }


# Requests


def test_parameters_arrive_where_the_document_has_them(server: Server) -> None:
    seen = sent(
        server,
        "getItem",
        id="a/../b c?#%2e",
        tags=["x", "y&z"],
        filter={"size": {"min": 3}, "name": "n"},
        limit=7,
        **{"X-Trace": "t1", "session": "s 1"},
    )
    assert seen["method"] == "GET"
    assert seen["path"] == "/v1/items/a%2F..%2Fb%20c%3F%23%252e"
    query = seen["query"].replace("%5B", "[").replace("%5D", "]")
    assert sorted(query.split("&")) == sorted(["tags=x,y%26z", "filter[size][min]=3", "filter[name]=n", "limit=7"])
    assert seen["headers"]["x-trace"] == "t1"
    assert seen["headers"]["cookie"] == "session=s%201"
    assert seen["headers"]["x-plain"] == "plain"
    assert seen["headers"]["x-key"] == SECRET


@pytest.mark.parametrize("bad", ["", ".", ".."])
def test_no_argument_leaves_its_place_in_the_path(server: Server, bad: str) -> None:
    assert "`id`" in failure(server, "echo_getItem", {"id": bad})


def test_wrong_arguments_are_refused_by_name_before_anything_is_sent(server: Server) -> None:
    words = failure(server, "echo_getItem", {"id": "1", "limit": "many", "limits": 1})
    assert "limit" in words
    assert "limits" in words


def test_a_json_body_has_the_members_the_model_gave_and_those_the_manifest_fixed(server: Server) -> None:
    seen = sent(server, "makeItem", name="Ada", parts=[{"id": 1}])
    assert seen["headers"]["content-type"] == "application/json"
    assert json.loads(seen["body"]) == {"name": "Ada", "parts": [{"id": 1}], "price": 5, "source": "us", "shelf": "top"}
    assert json.loads(sent(server, "makeItem", name="Ada", cost=9)["body"])["price"] == 9
    assert "shelf" in failure(server, "echo_makeItem", {"name": "Ada", "shelf": "bottom"})


def test_forms_texts_and_bytes_are_sent_as_what_they_are(server: Server) -> None:
    form = sent(server, "fillForm", name="a b&c", tags=["x", "y"])
    assert form["headers"]["content-type"] == "application/x-www-form-urlencoded"
    assert form["body"] == b"name=a%20b%26c&tags=x&tags=y"
    note = sent(server, "note", body="hello\n")
    assert (note["headers"]["content-type"], note["body"]) == ("text/plain", b"hello\n")
    raw = sent(server, "putBytes", name="x.bin", body=base64.b64encode(PNG).decode())
    assert (raw["headers"]["content-type"], raw["body"]) == ("application/octet-stream", PNG)


def parts_of(seen: Json) -> dict[str, Any]:
    head = f"Content-Type: {seen['headers']['content-type']}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + seen["body"])
    return {part.get_param("name", header="content-disposition"): part for part in message.iter_parts()}


def test_several_parts_hold_files_texts_and_json(server: Server) -> None:
    picture = base64.b64encode(PNG).decode()
    parts = parts_of(sent(server, "uploadFile", file=picture, note="grüße", meta={"a": [1]}))
    assert parts["file"].get_content() == PNG
    assert parts["file"].get_filename()
    assert parts["note"].get_payload(decode=True).decode() == "grüße"
    assert parts["meta"].get_content_type() == "application/json"
    assert json.loads(parts["meta"].get_payload(decode=True)) == {"a": [1]}
    assert "base64" in failure(server, "echo_uploadFile", {"file": "no base64!"})


def test_a_body_of_nothing_is_a_whole_body(server: Server) -> None:
    form = sent(server, "sendParts")
    boundary = form["headers"]["content-type"].partition("boundary=")[2]
    assert form["body"].decode() == f"--{boundary}--\r\n"
    assert sent(server, "search")["headers"]["content-length"] in {"0", "2"}


def test_a_file_of_the_person_is_fetched_and_sent_on(server: Server, api: Echo) -> None:
    file = {"download_url": f"{api.url}/v1/picture", "file_id": "f1", "file_name": "cat.png"}
    parts = parts_of(sent(server, "sendPicture", picture=file))
    assert parts["picture"].get_content() == PNG
    assert (parts["picture"].get_filename(), parts["picture"].get_content_type()) == ("cat.png", "image/png")


# Answers


def test_answers_have_the_form_the_document_promises(server: Server) -> None:
    assert call(server, "echo_listThings")["structuredContent"] == {"result": [{"id": 1}, {"id": 2}]}
    nothing = call(server, "echo_nothing")
    assert not nothing.get("isError")
    assert "204" in nothing["content"][0]["text"]
    assert "no such thing" in failure(server, "echo_missing")
    [picture] = call(server, "echo_picture")["content"]
    assert base64.b64decode(picture["data"]) == PNG
    assert call(server, "echo_plain")["content"][0]["text"] == "grüße"
    assert call(server, "echo_events")["content"][0]["text"] == "data: one\n\ndata: two\n\n"


def test_of_a_stream_that_does_not_end_the_beginning_is_the_answer(server: Server) -> None:
    answer = call(server, "echo_ticks")
    assert not answer.get("isError"), answer
    assert [part["text"] for part in answer["content"]][0] == "data: tick\n\n"
    assert "went on" in answer["content"][1]["text"]


async def test_an_answer_that_differs_from_the_document_is_still_an_answer(server: Server) -> None:
    async with Client(server.url) as client:
        # This client refuses what breaks a tool's output schema.
        await client.list_tools()
        answer = await client.call_tool("echo_wrong", {})
    assert not answer.is_error
    assert answer.structured_content == {"name": "x", "tags": ["a", "b"], "more": True}
    assert json.loads(answer.content[0].text)["id"] == "seven"


def test_an_answer_that_differs_everywhere_keeps_what_fits(tmp_path: Path, api: Echo) -> None:
    spec = small("/v1/rows", "/v1/list", base=api.url)
    item = {"type": "object", "properties": {"id": {"type": "integer"}}}
    content = {"application/json": {"schema": {"type": "array", "items": item}}}
    for path in spec["paths"].values():
        path["get"]["responses"]["200"]["content"] = content
    beside(tmp_path, "api.json", spec)
    part = {"GET /v1/list": {"response": {"select": "$[0]"}}}
    with serve(described(tmp_path, adapter("apis/api.json", operations=part))) as server:
        answer = call(server, "echo_v1_rows")
        assert not answer.get("isError"), answer
        assert answer["structuredContent"] == {"result": [{}, {"n": 1}] * 1000}
        # Of a part, the document promises nothing.
        assert call(server, "echo_v1_list")["structuredContent"] == {"id": 1}
        assert "outputSchema" not in listed(server)["echo_v1_list"]


def test_what_the_manifest_fills_is_no_argument(tmp_path: Path, api: Echo) -> None:
    spec = small("/a", base=api.url)
    form = {"name": "f", "in": "query", "schema": {"type": "object"}}
    places = [("key", "query"), ("X-Tenant", "header"), ("c", "cookie")]
    named = [{"name": name, "in": place, "required": True, "schema": {"type": "string"}} for name, place in places]
    spec["paths"]["/a"]["get"]["parameters"] = [form, *named]
    beside(tmp_path, "api.json", spec)
    credentials = {"query": {"key": "${ECHO_KEY}"}, "cookies": {"c": "${ECHO_CRUMB}"}}
    manifests = described(tmp_path, adapter("apis/api.json", headers={"X-Tenant": "acme"}), credentials=credentials)
    with serve(manifests, env={"ECHO_KEY": SECRET, "ECHO_CRUMB": "crumb"}) as server:
        schema = listed(server)["echo_a"]["inputSchema"]
        assert list(schema["properties"]) == ["f"] and "required" not in schema
        seen = sent(server, "a", f={"key": "mine", "more": "1"})
        assert seen["query"].startswith("more=1&key=") and "mine" not in seen["query"]
        assert seen["headers"]["x-tenant"] == "acme"
        assert seen["headers"]["cookie"].count("c=") == 1


def test_a_manifest_may_hold_a_service_to_its_document(tmp_path: Path, api: Echo) -> None:
    manifests = described(tmp_path, adapter("apis/echo.yaml", baseUrl=f"{api.url}/v1", output="strict"))
    beside(tmp_path, "echo.yaml", SPEC.read_text())
    with serve(manifests) as server:
        assert "/id" in failure(server, "echo_wrong")
        assert call(server, "echo_listThings")["structuredContent"] == {"result": [{"id": 1}, {"id": 2}]}


def test_credentials_are_in_no_answer_and_no_log(server: Server) -> None:
    sent(server, "getItem", id="1")
    assert "ECHO_KEY" not in "".join(server.log)
    assert SECRET not in "".join(server.log)


# What people are told


def test_check_counts_operations_and_names_each_that_became_no_tool(server: Server) -> None:
    report = check(server.manifests, ECHO_KEY=SECRET)
    [connector] = [it for it in report["connectors"] if it["id"] == "echo"]
    document = connector["document"]
    assert document["tools"] == len(connector["tools"])
    assert document["operations"] == document["tools"] + document["unwanted"] + document["impossible"]
    assert document["unwanted"] == 2
    assert document["impossible"] == 1
    [problem] = [it for it in report["problems"] if "brokenThing" in it["message"] or "/broken" in it["message"]]
    assert problem["severity"] == "warning"
    assert problem["file"].endswith("apis/echo.yaml")
    assert problem["pointer"].startswith("/paths/~1broken")
    assert report["exit"] == 0


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (None, "cannot be read"),
        ("openapi: [3.1", "line"),
        ('{"swagger": "1.2"}', ""),
        ("just text", ""),
        (small("/a", base="/relative"), "baseUrl"),
    ],
)
def test_a_document_that_is_none_is_said_with_its_file(tmp_path: Path, document: Any, words: str) -> None:
    manifests = described(tmp_path, adapter("apis/api.json"))
    if document is not None:
        beside(tmp_path, "api.json", document)
    report = check(manifests)
    [problem] = [it for it in report["problems"] if it["severity"] == "error"]
    assert problem["file"].endswith("apis/api.json")
    assert words in problem["message"]
    assert report["exit"] == 1


@pytest.mark.parametrize(
    ("settings", "pointer"),
    [
        ({"spec": "../api.json"}, "/adapter/spec"),
        ({"spec": "http://user:pw@example.com/api.json"}, "/adapter/spec"),
        ({"specHeaders": {"X-Key": "k"}}, "/adapter/specHeaders"),
        ({"allowRefs": ["https://example.com/path"]}, "/adapter/allowRefs/0"),
        ({"overlays": ["../o.json"]}, "/adapter/overlays/0"),
        ({"include": [{}]}, "/adapter/include/0"),
        ({"operations": {"a": {"name": "no name"}}}, "/adapter/operations/a/name"),
        ({"operations": {"a": {"name": "x"}, "b": {"name": "x"}}}, "/adapter/operations/b/name"),
        ({"operations": {"a": {"parameters": {"p": {"value": 1, "default": 2}}}}}, "/adapter/operations/a/parameters/p/default"),
        ({"operations": {"a": {"parameters": {"p": {"schema": {"type": "no"}}}}}}, "/adapter/operations/a/parameters/p/schema"),
        ({"operations": {"a": {"annotation": {}}}}, "/adapter/operations/a/annotation"),
    ],
)
def test_what_a_manifest_cannot_mean_is_an_error_with_its_place(tmp_path: Path, settings: Json, pointer: str) -> None:
    manifests = described(tmp_path, adapter("apis/api.json") | settings)
    beside(tmp_path, "api.json", small("/a"))
    report = check(manifests)
    assert pointer in [problem["pointer"] for problem in report["problems"]], report["problems"]
    assert report["exit"] == 1


# Other documents


def test_documents_beside_the_first_are_read_and_none_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "manifests"
    (tmp_path / "outside.json").write_text(json.dumps({"Pet": {"type": "object", "properties": {"leak": {}}}}))
    spec = small("/good", "/bad", "/worse")
    for path, reference in [
        ("/good", "./schemas/pet.yaml#/Pet"),
        ("/bad", "../../outside.json#/Pet"),
        ("/worse", "http://127.0.0.1:9/pet.json#/Pet"),
    ]:
        body = {"content": {"application/json": {"schema": {"$ref": reference}}}}
        spec["paths"][path] = {"post": {"operationId": path[1:], "requestBody": body, "responses": {}}}
    beside(folder, "api.json", spec)
    beside(folder, "schemas/pet.yaml", "Pet: {type: object, properties: {name: {$ref: owner.yaml}}}\n")
    beside(folder, "schemas/owner.yaml", "type: string\nmaxLength: 3\n")
    manifests = described(folder, adapter("apis/api.json"))
    with serve(manifests) as server:
        listed = {tool["name"]: tool for tool in result(Wire(server.base).modern("tools/list"))["tools"]}
        assert listed["echo_good"]["inputSchema"]["properties"]["name"]["maxLength"] == 3
        assert "leak" not in json.dumps(list(listed.values()))
    words = " ".join(problem["message"] for problem in check(manifests)["problems"])
    assert "not below the manifest's folder" in words
    assert "allowRefs" in words


def test_documents_at_another_origin_are_read_where_the_manifest_allows_it(tmp_path: Path, docs: Echo) -> None:
    docs.documents["/pet.json"] = json.dumps({"Pet": {"type": "object", "properties": {"name": {"const": "Rex"}}}}).encode()
    spec = small("/a")
    body = {"content": {"application/json": {"schema": {"$ref": f"{docs.url}/pet.json#/Pet"}}}}
    spec["paths"]["/a"] = {"post": {"operationId": "a", "requestBody": body, "responses": {}}}
    for name, settings in [("no", {}), ("yes", {"allowRefs": [docs.url]})]:
        folder = tmp_path / name
        beside(folder, "api.json", spec)
        with serve(described(folder, adapter("apis/api.json", **settings))) as server:
            until(lambda: "echo_a" in tools(server), f"the tool: {server.log}")
            assert ("Rex" in json.dumps(listing(server))) is (name == "yes")
        assert bool(docs.asked) is (name == "yes")


def test_an_overlay_is_laid_upon_the_document(tmp_path: Path) -> None:
    overlay = {
        "overlay": "1.0.0",
        "info": {"title": "Ours", "version": "1"},
        "actions": [
            {"target": "$.paths['/a'].get", "update": {"summary": "Ours alone"}},
            {"target": "$.paths['/b']", "remove": True},
        ],
    }
    manifests = described(tmp_path, adapter("apis/api.json", overlays=["apis/ours.json"]))
    beside(tmp_path, "api.json", small("/a", "/b"))
    beside(tmp_path, "ours.json", overlay)
    report = check(manifests)
    [connector] = [it for it in report["connectors"] if it["id"] == "echo"]
    assert connector["tools"] == ["echo_a"], report


# Changes


def test_an_edited_document_is_read_and_a_broken_one_takes_nothing_away(tmp_path: Path, api: Echo) -> None:
    folder = tmp_path / "manifests"
    manifests = described(folder, adapter("apis/api.json", baseUrl=api.url))
    file = beside(folder, "api.json", small("/a"))
    with serve(manifests) as server:
        assert tools(server) >= {"echo_a"}
        beside(folder, "api.json", small("/a", "/b"))
        until(lambda: "echo_b" in tools(server), f"the new tool: {server.log}")
        file.write_text("{ broken")
        server.says("cannot be read")
        assert {"echo_a", "echo_b"} <= tools(server)
        assert call(server, "echo_b")["structuredContent"]["path"] == "/b"
        beside(folder, "api.json", small("/c"))
        until(lambda: "echo_c" in tools(server), f"the mended document: {server.log}")
        assert "echo_a" not in tools(server)


def test_an_edit_of_the_manifest_takes_no_tool_away(tmp_path: Path, api: Echo, docs: Echo) -> None:
    docs.documents["/api.json"] = json.dumps(small("/a")).encode()
    folder = tmp_path / "manifests"
    settings = adapter(f"{docs.url}/api.json", baseUrl=api.url)
    manifests = described(folder, settings)
    with serve(manifests) as server:
        until(lambda: "echo_a" in tools(server), f"the tool: {server.log}")
        stop, wrong = threading.Event(), []

        def keep_calling() -> None:
            while not stop.is_set():
                answer = call(server, "echo_a")
                if answer.get("isError"):
                    wrong.append(answer)

        caller = threading.Thread(target=keep_calling)
        caller.start()
        described(folder, settings | {"operations": {"a": {"description": "Said anew."}}})
        until(lambda: "Said anew." in json.dumps(listing(server)), f"the edit: {server.log}")
        stop.set()
        caller.join()
        assert wrong == []


def listing(server: Server) -> Any:
    return result(Wire(server.base).modern("tools/list"))


def test_a_document_at_an_address_is_asked_for_again_and_kept_while_it_is_away(
    tmp_path: Path, api: Echo, docs: Echo
) -> None:
    docs.documents["/api.json"] = json.dumps(small("/a")).encode()
    headers = {"X-Spec-Key": "${SPEC_KEY}"}
    settings = adapter(f"{docs.url}/api.json", baseUrl=api.url, refreshSeconds=1, specHeaders=headers)
    manifests = described(tmp_path / "manifests", settings)
    env = {"SPEC_KEY": SECRET, "SWITCHBOARD_DATA_DIR": str(tmp_path / "data")}
    with serve(manifests, env=env) as server:
        until(lambda: "echo_a" in tools(server), f"the tool: {server.log}")
        assert docs.headers_of[0]["x-spec-key"] == SECRET
        until(lambda: 304 in docs.statuses("/api.json"), "a question whether it changed")
        docs.documents["/api.json"] = json.dumps(small("/a", "/b")).encode()
        until(lambda: "echo_b" in tools(server), f"the new tool: {server.log}")
        assert docs.statuses("/api.json").count(200) == 2
        docs.documents["/api.json"] = b"<html>maintenance</html>"
        until(lambda: "degraded" in reason(server), "a word on it")
        assert call(server, "echo_b")["structuredContent"]["path"] == "/b"
        docs.documents["/api.json"] = json.dumps(small("/a", "/b", "/c")).encode()
        until(lambda: "echo_c" in tools(server), f"the mended document: {server.log}")
        assert SECRET not in "".join(server.log)
    docs.shutdown()
    docs.server_close()
    with serve(manifests, env=env) as server:
        until(lambda: "echo_c" in tools(server), f"the tools as they were: {server.log}")
        assert call(server, "echo_c")["structuredContent"]["path"] == "/c"
        assert "degraded" in reason(server)


def test_a_document_that_never_comes_holds_up_nobody(tmp_path: Path, api: Echo) -> None:
    folder = tmp_path / "manifests"
    described(folder, adapter(f"{api.url}/hang"), id="stuck")
    manifests = described(folder, adapter("apis/api.json", baseUrl=api.url))
    beside(folder, "api.json", small("/a"))
    with serve(manifests) as server:
        assert call(server, "echo_a")["structuredContent"]["path"] == "/a"
        assert "echo_a" in tools(server)


# Trust


def test_a_document_from_elsewhere_does_not_say_where_credentials_go(tmp_path: Path, api: Echo, docs: Echo) -> None:
    docs.documents["/api.json"] = json.dumps(small("/a", base=api.url)).encode()
    settings = adapter(f"{docs.url}/api.json")
    credentials = {"headers": {"X-Key": "${ECHO_KEY}"}}
    env = {"ECHO_KEY": SECRET}
    report = check(described(tmp_path / "one", settings, credentials=credentials), **env)
    [problem] = [it for it in report["problems"] if it["severity"] == "error"]
    assert f'"baseUrl": "{api.url}/"' in problem["message"]

    said = described(tmp_path / "two", settings | {"baseUrl": api.url}, credentials=credentials)
    with serve(said, env=env) as server:
        until(lambda: "echo_a" in tools(server), f"the tool: {server.log}")
        assert call(server, "echo_a")["structuredContent"]["headers"]["x-key"] == SECRET

    docs.documents["/api.json"] = json.dumps(small("/a", base=docs.url)).encode()
    with serve(described(tmp_path / "three", settings, credentials=credentials), env=env) as server:
        until(lambda: "echo_a" in tools(server), f"the document's own address: {server.log}")
        assert call(server, "echo_a")["structuredContent"]["headers"]["x-key"] == SECRET


def test_an_operation_elsewhere_gets_no_credentials_because_a_document_from_afar_says_so(
    tmp_path: Path, docs: Echo
) -> None:
    spec = small("/a", "/b", base=docs.url)
    spec["paths"]["/b"]["get"]["servers"] = [{"url": "https://elsewhere.example.com"}]
    docs.documents["/api.json"] = json.dumps(spec).encode()
    report = check(described(tmp_path / "one", adapter(f"{docs.url}/api.json")))
    [connector] = [it for it in report["connectors"] if it["id"] == "echo"]
    assert connector["tools"] == ["echo_a"]
    [problem] = [it for it in report["problems"] if it["pointer"].startswith("/paths/~1b")]
    assert "elsewhere.example.com" in problem["message"]
    beside(tmp_path / "two", "api.json", spec)
    report = check(described(tmp_path / "two", adapter("apis/api.json")))
    [connector] = [it for it in report["connectors"] if it["id"] == "echo"]
    assert connector["tools"] == ["echo_a", "echo_b"]

    # Neither does one to which a file refers.
    docs.documents["/item.json"] = json.dumps(spec["paths"]["/b"]).encode()
    spec["paths"]["/b"] = {"$ref": f"{docs.url}/item.json"}
    beside(tmp_path / "three", "api.json", spec)
    report = check(described(tmp_path / "three", adapter("apis/api.json", allowRefs=[docs.url])))
    [connector] = [it for it in report["connectors"] if it["id"] == "echo"]
    assert connector["tools"] == ["echo_a"]


def test_credentials_that_a_document_asks_for_and_the_manifest_lacks_are_named(tmp_path: Path) -> None:
    schemes = {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}}
    beside(tmp_path, "api.json", small("/a", "/b", security=[{"key": []}], components={"securitySchemes": schemes}))
    for credentials, count in [({}, 1), ({"headers": {"X-Key": "k"}}, 0)]:
        report = check(described(tmp_path, adapter("apis/api.json"), credentials=credentials))
        problems = [it for it in report["problems"] if it["pointer"] == "/credentials"]
        assert len(problems) == count
        assert all("2 of its tools need `credentials.headers.X-Key`" in it["message"] for it in problems)


@pytest.mark.parametrize("packed", [False, True])
def test_a_document_without_end_is_not_read_to_its_end(tmp_path: Path, docs: Echo, packed: bool) -> None:
    filler = "" if not packed else " " * (66 << 20)
    docs.documents["/api.json"] = gzip.compress(json.dumps(small("/a", base=docs.url)).encode() + filler.encode(), 1)
    report = check(described(tmp_path, adapter(f"{docs.url}/api.json")))
    errors = [it["message"] for it in report["problems"] if it["severity"] == "error"]
    assert errors == (["it has more than 67108864 bytes"] if packed else [])


def test_a_document_on_a_private_address_is_read_only_where_the_manifest_allows_it(tmp_path: Path, docs: Echo) -> None:
    docs.documents["/api.json"] = json.dumps(small("/a", base=docs.url)).encode()
    report = check(described(tmp_path / "one", adapter(f"{docs.url}/api.json") | {"allowPrivate": False}))
    [problem] = [it for it in report["problems"] if it["severity"] == "error"]
    assert "allowPrivate" in problem["message"]
    assert docs.asked == []
    report = check(described(tmp_path / "two", adapter(f"{docs.url}/api.json")))
    assert report["exit"] == 0, report["problems"]
    assert docs.statuses("/api.json") == [200]
