"""Streamable HTTP byte by byte: who may speak, which requests are refused with which error, and how sessions behave."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from harness import Server, running_with, until
from wire import INITIALIZE, LEGACY, META, MODERN, Wire, error, messages, request, result, text

ROUTES = [
    ("GET", "/mcp"),
    ("POST", "/mcp"),
    ("DELETE", "/mcp"),
    ("OPTIONS", "/mcp"),
    ("POST", "/mcp/messages?sessionId=0"),
]
CALL = {"name": "kit_echo", "arguments": {"text": "hi"}}
TOO_LONG = b'"' + b"x" * 2**25 + b'"'


@pytest.fixture
def wire(server: Server) -> Wire:
    return Wire(server.base)


# Host and Origin


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=map(" ".join, ROUTES))
@pytest.mark.parametrize(
    ("headers", "setting"),
    [({"Host": "evil.example"}, "ALLOWED_HOSTS"), ({"Origin": "https://evil.example"}, "ALLOWED_ORIGINS")],
    ids=["host", "origin"],
)
def test_a_foreign_host_or_origin_is_refused_and_told_which_setting_allows_it(
    wire: Wire, method: str, path: str, headers: dict[str, str], setting: str
) -> None:
    body = json.dumps(request("ping")).encode() if method == "POST" else None
    response = wire.send(method, path, body, headers)
    assert response.status_code == 403
    message = error(response)["message"]
    assert "evil.example" in message and setting in message


def test_the_settings_named_let_them_in(serve: Callable[..., Server]) -> None:
    server = serve(env={"ALLOWED_HOSTS": "gateway.example,other.example", "ALLOWED_ORIGINS": "https://page.example"})
    wire = Wire(server.base)
    response = wire.legacy("tools/list", Host="gateway.example", Origin="https://page.example")
    assert result(response)["tools"]
    assert response.headers["access-control-allow-origin"] in ("*", "https://page.example")
    assert wire.legacy("tools/list", Host="third.example").status_code == 403


def test_the_public_address_is_let_in(serve: Callable[..., Server]) -> None:
    server = serve("--public-url", "https://gateway.example")
    assert result(Wire(server.base).legacy("tools/list", Host="gateway.example", Origin="https://gateway.example"))[
        "tools"
    ]


@pytest.mark.parametrize("origin", ["http://localhost:6274", "http://127.0.0.1:6274"])
def test_a_page_on_this_machine_may_speak(wire: Wire, origin: str) -> None:
    response = wire.legacy("tools/list", Origin=origin)
    assert result(response)["tools"]
    assert response.headers["access-control-allow-origin"] in ("*", origin)


# What a client may leave out


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/event-stream", "application/*", None])
def test_any_accept_header_will_do(wire: Wire, accept: str | None) -> None:
    assert text(result(wire.legacy("tools/call", CALL, Accept=accept))) == "hi"
    assert text(result(wire.modern("tools/call", CALL, Accept=accept))) == "hi"


def test_a_modern_client_need_not_introduce_itself(wire: Wire) -> None:
    meta = {key: value for key, value in META.items() if not key.endswith("/clientInfo")}
    assert text(result(wire.modern("tools/call", {"_meta": meta, **CALL}))) == "hi"


@pytest.mark.parametrize("asked", ["2024-11-05", "2025-03-26", "2025-06-18", LEGACY])
def test_initialize_agrees_to_every_version_it_knows(wire: Wire, asked: str) -> None:
    assert result(wire.post(request("initialize", INITIALIZE | {"protocolVersion": asked})))["protocolVersion"] == asked


@pytest.mark.parametrize("asked", ["1999-01-01", MODERN])
def test_initialize_offers_its_newest_version_to_others(wire: Wire, asked: str) -> None:
    assert (
        result(wire.post(request("initialize", INITIALIZE | {"protocolVersion": asked})))["protocolVersion"] == LEGACY
    )


# What is refused


@pytest.mark.parametrize("body", [b"{", b"not json", b'{"jsonrpc": "2.0", "id": 1, "method": }', b"\xff\xfe"])
def test_a_body_that_is_no_json_is_a_parse_error(wire: Wire, body: bytes) -> None:
    response = wire.post(body)
    assert response.status_code == 400
    assert error(response)["code"] == -32700


@pytest.mark.parametrize("body", [1, "text", None, {"id": 1, "method": "ping"}, {"jsonrpc": "2.0", "id": 1}])
def test_json_that_is_no_message_is_an_invalid_request(wire: Wire, body: Any) -> None:
    response = wire.post(body)
    assert response.status_code == 400
    assert error(response)["code"] == -32600


@pytest.mark.parametrize(
    "params", [None, {}, {"name": 1}, {"name": "kit_echo", "arguments": "hi"}, {"name": "kit_echo", "arguments": []}]
)
def test_malformed_params_of_a_call_are_invalid_params(wire: Wire, params: Any) -> None:
    assert error(wire.legacy("tools/call", params))["code"] == -32602
    modern = wire.modern("tools/call", params, Mcp_Name="kit_echo")
    assert error(modern)["code"] in (
        -32602,
        -32020,
    )  # Without a name in the body, the header has nothing to agree with.


@pytest.mark.parametrize("call", ["legacy", "modern"])
def test_an_unknown_tool_is_invalid_params(wire: Wire, call: str) -> None:
    failure = error(getattr(wire, call)("tools/call", {"name": "kit_ecko"}))
    assert failure["code"] == -32602
    assert "kit_ecko" in failure["message"]


def test_an_unknown_method_is_not_found(wire: Wire) -> None:
    assert error(wire.legacy("tools/nonesuch"))["code"] == -32601
    modern = wire.modern("tools/nonesuch")
    assert (modern.status_code, error(modern)["code"]) == (404, -32601)


def test_a_body_too_long_is_refused(wire: Wire) -> None:
    response = wire.post(TOO_LONG)
    assert response.status_code == 413
    error(response)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/nonesuch"), ("POST", "/"), ("PUT", "/mcp"), ("GET", "/mcp/messages")]
)
def test_other_paths_and_methods_are_refused_in_json_rpc(wire: Wire, method: str, path: str) -> None:
    response = wire.send(method, path)
    assert response.status_code in (404, 405)
    error(response)


# The modern era's headers


@pytest.mark.parametrize(
    "headers",
    [
        {"Mcp_Method": None},
        {"Mcp_Method": "tools/list"},
        {"Mcp_Method": "Tools/Call"},
        {"Mcp_Name": None},
        {"Mcp_Name": "kit_fail"},
        {"MCP_Protocol_Version": None},
        {"MCP_Protocol_Version": LEGACY},
    ],
    ids=str,
)
def test_headers_that_miss_or_contradict_the_body_are_a_mismatch(wire: Wire, headers: dict[str, str | None]) -> None:
    response = wire.modern("tools/call", CALL, **headers)
    assert (response.status_code, error(response)["code"]) == (400, -32020)


def test_an_encoded_name_header_is_decoded_before_comparing(wire: Wire) -> None:
    assert text(result(wire.modern("tools/call", CALL, Mcp_Name="=?base64?a2l0X2VjaG8=?="))) == "hi"


def test_an_unknown_version_is_told_the_known_ones(wire: Wire) -> None:
    meta = META | {"io.modelcontextprotocol/protocolVersion": "2027-01-01"}
    response = wire.modern("tools/list", {"_meta": meta}, MCP_Protocol_Version="2027-01-01")
    failure = error(response)
    assert (response.status_code, failure["code"]) == (400, -32022)
    discovered = result(wire.modern("server/discover"))
    assert failure["data"] == {"requested": "2027-01-01", "supported": discovered["supportedVersions"]}


def test_a_legacy_request_of_an_unknown_version_is_refused(wire: Wire) -> None:
    response = wire.legacy("tools/list", MCP_Protocol_Version="1999-01-01")
    assert response.status_code == 400
    error(response)


@pytest.mark.parametrize("missing", ["protocolVersion", "clientCapabilities"])
def test_modern_requests_must_carry_their_metadata(wire: Wire, missing: str) -> None:
    meta = {key: value for key, value in META.items() if not key.endswith(missing)}
    response = wire.modern("tools/list", {"_meta": meta})
    assert (response.status_code, error(response)["code"]) == (400, -32602)


@pytest.mark.parametrize(
    "method", ["initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"]
)
def test_methods_of_the_old_eras_are_unknown_to_the_modern_one(wire: Wire, method: str) -> None:
    params = {"level": "info", "uri": "ui://x", **INITIALIZE}
    response = wire.modern(method, params)
    assert (response.status_code, error(response)["code"]) == (404, -32601)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_the_modern_era_only_posts(wire: Wire, method: str) -> None:
    response = wire.send(method, "/mcp", headers={"MCP-Protocol-Version": MODERN})
    assert response.status_code == 405
    error(response)


# Batches, which only 2025-03-26 had


def test_a_batch_is_answered_whole(wire: Wire) -> None:
    batch = [
        request("ping", id=1),
        request("tools/list", id=2),
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
    ]
    response = wire.post(batch, MCP_Protocol_Version="2025-03-26")
    assert response.status_code == 200
    assert sorted(message["id"] for message in messages(response)) == [1, 2]


def test_a_batch_of_notifications_is_accepted_silently(wire: Wire) -> None:
    response = wire.post([{"jsonrpc": "2.0", "method": "notifications/initialized"}], MCP_Protocol_Version="2025-03-26")
    assert (response.status_code, response.content) == (202, b"")


@pytest.mark.parametrize("version", ["2025-06-18", LEGACY, MODERN])
def test_later_versions_refuse_batches(wire: Wire, version: str) -> None:
    response = wire.post([request("ping")], MCP_Protocol_Version=version)
    assert (response.status_code, error(response)["code"]) == (400, -32600)


# Sessions


def open_session(wire: Wire, **headers: str) -> str:
    response = wire.post(request("initialize", INITIALIZE), **headers)
    session = response.headers["mcp-session-id"]
    wire.post({"jsonrpc": "2.0", "method": "notifications/initialized"}, Mcp_Session_Id=session, **headers)
    return session


def test_a_session_serves_who_opened_it(wire: Wire) -> None:
    session = open_session(wire, Authorization="Bearer alice")
    assert result(wire.legacy("tools/list", Mcp_Session_Id=session, Authorization="Bearer alice"))["tools"]


@pytest.mark.parametrize("other", [{"Authorization": "Bearer mallory"}, {}], ids=["another", "nobody"])
def test_a_session_is_unknown_to_anyone_else(wire: Wire, other: dict[str, str]) -> None:
    session = open_session(wire, Authorization="Bearer alice")
    response = wire.legacy("tools/list", Mcp_Session_Id=session, **other)
    assert response.status_code == 404
    error(response)
    assert wire.send("DELETE", "/mcp", headers={"Mcp-Session-Id": session, **other}).status_code == 404
    assert result(wire.legacy("tools/list", Mcp_Session_Id=session, Authorization="Bearer alice"))["tools"]


def test_a_deleted_session_is_gone(wire: Wire) -> None:
    session = open_session(wire)
    assert wire.send("DELETE", "/mcp", headers={"Mcp-Session-Id": session}).status_code in (200, 204)
    response = wire.legacy("tools/list", Mcp_Session_Id=session)
    assert response.status_code == 404
    error(response)


@pytest.mark.parametrize("way", ["as_usual", "taking_json_only", "in_a_batch", "by_deleting_the_session"])
def test_a_session_can_cancel_its_call(wire: Wire, way: str, mark: str) -> None:
    session = open_session(wire)
    cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}
    call = request("tools/call", {"name": "kit_family", "arguments": {"seconds": mark}}, id=7)
    of_session = {"Mcp_Session_Id": session, "MCP_Protocol_Version": "2025-03-26"}
    with wire.stream("POST", call, **of_session):
        until(lambda: len(running_with(mark)) == 3, "the program and its children")
        match way:
            case "as_usual":
                wire.post(cancel, **of_session)
            case "taking_json_only":
                wire.post(cancel, **of_session, Accept="application/json")
            case "in_a_batch":
                wire.post([cancel], **of_session)
            case _:
                wire.send("DELETE", "/mcp", headers={"Mcp-Session-Id": session})
        until(lambda: not running_with(mark), "the end of the programs")


def test_an_unknown_session_is_not_found(wire: Wire) -> None:
    response = wire.legacy("tools/list", Mcp_Session_Id="00000000-0000-4000-8000-000000000000")
    assert response.status_code == 404
    error(response)


# What a tool looks like to a raw client


@pytest.mark.parametrize("list_tools", ["legacy", "modern"])
def test_security_schemes_stand_in_both_places(wire: Wire, list_tools: str) -> None:
    tools = {tool["name"]: tool for tool in result(getattr(wire, list_tools)("tools/list"))["tools"]}
    for tool in tools.values():
        assert tool["securitySchemes"] == tool["_meta"]["securitySchemes"], tool["name"]
    assert tools["api_personal"]["securitySchemes"] == [{"type": "noauth"}, {"type": "oauth2", "scopes": ["x:read"]}]


def test_the_text_beside_a_structured_answer_is_the_same_json(wire: Wire) -> None:
    outcome = result(wire.legacy("tools/call", {"name": "api_get_item", "arguments": {"id": "7"}}))
    assert json.loads(text(outcome)) == outcome["structuredContent"] == {"id": "7", "name": "item 7"}


# Subscriptions


def test_listen_is_acknowledged_before_anything_else(wire: Wire) -> None:
    listen = request("subscriptions/listen", {"_meta": META, "notifications": {"toolsListChanged": True}}, id="sub-1")
    with wire.stream("POST", listen, MCP_Protocol_Version=MODERN, Mcp_Method="subscriptions/listen") as (
        response,
        events,
    ):
        assert response.headers["content-type"].startswith("text/event-stream")
        first = json.loads(next(event.data for event in events if event.data.strip()))
    assert first["method"] == "notifications/subscriptions/acknowledged"
    assert first["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == "sub-1"
    assert first["params"]["notifications"] == {"toolsListChanged": True}
