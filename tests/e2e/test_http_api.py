"""The `http` adapter before a real API: `tests/fixtures/api/app.py`, served by FastAPI and uvicorn on loopback."""

import base64
import hashlib
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
import wave
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from planted import found, plant

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parent.parent.parent
FIXTURE = ROOT / "tests/fixtures/api"
BINARY = os.environ.get("SWITCHBOARD_BIN", str(ROOT / "target/debug/switchboard"))

# Long enough for a slow machine; reached only by a failure.
PATIENCE = 30.0

# With characters that look different in a URL, in JSON and in base64.
TOKEN = plant("tok3n/of+the=shop&more")
KEY = plant("k3y in?the#query%41")
FILE_SECRET = plant("s3cret-of-the-file")


# The API, the server, the client


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def ended(process: subprocess.Popen) -> Iterator[subprocess.Popen]:
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE
    while True:
        if found := condition():
            return found
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


def requests_seen(api_url: str) -> int:
    with urllib.request.urlopen(f"{api_url}/health", timeout=PATIENCE) as answer:
        return json.load(answer)["requests"]


@contextmanager
def running_api() -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            requests_seen(url)
        except OSError:
            return False
        return True

    with ended(subprocess.Popen([sys.executable, str(FIXTURE / "app.py"), str(port)])):
        until(answers, "the API")
        yield url


def manifest() -> dict[str, Any]:
    return json.loads((FIXTURE / "manifests/api.json").read_text())


def manifests_in(folder: Path, *connectors: dict[str, Any]) -> Path:
    """A folder of manifests: the fixture's, or these connectors instead."""
    folder.mkdir()
    if connectors:
        (folder / "connectors.json").write_text(json.dumps(connectors))
    else:
        shutil.copy(FIXTURE / "manifests/api.json", folder)
    (folder / "secret.txt").write_text(f"{FILE_SECRET}\n")
    return folder


@dataclass
class Server:
    url: str
    stderr: Path
    folder: Path
    env: dict[str, str]

    async def call(self, tool: str, **arguments: Any) -> Any:
        async with Client(self.url, read_timeout_seconds=PATIENCE) as client:
            return await client.call_tool(tool, arguments)

    async def ok(self, tool: str, **arguments: Any) -> Any:
        result = await self.call(tool, **arguments)
        assert not result.is_error, text_of(result)
        return result

    async def value(self, tool: str, **arguments: Any) -> Any:
        return (await self.ok(tool, **arguments)).structured_content

    async def error(self, tool: str, **arguments: Any) -> str:
        """The text of an error result, which must be one for people and must not be a value too."""
        result = await self.call(tool, **arguments)
        assert result.is_error, text_of(result)
        text = text_of(result)
        assert text.strip()
        return text

    def command(self, *arguments: str) -> subprocess.CompletedProcess:
        command = [BINARY, *arguments, "--manifests", str(self.folder)]
        return subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=PATIENCE)


def environment(api_url: str) -> dict[str, str]:
    ours = {"API_URL": api_url, "API_TOKEN": TOKEN, "API_KEY": KEY, "LOG_LEVEL": "trace"}
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LLVM_PROFILE_FILE") if name in os.environ}
    return kept | ours


@contextmanager
def running_server(folder: Path, api_url: str, **more: str) -> Iterator[Server]:
    stderr = folder.parent / f"{folder.name}.stderr"
    env = environment(api_url) | more
    command = [BINARY, "serve", "--manifests", str(folder), "--port", "0"]
    with stderr.open("wb") as sink, ended(subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink)) as process:

        def listening() -> re.Match[str] | None:
            said = stderr.read_text(errors="replace")
            assert process.poll() is None, said
            return re.search(r"listening on (http://127\.0\.0\.1:\d+/mcp)", said)

        said = until(listening, "the server")
        yield Server(said[1], stderr, folder, env)
    assert not found(stderr.read_text(errors="replace")), "a server told secrets"


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def api() -> Iterator[str]:
    with running_api() as url:
        yield url


@pytest.fixture(scope="session")
def other_api() -> Iterator[str]:
    """The same API once more: another origin."""
    with running_api() as url:
        yield url


