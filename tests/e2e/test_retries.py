"""Calls that fail and are made again: before an API that counts what it did, so that nothing is done twice."""

import json
import random
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path

import pytest

from connectors import call
from flaky import Flaky, flaky
from harness import BINARY, Manifests, Server, serve, until
from wire import Json, text

NUMBERS = count()

READS = {"annotations": {"readOnly": True}}
KEYED = {"retry": {"idempotencyKey": "Idempotency-Key"}}
# The tools of the connector: the method, and what its manifest says beyond that.
TOOLS: dict[str, tuple[str, Json]] = {
    "get": ("GET", {}),
    "put": ("PUT", {}),
    "delete": ("DELETE", {}),
    "post": ("POST", {}),
    "patch": ("PATCH", {}),
    "get_that_writes": ("GET", {"annotations": {"readOnly": False}}),
    "put_that_adds": ("PUT", {"annotations": {"idempotent": False}}),
    "post_that_reads": ("POST", READS),
    "post_with_key": ("POST", KEYED),
    "post_undone": ("POST", {"retry": {"refusedIsUndone": True}}),
    "get_once": ("GET", {"retry": {"attempts": 1}}),
    "get_five_times": ("GET", {"retry": {"attempts": 5}}),
    # Of a tool whose API asks for time, other calls wait too.
    "get_shortly": ("GET", {"timeoutMs": 8000}),
    "get_by_date": ("GET", {"timeoutMs": 8000}),
    "get_in_time": ("GET", {"timeoutMs": 14000}),
    "get_later": ("GET", {}),
    "post_shortly": ("POST", {"timeoutMs": 1000}),
}
HARMLESS = ["get", "put", "delete", "post_that_reads", "post_with_key"]
HARMFUL = ["post", "patch", "get_that_writes", "put_that_adds", "post_undone"]


def manifest(id: str, url: str, **more: object) -> Json:
    def tool(name: str) -> Json:
        method, said = TOOLS[name]
        properties = {"id": {"type": "string"}, "plan": {"type": "string"}}
        request = {"method": method, "path": "/do", "query": {"id": "{id}", "plan": "{plan}"}}
        schema = {"type": "object", "properties": properties}
        return {"name": name, "description": "Does it.", "inputSchema": schema, "request": request, **said}

    adapter = {"kind": "http", "baseUrl": url, "allowPrivate": True}
    return {"id": id, "name": id, "version": "1", "adapter": adapter, "tools": [tool(name) for name in TOOLS]} | more


@contextmanager
def serving(folder: Path, *connectors: Json) -> Iterator[Server]:
    folder.mkdir()
    (folder / "connectors.json").write_text(json.dumps(connectors))
    with serve(Manifests(folder, ""), env={"LOG_LEVEL": "debug"}) as server:
        yield server


@pytest.fixture(scope="module")
def api() -> Iterator[Flaky]:
    with flaky() as api:
        yield api


