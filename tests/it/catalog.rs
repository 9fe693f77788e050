//! Published names and descriptors.

use serde_json::{Value, json, value::to_raw_value};
use switchboard::caller::{Access, Caller};
use switchboard::catalog::{Catalog, Offered, ShownPages, SignIn, view::Parts};
use switchboard::error::ErrorKind;
use switchboard::manifest::Manifests;
use switchboard::name::{ConnectorId, public_name};

fn catalog(connectors: &Value) -> (Catalog, Vec<String>) {
    let manifests = Manifests::read([("m.json".into(), connectors.to_string())]);
    assert!(!manifests.problems.iter().any(switchboard::error::Problem::is_error), "{:?}", manifests.problems);
    let offered: Vec<Offered<'_>> =
        manifests.connectors.iter().map(|checked| Offered { checked, unavailable: None, offer: None }).collect();
    let (catalog, problems) = Catalog::build(&offered, &ShownPages::default(), SignIn::Nobody);
    (catalog, problems.iter().map(ToString::to_string).collect())
}

fn http(id: &str, tools: &Value) -> Value {
    json!({ "id": id, "name": id, "version": "1", "adapter": { "kind": "http", "baseUrl": "https://example.com" }, "tools": tools })
}

fn tool(name: &str, method: &str) -> Value {
    json!({ "name": name, "description": "d", "request": { "method": method, "path": "/" } })
}

#[test]
fn names_fit_every_client_and_depend_on_nobody_else() {
    let id = |text: &str| ConnectorId::try_from(text.to_owned()).unwrap();
    assert_eq!(public_name(&id("git-hub"), "get.repo/x", true), "git-hub_get_repo_x");
    assert_eq!(public_name(&id("a"), "search", false), "search");
    let long = public_name(&id("a"), &"x".repeat(100), true);
    assert_eq!(long.len(), 64);
    assert_ne!(long, public_name(&id("a"), &"x".repeat(101), true));
    assert!(ConnectorId::try_from("A_b".to_owned()).is_err());
}

#[test]
fn a_collision_names_both_and_keeps_the_first() {
    let mut bare = http("b", &json!([tool("a_x", "GET")]));
    bare["prefix"] = json!(false);
    let (catalog, problems) = catalog(&json!([http("a", &json!([tool("x", "GET")])), bare]));
    assert_eq!(catalog.entries().len(), 1);
    assert_eq!(catalog.entries()[0].connector.as_str(), "a");
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    assert!(problem.contains("`a_x` of b and `x` of a would both be published as `a_x`"), "{problem}");
}

#[test]
fn a_relation_to_a_tool_that_another_connector_lacks_is_warned_of() {
    let mut first = tool("first", "GET");
    first["relations"] = json!({ "precedes": ["b.second", "b.secnod", "later.anything"] });
    let (catalog, problems) = catalog(&json!([http("a", &json!([first])), http("b", &json!([tool("second", "GET")]))]));
    assert!(catalog.entries()[0].relations.is_some() && catalog.entries()[1].relations.is_none());
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    assert!(problem.contains("b has no tool `secnod`; did you mean `second`?"), "{problem}");
}

#[test]
fn all_four_hints_are_said_and_follow_from_the_method() {
    let (catalog, _) = catalog(&json!([http("a", &json!([tool("g", "GET"), tool("p", "POST"), tool("d", "DELETE")]))]));
    let hints: Vec<String> =
        catalog.entries().iter().map(|entry| entry.descriptor["annotations"].to_string()).collect();
    assert_eq!(
        hints,
        [
            r#"{"readOnlyHint":true,"destructiveHint":false,"idempotentHint":true,"openWorldHint":true}"#,
            r#"{"readOnlyHint":false,"destructiveHint":true,"idempotentHint":false,"openWorldHint":true}"#,
            r#"{"readOnlyHint":false,"destructiveHint":true,"idempotentHint":true,"openWorldHint":true}"#,
        ]
    );
}