@pytest.fixture(scope="session")
def shop(api: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(manifests_in(tmp_path_factory.mktemp("shop") / "manifests"), api) as server:
        yield server


@pytest.fixture
def serve(api: str, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts a server of the test's own with these connectors."""
    with ExitStack() as stack:
        yield lambda *connectors: stack.enter_context(running_server(manifests_in(tmp_path / "manifests", *connectors), api))


def text_of(result: Any) -> str:
    return "\n".join(item.text for item in result.content if item.type == "text")


def header(seen: dict[str, Any], name: str) -> list[str]:
    return [value for key, value in seen["headers"] if key == name]


def query(seen: dict[str, Any], name: str) -> list[str]:
    return [value for key, value in seen["query"] if key == name]


def sha256(data: bytes | str) -> str:
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


# Where arguments go: the path


HOSTILE_SEGMENTS = [
    "../../secret",
    "../",
    "%2e%2e",
    "%2E%2e/",
    "%2f%2fevil.example",
    "a/b",
    "/",
    "//evil.example/x",
    "\\evil.example",
    "..\\..",
    "?q=2",
    "#fragment",
    "a;b=c",
    "a&b=c",
    "@evil.example",
    "http://evil.example/",
    ":80",
    "a\r\nX-Evil: 1",
    "\n",
    "\t",
    "a b",
    "a+b",
    "%",
    "%zz",
    "%00",
    "grüße ☃ 𝒳",
    "\u202e\u2028",
    "．．／",
    "*",
    "{segment}",
    "${API_TOKEN}",
    "~",
    "'\"<>`|^[]",
]


@pytest.mark.parametrize("value", HOSTILE_SEGMENTS)
async def test_an_argument_stays_in_its_segment_of_the_path(shop: Server, value: str) -> None:
    seen = await shop.value("api_look", segment=value)
    assert seen.get("leftItsPlace") is None
    assert re.fullmatch(r"/v1/seen/[^/]*/end", seen["rawPath"]), seen["rawPath"]
    assert urllib.parse.unquote(seen["rawPath"].split("/")[3]) == value
    assert query(seen, "fixed") == ["1"]
    assert query(seen, "q") == []
    assert header(seen, "x-evil") == []


async def refused_or_kept(shop: Server, tool: str, argument: str, value: str) -> None:
    """A call whose argument might bend the path is refused by that argument's name, or arrives with the path unbent."""
    result = await shop.call(tool, **{argument: value})
    if result.is_error:
        assert argument in text_of(result)
    else:
        assert urllib.parse.unquote(result.structured_content["rawPath"]) == f"/v1/seen/{value}/end"


@pytest.mark.parametrize("value", [".", "..", ""])
async def test_a_segment_that_would_vanish_is_refused_or_kept(shop: Server, value: str) -> None:
    """URLs give `.` and `..` a meaning however they are encoded, and an empty segment shortens many an API's path."""
    await refused_or_kept(shop, "api_look", "segment", value)


@pytest.mark.parametrize("value", ["..", "../x", "/../x", "%2e%2e/x", "a/b", "?x=1", "#x"])
async def test_an_argument_inside_a_segment_stays_there(shop: Server, value: str) -> None:
    result = await shop.call("api_look_word", word=value)
    if result.is_error:
        # Harmless inside a segment, so taking it and refusing it are both right.
        assert value == ".." and "word" in text_of(result), text_of(result)
        return
    seen = result.structured_content
    assert seen["rawPath"].count("/") == 3, seen["rawPath"]
    assert urllib.parse.unquote(seen["rawPath"]) == f"/v1/seen/before-{value}.json"


async def test_a_path_argument_keeps_its_slashes(shop: Server) -> None:
    seen = await shop.value("api_look_deep", rest="src/main file?.rs#1/ü")
    assert urllib.parse.unquote(seen["rawPath"]) == "/v1/seen/src/main file?.rs#1/ü/end"
    assert seen["rawPath"].count("/") == 6, seen["rawPath"]
    assert query(seen, "q") == []


@pytest.mark.parametrize(
    "value",
    ["..", "../x", "../../health", "a/../../../health", "a/..", "./x", "a/./b", ".", "a/.."],
)
async def test_a_path_argument_cannot_climb(shop: Server, value: str) -> None:
    await refused_or_kept(shop, "api_look_deep", "rest", value)


@pytest.mark.parametrize("value", ["%2e%2e/x", "%2e%2e%2fx", "..%2fx", "a/%2e./b", "..;/x", "\\..\\x", "..\\x"])
async def test_a_path_argument_cannot_climb_in_disguise(shop: Server, value: str) -> None:
    await refused_or_kept(shop, "api_look_deep", "rest", value)


@pytest.mark.parametrize("value", ["/evil.example/x", "//evil.example/x", "@evil.example/x", "\\\\evil.example/x", "http://evil.example/x", ":x@evil.example"])
async def test_a_path_that_is_all_argument_cannot_change_the_host(shop: Server, api: str, value: str) -> None:
    result = await shop.call("api_look_first", rest=value)
    if result.is_error:
        assert "rest" in text_of(result)
    else:
        seen = result.structured_content
        assert seen["rawPath"].startswith("/v1/"), seen["rawPath"]
        assert header(seen, "host") == [api.removeprefix("http://")]


# Where arguments go: query and headers


@pytest.mark.parametrize("value", ["a&fixed=2", "a&key=mine", "a=b", "#", "a b+c", "%26fixed=2", "grüße ☃", "\r\nX-Evil: 1", "", "'", "a;b"])
async def test_an_argument_stays_in_its_query_parameter(shop: Server, value: str) -> None:
    seen = await shop.value("api_look", segment="x", q=value)
    assert query(seen, "q") == [value]
    assert query(seen, "fixed") == ["1"]
    assert sorted({name for name, _ in seen["query"]}) == ["fixed", "q"]
    assert header(seen, "x-evil") == []


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rX-Evil: 1", "\r\n\r\nGET /evil HTTP/1.1", "a\0b"])
async def test_an_argument_cannot_add_a_header(shop: Server, api: str, value: str) -> None:
    before = requests_seen(api)
    text = await shop.error("api_look", segment="x", note=value)
    assert re.search(r"x-note|note|header", text, re.IGNORECASE), text
    assert requests_seen(api) == before


@pytest.mark.parametrize("value", ["plain", "with, comma; and = sign", "tab\tinside", "\"quoted\""])
async def test_a_header_argument_arrives_as_it_is(shop: Server, value: str) -> None:
    seen = await shop.value("api_look", segment="x", note=value)
    assert header(seen, "x-note") == [value]


async def test_a_header_argument_beyond_ascii_arrives_whole_or_is_refused(shop: Server) -> None:
    result = await shop.call("api_look", segment="x", note="grüße ☃")
    if result.is_error:
        assert re.search(r"x-note|note|header", text_of(result), re.IGNORECASE)
    else:
        assert header(result.structured_content, "x-note")[0].encode("latin-1").decode() == "grüße ☃"


async def test_an_absent_argument_leaves_out_its_parameter_and_header(shop: Server) -> None:
    seen = await shop.value("api_look", segment="x")
    assert query(seen, "q") == []
    assert header(seen, "x-note") == []


async def test_a_null_argument_counts_as_absent(shop: Server) -> None:
    order = await shop.value("api_create_order", item=1, count=1, note=None)
    assert "note" not in order


async def test_the_adapters_headers_go_with_every_request(shop: Server) -> None:
    seen = await shop.value("api_look", segment="x")
    assert header(seen, "x-static") == ["from the manifest"]
    assert header(seen, "accept") == ["application/json, */*"]


async def test_an_array_repeats_or_joins_in_the_query(shop: Server) -> None:
    found = await shop.value("api_search", tags=["a", "b&c", "d,e"], ids=[3, 1, 2], after="x y")
    assert found == {"tag": ["a", "b&c", "d,e"], "ids": "3,1,2", "limit": 10, "after": "x y"}


async def test_an_empty_array_adds_no_parameter_of_its_own(shop: Server) -> None:
    assert (await shop.value("api_search", tags=[]))["tag"] == []


async def test_booleans_and_numbers_are_written_as_json_writes_them(shop: Server) -> None:
    assert await shop.value("api_get_item", item_id=7, detail=False, tenant="us") == {"id": 7, "name": "item 7", "detail": False, "tenant": "us"}


async def test_a_default_fills_in_for_a_missing_argument(shop: Server) -> None:
    assert (await shop.value("api_get_item", item_id=7))["detail"] is True


# Where arguments go: bodies


@pytest.mark.parametrize(
    "value",
    [0, -1, 1.5, 12345678901234567890, True, False, "", "text", "{name}", "5", [], [1, [2, None]], {}, {"a": {"b": [None]}}, "grüße ☃\u0000\"\\\n"],
    ids=repr,
)
async def test_a_json_member_keeps_its_arguments_type(shop: Server, value: Any) -> None:
    seen = await shop.value("api_look_json", value=value, name="Bo")
    body = json.loads(seen["body"])
    assert body == {
        "value": value,
        "text": "name: Bo",
        "braces": "{name}",
        "fixed": [1, True, None, {"deep": "Bo"}],
        "list": ["Bo", "end"],
    }
    assert type(body["value"]) is type(value)
    assert seen["method"] == "PATCH"
    assert header(seen, "content-type") == ["application/json"]


async def test_json_members_of_absent_arguments_are_left_out(shop: Server) -> None:
    seen = await shop.value("api_look_json")
    assert json.loads(seen["body"]) == {"braces": "{name}", "fixed": [1, True, None, {}], "list": ["end"]}


async def test_a_whole_json_body_can_be_one_argument(shop: Server) -> None:
    order = {"a": [1, {"b": None}], "c": "d"}
    assert await shop.value("api_replace_order", order_id=4, order=order) == {"id": 4, "order": order}


async def test_a_body_that_is_an_absent_argument_is_left_out(shop: Server) -> None:
    seen = await shop.value("api_put_anything")
    assert seen["body"] == ""
    assert header(seen, "content-type") == []


async def test_a_form_escapes_its_fields_and_leaves_out_absent_ones(shop: Server) -> None:
    form = await shop.value("api_login", user="a&remember=true&b=ü +%")
    assert form["user"] == "a&remember=true&b=ü +%"
    assert form["remember"] is False
    assert form["fields"] == ["user"]
    assert form["contentType"] == "application/x-www-form-urlencoded"


async def test_a_text_body_arrives_as_it_is(shop: Server) -> None:
    text = "# Grüße\r\n\r\n{not} a placeholder \u0000 ☃ & = %20\n"
    note = await shop.value("api_take_note", text=text)
    assert note["text"] == text
    assert note["sha256"] == sha256(text)
    assert note["contentType"].startswith("text/markdown")


@pytest.mark.parametrize("size", [0, 1, 2, 3, 300_000])
async def test_an_upload_arrives_byte_for_byte(shop: Server, size: int) -> None:
    data = bytes((index * 7 + index // 251) % 256 for index in range(size))
    got = await shop.value("api_upload", content=base64.b64encode(data).decode(), filename="data.bin", type="image/png", title="A & B")
    assert got["size"] == size
    assert got["sha256"] == sha256(data)
    assert got["filename"] == "data.bin"
    assert got["contentType"] == "image/png"
    assert got["title"] == "A & B"
    assert got["parts"] == ["file", "title"]


async def test_an_upload_of_text_is_its_bytes_in_utf_8(shop: Server) -> None:
    text = "grüße\r\n--boundary\r\nContent-Disposition: form-data; name=\"evil\"\r\n\r\n☃"
    got = await shop.value("api_upload_text", content=text)
    assert got["sha256"] == sha256(text)
    assert got["filename"] == "note.txt"
    assert got["parts"] == ["file"]


@pytest.mark.parametrize("name", ['a"; name="evil', "a\r\nX-Evil: 1", "a\r\n\r\nbody", "../../etc/passwd", "grüße ☃.txt", "a\\b", ""])
async def test_a_file_name_cannot_leave_its_place(shop: Server, name: str) -> None:
    result = await shop.call("api_upload", content="YQ==", filename=name)
    if result.is_error:
        # FastAPI itself takes a part without a name for a field, so an empty name may fail there.
        assert name == "" or re.search(r"filename|header", text_of(result)), text_of(result)
        return
    got = result.structured_content
    assert got["parts"] == ["file"]
    assert got["sha256"] == sha256(b"a")
    assert set(got["partHeaders"]) <= {"content-disposition", "content-type", "content-length"}


@pytest.mark.parametrize("kind", ["image/png\r\nX-Evil: 1", "not a type", "text/plain; charset=\"utf-8\"\r\n\r\nbody"])
async def test_a_faulty_media_type_is_refused(shop: Server, kind: str) -> None:
    text = await shop.error("api_upload", content="YQ==", type=kind)
    assert re.search(r"media type|content.?type|mime|\btype\b", text, re.IGNORECASE), text


@pytest.mark.parametrize("content", ["not base64!", "YQ", "=", "Y Q = ="])
async def test_faulty_base64_is_refused_and_names_the_argument(shop: Server, content: str) -> None:
    result = await shop.call("api_upload", content=content)
    if result.is_error:
        assert re.search(r"content", text_of(result)) and re.search("base64", text_of(result), re.IGNORECASE), text_of(result)
    else:
        # Lenience about padding and white space is fine, guessing is not.
        assert content in ("YQ", "Y Q = =")
        assert result.structured_content["sha256"] == sha256(b"a")


# What comes back


JSON_TOOLS: list[tuple[str, dict[str, Any], Any]] = [
    ("api_get_item", {"item_id": 1}, {"id": 1, "name": "item 1", "detail": True, "tenant": None}),
    ("api_get_list", {}, {"result": [{"id": 1}, {"id": 2}]}),
    ("api_get_number", {}, {"result": 42}),
    ("api_get_nested", {}, {"meta": {"took": 3}, "data": {"items": [{"id": 1, "a/b": {"~": "deep"}}], "total": 1}}),
    ("api_pick_items", {}, {"result": [{"id": 1, "a/b": {"~": "deep"}}]}),
    ("api_pick_deep", {}, {"~": "deep"}),
    ("api_get_gzip", {}, {"packed": "é" * 1000}),
    ("api_get_problem", {}, {"title": "fine", "status": 200}),
    ("api_create_order", {"item": 3, "count": 2, "tags": ["x"]}, {"item": 3, "count": 2, "tags": ["x"], "source": "switchboard"}),
]


@pytest.mark.parametrize(("tool", "arguments", "expected"), JSON_TOOLS, ids=[tool for tool, _, _ in JSON_TOOLS])
async def test_structured_content_is_the_answer_and_the_same_as_the_texts_json(shop: Server, tool: str, arguments: dict[str, Any], expected: Any) -> None:
    result = await shop.ok(tool, **arguments)
    assert result.structured_content == expected
    assert [item.type for item in result.content] == ["text"]
    assert json.loads(result.content[0].text) == expected


async def test_a_picture_comes_back_byte_for_byte(shop: Server, api: str) -> None:
    [item] = (await shop.ok("api_get_picture")).content
    assert item.type == "image"
    assert item.mime_type == "image/png"
    assert base64.b64decode(item.data, validate=True) == urllib.request.urlopen(f"{api}/v1/picture").read()


async def test_a_sound_comes_back_byte_for_byte(shop: Server, api: str) -> None:
    [item] = (await shop.ok("api_get_sound")).content
    assert item.type == "audio"
    assert item.mime_type == "audio/wav"
    data = base64.b64decode(item.data, validate=True)
    assert data == urllib.request.urlopen(f"{api}/v1/sound").read()
    assert wave.open(io.BytesIO(data)).getnframes() == 256


async def test_other_bytes_come_back_as_an_embedded_resource(shop: Server) -> None:
    result = await shop.ok("api_get_blob")
    [item] = [item for item in result.content if item.type == "resource"]
    assert item.resource.mime_type == "application/octet-stream"
    assert base64.b64decode(item.resource.blob, validate=True) == bytes(range(256)) * 5


async def test_text_comes_back_as_text(shop: Server) -> None:
    result = await shop.ok("api_get_text")
    assert [item.type for item in result.content] == ["text"]
    assert result.content[0].text == "grüße ☃\nsecond line\n"
    assert result.structured_content is None


async def test_text_in_another_encoding_is_understood(shop: Server) -> None:
    assert text_of(await shop.ok("api_get_latin")) == "grüße"


async def test_json_that_says_it_is_text_stays_text(shop: Server) -> None:
    assert json.loads(text_of(await shop.ok("api_get_json_as_text"))) == {"a": 1}


async def test_an_answer_that_is_not_the_json_it_says_is_told_apart(shop: Server) -> None:
    result = await shop.call("api_get_text_as_json")
    assert result.structured_content is None
    if result.is_error:
        assert re.search("json", text_of(result), re.IGNORECASE)
    else:
        assert text_of(result) == "<html>not JSON</html>"


@pytest.mark.parametrize(("kind", "expected"), [("text", "# Grüße\n"), ("json", '{"name": "package"}\n')])
async def test_text_of_a_media_type_nobody_knows_is_text_when_it_is(shop: Server, kind: str, expected: str) -> None:
    """GitHub's contents API answers files as `application/vnd.github.raw; charset=utf-8`; a model cannot read base64."""
    result = await shop.ok("api_get_vendor", kind=kind)
    assert [item.type for item in result.content] == ["text"]
    assert result.content[0].text == expected


async def test_bytes_that_say_they_are_utf_8_and_are_not_come_back_byte_for_byte(shop: Server, api: str) -> None:
    [item] = (await shop.ok("api_get_vendor", kind="bytes")).content
    assert item.type == "resource"
    assert base64.b64decode(item.resource.blob, validate=True) == urllib.request.urlopen(f"{api}/v1/picture").read()


@pytest.mark.parametrize("tool", ["api_delete_order", "api_get_empty"])
async def test_an_empty_answer_is_a_success_in_words(shop: Server, tool: str) -> None:
    result = await shop.ok(tool, **({"order_id": 3} if tool == "api_delete_order" else {}))
    assert text_of(result).strip()


async def test_no_cookie_of_one_call_goes_with_the_next(shop: Server) -> None:
    await shop.ok("api_get_cookie")
    assert header(await shop.value("api_look", segment="x"), "cookie") == []


# What fails


async def test_a_missing_item_carries_the_upstreams_words_and_status(shop: Server) -> None:
    text = await shop.error("api_get_item", item_id=404)
    assert "there is no item 404, try 1 to 9" in text
    assert "404" in text


async def test_a_422_carries_the_upstreams_words(shop: Server) -> None:
    text = await shop.error("api_search", limit=500)
    assert "Input should be less than or equal to 100" in text


@pytest.mark.parametrize("status", [400, 401, 403, 409, 418, 429, 500, 503])
async def test_a_failing_status_carries_the_upstreams_words(shop: Server, status: int) -> None:
    text = await shop.error("api_fail", status=status)
    assert f"the shop is closed, says status {status}" in text


async def test_a_failure_in_plain_text_carries_the_upstreams_words(shop: Server) -> None:
    text = await shop.error("api_fail_text")
    assert "the database is on fire" in text
    assert "503" in text


async def test_a_failure_without_words_names_its_status(shop: Server) -> None:
    assert "502" in await shop.error("api_fail_empty")


@pytest.mark.parametrize(
    ("kind", "words"),
    [("status", "the agent fell over"), ("detail", "the agent is not known"), ("flag", "the cupboard is bare")],
)
async def test_a_failure_that_says_200_is_an_error(shop: Server, kind: str, words: str) -> None:
    assert words in await shop.error("api_soft_failure", kind=kind)


async def test_a_null_detail_is_no_failure(shop: Server) -> None:
    assert (await shop.value("api_soft_failure", kind="none"))["stdout"] == "all well"


async def test_every_bad_argument_is_named_and_nothing_is_sent(shop: Server, api: str) -> None:
    before = requests_seen(api)
    text = await shop.error("api_create_order", item="many", count=None, colour="red")
    assert all(name in text for name in ("item", "count", "colour")), text
    assert requests_seen(api) == before


async def test_an_upstream_that_is_not_there_is_an_error_without_its_address(serve: Callable[..., Server]) -> None:
    port = free_port()
    gone = manifest() | {"id": "gone"}
    gone["adapter"]["baseUrl"] = f"http://127.0.0.1:{port}/v1"
    text = await serve(gone).error("gone_whoami")
    assert re.search(r"reach|connect|refused", text, re.IGNORECASE), text
    assert str(port) not in text


# Time and size


async def test_a_slow_upstream_meets_the_tools_deadline(shop: Server) -> None:
    text = await shop.error("api_slow", seconds=20)
    assert re.search(r"timed? ?out|in time|too long|deadline|within|took longer", text, re.IGNORECASE), text
    assert re.search(r"500 ?ms|0\.5 ?s", text), text


async def test_an_upstream_that_drips_meets_the_tools_deadline(shop: Server) -> None:
    text = await shop.error("api_drip")
    assert re.search(r"timed? ?out|in time|too long|deadline|within|took longer", text, re.IGNORECASE), text


async def test_a_stream_that_ends_in_time_is_read_whole(shop: Server) -> None:
    assert text_of(await shop.ok("api_drip", chunks=3)) == "line 0\nline 1\nline 2\n"


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [("api_huge", {"announced": True}), ("api_huge", {"announced": False}), ("api_gzip_bomb", {})],
    ids=["announced", "unannounced", "packed"],
)
async def test_an_answer_beyond_the_limit_is_refused_and_the_limit_named(shop: Server, tool: str, arguments: dict[str, Any]) -> None:
    text = await shop.error(tool, **arguments)
    assert re.search(r"1048576|1[, ]?048[, ]?576|1(\.0)? ?(MiB|MB)", text), text
    assert len(text) < 2000


async def test_an_answer_just_within_the_limit_is_taken(shop: Server) -> None:
    assert len(text_of(await shop.ok("api_huge", mebibytes=1))) == 1 << 20


# Where requests may go


async def test_a_redirect_within_the_api_is_followed(shop: Server, api: str) -> None:
    assert (await shop.value("api_redirect", to="/v1/items/5"))["id"] == 5
    assert (await shop.value("api_redirect", to=f"{api}/v1/items/6", status=307))["id"] == 6


@pytest.mark.parametrize("times", [1, 3, 5])
async def test_some_redirects_in_a_row_are_followed(shop: Server, times: int) -> None:
    assert await shop.value("api_countdown", left=times) == {"left": 0}


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.2:9/private",
        "http://[::1]:9/private",
        "http://10.0.0.1/private",
        "http://192.168.0.1/private",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00::1]/private",
        "http://0.0.0.0:9/",
        "http://2130706433:9/",
    ],
)
async def test_a_redirect_to_a_private_address_is_refused(shop: Server, target: str) -> None:
    """`allowPrivate` is for the API the manifest names, not for wherever that API points."""
    text = await shop.error("api_redirect", to=target)
    assert re.search(r"private|loopback|link-local|not allowed|refus|redirect", text, re.IGNORECASE), text
    assert not re.search(r"connection refused|timed? ?out", text, re.IGNORECASE), text


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:text/plain,x", "gopher://127.0.0.1/"])
async def test_a_redirect_to_another_scheme_is_refused(shop: Server, target: str) -> None:
    text = await shop.error("api_redirect", to=target)
    assert "root:" not in text


