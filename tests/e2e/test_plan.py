"""What an edit of manifests, or of an upstream, would change for clients: told before a server loads it."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import BINARY, PATIENCE, Manifests, Server, serve, until
from pinning import Upstream, tool
from planted import plant
from wire import Wire, result

KEY = plant("a-key-for-plans-0123456789")


def http(id: str, *tools: dict[str, Any], **more: Any) -> dict[str, Any]:
    adapter = {"kind": "http", "baseUrl": "http://127.0.0.1:9", "allowPrivate": True}
    return {"id": id, "name": id, "version": "1", "adapter": adapter, "tools": list(tools), **more}


def get(name: str, *arguments: str, **more: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": {it: {"type": "string"} for it in arguments}, "required": list(arguments)}
    query = {it: f"{{{it}}}" for it in arguments}
    request = {"method": "GET", "path": f"/{name}", "query": query}
    return {"name": name, "description": f"Gets the {name} of it.", "inputSchema": schema, "request": request, **more}


BEFORE = http("api", get("list"), get("item", "id"), get("old", "q"))


class Folder:
    """Manifests, and the data folder of their server."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data = folder / "manifests", folder / "data"
        self.folder.mkdir(parents=True)

    def write(self, manifest: dict[str, Any], to: Path | None = None) -> None:
        (to or self.folder).mkdir(exist_ok=True)
        ((to or self.folder) / f"{manifest['id']}.json").write_text(json.dumps(manifest))

    def plan(self, *arguments: str, manifests: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        where = ["--manifests", str(manifests or self.folder), "--data-dir", str(self.data)]
        return subprocess.run(
            [BINARY, "plan", *arguments, *where],
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def planned(self, *arguments: str, manifests: Path | None = None) -> tuple[int, dict[str, Any]]:
        done = self.plan("--format", "json", *arguments, manifests=manifests)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)


@pytest.fixture
def edited(tmp_path: Path) -> Folder:
    """A folder in use, and `next` beside it with an edit."""
    folder = Folder(tmp_path)
    folder.write(BEFORE)
    after = http(
        "api",
        get("list", "page"),
        get("item", "id", description="Gets one item."),
        get("new"),
        get("older", "q", description="Gets the old of it."),
        scopes=["things:read"],
        auth={"type": "oauth2"},
    )
    folder.write(after, tmp_path / "next")
    return folder


def fates(plan: dict[str, Any]) -> dict[str, str]:
    return {change["tool"]: change["change"] for change in plan["changes"]}


def breaks(code: int, plan: dict[str, Any]) -> None:
    assert code == 1 and plan["class"] == "breaking"
    assert fates(plan) == {
        "api_list": "changed",
        "api_item": "changed",
        "api_new": "added",
        "api_older": "renamed",
    }
    by_name = {change["tool"]: change for change in plan["changes"]}
    assert by_name["api_older"]["was"] == "api_old"
    assert by_name["api_list"]["class"] == "breaking"
    assert any("`page` is new and has to be given" in it["reason"] for it in by_name["api_list"]["differences"])
    # Who held what was asked for may hold too little now.
    assert by_name["api_item"]["class"] == "breaking"


def test_a_plan_from_another_folder(edited: Folder, tmp_path: Path) -> None:
    code, plan = edited.planned("--from", str(edited.folder), manifests=tmp_path / "next")
    breaks(code, plan)
    assert plan["scopes"]["added"] == ["things:read"]
    assert (plan["tools"]["before"], plan["tools"]["after"]) == (3, 4)
    assert set(plan["profiles"]) == {"chatgpt", "claude", "claude-code", "codex", "copilot", "cursor"}
    assert any("refresh it in its settings" in warning for warning in plan["profiles"]["chatgpt"]["warnings"])


def test_a_plan_is_shown_for_people(edited: Folder, tmp_path: Path) -> None:
    done = edited.plan("--from", str(edited.folder), "--profile", "cursor", manifests=tmp_path / "next")
    for part in [
        "~ api_old is renamed api_older (breaking)",
        "~ api_list changes (breaking)",
        "+ api_new is added (harmless)",
        "breaking /inputSchema/properties/page: the argument `page` is new and has to be given",
        "tools: 3 → 4 (+1)",
        "scopes: +things:read",
        "verdict: breaking",
    ]:
        assert part in done.stdout, done.stdout
    assert "chatgpt" not in done.stdout


def test_an_edit_that_changes_nothing_for_clients_is_harmless(edited: Folder, tmp_path: Path) -> None:
    edited.write({**BEFORE, "version": "2", "category": "things"}, tmp_path / "same")
    done = edited.plan("--from", str(edited.folder), manifests=tmp_path / "same")
    assert done.returncode == 0 and "nothing changes for clients" in done.stdout
    edited.write(http("api", get("list"), get("item", "id"), get("old", "q"), get("more")), tmp_path / "more")
    code, plan = edited.planned("--from", str(edited.folder), manifests=tmp_path / "more")
    assert (code, plan["class"], fates(plan)) == (0, "harmless", {"api_more": "added"})


def test_who_runs_it_says_what_fails(edited: Folder, tmp_path: Path) -> None:
    risky = http("api", get("list", description="Lists other things."), get("item", "id"), get("old", "q"))
    edited.write(risky, tmp_path / "risky")
    for folder, codes in {"risky": (0, 1, 0), "next": (1, 1, 0)}.items():
        for fail_on, code in zip(("breaking", "risky", "none"), codes, strict=True):
            done = edited.plan("--from", str(edited.folder), "--fail-on", fail_on, manifests=tmp_path / folder)
            assert done.returncode == code, (folder, fail_on, done.stdout)


@pytest.fixture
def running(edited: Folder) -> Iterator[Server]:
    manifests = Manifests(edited.folder, "http://127.0.0.1:9")
    variables = {"SWITCHBOARD_DATA_DIR": str(edited.data), "CONNECTORS_API_KEY": KEY}
    with serve(manifests, env=variables) as server:
        yield server


def test_a_plan_beside_what_a_server_loaded(edited: Folder, running: Server, tmp_path: Path) -> None:
    until(lambda: edited.plan(manifests=edited.folder).returncode == 0, f"it is kept: {running.log}")
    code, plan = edited.planned(manifests=tmp_path / "next")
    breaks(code, plan)
    # What it loads next is what the next plan starts from.
    shutil.copy(tmp_path / "next/api.json", edited.folder / "api.json")
    until(lambda: edited.planned(manifests=tmp_path / "next")[1]["changes"] == [], "the server loaded the edit")


def test_a_plan_beside_a_server_that_is_asked(edited: Folder, running: Server, tmp_path: Path) -> None:
    refused = edited.plan("--server", running.url, manifests=tmp_path / "next")
    assert refused.returncode == 2 and "SWITCHBOARD_KEY" in refused.stderr
    done = edited.plan("--server", running.url, "--format", "json", manifests=tmp_path / "next", SWITCHBOARD_KEY=KEY)
    assert KEY not in done.stderr
    breaks(done.returncode, json.loads(done.stdout))
    nowhere = edited.plan("--server", "http://127.0.0.1:9/mcp", manifests=tmp_path / "next")
    assert nowhere.returncode == 2 and "does not list its tools" in nowhere.stderr


def test_two_servers_with_one_data_folder_are_planned_apart(edited: Folder, running: Server, tmp_path: Path) -> None:
    until(lambda: edited.plan().returncode == 0, f"it is kept: {running.log}")
    other = tmp_path / "other"
    edited.write(http("b", get("else")), other)
    with serve(Manifests(other, "http://127.0.0.1:9"), env={"SWITCHBOARD_DATA_DIR": str(edited.data)}):
        until(lambda: edited.plan(manifests=other).returncode == 0, "the other is kept, too")
        code, plan = edited.planned()
    assert (code, plan["changes"]) == (0, [])


def test_what_could_not_be_looked_at_is_not_called_harmless(edited: Folder, tmp_path: Path) -> None:
    secret = {"credentials": {"bearer": "${PLAN_TEST_TOKEN}"}}
    before, after = tmp_path / "a", tmp_path / "b"
    edited.write(http("api", get("list"), **secret), before)
    edited.write(http("api", get("lists"), **secret), after)
    done = edited.plan("--from", str(before), manifests=after)
    assert done.returncode == 2 and "verdict: unknown" in done.stdout, done.stdout
    assert "not looked at: api (" in done.stdout and "PLAN_TEST_TOKEN" in done.stdout
    assert edited.plan("--from", str(before), manifests=after, PLAN_TEST_TOKEN="x").returncode == 1
    assert edited.plan("--from", str(before), manifests=before).returncode == 0


def test_without_anything_to_start_from_it_says_what_to_give(edited: Folder) -> None:
    done = edited.plan()
    assert done.returncode == 2 and "give --from or --server" in done.stderr
    done = edited.plan("--from", str(edited.folder), "--profile", "curser")
    assert done.returncode == 2 and "did you mean `cursor`?" in done.stderr


def test_an_upstreams_change_is_planned_too(tmp_path: Path) -> None:
    upstream = Upstream(tmp_path)
    variables = {"SWITCHBOARD_DATA_DIR": str(tmp_path / "data")}

    def planned() -> subprocess.CompletedProcess:
        plan = [BINARY, "plan", "--format", "json", "--manifests", str(upstream.manifests.folder)]
        return subprocess.run(plan, env={**os.environ, **variables}, capture_output=True, text=True, timeout=PATIENCE)

    with serve(upstream.manifests, env=variables) as server:
        names = lambda: {it["name"] for it in result(Wire(server.base).modern("tools/list"))["tools"]}  # noqa: E731
        until(lambda: "shop_echo" in names() and upstream.locked(), f"its tools: {server.log}")
        until(lambda: planned().returncode == 0, f"it is kept: {server.log}")
    upstream.say([tool("echo", "Says it again."), tool("count", "Counts the letters.")])
    done = planned()
    changes = json.loads(done.stdout)["changes"]
    assert [(it["tool"], it["class"]) for it in changes] == [("shop_count", "risky")]
    assert done.returncode == 0
