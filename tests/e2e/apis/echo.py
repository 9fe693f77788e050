"""Serves any OpenAPI document: openapi-core reads each request by it, and the answer says what it made of it.

Run as a program with the document's path it prints `{"url": …}` and serves on a free port of loopback. What the
document does not allow is answered with 422 and openapi-core's words. Some styles it does not read: there the answer
is the target alone.
"""

import json
import socket
import sys
from typing import Any

import uvicorn
import yaml
from openapi_core import Config, OpenAPI
from openapi_core.contrib.starlette import StarletteOpenAPIRequest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

UNREAD = {"label", "matrix", "members", "spaced"}


def plainly(value: Any) -> Any:
    """What openapi-core makes of a value, as JSON."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, dict):
        return {name: plainly(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [plainly(item) for item in value]
    return value


def serving(document: str) -> Starlette:
    with open(document) as file:
        described = OpenAPI.from_dict(
            yaml.safe_load(file),
            config=Config(extra_media_type_deserializers={"application/vnd.example+json": json.loads}),
        )

    async def echo(request: Request) -> JSONResponse:
        query = f"?{request.url.query}" if request.url.query else ""
        target = request.scope["raw_path"].decode() + query
        if target.lstrip("/").split("/")[0].split("?")[0] in UNREAD:
            return JSONResponse({"target": target})
        seen = described.unmarshal_request(StarletteOpenAPIRequest(request, await request.body()))
        if seen.errors:
            words = [f"{type(error).__name__}: {error} {error.__cause__ or ''}" for error in seen.errors]
            return JSONResponse({"errors": words, "target": target}, 422)
        places = {place: plainly(getattr(seen.parameters, place)) for place in ("path", "query", "header", "cookie")}
        return JSONResponse({**places, "body": plainly(seen.body), "type": request.headers.get("content-type")})

    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    return Starlette(routes=[Route("/{rest:path}", echo, methods=methods)])


if __name__ == "__main__":
    application = serving(sys.argv[1])
    listener = socket.create_server(("127.0.0.1", 0))
    print(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
    uvicorn.Server(uvicorn.Config(application, log_level="warning")).run(sockets=[listener])
