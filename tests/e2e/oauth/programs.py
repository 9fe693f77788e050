"""Programs by others that sign in: the Python SDK, and the TypeScript SDKs behind a script."""

import asyncio
import json
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import mcp
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

from clients import node
from harness import HERE, PATIENCE, kill_tree
from wire import Json

from .client import parameters

# Nobody listens there: what would arrive is handed over by the test.
CALLBACK = "http://127.0.0.1:9/callback"
Person = Callable[[str], str]


@dataclass
class Memory:
    """What the Python SDK keeps."""

    client: OAuthClientInformationFull | None = None
    token: OAuthToken | None = None
    saved: int = 0
    asked: list[str] = field(default_factory=list)

    async def get_tokens(self) -> OAuthToken | None:
        return self.token

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.token = tokens
        self.saved += 1

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


def provider(
    url: str, person: Person, memory: Memory, document: str | None = None, **metadata: Any
) -> OAuthClientProvider:
    """The SDK's own OAuth client; `person` goes from the link it gives to the address the browser is sent back to."""

    async def open_browser(link: str) -> None:
        memory.asked.append(link)

    async def come_back() -> AuthorizationCodeResult:
        back = parameters(await asyncio.to_thread(person, memory.asked[-1]))
        assert "error" not in back, back
        return AuthorizationCodeResult(code=back["code"], state=back.get("state"), iss=back.get("iss"))

    told = {"client_name": "Python SDK", "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none"} | metadata
    return OAuthClientProvider(
        url, OAuthClientMetadata.model_validate(told), memory, open_browser, come_back, client_metadata_url=document
    )


@asynccontextmanager
async def python(auth: OAuthClientProvider, url: str, mode: str = "auto") -> AsyncIterator[mcp.Client]:
    async with httpx2.AsyncClient(auth=auth, timeout=PATIENCE, trust_env=False) as http:
        async with mcp.Client(streamable_http_client(url, http_client=http), mode=mode) as client:
            yield client


class Script:
    """A TypeScript SDK; `person` is asked whenever it wants a sign-in, and `asked` holds the links."""

    def __init__(self, process: subprocess.Popen[str], person: Person) -> None:
        self.process = process
        self.person = person
        self.asked: list[str] = []

    def ask(self, op: str, **command: Any) -> Any:
        self.say(id=1, op=op, **command)
        for line in self.process.stdout:
            told: Json = json.loads(line)
            if "authorize" in told:
                self.asked.append(told["authorize"])
                self.say(op="callback", url=self.person(told["authorize"]))
                continue
            assert "error" not in told, told["error"]
            return told["result"]
        raise AssertionError("the script ended; see its stderr above")

    def say(self, **message: Any) -> None:
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()


@contextmanager
def typescript(version: str, person: Person) -> Iterator[Script]:
    process = subprocess.Popen(
        [node(), str(HERE / "oauth/ts.mjs"), version], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    stop = threading.Timer(PATIENCE, process.kill)
    stop.start()
    try:
        yield Script(process, person)
    finally:
        stop.cancel()
        kill_tree(process)
