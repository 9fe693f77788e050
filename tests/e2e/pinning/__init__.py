"""An MCP server that says what a file says, and whoever edits the file."""

import json
import sys
from pathlib import Path
from typing import Any

from connectors import connector
from harness import Manifests

SERVER = Path(__file__).parent / "server.py"
PAGE = "ui://shop/cart.html"


def tool(name: str, description: str, **more: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    return {"name": name, "description": description, "inputSchema": schema, **more}


def showing(name: str, page: str = PAGE) -> dict[str, Any]:
    return tool(name, "Shows the cart.", _meta={"ui": {"resourceUri": page}})


class Upstream:
    """The file, and a connector to the server that reads it."""

    def __init__(self, folder: Path, id: str = "shop", **more: Any) -> None:
        self.id, self.file = id, folder / f"{id}.state"
        self.say([tool("echo", "Says it again."), tool("count", "Counts the words.")])
        adapter = {"program": sys.executable, "args": [str(SERVER), str(self.file)]}
        self.manifests: Manifests = connector(folder / "manifests", id, adapter, **more)

    @property
    def lock(self) -> Path:
        return self.manifests.folder / "switchboard.lock"

    def locked(self) -> dict[str, Any]:
        """What the lock says of this upstream's tools; nothing without one."""
        if not self.lock.exists():
            return {}
        return json.loads(self.lock.read_text())["connectors"].get(self.id, {}).get("tools", {})

    def say(
        self,
        tools: list[dict[str, Any]] | None = None,
        pages: dict[str, str] | None = None,
        instructions: str | None = None,
    ) -> None:
        """Changes what the server says; what is None stays."""
        state = json.loads(self.file.read_text()) if self.file.exists() else {"tools": [], "pages": {}}
        state |= {} if tools is None else {"tools": tools}
        state |= {} if pages is None else {"pages": pages}
        state |= {} if instructions is None else {"instructions": instructions}
        draft = self.file.with_suffix(".draft")
        draft.write_text(json.dumps(state))
        draft.rename(self.file)
