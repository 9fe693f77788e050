"""The bundled manifests as their users meet them, and the faulty ones of `tests/fixtures/broken`."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from test_http_api import BINARY, PATIENCE, ROOT, Server, api, running_server, text_of

__all__ = ["api"]  # the fixture

pytestmark = pytest.mark.anyio

BUNDLED = ROOT / "manifests"
BROKEN = ROOT / "tests/fixtures/broken"
SERVICE_MAP = ROOT / "tests/fixtures/service-map"


def check(manifests: Path, **env: str) -> dict[str, Any]:
    done = subprocess.run(
        [BINARY, "check", "--format", "json", "--manifests", str(manifests)],
        env={name: os.environ[name] for name in ("PATH", "SWITCHBOARD_DATA_DIR")} | env,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    return json.loads(done.stdout) | {"exit": done.returncode}


# Faulty manifests


def expected_problems() -> list[str]:
    return (BROKEN / "expected.txt").read_text().splitlines()


@pytest.fixture(scope="module")
def problems() -> list[dict[str, Any]]:
    report = check(BROKEN)
    assert report["exit"] == 1
    return report["problems"]


@pytest.mark.parametrize("line", expected_problems())
def test_check_finds_the_fault_and_its_place(problems: list[dict[str, Any]], line: str) -> None:
    """A line is `file:line:column pointer words`; the pointer `-` stands for any, the words for a part of the message."""
    place, pointer, *words = line.split(" ", 2)
    file, row, column = place.split(":")
    there = [problem for problem in problems if Path(problem["file"]).name == file and problem["severity"] == "error"]
    assert any(
        (problem["line"], problem["column"]) == (int(row), int(column))
        and pointer in ("-", problem["pointer"])
        and "".join(words).lower() in problem["message"].lower()
        for problem in there
    ), f"not among {json.dumps(there, indent=1)}"


def test_check_finds_nothing_else(problems: list[dict[str, Any]]) -> None:
    expected = [tuple(line.split(" ")[0].split(":")) for line in expected_problems()]
    errors = [problem for problem in problems if problem["severity"] == "error"]
    places = {(Path(problem["file"]).name, str(problem["line"]), str(problem["column"])) for problem in errors}
    assert places - set(expected) == set()


def test_a_broken_connector_does_not_stop_the_others() -> None:
    connectors = {connector["id"]: connector for connector in check(BROKEN)["connectors"]}
    assert connectors["fine"]["tools"] == ["fine_get"]
    assert connectors["in-list"]["tools"] == ["in-list_get"]
    assert connectors["twice"]["tools"] == ["twice_get"]
    assert not {"misspelt", "also-in-list", "faulty-yaml"} & set(connectors)


# The service-map system's own manifest


def test_a_service_map_document_loads_unchanged() -> None:
    report = check(SERVICE_MAP)
    assert [problem for problem in report["problems"] if problem["severity"] == "error"] == []
    connectors = {connector["id"]: connector for connector in report["connectors"]}
    assert sorted(connectors) == ["arxiv", "drafts", "wikidata"]
    assert connectors["drafts"]["state"] == "disabled"
    assert report["exit"] == 0


# The bundled manifests


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose own configuration would run programs, each of which leaves a file named `ran-…` beside it."""
    folder = tmp_path_factory.mktemp("git") / "repository"
    folder.mkdir()

    def git(*arguments: str) -> None:
        names = {"GIT_AUTHOR_NAME": "Ann", "GIT_COMMITTER_NAME": "Ann", "GIT_AUTHOR_EMAIL": "ann@example.com", "GIT_COMMITTER_EMAIL": "ann@example.com"}
        env = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", **names}
        subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, env=env)

    git("init", "--initial-branch=main")
    (folder / "a.txt").write_text("one\n")
    (folder / "sub").mkdir()
    (folder / "sub/ü.md").write_text("--two\n")
    git("add", ".")
    git("commit", "--message=first")
    git("tag", "v1")
    (folder / "a.txt").write_text("one\nthree\n")
    git("commit", "--all", "--message=second -> thing")
    ran = folder.parent / "ran-"
    (folder / ".git/info/attributes").write_text("* diff=x\n")
    with (folder / ".git/config").open("a") as config:
        config.write(
            f"""
            [core]
                fsmonitor = touch {ran}fsmonitor
                pager = touch {ran}pager
                sshCommand = touch {ran}ssh
                hooksPath = {folder}/hooks
            [diff]
                external = touch {ran}external
            [diff "x"]
                textconv = touch {ran}textconv && cat
                command = touch {ran}driver
            [log]
                showSignature = true
            [gpg]
                program = touch {ran}gpg
            [alias]
                log = "!touch {ran}alias"
            [color]
                ui = always
                status = always
            [protocol "ext"]
                allow = always
            """
        )
    (folder / "hooks").mkdir()
    hook = folder / "hooks/post-index-change"
    hook.write_text(f"#!/bin/sh\ntouch {ran}hook\n")
    hook.chmod(0o755)
    (folder / "a.txt").write_text("one\nthree\nfour\n")
    (folder / "new.txt").write_text("new\n")
    return folder


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.txt").write_text("out of reach\n")
    folder = tmp_path_factory.mktemp("files") / "documents"
    (folder / "sub/.git").mkdir(parents=True)
    (folder / "sub/.git/needle.txt").write_text("needle\n")
    (folder / "a.txt").write_text("alpha\nbeta\n--gamma needle\nütf\n")
    (folder / "-rf").write_text("dash\n")
    (folder / "sub/b c.MD").write_text("Needle\n")
    (folder / "link-out").symlink_to(outside / "secret.txt")
    (folder / "folder-out").symlink_to(outside)
    (folder / "link-in").symlink_to("a.txt")
    os.mkfifo(folder / "pipe")
    return folder


