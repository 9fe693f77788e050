"""The issuer in this program before clients that cheat and programs that lost track.

Every refusal is next to the same request without the attack, which is granted.
"""

import base64
import html
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from harness import Server
from oauth.client import (
    REDIRECT,
    VERIFIER,
    App,
    challenge_of,
    failure,
    http,
    metadata,
    parameters,
    registered,
    tokens,
)
from oauth.forge import b64, by_hand, hs256, signed
from oauth.gateway import Caller, denied, gateway
from oauth.house import (  # noqa: F401 - fixtures
    PASSWORD,
    UNLIMITED,
    ada,
    app,
    browsers,
    built_in,
    dead_end,
    newcomer,
    starts,
    turned_back,
)
from oauth.person import Forms, Person
from wire import Json

CHATGPT = "https://chatgpt.com/connector_platform_oauth_redirect"
PREDEFINED = {"id": "predefined", "secret": "sekret/+=&%"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A gateway with its own issuer and two people; every test has a client and browsers of its own."""
    with built_in(tmp_path_factory.mktemp("issuer"), users=2, client=PREDEFINED) as server:
        yield server


@pytest.fixture
def predefined(server: Server) -> App:
    return App(server.base, PREDEFINED["id"], CHATGPT, PREDEFINED["secret"], f"{server.base}/mcp")


# Redirects


HOSTILE_REDIRECTS = [
    "https://chatgpt.com.evil.example/connector_platform_oauth_redirect",
    "https://evil.example/connector_platform_oauth_redirect",
    "https://evilchatgpt.com/connector_platform_oauth_redirect",
    "https://chatgpt.com@evil.example/connector_platform_oauth_redirect",
    "https://user@chatgpt.com/connector_platform_oauth_redirect",
    "https://chatgpt.com:secret@chatgpt.com/connector_platform_oauth_redirect",
    "https://chatgpt.com/connector_platform_oauth_redirect/",
    "https://chatgpt.com/connector_platform_oauth_redirect/more",
    "https://chatgpt.com/connector_platform_oauth_redirect.evil",
    "https://chatgpt.com/connector_platform_oauth_redirect?next=https://evil.example",
    "https://chatgpt.com/connector_platform_oauth_redirect?",
    "https://chatgpt.com/connector_platform_oauth_redirect#x",
    "https://chatgpt.com/x/../connector_platform_oauth_redirect",
    "https://chatgpt.com/./connector_platform_oauth_redirect",
    "https://chatgpt.com//connector_platform_oauth_redirect",
    "https://chatgpt.com/connector%5Fplatform_oauth_redirect",
    "https://chatgpt.com/Connector_Platform_OAuth_Redirect",
    "https://CHATGPT.com/connector_platform_oauth_redirect",
    "HTTPS://chatgpt.com/connector_platform_oauth_redirect",
    "http://chatgpt.com/connector_platform_oauth_redirect",
    "https://chatgpt.com:8443/connector_platform_oauth_redirect",
    "https://chatgpt.com./connector_platform_oauth_redirect",
    "https://chatgpt.com\\@evil.example/connector_platform_oauth_redirect",
    "https://chatgpt.com%2eevil.example/connector_platform_oauth_redirect",
    "https://chatgpt.com\t/connector_platform_oauth_redirect",
    " https://chatgpt.com/connector_platform_oauth_redirect",
    "https://chatgpt.com/connector_platform_oauth_redirect\r\nSet-Cookie: a=b",
    "https:chatgpt.com/connector_platform_oauth_redirect",
    "//chatgpt.com/connector_platform_oauth_redirect",
    "/connector_platform_oauth_redirect",
    "https://chatgpt.com/connector/oauth/",
    "https://chatgpt.com/connector/oauth",
    "https://chatgpt.com/connector/oauth/a/b",
    "https://chatgpt.com/connector/oauth/a%2Fb",
    "https://chatgpt.com/connector/oauth/..",
    "https://chatgpt.com/connector/oauth/%2e%2e",
    "https://chatgpt.com/connector/oauth/a?x=1",
    "https://chatgpt.com/connector/oauth/a#x",
    "https://chatgpt.com/connector/oauth/a;b",
    "https://claude.ai.evil.example/api/mcp/auth_callback",
    "https://claude.ai/api/mcp/auth_callback/..",
    "http://claude.ai/api/mcp/auth_callback",
    "https://vscode.dev/redirect?url=https://evil.example",
    "http://127.0.0.1.evil.example:9/callback",
    "http://localhost.evil.example:9/callback",
    "http://127.0.0.1@evil.example/callback",
    "http://127.0.0.1:9@evil.example/callback",
    "http://[::1]@evil.example/callback",
    "http://user@127.0.0.1:9/callback",
    "http://127.0.0.1:9/callback#x",
    "http://0.0.0.0:9/callback",
    "http://10.0.0.1:9/callback",
    "http://169.254.169.254/latest",
    "ftp://127.0.0.1/callback",
    "cursor://evil.example/oauth/callback",
    "cursor://anysphere.cursor-mcp/oauth/callback/more",
    "cursor://anysphere.cursor-mcp.evil/oauth/callback",
    "javascript:alert(1)//https://chatgpt.com/connector_platform_oauth_redirect",
    "data:text/html,<script>alert(1)</script>",
    "blob:https://chatgpt.com/1",
    "",
    "*",
]


@pytest.mark.parametrize("redirect", HOSTILE_REDIRECTS)
def test_a_redirect_that_is_not_on_the_list_is_a_dead_end(predefined: App, newcomer: Person, redirect: str) -> None:
    """Guard: redirect addresses are compared whole, character by character; the page does not link to what it refused."""
    page = dead_end(newcomer.open(predefined.link(redirect_uri=redirect)))
    assert f'href="{html.escape(redirect)}"' not in page and "<script" not in page
    # Not told by an error either.
    dead_end(newcomer.open(predefined.link(redirect_uri=redirect, response_type="token", prompt="none")))
    assert starts(newcomer, predefined.link())


KNOWN_REDIRECTS = [
    CHATGPT,
    "https://chatgpt.com/connector/oauth/AbC_1-9",
    "https://claude.ai/api/mcp/auth_callback",
    "https://claude.com/api/mcp/auth_callback",
    "https://vscode.dev/redirect",
    "https://insiders.vscode.dev/redirect",
    "https://www.cursor.com/agents/mcp/oauth/callback",
    "cursor://anysphere.cursor-mcp/oauth/callback",
    "http://127.0.0.1:33418",
    "http://127.0.0.1:33418/",
    "http://127.0.0.1:9/callback",
    "http://localhost:54321/callback",
    "http://[::1]:8080/callback",
    "http://localhost/callback",
]


@pytest.mark.parametrize("redirect", KNOWN_REDIRECTS)
def test_the_known_clients_get_back_to_themselves(predefined: App, ada: Person, redirect: str) -> None:
    app = predefined.with_(redirect=redirect)
    back = ada.answers(app.link())
    assert back.partition("?")[0] in (redirect, f"{redirect}/")
    assert tokens(app.redeem(parameters(back)["code"]))


@pytest.mark.parametrize(
    "redirect",
    [
        f"{REDIRECT}/",
        f"{REDIRECT}?x=1",
        f"{REDIRECT}#x",
        f"{REDIRECT}/../callback",
        "https://client.example:8443/callback",
        "https://client.example.evil.example/callback",
        "https://client.example@evil.example/callback",
        "http://client.example/callback",
        "https://client.example/",
        CHATGPT,
        "http://127.0.0.1:9/callback",
    ],
)
def test_a_client_that_registered_gets_back_only_where_it_said(app: App, ada: Person, redirect: str) -> None:
    """Guard: the addresses known for one client are not known for others; open ports are for loopback alone."""
    dead_end(ada.open(app.link(redirect_uri=redirect)))
    assert starts(ada, app.link())


def test_a_program_on_this_machine_may_change_its_port_and_nothing_else(server: Server, ada: Person) -> None:
    """Guard: RFC 8252, 7.3: the port alone is left open, and only for loopback addresses."""
    app = App.register(server, "http://127.0.0.1:1/callback", application_type="native")
    for redirect in (
        "http://127.0.0.1:2/other",
        "http://127.0.0.1:2/callback?x",
        "https://127.0.0.1:2/callback",
        "http://10.0.0.1:1/callback",
    ):
        dead_end(ada.open(app.link(redirect_uri=redirect)))
    other = app.with_(redirect="http://127.0.0.1:50000/callback")
    assert tokens(other.redeem(other.code(ada)))


def test_an_unknown_client_is_a_dead_end(server: Server, app: App, ada: Person) -> None:
    for changes in (
        {"client_id": "nobody"},
        {"client_id": None},
        {"client_id": ""},
        {"redirect_uri": None, "client_id": "nobody"},
    ):
        dead_end(ada.open(app.link(**changes)))
    assert starts(ada, app.link())


@pytest.mark.parametrize(
    "redirects",
    [
        [],
        ["http://client.example/callback"],
        ["https://client.example/callback#x"],
        ["https://user@client.example/callback"],
        ["javascript:alert(1)"],
        ["data:text/html,x"],
        ["file:///etc/passwd"],
        ["http://127.0.0.1.evil.example/callback"],
        ["/callback"],
        ["https://client.example/*"],
        [7],
        "https://client.example/callback",
        None,
    ],
    ids=str,
)
def test_no_client_registers_an_unsafe_redirect(server: Server, redirects: Any) -> None:
    """Guard: https, or loopback, or a program's own scheme; no fragment, no name and password."""
    response = registered(server.base, redirect_uris=redirects)
    if redirects == ["https://client.example/*"] and response.status_code == 201:
        return  # A star is a character like any other, as long as it stands for no other.
    assert response.status_code == 400, response.text
    assert response.json()["error"] in ("invalid_redirect_uri", "invalid_client_metadata")
    assert registered(server.base).status_code == 201


def test_an_unsafe_redirect_beside_a_safe_one_is_left_out(server: Server) -> None:
    response = registered(server.base, redirect_uris=[REDIRECT, "http://evil.example/callback"])
    assert response.status_code == 201, response.text
    assert response.json()["redirect_uris"] == [REDIRECT]


def test_a_star_in_a_redirect_stands_for_itself(server: Server, ada: Person) -> None:
    response = registered(server.base, redirect_uris=["https://client.example/*"])
    if response.status_code == 201:
        app = App(server.base, response.json()["client_id"], "https://client.example/*", None, f"{server.base}/mcp")
        dead_end(ada.open(app.link(redirect_uri="https://client.example/anything")))


# What the client asks for


REFUSALS: dict[str, tuple[Json, set[str]]] = {
    "no-challenge": ({"code_challenge": None, "code_challenge_method": None}, {"invalid_request"}),
    "empty-challenge": ({"code_challenge": ""}, {"invalid_request"}),
    "plain-challenge": ({"code_challenge": VERIFIER, "code_challenge_method": "plain"}, {"invalid_request"}),
    "challenge-without-method": ({"code_challenge": VERIFIER, "code_challenge_method": None}, {"invalid_request"}),
    "unknown-method": ({"code_challenge_method": "S512"}, {"invalid_request"}),
    "method-in-small-letters": ({"code_challenge_method": "s256"}, {"invalid_request"}),
    "challenge-too-short": ({"code_challenge": "abc"}, {"invalid_request"}),
    "token-by-redirect": ({"response_type": "token"}, {"unsupported_response_type"}),
    "hybrid": ({"response_type": "code token"}, {"unsupported_response_type"}),
    "no-response-type": ({"response_type": None}, {"invalid_request", "unsupported_response_type"}),
    "resource-of-another": ({"resource": "https://other.example/mcp"}, {"invalid_target"}),
    "resource-below-ours": ({"resource": "{resource}/more"}, {"invalid_target"}),
    "resource-like-ours": ({"resource": "{resource}.evil.example"}, {"invalid_target"}),
    "resource-with-fragment": ({"resource": "{resource}#x"}, {"invalid_target"}),
    "request-object": ({"request": "eyJhbGciOiJub25lIn0.e30."}, {"request_not_supported"}),
    "request-elsewhere": (
        {"request_uri": "https://evil.example/request"},
        {"request_uri_not_supported", "request_not_supported"},
    ),
    "nobody-signed-in": ({"prompt": "none"}, {"login_required", "interaction_required"}),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_granted_is_told_to_the_client(app: App, server: Server, case: str) -> None:
    """Guards: PKCE by S256 cannot be left out or weakened; codes only; tokens for this server only."""
    changes, expected = REFUSALS[case]
    changes = {name: value and value.replace("{resource}", app.resource) for name, value in changes.items()}
    person = Person(server, "ada", PASSWORD)
    answer = person.open(app.link(**changes))
    assert not isinstance(answer, str), "this server leads nobody to a site that anybody registered"
    back = turned_back(answer)
    assert back.startswith(f"{REDIRECT}?"), back
    told = parameters(back)
    assert told["error"] in expected and "code" not in told, told
    assert (told["state"], told["iss"]) == ("st=te&/+ü", server.base)
    assert starts(person, app.link())


@pytest.mark.parametrize(
    "name", ["state", "code_challenge", "scope", "response_type", "code_challenge_method", "prompt"]
)
def test_a_parameter_that_comes_twice_is_refused(app: App, ada: Person, name: str) -> None:
    """Guard: nobody may guess which of two is meant. (RFC 6749, 3.1)"""
    link = app.link(scope="mcp", prompt="consent")
    back = turned_back(ada.open(f"{link}&{name}={quote('another')}"))
    assert parameters(back)["error"] == "invalid_request", back
    assert starts(ada, link)


@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
def test_two_clients_or_two_ways_back_are_a_dead_end(app: App, ada: Person, name: str) -> None:
    """Guard: before client and redirect are known, nobody is told anything."""
    value = {"client_id": "predefined", "redirect_uri": "https://evil.example/"}[name]
    dead_end(ada.open(f"{app.link()}&{urlencode({name: value})}"))
    assert starts(ada, app.link())


@pytest.mark.parametrize("resource", [None, "{resource}", "{resource}/", "{base}", "{base}/"])
def test_our_own_address_may_be_named_in_several_ways(
    app: App, server: Server, ada: Person, resource: str | None
) -> None:
    named = resource and resource.replace("{resource}", app.resource).replace("{base}", server.base)
    told = tokens(app.redeem(app.code(ada, resource=named), resource=named))
    claims = jwt.decode(told["access_token"], options={"verify_signature": False})
    assert claims["aud"] in (app.resource, [app.resource])


def test_the_request_may_come_in_a_form(app: App, ada: Person) -> None:
    """RFC 6749, 3.1: the endpoint may be posted to; a page elsewhere may not post to it."""
    path, _, query = app.link().partition("?")
    values = dict(httpx2.QueryParams(query))
    page = ada.follow(ada.send("POST", path, values))
    assert not isinstance(page, str) and page.status_code == 200, page
    for origin in ("https://evil.example", "null"):
        assert ada.send("POST", path, values, Origin=origin).status_code in (400, 403)


def test_who_says_no_is_heard(app: App, server: Server, ada: Person) -> None:
    told = parameters(ada.answers(app.link(), "deny"))
    assert told["error"] == "access_denied" and "code" not in told
    assert (told["state"], told["iss"]) == ("st=te&/+ü", server.base)
    told = parameters(ada.answers(app.link()))
    assert told["code"] and (told["state"], told["iss"]) == ("st=te&/+ü", server.base)


# Codes


def test_a_code_is_good_once_and_a_second_use_takes_everything_back(server: Server, app: App, ada: Person) -> None:
    """Guard: a replayed code is refused and revokes what came of it. (RFC 6749, 4.1.2)"""
    code = app.code(ada)
    told = tokens(app.redeem(code))
    caller = Caller(server, told["access_token"])
    assert caller.counts()
    assert failure(app.redeem(code)) == "invalid_grant"
    denied(caller.ask("tools/list"))
    assert failure(app.refresh(told["refresh_token"])) == "invalid_grant"
    # Another grant of the same person is another's business.
    assert Caller(server, app.grant(ada)["access_token"]).counts()


def test_a_code_redeemed_by_many_at_once_gives_at_most_one_grant(app: App, ada: Person) -> None:
    """Guard: a code is used up in one step, not looked at and then used. What the first gets is taken back, perhaps
    before it is told of it."""
    code = app.code(ada)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: app.redeem(code), range(8)))
    first, *rest = sorted(answers, key=lambda answer: answer.status_code)
    assert [failure(answer) for answer in rest] == ["invalid_grant"] * 7
    if first.status_code == 200:
        assert failure(app.refresh(tokens(first)["refresh_token"])) == "invalid_grant"
    else:
        assert failure(first) == "invalid_grant"


