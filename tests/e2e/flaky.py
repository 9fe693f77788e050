"""An HTTP API that fails as it is told to, and counts what it was asked and what it did.

A request says what becomes of it and of those after it with the same `id`: `plan=503@1,lost,ok` answers the first with
503 and `Retry-After: 1`, does what the second asks and loses the answer, and does what the third asks. A key in the
header `Idempotency-Key` makes it do a thing once and repeat its answer.
"""

import json
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from urllib.parse import parse_qs, urlsplit

from loopback import Handler, Loopback, listening


class Flaky(Loopback):
    """The API; what happened, by the id of the call."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(FlakyHandler, port)
        self.lock = threading.Lock()
        self.arrived: dict[str, list[float]] = defaultdict(list)
        self.done: dict[str, int] = defaultdict(int)
        self.keys: dict[str, list[str | None]] = defaultdict(list)
        self.known: set[str] = set()

    def handle_error(self, *_: object) -> None:
        """A client that went away is no news."""


class FlakyHandler(Handler):
    server: Flaky
    protocol_version = "HTTP/1.1"

    def handle_request(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        call, steps = query.get("id", "?"), query.get("plan", "ok").split(",")
        with self.server.lock:
            self.server.arrived[call].append(time.monotonic())
            self.server.keys[call].append(self.headers.get("Idempotency-Key"))
            step = steps[min(len(self.server.arrived[call]), len(steps)) - 1]
        what, _, after = step.partition("@")
        match what:
            case "kill":
                self.hang_up()
            case "lost":
                self.do(call)
                self.hang_up()
            case "half":
                self.do(call)
                self.head(200, 1000)
                self.wfile.write(b'{"half": ')
                self.wfile.flush()
                self.hang_up()
            case "303":
                self.do(call)
                self.send_response(303)
                self.send_header("Location", f"/then?id={call}-then&plan={after.replace('+', ',')}")
                self.send_header("Content-Length", "0")
                self.end_headers()
            case "ok":
                self.do(call)
                self.reply(200, {"call": call})
            case "late":
                time.sleep(3)
                self.reply(200, {"call": call})
            case "events":
                self.close_connection = True
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.write(b"c\r\ndata: one\n\n\r\n" if after == "broken" else b"")
                self.wfile.flush()
                time.sleep(0 if after == "broken" else 4)
            case "cut":
                self.head(int(after), 1000)
                self.hang_up()
            case "done":
                self.do(call)
                self.reply(int(after), {"message": "did it, and then fell over"})
            case status:
                self.reply(int(status), {"message": f"not now: {call}"}, after)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_request

    def do(self, call: str) -> None:
        with self.server.lock:
            key = self.headers.get("Idempotency-Key")
            if key is None or key not in self.server.known:
                self.server.done[call] += 1
            if key is not None:
                self.server.known.add(key)

    def hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def head(self, status: int, length: int, after: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(length))
        if after.startswith("date+"):
            # Dates have no fractions of a second.
            after = formatdate(int(time.time()) + 1 + int(after.removeprefix("date+")), usegmt=True)
        if after:
            self.send_header("Retry-After", after)
        self.end_headers()

    def reply(self, status: int, value: object, after: str = "") -> None:
        body = json.dumps(value).encode()
        self.head(status, len(body), after)
        self.wfile.write(body)


@contextmanager
def flaky(port: int = 0) -> Iterator[Flaky]:
    with listening(Flaky(port)) as api:
        yield api
