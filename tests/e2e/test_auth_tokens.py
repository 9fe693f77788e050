"""Tokens of an issuer elsewhere: which count, which do not, and what an issuer that fails or changes its keys means.

The tokens are made by PyJWT, the forged ones by hand; each refusal is next to a good token that gets in.
"""

import base64
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness import Server, until
from oauth.documents import Page, papers, web
from oauth.forge import Issuer, b64, by_hand, hs256, issuer, jwk, pem, signed
from oauth.gateway import Caller, challenge, denied, gateway
from test_search import Reply
from wire import Json, error, result, text

SCOPES = ["docs:read", "docs:write"]


@dataclass
class Gate:
    server: Server
    issuer: Issuer

    def caller(self, token: str | None) -> Caller:
        return Caller(self.server, token)


@contextmanager
def gate_in(home: Path, issuer: Issuer, /, env: dict[str, str] | None = None, **oauth: Any) -> Iterator[Gate]:
    told = {"issuer": issuer.url, "allowPrivate": True, "scopes": SCOPES} | oauth
    unlimited = {"limits": {"strangersPerMinute": 100_000}}
    with gateway(home, auth={"mode": "oauth", "oauth": told}, env=env, more=unlimited) as server:
        issuer.audience = f"{server.base}/mcp"
        yield Gate(server, issuer)


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A gateway and its issuer; nobody changes either."""
    with issuer() as own, gate_in(tmp_path_factory.mktemp("gate"), own) as gate:
        yield gate


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Issuer]:
    """An issuer that a test may change."""
    with issuer() as own:
        yield own


# The table of attacks


def unsigned(alg: str) -> Callable[[Issuer], str]:
    return lambda own: by_hand({"alg": alg, "typ": "at+jwt", "kid": "rsa-1"}, own.claims(), lambda _: b"")


def confused(secret: Callable[[], bytes], **header: Any) -> Callable[[Issuer], str]:
    told = {"alg": "HS256", "typ": "at+jwt", "kid": "rsa-1"} | header
    return lambda own: by_hand(told, own.claims(), hs256(secret()))


def modulus() -> bytes:
    return base64.urlsafe_b64decode(jwk("rsa-1")["n"] + "==")


def saying(**changes: Any) -> Callable[[Issuer], str]:
    return lambda own: own.token(**changes)


def headed(**header: Any) -> Callable[[Issuer], str]:
    return lambda own: signed(own.claims(), **header)


def altered(own: Issuer) -> str:
    header, _, signature = own.token().split(".")
    return f"{header}.{b64(own.claims(sub='root', scope='docs:write'))}.{signature}"


def headed_by_another(own: Issuer, **header: Any) -> str:
    """Signed with a key of the attacker's own, under the name of one of the issuer's."""
    return signed(own.claims(), "rsa-2", **({"kid": "rsa-1"} | header))


def now(seconds: int) -> int:
    return int(time.time()) + seconds


ATTACKS: dict[str, tuple[str, Callable[[Issuer], str]]] = {
    # id: (the guard that refuses it, the token)
    "wrong-audience": ("aud must name us", saying(aud="https://other.example/mcp")),
    "audience-of-the-issuer": ("aud must name us", lambda own: own.token(aud=own.url)),
    "audience-below-ours": ("aud is compared whole", lambda own: own.token(aud=own.audience + "/more")),
    "audience-that-begins-like-ours": (
        "aud is compared whole",
        lambda own: own.token(aud=own.audience + ".evil.example"),
    ),
    "audience-of-our-host-only": (
        "aud is compared whole",
        lambda own: own.token(aud=own.audience.removesuffix("/mcp")),
    ),
    "other-audiences": ("one of several aud must name us", saying(aud=["https://a.example", "https://b.example"])),
    "no-audience": ("aud must be there", saying(aud=None)),
    "empty-audience": ("aud must name us", saying(aud=[])),
    "alg-none": ("the algorithm is on a list", unsigned("none")),
    "alg-None": ("the algorithm is on a list", unsigned("None")),
    "alg-nOnE": ("the algorithm is on a list", unsigned("nOnE")),
    "alg-empty": ("the algorithm is on a list", unsigned("")),
    "hs256-with-the-pem": ("no symmetric algorithm", confused(lambda: pem("rsa-1"))),
    "hs256-with-the-pem-stripped": ("no symmetric algorithm", confused(lambda: pem("rsa-1").strip())),
    "hs256-with-the-jwk": ("no symmetric algorithm", confused(lambda: json.dumps(jwk("rsa-1")).encode())),
    "hs256-with-the-modulus": ("no symmetric algorithm", confused(modulus)),
    "hs256-with-nothing": ("no symmetric algorithm", confused(lambda: b"")),
    "hs256-without-kid": ("no symmetric algorithm", confused(lambda: pem("rsa-1"), kid=None)),
    "expired": ("exp is checked", lambda own: own.token(iat=now(-900), exp=now(-120))),
    "expired-long-ago": ("exp is checked", saying(iat=1, exp=2)),
    "never-expires": ("exp must be there", saying(exp=None)),
    "expires-by-word": ("exp is a number", saying(exp="never")),
    "not-yet-valid": ("nbf is checked", lambda own: own.token(nbf=now(120))),
    "issued-in-the-future": ("iat is checked", lambda own: own.token(iat=now(600), exp=now(900))),
    "other-issuer": ("iss is ours", saying(iss="https://issuer.evil.example")),
    "issuer-with-a-slash": ("iss is compared character by character", lambda own: own.token(iss=own.url + "/")),
    "issuer-in-capitals": ("iss is compared character by character", lambda own: own.token(iss=own.url.upper())),
    "no-issuer": ("iss must be there", saying(iss=None)),
    "key-of-another": ("the signature is checked", headed_by_another),
    "key-in-the-token": (
        "a key in the token is no key of the issuer",
        lambda own: headed_by_another(own, jwk=jwk("rsa-2"), kid=None),
    ),
    "key-where-the-token-says": (
        "an address in the token is not asked",
        lambda own: headed_by_another(own, jku=f"{own.url}/evil-jwks", kid="rsa-2"),
    ),
    "altered-claims": ("the signature is checked", altered),
    "no-signature": ("the signature is checked", lambda own: own.token().rsplit(".", 1)[0] + "."),
    "a-part-too-many": ("a token has three parts", lambda own: own.token() + ".x"),
    "algorithm-of-another-key": (
        "the algorithm fits the key",
        lambda own: signed(own.claims(), "p256-1", kid="rsa-1"),
    ),
    "algorithm-the-key-is-not-for": ("the key's alg is heeded", lambda own: signed(own.claims(), alg="PS256")),
    "critical-extension": ("crit is not ignored", headed(crit=["x"], x=1)),
    "id-token-by-type": ("typ is heeded", headed(typ="id+jwt")),
    "logout-token": ("typ is heeded", headed(typ="logout+jwt")),
    "assertion-of-a-client": ("typ is heeded", headed(typ="client-authentication+jwt")),
    "id-token-by-nonce": ("an ID token is not for us", lambda own: signed(own.claims(nonce="n"), typ="JWT")),
    "bound-to-a-key": (
        "a token that somebody else has to sign with is not for showing alone",
        saying(cnf={"jkt": "x"}),
    ),
    "opaque": ("nobody is asked about tokens that cannot be read", lambda own: "opaque-" + "x" * 40),
    "encrypted": (
        "a token has three parts",
        lambda own: ".".join([b64({"alg": "dir", "enc": "A256GCM"}), "", "a", "b", "c"]),
    ),
    "not-json": ("a token is JSON", lambda own: f"{b64(b'nonsense')}.{b64(b'[]')}.x"),
    "a-list-of-claims": ("a token is an object", lambda own: by_hand({"alg": "none"}, [1], lambda _: b"")),  # type: ignore[arg-type]
    "deep": (
        "a token is small",
        lambda own: by_hand({"alg": "RS256"}, {"a": json.loads("[" * 90 + "]" * 90)}, lambda _: b"x"),
    ),
    "key-of-the-shape-of-ours": ("a key has to be one of ours", lambda own: "sb_" + "a" * 10 + "_" + "A" * 43),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_token_that_is_not_ours_to_take_is_refused(gate: Gate, attack: str) -> None:
    """The guard each one holds is written beside it; the last word has a good token, which differs in that alone."""
    guard, forged = ATTACKS[attack]
    told = denied(gate.caller(forged(gate.issuer)).ask("tools/list"))
    assert told["resource_metadata"] == f"{gate.server.base}/.well-known/oauth-protected-resource/mcp", guard
    assert denied(gate.caller(forged(gate.issuer)).call("board_look"))
    assert gate.issuer.asked("/evil-jwks") == 0
    assert gate.caller(gate.issuer.token()).counts(), guard


GOOD: dict[str, Callable[[Issuer], str]] = {
    "rs256": lambda own: own.token("rsa-1"),
    "es256": lambda own: own.token("p256-1"),
    "es384": lambda own: own.token("p384-1"),
    "eddsa": lambda own: own.token("ed-1"),
    "of-type-jwt": headed(typ="JWT"),
    "of-type-application-at+jwt": headed(typ="application/at+jwt"),
    "without-type": headed(typ=None),
    "for-us-and-others": lambda own: own.token(aud=["https://other.example", own.audience]),
    "expired-within-the-leeway": lambda own: own.token(exp=now(-10)),
    "issued-within-the-leeway": lambda own: own.token(iat=now(10), nbf=now(10)),
    "without-scope": saying(scope=None),
}


@pytest.mark.parametrize("kind", GOOD)
def test_a_good_token_gets_in(gate: Gate, kind: str) -> None:
    assert gate.caller(GOOD[kind](gate.issuer)).counts()


def test_ps256_counts_when_the_key_is_for_it_or_for_anything(tmp_path: Path, own: Issuer) -> None:
    """Guard: the algorithm fits the key's `alg`; without one, its kind."""
    own.keys = [jwk("rsa-1", alg="PS256"), jwk("rsa-2", alg=None), jwk("rsa-3", use="enc", alg=None)]
    with gate_in(tmp_path, own) as gate:
        assert gate.caller(signed(own.claims(), "rsa-1", "PS256")).counts()
        assert gate.caller(signed(own.claims(), "rsa-2", "PS256")).counts()
        assert gate.caller(signed(own.claims(), "rsa-2", "RS512")).counts()
        denied(gate.caller(signed(own.claims(), "rsa-1", "RS256")).ask("tools/list"))
        # A key to encrypt with signs nothing.
        denied(gate.caller(signed(own.claims(), "rsa-3")).ask("tools/list"))


