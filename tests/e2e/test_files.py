"""Files that people give to their client, fetched for the call and handed on; and what clients say that goes nowhere."""

import gzip
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any

import pytest

import harness
from harness import Server, until
from session import over_http
from test_collection import outcome, refusal
from test_manifests import check
from test_search import Api, Reply, Seen, running
from test_surface import DOORS, UPSTREAM, WIDGETS, Raw, call, door, manifests_of, tools, wire_to
from wire import Json, text

FILES = WIDGETS / "files"
SIGNATURE = "sig-0123456789abcdef"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
FILE = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("download_url", "file_id", "mime_type", "file_name")},
    "required": ["download_url", "file_id"],
    "additionalProperties": False,
}


def served(
    body: bytes | Callable[[], Iterator[bytes]], kind: str | None = "image/png", **headers: str
) -> Callable[[Seen], Reply]:
    """An answer with a file."""
    typed = {"Content-Type": kind} if kind else {}
    return lambda _: Reply(200, body if isinstance(body, bytes) else body(), {**typed, **headers})


@dataclass
class Office:
    """A server that takes files, the API behind it, and whoever keeps the clients' files."""

    server: Server
    api: Api
    store: Api

    def file(self, path: str = "/good.png", **more: str) -> Json:
        return {"download_url": f"{self.store.url}{path}?{SIGNATURE}", "file_id": "file_1", **more}

    def call(self, tool: str, arguments: Json, **meta: Any) -> Json:
        return outcome(self.server, tool, arguments, **meta)

    def uploads(self) -> list[Seen]:
        return [seen for seen in self.api.seen if seen.method in ("PUT", "POST")]


def arrived(seen: Seen) -> Json:
    """What the API makes of an upload."""
    kind = seen.headers.get("content-type", "")
    return {"path": seen.path, "type": kind, "size": len(seen.body), "sha256": hashlib.sha256(seen.body).hexdigest()}


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    files = {"/good.png": served(PNG), "/text": served("grüße ☃\n".encode(), "text/plain; charset=utf-8")}
    with running({"/": arrived}) as api, running(files) as store:
        manifests = manifests_of(tmp_path_factory.mktemp("files"), FILES, API_URL=api.url)
        with harness.serve(manifests, env={"LOG_LEVEL": "debug"}) as server:
            yield Office(server, api, store)


# What clients are told


@pytest.mark.parametrize("kind", DOORS)
@pytest.mark.parametrize(
    ("tool", "files", "required"),
    [
        ("receipts_store", ["receipt"], ["name", "receipt"]),
        ("receipts_send", ["receipt", "second"], ["receipt"]),
        ("receipts_keep", ["receipt"], []),
        ("measure_read", ["file"], ["file"]),
    ],
)
def test_a_tool_says_which_of_its_arguments_are_files(
    office: Office, kind: str, tool: str, files: list[str], required: list[str]
) -> None:
    with door(kind, office.server) as at:
        published = tools(at)[tool]
    assert published["_meta"]["openai/fileParams"] == files
    assert published["inputSchema"].get("required", []) == required
    for name in files:
        schema = dict(published["inputSchema"]["properties"][name])
        described = schema.pop("description", None)
        assert schema == FILE
        assert tool != "measure_read" or described == "The file to read."


# How a file arrives


@pytest.mark.parametrize("kind", DOORS)
def test_a_file_is_the_whole_body_of_a_request(office: Office, kind: str) -> None:
    with door(kind, office.server) as at:
        answer = call(at, "receipts_store", {"name": "lunch", "receipt": office.file()})
    digest = hashlib.sha256(PNG).hexdigest()
    assert answer["structuredContent"] == {
        "path": "/store/lunch",
        "type": "image/png",
        "size": len(PNG),
        "sha256": digest,
    }


def parts(seen: Seen) -> dict[str, Any]:
    """The parts of a multipart body by their name."""
    head = f"Content-Type: {seen.headers['content-type']}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + seen.body)
    return {part.get_param("name", header="content-disposition"): part for part in message.iter_parts()}


def test_a_file_is_a_part_of_a_form(office: Office) -> None:
    second = office.file("/text", file_name="brief.txt")
    arguments = {"note": "two pages", "receipt": office.file(file_name="lunch.png"), "second": second}
    assert not office.call("receipts_send", arguments).get("isError")
    sent = parts(office.uploads()[-1])
    assert set(sent) == {"note", "scan", "more"}
    assert sent["note"].get_payload(decode=True) == b"two pages"
    assert (sent["scan"].get_filename(), sent["scan"].get_content_type()) == ("lunch.png", "image/png")
    assert sent["scan"].get_payload(decode=True) == PNG
    assert (sent["more"].get_filename(), sent["more"].get_content_type()) == ("second.bin", "text/plain")
    assert sent["more"].get_payload(decode=True).decode() == "grüße ☃\n"