BENT_CODES: dict[str, Callable[[App, Server], Json]] = {
    "wrong-verifier": lambda app, server: {"code_verifier": VERIFIER[::-1]},
    "no-verifier": lambda app, server: {"code_verifier": None},
    "empty-verifier": lambda app, server: {"code_verifier": ""},
    "the-challenge-as-verifier": lambda app, server: {"code_verifier": challenge_of(VERIFIER)},
    "another-redirect": lambda app, server: {"redirect_uri": "https://client.example/other"},
    "another-client": lambda app, server: {"client_id": App.register(server).id},
    "another-resource": lambda app, server: {"resource": "https://other.example/mcp"},
    "another-code": lambda app, server: {"code": "x" * 43},
    "no-code": lambda app, server: {"code": None},
    "another-grant-type": lambda app, server: {"grant_type": "client_credentials"},
    "password": lambda app, server: {"grant_type": "password", "username": "ada", "password": PASSWORD},
}


@pytest.mark.parametrize("case", BENT_CODES)
def test_a_code_is_for_the_request_it_came_of(app: App, server: Server, ada: Person, case: str) -> None:
    """Guards: PKCE, the redirect, the client and the resource of a code are those of its request."""
    answer = app.redeem(app.code(ada), **BENT_CODES[case](app, server))
    assert failure(answer) in ("invalid_grant", "invalid_request", "invalid_target", "unsupported_grant_type")
    assert tokens(app.redeem(app.code(ada)))


