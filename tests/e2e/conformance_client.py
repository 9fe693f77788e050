"""The client that the conformance suite tests: the gateway, as a client of the suite's server.

`conformance_client.py URL`: puts a connector for the URL behind a gateway, and does through it what the scenario that
the environment names is about.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from connectors import connector, tools
from harness import Server, serve, until
from session import CAPABILITIES, Session, over_http
from test_supervision import status
from wire import META, Json, Wire, result

MODERN_ASKED = META | {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}}}


def connects(server: Server, session: Session) -> None:
    """The connection alone is what the scenario looks at."""
    session.listed("tools")


def adds_numbers(server: Server, session: Session) -> None:
    until(lambda: tools(server), "the tools")
    session.call("add_numbers", {"a": 5, "b": 3})


def accepts_defaults(server: Server, session: Session) -> None:
    until(lambda: tools(server), "the tools")
    session.call("test_client_elicitation_defaults")


def reconnects(server: Server, session: Session) -> None:
    until(lambda: tools(server), "the tools")
    session.call("test_reconnection")


def answers_requests_for_input(server: Server, session: Session) -> None:
    until(lambda: tools(server), "the tools")
    wire = Wire(server.base)

    def call(tool: str, **more: object) -> Json:
        return result(wire.modern("tools/call", {"name": tool, "arguments": {}, "_meta": MODERN_ASKED, **more}))

    for tool in ("test_mrtr_echo_state", "test_mrtr_no_state"):
        unfinished = call(tool)
        assert unfinished["resultType"] == "input_required", unfinished
        call("test_mrtr_unrelated")
        [key] = unfinished["inputRequests"]
        state = {"requestState": unfinished["requestState"]} if "requestState" in unfinished else {}
        assert call(tool, inputResponses={key: {"action": "accept", "content": {"confirmed": True}}}, **state)[
            "content"
        ]
    assert call("test_mrtr_no_result_type")["content"]


def uses_everything(server: Server, session: Session) -> None:
    until(lambda: len(tools(server)) == 2, "the tools")
    for tool in session.listed("tools"):
        session.call(json.loads(tool)["name"])
    for resource in session.listed("resources"):
        session.ask("resources/read", {"uri": json.loads(resource)["uri"]})
    for prompt in session.listed("prompts"):
        session.ask("prompts/get", {"name": json.loads(prompt)["name"]})


def calls_what_it_is_told(server: Server, session: Session) -> None:
    until(lambda: tools(server), "the tools")
    for call in json.loads(os.environ["MCP_CONFORMANCE_CONTEXT"])["toolCalls"]:
        session.call(call["name"], call["arguments"])


def calls_every_tool(server: Server, session: Session) -> None:
    until(lambda: tools(server), "the tools")
    for tool in map(json.loads, session.listed("tools")):
        some = {"string": "text", "object": {}, "array": [], "null": None, "number": 1.5}
        properties = tool["inputSchema"]["properties"].items()
        session.call(tool["name"], {name: some[property.get("type", "string")] for name, property in properties})


def sends_the_schema_back(server: Server, session: Session) -> None:
    until(lambda: tools(server), "the tools")
    schemas = {tool["name"]: tool["inputSchema"] for tool in map(json.loads, session.listed("tools"))}
    session.call("json_schema_echo", {"schema": schemas["json_schema_2020_12_tool"]})


PLAYS: dict[str, Callable[[Server, Session], None]] = {
    "initialize": connects,
    "tools_call": adds_numbers,
    "elicitation-sep1034-client-defaults": accepts_defaults,
    "sse-retry": reconnects,
    "request-metadata": connects,
    "sep-2322-client-request-state": answers_requests_for_input,
    "http-standard-headers": uses_everything,
    "http-custom-headers": calls_what_it_is_told,
    "http-invalid-tool-headers": calls_every_tool,
    "json-schema-ref-no-deref": calls_every_tool,
    "json-schema-2020-12-preservation": sends_the_schema_back,
}


def main() -> None:
    play = PLAYS[os.environ["MCP_CONFORMANCE_SCENARIO"]]
    with tempfile.TemporaryDirectory() as folder:
        adapter = {"url": sys.argv[1], "allowPrivate": True}
        with serve(connector(Path(folder) / "manifests", "suite", adapter, prefix=False)) as server:
            # Degraded is one that had to leave something out.
            connected = {"up", "degraded"}
            until(lambda: status(server)["suite"]["state"] in connected, f"the connection: {server.log}")
            asks = CAPABILITIES if play is accepts_defaults else {}
            with over_http(server.url, capabilities=asks) as session:
                play(server, session)


if __name__ == "__main__":
    main()
