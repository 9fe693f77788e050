"""The gateway looks after its MCP servers: it waits for slow ones, tries dead ones again, and says how they are."""

import json
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

import harness
from connectors import beside_a_calm_one, call, connector, echo, failure, marked, program, seen, tools, wrapped
from harness import BINARY, PATIENCE, Manifests, Server, until
from planted import plant
from session import over_http
from test_faults import in_the_background
from wire import Json, Wire, text

SECRET = plant("tell-nobody-5f0c2a")


def status(server: Server) -> dict[str, Json]:
    """What a running server says of its connectors."""
    connectors = Wire(server.base).send("GET", "/status").json()["connectors"]
    return {connector["id"]: connector for connector in connectors}


def status_on_the_command_line(server: Server, *arguments: str) -> subprocess.CompletedProcess:
    command = [BINARY, "status", "--port", server.base.rpartition(":")[2], *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)


def until_down(server: Server) -> Json:
    """How the connector is once it is down."""
    states: list[Json] = []

    def down() -> bool:
        states.append(status(server)["shaky"])
        return states[-1]["state"] == "down"

    until(down, "the connector to be down")
    return states[-1]


# Slow to start


def test_a_slow_start_delays_no_list_and_a_call_waits_for_it(tmp_path: Path) -> None:
    with beside_a_calm_one(tmp_path, program("--delay-start", "15000"), up=False) as server:
        waiting = in_the_background(lambda: call(server, "shaky_echo", {"message": "at last"}))
        assert status(server)["shaky"]["state"] == "starting"
        assert "calm_echo" in tools(server)
        # Had the list waited, the call would have ended with it.
        assert not waiting.done()
        assert text(waiting.result(PATIENCE)) == "at last"
        assert status(server)["shaky"]["state"] == "up"
        assert "shaky_echo" in tools(server)


def test_clients_are_told_when_a_slow_one_has_its_tools(tmp_path: Path) -> None:
    connector(tmp_path / "manifests", "calm", program())
    manifests = connector(tmp_path / "manifests", "shaky", program("--delay-start", "10000"))
    with harness.serve(manifests) as server, over_http(server.url, capabilities={}) as session:
        before = len(session.notifications("tools/list_changed"))
        until(lambda: "shaky_echo" in tools(server), "the slow one's tools")
        until(lambda: len(session.notifications("tools/list_changed")) > before, "the news of them")


def test_one_that_is_too_slow_is_given_up_and_tried_again(tmp_path: Path, mark: str) -> None:
    adapter = program("--delay-start", "600000", env={"MARK": mark}, startTimeoutMs=500)
    with beside_a_calm_one(tmp_path, adapter, up=False) as server:
        assert until_down(server)["reason"]
        until(lambda: len(marked(mark)) <= 1, "no more than one attempt at once")
    until(lambda: not marked(mark), "the end of them all")


# Dead at the start


def test_the_status_says_why_a_program_does_not_start_and_keeps_its_secrets(tmp_path: Path) -> None:
    with beside_a_calm_one(
        tmp_path,
        program("--die-at-start"),
        up=False,
        env={"SHAKY_SECRET": SECRET},
        credentials={"env": {"FIXTURE_SECRET": "${SHAKY_SECRET}"}},
    ) as server:
        down = until_down(server)
        assert "refuses to start" in down["reason"]
        assert down["since"]
        everything = [json.dumps(status(server)), failure(server, "shaky_echo", {"message": "?"}), *server.log]
        assert SECRET not in "\n".join(everything)
        assert status(server)["calm"]["state"] == "up"


def test_the_command_line_shows_the_status_to_people_and_to_scripts(tmp_path: Path) -> None:
    with beside_a_calm_one(tmp_path, program("--die-at-start"), up=False) as server:
        until_down(server)
        shown = status_on_the_command_line(server)
        [line] = [line for line in shown.stdout.splitlines() if line.split()[:1] == ["shaky"]]
        assert "down" in line
        assert "refuses to start" in shown.stdout
        scripted = status_on_the_command_line(server, "--format", "json")
        states = {each["id"]: each["state"] for each in json.loads(scripted.stdout)["connectors"]}
        assert states == {"calm": "up", "shaky": "down"}
        assert shown.returncode == scripted.returncode == 1


def test_the_status_is_for_this_machine_only(tmp_path: Path) -> None:
    with harness.serve(connector(tmp_path / "manifests", "calm", program())) as server:
        for header in ({"Host": "gateway.example"}, {"Origin": "https://evil.example"}):
            response = Wire(server.base).send("GET", "/status", headers=header)
            assert response.status_code == 403 and "calm" not in response.text


