"""Real servers behind the gateway: everything they say arrives as they say it to a client that speaks to them itself.

Two copies of each server run over two equal folders, one of them behind the gateway. Both are asked the same by the
same client, and the texts of the answers are equal once names, URIs and folders are mapped back and `same_text` has
levelled out the time of day.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import harness
import upstreams
from connectors import Published, connector
from harness import Server, until
from session import Answer, Session, over_http
from upstreams import ALL, EVERYTHING, Upstream, same_text
from wire import Json

HINTS = {"readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"}


@dataclass
class Pair(Published):
    """One upstream twice: spoken to directly, and through the gateway."""

    upstream: Upstream
    direct: Session
    passed: Session
    server: Server
    folders: tuple[Path, Path]

    @property
    def id(self) -> str:
        return self.upstream.id

    def same(self, text: str) -> str:
        """A text that came through the gateway as the other copy would have sent it, levelled out."""
        ours, theirs = map(str, reversed(self.folders))
        return same_text(self.original(text).replace(ours, theirs))

    def difference(self, what: str, direct: Answer, passed: Answer) -> list[str]:
        """Nothing, or how the two answers differ."""
        expected, got = f"{direct.kind} {same_text(direct.raw)}", f"{passed.kind} {self.same(passed.raw)}"
        return [] if expected == got else [f"{what}\n  directly: {expected}\n  through:  {got}"]

    def both(self, value: Json) -> tuple[Json, Json]:
        """Params for the one and for the other."""
        one, other = (json.loads(json.dumps(value).replace("{folder}", str(folder))) for folder in self.folders)
        return one, other


@contextmanager
def paired(upstream: Upstream, home: Path) -> Iterator[Pair]:
    folders = (home / "copy-1", home / "copy-2")
    with ExitStack() as running:
        direct = running.enter_context(upstream.directly(folders[0], roots=folders[:1]))
        adapter = running.enter_context(upstream.adapter(folders[1]))
        server = running.enter_context(harness.serve(connector(home / "manifests", upstream.id, adapter)))
        passed = running.enter_context(over_http(server.url, roots=folders[1:]))
        pair = Pair(upstream, direct, passed, server, folders)
        until(
            lambda: len(passed.listed("tools")) >= len(direct.listed("tools")), f"the tools of {upstream}: {server.log}"
        )
        yield pair


@pytest.fixture(scope="module", params=ALL, ids=str)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with paired(request.param, tmp_path_factory.mktemp("pair")) as pair:
        yield pair


@pytest.fixture(params=EVERYTHING, ids=str)
def everything(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    """server-everything, with sessions of the test's own."""
    with paired(request.param, tmp_path) as pair:
        yield pair


def exact(text: str) -> Any:
    """JSON whose numbers are equal only when they are written alike."""
    return json.loads(text, parse_float=lambda number: f"number {number}", parse_int=lambda number: f"number {number}")


# What is said once more for ChatGPT.
OTHER_FAMILY = ("openai/outputTemplate", "openai/widgetAccessible")


def without_our_additions(published: Json, original: Json) -> Json:
    """A published tool less what we may add: its security schemes, the hints its server did not give, and what it says
    of its page in the words of the other family of clients.

    The schemes say what callers must show the gateway, so they are its own word whatever its upstreams ask for.
    """
    tool = published | {name: original[name] for name in ["securitySchemes"] if name in original}
    if "securitySchemes" not in original:
        del tool["securitySchemes"]
    theirs = original.get("annotations", {})
    annotations = {
        name: value for name, value in tool.get("annotations", {}).items() if name in theirs or name not in HINTS
    }
    meta = {
        name: value
        for name, value in tool.get("_meta", {}).items()
        if name in original.get("_meta", {}) or name not in ("securitySchemes", *OTHER_FAMILY)
    }
    if "ui" in meta:
        said = original["_meta"]["ui"]
        meta["ui"] = {name: value for name, value in meta["ui"].items() if name in said or name != "visibility"}
    for name, value in [("annotations", annotations), ("_meta", meta)]:
        tool.pop(name, None)
        if value or name in original:
            tool[name] = value
    return tool


# What there is


def test_every_tool_is_described_as_its_server_describes_it(pair: Pair) -> None:
    originals = [exact(same_text(tool)) for tool in pair.direct.listed("tools")]
    published = {tool["name"]: tool for tool in (exact(pair.same(tool)) for tool in pair.passed.listed("tools"))}
    assert set(published) == {pair.tool(tool["name"]) for tool in originals}
    for original in originals:
        tool = published[pair.tool(original["name"])] | {"name": original["name"]}
        assert tool["securitySchemes"] == tool["_meta"]["securitySchemes"]
        assert without_our_additions(tool, original) == original


