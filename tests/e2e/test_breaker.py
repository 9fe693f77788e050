"""An upstream that fails every call is left alone for a while, and its callers are told so at once."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from connectors import call
from harness import Manifests, Server, serve, until
from loopback import Handler, Loopback, listening
from wire import Json, Wire, text


class Api(Loopback):
    """Fails while it is told to, and counts what it was asked."""

    def __init__(self) -> None:
        super().__init__(ApiHandler)
        self.fails = True
        self.status = 503
        self.takes = 0.0
        self.asked = 0
        self.lock = threading.Lock()


class ApiHandler(Handler):
    server: Api

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.asked += self.path == "/do"
        if not self.server.fails:
            time.sleep(self.server.takes)
        with suppress(BrokenPipeError):
            self.answer(self.server.status if self.server.fails else 200, {"ok": not self.server.fails})


def state(server: Server) -> str:
    connectors = Wire(server.base).send("GET", "/status").json()["connectors"]
    return next(connector["breaker"] for connector in connectors if connector["id"] == "c")


def manifest_of(api: Api, folder: Path, **more: Any) -> Json:
    schema = {"type": "object", "properties": {}}
    request = {"method": "GET", "path": "/do"}
    tool: Json = {"name": "do", "description": "Does it.", "inputSchema": schema, "request": request}
    adapter = {"kind": "http", "baseUrl": api.url, "allowPrivate": True}
    manifest = {"id": "c", "name": "C", "version": "1", "adapter": adapter, "tools": [tool], "retries": {"attempts": 1}} | more
    folder.mkdir()
    (folder / "c.json").write_text(json.dumps(manifest))
    return manifest


@pytest.mark.parametrize("status", [500, 503])
def test_calls_of_an_upstream_that_fails_are_refused_at_once_until_one_works(tmp_path: Path, status: int) -> None:
    folder = tmp_path / "manifests"
    with listening(Api()) as api:
        api.status = status
        manifest = manifest_of(api, folder)
        with serve(Manifests(folder, "")) as server:
            for _ in range(20):
                assert call(server, "c_do")["isError"]
            assert api.asked == 20

            def refused() -> bool:
                """Calls. One may be let through to see: after a while, and at once where a check was answered."""
                asked, answer = api.asked, call(server, "c_do")
                assert answer["isError"]
                said = "failed 20 of its last 20 calls; it is tried again in" in text(answer)
                return said and api.asked == asked and state(server) == "open"

            until(refused, "a call that is refused at once")
            asked = api.asked
            # What its manifest says besides changes nothing about that.
            (folder / "c.json").write_text(json.dumps(manifest | {"description": "Another one."}))
            api.fails = False
            until(lambda: not call(server, "c_do").get("isError"), "a call that works again")
            assert (state(server), api.asked) == ("closed", asked + 1)


def test_whoever_waited_too_long_for_a_turn_says_nothing_of_the_upstream(tmp_path: Path) -> None:
    folder = tmp_path / "manifests"
    with listening(Api()) as api:
        api.fails, api.takes = False, 0.75
        manifest_of(api, folder, quotas={"concurrent": 1}, timeouts={"requestMs": 1000})
        with serve(Manifests(folder, "")) as server, ThreadPoolExecutor(40) as callers:
            # Each gets its turn when most of its time is over.
            answers = list(callers.map(lambda at: (time.sleep(at / 5), call(server, "c_do"))[1], range(40)))
            late = [text(answer) for answer in answers if answer.get("isError")]
            assert len(late) > 20 and not any("failed" in words for words in late)
            assert state(server) == "closed"