def test_without_a_proof_the_challenge_names_no_error(gate: Gate) -> None:
    """A client that has nothing yet is told where to ask, and nothing went wrong."""
    answer = gate.caller(None).ask("tools/list")
    assert answer.status_code == 401 and "no-store" in answer.headers["cache-control"]
    told = challenge(answer)
    assert "error" not in told and "scope" in told, told
    assert told["resource_metadata"] == f"{gate.server.base}/.well-known/oauth-protected-resource/mcp"
    assert "offline_access" not in told["scope"].split()
    assert error(answer)["code"] == -32600


@pytest.mark.parametrize(
    "value", ["Basic YTpi", "Bearer", "Token {good}", "{good}", "Bearer {good} {good}", "Bearer {good},{good}"]
)
def test_a_proof_of_another_form_does_not_count(gate: Gate, value: str) -> None:
    """Guard: only `Bearer` and one token; the scheme's case does not matter (the twin)."""
    good = gate.issuer.token()
    headers = {"Authorization": value.replace("{good}", good)}
    assert Caller(gate.server, **headers).ask("tools/list").status_code in (400, 401)
    assert Caller(gate.server, Authorization=f"bearer {good}").counts()


# What a token says of its owner


def profile(caller: Caller) -> Json:
    return caller.does("get_profile")["structuredContent"]