@pytest.mark.parametrize("what", ["resources", "resourceTemplates", "prompts"])
def test_every_resource_template_and_prompt_is_described_as_its_server_describes_it(pair: Pair, what: str) -> None:
    if what.removesuffix("Templates").rstrip("s") + "s" not in pair.direct.hello["capabilities"]:
        assert pair.passed.listed(what) == []
        return
    originals = [exact(same_text(item)) for item in pair.direct.listed(what)]
    published = [exact(pair.same(item)) for item in pair.passed.listed(what)]
    if what == "prompts":
        assert all(prompt["name"].startswith(f"{pair.id}_") for prompt in published)
        published = [prompt | {"name": prompt["name"].removeprefix(f"{pair.id}_")} for prompt in published]
    assert sorted(published, key=lambda item: item["name"]) == sorted(originals, key=lambda item: item["name"])


# What they answer


def test_every_tool_answers_through_the_gateway_as_it_does_directly(pair: Pair) -> None:
    called = {tool for tool, _ in pair.upstream.calls}
    assert called == {json.loads(tool)["name"] for tool in pair.direct.listed("tools")}
    differences: list[str] = []
    for tool, arguments in pair.upstream.calls:
        one, other = pair.both(arguments)
        directly, through = pair.direct.call(tool, one), pair.passed.call(pair.tool(tool), other)
        differences += pair.difference(f"{tool} {arguments}", directly, through)
    assert not differences, "\n".join(differences)


def test_a_server_asks_the_caller_through_the_gateway_what_it_asks_directly(pair: Pair) -> None:
    for tool in ("trigger-sampling-request", "trigger-elicitation-request", "trigger-url-elicitation"):
        for name, arguments in pair.upstream.calls:
            if name == tool:
                pair.direct.call(tool, arguments)
                pair.passed.call(pair.tool(tool), arguments)

    def params(ask: Json) -> Json:
        # A progress token belongs to the connection, as an id does: whoever asks on it makes up his own.
        meta = {name: value for name, value in ask["params"].get("_meta", {}).items() if name != "progressToken"}
        rest = {name: value for name, value in ask["params"].items() if name != "_meta"}
        return rest | ({"_meta": meta} if meta else {})

    def asked(session: Session) -> list[tuple[str, Json]]:
        # The roots are asked for when a server thinks fit; that they arrive shows in the tools' answers.
        return [(ask["method"], params(ask)) for ask in session.asked if ask["method"] != "roots/list"]

    assert asked(pair.passed) == asked(pair.direct)
    if pair.upstream in EVERYTHING:
        assert len(asked(pair.direct)) >= 3
        assert "roots/list" in {ask["method"] for ask in pair.passed.asked}


def test_the_two_copies_leave_the_same_files_behind(pair: Pair) -> None:
    def files(folder: Path) -> dict[str, bytes]:
        found = (file for file in folder.rglob("*") if file.is_file() and ".git" not in file.parts)
        return {str(file.relative_to(folder)): file.read_bytes() for file in found}

    assert files(pair.folders[0]) == files(pair.folders[1])


def test_everything_that_can_be_read_reads_as_it_does_directly(pair: Pair) -> None:
    uris = [*pair.upstream.reads]
    if "resources" in pair.direct.hello["capabilities"]:
        uris += [json.loads(resource)["uri"] for resource in pair.direct.listed("resources")]
    differences: list[str] = []
    for uri in uris:
        directly = pair.direct.ask("resources/read", {"uri": uri})
        through = pair.passed.ask("resources/read", {"uri": pair.uri(uri)})
        assert through.kind == "error" or all(item["uri"] == pair.uri(uri) for item in through.value["contents"])
        differences += pair.difference(uri, directly, through)
    assert not differences, "\n".join(differences)


def test_every_prompt_and_completion_is_as_it_is_directly(pair: Pair) -> None:
    if "prompts" in pair.direct.hello["capabilities"]:
        listed = {json.loads(prompt)["name"] for prompt in pair.direct.listed("prompts")}
        assert listed == {name for name, _ in pair.upstream.prompts}
    differences: list[str] = []
    for name, arguments in pair.upstream.prompts:
        directly = pair.direct.ask("prompts/get", {"name": name, "arguments": arguments})
        through = pair.passed.ask("prompts/get", {"name": pair.tool(name), "arguments": arguments})
        differences += pair.difference(f"{name} {arguments}", directly, through)
    for params in pair.upstream.completions:
        ref = params["ref"]
        mapped = {"name": pair.tool(ref["name"])} if "name" in ref else {"uri": pair.uri(ref["uri"])}
        through = pair.passed.ask("completion/complete", params | {"ref": ref | mapped})
        differences += pair.difference(str(params), pair.direct.ask("completion/complete", params), through)
    assert not differences, "\n".join(differences)