@pytest.fixture(scope="module")
def server(api: Flaky, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("retries") / "manifests"
    with serving(folder, manifest("api", api.url)) as server:
        yield server


class Called:
    """What became of a call: its result, and what the API saw and did."""

    def __init__(self, server: Server, api: Flaky, tool: str, plan: str) -> None:
        id = f"call-{next(NUMBERS)}"
        result = call(server, f"api_{tool}", {"id": id, "plan": plan})
        self.failed = result.get("isError", False)
        self.text = text(result)
        self.arrived = api.arrived[id]
        self.done = api.done[id]
        self.keys = api.keys[id]

    @property
    def tries(self) -> int:
        return len(self.arrived)


@pytest.fixture
def made(server: Server, api: Flaky):
    return lambda tool, plan: Called(server, api, tool, plan)


FAULTS = ["kill", "lost", "half", "503", "429", "408", "502", "504", "425", "done@502", "done@504"]


def each(made, tools: list[str], faults: list[str]) -> Iterator[tuple[str, str, Called]]:
    """All of these tools before all of these faults, each of which is over with the second try."""
    pairs = [(tool, fault) for tool in tools for fault in faults]
    with ThreadPoolExecutor(16) as pool:
        ended = list(pool.map(lambda pair: made(pair[0], f"{pair[1]},ok"), pairs))
    return ((tool, fault, called) for (tool, fault), called in zip(pairs, ended, strict=True))


def test_what_does_no_harm_twice_is_tried_again(made) -> None:
    for tool, fault, called in each(made, HARMLESS, [*FAULTS, "503@0", "429@0"]):
        assert not called.failed, (tool, fault, called.text)
        assert called.tries == 2, (tool, fault)


def test_what_may_have_been_done_is_not_done_again(made) -> None:
    for tool, fault, called in each(made, HARMFUL, FAULTS):
        # One tool's API says of its own refusals that it did nothing.
        if (tool, fault) != ("post_undone", "429"):
            assert called.failed and called.tries == 1 and called.done <= 1, (tool, fault, called.text)


@pytest.mark.parametrize(("fault", "again"), [("503@0", True), ("429@0", True), ("429", True), ("503", False), ("504@0", False), ("done@503", False)])
def test_an_api_that_says_it_did_nothing_is_asked_again(made, fault: str, again: bool) -> None:
    called = made("post_undone", f"{fault},ok")
    assert called.failed is not again, called.text
    assert (called.tries, called.done) == ((2, 1) if again else (1, int(fault.startswith("done"))))


@pytest.mark.parametrize("fault", ["503@0", "429@0"])
def test_without_that_word_a_post_that_was_refused_is_not_made_again(made, fault: str) -> None:
    called = made("post", f"{fault},ok")
    assert called.failed and called.tries == 1


def test_an_answer_that_will_stay_is_taken_at_once(made) -> None:
    for _, fault, called in each(made, ["get"], ["400", "401", "403", "404", "409", "422", "500", "501"]):
        assert called.failed and called.tries == 1, fault
        assert "tried" not in called.text, fault


def test_every_try_of_a_call_has_the_same_key_and_every_call_its_own(made) -> None:
    first, second = (made("post_with_key", "lost,done@503,ok") for _ in range(2))
    assert first.tries == second.tries == 3
    assert first.done == second.done == 1
    assert len(set(first.keys)) == len(set(second.keys)) == 1
    assert first.keys[0] and first.keys[0] != second.keys[0]


def test_a_key_that_is_in_use_says_that_the_first_try_is_under_way(made) -> None:
    called = made("post_with_key", "lost,409,ok")
    assert not called.failed and called.tries == 3 and called.done == 1
    # Without a try that may be under way, it is the API's own no.
    for plan, tries in [("409,ok", 1), ("429,409,ok", 2)]:
        called = made("post_with_key", plan)
        assert called.failed and called.tries == tries and "under way" not in called.text, called.text


def test_calls_without_need_of_a_key_have_none(made) -> None:
    assert made("post", "ok").keys == made("get", "ok").keys == [None]


@pytest.mark.parametrize(("tool", "tries"), [("get", 3), ("get_once", 1), ("get_five_times", 5)])
def test_tries_end(made, tool: str, tries: int) -> None:
    called = made(tool, "503")
    assert called.failed and called.tries == tries
    assert "503" in called.text and "not now" in called.text
    assert (f"tried {tries} times" in called.text) is (tries > 1)


def test_a_connector_says_for_all_its_tools_how_often_they_are_tried(api: Flaky, tmp_path: Path) -> None:
    connector = manifest("api", api.url, retries={"attempts": 2, "idempotencyKey": "Idempotency-Key"})
    with serving(tmp_path / "manifests", connector) as server:
        assert Called(server, api, "get", "503").tries == 2
        assert Called(server, api, "get_five_times", "503").tries == 5
        post = Called(server, api, "post", "lost,ok")
        assert (post.failed, post.tries, post.done) == (False, 2, 1)


def test_an_upstream_that_asks_for_time_gets_it(made) -> None:
    for after in ["1", "date+1"]:
        called = made("get", f"503@{after},ok")
        assert not called.failed, called.text
        first, second = called.arrived
        # What stands in a date is rounded down to its second, by us and by the API.
        assert second - first >= 0.95, after


@pytest.mark.parametrize(("tool", "after"), [("get_shortly", "60"), ("get_by_date", "date+60")])
def test_a_wait_beyond_the_deadline_is_not_begun_and_its_end_is_told(made, tool: str, after: str) -> None:
    called = made(tool, f"429@{after},ok")
    assert called.failed and called.tries == 1
    assert "did not finish" not in called.text
    assert any(f"again after: {seconds} s" in called.text for seconds in (60, 61)), called.text
    # The next one is told without asking.
    called = made(tool, "ok")
    assert called.failed and called.tries == 0 and "asked to be left alone" in called.text


def test_who_is_asked_for_time_gives_it_with_every_call(made, api: Flaky) -> None:
    with ThreadPoolExecutor(2) as pool:
        known = len(api.arrived)
        first = pool.submit(made, "get_later", "503@2,ok")
        until(lambda: len(api.arrived) > known, "the call that is asked for time")
        time.sleep(0.5)
        second = made("get_later", "ok")
        assert second.arrived[0] - first.result().arrived[0] >= 1.95


def test_one_who_waits_keeps_nobody_from_a_turn(api: Flaky, tmp_path: Path) -> None:
    with serving(tmp_path / "manifests", manifest("api", api.url, quotas={"concurrent": 1})) as server, ThreadPoolExecutor(1) as pool:
        known = len(api.arrived)
        waiting = pool.submit(Called, server, api, "get", "429@6,ok")
        until(lambda: len(api.arrived) > known, "the call that has to wait")
        time.sleep(0.5)
        passing = Called(server, api, "put", "ok")
        waited = waiting.result()
        assert not passing.failed and not waited.failed
        first, again = waited.arrived
        assert first < passing.arrived[0] < again


def test_an_api_that_goes_on_failing_is_asked_less(api: Flaky, tmp_path: Path) -> None:
    with serving(tmp_path / "manifests", manifest("api", api.url)) as server, ThreadPoolExecutor(16) as pool:
        # Some work, else the API would be left alone.
        plans = ["503" if number % 4 else "ok" for number in range(80)]
        began = time.monotonic()
        ended = list(pool.map(lambda plan: Called(server, api, "get", plan), plans))
        # 60 calls, 30 tries that are in stock, and one more in each second.
        more = time.monotonic() - began
        assert 85 <= sum(called.tries for called in ended if called.failed) <= 91 + more


def test_the_deadline_covers_all_tries(made) -> None:
    called = made("get_in_time", "503@5")
    assert called.failed and called.tries in (2, 3)
    assert "503" in called.text and "again after: 5 s" in called.text


def test_what_a_redirect_led_to_says_nothing_of_the_call_itself(made) -> None:
    for then in ["kill", "503@0", "429@0", "401"]:
        for tool in ["post", "post_undone"]:
            called = made(tool, f"303@{then},ok")
            assert called.failed and called.tries == 1 and called.done == 1, (tool, then, called.text)
    called = made("post", "303@ok")
    assert not called.failed and called.done == 1


def test_whoever_asked_hears_that_it_may_have_been_done(made) -> None:
    for fault in ["lost", "half", "done@504"]:
        assert "whether it did its work is unknown" in made("post", fault).text, fault
        assert "unknown" not in made("get_once", fault).text, fault
    assert "unknown" not in made("post", "429@0").text
    # What a try before the last may have done is not forgotten.
    for tool, plan in [("delete", "502,404"), ("post_with_key", "502,422")]:
        assert "(tried 2 times; an earlier try may have done its work)" in made(tool, plan).text
    assert "earlier" not in made("get", "502,404").text
    late = made("post_shortly", "late")
    assert "did not finish within 1 s; the call was under way" in late.text
    until(lambda: late.tries == 1, "the call to be seen")


def described(url: str, **mend: object) -> tuple[Json, Json]:
    """A connector of kind `openapi`, and its document with the operations `get` and `post`."""
    operation = {
        "parameters": [{"name": name, "in": "query", "schema": {"type": "string"}} for name in ("id", "plan")],
        "responses": {"200": {"description": "ok"}},
    }
    paths = {"/do": {method: operation | {"operationId": method} for method in ("get", "post")}}
    document = {"openapi": "3.1.0", "info": {"title": "x", "version": "1"}, "servers": [{"url": url}], "paths": paths}
    adapter = {"kind": "openapi", "spec": "apis/x.json", "allowPrivate": True, "operations": mend}
    return {"id": "api", "name": "api", "version": "1", "adapter": adapter, "timeouts": {"requestMs": 3000}}, document


def test_operations_of_a_document_are_tried_as_their_hints_say(api: Flaky, tmp_path: Path) -> None:
    connector, document = described(api.url, get={"annotations": {"readOnly": False}}, post={"cacheSeconds": 5})
    (tmp_path / "manifests/apis").mkdir(parents=True)
    (tmp_path / "manifests/apis/x.json").write_text(json.dumps(document))
    (tmp_path / "manifests/x.json").write_text(json.dumps(connector))
    with serve(Manifests(tmp_path / "manifests", "")) as server:
        assert Called(server, api, "get", "502,ok").tries == 1
        broken = Called(server, api, "post", "events@broken")
        assert broken.failed and "broke off" in broken.text and "is unknown" in broken.text
        silent = Called(server, api, "post", "events")
        assert silent.failed and "none came in time" in silent.text, silent.text
        server.says("its results are not kept")


def test_what_failed_is_told_without_its_body(made) -> None:
    assert not made("get", "cut@503,ok").failed
    assert "503" in made("post", "cut@503").text


def test_what_was_never_sent_is_sent_later(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    connector = manifest("api", f"http://127.0.0.1:{port}", retries={"attempts": 5})
    with serving(tmp_path / "manifests", connector) as server:
        results: list[Json] = []
        asking = threading.Thread(target=lambda: results.append(call(server, "api_post", {"id": "late", "plan": "ok"})))
        asking.start()
        server.says("trying again")
        with flaky(port) as api:
            asking.join()
            assert not results[0].get("isError"), text(results[0])
            assert api.done["late"] == 1 and len(api.arrived["late"]) == 1


def test_a_handshake_that_fails_sent_nothing(tmp_path: Path) -> None:
    """Whoever counts the connections counts the tries: no request gets through before the TLS handshake."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        accepted = []

        def refuse() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                accepted.append(1)
                connection.close()

        threading.Thread(target=refuse, daemon=True).start()
        connector = manifest("api", f"https://127.0.0.1:{listener.getsockname()[1]}")
        with serving(tmp_path / "manifests", connector) as server:
            answer = call(server, "api_post", {"id": "x", "plan": "ok"})
            assert answer["isError"] and "tried 3 times" in text(answer), text(answer)
            assert "unknown" not in text(answer)
            # The check of the connector's health may have come, too.
            assert len(accepted) in (3, 4)


def test_nothing_is_done_twice_whatever_happens(made) -> None:
    """Hundreds of calls at once, each with faults of its own."""
    dice = random.Random(6)
    # Most of what is asked works in the end: one that failed nearly always would be left alone, which is another test.
    faults = ["kill", "lost", "half", "503", "503@0", "429", "429@0", "502", "504", "done@502", "done@504", "500", *["ok"] * 6]
    tools = [name for name, (_, said) in TOOLS.items() if "timeoutMs" not in said]
    calls = [(dice.choice(tools), ",".join(dice.choices(faults, k=3))) for _ in range(500)]
    with ThreadPoolExecutor(16) as pool:
        ended = list(pool.map(lambda it: made(*it), calls))
    for (tool, plan), called in zip(calls, ended, strict=True):
        steps = plan.split(",")
        what = (tool, plan, called.text)
        if tool in HARMFUL or tool == "post_with_key":
            assert called.done <= 1, what
        assert called.tries <= (5 if tool == "get_five_times" else 3), what
        last = steps[min(called.tries, 3) - 1]
        assert called.failed is (last != "ok"), what
        if not called.failed:
            assert called.done >= 1, what


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"retries": {"attempts": 6}}, "/retries/attempts"),
        ({"retries": {"attempts": 0}}, "/retries/attempts"),
        ({"retries": {"idempotencyKey": "Host"}}, "not for a manifest to set"),
        ({"retries": {"idempotencyKey": "no name"}}, "no header name"),
        (described("http://127.0.0.1:9", post={"retry": {"idempotencyKey": "Idempotency Key"}})[0] | {"tools": []}, "post/retry/idempotencyKey"),
        ({"retries": {"attempts": 2}, "adapter": {"kind": "mcp", "program": "x"}, "tools": []}, "`http` and `openapi` only"),
    ],
)
def test_check_says_what_cannot_be(said: Json, words: str, tmp_path: Path) -> None:
    file = tmp_path / "api.json"
    file.write_text(json.dumps(manifest("api", "http://127.0.0.1:9") | said))
    ran = subprocess.run([BINARY, "check", "--manifests", str(file)], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 1 and words in ran.stderr, ran.stderr
