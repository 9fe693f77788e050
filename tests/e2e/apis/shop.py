"""A shop as a FastAPI application; FastAPI writes its OpenAPI document. Every answer says what arrived.

Run as a program it prints `{"url": …}` and serves on a free port of loopback. Keys that it takes are named below.
"""

import enum
import json
import socket
import uuid
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

import uvicorn
from fastapi import (
    APIRouter,
    Body,
    Cookie,
    Depends,
    FastAPI,
    File,
    Form,
    Header,
    HTTPException,
    Path,
    Query,
    Request,
    Response,
    Security,
    UploadFile,
)
from fastapi.responses import HTMLResponse, PlainTextResponse, StreamingResponse
from fastapi.security import APIKeyCookie, APIKeyHeader, APIKeyQuery, HTTPBasic, HTTPBasicCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field

# With characters that look different in a URL, in a cookie and in base64.
BEARER = "tok3n/of+the=shop"
API_KEY = "k3y in?the#query&more%41"
COOKIE = "c00kie-of-the-shop"
USER, PASSWORD = "clerk", "pass:word ü"

app = FastAPI(title="Shop", version="4.2", description="Sells *everything* there is.")
seen: list[dict[str, Any]] = []


@app.middleware("http")
async def remember(request: Request, call_next: Any) -> Response:
    # It is also looked at whether we are there.
    if request.method != "HEAD":
        seen.append({"method": request.method, "path": request.scope["raw_path"].decode()})
    return await call_next(request)


@app.get("/seen", include_in_schema=False)
async def what_was_seen() -> list[dict[str, Any]]:
    return seen


class Size(enum.StrEnum):
    small = "small"
    large = "large"


class Price(BaseModel):
    amount: Decimal = Field(gt=0, max_digits=10, decimal_places=2)
    currency: Literal["EUR", "USD"] = "EUR"


class Item(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1, max_length=40)
    price: Price
    size: Size | None = None
    tags: set[str] = Field(default=set(), max_length=3)
    extra: dict[str, int] = {}


class Folder(BaseModel):
    """A folder of folders."""

    name: str
    inside: list["Folder"] = []


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = Field(ge=1, le=9)


class Dog(BaseModel):
    kind: Literal["dog"]
    good: bool


class Filters(BaseModel):
    model_config = ConfigDict(extra="forbid")
    limit: int = Field(10, gt=0, le=100)
    order: Literal["name", "price"] = "name"
    tags: list[str] = []


class Login(BaseModel):
    user: str
    roles: list[str] = []
    remember: bool = False


# Where values stand


@app.get("/path/{text}/{number}/{ratio}/{yes}/{size}/{id}/{day}")
async def in_the_path(
    text: str, number: int, ratio: float, yes: bool, size: Size, id: uuid.UUID, day: date
) -> dict[str, Any]:
    return {"text": text, "number": number, "ratio": ratio, "yes": yes, "size": size, "id": str(id), "day": str(day)}


@app.get("/rest/{rest:path}")
async def the_rest_of_the_path(rest: str) -> dict[str, str]:
    return {"rest": rest}


@app.get("/query")
async def in_the_query(
    text: str,
    number: Annotated[int, Query(ge=-5, le=5)] = 1,
    many: Annotated[list[str] | None, Query()] = None,
    sizes: Annotated[list[Size], Query()] = [],
    wire: Annotated[str | None, Query(alias="$filter[]")] = None,
    at: datetime | None = None,
    lasting: timedelta | None = None,
    old: Annotated[str | None, Query(deprecated=True)] = None,
) -> dict[str, Any]:
    return {
        "text": text,
        "number": number,
        "many": many,
        "sizes": sizes,
        "wire": wire,
        "at": at,
        "old": old,
        "lasting": lasting,
    }


@app.get("/filters")
async def in_the_query_as_one_model(filters: Annotated[Filters, Query()]) -> Filters:
    return filters


@app.get("/headers")
async def in_headers(
    user_agent: Annotated[str | None, Header()] = None,
    x_text: Annotated[str | None, Header()] = None,
    x_many: Annotated[list[str] | None, Header()] = None,
    x_number: Annotated[int, Header()] = 0,
) -> dict[str, Any]:
    return {"text": x_text, "many": x_many, "number": x_number}


@app.get("/cookies")
async def in_cookies(
    text: Annotated[str | None, Cookie()] = None, number: Annotated[int | None, Cookie()] = None
) -> dict[str, Any]:
    return {"text": text, "number": number}


@app.put("/clash/{id}")
async def everywhere(
    id: Annotated[str, Path()],
    in_query: Annotated[str, Query(alias="id")],
    in_header: Annotated[str, Header(alias="id")],
    in_body: Annotated[str, Body(embed=True, alias="id")],
) -> dict[str, str]:
    return {"path": id, "query": in_query, "header": in_header, "body": in_body}


# Bodies


@app.post("/items", status_code=201, operation_id="create_item", tags=["items"])
async def create_item(item: Item) -> Item:
    return item


@app.put("/items/{number}", tags=["items"])
async def a_body_beside_parameters(number: int, item: Item, dry: bool = False) -> dict[str, Any]:
    return {"number": number, "dry": dry, "item": item}