# What they say unasked


def test_progress_comes_under_the_callers_own_token(everything: Pair) -> None:
    def progress(session: Session, tool: str) -> list[Json]:
        session.call(tool, {"duration": 0.1, "steps": 3}, _meta={"progressToken": "my token"})
        until(lambda: len(session.notifications("progress")) == 3, "three steps")
        return session.notifications("progress")

    name = "trigger-long-running-operation"
    assert progress(everything.passed, everything.tool(name)) == progress(everything.direct, name)


def test_log_messages_reach_the_session_that_asked_for_them(everything: Pair) -> None:
    for session, tool in [
        (everything.direct, "toggle-simulated-logging"),
        (everything.passed, everything.tool("toggle-simulated-logging")),
    ]:
        assert session.ask("logging/setLevel", {"level": "debug"}).value == {}
        session.call(tool)
        until(lambda: any("level" in str(said["data"]) for said in session.notifications("message")), "a log message")
        session.call(tool)


def test_updates_of_a_resource_reach_its_subscriber_under_its_published_uri(everything: Pair) -> None:
    watched, toggle = "demo://resource/dynamic/text/1", "toggle-subscriber-updates"
    for session, tool, uri in [
        (everything.direct, toggle, watched),
        (everything.passed, everything.tool(toggle), everything.uri(watched)),
    ]:
        assert session.ask("resources/subscribe", {"uri": uri}).value == {}
        session.call(tool)
        until(lambda: session.notifications("resources/updated"), "an update")
        assert {update["uri"] for update in session.notifications("resources/updated")} == {uri}
        session.call(tool)
        assert session.ask("resources/unsubscribe", {"uri": uri}).value == {}


def test_a_tool_that_runs_only_as_a_task_does_so_through_the_gateway(everything: Pair) -> None:
    def research(session: Session, tool: str) -> tuple[str, Answer, Answer]:
        started = session.call(tool, {"topic": "python", "ambiguous": True}, task={"ttl": 60_000})
        task = started.value["task"]["taskId"]
        return task, session.ask("tasks/get", {"taskId": task}), session.ask("tasks/result", {"taskId": task})

    name = "simulate-research-query"
    _, known, report = research(everything.direct, name)
    task, passed, passed_report = research(everything.passed, everything.tool(name))
    assert task.startswith("everything") and set(passed.value) == set(known.value)
    assert "# Research Report: python (some text)" in report.raw
    assert everything.difference("the report", report, passed_report) == []
    [asked] = [ask for ask in everything.passed.asked if ask["method"] == "elicitation/create"]
    assert asked["params"]["_meta"]["io.modelcontextprotocol/related-task"] == {"taskId": task}
    states = [said for said in everything.passed.notifications("tasks/status") if said["status"] == "completed"]
    assert {said["taskId"] for said in states} == {task}


def test_a_server_of_the_older_transport_is_recognised_by_its_url_alone(tmp_path: Path) -> None:
    sse = upstreams.everything("everything", "sse")
    with sse.adapter(tmp_path / "folder") as adapter:
        with harness.serve(connector(tmp_path / "manifests", "everything", adapter | {"transport": "auto"})) as server:
            with over_http(server.url) as session:
                until(lambda: session.listed("tools"), "the tools")
                answer = session.call("everything_get-sum", {"a": 2, "b": 3}).value
                assert answer["content"][0]["text"] == "The sum of 2 and 3 is 5."


# Apps


def test_an_apps_page_is_readable_where_its_tool_points(tmp_path: Path) -> None:
    with paired(upstreams.APP, tmp_path) as pair:
        [tool] = [json.loads(tool) for tool in pair.passed.listed("tools")]
        uri = tool["_meta"]["ui"]["resourceUri"]
        assert uri == tool["_meta"]["ui/resourceUri"] == "ui://app/get-time/mcp-app.html"
        assert uri in [json.loads(resource)["uri"] for resource in pair.passed.listed("resources")]
        [page] = pair.passed.ask("resources/read", {"uri": uri}).value["contents"]
        assert page["uri"] == uri and page["mimeType"] == "text/html;profile=mcp-app"
        assert "<html" in page["text"]
