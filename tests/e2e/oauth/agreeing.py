"""People who let connectors act for them: the API that looks at whose token it is shown, and their browsers."""

import base64
import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx2

from clients import node
from harness import HERE, Server, kill_tree
from loopback import Handler, Loopback, listening
from oauth.person import Form, Forms
from wire import Json

# What a call says to whoever has to agree first.
LINK = re.compile(r"http://127\.0\.0\.1:\d+\S*/connect/[a-z0-9-]+\?ticket=[A-Za-z0-9_-]{43}")


def claims(token: str) -> Json:
    """What a token says; nobody checks here who signed it."""
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


class Api(Loopback):
    """Says whose token it was shown, as long as that counts; keeps all it saw."""

    def __init__(self) -> None:
        super().__init__(ApiHandler)
        self.seen: list[str] = []
        self.refused: set[str] = set()

    def tokens_of(self, who: str) -> list[str]:
        return [token for token in self.seen if claims(token)["sub"] == who]


class ApiHandler(Handler):
    server: Api
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token.count(".") != 2:
            return self.answer(401, {"error": "no token"})
        self.server.seen.append(token)
        told = claims(token)
        if token in self.server.refused or told["exp"] <= time.time():
            return self.answer(401, {"error": "this token does not count"})
        self.answer(200, {"who": told["sub"], "for": told["aud"]})


@contextmanager
def api() -> Iterator[Api]:
    with listening(Api()) as server:
        yield server


@contextmanager
def issuer(port: int = 0) -> Iterator[str]:
    """oidc-provider, which many run; anybody is who they say they are. It keeps nothing when it ends."""
    command = [node(), str(HERE / "oauth/provider.mjs"), str(port)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = next(line for line in process.stderr if "listening on" in line)
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield f"http://{line.rsplit(' ', 1)[1].strip()}"
    finally:
        kill_tree(process)


def link_in(answer: Json) -> str:
    """The link in the result of a call that lacks a connection."""
    assert answer["isError"], answer
    said = answer["content"][0]["text"]
    found = LINK.search(said)
    assert found, said
    return found[0]


@dataclass
class Browser:
    """Somebody with a browser, who is called `login` at the issuer. It follows no link by itself."""

    login: str = "ada"
    jar: httpx2.Client = field(default_factory=lambda: httpx2.Client(timeout=60, trust_env=False))
    # Where they were sent back to.
    back: list[str] = field(default_factory=list)

    def get(self, url: str, **headers: str) -> httpx2.Response:
        return self.jar.get(url, headers=headers)

    def follow(self, page: httpx2.Response) -> httpx2.Response:
        while page.status_code in (302, 303):
            page = self.get(urljoin(str(page.request.url), page.headers["location"]))
        return page

    def form(self, page: httpx2.Response) -> Form:
        [form] = [form for form in Forms(page.text).found if form.method == "post"]
        return form

    def press(self, page: httpx2.Response, button: str, **headers: str) -> httpx2.Response:
        """Sends the form of a page of ours."""
        form = self.form(page)
        assert ("decision", button) in form.buttons, (form, Forms(page.text))
        url = urljoin(str(page.request.url), form.action)
        origin = {"Origin": "://".join(urlsplit(url)[:2])}
        return self.jar.post(url, data=form.values | {"decision": button}, headers=origin | headers)

    def leave(self, page: httpx2.Response) -> str:
        """Where a page of ours leads to: the issuer."""
        assert page.status_code == 200, page.text
        found = re.search(r'<meta http-equiv="refresh" content="0; url=([^"]+)"', page.text)
        assert found, page.text
        return found[1].replace("&amp;", "&").replace("&#x2f;", "/")

    def agree(self, url: str) -> str:
        """Goes through the issuer's pages and says yes to everything: the address they are sent back to."""
        page = self.get(url)
        for _ in range(20):
            if page.status_code in (302, 303):
                target = urljoin(str(page.request.url), page.headers["location"])
                if "/connect/callback" in target:
                    self.back.append(target)
                    return target
                page = self.get(target)
                continue
            assert page.status_code == 200, page.text
            form = next(form for form in Forms(page.text).found if form.method == "post")
            typed = {"login": self.login, "password": "anything"}
            values = form.values | {name: typed.get(name, "") for name in form.blanks}
            page = self.jar.post(urljoin(str(page.request.url), form.action), data=values)
        raise AssertionError("too many pages")

    def connect(self, link: str) -> httpx2.Response:
        """From a link to the page that says that it worked."""
        page = self.follow(self.get(link))
        assert page.status_code == 200, page.text
        page = self.follow(self.get(self.agree(self.leave(self.press(page, "connect")))))
        assert page.status_code == 200 and "is connected" in str(Forms(page.text)), str(Forms(page.text))
        return page


def acting(id: str, api: str, issuer: str, resource: str, **oauth: Any) -> Json:
    """A connector that acts in its callers' names."""
    told = {"grant": "caller", "issuer": issuer, "resource": resource, "scopes": ["docs:read"], "allowPrivate": True}
    tool = {
        "name": "whoami",
        "description": "Use this to learn whose account it is.",
        "annotations": {"readOnly": True},
        "request": {"method": "GET", "path": "/me"},
    }
    return {
        "id": id,
        "name": id.title(),
        "version": "1.0.0",
        "description": f"All about {id}.",
        "adapter": {"kind": "http", "baseUrl": api, "allowPrivate": True},
        "credentials": {"oauth": told | oauth},
        "tools": [tool],
    }


def stored(server: Server) -> bytes:
    """All bytes of a server's store."""
    return b"".join(file.read_bytes() for file in server.manifests.data.glob("switchboard.db*"))
