"""A Jupyter server behind the server, by the Swagger 2.0 document it serves itself."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import behind
import harness
from harness import Server
from planted import plant
from wire import Json, Wire, result, text

TOKEN = plant("t0ken-of-the-notebooks")


@dataclass
class Notebooks:
    server: Server
    files: Path
    tools: dict[str, Json]

    def call(self, operation: str, /, **arguments: Any) -> Json:
        params = {"name": self.tools[operation]["name"], "arguments": arguments}
        return result(Wire(self.server.base).modern("tools/call", params))

    def value(self, operation: str, /, **arguments: Any) -> Any:
        answer = self.call(operation, **arguments)
        assert not answer.get("isError"), text(answer)
        return answer["structuredContent"]

    def at(self, method: str, place: str) -> Json:
        """The place as the argument of the path, where a member of the body has that name too."""
        names = self.tools[f"{method} /api/contents/{{path}}"]["inputSchema"]["properties"]
        return {"path_path" if "path_path" in names else "path": place}


@pytest.fixture(scope="module")
def notebooks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebooks]:
    home = tmp_path_factory.mktemp("notebooks")
    shown = {"Authorization": "token ${NOTEBOOKS}"}
    with behind.notebooks(home, TOKEN) as (url, files):
        manifests = behind.api(
            home / "manifests",
            "notebooks",
            f"{url}/api/spec.yaml",
            adapter={"specHeaders": shown},
            credentials={"headers": shown},
        )
        with harness.serve(manifests, env={"NOTEBOOKS": TOKEN}) as server:
            yield Notebooks(server, files, behind.operations(server, "notebooks"))


def test_it_has_a_tool_for_each_operation(notebooks: Notebooks) -> None:
    assert {
        "GET /api/contents/{path}",
        "PUT /api/contents/{path}",
        "GET /api/me",
        "GET /api/status",
    } <= notebooks.tools.keys()
    assert len({tool["name"] for tool in notebooks.tools.values()}) == len(notebooks.tools)


def test_a_file_is_written_read_renamed_and_removed(notebooks: Notebooks) -> None:
    (notebooks.files / "a folder").mkdir()
    place = "a folder/nöte #1 & more.txt"
    model = {"type": "file", "format": "text", "content": "ünï\n"}
    written = notebooks.value("PUT /api/contents/{path}", **notebooks.at("PUT", place), **model)
    assert (written["name"], written["path"]) == ("nöte #1 & more.txt", place)
    assert (notebooks.files / place).read_text() == "ünï\n"
    read = notebooks.value("GET /api/contents/{path}", path=place, content=1, type="file", format="text")
    assert read["content"] == "ünï\n" and read["path"] == place
    listing = notebooks.call("GET /api/contents/{path}", path="a folder")
    # The document says that `content` is a text, which it is not of a folder: so it is not promised, but it is told.
    assert "content" not in listing["structuredContent"]
    assert [entry["name"] for entry in json.loads(text(listing))["content"]] == ["nöte #1 & more.txt"]
    moved = notebooks.value("PATCH /api/contents/{path}", **notebooks.at("PATCH", place), path="other.txt")
    assert moved["path"] == "other.txt"
    assert (notebooks.files / "other.txt").exists() and not (notebooks.files / place).exists()
    assert not notebooks.call("DELETE /api/contents/{path}", path="other.txt").get("isError")
    assert not (notebooks.files / "other.txt").exists()


def test_what_is_not_there_is_said_so(notebooks: Notebooks) -> None:
    answer = notebooks.call("GET /api/contents/{path}", path="missing/file.txt")
    assert answer["isError"] and "404" in text(answer) and "missing/file.txt" in text(answer)


def test_it_knows_who_asks(notebooks: Notebooks) -> None:
    assert notebooks.value("GET /api/me")["identity"]["username"]
    assert "started" in notebooks.value("GET /api/status")
