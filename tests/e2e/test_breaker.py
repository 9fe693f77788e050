"""An upstream that fails every call is left alone for a while, and its callers are told so at once."""

import json
import threading
from pathlib import Path

from connectors import call
from harness import Manifests, Server, serve, until
from loopback import Handler, Loopback, listening
from wire import Json, Wire, text


class Api(Loopback):
    """Fails while it is told to, and counts what it was asked."""

    def __init__(self) -> None:
        super().__init__(ApiHandler)
        self.fails = True
        self.asked = 0
        self.lock = threading.Lock()


class ApiHandler(Handler):
    server: Api

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.asked += self.path == "/do"
        self.answer(503 if self.server.fails else 200, {"ok": not self.server.fails})


def state(server: Server) -> str:
    connectors = Wire(server.base).send("GET", "/status").json()["connectors"]
    return next(connector["breaker"] for connector in connectors if connector["id"] == "c")


def test_calls_of_an_upstream_that_fails_are_refused_at_once_until_one_works(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {}}
    request = {"method": "GET", "path": "/do"}
    tool: Json = {"name": "do", "description": "Does it.", "inputSchema": schema, "request": request}
    with listening(Api()) as api:
        adapter = {"kind": "http", "baseUrl": api.url, "allowPrivate": True}
        manifest = {"id": "c", "name": "C", "version": "1", "adapter": adapter}
        manifest |= {"tools": [tool], "retries": {"attempts": 1}}
        folder = tmp_path / "manifests"
        folder.mkdir()
        (folder / "c.json").write_text(json.dumps(manifest))
        with serve(Manifests(folder, "")) as server:
            for _ in range(20):
                assert call(server, "c_do")["isError"]
            assert (state(server), api.asked) == ("open", 20)
            refused = call(server, "c_do")
            assert refused["isError"] and "failed 20 of its last 20 calls; it is tried again in" in text(refused)
            assert api.asked == 20
            # What its manifest says besides changes nothing about that.
            (folder / "c.json").write_text(json.dumps(manifest | {"description": "Another one."}))
            api.fails = False
            until(lambda: not call(server, "c_do").get("isError"), "a call that works again")
            assert (state(server), api.asked) == ("closed", 21)