#[test]
fn security_schemes_stand_in_both_places() {
    let mut connector = http("a", &json!([tool("g", "GET")]));
    connector["auth"] = json!({ "type": "oauth2", "scopes": ["r"] });
    connector["scopes"] = json!(["r", "all"]);
    let (catalog, _) = catalog(&json!([connector, http("b", &json!([tool("g", "GET")]))]));
    let schemes = |index: usize| {
        let descriptor = &catalog.entries()[index].descriptor;
        assert_eq!(descriptor["securitySchemes"], descriptor["_meta"]["securitySchemes"]);
        descriptor["securitySchemes"].clone()
    };
    assert_eq!(schemes(0), json!([{ "type": "oauth2", "scopes": ["r", "all"] }]));
    assert_eq!(schemes(1), json!([{ "type": "noauth" }]));
}

#[test]
fn a_tool_that_asks_for_any_proof_is_not_open() {
    for (auth, open) in [("none", true), ("apiKey", false), ("bearer", false), ("oauth2", false)] {
        let mut connector = http("a", &json!([tool("g", "GET")]));
        connector["auth"] = json!({ "type": auth });
        let (catalog, _) = catalog(&json!([connector]));
        assert_eq!(catalog.entries()[0].access == Access::Open, open, "{auth}");
    }
}

#[test]
fn widget_keys_come_in_both_families() {
    let mut shown = tool("g", "GET");
    shown["widget"] = json!({ "template": "ui://a/b.html", "invoking": "Looking", "accessible": true });
    let (catalog, _) = catalog(&json!([http("a", &json!([shown]))]));
    let meta = &catalog.entries()[0].descriptor["_meta"];
    assert_eq!(meta["ui"], json!({ "resourceUri": "ui://a/b.html", "visibility": ["model", "app"] }));
    assert_eq!(meta["openai/outputTemplate"], "ui://a/b.html");
    assert_eq!(meta["openai/widgetAccessible"], true);
    assert_eq!(meta["openai/toolInvocation/invoking"], "Looking");
}

#[test]
fn a_wrong_name_is_answered_with_the_nearest_ones() {
    let (catalog, _) = catalog(&json!([http("git", &json!([tool("get_issue", "GET"), tool("list_repos", "GET")]))]));
    let error = catalog.resolve("git_get_isue", &Caller::Local).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownTool);
    assert!(error.message().contains("git_get_issue"), "{error}");
}

#[test]
fn every_violation_is_named_and_defaults_are_filled_in() {
    let mut limited = tool("g", "GET");
    limited["inputSchema"] = json!({ "type": "object", "required": ["q"], "properties": {
        "q": { "type": "string" }, "limit": { "type": "integer", "maximum": 9, "default": 5 } } });
    limited["request"]["query"] = json!({ "q": "{q}", "limit": "{limit}" });
    let (catalog, _) = catalog(&json!([http("a", &json!([limited]))]));
    let check = |arguments: Value| {
        let Value::Object(arguments) = arguments else { panic!() };
        catalog.entries()[0].check(Some(&to_raw_value(&arguments).unwrap()))
    };
    assert_eq!(Value::Object(check(json!({ "q": "x" })).unwrap()), json!({ "q": "x", "limit": 5 }));
    let message = check(json!({ "limit": 10, "quary": "x" })).unwrap_err().message().to_owned();
    for part in ["`q` is missing", "limit: ", "quary: unknown field `quary`"] {
        assert!(message.contains(part), "{part} not in {message}");
    }
}

#[test]
fn the_tools_by_which_others_are_found_cost_little() {
    for (sign_in, most) in [(SignIn::Nobody, 480), (SignIn::Everybody, 510)] {
        let cost = switchboard::select::tokens::count(switchboard::protocol::front(sign_in));
        assert!(cost <= most, "{cost}");
    }
}

#[test]
fn a_part_of_a_view_may_stand_for_many_names() {
    let parts = Parts::new(["git_*", "*_read_*", "a*b*c"]);
    for (name, fits) in [
        ("git_", true),
        ("git_log", true),
        ("files_read_all", true),
        ("_read_", true),
        ("abc", true),
        ("a__b__b_c", true),
        ("digit_log", false),
        ("abcd", false),
        ("ac", false),
        ("", false),
    ] {
        assert_eq!(parts.fit(name), fits, "{name}");
    }
    assert!(Parts::new(["*"]).fit("") && Parts::new(["", " "]).is_empty());
}
