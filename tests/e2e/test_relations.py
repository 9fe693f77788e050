"""Tools that belong together: as manifests say, and as calls teach."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import harness
from harness import Server, until
from oauth.gateway import Caller, cli, connector, new_key, tool
from oauth.house import UNLIMITED
from sdk_client import SdkClient
from test_surface import Folder, manifests_of
from wire import Json, text

ORDERS = connector(
    "orders",
    tool(
        "refund",
        description="Gives the money back.",
        relations={
            "dependsOn": ["lookup", "safe.open"],
            "oftenUsedWith": ["mail.notify"],
            "precedes": ["close", "safe.open"],
            "alternativeTo": ["exchange"],
        },
    ),
    tool("lookup", description="Finds one by its number.", relations={"dependsOn": ["begin"]}),
    tool("begin", description="Starts work."),
    tool("close", description="Ends it."),
    tool("exchange", description="Sends another one."),
)
MAIL = connector("mail", tool("notify", description="Writes to somebody."), category="Post")
GARDEN = connector(
    "garden",
    tool("water", description="Waters the plants."),
    tool("sow", description="Sows seeds."),
    tool("dig", description="Breaks the spade.", run={"program": "false"}),
)
SAFE = connector("safe", tool("open", description="Opens the safe."), scopes=["safe:open"])
# They fit every query of these tests, so that what comes along is not found by itself.
NOISE = "Gives the money back, waters the plants and sows seeds in another way."
OTHERS = connector("others", *(tool(f"way_{number}", description=NOISE) for number in range(14)))
ALL = (ORDERS, MAIL, GARDEN, SAFE, OTHERS)


@contextmanager
def running(manifests: Folder, tools: Json | None = None) -> Iterator[Server]:
    """A server of keys. These tests ask faster than strangers may."""
    file = manifests.folder.parent / "settings.json"
    file.write_text(json.dumps({"auth": {"mode": "api-key"}, **UNLIMITED, **({"tools": tools} if tools else {})}))
    with harness.serve(manifests, "--config", str(file), env={"CONNECTORS_API_KEY": "the operator's own key"}) as server:
        yield server


def along(client: SdkClient, query: str, **more: object) -> dict[str, Json]:
    """What comes along with what a query finds."""
    tools = client.select_tools(query, **more)["tools"]
    return {tool["toolId"]: tool["relation"] for tool in tools if "relation" in tool}


def test_what_a_manifest_says_comes_along_as_far_as_a_caller_sees_it(tmp_path: Path) -> None:
    with running(manifests_of(tmp_path, *ALL)) as server:
        client = SdkClient(server.base, new_key(server, "--subject", "ada", "--scopes", "other"))
        found = along(client, "refund the money")
        assert list(found) == ["orders.lookup", "orders.begin", "mail.notify", "orders.close", "orders.exchange"]
        assert found["orders.lookup"] == {"why": "needed by", "of": "orders.refund"}
        assert found["orders.begin"] == {"why": "needed by", "of": "orders.lookup"}
        assert found["mail.notify"] == {"why": "often used with", "of": "orders.refund", "confidence": 1}
        assert found["orders.close"] == {"why": "comes after", "of": "orders.refund", "confidence": 0.9}
        assert found["orders.exchange"] == {"why": "alternative to", "of": "orders.refund", "confidence": 0.8}
        # The limits of a request hold for what comes along, too, and what is needed goes first.
        assert "mail.notify" not in along(client, "refund the money", connectors=["orders"])
        three = client.select_tools("refund the money", maxTools=3)["tools"]
        assert [tool["toolId"] for tool in three] == ["orders.refund", "orders.lookup", "orders.begin"]
        opener = SdkClient(server.base, new_key(server, "--subject", "grace", "--scopes", "safe:open"))
        assert along(opener, "refund the money")["safe.open"]["why"] == "needed by"
        place = ["--manifests", str(server.manifests.folder)]
        told = cli(server.manifests, "select", "refund the money", "--max-tools", "5", *place)
        assert "also orders_begin: needed by orders_lookup" in told.stdout, told.stdout


def test_a_model_that_searches_is_told_what_belongs_to_what_it_finds(tmp_path: Path) -> None:
    with running(manifests_of(tmp_path, *ALL), {"exposure": "search"}) as server:
        caller = Caller(server, new_key(server, "--subject", "ada", "--scopes", "other"))

        def search(**more: object) -> Json:
            return json.loads(text(caller.does("search_tools", {"query": "refund the money", "maxTools": 5, **more})))

        answer = search()
        assert [tool["name"] for tool in answer["tools"]][0] == "orders_refund" and len(answer["tools"]) == 3
        needed, deeper, beside, *_ = answer["related"]
        assert needed["signature"].startswith("orders_lookup(") and needed["call"] == "call_read_tool"
        assert (needed["why"], needed["of"], deeper["of"]) == ("needed by", "orders_refund", "orders_lookup")
        assert beside == {"name": "mail_notify", "why": "often used with", "of": "orders_refund"}
        # However little there is room for, what was found goes first.
        little = search(tokenBudget=100)
        assert little["tools"][0]["name"] == "orders_refund" and "signature" not in json.dumps(little.get("related"))


def work(server: Server, tenant: str, *tools: str) -> None:
    """Three people of a tenant call these tools, one after the other."""
    for person in range(3):
        caller = Caller(server, new_key(server, "--subject", f"{tenant}{person}", "--tenant", tenant))
        for each in tools:
            caller.call(each)


def learned(server: Server, tenant: str, query: str) -> set[str]:
    client = SdkClient(server.base, new_key(server, "--subject", "asks", "--tenant", tenant))
    found = along(client, query)
    assert all(it["why"] == "often used with" and it["confidence"] == 1 for it in found.values()), found
    return set(found)


def test_what_a_tenant_uses_together_comes_along_for_it_alone_and_over_a_restart(tmp_path: Path) -> None:
    manifests = manifests_of(tmp_path, *ALL)
    with running(manifests) as server:
        work(server, "acme", "garden_water", "garden_sow", "garden_dig")
        assert learned(server, "acme", "water the plants") == {"garden.sow"}
        assert learned(server, "acme", "sow seeds") == {"garden.water"}
        assert learned(server, "globex", "water the plants") == set()
        server.process.terminate()
        until(lambda: server.process.poll() is not None, "the server's end")
    with running(manifests) as server:
        assert learned(server, "acme", "water the plants") == {"garden.sow"}
        assert learned(server, "globex", "water the plants") == set()


def test_one_caller_teaches_by_going_back_and_forth_not_by_repeating(tmp_path: Path) -> None:
    with running(manifests_of(tmp_path, *ALL)) as server:
        caller = Caller(server, new_key(server, "--subject", "ada", "--tenant", "acme"))
        for _ in range(6):
            caller.does("garden_water")
        for _ in range(6):
            caller.does("garden_sow")
        assert learned(server, "acme", "water the plants") == set()
        for _ in range(2):
            caller.does("garden_water")
            caller.does("garden_sow")
        assert learned(server, "acme", "water the plants") == {"garden.sow"}


def test_nothing_is_learned_when_the_settings_say_so(tmp_path: Path) -> None:
    with running(manifests_of(tmp_path, *ALL), {"learn": False}) as server:
        work(server, "acme", "garden_water", "garden_sow")
        assert learned(server, "acme", "water the plants") == set()


def test_a_name_that_nobody_has_is_told_by_check(tmp_path: Path) -> None:
    first = tool("first", relations={"precedes": ["mail.notfy", "elsewhere.anything"]})
    manifests = manifests_of(tmp_path, connector("a", first), MAIL)
    report = cli(manifests, "check", "--format", "json", "--manifests", str(manifests.folder))
    [problem] = [it for it in json.loads(report.stdout)["problems"] if "relations" in it["pointer"]]
    assert problem["pointer"] == "/tools/0/relations/precedes/0" and "did you mean `notify`?" in problem["message"]