def test_the_status_of_a_server_that_is_not_there_is_a_clear_error() -> None:
    done = subprocess.run([BINARY, "status", "--port", "9"], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode != 0
    assert "127.0.0.1:9" in done.stderr or "port 9" in done.stderr


# Down, and up again


def test_a_connector_that_is_down_keeps_its_tools_fails_at_once_and_comes_back(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    adapter = wrapped("--unless", str(closed))
    with beside_a_calm_one(tmp_path, adapter, timeouts={"requestMs": 3_600_000}) as server:
        echo(server, "shaky")
        known = tools(server)
        closed.touch()
        psutil.Process(seen(server, "shaky")["pid"]).kill()
        down = until_down(server)
        assert "no network" in down["reason"]
        until(lambda: (status(server)["shaky"]["retryInMs"] or -1) >= 0, "the time of the next try")
        message = failure(server, "shaky_echo", {"message": "?"})
        assert "shaky" in message and "again" in message
        assert tools(server) == known
        closed.unlink()
        until(lambda: status(server)["shaky"]["state"] == "up", "the connector to be up again")
        echo(server, "shaky")


def test_while_one_that_was_down_is_tried_again_its_calls_fail_at_once_too(tmp_path: Path) -> None:
    closed, stalled = tmp_path / "closed", tmp_path / "stalled"
    adapter = wrapped("--unless", str(closed), "--stalled-by", str(stalled), startTimeoutMs=3_600_000)
    with beside_a_calm_one(tmp_path, adapter, timeouts={"requestMs": 3_600_000}) as server:
        known = tools(server)
        closed.touch()
        psutil.Process(seen(server, "shaky")["pid"]).kill()
        until_down(server)
        # From now on an attempt neither works nor fails.
        stalled.touch()
        closed.unlink()
        until(stalled.with_suffix(".reached").exists, "an attempt that stalls")
        assert "shaky" in failure(server, "shaky_echo", {"message": "?"})
        assert tools(server) == known


def test_a_call_of_one_that_never_came_up_says_so(tmp_path: Path) -> None:
    with beside_a_calm_one(tmp_path, program("--die-at-start"), up=False) as server:
        until_down(server)
        assert "down" in failure(server, "shaky_echo", {"message": "?"})


# Families of processes


@pytest.mark.parametrize("how", [[], ["--detached"]], ids=["child", "detached"])
def test_a_wrapper_and_its_child_die_together_with_the_gateway(tmp_path: Path, mark: str, how: list[str]) -> None:
    manifests = connector(tmp_path / "manifests", "shaky", wrapped(*how, env={"MARK": mark}))
    with harness.serve(manifests) as server:
        echo(server, "shaky")
        assert len(marked(mark)) == 2
        server.process.terminate()
        assert server.process.wait(PATIENCE) == 0
        until(lambda: not marked(mark), "the end of both")


def test_a_child_dies_with_its_wrapper(tmp_path: Path, mark: str) -> None:
    with beside_a_calm_one(tmp_path, wrapped(env={"MARK": mark})) as server:
        child = psutil.Process(seen(server, "shaky")["pid"])
        wrapper = child.parent()
        wrapper.kill()
        until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, "the child's end")
        echo(server, "shaky")
        until(lambda: len(marked(mark)) == 2, "one wrapper and one child")


def test_programs_die_even_with_a_gateway_that_is_killed(tmp_path: Path, mark: str) -> None:
    with harness.serve(connector(tmp_path / "manifests", "shaky", program(env={"MARK": mark}))) as server:
        echo(server, "shaky")
        server.process.kill()
        until(lambda: not marked(mark), "the program's end")


def test_a_program_gets_no_more_of_our_environment_than_its_manifest_grants(tmp_path: Path) -> None:
    adapter = program(env={"FIXTURE_A": "b", "FIXTURE_B": "$${A}"}, inheritEnv=["GRANTED"], cwd="..")
    manifests = connector(tmp_path / "manifests", "shaky", adapter, credentials={"env": {"KEY": "${SHAKY_SECRET}"}})
    with harness.serve(manifests, env={"GRANTED": "yes", "WITHHELD": "no", "SHAKY_SECRET": SECRET}) as server:
        until(lambda: "shaky_whoami" in tools(server), "the tools")
        itself = seen(server, "shaky")
        assert set(itself["environment"]) == {"PATH", "FIXTURE_A", "FIXTURE_B", "GRANTED", "KEY"}
        assert itself["environment"]["FIXTURE_A"] == "b"
        assert itself["environment"]["FIXTURE_B"] == "${A}"
        assert Path(itself["folder"]) == tmp_path


def test_a_manifest_that_is_taken_away_takes_its_program_along(tmp_path: Path, mark: str) -> None:
    with beside_a_calm_one(tmp_path, program(env={"MARK": mark})) as server:
        echo(server, "shaky")
        (tmp_path / "manifests/shaky.json").unlink()
        until(lambda: "shaky_echo" not in tools(server), "the tools to go")
        until(lambda: not marked(mark), "the program to go")


def test_an_edit_of_one_connector_does_not_restart_another(tmp_path: Path) -> None:
    with beside_a_calm_one(tmp_path, program()) as server:
        before = seen(server, "calm")["pid"]
        connector(tmp_path / "manifests", "shaky", program(env={"FIXTURE_NEW": "value"}))

        def is_edited() -> bool:
            # A call that is under way when its server is exchanged fails.
            told = call(server, "shaky_whoami").get("structuredContent", {})
            return told.get("environment", {}).get("FIXTURE_NEW") == "value"

        until(is_edited, "the edited connector")
        assert seen(server, "calm")["pid"] == before


# Two with the same tools


def owner(server: Server, tool: str) -> Any:
    return call(server, tool)["structuredContent"]["environment"]["FIXTURE_OWNER"]


def test_two_connectors_with_the_same_tools_are_told_apart_by_their_prefix(tmp_path: Path) -> None:
    for id in ("one", "two"):
        manifests = connector(tmp_path / "manifests", id, program(env={"FIXTURE_OWNER": id}))
    with harness.serve(manifests) as server:
        until(lambda: {"one_whoami", "two_whoami"} <= tools(server), "the tools of both")
        assert [owner(server, "one_whoami"), owner(server, "two_whoami")] == ["one", "two"]


def test_without_prefixes_the_first_by_id_has_the_names_and_the_other_is_reported(tmp_path: Path) -> None:
    manifests: Manifests
    for id in ("zwei", "eins"):
        manifests = connector(tmp_path / "manifests", id, program(env={"FIXTURE_OWNER": id}), prefix=False)
    with harness.serve(manifests) as server:
        until(lambda: {state["state"] for state in status(server).values()} == {"up"}, "both to be up")
        until(lambda: "whoami" in tools(server), "the tools")
        assert owner(server, "whoami") == "eins"
        server.says("zwei", "whoami")