def test_a_file_that_is_left_out_is_no_part(office: Office) -> None:
    assert not office.call("receipts_send", {"receipt": office.file()}).get("isError")
    assert set(parts(office.uploads()[-1])) == {"scan"}


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", 'a"; filename="b', "a\r\nX-Evil: 1", "ünï cödé.png", "", "x" * 5000]
)
def test_the_name_a_client_gives_a_file_cannot_leave_its_place(office: Office, name: str) -> None:
    before = len(office.uploads())
    answer = office.call("receipts_send", {"receipt": office.file(file_name=name)})
    if answer.get("isError"):
        assert len(office.uploads()) == before
        return
    upload = office.uploads()[-1]
    assert b"\r\nX-Evil" not in upload.body
    assert set(parts(upload)) == {"scan"} and parts(upload)["scan"].get_payload(decode=True) == PNG


def test_a_program_reads_a_file_on_its_standard_input(office: Office) -> None:
    answer = office.call("measure_read", {"file": office.file("/text")})
    assert text(answer) == "grüße ☃\n"


# What is not fetched


def good_in_store(office: Office, path: str, answer: Callable[[Seen], Any]) -> Json:
    office.store.answers[path] = answer
    return office.file(path)


def in_chunks(size: int) -> Callable[[], Iterator[bytes]]:
    return lambda: iter([b"x" * 100] * (size // 100))


SIZES: list[tuple[str, Callable[[Seen], Any], bool]] = [
    ("as large as allowed", served(b"x" * 1000), True),
    ("one byte more", served(b"x" * 1001), False),
    ("of unknown length and small", served(in_chunks(900)), True),
    ("of unknown length and large", served(in_chunks(5000)), False),
    ("without end", served(lambda: iter(lambda: b"x" * 1000, b"")), False),
    ("said to be small", served(lambda: iter([b"x" * 1000] * 5), **{"Content-Length": "5000"}), False),
    ("said to be huge", served(b"", **{"Content-Length": str(10**15)}), False),
    ("shorter than said", served(lambda: iter([b"x" * 10]), **{"Content-Length": "500"}), False),
    ("compressed beyond measure", served(gzip.compress(b"x" * 1_000_000), **{"Content-Encoding": "gzip"}), False),
    ("empty", served(b""), True),
]


@pytest.mark.parametrize(("answer", "fits"), [case[1:] for case in SIZES], ids=[case[0] for case in SIZES])
def test_a_file_is_no_larger_than_its_tool_allows(office: Office, answer: Callable[[Seen], Any], fits: bool) -> None:
    before = len(office.uploads())
    given = office.call("receipts_store", {"name": "a", "receipt": good_in_store(office, "/sized", answer)})
    if fits:
        assert not given.get("isError"), given
    else:
        assert "receipt" in refusal(given)
    assert len(office.uploads()) == before + fits


TYPES: list[tuple[str, str | None, str | None, bool]] = [
    ("a picture", "image/png", "image/jpeg", True),
    ("with parameters", "Image/PNG; q=1", None, True),
    ("the exact type", "application/pdf", None, True),
    ("another type", "text/html", "text/html", False),
    ("another application", "application/json", "application/json", False),
    ("nearly", "imagery/png", "imagery/png", False),
]


@pytest.mark.parametrize(("served_as", "named", "fits"), [case[1:] for case in TYPES], ids=[case[0] for case in TYPES])
def test_a_file_is_of_a_type_its_tool_takes(office: Office, served_as: str, named: str | None, fits: bool) -> None:
    file = good_in_store(office, "/typed", served(b"x", served_as)) | ({"mime_type": named} if named else {})
    before = len(office.uploads())
    given = office.call("receipts_store", {"name": "a", "receipt": file})
    assert bool(given.get("isError")) is not fits, given
    assert fits or "image/*" in refusal(given) or served_as in refusal(given)
    assert len(office.uploads()) == before + fits


PRIVATE = [
    "https://127.0.0.1:{port}/good.png",
    "https://localhost:{port}/good.png",
    "https://[::1]:{port}/good.png",
    "https://[::ffff:127.0.0.1]:{port}/good.png",
    "https://0x7f.1:{port}/good.png",
    "https://0.0.0.0:{port}/good.png",
    "https://10.0.0.1/good.png",
    "https://192.168.1.1/good.png",
    "https://169.254.169.254/latest/meta-data/",
    "https://[fd00::1]/good.png",
    "https://user:password@127.0.0.1:{port}/good.png",
    "http://127.0.0.1:{port}/good.png",
    "http://93.184.216.34/good.png",
    "ftp://files.example/good.png",
    "file:///etc/hostname",
    "data:image/png;base64,AA==",
    "//127.0.0.1:{port}/good.png",
    "good.png",
    "",
    "https://",
]


@pytest.mark.parametrize("url", PRIVATE)
def test_only_public_addresses_with_tls_are_fetched_from(office: Office, url: str) -> None:
    asked, before = len(office.store.seen), len(office.uploads())
    file = {"download_url": url.format(port=office.store.server_port), "file_id": "f"}
    words = refusal(office.call("receipts_keep", {"receipt": file}))
    assert "`receipt`: " in words and ("address is private" in words or "is no https address" in words), words
    assert (len(office.store.seen), len(office.uploads())) == (asked, before)


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.2:9/",
        "https://10.0.0.1/x",
        "https://169.254.169.254/latest/",
        "file:///etc/hostname",
        "http://[::1]:9/",
    ],
)
def test_a_redirect_to_a_private_address_is_refused(office: Office, target: str) -> None:
    moved = good_in_store(office, "/moved", lambda _: Reply(302, headers={"Location": target}))
    before = len(office.uploads())
    refusal(office.call("receipts_store", {"name": "a", "receipt": moved}))
    assert len(office.uploads()) == before


