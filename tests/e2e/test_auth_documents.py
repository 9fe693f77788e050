"""Clients whose id is the address of a document about them: what such a document may say, and where it may stand.

The gateway fetches what strangers name, so most of this is about what it must not fetch.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import pytest

from harness import HERE, Server
from oauth.client import REDIRECT, App, failure, metadata, parameters, some, tokens
from oauth.documents import Page, Papers, Web, papers, web
from oauth.forge import algorithm, by_hand, hs256, jwk, key, pem
from oauth.gateway import Caller
from oauth.house import ada, browsers, built_in, dead_end, starts  # noqa: F401 - fixtures
from oauth.person import Forms, Person
from wire import Json


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return papers(tmp_path_factory.mktemp("tls"), "127.0.0.1", "localhost")


@pytest.fixture(scope="module")
def site(tls: Papers) -> Iterator[Web]:
    """A web server with documents, known to the gateway's TLS."""
    with web(tls.chain) as site:
        yield site


@pytest.fixture(scope="module")
def server(tls: Papers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A gateway that reads documents at private addresses too."""
    env = {"SSL_CERT_FILE": str(tls.root)}
    with built_in(tmp_path_factory.mktemp("documents"), env=env, allowPrivateClients=True) as server:
        yield server


def app(server: Server, id: str, **more: Any) -> App:
    return App(server.base, id, resource=f"{server.base}/mcp", **more)


def path() -> str:
    """An address that no test has used, so that nothing is remembered of it."""
    return f"/{some()}/client.json"


def test_a_client_is_known_by_its_document(server: Server, site: Web, ada: Person) -> None:
    """The whole way, without registration; consent shows whose address it is."""
    client = app(server, site.document(path()))
    page = ada.consent_page(client.link())
    words = str(Forms(page.text))
    assert "Documented" in words and "127.0.0.1" in words and "client.example" in words
    token = tokens(client.redeem(parameters(ada.decides(page))["code"]))
    assert Caller(server, token["access_token"]).counts()
    assert tokens(client.refresh(token["refresh_token"]))


def test_a_document_is_fetched_once_for_a_while(server: Server, site: Web, ada: Person) -> None:
    at = path()
    client = app(server, site.document(at))
    for _ in range(3):
        assert starts(ada, client.link())
    assert site.seen.count(at) == 1


BENT: dict[str, Json] = {
    "of-another": {"client_id": "https://127.0.0.1/other.json"},
    "of-nobody": {"client_id": None},
    "with-a-secret": {"token_endpoint_auth_method": "client_secret_post", "client_secret": "s"},
    "with-a-shared-secret-for-assertions": {"token_endpoint_auth_method": "client_secret_jwt"},
    "without-redirects": {"redirect_uris": None},
    "with-an-empty-list": {"redirect_uris": []},
    "with-an-unsafe-redirect": {"redirect_uris": ["javascript:alert(1)"]},
    "with-plain-http": {"redirect_uris": ["http://client.example/callback"]},
    "with-numbers": {"redirect_uris": [7]},
}


@pytest.mark.parametrize("case", BENT)
def test_a_document_that_does_not_fit_is_a_dead_end(server: Server, site: Web, ada: Person, case: str) -> None:
    """Guard: the document names itself, has safe ways back, and no secret that everybody can read."""
    redirect = (BENT[case].get("redirect_uris") or [REDIRECT])[0]
    client = app(server, site.document(path(), **BENT[case])).with_(redirect=str(redirect))
    dead_end(ada.open(client.link()))
    assert starts(ada, app(server, site.document(path())).link())


@pytest.mark.parametrize(
    "redirect",
    [
        f"{REDIRECT}/",
        f"{REDIRECT}?x",
        "https://client.example.evil.example/callback",
        "http://127.0.0.1:9/callback",
        "https://chatgpt.com/connector_platform_oauth_redirect",
    ],
)
def test_the_way_back_is_one_of_the_documents(server: Server, site: Web, ada: Person, redirect: str) -> None:
    client = app(server, site.document(path()))
    dead_end(ada.open(client.link(redirect_uri=redirect)))
    assert starts(ada, client.link())


IDS = [
    "https://user@{host}/client.json",
    "https://user:pass@{host}/client.json",
    "https://{host}/a/../client.json",
    "https://{host}/./client.json",
    "https://{host}/%2e%2e/client.json",
    "https://{host}/client.json#x",
    "https://{host}",
    "https://{host}/",
    "ftp://{host}/client.json",
    "file:///etc/passwd",
    "https:///client.json",
    "https://{host}\\client.json",
    "HTTPS://{host}/client.json",
]


@pytest.mark.parametrize("id", IDS)
def test_an_id_that_is_no_plain_address_of_a_document_is_not_fetched(
    server: Server, site: Web, ada: Person, id: str
) -> None:
    """Guard: https, a path, no name and password, no dots, no fragment."""
    host = site.url("").removeprefix("https://")
    site.document("/client.json", client_id=id.replace("{host}", host))
    site.document("/", client_id=id.replace("{host}", host))
    reached = site.reached
    dead_end(ada.open(app(server, id.replace("{host}", host)).link()))
    assert site.reached == reached
    assert starts(ada, app(server, site.document(path())).link())


def page(body: bytes | Json, status: int = 200, **headers: str) -> Page:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Page(
        raw,
        status,
        {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()},
    )


def test_a_redirect_is_not_followed_to_a_document(server: Server, site: Web, tls: Papers, ada: Person) -> None:
    """Guard: the address of a document is where it is; a redirect could lead anywhere."""
    with web(tls.chain) as elsewhere:
        for status in (301, 302, 303, 307, 308):
            at = path()
            id = site.document(at)
            elsewhere.pages[at] = site.pages[at]
            site.pages[at] = page(b"", status, Location=elsewhere.url(at))
            dead_end(ada.open(app(server, id).link()))
            site.pages["/there.json"] = elsewhere.pages[at]
            same = path()
            id = site.document(same)
            site.pages[same + ".real"] = site.pages[same]
            site.pages[same] = page(b"", status, Location=same + ".real")
            dead_end(ada.open(app(server, id).link()))
            assert same + ".real" not in site.seen
        assert elsewhere.reached == 0
    assert starts(ada, app(server, site.document(path())).link())


@pytest.mark.parametrize("case", ["missing", "too-large", "endless-nesting", "no-json", "html", "a-list", "nothing"])
def test_what_is_no_document_is_a_dead_end(server: Server, site: Web, ada: Person, case: str) -> None:
    """Guards: a good status, JSON, an object, and not too large."""
    at = path()
    id = site.document(at)
    good = site.pages[at].body
    site.pages[at] = {
        "missing": page(good, 404),
        "too-large": page(good[:-1] + b', "x": "' + b"x" * 70_000 + b'"}'),
        "endless-nesting": page(good[:-1] + b', "x": ' + b"[" * 9000 + b"]" * 9000 + b"}"),
        "no-json": page(b"nonsense"),
        "html": Page(good, 200, {"Content-Type": "text/html"}),
        "a-list": page(b"[" + good + b"]"),
        "nothing": page(b""),
    }[case]
    dead_end(ada.open(app(server, id).link()))
    assert starts(ada, app(server, site.document(path())).link())


def test_a_certificate_that_nobody_vouches_for_is_not_believed(
    server: Server, tmp_path: Path, site: Web, ada: Person
) -> None:
    """Guard: TLS is checked; the document decides who gets codes."""
    with web(papers(tmp_path, "127.0.0.1").chain) as liar:
        dead_end(ada.open(app(server, liar.document(path())).link()))
        assert liar.seen == []
    dead_end(ada.open(app(server, site.document(path(), host="127.0.0.2")).link()))
    assert starts(ada, app(server, site.document(path())).link())


# Where it may stand


PRIVATE = [
    "127.0.0.1",
    "localhost",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "127.0.0.1.",
    "localhost.",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "0.0.0.0",
    "[::]",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "[fe80::1]",
    "[fd00::1]",
    "[64:ff9b::7f00:1]",
]


@pytest.fixture(scope="module")
def guarded(tls: Papers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A gateway as it is by default."""
    with built_in(tmp_path_factory.mktemp("guarded"), env={"SSL_CERT_FILE": str(tls.root)}) as server:
        yield server


@pytest.mark.parametrize("host", PRIVATE)
def test_nothing_inside_is_fetched_for_a_stranger(guarded: Server, server: Server, site: Web, host: str) -> None:
    """Guard: documents stand at public addresses; loopback, private networks and clouds' metadata are refused at once."""
    at = path()
    id = site.document(at, host)
    reached = site.reached
    told = dead_end(Person(guarded).open(app(guarded, id).link()))
    # A stranger is told of no difference; whoever runs it is.
    if "is no web address in its plain form" not in told:
        said = guarded.says("a client's document cannot be read", f'host="{host}"')
        # Not every machine knows the name with the dot behind it.
        assert "address is private" in said or (host == "localhost." and "failed to lookup address" in said)
    assert site.reached == reached
    # The twin: the same address is fetched where the settings let it.
    if host in ("127.0.0.1", "localhost"):
        assert starts(Person(server), app(server, id).link())


def test_the_page_does_not_tell_what_was_found_inside(guarded: Server) -> None:
    """Guard: whoever asks cannot scan a network by the answers."""
    with web(None) as busy, web(None) as gone:
        ports = [busy.server_port, gone.server_port]
        gone.server_close()
        told = []
        for port in ports:
            id = f"https://127.0.0.1:{port}/some/client.json"
            told.append(
                str(Forms(dead_end(Person(guarded).open(app(guarded, id).link())))).replace(str(port), "<port>")
            )
        assert told[0] == told[1]


@dataclass
class Rebound:
    outcomes: Json

    def private(self, name: str) -> int:
        return self.outcomes[name]["private"]

    def public(self, name: str) -> int:
        return self.outcomes[name]["public"]

    def started(self, name: str) -> list[bool]:
        return [started for _, started in self.outcomes[name]["answers"]]


@pytest.fixture(scope="module")
def rebound(tmp_path_factory: pytest.TempPathFactory) -> Rebound:
    """What a gateway does whose names are answered by an attacker; in namespaces of its own, where those are permitted."""
    unshare = [shutil.which("unshare") or "unshare", "--mount", "--net"]
    if os.getuid() != 0:
        unshare += ["--user", "--map-root-user"]
    ip = ["sh", "-c", "command -v ip && mount --bind /etc/hosts /etc/hosts"]
    may = subprocess.run([*unshare, *ip], capture_output=True, text=True)
    if may.returncode != 0:
        pytest.skip(f"namespaces are not permitted here: {may.stderr.strip()}")
    command = [*unshare, sys.executable, "-m", "oauth.rebinding", str(tmp_path_factory.mktemp("rebinding"))]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stderr
    return Rebound(json.loads(done.stdout.splitlines()[-1]))


def test_a_public_document_is_fetched(rebound: Rebound) -> None:
    """The twin of all below: names are resolved, TLS is believed, and a public address is reached."""
    assert all(rebound.started("steady")) and rebound.public("steady") == 4


@pytest.mark.parametrize(
    "name", ["private", "changes", "changes-late", "both", "both-otherwise", "metadata", "mapped", "loopback6"]
)
def test_a_name_that_changes_its_meaning_leads_nowhere_inside(rebound: Rebound, name: str) -> None:
    """Guard: the address that is connected to is the one that was checked (DNS rebinding between check and use)."""
    assert rebound.private(name) == 0
    if name.startswith("changes"):
        # What was asked while the name was public may have been fetched, and nothing after.
        assert rebound.started(name)[-1] is False
    if name in ("private", "metadata", "mapped", "loopback6"):
        assert not any(rebound.started(name))
    assert rebound.outcomes["log"] == []


def test_a_document_without_tls_is_not_fetched(rebound: Rebound) -> None:
    """Guard: whoever sits between could write the document, so it comes by https, from public addresses at least."""
    assert rebound.outcomes["plain"] == {"answer": 400, "reached": 0}


def test_nobody_inside_was_even_connected_to(rebound: Rebound) -> None:
    assert rebound.outcomes["reached"]["private"] == 0


def test_hosts_of_clients_can_be_limited(tls: Papers, site: Web, tmp_path: Path) -> None:
    """Guard: with `clientHosts` only these are fetched, by whole names."""
    env = {"SSL_CERT_FILE": str(tls.root)}
    with built_in(tmp_path, env=env, allowPrivateClients=True, clientHosts=["localhost", "*.good.example"]) as server:
        reached = site.reached
        for host in ("127.0.0.1", "good.example.evil.example", "evilgood.example", "xlocalhost", "good.example"):
            dead_end(Person(server).open(app(server, site.document(path(), host)).link()))
        assert site.reached == reached
        assert starts(Person(server), app(server, site.document(path(), "localhost")).link())


# Clients with keys


def assertion(server: Server, id: str, with_key: str = "p256-1", alg: str | None = None, **changes: Any) -> Json:
    now = int(time.time())
    claims = {"iss": id, "sub": id, "aud": f"{server.base}/oauth/token", "iat": now, "exp": now + 60, "jti": some()}
    told = {name: value for name, value in (claims | changes).items() if value is not None}
    return {
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": jwt.encode(told, key(with_key), alg or algorithm(with_key), headers={"kid": with_key}),
    }


@pytest.fixture(scope="module")
def signing(server: Server, site: Web) -> App:
    """A client that proves itself by keys that its document holds."""
    told = {"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [jwk("p256-1"), jwk("rsa-1")]}}
    return app(server, site.document(path(), **told))


@pytest.mark.parametrize("with_key", ["p256-1", "rsa-1"])
@pytest.mark.parametrize("audience", ["token_endpoint", "issuer"])
def test_a_client_proves_itself_by_its_key(
    server: Server, signing: App, ada: Person, with_key: str, audience: str
) -> None:
    proof = assertion(server, signing.id, with_key, aud=metadata(server.base)[audience])
    assert tokens(signing.redeem(signing.code(ada), **proof))


def test_a_client_proves_itself_by_a_key_that_stands_elsewhere(server: Server, site: Web, ada: Person) -> None:
    site.pages["/jwks.json"] = page({"keys": [jwk("rsa-1")]})
    id = site.document(path(), token_endpoint_auth_method="private_key_jwt", jwks_uri=site.url("/jwks.json"))
    client = app(server, id)
    told = tokens(client.redeem(client.code(ada), **assertion(server, id, "rsa-1")))
    assert tokens(client.refresh(told["refresh_token"], **assertion(server, id, "rsa-1")))
    assert failure(client.redeem(client.code(ada), **assertion(server, id, "rsa-2")), 401) == "invalid_client"


def forged(server: Server, id: str, case: str) -> Json:
    now = int(time.time())
    match case:
        case "no-assertion":
            return {}
        case "of-another-key":
            return assertion(server, id, "p256-2")
        case "for-another":
            return assertion(server, id, aud="https://other.example/token")
        case "for-nobody":
            return assertion(server, id, aud=None)
        case "by-another":
            return assertion(server, id, iss="https://other.example/client.json")
        case "about-another":
            return assertion(server, id, sub="https://other.example/client.json")
        case "expired":
            return assertion(server, id, iat=now - 600, exp=now - 120)
        case "for-ever":
            return assertion(server, id, exp=now + 86_400)
        case "without-end":
            return assertion(server, id, exp=None)
        case "without-id":
            return assertion(server, id, jti=None)
        case "of-another-type":
            return assertion(server, id) | {
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"
            }
    claims = jwt.decode(assertion(server, id)["client_assertion"], options={"verify_signature": False})
    good = assertion(server, id)
    if case == "unsigned":
        return good | {"client_assertion": by_hand({"alg": "none"}, claims, lambda _: b"")}
    return good | {"client_assertion": by_hand({"alg": "HS256", "kid": "p256-1"}, claims, hs256(pem("p256-1")))}


@pytest.mark.parametrize(
    "case",
    ["no-assertion", "of-another-key", "for-another", "for-nobody", "by-another", "about-another", "expired", "for-ever", "without-end", "without-id", "of-another-type", "unsigned", "hs256-with-the-pem"],
)  # fmt: skip
def test_an_assertion_that_proves_nothing_is_refused(server: Server, signing: App, ada: Person, case: str) -> None:
    """Guards of RFC 7523: signature, iss, sub, aud, exp soon, jti."""
    answer = signing.redeem(signing.code(ada), **forged(server, signing.id, case))
    assert failure(answer, answer.status_code) in ("invalid_client", "invalid_request") and answer.status_code in (
        400,
        401,
    )
    assert tokens(signing.redeem(signing.code(ada), **assertion(server, signing.id)))


def test_an_assertion_is_good_once(server: Server, signing: App, ada: Person) -> None:
    """Guard: `jti` is remembered as long as the assertion would be good."""
    proof = assertion(server, signing.id)
    assert tokens(signing.redeem(signing.code(ada), **proof))
    assert failure(signing.redeem(signing.code(ada), **proof), 401) == "invalid_client"


def test_a_key_set_elsewhere_is_fetched_as_carefully_as_the_document(
    server: Server, site: Web, tls: Papers, ada: Person
) -> None:
    """Guard: `jwks_uri` is https, and no redirect is followed to it."""
    with web(None) as plain, web(tls.chain) as elsewhere:
        plain.pages["/jwks.json"] = elsewhere.pages["/jwks.json"] = page({"keys": [jwk("rsa-1")]})
        site.pages["/moved.json"] = page(b"", 302, Location=elsewhere.url("/jwks.json"))
        for uri in ("file:///etc/passwd", site.url("/moved.json"), site.url("/missing.json")):
            id = site.document(path(), token_endpoint_auth_method="private_key_jwt", jwks_uri=uri)
            client = app(server, id)
            first = ada.open(client.link())
            if not isinstance(first, str) and first.status_code == 400:
                continue
            answer = client.redeem(client.code(ada), **assertion(server, id, "rsa-1"))
            assert answer.status_code in (400, 401, 503), uri
        assert elsewhere.reached == 0 and plain.reached == 0


def test_a_document_of_a_signing_client_needs_keys(server: Server, site: Web, ada: Person) -> None:
    dead_end(ada.open(app(server, site.document(path(), token_endpoint_auth_method="private_key_jwt")).link()))
