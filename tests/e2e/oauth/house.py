"""A gateway with its own issuer, the people it knows, and their browsers.

The fixtures are for suites that have a `server` of their own with such a gateway.
"""

import html
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from harness import Server
from wire import Json

from .client import App
from .gateway import add_user, gateway
from .person import Forms, Person

PASSWORD = "correct horse battery"
UNLIMITED = {"limits": {"strangersPerMinute": 1_000_000}}


@contextmanager
def built_in(
    home: Path, users: int = 1, env: dict[str, str] | None = None, more: Json | None = None, **settings: Any
) -> Iterator[Server]:
    """A server with as many people, all of one password, and these settings of its issuer."""
    auth = {"mode": "built-in", "builtIn": settings}
    with gateway(home, auth=auth, env=env, more=UNLIMITED | (more or {})) as server:
        for name in ("ada", "bob")[:users]:
            add_user(server, name, PASSWORD)
        yield server


def signed_in(server: Server, name: str) -> Person:
    """A person whose browser is signed in: checking a password takes its time, on purpose."""
    person = Person(server, name, PASSWORD)
    person.signs_in(person.open(App.register(server).link()))
    return person


@pytest.fixture(scope="module")
def browsers(server: Server) -> dict[str, Person]:
    """The browser of everybody who has signed in already."""
    return {}


def visitor(server: Server, browsers: dict[str, Person], name: str) -> Person:
    if name not in browsers:
        browsers[name] = signed_in(server, name)
    return browsers[name].again()


@pytest.fixture
def ada(server: Server, browsers: dict[str, Person]) -> Person:
    return visitor(server, browsers, "ada")


@pytest.fixture
def bob(server: Server, browsers: dict[str, Person]) -> Person:
    return visitor(server, browsers, "bob")


@pytest.fixture
def newcomer(server: Server) -> Person:
    """Ada with another browser."""
    return Person(server, "ada", PASSWORD)


@pytest.fixture
def app(server: Server) -> App:
    """A program of the test's own."""
    return App.register(server)


def dead_end(answer: httpx2.Response | str) -> str:
    """A page for people, never a redirect: whoever asked cannot be trusted with an answer."""
    assert not isinstance(answer, str), f"sent away to {answer}"
    assert answer.status_code == 400 and "location" not in answer.headers, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    assert not [form for form in Forms(answer.text).found if form.method == "post"], "nothing to go on with"
    return answer.text


def starts(person: Person, link: str) -> bool:
    """Whether the link leads to a page on which a person goes on."""
    page = person.open(link)
    assert not isinstance(page, str), page
    assert page.status_code == 200, page.text
    forms = Forms(page.text)
    return forms.has("/oauth/sign-in") or forms.has("/oauth/consent")


def turned_back(answer: httpx2.Response | str) -> str:
    """Where the client is told, which a person who does not know it has to want first."""
    if isinstance(answer, str):
        return answer
    assert answer.status_code == 400 and "client.example" in answer.text, answer.text
    found = re.search(r'<a href="([^"]+)"', answer.text)
    assert found, answer.text
    return html.unescape(found[1])