def test_the_profile_is_what_the_issuer_vouches_for(gate: Gate) -> None:
    """Guard: an address that the issuer has not verified is not shown."""
    said = gate.issuer.token(name="Ada L", email="ada@example.org", email_verified=True)
    told = profile(gate.caller(said))
    assert (told["name"], told["email"]) == ("Ada L", "ada@example.org")
    for verified in (False, None, "false"):
        told = profile(gate.caller(gate.issuer.token(email="ada@example.org", email_verified=verified)))
        assert "email" not in told and told["id"]
    other = profile(gate.caller(gate.issuer.token(sub="bob")))
    assert other["id"] != told["id"]


@pytest.mark.parametrize(
    "claims",
    [
        {"scope": "docs:read docs:write"},
        {"scope": ["docs:read", "docs:write"]},
        {"scope": None, "scp": ["docs:read", "docs:write"]},
        {"scope": None, "scp": "docs:read docs:write"},
        {"scope": None, "roles": ["docs:read", "docs:write"]},
    ],
    ids=str,
)
def test_scopes_stand_in_the_claims_that_issuers_put_them_in(gate: Gate, claims: Json) -> None:
    assert gate.caller(gate.issuer.token(**claims)).does("docs_write")
    refused = gate.caller(gate.issuer.token(scope=None)).call("docs_write")
    assert refused.status_code == 403


