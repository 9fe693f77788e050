"""Real OpenAPI documents behind the server, mocked by Prism, which checks each request of the tools by its document."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import anyio
import httpx2
import pytest
import yaml
from jsonschema import Draft202012Validator
from mcp import Client

import behind
import harness
from behind import SERVICES, Prism
from harness import Server
from planted import plant
from wire import Json

pytestmark = pytest.mark.anyio

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
TOKEN = plant("tok3n-for-prism")
# How many calls are under way at once.
AT_ONCE = 8


@dataclass(frozen=True)
class Service:
    """A document, how many operations cannot become tools, and which of them ask for what they do not describe."""

    file: Path
    skipped: int = 0
    silent: frozenset[str] = frozenset()

    @property
    def id(self) -> str:
        return self.file.stem.replace(".", "-")

    @property
    def document(self) -> str:
        return self.file.name

    def operations(self) -> dict[str, bool]:
        """Its operations, and whether it says of each how it succeeds: where not, Prism answers with a failure."""
        described = yaml.safe_load(self.file.read_text())
        return {
            f"{method.upper()} {path}": any(str(status)[0] in "2d" for status in operation["responses"])
            for path, item in described["paths"].items()
            for method, operation in item.items()
            if method in METHODS
        }


DOCUMENTS = [
    Service(SERVICES / "petstore-2.0.json"),
    Service(SERVICES / "petstore-3.0.yaml"),
    Service(SERVICES / "petstore-3.1.json"),
    Service(SERVICES / "notion.json"),
    Service(SERVICES / "spotify.json"),
    # These require a member `project` of the body that they have no word for.
    Service(
        SERVICES / "asana.json",
        silent=frozenset({"POST /projects/{project_gid}/sections", "PUT /sections/{section_gid}"}),
    ),
]
every_document = pytest.mark.parametrize("service", DOCUMENTS, ids=lambda service: service.id)


@pytest.fixture(scope="module")
def prism(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prism]:
    home = tmp_path_factory.mktemp("prism")
    with behind.prism([with_media_types(service.file, home) for service in DOCUMENTS], home) as running:
        yield running


def with_media_types(file: Path, folder: Path) -> Path:
    """The document for Prism, which takes a Swagger 2.0 one that names no media type to allow no body at all."""
    if file.suffix != ".json":
        return file
    described = json.loads(file.read_text())
    if "swagger" not in described:
        return file
    completed = folder / file.name
    completed.write_text(json.dumps({"consumes": ["application/json"], **described}))
    return completed


@pytest.fixture(scope="module")
def server(prism: Prism, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("openapi") / "manifests"
    for service in DOCUMENTS:
        manifests = behind.api(
            folder,
            service.id,
            service.file,
            prism.urls[service.document],
            adapter={"deprecated": True},
            credentials={"headers": {"Authorization": "Bearer ${PRISM_TOKEN}", "api_key": "${PRISM_TOKEN}"}},
        )
    with harness.serve(manifests, env={"PRISM_TOKEN": TOKEN}) as server:
        yield server


# With everything that means something in a URL, and an escape that must not be read as one.
HARD = "a b/c?d=e&f#g%41+h;i,j"


def hardened(tool: Json, arguments: Json) -> Json:
    """The arguments with text in them that is hard to write, where any text will do."""
    hard = {}
    for name, value in arguments.items():
        schema = tool["inputSchema"]["properties"].get(name, {})
        free = schema.get("type") == "string" and not {"enum", "const", "format", "pattern", "contentEncoding"} & set(
            schema
        )
        hard[name] = (
            HARD[: schema.get("maxLength", len(HARD))] if free and schema.get("minLength", 0) <= len(HARD) else value
        )
    return hard


@every_document
async def test_each_operation_is_a_tool_whose_calls_prism_has_nothing_against(
    server: Server, prism: Prism, service: Service, tmp_path: Path
) -> None:
    tools = behind.operations(server, service.id)
    operations = service.operations()
    assert tools.keys() <= operations.keys()
    assert len(operations) - len(tools) == service.skipped, operations.keys() - tools.keys()
    made_up = behind.made_up(list(tools.values()), tmp_path)
    calls = [
        (operation, tool["name"], arguments)
        for operation, tool in tools.items()
        for drafts in [made_up[tool["name"]]]
        for arguments in [*drafts[:-1], *(hardened(tool, draft) for draft in drafts[-1:])]
    ]
    assert {operation for operation, _, _ in calls} == tools.keys(), "some tool has no arguments that fit its schema"
    before = len(prism.complaints(service.document))
    failed: list[str] = []
    limit = anyio.Semaphore(AT_ONCE)

    async def call(client: Client, operation: str, tool: str, arguments: Json) -> None:
        async with limit:
            result = await client.call_tool(tool, arguments)
        if result.is_error and operations[operation] and operation not in service.silent:
            said = " ".join(block.text for block in result.content if block.type == "text")
            failed.append(f"{operation} {json.dumps(arguments)[:1500]}\n    {said[:600]}")

    async with Client(server.url, read_timeout_seconds=harness.PATIENCE) as client, anyio.create_task_group() as tasks:
        for operation, tool, arguments in calls:
            tasks.start_soon(call, client, operation, tool, arguments)
    assert failed == [], f"{len(failed)} of {len(calls)}:\n" + "\n".join(failed[:12])
    await harness.eventually(lambda: len(prism.requests(service.document)) >= len(calls), "what it heard")
    complaints = [said for said in prism.complaints(service.document)[before:] if not of_what_is_silent(service, said)]
    assert complaints == []


def of_what_is_silent(service: Service, said: Json) -> bool:
    return bool(service.silent) and "must have required property 'project'" in said["complaint"]


@every_document
async def test_each_tool_is_one_that_strict_clients_take(server: Server, service: Service) -> None:
    for tool in behind.operations(server, service.id).values():
        assert (
            len(tool["name"]) <= 64
            and tool["name"].replace("_", "").replace("-", "").isalnum()
            and tool["name"].isascii()
        )
        for schema in [tool["inputSchema"], *([tool["outputSchema"]] if "outputSchema" in tool else [])]:
            Draft202012Validator.check_schema(schema)
            assert schema["type"] == "object"
            assert not {"oneOf", "anyOf", "allOf", "not", "if", "$ref"} & schema.keys(), tool["name"]
        assert "properties" in tool["inputSchema"] and tool["inputSchema"].get("additionalProperties") is False
        assert len(tool["description"]) <= 1200, tool["name"]


async def test_prism_notices_what_the_document_does_not_allow(prism: Prism) -> None:
    url = prism.urls["petstore-3.1.json"]
    async with httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.get(f"{url}/pet/findByStatus?status=lost", headers={"Authorization": "Bearer x"})
        assert answer.status_code >= 400
    with anyio.fail_after(harness.PATIENCE):
        while not any("status" in said["complaint"] for said in prism.complaints("petstore-3.1.json")):
            await anyio.sleep(0.02)
