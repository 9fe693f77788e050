"""`switchboard import openapi`: a manifest from a document, which the server then serves."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness import BINARY
from loopback import Handler, Loopback, listening
from wire import Json

SHOP: Json = {
    "openapi": "3.1.0",
    "info": {"title": "The Shop API", "version": "2.1", "description": "Sells things."},
    "servers": [{"url": "https://shop.example.com/v1"}],
    "components": {
        "securitySchemes": {
            "key": {"type": "apiKey", "in": "header", "name": "X-Shop-Key"},
            "login": {"type": "http", "scheme": "basic"},
            "mtls": {"type": "mutualTLS"},
        }
    },
    "security": [{"key": []}],
    "paths": {
        "/items": {
            "get": {"operationId": "listItems", "tags": ["items"], "responses": {"200": {"description": "ok"}}},
            "post": {"operationId": "addItem", "tags": ["items"], "responses": {"200": {"description": "ok"}}},
        },
        "/items/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
            "get": {"operationId": "getItem", "tags": ["items"], "responses": {"200": {"description": "ok"}}},
            "delete": {
                "operationId": "removeItem",
                "tags": ["items"],
                "deprecated": True,
                "responses": {"200": {"description": "ok"}},
            },
        },
        "/orders": {
            "get": {"operationId": "listOrders", "tags": ["orders"], "responses": {"200": {"description": "ok"}}},
            "post": {
                "operationId": "order",
                "tags": ["orders"],
                "security": [{"login": []}],
                "responses": {"200": {"description": "ok"}},
            },
        },
        "/admin": {"post": {"operationId": "admin", "tags": ["admin"], "responses": {"200": {"description": "ok"}}}},
    },
}


def run(*arguments: str | Path, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    command = [BINARY, "import", "openapi", *map(str, arguments), "--manifests", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, **env})


def imported(*arguments: str | Path, folder: Path, **env: str) -> Json:
    """What an import found, which must end well."""
    ran = run(*arguments, "--format", "json", folder=folder, **env)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def names(report: Json) -> set[str]:
    return {tool["operation"] for tool in report["tools"]}


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BINARY, "check", "--manifests", str(folder)], capture_output=True, text=True, timeout=60)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    file = tmp_path / "shop.json"
    file.write_text(json.dumps(SHOP))
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "manifests"
    folder.mkdir()
    return folder


@contextmanager
def web(pages: dict[str, str]) -> Iterator[tuple[str, list[str | None]]]:
    """A server of these pages, and the `Authorization` of each request."""
    shown: list[str | None] = []

    class Pages(Handler):
        def do_GET(self) -> None:
            shown.append(self.headers.get("Authorization"))
            page = pages.get(self.path)
            self.send_response(200 if page is not None else 404)
            self.end_headers()
            self.wfile.write((page or "").encode())

    with listening(Loopback(Pages)) as server:
        yield server.url, shown


def test_a_document_becomes_a_manifest_that_passes_the_check(shop: Path, folder: Path) -> None:
    report = imported(shop, folder=folder)
    assert report["id"] == "shop"
    assert names(report) == {"listItems", "addItem", "getItem", "listOrders", "order", "admin"}
    manifest = json.loads((folder / "shop.json").read_text())
    assert manifest == report["manifest"]
    assert list(manifest) == ["$schema", "id", "name", "version", "description", "adapter", "credentials"]
    assert manifest["name"] == "The Shop API" and manifest["version"] == "2.1"
    # From elsewhere, so it lies beside the manifest now, where it is taken for none.
    assert manifest["adapter"] == {"kind": "openapi", "spec": "apis/shop.json"}
    assert (folder / "apis/shop.json").read_text() == shop.read_text()
    assert json.loads((folder / "schema.json").read_text())["title"] == "Switchboard manifest"
    checked = check(folder)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_what_the_api_wants_to_be_shown_becomes_a_place_to_fill(shop: Path, folder: Path) -> None:
    report = imported(shop, folder=folder)
    assert report["manifest"]["credentials"] == {"headers": {"X-Shop-Key": "${SHOP_SHOP_KEY}"}}
    assert [it["name"] for it in report["variables"]] == ["SHOP_SHOP_KEY"]
    assert any("1 tools want to be shown something else: login" in warning for warning in report["warnings"])


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        ({"type": "http", "scheme": "bearer"}, {"bearer": "${SHOP_TOKEN}"}),
        ({"type": "http", "scheme": "basic"}, {"basic": {"username": "${SHOP_USERNAME}", "password": "${SHOP_PASSWORD}"}}),
        ({"type": "apiKey", "in": "query", "name": "api_key"}, {"query": {"api_key": "${SHOP_API_KEY}"}}),
        ({"type": "apiKey", "in": "cookie", "name": "sid"}, {"cookies": {"sid": "${SHOP_SID}"}}),
        (
            {"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "https://id.example.com/t", "scopes": {"a": ""}}}},
            {
                "oauth": {
                    "grant": "clientCredentials",
                    "tokenUrl": "https://id.example.com/t",
                    "clientId": "${SHOP_CLIENT_ID}",
                    "clientSecret": "${SHOP_CLIENT_SECRET}",
                    "scopes": ["a"],
                }
            },
        ),
        ({"type": "mutualTLS"}, None),
    ],
)
def test_each_way_to_show_who_we_are_has_its_place(scheme: Json, expected: Json | None, folder: Path, tmp_path: Path) -> None:
    scopes = ["a"] if scheme["type"] == "oauth2" else []
    document = SHOP | {"components": {"securitySchemes": {"it": scheme}}, "security": [{"it": scopes}]}
    document["paths"] = {"/items": SHOP["paths"]["/items"]}
    (tmp_path / "shop.json").write_text(json.dumps(document))
    report = imported(tmp_path / "shop.json", "--dry-run", folder=folder)
    assert report["manifest"].get("credentials") == expected
    assert any("no manifest can say" in warning for warning in report["warnings"]) is (expected is None)


def test_a_dry_run_writes_nothing(shop: Path, folder: Path) -> None:
    assert imported(shop, "--dry-run", folder=folder)["written"] is None
    assert list(folder.iterdir()) == []


def test_nothing_is_written_over_unless_that_is_wanted(shop: Path, folder: Path) -> None:
    imported(shop, folder=folder)
    (folder / "shop.json").write_text("mine")
    ran = run(shop, folder=folder)
    assert ran.returncode == 2 and "--force" in ran.stderr
    assert (folder / "shop.json").read_text() == "mine"
    assert imported(shop, "--force", folder=folder)["manifest"] == json.loads((folder / "shop.json").read_text())


@pytest.mark.parametrize(
    ("arguments", "include", "tools"),
    [
        (["--tags", "items"], {"tags": ["items"]}, {"listItems", "addItem", "getItem"}),
        (["--paths", "/items/*,/admin"], {"paths": ["/items/*", "/admin"]}, {"getItem", "admin"}),
        (["--methods", "get"], {"methods": ["GET"]}, {"listItems", "getItem", "listOrders"}),
        (["--operations", "order,GET /orders"], {"operations": ["order", "GET /orders"]}, {"order", "listOrders"}),
    ],
)
def test_operations_are_chosen(shop: Path, folder: Path, arguments: list[str], include: Json, tools: set[str]) -> None:
    report = imported(shop, *arguments, folder=folder)
    assert names(report) == tools
    assert report["manifest"]["adapter"]["include"] == [include]
    assert check(folder).returncode == 0


def test_deprecated_operations_come_when_they_are_asked_for(shop: Path, folder: Path) -> None:
    assert "removeItem" in names(imported(shop, "--deprecated", folder=folder))


def test_too_many_tools_lose_the_tags_with_the_fewest(shop: Path, folder: Path) -> None:
    report = imported(shop, "--max-tools", "5", folder=folder)
    assert names(report) == {"listItems", "addItem", "getItem", "listOrders", "order"}
    assert report["leftOut"] == {"tools": 1, "tags": ["admin"]}
    assert any("admin" in warning for warning in report["warnings"])
    single = imported(shop, "--max-tools", "2", "--force", folder=folder)
    # Either whole tags that fit, or the operations that read.
    assert len(single["tools"]) == 2


def test_a_document_within_the_folder_stays_where_it_is(folder: Path) -> None:
    (folder / "specs").mkdir()
    (folder / "specs/shop.json").write_text(json.dumps(SHOP))
    report = imported(folder / "specs/shop.json", folder=folder)
    assert report["manifest"]["adapter"]["spec"] == "specs/shop.json"
    assert check(folder).returncode == 0


def test_a_document_of_several_files_is_read_whole(tmp_path: Path, folder: Path) -> None:
    document = SHOP | {"paths": {"/items": {"$ref": "paths/items.yaml"}}}
    (tmp_path / "paths").mkdir()
    (tmp_path / "paths/items.yaml").write_text("get:\n  operationId: listItems\n  responses: {'200': {description: ok}}\n")
    (tmp_path / "shop.json").write_text(json.dumps(document))
    report = imported(tmp_path / "shop.json", folder=folder)
    assert names(report) == {"listItems"}
    assert report["manifest"]["adapter"]["spec"] == str(tmp_path / "shop.json")


def test_a_document_reads_no_file_outside_its_folder(tmp_path: Path, folder: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "items.yaml").write_text("get: {operationId: listItems, responses: {}}")
    (inside / "shop.json").write_text(json.dumps(SHOP | {"paths": {"/items": {"$ref": "../items.yaml"}}}))
    report = imported(inside / "shop.json", "--dry-run", folder=folder)
    assert report["tools"] == []
    assert any("outside the document's folder" in warning for warning in report["warnings"])


def test_a_document_is_had_from_an_address_with_what_it_wants_to_see(folder: Path) -> None:
    with web({"/v1/shop.json": json.dumps(SHOP | {"servers": [{"url": "/v1"}]})}) as (url, shown):
        header = "Authorization: Bearer ${SPEC_TOKEN}"
        arguments = (f"{url}/v1/shop.json", "--allow-private", "--header", header)
        report = imported(*arguments, folder=folder, SPEC_TOKEN="s3cret")
    assert shown == ["Bearer s3cret"]
    assert report["baseUrl"] == f"{url}/v1"
    adapter = report["manifest"]["adapter"]
    assert adapter["spec"] == f"{url}/v1/shop.json" and adapter["allowPrivate"] is True
    assert adapter["specHeaders"] == {"Authorization": "Bearer ${SPEC_TOKEN}"}
    assert "s3cret" not in (folder / "shop.json").read_text()


def test_an_api_elsewhere_than_its_document_is_said_in_the_manifest(folder: Path) -> None:
    with web({"/shop.json": json.dumps(SHOP)}) as (url, _):
        report = imported(f"{url}/shop.json", "--allow-private", "--header", "X-Key: open", folder=folder)
        assert report["manifest"]["adapter"]["baseUrl"] == "https://shop.example.com/v1"
        assert any("elsewhere than itself" in warning for warning in report["warnings"])
        assert any("header X-Key" in warning for warning in report["warnings"])
        env = os.environ | {"SHOP_SHOP_KEY": "x"}
        command = [BINARY, "check", "--manifests", str(folder)]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, env=env)
    assert ran.returncode == 0 and "up" in ran.stdout, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tags", "item"], "did you mean `items`?"),
        (["--methods", "PATCH"], "none of its 7 operations is chosen"),
        (["--max-tools", "0"], "--max-tools"),
        (["--id", "schema"], "for the manifests' schema"),
        (["--id", "taken"], "is taken by"),
    ],
)
def test_what_would_be_of_no_use_is_refused(shop: Path, folder: Path, arguments: list[str], words: str) -> None:
    assert imported(shop, "--id", "taken", "--out", f"{folder}/other.json", folder=folder)["written"]
    ran = run(shop, *arguments, folder=folder)
    assert ran.returncode == 2 and words in ran.stderr, ran.stderr


def test_a_folder_that_is_not_there_is_made(shop: Path, folder: Path, tmp_path: Path) -> None:
    imported(shop, "--out", f"{tmp_path}/new/", folder=folder)
    assert (tmp_path / "new/shop.json").is_file()


def test_a_private_address_has_to_be_allowed(folder: Path) -> None:
    with web({"/shop.json": json.dumps(SHOP)}) as (url, shown):
        ran = run(f"{url}/shop.json", folder=folder)
    assert ran.returncode == 2 and "private" in ran.stderr and shown == []


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "no valid JSON"), ("- 1", "no object"), ('{"swagger": 1}', ""), ('{"hello": "world"}', ""), ("", "")],
)
def test_what_is_no_document_is_refused_in_words(text: str, words: str, tmp_path: Path, folder: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    ran = run(tmp_path / "x.json", folder=folder)
    assert ran.returncode == 2 and "x.json: " in ran.stderr and words in ran.stderr, ran.stderr
    assert list(folder.iterdir()) == []


def test_where_the_api_is_can_be_said_later(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "shop.json").write_text(json.dumps({name: value for name, value in SHOP.items() if name != "servers"}))
    report = imported(tmp_path / "shop.json", folder=folder)
    assert report["manifest"]["adapter"]["baseUrl"] == "${SHOP_BASE_URL}"
    assert any("SHOP_BASE_URL" in warning for warning in report["warnings"])
    said = imported(tmp_path / "shop.json", "--base-url", "https://other.example.com", "--force", folder=folder)
    assert said["manifest"]["adapter"]["baseUrl"] == "https://other.example.com"


def test_people_are_shown_what_was_found(shop: Path, folder: Path) -> None:
    ran = run(shop, "--id", "store", "--name", "Store", folder=folder)
    assert ran.returncode == 0, ran.stderr
    for words in ["The Shop API 2.1, OpenAPI 3.1", "https://shop.example.com/v1", "tokens", "STORE_SHOP_KEY", "items (4)"]:
        assert words in ran.stdout, ran.stdout
    assert str(folder / "store.json") in ran.stdout
    # Standard error is for a person who watches.
    assert ran.stderr == ""


def test_a_manifest_can_be_printed(shop: Path, folder: Path) -> None:
    ran = run(shop, "--out", "-", folder=folder)
    assert ran.returncode == 0 and list(folder.iterdir()) == []
    assert json.loads(ran.stdout)["id"] == "shop"
    assert "operations" in ran.stderr
