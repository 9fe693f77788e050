"""ChatGPT's client, replayed: its captured opening, what follows, its fallback, and its empty probes."""

import pytest

from harness import FIXTURES, Server
from wire import INITIALIZE, LEGACY, META, MODERN, Json, Wire, error, request, result, text

DISCOVER = (FIXTURES / "chatgpt/discover.json").read_bytes()
CHATGPT = {"User_Agent": "openai-mcp/1.0.0"}
CAPABILITIES = {
    "experimental": {"openai/visibility": {"enabled": True}},
    "extensions": {"io.modelcontextprotocol/ui": {"mimeTypes": ["text/html;profile=mcp-app"]}},
}
CHATGPT_META = META | {
    "io.modelcontextprotocol/clientInfo": {"name": "openai-mcp", "version": "1.0.0"},
    "io.modelcontextprotocol/clientCapabilities": CAPABILITIES,
    "openai/locale": "en-US",
    "openai/userAgent": "ChatGPT/1.2025",
    "openai/userLocation": {"city": "Ghent", "country": "BE", "timezone": "Europe/Brussels"},
    "openai/subject": "v1/anonymous",
    "openai/session": "v1/conversation",
}


@pytest.fixture
def wire(server: Server) -> Wire:
    return Wire(server.base)


def listed(result: Json) -> list[str]:
    """The names, after checking what ChatGPT's scanner needs of every tool."""
    for tool in result["tools"]:
        assert tool["securitySchemes"] == tool["_meta"]["securitySchemes"], tool["name"]
        assert len(tool["name"]) <= 64 and tool["inputSchema"]["type"] == "object"
    return [tool["name"] for tool in result["tools"]]


def test_the_captured_discover_is_answered_completely(wire: Wire) -> None:
    response = wire.post(DISCOVER, **CHATGPT, MCP_Protocol_Version=MODERN, Mcp_Method="server/discover")
    found = result(response, "openai-mcp-discover")
    assert MODERN in found["supportedVersions"]
    assert found["resultType"] == "complete"
    assert found["capabilities"]["tools"]["listChanged"] is True
    assert found["ttlMs"] >= 0 and found["cacheScope"] in ("public", "private")
    assert found["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "switchboard"
    assert "mcp-session-id" not in response.headers


def test_it_stays_on_the_modern_era(wire: Wire) -> None:
    listing = result(wire.modern("tools/list", {"_meta": CHATGPT_META}, **CHATGPT))
    assert "kit_echo" in listed(listing)
    assert listing["resultType"] == "complete" and "ttlMs" in listing and "cacheScope" in listing
    call = {"_meta": CHATGPT_META, "name": "kit_echo", "arguments": {"text": "hi"}}
    outcome = result(wire.modern("tools/call", call, **CHATGPT))
    assert text(outcome) == "hi" and outcome["resultType"] == "complete"


def test_its_fallback_needs_no_session(wire: Wire) -> None:
    initialize = {**INITIALIZE, "capabilities": CAPABILITIES, "clientInfo": {"name": "openai-mcp", "version": "1.0.0"}}
    for _ in range(2):  # Some clients open again before each call.
        opened = result(wire.post(request("initialize", initialize), **CHATGPT))
        assert opened["protocolVersion"] == LEGACY and opened["serverInfo"]["name"] == "switchboard"
    initialized = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    assert wire.post(initialized, **CHATGPT, MCP_Protocol_Version=LEGACY).status_code == 202
    assert "kit_echo" in listed(result(wire.legacy("tools/list", **CHATGPT)))
    call = {"name": "kit_echo", "arguments": {"text": "hi"}, "_meta": {"openai/locale": "en-US"}}
    assert text(result(wire.legacy("tools/call", call, **CHATGPT))) == "hi"


def test_all_eras_list_the_same_tools_in_the_same_order(wire: Wire) -> None:
    modern = listed(result(wire.modern("tools/list")))
    legacy = [
        listed(result(wire.legacy("tools/list", MCP_Protocol_Version=version)))
        for version in ("2025-03-26", "2025-06-18", LEGACY)
    ]
    assert legacy == [modern] * 3


@pytest.mark.parametrize("probe", [b"", b"{}", b"[]"], ids=["nothing", "empty-object", "empty-array"])
def test_its_empty_probes_are_answered_with_an_empty_200(wire: Wire, probe: bytes) -> None:
    response = wire.post(probe, **CHATGPT)
    assert (response.status_code, response.content) == (200, b"")


def test_a_well_known_path_we_do_not_serve_is_a_clean_json_404(wire: Wire) -> None:
    response = wire.send("GET", "/.well-known/oauth-protected-resource/mcp")
    assert response.status_code == 404
    error(response)
