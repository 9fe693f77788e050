"""Gateways that ask who is calling, with connectors that take more and less proof."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

import harness
from harness import BINARY, Server, until
from test_surface import Folder, manifests_of, wire_to
from wire import Json, error, result

# What a connector nobody may know of says and is called; it must turn up nowhere else.
HIDDEN = "walrus"


def tool(name: str, **more: Any) -> Json:
    """A tool that says that it ran."""
    return {
        "name": name,
        "description": f"Use this to {name}.",
        "annotations": {"readOnly": True},
        "run": {"args": ["%s", f"{name} ran"]},
        **more,
    }


def connector(id: str, *tools: Json, **more: Any) -> Json:
    adapter = {"kind": "command", "program": "printf"}
    told = {"id": id, "name": id.title(), "version": "1.0.0", "description": f"All about {id}s.", "adapter": adapter}
    return told | {"tools": list(tools), **more}


# Open to everybody, to whoever proves who they are, to whom has a scope; and one tool that takes one more.
BOARD = connector("board", tool("look"))
DESK = connector("desk", tool("sit"), auth={"type": "oauth2"})
DOCS = connector("docs", tool("read"), tool("write", scopes=["docs:write"]), scopes=["docs:read"])
ALL = (BOARD, DESK, DOCS)


def settings(home: Path, **auth: Any) -> Path:
    """A file of settings about callers."""
    home.mkdir(parents=True, exist_ok=True)
    file = home / "settings.json"
    file.write_text(json.dumps({"auth": auth}))
    return file


@contextmanager
def gateway(
    home: Path,
    *connectors: Json | Path,
    auth: Json | None = None,
    env: dict[str, str] | None = None,
    more: Json | None = None,
) -> Iterator[Server]:
    """A server with these connectors and settings; nobody in the environment has a word in it but `env`."""
    manifests = manifests_of(home, *(connectors or ALL))
    file = settings(home, **(auth or {}))
    if more:
        file.write_text(json.dumps(json.loads(file.read_text()) | more))
    with harness.serve(manifests, "--config", str(file), env=env) as server:
        yield server


def cli(manifests: Folder, *arguments: str, say: str | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs a command beside a server, with the same data folder."""
    return subprocess.run(
        [BINARY, *arguments],
        env={**os.environ, **manifests.env, **env},
        input=say if say is not None else "",
        capture_output=True,
        text=True,
        timeout=20,
    )


def new_key(server: Server, *arguments: str) -> str:
    """A new API key; everything but the key is said elsewhere than on stdout."""
    done = cli(server.manifests, "keys", "new", *arguments)
    assert done.returncode == 0, done.stderr
    key = done.stdout.strip()
    until(lambda: Caller(server, key).counts(), "the new key")
    return key


def add_user(server: Server, name: str, password: str, *arguments: str) -> None:
    done = cli(server.manifests, "users", "add", name, "--password-stdin", *arguments, say=f"{password}\n")
    assert done.returncode == 0, done.stderr


def refusal(start: subprocess.CompletedProcess[str]) -> str:
    """What a server that would not start says."""
    assert start.returncode == 2, (start.returncode, start.stderr)
    return start.stderr


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


class Caller:
    """Somebody with a proof, or with none, before a server; of both eras."""

    def __init__(self, server: Server | str, token: str | None = None, **headers: str) -> None:
        self.wire = wire_to(server if isinstance(server, str) else server.base)
        self.headers = ({"Authorization": f"Bearer {token}"} if token else {}) | headers

    def ask(self, method: str, params: Json | None = None, **headers: str) -> httpx2.Response:
        name = {"Mcp_Name": params["uri"]} if params and "uri" in params else {}
        return self.wire.modern(method, params, **self.headers, **name, **headers)

    def call(self, tool: str, arguments: Json | None = None, **headers: str) -> httpx2.Response:
        return self.ask("tools/call", {"name": tool, "arguments": arguments or {}}, **headers)

    def does(self, tool: str, arguments: Json | None = None) -> Json:
        """The result of a call that must succeed."""
        answer = result(self.call(tool, arguments))
        assert not answer.get("isError"), answer
        return answer

    def tools(self) -> dict[str, Json]:
        return {tool["name"]: tool for tool in result(self.ask("tools/list"))["tools"]}

    def counts(self) -> bool:
        """Whether the proof counts."""
        answer = self.ask("tools/list")
        assert answer.status_code in (200, 401), answer.text
        return answer.status_code == 200


def challenge(response: httpx2.Response) -> dict[str, str]:
    """The parameters of the one `WWW-Authenticate: Bearer`."""
    [value] = response.headers.get_list("www-authenticate")
    scheme, _, rest = value.partition(" ")
    assert scheme == "Bearer", value
    return parameters(rest)


def parameters(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        equals = text.index("=", at)
        name = text[at:equals].strip(" ,")
        assert text[equals + 1] == '"' and name not in found, text
        end = equals + 2
        value = ""
        while text[end] != '"':
            end += text[end] == "\\"
            value += text[end]
            end += 1
        found[name] = value
        at = end + 1
    return found


def denied(response: httpx2.Response) -> dict[str, str]:
    """A proof that does not count: 401, the reason in a challenge, a JSON-RPC body, nothing kept by anybody."""
    assert response.status_code == 401, f"{response.status_code}: {response.text}"
    told = challenge(response)
    assert told["error"] == "invalid_token" and told["error_description"], told
    assert "no-store" in response.headers["cache-control"]
    assert error(response)["code"] == -32600
    return told
