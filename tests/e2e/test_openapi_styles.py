"""Every style of writing values: openapi-core reads back, by the same document, what the tools were called with."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis_jsonschema import from_schema

import behind
import harness
from behind import APIS
from harness import Server
from wire import Json, Wire, result, text

# Styles that openapi-core does not read: what a call means is written out, after the examples of the specification.
WRITTEN: dict[str, tuple[Json, str]] = {
    "label": (
        {"text": "blue", "words": ["blue", "black", "brown"], "thing": {"word": "z", "number": 3}},
        "/label/.blue/.blue.black.brown/.word=z.number=3",
    ),
    "matrix": (
        {"text": "blue", "words": ["a", "b"], "exploded": ["a", "b"], "thing": {"word": "z", "number": 3}},
        "/matrix/;text=blue/;words=a,b/;exploded=a;exploded=b/;word=z;number=3",
    ),
    "members": ({"thing": {"word": "a&c", "number": -3}}, "/members?word=a%26c&number=-3"),
    "spaced": ({"ids": [1, 2, -3]}, "/spaced?ids=1%202%20-3"),
}
STYLES = APIS / "styles.yaml"
# Where the answer has what an operation was called with.
PLACES = {
    "simple": "path",
    "form": "query",
    "delimited": "query",
    "deep": "query",
    "headers": "header",
    "cookies": "cookie",
    "json_body": "body",
    "vendor_body": "body",
    "urlencoded_body": "body",
    "multipart_body": "body",
    "text_body": "body",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("styles") / "manifests"
    with (
        behind.python("echo.py", str(STYLES)) as url,
        harness.serve(behind.api(folder, "styles", STYLES, url)) as server,
    ):
        yield server


@pytest.fixture(scope="module")
def tools(server: Server) -> dict[str, Json]:
    return {tool["name"].removeprefix("styles_"): tool for tool in behind.operations(server, "styles").values()}


def test_each_operation_is_a_tool_of_its_name(tools: dict[str, Json]) -> None:
    assert tools.keys() == PLACES.keys() | WRITTEN.keys()


# The same cases in each run, and none kept.
every_time_the_same = settings(
    max_examples=12,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("operation", PLACES)
def test_what_a_tool_is_called_with_is_what_arrives(server: Server, tools: dict[str, Json], operation: str) -> None:
    tool = tools[operation]
    wire = Wire(server.base)

    @every_time_the_same
    @given(from_schema(tool["inputSchema"]))
    def called_with(arguments: Json) -> None:
        answer = result(wire.modern("tools/call", {"name": tool["name"], "arguments": arguments}))
        assert not answer.get("isError"), text(answer)
        arrived = answer["structuredContent"][PLACES[operation]]
        whole = arguments["body"] if arguments.keys() == {"body"} else arguments
        assert alike(arrived if arrived is not None else {}, whole), f"{arrived} of {arguments}"

    called_with()


@pytest.mark.parametrize("operation", WRITTEN)
def test_what_a_tool_is_called_with_is_written_by_the_book(
    server: Server, tools: dict[str, Json], operation: str
) -> None:
    arguments, target = WRITTEN[operation]
    call = {"name": tools[operation]["name"], "arguments": arguments}
    answer = result(Wire(server.base).modern("tools/call", call))
    assert not answer.get("isError"), text(answer)
    # `+` and `%20` mean the same in a query.
    assert answer["structuredContent"]["target"].replace("+", "%20") == target


def alike(one: Any, other: Any) -> bool:
    """Whether two values are the same but for how numbers are written."""
    match one, other:
        case dict(), dict():
            return one.keys() == other.keys() and all(alike(one[name], other[name]) for name in one)
        case list(), list():
            return len(one) == len(other) and all(map(alike, one, other))
        case bool(), _:
            return one is other
        case _:
            return one == other


@pytest.mark.parametrize("number", [0, -0.0, 1e300, -1.5e-300, 2**53, 0.1, 1e21, 123456789012345680])
def test_numbers_arrive_as_they_are(server: Server, tools: dict[str, Json], number: float) -> None:
    call = {"name": tools["form"]["name"], "arguments": {"text": "t", "number": number}}
    answer = result(Wire(server.base).modern("tools/call", call))
    assert not answer.get("isError"), text(answer)
    assert answer["structuredContent"]["query"]["number"] == number
