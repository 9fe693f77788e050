"""Somebody with a browser: keeps cookies, reads forms, runs no script, and goes nowhere by itself but within one server."""

from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import httpx2

from harness import Server, until


@dataclass
class Form:
    action: str
    method: str
    values: dict[str, str] = field(default_factory=dict)
    # Names of what a person types, and values of what they press.
    blanks: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)


class Forms(HTMLParser):
    """The forms of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[Form] = []
        self.words: list[str] = []
        self.scripts = 0
        self.in_style = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        of = {name: value or "" for name, value in attrs}
        self.in_style = tag == "style"
        self.scripts += tag == "script" or any(name.startswith("on") for name in of)
        if tag == "form":
            self.found.append(Form(of.get("action", ""), of.get("method", "get").lower()))
        elif tag == "input" and self.found and of.get("name"):
            form = self.found[-1]
            hidden = of.get("type") == "hidden"
            (form.values if hidden else form.blanks)[of["name"]] = of.get("value", "")
        elif tag == "button" and self.found and of.get("name"):
            self.found[-1].buttons.append((of["name"], of.get("value", "")))

    def handle_endtag(self, tag: str) -> None:
        self.in_style = False

    def handle_data(self, data: str) -> None:
        if not self.in_style:
            self.words.append(data)

    def has(self, ending: str) -> bool:
        """Whether there is a form that posts to such an address."""
        return any(form.method == "post" and urlsplit(form.action).path.endswith(ending) for form in self.found)

    def __str__(self) -> str:
        return " ".join(" ".join(self.words).split())


class Stranded(Exception):
    """A page that leads nowhere."""

    def __init__(self, response: httpx2.Response) -> None:
        super().__init__(f"{response.status_code}: {Forms(response.text)}")
        self.response = response


@cache
def engine() -> httpx2.Client:
    """What sends everybody's requests; it keeps nothing of them."""
    return httpx2.Client(timeout=60, trust_env=False)


class Person:
    """`base` is where the browser finds the server, `origin` what it believes the server's address to be."""

    def __init__(self, server: Server, name: str = "", password: str = "", origin: str | None = None) -> None:
        self.server = server
        self.base = server.base
        self.origin = origin or server.base
        self.name, self.password = name, password
        self.cookies: dict[str, str] = {}
        self.set_cookies: list[str] = []
        self.signed_in_with: list[str] = []

    def send(self, method: str, url: str, data: dict[str, str] | None = None, **headers: str | None) -> httpx2.Response:
        """One request, with the cookies; a header given as None is left out."""
        url = self.here(urljoin(self.origin + "/", url))
        defaults: dict[str, str | None] = {"Host": urlsplit(self.origin).netloc, "Accept": "text/html"}
        if self.cookies:
            defaults["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if method == "POST":
            defaults["Origin"] = "://".join(urlsplit(self.origin)[:2])
        chosen = defaults | {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {name: value for name, value in chosen.items() if value is not None}
        response = engine().request(method, url, data=data, headers=sent)
        engine().cookies.clear()
        for cookie in response.headers.get_list("set-cookie"):
            self.set_cookies.append(cookie)
            name, _, value = cookie.split(";")[0].partition("=")
            if "max-age=0" in cookie.lower() or not value:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return response

    def here(self, url: str) -> str:
        """The address at which the browser reaches what the server calls by its public one."""
        return self.base + url.removeprefix(self.origin) if url.startswith(self.origin) else url

    def follow(self, response: httpx2.Response) -> httpx2.Response | str:
        """A page of the server, or the address elsewhere that the browser is sent to."""
        while response.status_code in (302, 303, 307):
            target = urljoin(str(response.request.url), response.headers["location"])
            if not target.startswith((self.origin + "/", self.base + "/")):
                return target
            assert response.status_code != 307, "a form's values would be sent again"
            response = self.send("GET", target)
        return response

    def open(self, url: str) -> httpx2.Response | str:
        return self.follow(self.send("GET", url))

    def submit(
        self, page: httpx2.Response, form: Form, values: dict[str, str], **headers: str | None
    ) -> httpx2.Response:
        assert form.method == "post", form
        url = urljoin(str(page.request.url), form.action)
        return self.send("POST", url, form.values | values, **headers)

    def form(self, page: httpx2.Response | str, ending: str) -> Form:
        assert not isinstance(page, str), f"sent away to {page}"
        forms = Forms(page.text).found
        found = [form for form in forms if urlsplit(form.action).path.endswith(ending) and form.method == "post"]
        if not found:
            raise Stranded(page)
        return found[0]

    def signs_in(self, page: httpx2.Response | str) -> httpx2.Response | str:
        """Fills in the form that asks who they are."""
        form = self.form(page, "/oauth/sign-in")
        if "password" in form.blanks:
            typed = {"username": self.name, "password": self.password}
        else:
            typed = {"code": self.code()}
        assert set(typed) <= set(form.blanks), form
        return self.follow(self.submit(page, form, typed))

    def code(self) -> str:
        """The newest code that the terminal shows."""
        shown: list[str] = []

        def fresh() -> bool:
            lines = [line for line in self.server.log if "sign-in code " in line]
            shown[:] = [line.partition("sign-in code ")[2].split(" ")[0] for line in lines]
            return bool(shown) and shown[-1] not in self.signed_in_with

        until(fresh, f"a code in {self.server.log}")
        self.signed_in_with.append(shown[-1])
        return shown[-1]

    def decides(self, page: httpx2.Response | str, decision: str = "allow") -> httpx2.Response | str:
        form = self.form(page, "/oauth/consent")
        return self.follow(self.submit(page, form, {"decision": decision}))

    def again(self) -> "Person":
        """The same person, with the same browser, in another test."""
        other = Person(self.server, self.name, self.password, self.origin)
        other.cookies = dict(self.cookies)
        return other

    def consent_page(self, url: str) -> httpx2.Response:
        """Opens the client's link and signs in when asked to, until asked for consent."""
        page = self.open(url)
        if not isinstance(page, str) and Forms(page.text).has("/oauth/sign-in"):
            page = self.signs_in(page)
        assert not isinstance(page, str), f"sent away to {page}"
        self.form(page, "/oauth/consent")
        return page

    def answers(self, url: str, decision: str = "allow") -> str:
        """Goes the whole way from a client's link; gives the address that the browser is sent back to."""
        page = self.open(url)
        if not isinstance(page, str) and Forms(page.text).has("/oauth/sign-in"):
            page = self.signs_in(page)
        if not isinstance(page, str):
            page = self.decides(page, decision)
        if not isinstance(page, str):
            raise Stranded(page)
        return page