def test_no_issuer_elsewhere_gives_out_everything(gate: Gate) -> None:
    """Guard: `*` is a word of ours; a token that says it holds no scope."""
    assert gate.caller(gate.issuer.token(scope="*")).call("docs_write").status_code == 403
    assert gate.caller(gate.issuer.token(scope="* docs:read")).does("docs_read")


def test_only_the_claims_that_the_settings_name_hold_scopes(tmp_path: Path, own: Issuer) -> None:
    """Guard: `scopeClaims` takes the place of the usual ones."""
    with gate_in(tmp_path, own, scopeClaims=["permissions"]) as gate:
        assert gate.caller(own.token(permissions=["docs:read"])).does("docs_read")
        assert gate.caller(own.token(scope="docs:read")).call("docs_read").status_code == 403


def test_audiences_of_the_settings_take_the_place_of_our_address(tmp_path: Path, own: Issuer) -> None:
    with gate_in(tmp_path, own, audience=["api://gateway"]) as gate:
        assert gate.caller(own.token(aud="api://gateway")).counts()
        denied(gate.caller(own.token()).ask("tools/list"))


# Keys that change, and an issuer that is away


def test_a_new_key_is_looked_for_once_and_forged_names_cost_the_issuer_nothing(tmp_path: Path, own: Issuer) -> None:
    """Guard: an unknown key's name has the keys fetched again, but not for everybody who makes up a name."""
    with gate_in(tmp_path, own) as gate:
        assert gate.caller(own.token()).counts()
        assert own.asked("/jwks") == 1
        own.keys = [jwk("rsa-2")]
        assert gate.caller(own.token("rsa-2")).counts()
        assert own.asked("/jwks") == 2
        for number in range(20):
            denied(gate.caller(signed(own.claims(), "rsa-3", kid=f"made-up-{number}")).ask("tools/list"))
        assert own.asked("/jwks") == 2
        # The old one is gone with the fetch.
        denied(gate.caller(own.token("rsa-1", sub="somebody else")).ask("tools/list"))


def test_known_keys_serve_while_the_issuer_is_away(tmp_path: Path, own: Issuer) -> None:
    with gate_in(tmp_path, own) as gate:
        assert gate.caller(own.token()).counts()
        own.away = True
        assert gate.caller(own.token(sub="another")).counts()
        # Nothing known of this one, and nobody to ask: not the client's fault.
        answer = gate.caller(own.token("rsa-2")).ask("tools/list")
        assert answer.status_code in (401, 503)
        assert gate.caller(own.token(sub="a third")).counts()


def test_an_issuer_that_is_away_is_said_so_and_asked_again(tmp_path: Path, own: Issuer) -> None:
    """Guard: a check that cannot be made lets nobody in, and is no `invalid_token` that would make clients start over."""
    own.away = True
    with gate_in(tmp_path, own) as gate:
        answer = gate.caller(own.token()).ask("tools/list")
        assert answer.status_code == 503 and int(answer.headers["retry-after"]) >= 1, answer.text
        assert "invalid_token" not in answer.headers.get("www-authenticate", "")
        assert own.url not in answer.text
        before = len(own.api.seen)
        for _ in range(5):
            assert gate.caller(own.token()).ask("tools/list").status_code == 503
        assert len(own.api.seen) - before <= 3, "a failure is remembered for a while"
        own.away = False
        until(lambda: gate.caller(own.token()).ask("tools/list").status_code == 200, "the issuer's return")