def test_a_token_request_says_each_thing_once_and_in_its_body(app: App, ada: Person) -> None:
    """Guard: parameters in the address are no parameters, and two of one are one too many."""
    code = app.code(ada)
    good = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": REDIRECT,
        "code_verifier": VERIFIER,
        "client_id": app.id,
    }
    assert http(app.base).post(f"/oauth/token?{urlencode(good)}").status_code in (400, 401, 415)
    twice = f"{urlencode(good)}&code={code}"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert failure(http(app.base).post("/oauth/token", content=twice, headers=form)) == "invalid_request"
    assert http(app.base).get(f"/oauth/token?{urlencode(good)}").status_code in (404, 405)
    assert tokens(app.redeem(code))


# Refreshing


def test_a_refresh_token_is_replaced_by_each_use_and_may_be_asked_with_again_for_a_moment(
    server: Server, app: App, ada: Person
) -> None:
    """A client that lost the answer asks again and gets the same successor; clients that race get it too."""
    first = app.grant(ada)
    with ThreadPoolExecutor(6) as threads:
        answers = [tokens(answer) for answer in threads.map(lambda _: app.refresh(first["refresh_token"]), range(6))]
    [second] = {answer["refresh_token"] for answer in answers}
    assert second != first["refresh_token"]
    assert all(Caller(server, answer["access_token"]).counts() for answer in answers)
    assert tokens(app.refresh(second))["refresh_token"] not in (second, first["refresh_token"])