@app.patch("/items/{number}", tags=["items"])
async def two_bodies(number: int, item: Item, note: Annotated[str | None, Body()] = None) -> dict[str, Any]:
    return {"number": number, "item": item, "note": note}


@app.post("/numbers")
async def a_list(numbers: Annotated[list[float], Body(max_length=5)]) -> list[float]:
    return numbers


@app.post("/word")
async def a_word(word: Annotated[str, Body()]) -> str:
    return word


@app.post("/anything")
async def anything(thing: Annotated[Any, Body()]) -> dict[str, Any]:
    return {"thing": thing}


@app.post("/map")
async def a_map(map: dict[str, list[int]]) -> dict[str, list[int]]:
    return map


@app.post("/folders")
async def what_holds_itself(folder: Folder) -> Folder:
    return folder


@app.post("/pets")
async def one_of_two(pet: Annotated[Cat | Dog, Body(discriminator="kind")]) -> Cat | Dog:
    return pet


@app.post("/login")
async def a_form(login: Annotated[Login, Form()]) -> Login:
    return login


def told(file: UploadFile, data: bytes) -> dict[str, Any]:
    return {"name": file.filename, "type": file.content_type, "bytes": data.hex()}


@app.post("/upload")
async def one_file(
    file: UploadFile, note: Annotated[str, Form()] = "", labels: Annotated[list[str], Form()] = []
) -> dict[str, Any]:
    return {**told(file, await file.read()), "note": note, "labels": labels}


@app.post("/uploads")
async def many_files(files: list[UploadFile], cover: Annotated[bytes | None, File()] = None) -> dict[str, Any]:
    return {"files": [told(file, await file.read()) for file in files], "cover": cover.hex() if cover else None}


@app.put(
    "/raw/{name}",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def bytes_as_they_are(name: str, request: Request) -> dict[str, str | None]:
    body = await request.body()
    return {"name": name, "bytes": body.hex(), "type": request.headers.get("content-type")}


@app.put(
    "/text/{name}",
    openapi_extra={"requestBody": {"required": True, "content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def text_as_it_is(name: str, request: Request) -> dict[str, str | None]:
    return {"name": name, "text": (await request.body()).decode(), "type": request.headers.get("content-type")}


# Answers


@app.get("/answers/list")
async def answer_list() -> list[Price]:
    return [Price(amount=Decimal("1.50")), Price(amount=Decimal("2.00"), currency="USD")]


@app.get("/answers/word")
async def answer_word() -> str:
    return "word"


@app.delete("/answers/nothing", status_code=204)
async def answer_nothing() -> None:
    return None


@app.get("/answers/text", response_class=PlainTextResponse)
async def answer_text() -> str:
    return "plain, and ünïcode"


@app.get("/answers/page", response_class=HTMLResponse)
async def answer_page() -> str:
    return "<p>page</p>"


PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


@app.get("/answers/picture", response_class=Response, responses={200: {"content": {"image/png": {}}}})
async def answer_picture() -> Response:
    return Response(PIXEL, media_type="image/png")


@app.get("/answers/events", response_class=StreamingResponse, responses={200: {"content": {"text/event-stream": {}}}})
async def answer_events() -> StreamingResponse:
    return StreamingResponse((f"data: {number}\n\n" for number in range(3)), media_type="text/event-stream")


@app.get("/answers/other", response_model=Price)
async def answer_other_than_said() -> Response:
    """Says it answers a price, and does not."""
    return Response(json.dumps({"price": None, "kind": "other"}), media_type="application/json")


@app.get("/answers/status/{status}")
async def answer_status(status: Annotated[int, Path(ge=400, le=599)]) -> None:
    raise HTTPException(status, {"reason": f"asked for {status}"})


@app.get("/answers/old", deprecated=True)
async def answer_old() -> str:
    return "old"


# Who asks

proofs = APIRouter(prefix="/proofs", tags=["proofs"])


def allowed(right: bool) -> dict[str, bool]:
    if not right:
        raise HTTPException(403, "that is not the right one")
    return {"allowed": True}


@proofs.get("/bearer")
async def with_bearer(shown: Annotated[Any, Depends(HTTPBearer())]) -> dict[str, bool]:
    return allowed(shown.credentials == BEARER)


@proofs.get("/header")
async def with_header(shown: Annotated[str, Depends(APIKeyHeader(name="X-Shop-Key"))]) -> dict[str, bool]:
    return allowed(shown == API_KEY)


@proofs.get("/query")
async def with_query(shown: Annotated[str, Security(APIKeyQuery(name="shop_key"))]) -> dict[str, bool]:
    return allowed(shown == API_KEY)


@proofs.get("/cookie")
async def with_cookie(shown: Annotated[str, Depends(APIKeyCookie(name="shop"))]) -> dict[str, bool]:
    return allowed(shown == COOKIE)


@proofs.get("/basic")
async def with_basic(shown: Annotated[HTTPBasicCredentials, Depends(HTTPBasic())]) -> dict[str, bool]:
    return allowed((shown.username, shown.password) == (USER, PASSWORD))


app.include_router(proofs)

if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0))
    print(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])