def test_many_at_once_fetch_the_keys_once(tmp_path: Path, own: Issuer) -> None:
    """Guard: one fetch for all who wait for it."""
    with gate_in(tmp_path, own) as gate, ThreadPoolExecutor(16) as threads:
        callers = [gate.caller(own.token(sub=f"caller {number}")) for number in range(16)]
        assert all(threads.map(Caller.counts, callers))
        assert own.asked("/jwks") == 1 and own.asked("/.well-known/openid-configuration") == 1


UNFIT: list[Json] = [
    {"issuer": "https://issuer.evil.example"},
    {"issuer": None},
    {"jwks_uri": None},
    {"jwks_uri": "file:///etc/passwd"},
    {"jwks_uri": 7},
]


def test_what_an_issuer_says_of_itself_has_to_fit(tmp_path: Path) -> None:
    """Guard: metadata of another issuer's name is not this issuer's; keys come by HTTP only. (RFC 8414, 3.3)"""
    with ExitStack() as stack:
        gates = []
        for number, told in enumerate(UNFIT):
            own = stack.enter_context(issuer())
            own.told = told
            gates.append(stack.enter_context(gate_in(tmp_path / str(number), own)))
        for gate in gates:
            assert gate.caller(gate.issuer.token()).ask("tools/list").status_code == 503, gate.issuer.told
            gate.issuer.told = {}
        for gate in gates:
            caller = gate.caller(gate.issuer.token())
            until(lambda it=caller: it.ask("tools/list").status_code == 200, "metadata that fits")


