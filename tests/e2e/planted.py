"""Secrets of the tests, and who looks for them: no server of a run may tell one in its log, its records or its pages.

`harness.serve` looks when a server ends, and the whole run's records are looked through when the run ends.
"""

import base64
import re
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import httpx2

PLANTED: set[str] = set()
"""Each in the forms in which it may be written."""
MADE = re.compile(r"\bsb_[0-9a-z]{10}_[\w-]{43}|\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}")
"""Keys that a server made, and tokens of issuers."""
TOLD = ["/", "/health", "/ready", "/status", "/metrics", "/v1/connectors/service-map"]


def plant(secret: str) -> str:
    """Lets this be looked for from here on."""
    PLANTED.update([secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode()])
    return secret


def found(told: str) -> list[str]:
    """The secrets in a text."""
    return [secret for secret in PLANTED if secret in told] + MADE.findall(told)


def told_by(base: str, key: str | None) -> str:
    """What a server tells of itself at its addresses, as far as it still answers."""
    shown = {"Authorization": f"Bearer {key}"} if key else {}
    told: list[str] = []
    with suppress(httpx2.HTTPError), httpx2.Client(base_url=base, headers=shown, timeout=2, trust_env=False) as client:
        for path in TOLD:
            told.append(client.get(path).text)
    return "\n".join(told)


def recorded_in(folder: Path) -> str:
    """All records of all servers that kept them in or below a folder."""
    files = [file for audit in folder.rglob("audit") for file in audit.rglob("*") if file.is_file()]
    return "\n".join(file.read_text(errors="replace") for file in files)