def test_a_refresh_token_from_before_takes_everything_back(server: Server, app: App, ada: Person) -> None:
    """Guard: what comes back after its successor was used was stolen by somebody. (RFC 9700, 4.14.2)"""
    first = app.grant(ada)
    second = tokens(app.refresh(first["refresh_token"]))
    third = tokens(app.refresh(second["refresh_token"]))
    caller = Caller(server, third["access_token"])
    assert caller.counts()
    assert failure(app.refresh(first["refresh_token"])) == "invalid_grant"
    assert failure(app.refresh(third["refresh_token"])) == "invalid_grant"
    denied(caller.ask("tools/list"))


def test_without_a_moment_of_grace_a_second_use_takes_everything_back(tmp_path: Path) -> None:
    """Guard: with `refreshGraceSeconds: 0` every token is good once."""
    with built_in(tmp_path, refreshGraceSeconds=0) as server:
        app, ada = App.register(server), Person(server, "ada", PASSWORD)
        first = app.grant(ada)
        second = tokens(app.refresh(first["refresh_token"]))
        assert failure(app.refresh(first["refresh_token"])) == "invalid_grant"
        assert failure(app.refresh(second["refresh_token"])) == "invalid_grant"
        denied(Caller(server, second["access_token"]).ask("tools/list"))


