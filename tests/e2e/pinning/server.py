"""Speaks MCP over stdio, and has the tools and pages that a file names; says when the file changed."""

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

FILE = Path(sys.argv[1])
WRITING = threading.Lock()


def state() -> dict[str, Any]:
    return json.loads(FILE.read_text())


def send(message: dict[str, Any]) -> None:
    with WRITING:
        print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def watch() -> None:
    before = FILE.read_text()
    while True:
        time.sleep(0.05)
        now = FILE.read_text()
        if now != before:
            before = now
            send({"method": "notifications/tools/list_changed"})


def answer(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    match method:
        case "initialize":
            capabilities = {"tools": {"listChanged": True}, "resources": {}}
            info = {"name": "changing", "version": "1"}
            said = {"instructions": state()["instructions"]} if "instructions" in state() else {}
            return {"protocolVersion": "2025-11-25", "capabilities": capabilities, "serverInfo": info, **said}
        case "ping":
            return {}
        case "tools/list":
            return {"tools": state()["tools"]}
        case "resources/list":
            pages = [{"uri": uri, "name": uri, "mimeType": "text/html;profile=mcp-app"} for uri in state()["pages"]]
            return {"resources": pages}
        case "resources/templates/list":
            return {"resourceTemplates": []}
        case "resources/read" if params["uri"] in state()["pages"]:
            text = state()["pages"][params["uri"]]
            return {"contents": [{"uri": params["uri"], "mimeType": "text/html;profile=mcp-app", "text": text}]}
        case "tools/call":
            text = f"{params['name']}: {json.dumps(params.get('arguments'))}"
            return {"content": [{"type": "text", "text": text}]}
    return None


threading.Thread(target=watch, daemon=True).start()
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message or "method" not in message:
        continue
    result = answer(message["method"], message.get("params") or {})
    if result is None:
        send({"id": message["id"], "error": {"code": -32601, "message": "not here"}})
    else:
        send({"id": message["id"], "result": result})
