"""An MCP server over stdio that no SDK would write: everything it says is text, so a test knows every byte of it.

`--same-cursor` makes its list of tools endless, `--flood` makes it say things nobody asked for as fast as it can.
"""

import json
import sys
import threading

LONG = "n" * 90
ODD = "odd name/with:chars é"

WIDGET = "ui://board/main.html"


def tool(name: str, more: str = "") -> str:
    """A descriptor as text: a name, the emptiest schema, and `more` members."""
    return '{"name":' + json.dumps(name) + ',"inputSchema":{"type":"object"}' + more + "}"


def tool_with_schema(name: str, members: str) -> str:
    return '{"name":' + json.dumps(name) + ',"inputSchema":{"type":"object",' + members + "}}"


TOOLS = [
    tool_with_schema("echo", '"properties":{"a":{"default":7}}'),
    tool("numbers", ',"x-vendor":{"rank":1.0,"big":9007199254740993},"execution":{"taskSupport":"optional"}'),
    tool("spacing", ',"title":"","icons":[{"src":"data:image/png;base64,AA==","sizes":["any"],"x":null}]'),
    tool("kinds", ',"annotations":{"readOnlyHint":true,"x-audit":[1.0]},"_meta":{"com.example/k":{"n":1.0}}'),
    tool("scalar", ',"outputSchema":{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}'),
    tool("bare", ',"securitySchemes":[{"type":"oauth2","scopes":["a"],"x":1}]'),
    tool("fails"),
    tool("links"),
    tool_with_schema(
        "draft-07",
        '"$schema":"http://json-schema.org/draft-07/schema#","definitions":{"d":{"type":"string"}},'
        '"properties":{"a":{"$ref":"#/definitions/d"}},"dependencies":{"a":["b"]}',
    ),
    tool_with_schema("nonsense", '"properties":{"a":{"type":"strnig","minimum":"seven"}},"required":"a"'),
    tool_with_schema("away", '"properties":{"a":{"$ref":"https://schemas.example/a.json"}}'),
    tool(
        "widget",
        ',"_meta":{"ui":{"resourceUri":"ui://board/main.html","visibility":["model"],"x":1.0},'
        '"ui/resourceUri":"ui://board/main.html","openai/outputTemplate":"ui://board/main.html",'
        '"openai/widgetAccessible":true}',
    ),
    tool(ODD),
    tool(LONG),
    tool(f"{LONG}m"),
    tool("twin", ',"description":"the first"'),
    tool("twin", ',"description":"the second"'),
]

# What calls answer, as text. No URI of ours is in these, so nothing has to be mapped.
VERBATIM = {
    "numbers": '{"content":[{"type":"text","text":"numbers"}],"structuredContent":{"beyond":9007199254740993,'
    '"huge":123456789012345678901234567890,"one":1.0,"hundred":1E+2,"minus":-0,"small":1.50e-7,'
    '"long":0.1000000000000000055511151231257827}}',
    "spacing": '{ "content" :\t[ { "text":"\\u00e9\\/\\ud83d\\ude00\\u2028é😀" ,"type":"text" } ] ,"isError" : false }',
    "kinds": '{"isError":true,"x-vendor":{"deep":[1,{"y":2.0}],"z":null},'
    '"_meta":{"com.example/k":{"n":1.0},"b":1,"a":2},"content":['
    '{"type":"hologram","beam":{"x":1.0},"_meta":{"a":1}},'
    '{"type":"text","text":"t","annotations":{"audience":["user"],"priority":1.0,"x":true},"_meta":{"k":null},"y":0},'
    '{"type":"audio","data":"AA==","mimeType":"audio/wav"},{"type":"image","data":"AA==","mimeType":"image/x-none"}]}',
    "scalar": '{"content":[],"structuredContent":["not","an","object",{"uri":"odd://things/1"}]}',
    "bare": "{}",
}
FAILURE = (
    '{"code":-32099,"message":"ö \\u00f6","data":{"nested":[{"one":1.0,"beyond":9007199254740993}],"nothing":null}}'
)
LINKS = (
    '{"content":['
    '{"type":"resource_link","uri":"odd://things/1","name":"one","size":1.0,"_meta":{"n":9007199254740993},"x":1},'
    '{"type":"resource","resource":{"uri":"odd://things/2","text":"see odd://things/1","x":1.0,"_meta":{"a":null}},'
    '"annotations":{}},'
    '{"type":"resource","resource":{"uri":"urn:isbn:0451450523","mimeType":"text/plain","blob":"AA=="}}],'
    '"structuredContent":{"uri":"odd://things/1"}}'
)
RESOURCES = {
    "odd://things/1": '{"uri":"odd://things/1","name":"one","x-vendor":1.0,"size":9007199254740993,'
    '"annotations":{"x":1.0}}',
    "odd://things/2": '{"uri":"odd://things/2","name":"two","icons":[],"_meta":{"a":1.0}}',
    "urn:isbn:0451450523": '{"uri":"urn:isbn:0451450523","name":"a book"}',
    WIDGET: '{"uri":"ui://board/main.html","name":"board","mimeType":"text/html;profile=mcp-app",'
    '"_meta":{"ui":{"csp":{"connectDomains":[]}}}}',
}
TEMPLATE = '{"uriTemplate":"odd://things/{id}{?page}","name":"things","x-vendor":[1.0]}'
PROMPT = '{"name":"ask","arguments":[{"name":"what","x":1.0}],"icons":[],"x-vendor":true}'
PROMPTED = '{"messages":[{"role":"user","content":{"type":"text","text":"?","x":1.0}}],"x-vendor":9007199254740993}'