async def test_an_endless_redirect_is_an_error(shop: Server) -> None:
    assert re.search("redirect", await shop.error("api_loop"), re.IGNORECASE)


async def test_no_credential_goes_to_another_origin(shop: Server, other_api: str) -> None:
    result = await shop.call("api_redirect", to=f"{other_api}/v1/whoami")
    if not result.is_error:
        assert result.structured_content == {"authorization": None, "fileSecret": None, "key": None}


async def test_without_allow_private_the_loopback_api_is_refused(serve: Callable[..., Server], api: str) -> None:
    port = api.rsplit(":", 1)[1]
    hosts = ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"]
    connectors = []
    for index, host in enumerate(hosts):
        connector = manifest() | {"id": f"guarded{index}"}
        connector["adapter"] |= {"baseUrl": f"http://{host}:{port}/v1", "allowPrivate": False}
        connectors.append(connector)
    server = serve(*connectors)
    before = requests_seen(api)
    for index, host in enumerate(hosts):
        text = await server.error(f"guarded{index}_whoami")
        assert re.search(r"private|loopback|allowPrivate", text, re.IGNORECASE), f"{host}: {text}"
    assert requests_seen(api) == before


# Secrets


async def test_the_credentials_arrive(shop: Server) -> None:
    assert await shop.value("api_whoami") == {
        "authorization": sha256(f"Bearer {TOKEN}"),
        "fileSecret": sha256(f"Token {FILE_SECRET}"),
        "key": sha256(KEY),
    }