def test_a_refresh_token_is_for_its_client_alone(server: Server, app: App, ada: Person) -> None:
    """Guard: the token is bound to the client; somebody else's try does not hurt its owner."""
    told = app.grant(ada)
    other = App.register(server)
    assert failure(other.refresh(told["refresh_token"])) == "invalid_grant"
    assert tokens(app.refresh(told["refresh_token"]))


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_refresh_token_cannot_be_made_up(app: App, ada: Person, part: int) -> None:
    """Guard: each part of the token is held by its seal; a wrong one revokes nothing that it names."""
    good = app.grant(ada)["refresh_token"]
    parts = good.split(".")
    assert len(parts) == 3, good
    forged = [*parts]
    forged[part] = {
        0: b64(b"another grant of 1"),
        1: str(int(parts[1]) + 1) if parts[1].isdigit() else "9",
        2: b64(b"\0" * 32),
    }[part]
    for token in (".".join(forged), ".".join(parts[:2]), ".".join(parts[:2]) + ".", good + "x", ""):
        assert failure(app.refresh(token)) in ("invalid_grant", "invalid_request")
    assert tokens(app.refresh(good))


def test_scopes_get_fewer_by_refreshing_and_never_more(server: Server, app: App, ada: Person) -> None:
    """Guard: a refresh grants nothing that was not granted. (RFC 6749, 6)"""
    told = app.grant(ada, "mcp docs:read")
    assert failure(app.refresh(told["refresh_token"], scope="mcp docs:read docs:write")) == "invalid_scope"
    less = tokens(app.refresh(told["refresh_token"], scope="mcp"))
    assert Caller(server, less["access_token"]).call("docs_read").status_code == 403
    again = tokens(app.refresh(less["refresh_token"]))
    assert Caller(server, again["access_token"]).does("docs_read")


def test_a_revoked_grant_is_over(server: Server, app: App, ada: Person) -> None:
    """RFC 7009: revoking a refresh token ends its access tokens; what is unknown is answered the same."""
    told, other = app.grant(ada), app.grant(ada)
    assert App.register(server).revoke(told["refresh_token"]).status_code in (200, 400)
    assert Caller(server, told["access_token"]).counts(), "another client revokes nothing"
    assert app.revoke(told["refresh_token"]).status_code == 200
    denied(Caller(server, told["access_token"]).ask("tools/list"))
    assert failure(app.refresh(told["refresh_token"])) == "invalid_grant"
    assert app.revoke("nonsense").status_code == 200
    assert Caller(server, other["access_token"]).counts()


# Access tokens


def test_an_access_token_is_what_rfc_9068_says(server: Server, app: App, ada: Person) -> None:
    told = app.grant(ada, "mcp docs:read")
    keys = jwt.PyJWKClient(http(server.base).get("/.well-known/oauth-authorization-server").json()["jwks_uri"])
    found = keys.get_signing_key_from_jwt(told["access_token"])
    claims = jwt.decode(
        told["access_token"], found.key, algorithms=["ES256"], audience=app.resource, issuer=server.base,
        options={"require": ["exp", "iat", "sub", "jti", "client_id"]},
    )  # fmt: skip
    header = jwt.get_unverified_header(told["access_token"])
    assert (header["typ"], header["alg"]) == ("at+jwt", "ES256") and header["kid"]
    assert claims["client_id"] == app.id and set(claims["scope"].split()) == {"mcp", "docs:read"}
    assert claims["sub"] != "ada" and 0 < claims["exp"] - claims["iat"] <= 3600 == told["expires_in"]
    for published in http(server.base).get("/oauth/jwks").json()["keys"]:
        assert "d" not in published and published["kty"] == "EC", "only the public half is published"


