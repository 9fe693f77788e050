"""Tools chosen by what they have to do: by the HTTP API and on the command line."""

import json
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from harness import Server
from oauth.gateway import cli, connector, gateway, new_key, tool
from sdk_client import ApiError, SdkClient
from test_surface import Folder, manifests_of
from test_views import called, through
from test_views import client as client_of
from wire import Json, Wire, result, text

REQUIRED = {"toolId", "name", "description", "integration", "category"}


def verb(name: str, description: str, **more: object) -> Json:
    """A tool of some size."""
    texts = {f"text{n}": {"type": "string", "description": f"Text {n} of what is to {name}. " * 4} for n in range(6)}
    schema = {"type": "object", "properties": {"place": {"type": "string"}, **texts}, "required": ["place"]}
    return tool(name, description=description, inputSchema=schema, **more)


WEATHER = connector(
    "weather",
    *(verb(f"forecast_{n}", f"Tells the weather forecast of day {n}. Slow in winter.") for n in range(15)),
    category="Weather & Climate",
)
MAIL = connector("mail", *(verb(f"send_{n}", f"Sends a letter about the weather by way {n}.") for n in range(15)), category="Post")
VAULT = connector("vault", verb("open", "Opens the weather vault."), category="Secrets", scopes=["vault:open"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("select")
    with gateway(home, WEATHER, MAIL, VAULT, env={"CONNECTORS_API_KEY": "the-0perator's-own-key"}) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: Server) -> SdkClient:
    return SdkClient(server.base, new_key(server, "--subject", "ada", "--scopes", "other"))


def run(manifests: Folder, *arguments: str) -> CompletedProcess[str]:
    """Runs a command over these manifests."""
    return cli(manifests, *arguments, "--manifests", str(manifests.folder))


def refused(client: SdkClient, body: Json) -> str:
    with pytest.raises(ApiError) as caught:
        client.request("POST", "/api/v1/tools/select", body)
    assert caught.value.status == 400 and caught.value.body["success"] is False, caught.value
    return caught.value.words


def test_the_best_tools_come_first_and_with_their_parameters(client: SdkClient) -> None:
    answer = client.select_tools("weather forecast", tokenBudget=3000)
    tools = answer["tools"]
    assert answer["success"] is True and len(tools) == 10, answer
    assert all(tool.keys() >= REQUIRED for tool in tools)
    assert tools[0]["integration"] == "weather" and tools[0]["category"] == "weather-climate"
    whole = [tool for tool in tools if "parameters" in tool]
    assert 1 <= len(whole) <= 3 and whole == tools[: len(whole)]
    assert [each["name"] for each in whole[0]["parameters"]][0] == "place"
    scores = [tool["relevanceScore"] for tool in tools]
    assert scores == sorted(scores, reverse=True) and 0 < scores[-1] <= scores[0] == 1
    assert tools[-1]["description"].startswith("Tells the weather forecast of day"), tools[-1]
    told = answer["metadata"]
    assert told["totalTokens"] <= 3000 < told["listTokens"] and told["selectionLatency"] >= 0
    assert told["tokenReduction"] == round(100 * (1 - told["totalTokens"] / told["listTokens"]), 2)
    invoked = client.invoke(tools[0]["toolId"], tools[0]["integration"], {"place": "Rome"})
    assert invoked["success"] is True, invoked


def test_both_forms_of_a_request_and_their_limits_are_kept(client: SdkClient) -> None:
    new = client.select_tools("weather", maxTools=4, categories=["Post"], tokenBudget=1500)
    old = client.select_tools("weather", context={"maxTools": 4, "allowedCategories": ["post"], "tokenBudget": 1500})
    assert new["tools"] == old["tools"] and len(new["tools"]) == 4
    assert {tool["category"] for tool in new["tools"]} == {"post"}
    for budget in range(100, 1500, 100):
        answer = client.select_tools("weather", tokenBudget=budget, maxTools=50)
        # About what a token is; the server's own tests count to the last one.
        size = len(json.dumps(answer["tools"], separators=(",", ":"), ensure_ascii=False))
        assert answer["tools"] and answer["metadata"]["totalTokens"] <= budget and size <= 6 * budget, answer
    steps = client.select_tools(["send a letter", "weather forecast"], maxTools=2)["tools"]
    assert {tool["integration"] for tool in steps} == {"mail", "weather"}
    assert client.select_tools("weather", categories=["no such"])["tools"] == []


def test_a_tool_costs_the_same_wherever_it_is_told(client: SdkClient) -> None:
    [first] = client.select_tools("forecast day 3", maxTools=1)["tools"]
    assert first["tokenCost"] == client.get_tool(first["toolId"])["tokenCost"] > 100
    listed = client.list_tools(limit=1000)["tools"]
    assert first["tokenCost"] in {tool["tokenCost"] for tool in listed if tool["toolId"] == first["toolId"]}
    whole = client.select_tools("forecast")["metadata"]["listTokens"]
    assert whole == sum(tool["tokenCost"] + 1 for tool in listed)


def test_nothing_of_a_tool_that_a_caller_may_not_see_is_chosen_or_counted(server: Server, client: SdkClient) -> None:
    answer = client.select_tools("open the weather vault", maxTools=100, tokenBudget=100_000)
    assert len(answer["tools"]) == 30 and "vault" not in json.dumps([tool["toolId"] for tool in answer["tools"]])
    holder = SdkClient(server.base, new_key(server, "--subject", "grace", "--scopes", "vault:open"))
    more = holder.select_tools("open the weather vault")
    assert "vault.open" in [tool["toolId"] for tool in more["tools"]]
    assert more["metadata"]["listTokens"] > answer["metadata"]["listTokens"]


def test_a_request_that_cannot_be_read_is_refused_with_the_reason(client: SdkClient) -> None:
    assert "query" in refused(client, {})
    assert "`query` is missing" in refused(client, {"query": " "})
    assert "`query` has to be a string" in refused(client, {"query": {"text": "a"}})
    assert "too long" in refused(client, {"query": "x" * 2001})
    assert "`maxTools`" in refused(client, {"query": "a", "maxTools": 0})
    assert "it has to be {query" in refused(client, {"query": "a", "maxTools": -1})
    assert "`tokenBudget` has to be 100 or more" in refused(client, {"query": "a", "tokenBudget": 99})
    assert "categories" in refused(client, {"query": "a", "categories": "b" * 300, "tokenBudget": 100})


def test_a_model_searches_reads_what_a_tool_takes_and_calls_it(tmp_path: Path) -> None:
    with gateway(tmp_path, WEATHER, MAIL, auth={"mode": "none"}) as server, client_of(server, "?exposure=search") as model:
        steps = {"query": ["weather forecast", "send a letter"], "tokenBudget": 600}
        found = called(model, "search_tools", steps)
        assert "structuredContent" not in found and len(found["content"]) == 1
        first, second, *_ = json.loads(text(found))["tools"]
        assert first["name"].startswith("weather_") and second["name"].startswith("mail_")
        assert first["call"] == "call_read_tool"
        assert all("inputSchema" in tool or "place: string" in tool["signature"] for tool in (first, second))
        described = called(model, "describe_tools", {"names": [first["name"], "mail_send"]})
        whole, unknown = json.loads(text(described))["tools"]
        listed = {tool["name"]: tool for tool in result(Wire(server.base).legacy("tools/list"))["tools"]}
        assert whole == listed[first["name"]]
        assert unknown["unknown"] is True and unknown["nearest"][0].startswith("mail_send_")
        done = called(model, first["call"], through(first["name"], {"place": "Rome"}))
        assert text(done) == f"{first['name'].removeprefix('weather_')} ran"
        refused = called(model, "search_tools", {"query": " "})
        assert refused["isError"] is True and "`query` is missing" in text(refused)


def test_the_command_line_shows_what_is_found_and_why(tmp_path: Path) -> None:
    manifests = manifests_of(tmp_path, WEATHER, MAIL)
    shown = run(manifests, "select", "weather forecast", "--max-tools", "3", "--explain")
    assert shown.returncode == 0, shown.stderr
    assert "weather_forecast_" in shown.stdout and "forecast_0(place: string, text0?: string" in shown.stdout
    assert "the whole list has" in shown.stdout
    found = run(manifests, "select", "weather", "letter", "--category", "post", "--format", "json", "--token-budget", "300")
    report = json.loads(found.stdout)
    assert report["tokens"]["answer"] <= report["tokens"]["budget"] == 300 < report["tokens"]["list"]
    assert [tool["rank"] for tool in report["tools"]] == list(range(1, len(report["tools"]) + 1))
    assert report["tools"] and {tool["connector"] for tool in report["tools"]} == {"mail"}
    nothing = run(manifests, "select", "weather", "--connector", "nowhere")
    assert nothing.returncode == 1 and "weather_forecast" not in nothing.stdout
    wrong = run(manifests, "select", " ")
    assert wrong.returncode == 2 and "`query` is missing" in wrong.stderr


def test_check_says_what_the_list_costs_against_search_mode(tmp_path: Path) -> None:
    small = manifests_of(tmp_path / "small", MAIL)
    told = json.loads(run(small, "check", "--format", "json").stdout)["tokens"]
    listed = json.loads(run(small, "select", "letter", "--format", "json").stdout)["tokens"]["list"]
    assert told["list"] == listed and told["search"] < told["list"]
    text = run(small, "check").stdout
    assert f"the whole list costs {listed}" in text and "tools.exposure" not in text
    many = [connector(f"many{n}", *(verb(f"do_{m}", "Does it.") for m in range(30))) for n in range(5)]
    large = manifests_of(tmp_path / "large", *many)
    assert "set `tools.exposure`" in run(large, "check").stdout