async def test_a_file_secret_is_read_anew_when_it_was_rotated(serve: Callable[..., Server]) -> None:
    server = serve(manifest())
    before = await server.value("api_whoami")
    (server.folder / "secret.txt").write_text("another secret\n")
    after = await server.value("api_whoami")
    assert before["fileSecret"] == sha256(f"Token {FILE_SECRET}")
    assert after["fileSecret"] == sha256("Token another secret")


def disguises(secret: str) -> set[str]:
    """How a secret may look in a log, a URL or a document."""
    encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
    return {secret, urllib.parse.quote(secret, safe=""), urllib.parse.quote_plus(secret), urllib.parse.quote(secret), json.dumps(secret)[1:-1], encoded}


def leaks(text: str) -> list[str]:
    return [disguise for secret in (TOKEN, KEY, FILE_SECRET) for disguise in disguises(secret) if disguise in text]


async def test_no_secret_is_in_a_descriptor(shop: Server) -> None:
    async with Client(shop.url) as client:
        tools = await client.list_tools()
    assert len(tools.tools) == len(manifest()["tools"])
    assert leaks(tools.model_dump_json()) == []


async def test_no_secret_is_in_an_error(shop: Server, serve: Callable[..., Server]) -> None:
    errors = [
        await shop.error("api_fail", status=401),
        await shop.error("api_slow", seconds=20),
        await shop.error("api_huge"),
        await shop.error("api_redirect", to="http://127.0.0.2:9/"),
        await shop.error("api_redirect", to="http://["),
        await shop.error("api_loop"),
        await shop.error("api_look", segment="x", note="\r\n"),
    ]
    gone = manifest() | {"id": "gone"}
    gone["adapter"]["baseUrl"] = f"http://127.0.0.1:{free_port()}/v1"
    server = serve(gone)
    errors.append(await server.error("gone_whoami"))
    assert leaks("\n".join(errors)) == []
    assert leaks(server.stderr.read_text(errors="replace")) == []