def test_a_redirect_within_the_store_is_followed(office: Office) -> None:
    moved = good_in_store(office, "/moved", lambda _: Reply(302, headers={"Location": "/good.png"}))
    assert not office.call("receipts_store", {"name": "a", "receipt": moved}).get("isError")


@pytest.mark.parametrize("status", [404, 403, 500])
def test_a_file_that_is_gone_is_not_sent_on(office: Office, status: int) -> None:
    gone = good_in_store(office, "/gone", lambda _: Reply(status, b"<p>gone</p>", {"Content-Type": "image/png"}))
    before = len(office.uploads())
    words = refusal(office.call("receipts_store", {"name": "a", "receipt": gone}))
    assert str(status) in words and SIGNATURE not in words, words
    assert len(office.uploads()) == before


def dribble(store: Api) -> Callable[[], Iterator[bytes]]:
    def parts() -> Iterator[bytes]:
        while not store.gate.wait(0.2):
            yield b"x"

    return parts


@pytest.mark.parametrize("where", ["before-it-answers", "in-the-middle"])
def test_a_slow_file_ends_with_the_calls_own_deadline(office: Office, where: str) -> None:
    def wait(_: Seen) -> Reply:
        office.store.gate.wait()
        return Reply(500)

    slow = good_in_store(office, "/slow", wait if where == "before-it-answers" else served(dribble(office.store)))
    before = len(office.uploads())
    words = refusal(office.call("receipts_store", {"name": "a", "receipt": slow}))
    assert "did not finish within 5 s" in words
    assert len(office.uploads()) == before


@pytest.mark.parametrize(
    "receipt",
    [
        None,
        {},
        {"file_id": "f"},
        {"download_url": "https://files.example/a"},
        "https://files.example/a",
        {"download_url": 7, "file_id": "f"},
        {"download_url": "https://files.example/a", "file_id": "f", "path": "/etc"},
    ],
)
def test_a_file_that_is_not_named_in_full_is_for_the_model_to_fix(office: Office, receipt: Any) -> None:
    arguments = {"name": "a"} | ({} if receipt is None else {"receipt": receipt})
    before = len(office.uploads())
    assert "receipt" in refusal(office.call("receipts_store", arguments))
    assert len(office.uploads()) == before


def test_where_a_file_lies_is_in_no_log(office: Office) -> None:
    office.call("receipts_store", {"name": "a", "receipt": office.file()})
    office.call("receipts_store", {"name": "a", "receipt": office.file("/nowhere")})
    mark = "receipts_keep"
    office.call(mark, {"receipt": office.file()})
    office.server.says(mark)
    assert SIGNATURE not in "\n".join(office.server.log)


# Faults in manifests


