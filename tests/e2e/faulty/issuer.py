"""The faulty server's issuer of tokens: its documents, its two pages, and its tokens."""

import base64
import hashlib
import html
import json
import secrets
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from faulty.faults import Fault

Json = dict[str, Any]
Form = dict[str, str]

OFFERED = ("notes:read", "audit:read")


class Refusal(Exception):
    """A no, with the word that programs know it by."""

    def __init__(self, words: str, code: str = "invalid_request", status: int = 400) -> None:
        super().__init__(words)
        self.code = code
        self.status = status


@dataclass
class Shown:
    """What a person gets: a page, or the way elsewhere."""

    page: str = ""
    location: str = ""
    cookie: str = ""


@dataclass
class Refresher:
    """What a refresh token is good for, and what it brought when it was used."""

    flow: Form
    successor: Json | None = None


class Issuer:
    def __init__(self, base: str, faults: frozenset[Fault], users: dict[str, str]) -> None:
        self.base = base
        self.faults = faults
        self.users = users
        self.resource = f"{base}/api" if Fault.RESOURCE_IS_ANOTHER in faults else f"{base}/mcp"
        # Its own name, which the resource metadata knows without a slash.
        self.name = f"{base}/" if Fault.ISSUER_WITH_A_SLASH in faults else base
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.clients: dict[str, Json] = {}
        self.flows: dict[str, Form] = {}
        self.browsers: dict[str, str] = {}
        self.codes: dict[str, Form] = {}
        self.refreshers: dict[str, Refresher] = {}

    def has(self, fault: Fault) -> bool:
        return fault in self.faults

    # Documents

    def protected(self) -> Json:
        return {
            "resource": self.resource,
            "authorization_servers": [self.base],
            "scopes_supported": ["notes:read"],
            "bearer_methods_supported": ["header"],
            "resource_name": "Notes",
        }

    def metadata(self) -> Json:
        ways = ["client_secret_post", "client_secret_basic"]
        document = {
            "issuer": self.name,
            "authorization_endpoint": f"{self.base}/authorize",
            "token_endpoint": f"{self.base}/token",
            "registration_endpoint": f"{self.base}/register",
            "jwks_uri": f"{self.base}/jwks",
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "code_challenge_methods_supported": ["plain"] if self.has(Fault.NO_S256) else ["S256"],
            "token_endpoint_auth_methods_supported": ways if self.has(Fault.NO_PUBLIC_CLIENTS) else ["none", *ways],
            "scopes_supported": [*OFFERED, "offline_access"],
            "client_id_metadata_document_supported": True,
            "authorization_response_iss_parameter_supported": True,
        }
        if self.has(Fault.NO_WAY_TO_REGISTER):
            del document["registration_endpoint"], document["client_id_metadata_document_supported"]
        return document

    def keys(self) -> Json:
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key()))
        return {"keys": [public | {"kid": "1", "use": "sig", "alg": "ES256"}]}

    def register(self, wanted: Json) -> Json:
        if self.has(Fault.REGISTRATION_FAILS):
            raise Refusal("the database of clients is full", "server_error", 500)
        redirects = wanted.get("redirect_uris", [])
        if not redirects or (
            self.has(Fault.ONE_REDIRECT_ONLY) and any("/connector/oauth/" in one for one in redirects)
        ):
            raise Refusal("this address is not on the list", "invalid_redirect_uri")
        client = wanted | {"client_id": secrets.token_urlsafe(9), "client_id_issued_at": int(time.time())}
        if wanted.get("token_endpoint_auth_method", "client_secret_basic") != "none":
            client |= {"client_secret": secrets.token_urlsafe(24), "client_secret_expires_at": 0}
        self.clients[client["client_id"]] = client
        return client

    # People

    def authorize(self, asked: Form, cookie: str | None) -> Shown:
        """The first of the two pages, or the second for whoever signed in in this flow."""
        if flow := self.flows.get(asked.get("flow", "")):
            return self.consent_page(asked["flow"], flow) if flow.get("user") else self.sign_in_page(asked["flow"])
        client = self.clients.get(asked.get("client_id", ""))
        if not client or asked.get("redirect_uri") not in client["redirect_uris"]:
            raise Refusal("this client or its address is not known here")
        for name, wanted in {"response_type": "code", "code_challenge_method": "S256"}.items():
            if asked.get(name) != wanted:
                return self.back(asked, error="invalid_request", error_description=f"{name} has to be {wanted}")
        if asked.get("resource", self.resource) != self.resource:
            return self.back(asked, error="invalid_target", error_description="this is not our resource")
        flow, browser = secrets.token_urlsafe(12), cookie or secrets.token_urlsafe(12)
        self.flows[flow] = asked
        self.browsers[browser] = flow
        if self.has(Fault.FOREIGN_SIGN_IN):
            return Shown(page='<div id=root></div><script src="/sign-in.js"></script>')
        return Shown(page=self.sign_in_page(flow).page, cookie=browser)

    def sign_in_page(self, flow: str, said: str = "") -> Shown:
        return Shown(
            f"<h1>Sign in to Notes</h1><p role=alert>{said}</p><form method=post action=/sign-in>"
            f'<input type=hidden name=flow value="{flow}">'
            "<label>Name <input name=username autocomplete=username></label>"
            "<label>Password <input name=password type=password autocomplete=current-password></label>"
            "<button>Sign in</button></form>"
        )

    def consent_page(self, flow: str, asked: Form) -> Shown:
        name = html.escape(str(self.clients[asked["client_id"]].get("client_name", "a program")))
        return Shown(
            f"<h1>Let {name} use Notes?</h1><form method=post action=/consent>"
            f'<input type=hidden name=flow value="{flow}">'
            "<button name=decision value=deny>Deny</button><button name=decision value=allow>Allow</button></form>"
        )

    def flow_of(self, form: Form, cookie: str | None) -> Form:
        """The flow that a form belongs to, when it comes from the browser that began it."""
        if self.browsers.get(cookie or "") != form.get("flow") or form.get("flow") not in self.flows:
            raise Refusal("this page is of another browser")
        return self.flows[form["flow"]]

    def sign_in(self, form: Form, cookie: str | None) -> Shown:
        flow = self.flow_of(form, cookie)
        if self.users.get(form.get("username", "")) != form.get("password"):
            return self.sign_in_page(form["flow"], "Name or password are wrong.")
        flow["user"] = form["username"]
        return Shown(location=f"{self.base}/authorize?flow={form['flow']}")

    def consent(self, form: Form, cookie: str | None) -> Shown:
        flow = self.flow_of(form, cookie)
        if not flow.get("user"):
            raise Refusal("sign in first")
        del self.flows[form["flow"]]
        if form.get("decision") != "allow":
            return self.back(flow, error="access_denied", error_description="the person said no")
        code = secrets.token_urlsafe(24)
        self.codes[code] = flow
        return self.back(flow, code=code)

    def back(self, asked: Form, **answer: str) -> Shown:
        if "state" in asked and not self.has(Fault.STATE_IS_LOST):
            answer["state"] = asked["state"]
        if not self.has(Fault.ISS_IS_NOT_SENT):
            answer["iss"] = "https://issuer.example" if self.has(Fault.ISS_IS_ANOTHER) else self.name
        return Shown(location=f"{asked['redirect_uri']}?{urlencode(answer)}")

    # Tokens

    def token(self, form: Form) -> Json:
        client = self.clients.get(form.get("client_id", ""))
        if not client or client.get("client_secret") != form.get("client_secret"):
            raise Refusal("this client is not known here", "invalid_client", 401)
        match form.get("grant_type"):
            case "authorization_code":
                return self.tokens(self.redeem(form))
            case "refresh_token":
                return self.refresh(form.get("refresh_token", ""))
        raise Refusal("there is no such grant", "unsupported_grant_type")

    def refresh(self, used: str) -> Json:
        """New tokens; whoever asks again, as the answer got lost, gets the same."""
        known = self.refreshers.get(used)
        if not known or self.has(Fault.REFRESH_FAILS):
            raise Refusal("this token was used already", "invalid_grant")
        if self.has(Fault.REFRESH_BEARS_NO_REPETITION):
            del self.refreshers[used]
        known.successor = known.successor or self.tokens(known.flow)
        return known.successor

    def redeem(self, form: Form) -> Form:
        code = form.get("code", "")
        flow = self.codes.get(code) if self.has(Fault.CODE_COUNTS_TWICE) else self.codes.pop(code, None)
        if not flow or any(flow[name] != form.get(name) for name in ("client_id", "redirect_uri")):
            raise Refusal("this code is not good", "invalid_grant")
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        fits = base64.urlsafe_b64encode(digest).decode().rstrip("=") == flow.get("code_challenge")
        if not fits and not self.has(Fault.VERIFIER_IS_NOT_CHECKED):
            raise Refusal("the verifier is not the one that was announced", "invalid_grant")
        return flow

    def tokens(self, flow: Form) -> Json:
        scopes = [scope for scope in flow.get("scope", "notes:read").split() if scope in OFFERED] or ["notes:read"]
        now = int(time.time())
        claims = {
            "iss": self.name,
            "sub": flow["user"],
            "aud": "https://another.example/mcp" if self.has(Fault.TOKEN_IS_FOR_ANOTHER) else self.resource,
            "iat": now,
            "exp": now + 3600,
            "jti": secrets.token_urlsafe(9),
            "client_id": flow["client_id"],
            "scope": " ".join(scopes),
        }
        access = jwt.encode(claims, self.key, "ES256", headers={"kid": "1", "typ": "at+jwt"})
        answer = {"access_token": access, "token_type": "Bearer", "expires_in": 3600, "scope": claims["scope"]}
        if not self.has(Fault.NO_REFRESH_TOKEN):
            refresher = secrets.token_urlsafe(24)
            self.refreshers[refresher] = Refresher(flow)
            answer["refresh_token"] = refresher
        return answer

    def scopes(self, shown: str) -> set[str] | None:
        """What the bearer of a proof may do; nothing for nobody."""
        scheme, _, token = shown.partition(" ")
        if scheme.lower() != "bearer":
            return None
        if self.has(Fault.ANY_TOKEN_COUNTS):
            return {"notes:read"}
        audience = "https://another.example/mcp" if self.has(Fault.TOKEN_IS_FOR_ANOTHER) else self.resource
        try:
            claims = jwt.decode(token, self.key.public_key(), ["ES256"], audience=audience, issuer=self.name)
        except jwt.InvalidTokenError:
            return None
        return set(claims["scope"].split())