READ = (
    '{"contents":[{"uri":"URI","text":"of URI","x":1.0,"_meta":{"ui":{"csp":{"connectDomains":["https://a.example"]},'
    '"prefersBorder":true},"openai/widgetCSP":{"connect_domains":[]}}}],"x-vendor":9007199254740993}'
)


def contents(uri: str) -> str:
    """What reading a resource answers."""
    return READ.replace("URI", uri)


writing = threading.Lock()


def say(text: str) -> None:
    with writing:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def tools(params: dict) -> str:
    """Five tools a page."""
    start = int(params.get("cursor") or 0)
    if "--same-cursor" in sys.argv:
        return f'{{"tools":[{",".join(TOOLS)}],"nextCursor":"1"}}'
    after = f',"nextCursor":"{start + 5}"' if start + 5 < len(TOOLS) else ""
    return f'{{"x-vendor":1.0,"tools":[{",".join(TOOLS[start : start + 5])}]{after}}}'


def answer(line: str, method: str, params: dict) -> tuple[str, str]:
    """`result` or `error`, and its text."""
    match method:
        case "initialize":
            version = json.dumps(params["protocolVersion"])
            able = '{"tools":{"listChanged":true},"resources":{},"prompts":{},"logging":{},"x-vendor":{}}'
            name = '{"name":"oddities","version":"1","x":1.0}'
            return "result", f'{{"protocolVersion":{version},"capabilities":{able},"serverInfo":{name},"x-vendor":1.0}}'
        case "ping" | "logging/setLevel":
            return "result", "{}"
        case "tools/list":
            return "result", tools(params)
        case "resources/list":
            return "result", f'{{"resources":[{",".join(RESOURCES.values())}]}}'
        case "resources/templates/list":
            return "result", f'{{"resourceTemplates":[{TEMPLATE}]}}'
        case "resources/read" if params["uri"] in RESOURCES:
            return "result", contents(params["uri"])
        case "prompts/list":
            return "result", f'{{"prompts":[{PROMPT}]}}'
        case "prompts/get":
            return "result", PROMPTED
        case "tools/call":
            return called(line, params["name"])
    return "error", f'{{"code":-32601,"message":"no {method}","data":{{"x":1.0}}}}'


def called(line: str, tool: str) -> tuple[str, str]:
    match tool:
        case "fails":
            return "error", FAILURE
        case "links":
            return "result", LINKS
        case _ if tool in VERBATIM:
            return "result", VERBATIM[tool]
    return "result", f'{{"content":[{{"type":"text","text":{json.dumps(line)}}}]}}'


def flood() -> None:
    while True:
        say('{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}')
        say(f'{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"error","data":"{"x" * 1000}"}}}}')
        say('{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}')
        say('{"jsonrpc":"2.0","method":"notifications/x-vendor","params":[1.0]}')


def main() -> None:
    if "--flood" in sys.argv:
        threading.Thread(target=flood, daemon=True).start()
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message and "method" in message:
            kind, text = answer(line.strip(), message["method"], message.get("params") or {})
            say(f'{{"{kind}":{text},"id":{json.dumps(message["id"])},"jsonrpc":"2.0"}}')


if __name__ == "__main__":
    main()