FAULTY: list[tuple[Callable[[Json], Any], str, str]] = [
    (lambda it: it["tools"][0]["request"]["body"].update(file="recipt"), "/tools/0/request/body/file", "receipt"),
    (
        lambda it: it["tools"][1]["request"]["body"]["multipart"]["files"]["scan"].update(file="x"),
        "/tools/1/request/body/multipart/files/scan/file",
        "x",
    ),
    (
        lambda it: it["tools"][1]["request"]["body"]["multipart"]["files"]["scan"].update(data="{note}"),
        "/tools/1/request/body/multipart/files/scan",
        "file",
    ),
    (lambda it: it["tools"][0]["request"]["body"].update(text="{name}"), "/tools/0/request/body", "exactly one"),
    (
        lambda it: it["tools"][0]["files"]["receipt"].update(types=["images"]),
        "/tools/0/files/receipt/types/0",
        "does not match",
    ),
    (
        lambda it: it["tools"][0]["files"]["receipt"].update(maxBytes=0),
        "/tools/0/files/receipt/maxBytes",
        "minimum of 1",
    ),
    (
        lambda it: it["tools"][0]["inputSchema"]["properties"].update(receipt={"type": "string"}),
        "/tools/0/inputSchema/properties/receipt",
        "download_url",
    ),
    (lambda it: it["tools"][2].update(files={}), "/tools/2/request/body/file", "receipt"),
]


@pytest.mark.parametrize(
    ("change", "pointer", "word"), FAULTY, ids=[f"{pointer}-{at}" for at, (_, pointer, _) in enumerate(FAULTY)]
)
def test_check_finds_what_is_wrong_with_a_file(
    tmp_path: Path, change: Callable[[Json], Any], pointer: str, word: str
) -> None:
    receipts = json.loads((FILES / "receipts.json").read_text())
    change(receipts)
    manifests = manifests_of(tmp_path, receipts)
    found = check(manifests.folder, API_URL="http://127.0.0.1:9")["problems"]
    there = [problem for problem in found if problem["pointer"] == pointer and problem["severity"] == "error"]
    assert any(word in problem["message"] and problem["line"] > 1 for problem in there), found


# What clients say beside the call


PERSONAL = {
    "openai/locale": "nl-BE",
    "openai/userAgent": "ChatGPT/personal-agent",
    "openai/userLocation": {"city": "Ghent-personal", "country": "BE", "latitude": "51.05"},
    "openai/subject": "v1/personal-subject",
    "openai/session": "v1/personal-session",
    "openai/organization": "v1/personal-organization",
    "openai/widgetSessionId": "personal-widget",
}
OTHERS = {"com.example/trace": {"n": 1}}


@pytest.mark.parametrize(
    ("passed", "expected"),
    [
        ([], {}),
        (["openai/locale"], {"openai/locale": "nl-BE"}),
        (["openai/locale", "openai/session"], {"openai/locale": "nl-BE", "openai/session": "v1/personal-session"}),
    ],
)
def test_what_chatgpt_says_of_its_user_goes_nowhere_but_where_the_manifest_says(
    tmp_path: Path, passed: list[str], expected: Json
) -> None:
    other = UPSTREAM | ({"passMeta": passed} if passed else {})
    with running({"/": arrived}) as api, running({"/good.png": served(PNG)}) as store:
        manifests = manifests_of(tmp_path, FILES, other, API_URL=api.url)
        with harness.serve(manifests, env={"LOG_LEVEL": "debug"}) as server:
            until(lambda: "other_none" in tools(Raw(server, "somebody")), f"the other server: {server.log}")
            office = Office(server, api, store)
            asked = office.call("other_none", {}, **PERSONAL, **OTHERS)["structuredContent"]["_meta"]
            with over_http(server.url, capabilities={}) as session:
                params = {"_meta": PERSONAL | OTHERS}
                in_session = session.call("other_none", {}, **params).value["structuredContent"]["_meta"]
                session.ask("tools/list", params)
                read = session.ask("resources/read", {"uri": "ui://other/standard/page.html", **params}).raw
                assert "com.example/trace" in read and ("personal" in read) is ("openai/session" in passed)
            for meta in (asked, in_session):
                assert {name: told for name, told in meta.items() if name.startswith("openai/")} == expected
                assert meta["com.example/trace"] == {"n": 1}
            office.call("receipts_store", {"name": "a", "receipt": office.file()}, **PERSONAL)
            office.call("measure_read", {"file": office.file()}, **PERSONAL)
            office.call("no_such_tool", {}, **PERSONAL)
            said = {"X_Openai_Session": "v1/personal-session", "X_Openai_Subject": "v1/personal-subject"}
            wire_to(server.base).legacy("tools/call", {"name": "receipts_store", "arguments": {}}, **said)
            server.says("receipts")
            everything = "\n".join([*server.log, *(repr(seen) for seen in [*api.seen, *store.seen])])
            for word in ("nl-BE", "personal", "51.05"):
                assert word not in everything