@pytest.fixture(scope="module")
def bundled(repository: Path, documents: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("bundled") / "manifests"
    folder.mkdir()
    for name in ("machine", "files", "git"):
        shutil.copy(BUNDLED / f"{name}.json", folder)
    folders = {"SWITCHBOARD_GIT_DIR": str(repository), "SWITCHBOARD_FILES_DIR": str(documents)}
    with running_server(folder, "http://127.0.0.1:9", **folders) as server:
        yield server


def test_the_bundled_manifests_have_no_error_and_say_what_they_wait_for() -> None:
    report = check(BUNDLED)
    assert [problem for problem in report["problems"] if problem["severity"] == "error"] == []
    assert report["exit"] == 0
    connectors = {connector["id"]: connector for connector in report["connectors"]}
    assert {name: connector["state"] for name, connector in connectors.items()} == {
        "cart": "up",
        "conductor": "unavailable",
        "files": "up",
        "git": "up",
        "github": "unavailable",
        "machine": "up",
        "perplexity-search": "unavailable",
        "search-and-fetch": "up",
        "switchboard": "up",
        "wikidata": "down",
    }
    assert "CONDUCTOR_URL" in connectors["conductor"]["reason"]
    assert "GITHUB_TOKEN" in connectors["github"]["reason"]
    assert "PERPLEXITY_API_KEY" in connectors["perplexity-search"]["reason"]


def bundled_tools() -> list[Any]:
    found = [(file.stem, tool) for file in sorted(BUNDLED.glob("*.json")) if file.name != "schema.json" for tool in json.loads(file.read_text()).get("tools", [])]
    return [pytest.param(tool, id=f"{connector}-{tool['name']}") for connector, tool in found]


@pytest.mark.parametrize("tool", bundled_tools())
def test_a_bundled_tool_is_well_described(tool: dict[str, Any]) -> None:
    assert tool["title"]
    assert tool["description"].startswith("Use this when ")
    assert re.search(r"\bReturns?\b", tool["description"], re.IGNORECASE), "it does not say what comes back"
    assert set(tool["annotations"]) == {"readOnly", "destructive", "idempotent", "openWorld"}
    schema = tool.get("inputSchema", {"properties": {}, "additionalProperties": False})
    assert schema["additionalProperties"] is False
    for name, property in schema["properties"].items():
        assert property.get("description"), name
        assert "type" in property, name
        match property["type"]:
            case "string":
                assert property.keys() & {"maxLength", "enum", "pattern", "format"}, f"{name} has no limit"
            case "integer" | "number":
                assert {"minimum", "maximum"} <= property.keys(), f"{name} has no limit"
            case "array":
                assert "maxItems" in property and "items" in property, f"{name} has no limit"
    for name in ("invoking", "invoked"):
        assert len(tool.get("widget", {}).get(name, "")) <= 64


async def test_the_machine_tells_its_facts(bundled: Server) -> None:
    assert os.uname().sysname in text_of(await bundled.ok("machine_get_system"))
    assert "load" in text_of(await bundled.ok("machine_get_load"))
    assert (await bundled.value("machine_get_hardware_figure", figure="_NPROCESSORS_ONLN"))["result"] >= 1
    assert "/" in text_of(await bundled.ok("machine_get_disk_space"))
    assert "COMM" in text_of(await bundled.ok("machine_list_processes"))
    assert str(os.getpid()) in text_of(await bundled.ok("machine_get_process", pid=os.getpid()))
    assert (await bundled.value("machine_get_clock", utc=True))["offset"] == "+0000"
    assert f"uid={os.getuid()}" in text_of(await bundled.ok("machine_get_account"))


async def test_no_argument_of_a_process_is_shown(bundled: Server) -> None:
    mark = "--a-password-on-the-command-line"
    with subprocess.Popen(["sleep", "30"], executable="/bin/sleep") as sleeper:
        marked = subprocess.Popen(["sh", "-c", "sleep 30; :", mark])
        try:
            text = text_of(await bundled.ok("machine_list_processes")) + text_of(await bundled.ok("machine_get_process", pid=marked.pid))
            assert "sleep" in text
            assert mark not in text
        finally:
            for process in (sleeper, marked):
                process.kill()
                process.wait()


async def test_a_whole_number_written_with_a_fraction_is_a_whole_number(bundled: Server) -> None:
    """JSON Schema calls 2.0 an integer, and some clients write it so."""
    assert text_of(await bundled.ok("files_read_file", path="a.txt", from_line=2.0, to_line=2.0)) == "beta\n"


async def test_files_are_listed_read_found_and_searched(bundled: Server) -> None:
    listing = text_of(await bundled.ok("files_list_folder"))
    assert "a.txt" in listing and "sub/" in listing and ".git" not in listing
    assert ".git/" in text_of(await bundled.ok("files_list_folder", path="sub", hidden=True))
    assert text_of(await bundled.ok("files_read_file", path="a.txt", from_line=2, to_line=3)) == "beta\n--gamma needle\n"
    assert text_of(await bundled.ok("files_read_file", path="link-in", to_line=1)) == "alpha\n"
    assert text_of(await bundled.ok("files_read_file", path="-rf")) == "dash\n"
    assert text_of(await bundled.ok("files_read_file_end", path="a.txt", lines=1)) == "ütf\n"
    assert text_of(await bundled.ok("files_find_files", name="*.md")) == "./sub/b c.MD\n"
    assert text_of(await bundled.ok("files_find_files", name="a.*", type="f", changed_within_days=2, depth=1)) == "./a.txt\n"
    hits = text_of(await bundled.ok("files_search_text", text="needle")).splitlines()
    assert sorted(hits) == ["./a.txt:3:--gamma needle", "./sub/b c.MD:1:Needle"]
    assert text_of(await bundled.ok("files_search_text", text="^b.t+a$", regex=True, path="a.txt")) == "./a.txt:2:beta\n"
    assert text_of(await bundled.ok("files_search_text", text="--gamma", files="*.txt")) == "./a.txt:3:--gamma needle\n"
    assert text_of(await bundled.ok("files_count_text", path="a.txt")).split()[0] == "4"
    assert "./sub" in text_of(await bundled.ok("files_get_file_facts", path="sub"))
    assert text_of(await bundled.ok("files_get_folder_size")).rstrip().endswith(".")


PATH_TOOLS = {
    "files_list_folder": {},
    "files_read_file": {},
    "files_read_file_end": {},
    "files_find_files": {"name": "*"},
    "files_search_text": {"text": "reach"},
    "files_count_text": {},
    "files_get_file_facts": {},
    "files_get_folder_size": {},
}


@pytest.mark.parametrize("tool", PATH_TOOLS)
@pytest.mark.parametrize(
    "path",
    ["..", "../", "/", "/etc/passwd", "sub/../..", "link-out", "folder-out", "folder-out/secret.txt", "./folder-out/../folder-out", "~", "$HOME", "-R", "--help", "a.txt\0", "nothing"],
)
async def test_no_path_leads_out_of_the_folder(bundled: Server, tool: str, path: str) -> None:
    text = await bundled.error(tool, **PATH_TOOLS[tool], path=path)
    assert "path" in text or "NUL" in text
    assert "out of reach" not in text and "root:" not in text


@pytest.mark.parametrize("text", ["-f/etc/passwd", "--file=/etc/passwd", "-r", "--include=*", "-e", "--"])
async def test_what_is_looked_for_is_no_option(bundled: Server, text: str) -> None:
    found = text_of(await bundled.ok("files_search_text", text=text))
    assert "root" not in found and "alpha" not in found


async def test_a_recursive_search_does_not_follow_links(bundled: Server) -> None:
    assert "reach" not in text_of(await bundled.ok("files_search_text", text="reach"))
    assert "secret" not in text_of(await bundled.ok("files_find_files", name="secret*"))


@pytest.mark.parametrize("arguments", [{"name": "-delete"}, {"name": "-exec"}, {"name": "*", "type": "f -delete"}, {"name": "*", "changed_within_days": "1 -delete"}])
async def test_a_search_by_name_cannot_be_made_to_act(bundled: Server, documents: Path, arguments: dict[str, Any]) -> None:
    before = sorted(documents.rglob("*"))
    await bundled.error("files_find_files", **arguments)
    assert sorted(documents.rglob("*")) == before


def ran(repository: Path) -> list[str]:
    found = sorted(file.name for file in repository.parent.glob("ran-*"))
    for name in found:
        (repository.parent / name).unlink()
    return found


GIT_CALLS: list[tuple[str, dict[str, Any], str]] = [
    ("git_get_status", {}, "## main\n M a.txt\n?? hooks/\n?? new.txt\n"),
    ("git_get_uncommitted_changes", {}, "+four"),
    ("git_get_uncommitted_changes", {"summary_only": True, "path": "sub"}, "(no output)"),
    ("git_get_uncommitted_changes", {"staged_only": True}, "(no output)"),
    ("git_log", {}, "Ann: second -> thing"),
    ("git_log", {"text": "-> thing", "author": "ann@", "since": "1 year ago", "path": "a.txt", "revision": "v1..main"}, "Ann: second -> thing"),
    ("git_show_commit", {}, "+three"),
    ("git_show_commit", {"revision": "v1", "summary_only": True}, "sub/ü.md"),
    ("git_diff", {"from": "v1"}, "+three"),
    ("git_diff", {"from": "v1", "to": "main", "since_common_ancestor": True, "summary_only": True, "path": "a.txt"}, "1 insertion"),
    ("git_list_branches", {"contains": "v1"}, "main\t"),
    ("git_list_branches", {"remote": True}, "(no output)"),
    ("git_list_tags", {}, "v1\t"),
    ("git_blame", {"path": "a.txt", "from_line": 2, "line_count": 5, "ignore_space": True}, "three"),
    ("git_grep", {"text": "--two"}, "HEAD:sub/ü.md:1:--two\n"),
    ("git_grep", {"text": "t(h)?r", "regex": True, "context": 1, "whole_words": False, "path": "a.txt"}, "three"),
    ("git_read_file_at", {"path": "a.txt", "revision": "v1"}, "one\n"),
    ("git_list_files", {"path": "sub"}, "sub/ü.md"),
    ("git_list_contributors", {"path": "a.txt", "since": "1 year ago"}, "2\tAnn"),
]


@pytest.mark.parametrize(("tool", "arguments", "expected"), GIT_CALLS, ids=[f"{tool}-{index}" for index, (tool, _, _) in enumerate(GIT_CALLS)])
async def test_git_reads_and_runs_nothing_that_the_repository_names(bundled: Server, repository: Path, tool: str, arguments: dict[str, Any], expected: str) -> None:
    text = text_of(await bundled.ok(tool, **arguments))
    assert expected in text
    assert "\x1b[" not in text
    assert ran(repository) == []


HOSTILE_REVISIONS = ["--output=../ran-output", "-O../ran-pager", "--help", "-p", "--all", "", " ", "HEAD --output=../ran-output", "HEAD:a.txt", "no-such-thing", "HEAD\0", "/etc/passwd"]
REVISION_TOOLS = {
    "git_log": "revision",
    "git_show_commit": "revision",
    "git_diff": "from",
    "git_list_branches": "contains",
    "git_list_tags": "contains",
    "git_blame": "revision",
    "git_grep": "revision",
    "git_read_file_at": "revision",
    "git_list_files": "revision",
    "git_list_contributors": "revision",
}
REST = {"git_blame": {"path": "a.txt"}, "git_grep": {"text": "x"}, "git_read_file_at": {"path": "a.txt"}}


@pytest.mark.parametrize("revision", HOSTILE_REVISIONS)
@pytest.mark.parametrize("tool", REVISION_TOOLS)
async def test_a_revision_is_no_option(bundled: Server, repository: Path, tool: str, revision: str) -> None:
    text = await bundled.error(tool, **{REVISION_TOOLS[tool]: revision}, **REST.get(tool, {}))
    assert "root:" not in text and "usage:" not in text.lower()
    assert ran(repository) == []


@pytest.mark.parametrize("path", ["--output=../ran-output", "--no-index", "/etc/passwd", "../../etc/passwd", ":(top)a.txt", "-O../ran-pager"])
@pytest.mark.parametrize("tool", ["git_get_uncommitted_changes", "git_log", "git_diff", "git_blame", "git_grep", "git_read_file_at", "git_list_files", "git_list_contributors"])
async def test_a_path_is_no_option_and_leads_nowhere_else(bundled: Server, repository: Path, tool: str, path: str) -> None:
    rest = {"git_diff": {"from": "v1"}, "git_grep": {"text": "root"}}
    result = await bundled.call(tool, **rest.get(tool, {}), path=path)
    assert result.is_error or text_of(result) == "(no output)", text_of(result)
    assert "root:" not in text_of(result)
    assert ran(repository) == []


async def test_what_git_looks_for_is_no_option(bundled: Server, repository: Path) -> None:
    for text in ("-Otouch ../ran-pager", "--open-files-in-pager=touch ../ran-pager", "-f/etc/passwd"):
        assert text_of(await bundled.ok("git_grep", text=text)) == "(no output)"
        assert text_of(await bundled.ok("git_log", text=text, author=text)) == "(no output)"
    assert ran(repository) == []


async def test_every_command_tool_is_read_only(bundled: Server) -> None:
    async with Client(bundled.url) as client:
        tools = (await client.list_tools()).tools
    assert len(tools) == 28
    for tool in tools:
        hints = tool.annotations
        assert (hints.read_only_hint, hints.destructive_hint, hints.open_world_hint) == (True, False, False), tool.name


# Bundled manifests of APIs that are not here: what they would send


@pytest.fixture(scope="module")
def remote(api: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`github`, `perplexity-search` and `conductor` before an API that answers with the request it got."""
    folder = tmp_path_factory.mktemp("remote") / "manifests"
    folder.mkdir()
    for name in ("github", "perplexity-search", "conductor"):
        connector = json.loads((BUNDLED / f"{name}.json").read_text())
        if name != "conductor":
            connector["adapter"] |= {"baseUrl": f"{api}/v1/seen", "allowPrivate": True}
        for tool in connector["tools"]:
            tool.pop("outputSchema", None)
        (folder / f"{name}.json").write_text(json.dumps(connector))
    env = {"CONDUCTOR_URL": f"{api}/v1/seen", "GITHUB_TOKEN": "not-a-token", "PERPLEXITY_API_KEY": "not-a-key"}
    with running_server(folder, api, **env) as server:
        yield server


EXECUTE = ("POST", "/conductor/execute")
CONDUCTOR: list[tuple[str, dict[str, Any], tuple[str, str], Any]] = [
    ("list_available_agents", {}, EXECUTE, {"list_agents": True}),
    ("get_agent_info", {"agent_id": "a/b"}, EXECUTE, {"info_agent": "a/b"}),
    ("validate_conductor_system", {}, EXECUTE, {"validate": True}),
    (
        "execute_agent_stateless",
        {"agent_id": "a", "input_text": "do {it}", "cwd": "/tmp"},
        EXECUTE,
        {"agent_id": "a", "input_text": "do {it}", "cwd": "/tmp", "timeout": 1800, "chat": False},
    ),
    (
        "execute_agent_stateless",
        {"agent_id": "a", "input_text": "x", "cwd": "/tmp", "timeout": 5, "instance_id": "i"},
        EXECUTE,
        {"agent_id": "a", "input_text": "x", "cwd": "/tmp", "timeout": 5, "chat": False, "instance_id": "i"},
    ),
    (
        "execute_agent_contextual",
        {"agent_id": "a", "input_text": "x"},
        EXECUTE,
        {"agent_id": "a", "input_text": "x", "timeout": 1800, "chat": True, "clear_history": False},
    ),
    ("start_interactive_session", {"agent_id": "a"}, EXECUTE, {"agent_id": "a", "timeout": 1800, "chat": True, "interactive": True}),
    (
        "start_interactive_session",
        {"agent_id": "a", "initial_input": "hi", "instance_id": "i"},
        EXECUTE,
        {"agent_id": "a", "input_text": "hi", "timeout": 1800, "chat": True, "interactive": True, "instance_id": "i"},
    ),
    ("install_agent_templates", {}, EXECUTE, {"install": "list"}),
    ("install_agent_templates", {"template_name": "web"}, EXECUTE, {"install": "web"}),
    ("backup_agents", {}, EXECUTE, {"backup": True}),
    ("backup_agents", {"backup_path": "/b"}, EXECUTE, {"backup": True}),
    ("restore_agents", {"backup_path": "/b"}, EXECUTE, {"restore": "/b"}),
    ("migrate_storage", {"from_type": "filesystem", "to_type": "mongodb"}, ("POST", "/system/migrate"), {"from_type": "filesystem", "to_type": "mongodb", "no_config_update": False}),
    (
        "migrate_storage",
        {"from_type": "a", "to_type": "b", "path": "/p", "no_config_update": True},
        ("POST", "/system/migrate"),
        {"from_type": "a", "to_type": "b", "path": "/p", "no_config_update": True},
    ),
    ("set_environment", {"environment": "develop"}, ("POST", "/system/environment"), {"environment": "develop"}),
    ("set_environment", {"environment": "develop", "project": "p"}, ("POST", "/system/environment"), {"environment": "develop", "project": "p"}),
    ("get_system_config", {}, ("GET", "/system/config"), None),
    ("clear_agent_history", {"agent_id": "a b/../c"}, ("DELETE", "/sessions/a%20b%2F..%2Fc/history"), None),
]


@pytest.mark.parametrize(("tool", "arguments", "where", "body"), CONDUCTOR, ids=[f"{each[0]}-{index}" for index, each in enumerate(CONDUCTOR)])
async def test_conductor_gets_exactly_what_its_contract_says(remote: Server, tool: str, arguments: dict[str, Any], where: tuple[str, str], body: Any) -> None:
    seen = await remote.value(tool, **arguments)
    assert (seen["method"], seen["rawPath"].removeprefix("/v1/seen")) == where
    assert (json.loads(seen["body"]) if seen["body"] else None) == body
    assert seen["query"] == []


R = {"owner": "o", "repo": "r.js"}
PAGE = {"per_page": "10", "page": "1"}
GITHUB: list[tuple[str, dict[str, Any], str, dict[str, str], Any]] = [
    ("search_repositories", {"query": "mcp stars:>1"}, "GET /search/repositories", {"q": "mcp stars:>1", "order": "desc", **PAGE}, None),
    ("search_issues", {"query": "is:open &", "sort": "created"}, "GET /search/issues", {"q": "is:open &", "sort": "created", "order": "desc", **PAGE}, None),
    ("search_code", {"query": "x repo:o/r"}, "GET /search/code", {"q": "x repo:o/r", **PAGE}, None),
    ("get_repository", R, "GET /repos/o/r.js", {}, None),
    ("get_file", R | {"path": "src/a b?.rs", "ref": "main"}, "GET /repos/o/r.js/contents/src/a%20b%3F.rs", {"ref": "main"}, None),
    ("list_commits", R | {"ref": "v1", "path": "a/b"}, "GET /repos/o/r.js/commits", {"sha": "v1", "path": "a/b", **PAGE}, None),
    ("list_issues", R | {"labels": ["a", "b c"]}, "GET /repos/o/r.js/issues", {"labels": "a,b c", "state": "open", "sort": "created", "direction": "desc", **PAGE}, None),
    ("get_issue", R | {"issue_number": 7}, "GET /repos/o/r.js/issues/7", {}, None),
    ("list_issue_comments", R | {"issue_number": 7}, "GET /repos/o/r.js/issues/7/comments", {"per_page": "30", "page": "1"}, None),
    ("create_issue", R | {"title": "t", "labels": ["x"]}, "POST /repos/o/r.js/issues", {}, {"title": "t", "labels": ["x"]}),
    ("comment_on_issue", R | {"issue_number": 7, "body": "hi"}, "POST /repos/o/r.js/issues/7/comments", {}, {"body": "hi"}),
    ("list_pull_requests", R | {"head": "o:b"}, "GET /repos/o/r.js/pulls", {"head": "o:b", "state": "open", "sort": "created", "direction": "desc", **PAGE}, None),
    ("get_pull_request", R | {"pull_number": 8}, "GET /repos/o/r.js/pulls/8", {}, None),
    ("list_pull_request_files", R | {"pull_number": 8}, "GET /repos/o/r.js/pulls/8/files", {"per_page": "30", "page": "1"}, None),
    ("list_workflow_runs", R | {"branch": "main", "status": "failure"}, "GET /repos/o/r.js/actions/runs", {"branch": "main", "status": "failure", **PAGE}, None),
]


@pytest.mark.parametrize(("tool", "arguments", "where", "query", "body"), GITHUB, ids=[each[0] for each in GITHUB])
async def test_github_gets_what_its_api_documents(remote: Server, tool: str, arguments: dict[str, Any], where: str, query: dict[str, str], body: Any) -> None:
    seen = await remote.value(f"github_{tool}", **arguments)
    assert f"{seen['method']} {seen['rawPath'].removeprefix('/v1/seen')}" == where
    assert dict(seen["query"]) == query
    assert (json.loads(seen["body"]) if seen["body"] else None) == body
    headers = dict(seen["headers"])
    assert headers["accept"] == ("application/vnd.github.raw" if tool == "get_file" else "application/vnd.github+json")
    assert headers["x-github-api-version"] == "2022-11-28"
    assert headers["user-agent"]


@pytest.mark.parametrize("arguments", [{"owner": "..", "repo": "r"}, {"owner": "o/../x", "repo": "r"}, {"owner": "o", "repo": ".."}, {"owner": "o", "repo": "r/../../user"}, {"owner": "-o", "repo": "r"}])
async def test_github_is_asked_for_repositories_only(remote: Server, arguments: dict[str, str]) -> None:
    await remote.error("github_get_repository", **arguments)


async def test_perplexity_gets_what_its_api_documents(remote: Server) -> None:
    seen = await remote.value("perplexity-search_search", query="news", domains=["a.org"], recency="week", published_after="1/2/2026", languages=["en"], country="DE")
    assert (seen["method"], seen["rawPath"]) == ("POST", "/v1/seen/search")
    assert json.loads(seen["body"]) == {
        "query": "news",
        "max_results": 10,
        "max_tokens_per_page": 1024,
        "country": "DE",
        "search_domain_filter": ["a.org"],
        "search_language_filter": ["en"],
        "search_recency_filter": "week",
        "search_after_date_filter": "1/2/2026",
    }
    seen = await remote.value("perplexity-search_ask", question="why?")
    assert (seen["method"], seen["rawPath"]) == ("POST", "/v1/seen/chat/completions")
    body = json.loads(seen["body"])
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert body["messages"][1]["content"] == "why?"
    assert {name: body[name] for name in ("model", "max_tokens", "stream", "search_mode", "web_search_options")} == {
        "model": "sonar",
        "max_tokens": 1024,
        "stream": False,
        "search_mode": "web",
        "web_search_options": {"search_context_size": "low"},
    }