async def test_no_secret_is_in_the_log(shop: Server) -> None:
    """At the loudest level, after calls that went well, went wrong and were refused."""
    await shop.ok("api_whoami")
    await shop.error("api_fail", status=500)
    await shop.error("api_loop")
    log = shop.stderr.read_text(errors="replace")
    assert log.strip()
    assert leaks(log) == []


@pytest.mark.parametrize("arguments", [("check",), ("check", "--format", "json"), ("list",), ("list", "--format", "json")], ids=" ".join)
async def test_no_secret_is_in_what_the_commands_print(shop: Server, arguments: tuple[str, ...]) -> None:
    done = shop.command(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "api_get_item" in done.stdout
    assert leaks(done.stdout + done.stderr) == []


async def test_a_missing_credential_makes_the_connector_unavailable_and_names_the_variable(shop: Server) -> None:
    done = subprocess.run(
        [BINARY, "check", "--manifests", str(shop.folder)],
        env={name: value for name, value in shop.env.items() if name != "API_TOKEN"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "API_TOKEN" in done.stdout + done.stderr
    assert leaks(done.stdout + done.stderr) == []


# What callers see


async def test_the_descriptors_say_what_the_manifest_says(shop: Server) -> None:
    async with Client(shop.url) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(tools) == {f"api_{tool['name']}" for tool in manifest()["tools"]}
    item = tools["api_get_item"]
    assert item.title == "Get an item"
    assert item.output_schema["required"] == ["id", "name", "detail", "tenant"]
    assert item.input_schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("tool", "read_only", "destructive", "idempotent"),
    [
        ("api_get_item", True, False, True),
        ("api_delete_order", False, True, True),
        ("api_create_order", False, None, False),
        ("api_replace_order", False, None, True),
    ],
)
async def test_the_hints_come_from_the_method(shop: Server, tool: str, read_only: bool, destructive: bool | None, idempotent: bool) -> None:
    async with Client(shop.url) as client:
        hints = {each.name: each.annotations for each in (await client.list_tools()).tools}[tool]
    assert hints.read_only_hint is read_only
    assert hints.idempotent_hint is idempotent
    assert isinstance(hints.destructive_hint, bool)
    assert isinstance(hints.open_world_hint, bool)
    if destructive is not None:
        assert hints.destructive_hint is destructive


def test_the_call_command_takes_the_same_road(shop: Server) -> None:
    well = shop.command("call", "api_get_item", "--json", '{"item_id": 3}')
    assert well.returncode == 0, well.stderr
    assert "item 3" in well.stdout
    ill = shop.command("call", "api_get_item", "--json", '{"item_id": 404}')
    assert ill.returncode == 1
    assert "there is no item 404" in ill.stdout + ill.stderr
    assert leaks(well.stdout + well.stderr + ill.stdout + ill.stderr) == []