def forgeries(server: Server, token: str) -> dict[str, str]:
    header = jwt.get_unverified_header(token)
    claims = jwt.decode(token, options={"verify_signature": False})
    [published] = [each for each in http(server.base).get("/oauth/jwks").json()["keys"] if each["kid"] == header["kid"]]
    public = jwt.PyJWK(published).key
    text = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head, body, signature = token.split(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    return {
        "alg-none": by_hand(header | {"alg": "none"}, claims, lambda _: b""),
        "hs256-with-the-pem": by_hand(header | {"alg": "HS256"}, claims, hs256(text)),
        "hs256-with-the-jwk": by_hand(header | {"alg": "HS256"}, claims, hs256(json.dumps(published).encode())),
        "another-key-of-the-same-name": signed(claims, "p256-9", **header),
        "more-scopes": f"{head}.{b64(claims | {'scope': 'docs:write'})}.{signature}",
        "zero-signature": f"{head}.{body}.{b64(bytes(64))}",
        "order-of-the-curve": f"{head}.{body}.{b64(bytes.fromhex('FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551') * 2)}",
        "signature-as-der": f"{head}.{body}.{b64(b'0E' + raw)}",
        "no-signature": f"{head}.{body}.",
    }


@pytest.mark.parametrize(
    "kind",
    [
        "alg-none",
        "hs256-with-the-pem",
        "hs256-with-the-jwk",
        "another-key-of-the-same-name",
        "more-scopes",
        "zero-signature",
        "order-of-the-curve",
        "signature-as-der",
        "no-signature",
    ],
)
def test_an_access_token_cannot_be_forged(server: Server, app: App, ada: Person, kind: str) -> None:
    """Guard: the signature, by ES256 and our key."""
    token = app.grant(ada)["access_token"]
    denied(Caller(server, forgeries(server, token)[kind]).ask("tools/list"))
    assert Caller(server, token).counts()


def test_codes_and_refresh_tokens_are_no_proofs(server: Server, app: App, ada: Person) -> None:
    code = app.code(ada)
    denied(Caller(server, code).ask("tools/list"))
    told = tokens(app.redeem(code))
    denied(Caller(server, told["refresh_token"]).ask("tools/list"))
    assert Caller(server, told["access_token"]).counts()


def test_the_token_of_another_gateway_does_not_count(server: Server, tmp_path: Path) -> None:
    """Guards: issuer, audience and keys are each server's own."""
    with built_in(tmp_path) as other:
        app = App.register(other)
        token = app.grant(Person(other, "ada", PASSWORD))["access_token"]
        assert Caller(other, token).counts()
        denied(Caller(server, token).ask("tools/list"))


def test_a_token_for_the_same_gateway_under_another_name_does_not_count(tmp_path: Path) -> None:
    """Guard: with the same keys and store, but another public address, the audience is another."""
    env = {"BASE_URL": "https://one.example"}
    with built_in(tmp_path, env=env) as one:
        person = Person(one, "ada", PASSWORD, origin="https://one.example")
        app = App.register(one).with_(resource="https://one.example/mcp")
        token = app.grant(person)["access_token"]
        assert Caller(one, token).counts()
        # A Host that is allowed, and even the public one, changes nothing of who we say we are.
        for host in ("localhost", "one.example"):
            told = httpx2.get(f"{one.base}/.well-known/oauth-authorization-server", headers={"Host": host}, timeout=60).json()
            assert (
                told["issuer"] == "https://one.example" and told["token_endpoint"] == "https://one.example/oauth/token"
            )
    shutil.copytree(tmp_path / "data", tmp_path / "other" / "data")
    with gateway(
        tmp_path / "other", auth={"mode": "built-in"}, env={"BASE_URL": "https://two.example"}, more=UNLIMITED
    ) as two:
        denied(Caller(two, token).ask("tools/list"))
    shutil.copytree(tmp_path / "data", tmp_path / "again" / "data")
    with gateway(tmp_path / "again", auth={"mode": "built-in"}, env=env, more=UNLIMITED) as again:
        assert Caller(again, token).counts(), "tokens survive a restart"


# Clients and their secrets


def basic(id: str, secret: str) -> dict[str, str]:
    pair = f"{quote(id, safe='')}:{quote(secret, safe='')}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


@pytest.mark.parametrize("method", ["client_secret_post", "client_secret_basic"])
def test_a_client_with_a_secret_has_to_show_it(server: Server, ada: Person, method: str) -> None:
    """Guard: the secret is checked, in the way that was agreed; knowing the id is not enough."""
    app = App.register(server, token_endpoint_auth_method=method)
    assert app.secret
    nobody = app.with_(secret=None)
    form = {"grant_type": "authorization_code", "redirect_uri": REDIRECT, "code_verifier": VERIFIER}
    assert failure(nobody.redeem(app.code(ada)), 401) == "invalid_client"
    assert failure(nobody.with_(secret="wrong").redeem(app.code(ada)), 401) == "invalid_client"
    wrong = http(server.base).post("/oauth/token", data=form | {"code": app.code(ada)}, headers=basic(app.id, "wrong"))
    assert failure(wrong, 401) == "invalid_client" and wrong.headers["www-authenticate"].startswith("Basic")
    if method == "client_secret_post":
        assert tokens(app.redeem(app.code(ada)))
    else:
        good = http(server.base).post(
            "/oauth/token", data=form | {"code": app.code(ada)}, headers=basic(app.id, app.secret)
        )
        assert tokens(good)
        both = http(server.base).post(
            "/oauth/token",
            data=form | {"code": app.code(ada), "client_id": app.id, "client_secret": app.secret},
            headers=basic(app.id, app.secret),
        )
        assert both.status_code in (400, 401), "one way of proof at a time (RFC 6749, 2.3)"


def test_the_predefined_client_has_to_show_its_secret(predefined: App, ada: Person) -> None:
    assert failure(predefined.with_(secret=None).redeem(predefined.code(ada)), 401) == "invalid_client"
    assert tokens(predefined.redeem(predefined.code(ada)))
    form = {
        "grant_type": "authorization_code",
        "redirect_uri": CHATGPT,
        "code_verifier": VERIFIER,
        "code": predefined.code(ada),
    }
    assert tokens(
        http(predefined.base).post("/oauth/token", data=form, headers=basic(predefined.id, predefined.secret))
    )


def test_a_code_of_a_client_with_a_secret_is_useless_to_a_public_one(
    server: Server, predefined: App, app: App, ada: Person
) -> None:
    """Guard: another client cannot redeem it, even if it knows redirect and verifier."""
    assert failure(app.redeem(predefined.code(ada), redirect_uri=CHATGPT)) == "invalid_grant"
    assert tokens(predefined.redeem(predefined.code(ada)))


@pytest.mark.parametrize(
    "more",
    [
        {"token_endpoint_auth_method": "tls_client_auth"},
        {"grant_types": ["client_credentials"]},
        {"response_types": ["token"]},
        {"redirect_uris": [REDIRECT] * 500},
        {"client_name": "x" * 100_000},
    ],
    ids=lambda more: next(iter(more)),
)
def test_a_registration_that_cannot_work_is_refused(server: Server, more: Json) -> None:
    response = registered(server.base, **more)
    assert response.status_code in (400, 413), response.text
    assert registered(server.base).status_code == 201


def test_a_name_cannot_bring_markup_onto_the_page(server: Server, ada: Person) -> None:
    """Guard: what clients say of themselves is shown as text."""
    name = '<script>alert(1)</script><img src=x onerror="x">"\'&{{7*7}}{% raw %}'
    app = App.register(
        server, client_name=name, client_uri="javascript:alert(1)", logo_uri="https://evil.example/x.png"
    )
    page = ada.consent_page(app.link())
    read = Forms(page.text)
    # The page names the server too, whose port may have any digits.
    said = str(read).replace(server.base.removeprefix("http://"), "")
    assert read.scripts == 0 and "<img" not in page.text.lower().replace("&lt;img", "") and "49" not in said
    assert "javascript:" not in page.text and "evil.example" not in page.text
    assert "<script>alert(1)</script>" in said and "{{7*7}}" in said, "it is shown as it is"


def test_registration_can_be_turned_off(tmp_path: Path) -> None:
    with built_in(tmp_path, registration=False, client=PREDEFINED) as server:
        assert "registration_endpoint" not in metadata(server.base)
        assert registered(server.base).status_code in (400, 403, 404)


# What the issuer says of itself


def test_what_the_issuer_says_of_itself_is_complete_and_true(server: Server) -> None:
    told = metadata(server.base)
    assert told["issuer"] == server.base
    assert told["code_challenge_methods_supported"] == ["S256"]
    assert set(told["token_endpoint_auth_methods_supported"]) == {
        "none",
        "client_secret_post",
        "client_secret_basic",
        "private_key_jwt",
    }
    assert told["client_id_metadata_document_supported"] is True
    assert told["authorization_response_iss_parameter_supported"] is True
    assert "none" not in told["token_endpoint_auth_signing_alg_values_supported"]
    assert told["response_types_supported"] == ["code"]
    assert set(told["grant_types_supported"]) == {"authorization_code", "refresh_token"}
    for name in ("authorization_endpoint", "token_endpoint", "registration_endpoint", "revocation_endpoint"):
        assert told[name].startswith(f"{server.base}/oauth/"), told
    openid = http(server.base).get("/.well-known/openid-configuration").json()
    assert openid.items() >= {name: value for name, value in told.items() if name != "jwks_uri"}.items()
    assert openid["jwks_uri"] == f"{server.base}/oauth/jwks"


def test_an_issuer_below_a_path_is_found_where_clients_look_and_works_there(tmp_path: Path) -> None:
    """RFC 8414 puts the path behind the well-known name, OpenID before it; pages and cookies keep to the public address."""
    public = "https://gateway.example/tools"
    with built_in(tmp_path, env={"BASE_URL": public}) as server:
        base = f"{server.base}/tools"
        for name in ("oauth-authorization-server", "openid-configuration"):
            for path in (f"/.well-known/{name}/tools", f"/tools/.well-known/{name}"):
                told = httpx2.get(f"{server.base}{path}", headers={"Host": "gateway.example"}, timeout=60)
                assert told.status_code == 200 and told.json()["issuer"] == public, path
                assert told.json()["authorization_endpoint"] == f"{public}/oauth/authorize"
        answer = registered(base)
        assert answer.status_code == 201, answer.text
        app = App(base, answer.json()["client_id"], resource=f"{public}/mcp")
        ada = Person(server, "ada", PASSWORD, origin=public)
        ada.base = base
        back = parameters(ada.answers(app.link()))
        assert back["iss"] == public
        token = tokens(app.redeem(back["code"]))["access_token"]
        claims = jwt.decode(token, options={"verify_signature": False})
        assert (claims["iss"], claims["aud"]) == (public, f"{public}/mcp")
        assert Caller(base, token, Host="gateway.example").counts()


@pytest.mark.parametrize("origin", ["https://inspector.example", "http://localhost:6274"])
def test_documents_may_be_fetched_by_pages_anywhere_and_pages_with_a_session_by_none(
    server: Server, app: App, ada: Person, origin: str
) -> None:
    """Clients in browsers read the documents; what a signed-in person sees is never given to another origin."""
    for path in ("oauth-authorization-server", "openid-configuration", "oauth-protected-resource"):
        answer = http(server.base).get(f"/.well-known/{path}", headers={"Origin": origin})
        assert answer.status_code == 200 and answer.headers["access-control-allow-origin"] == "*", path
    page = ada.send("GET", app.link(), Origin=origin)
    assert page.headers.get("access-control-allow-credentials") is None


def test_iss_can_be_turned_off_and_is_then_not_announced(tmp_path: Path) -> None:
    with built_in(tmp_path, advertiseIss=False) as server:
        assert "authorization_response_iss_parameter_supported" not in metadata(server.base)
        app, ada = App.register(server), Person(server, "ada", PASSWORD)
        assert "iss" not in parameters(ada.answers(app.link(), "deny"))
        assert "iss" not in parameters(ada.answers(app.link()))


# Two processes


def test_two_servers_of_one_store_are_one_issuer(tmp_path: Path) -> None:
    """Guards: keys, clients, codes and grants are shared, and a code is good once among all."""
    env = {"BASE_URL": "https://gateway.example"}
    with built_in(tmp_path, env=env) as one:
        (tmp_path / "second").mkdir()
        (tmp_path / "second" / "data").symlink_to(tmp_path / "data")
        with gateway(tmp_path / "second", auth={"mode": "built-in"}, env=env, more=UNLIMITED) as two:
            jwks = [
                {key["kid"] for key in http(server.base).get("/oauth/jwks").json()["keys"]} for server in (one, two)
            ]
            assert jwks[0] == jwks[1]
            app = App.register(one).with_(resource="https://gateway.example/mcp")
            there = app.with_(base=two.base)
            code = app.code(Person(one, "ada", PASSWORD, origin="https://gateway.example"))
            told = tokens(there.redeem(code))
            assert Caller(one, told["access_token"]).counts() and Caller(two, told["access_token"]).counts()
            with ThreadPoolExecutor(8) as threads:
                answers = list(threads.map(lambda n: (app, there)[n % 2].refresh(told["refresh_token"]), range(8)))
            assert len({tokens(answer)["refresh_token"] for answer in answers}) == 1
            assert failure(app.redeem(code)) == "invalid_grant"
            assert failure(there.refresh(told["refresh_token"])) == "invalid_grant"


def test_servers_that_start_at_once_on_a_new_store_agree_on_their_keys(tmp_path: Path) -> None:
    env = {"BASE_URL": "https://gateway.example", "SWITCHBOARD_DATA_DIR": str(tmp_path / "data")}
    found: list[set[str]] = []
    barrier = threading.Barrier(3)

    def start(number: int) -> None:
        with gateway(tmp_path / str(number), auth={"mode": "built-in"}, env=env, more=UNLIMITED) as server:
            found.append({key["kid"] for key in http(server.base).get("/oauth/jwks").json()["keys"]})
            barrier.wait(60)

    threads = [threading.Thread(target=start, args=[number]) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3 and found[0] == found[1] == found[2]
