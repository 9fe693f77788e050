"""Proxies that stand before a server as they do elsewhere: with TLS, under a path, and with a Host of their own."""

import datetime
import ipaddress
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from harness import ROOT, kill_tree, until

# Where tests/run puts the proxies that the machine lacks, and where systems hide theirs from people.
PLACES = os.pathsep.join(
    [os.environ["PATH"], "/usr/sbin", *(str(ROOT / f"tests/.proxies/usr/{bin}") for bin in ("sbin", "bin"))]
)
PREFIX = "/tools"


def program(name: str) -> str:
    found = shutil.which(name, path=PLACES)
    assert found, f"no {name}: `tests/run install` looks for it"
    return found


@dataclass
class Certificate:
    """A certificate for this machine and the hosts it stands in for, which nobody believes who was not told to."""

    folder: Path

    @property
    def authority(self) -> Path:
        return self.folder / "authority.pem"

    @property
    def chain(self) -> Path:
        return self.folder / "certificate.pem"

    @property
    def key(self) -> Path:
        return self.folder / "key.pem"

    def believed(self) -> ssl.SSLContext:
        """For clients that were told."""
        return ssl.create_default_context(cafile=self.authority)

    def shown(self) -> ssl.SSLContext:
        """For servers."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain, self.key)
        return context


def certificate(folder: Path, *hosts: str) -> Certificate:
    """Makes one, and who vouches for it."""
    made = Certificate(folder)
    authority, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer, subject = (x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in ("tests", "a test"))
    now = datetime.datetime.now(datetime.UTC)
    here = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    named = x509.SubjectAlternativeName([*(x509.DNSName(host) for host in ("localhost", *hosts)), here])

    def signed(name: x509.Name, public: ec.EllipticCurvePublicKey, *extensions: x509.ExtensionType) -> bytes:
        builder = x509.CertificateBuilder(issuer, name, public, x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(days=1))
        builder = builder.not_valid_after(now + datetime.timedelta(days=1))
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    vouching = x509.BasicConstraints(ca=True, path_length=0)
    made.authority.write_bytes(signed(issuer, authority.public_key(), vouching))
    made.chain.write_bytes(signed(subject, key.public_key(), x509.BasicConstraints(ca=False, path_length=None), named))
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    made.key.write_bytes(secret)
    return made


# Each takes nothing but the path it was given, hands it on as it came (nginx) or without its beginning (Caddy), and
# names the server behind it in Host, as nginx does unless it is told not to.

NGINX = """
daemon off; master_process off; pid {home}/pid; error_log stderr warn;
events {{ }}
http {{
  access_log off;
  client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/fastcgi;
  uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {chain}; ssl_certificate_key {key};
    location {prefix}/ {{
      proxy_pass http://{behind};
      proxy_http_version 1.1;
      proxy_set_header Connection '';
      proxy_buffering off;
    }}
  }}
}}
"""

CADDY = """
{{
  admin off
  auto_https off
  default_bind 127.0.0.1
  skip_install_trust
}}
https://localhost:{port} {{
  tls {chain} {key}
  handle_path {prefix}/* {{
    reverse_proxy {behind} {{
      header_up Host {{upstream_hostport}}
      flush_interval -1
    }}
  }}
  respond 404
}}
"""


def nginx(home: Path) -> list[str]:
    return [program("nginx"), "-e", "stderr", "-p", str(home), "-c", str(home / "configuration")]


def caddy(home: Path) -> list[str]:
    return [program("caddy"), "run", "--config", str(home / "configuration"), "--adapter", "caddyfile"]


Command = Callable[[Path], list[str]]
KINDS: dict[str, tuple[str, Command]] = {"nginx": (NGINX, nginx), "caddy": (CADDY, caddy)}


@contextmanager
def before(kind: str, behind: str, port: int, certificate: Certificate) -> Iterator[None]:
    """Runs a proxy of this kind on a port before the server at `behind` (host and port) until the block ends."""
    text, command = KINDS[kind]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        settings = {"home": home, "port": port, "behind": behind, "prefix": PREFIX}
        settings |= {"chain": certificate.chain, "key": certificate.key}
        (home / "configuration").write_text(text.format(**settings))
        env = {**os.environ, "HOME": folder, "XDG_DATA_HOME": folder, "XDG_CONFIG_HOME": folder}
        with (home / "log").open("w") as log:
            process = subprocess.Popen(command(home), env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            until(lambda: process.poll() is not None or listens(port), f"{kind} on port {port}")
            assert process.poll() is None, (home / "log").read_text()
            yield
        finally:
            kill_tree(process)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