def test_metadata_and_keys_are_not_followed_elsewhere(tmp_path: Path, own: Issuer) -> None:
    """Guard: no redirect is followed to metadata or keys."""
    with issuer() as evil:
        evil.told = {"issuer": own.url}
        for path in ("/jwks", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"):
            own.api.answers[path] = lambda seen: Reply(302, headers={"Location": f"{evil.url}{seen.path}"})
        with gate_in(tmp_path, own) as gate:
            assert gate.caller(own.token()).ask("tools/list").status_code == 503
            assert evil.api.seen == []
            Issuer.__init__(own, own.api)
            own.audience = f"{gate.server.base}/mcp"
            until(lambda: gate.caller(own.token()).ask("tools/list").status_code == 200, "metadata of its own")


def test_an_issuer_below_a_path_is_found_where_rfc_8414_puts_it(tmp_path: Path, own: Issuer) -> None:
    url = f"{own.url}/tenants/7"
    document = lambda _: own.metadata() | {"issuer": url}  # noqa: E731
    del own.api.answers["/.well-known/openid-configuration"]
    own.api.answers["/.well-known/oauth-authorization-server/tenants/7"] = document
    with gate_in(tmp_path, own, issuer=url) as gate:
        assert gate.caller(own.token(iss=url)).counts()
        denied(gate.caller(own.token()).ask("tools/list"))


def test_a_private_issuer_needs_a_word_of_the_settings(tmp_path: Path, own: Issuer) -> None:
    """Guard: without `allowPrivate` nothing on a private address is fetched, and nothing at all without TLS."""
    tls = papers(tmp_path / "tls", "127.0.0.1")
    env = {"SSL_CERT_FILE": str(tls.root)}
    with web(tls.chain) as site:
        url = site.url("")
        told = own.metadata() | {"issuer": url, "jwks_uri": f"{url}/jwks"}
        site.pages["/.well-known/openid-configuration"] = Page(json.dumps(told).encode())
        site.pages["/jwks"] = Page(json.dumps({"keys": own.keys}).encode())
        with gate_in(tmp_path / "closed", own, env=env, allowPrivate=False, issuer=url) as gate:
            assert gate.caller(own.token(iss=url)).ask("tools/list").status_code == 503
            assert site.reached == 0
        with gate_in(tmp_path / "open", own, env=env, issuer=url) as gate:
            assert gate.caller(own.token(iss=url)).counts()
    with pytest.raises(AssertionError, match="https"), gate_in(tmp_path / "plain", own, allowPrivate=False):
        pass


# Tokens that cannot be read


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A gateway that asks its issuer about tokens it cannot read."""
    told = {"clientId": "gateway", "clientSecret": "it+knows="}
    with issuer() as own, gate_in(tmp_path_factory.mktemp("asking"), own, introspection=told) as gate:
        yield gate


OPAQUE: dict[str, tuple[Json, bool]] = {
    "for-us": ({}, True),
    "for-us-and-others": ({"aud": ["https://other.example", "{us}"]}, True),
    "of-the-issuer": ({"iss": "{issuer}"}, True),
    "not-active": ({"active": False}, False),
    "active-by-word": ({"active": "true"}, False),
    "not-said-to-be-active": ({"active": None}, False),
    "for-another": ({"aud": "https://other.example/mcp"}, False),
    "for-nobody-in-particular": ({"aud": None}, False),
    "of-another-issuer": ({"iss": "https://issuer.evil.example"}, False),
    "expired": ({"exp": 2}, False),
    "not-yet": ({"nbf": 33_000_000_000}, False),
    "of-a-program": ({"sub": None}, True),
    "of-nobody": ({"sub": None, "client_id": None}, False),
}


@pytest.mark.parametrize("kind", OPAQUE)
def test_the_issuer_says_of_a_token_whether_it_counts(asking: Gate, kind: str) -> None:
    """Guards: `active` is true, `aud` names us, `iss`, `exp` and `nbf` fit where they are said."""
    said, counts = OPAQUE[kind]
    told = {"active": True, "aud": "{us}", "sub": "ada", "scope": "docs:read", "client_id": "tester"} | said
    told = {name: value for name, value in told.items() if value is not None}
    words = json.dumps(told).replace("{us}", asking.issuer.audience).replace("{issuer}", asking.issuer.url)
    asking.issuer.known[kind] = json.loads(words)
    caller = asking.caller(kind)
    if counts:
        assert text(caller.does("docs_read")) == "read ran"
        assert caller.call("docs_write").status_code == 403
    elif set(said) == {"active"} and said["active"] is not False:
        # An answer that is no answer: nobody is let in, and it is not the token's fault.
        assert caller.ask("tools/list").status_code in (401, 503)
    else:
        denied(caller.ask("tools/list"))


def test_a_token_that_can_be_read_is_not_asked_about(asking: Gate) -> None:
    before = asking.issuer.asked("/introspect")
    assert asking.caller(asking.issuer.token()).counts()
    denied(asking.caller(asking.issuer.token(aud="x")).ask("tools/list"))
    assert asking.issuer.asked("/introspect") == before


def test_an_answer_about_a_token_serves_for_a_while_but_not_past_its_end(asking: Gate) -> None:
    """Guard: what was learnt of a token is not believed longer than the token lives."""
    told = {"active": True, "sub": "ada", "aud": asking.issuer.audience}
    asking.issuer.known["short"] = told | {"exp": now(2)}
    asking.issuer.known["long"] = told | {"exp": now(900)}
    before = asking.issuer.asked("/introspect")
    assert all(asking.caller("long").counts() for _ in range(5))
    assert asking.issuer.asked("/introspect") == before + 1
    assert asking.caller("short").counts()
    asking.issuer.known["short"] = {"active": False}
    until(lambda: not asking.caller("short").counts(), "the token's end")


def test_no_token_is_written_to_the_log(gate: Gate) -> None:
    """Guard: neither good nor refused proofs are logged."""
    good, bad = gate.issuer.token(), gate.issuer.token(aud="x")
    assert gate.caller(good).counts() and not gate.caller(bad).counts()
    assert result(gate.caller(good).ask("tools/list"))
    log = "\n".join(gate.server.log)
    assert good not in log and bad not in log and good.rsplit(".", 1)[1] not in log
