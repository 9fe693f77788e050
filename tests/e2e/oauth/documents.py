"""Clients that describe themselves by a document at their id: a web server for such documents, with TLS and its own roots."""

import datetime
import ipaddress
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from loopback import listening
from wire import Json

from .client import REDIRECT


@dataclass
class Papers:
    """A certificate for some names, and the root that vouches for it."""

    chain: Path
    root: Path


def papers(folder: Path, *names: str) -> Papers:
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.UTC)

    def certificate(subject: str, of: Any, by: Any, issuer: str, *extensions: tuple[Any, bool]) -> x509.Certificate:
        builder = x509.CertificateBuilder(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]),
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]),
            of.public_key(),
            x509.random_serial_number(),
            now - datetime.timedelta(days=1),
            now + datetime.timedelta(days=30),
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(by, hashes.SHA256())

    root_key, own_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = certificate("tests", root_key, root_key, "tests", (x509.BasicConstraints(True, 0), True))
    known = [name(each) for each in names]
    own = certificate(
        "tests' web", own_key, root_key, "tests",
        (x509.SubjectAlternativeName(known), False),
        (x509.BasicConstraints(False, None), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
    )  # fmt: skip
    pem = serialization.Encoding.PEM
    secret = own_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "chain.pem").write_bytes(secret + own.public_bytes(pem))
    (folder / "root.pem").write_bytes(root.public_bytes(pem))
    return Papers(folder / "chain.pem", folder / "root.pem")


def name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


@dataclass
class Page:
    """What is found at a path."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


class Web(ThreadingHTTPServer):
    """Pages by path; `seen` holds the paths asked for, `reached` counts connections."""

    daemon_threads = True

    def __init__(self, chain: Path | None, address: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__((address, port), WebHandler)
        self.pages: dict[str, Page] = {}
        self.seen: list[str] = []
        self.reached = 0
        self.scheme = "https" if chain else "http"
        if chain:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(chain)
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        self.reached += 1
        return True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who breaks off is no news."""

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.server_port}{path}"

    def document(self, path: str, host: str = "127.0.0.1", **changes: Any) -> str:
        """Publishes a client's document and gives the client's id; a member given as None is left out."""
        id = self.url(path, host)
        told = document(id) | changes
        self.pages[path.partition("?")[0]] = Page(
            json.dumps({name: value for name, value in told.items() if value is not None}).encode()
        )
        return id


class WebHandler(BaseHTTPRequestHandler):
    server: Web

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.seen.append(path)
        page = self.server.pages.get(path, Page(b"{}", 404))
        self.send_response(page.status)
        for name, value in {"Content-Length": str(len(page.body)), "Connection": "close", **page.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(page.body)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


def document(id: str) -> Json:
    return {
        "client_id": id,
        "client_name": "Documented",
        "redirect_uris": [REDIRECT],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    }


@contextmanager
def web(chain: Path | None, address: str = "127.0.0.1", port: int = 0) -> Iterator[Web]:
    with listening(Web(chain, address, port)) as server:
        yield server
