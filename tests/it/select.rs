//! Choosing tools: answers hold their budget, whatever is asked.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use switchboard::app::App;
use switchboard::call::{Content, Output};
use switchboard::caller::{Caller, Principal, Scopes};
use switchboard::catalog::view::View;
use switchboard::config::Config;
use switchboard::gateway::{Gateway, Pick, Selection, Wanted};
use switchboard::secret::Environment;
use switchboard::select::{Why, tokens};

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    fn words(&mut self, most: usize) -> String {
        let count = 1 + self.below(most);
        let space = *self.one(&[" ", " ", " ", ". ", ", ", "\n", "\\\""]);
        (0..count).map(|_| *self.one(WORDS)).collect::<Vec<_>>().join(space)
    }
}

const WORDS: &[&str] = &[
    "create",
    "issue",
    "list",
    "weather",
    "mail",
    "file",
    "https://a.example/?q=%20",
    "查询",
    "天気",
    "größe",
    "🦀🦀",
    "\u{7}",
    "{\"a\":1}",
    "e.g.",
    "ÅÅÅÅÅÅÅÅÅÅÅÅ",
    "1234567890",
    "<|endoftext|>",
    "aAaA-bbbb_ccZZ9",
];

fn tool(dice: &mut Dice, number: usize) -> Value {
    let property = |dice: &mut Dice| match dice.below(4) {
        0 => json!({ "type": "string", "description": dice.words(10) }),
        1 => json!({ "enum": (0..=dice.below(9)).map(|n| format!("{}{n}", dice.words(2))).collect::<Vec<_>>() }),
        2 => json!({ "anyOf": [{ "type": "integer" }, { "type": "array", "items": { "type": "string" } }] }),
        _ => json!({ "type": "object", "properties": { "inner": { "description": dice.words(20) } } }),
    };
    let count = dice.below(7);
    let properties: Map<String, Value> =
        (0..count).map(|n| (format!("argument{n}_{}", dice.words(1)), property(dice))).collect();
    let required: Vec<&String> = properties.keys().take(2).collect();
    json!({
        "name": format!("tool{number}_{}", dice.one(&["find", "x", "createIssueComment", &"long".repeat(30)])),
        "description": dice.words(25),
        "inputSchema": { "type": "object", "properties": properties, "required": required },
        "request": { "method": dice.one(&["GET", "POST"]), "path": "/" },
    })
}

/// A gateway with two connectors of some hundred tools in all, the second one for holders of a scope.
fn gateway() -> Arc<Gateway> {
    let folder = tempfile::TempDir::new().unwrap();
    let mut dice = Dice(7);
    for (id, category, scopes) in [("shop", "Trade", json!([])), ("vault", "Money & Law", json!(["secret:read"]))] {
        let tools: Vec<Value> = (0..150).map(|number| tool(&mut dice, number)).collect();
        let adapter = json!({ "kind": "http", "baseUrl": "https://example.com" });
        let manifest = json!({
            "id": id, "name": id, "version": "1", "category": category, "adapter": adapter, "scopes": scopes, "tools": tools,
            "auth": { "type": if id == "vault" { "oauth2" } else { "none" } },
        });
        std::fs::write(folder.path().join(format!("{id}.json")), manifest.to_string()).unwrap();
    }
    let config = Config { manifests: folder.path().to_owned(), data_dir: None, ..Config::default() };
    let app = App::open(config, Environment::default()).unwrap();
    let faults: Vec<String> =
        app.gateway().live().problems.iter().filter(|it| it.is_error()).map(ToString::to_string).collect();
    assert_eq!(faults, [""; 0]);
    app.shared_gateway()
}

fn holder(scopes: &str) -> Caller {
    Caller::Known(Arc::new(Principal {
        issuer: "https://issuer.example".into(),
        subject: "ada".into(),
        tenant: None,
        client: None,
        scopes: Scopes::of(scopes),
        reach: Scopes::of(scopes),
        name: None,
        email: None,
    }))
}

fn text(output: &Output) -> &str {
    let [Content::Text(text)] = output.content.as_slice() else { panic!("{output:?}") };
    assert!(output.structured.is_none());
    text
}

/// Searches as a model does; the answer, or the words of the error.
async fn search(gateway: &Gateway, caller: &Caller, arguments: Value) -> Result<(Value, usize), String> {
    let found = gateway.search_tools(caller, &View::default(), arguments.as_object().unwrap()).await;
    let found = found.map_err(|error| error.message().to_owned())?;
    Ok((serde_json::from_str(text(&found)).unwrap(), tokens::count(text(&found))))
}

#[tokio::test]
async fn ten_thousand_answers_hold_their_budget_and_none_is_empty() {
    let gateway = gateway();
    let live = gateway.live();
    let entries = live.catalog.entries();
    assert_eq!(entries.len(), 300);
    let mut dice = Dice(3);
    for round in 0..9_700 {
        let mut taken = BTreeSet::new();
        let count = 1 + dice.below(20);
        let drawn = (0..count).map(|_| dice.below(entries.len())).filter(|item| taken.insert(*item));
        let picks = drawn.map(|item| Pick {
            entry: Arc::clone(&entries[item]),
            score: 1.0,
            relevance: 1.0,
            why: Why::default(),
        });
        let picks: Vec<Pick> = picks.collect();
        let most = if round % 20 == 0 { 5_000 } else { 500 };
        let budget = 100 + dice.below(most);
        let names = picks.len();
        let answer =
            Selection { picks, related: Vec::new(), list_tokens: 0, budget }.answer(&Caller::Local, &View::default());
        let counted = tokens::count(&answer.text);
        assert!(counted <= budget && counted == answer.tokens, "{counted} of {budget}: {}", answer.text);
        let value: Value = serde_json::from_str(&answer.text).unwrap();
        let shown = value["tools"].as_array().unwrap().len();
        assert!(shown > 0 && shown + usize::try_from(value["more"].as_u64().unwrap_or_default()).unwrap() == names);
    }
    for _ in 0..300 {
        let budget = 100 + dice.below(2_000);
        let queries: Vec<String> = (0..=dice.below(3)).map(|_| dice.words(12)).collect();
        let most = 1 + dice.below(30);
        let asked = json!({ "query": queries, "maxTools": most, "tokenBudget": budget });
        let (answer, counted) = search(&gateway, &Caller::Local, asked).await.unwrap();
        assert!(counted <= budget, "{counted} of {budget}: {answer}");
        assert!(answer["tools"].as_array().unwrap().len() <= most);
    }
}

#[tokio::test]
async fn the_best_are_said_in_full_and_take_half_of_the_budget() {
    let gateway = gateway();
    let (answer, counted) = search(&gateway, &Caller::Local, json!({ "queries": ["issue"] })).await.unwrap();
    let tools = answer["tools"].as_array().unwrap();
    assert!(counted <= 2000 && tools.len() > 3, "{answer}");
    let whole: Vec<&Value> = tools.iter().filter(|tool| tool.get("inputSchema").is_some()).collect();
    assert!((1..=3).contains(&whole.len()) && whole[0]["call"].as_str().unwrap().starts_with("call_"), "{answer}");
    let spent: usize = whole.iter().map(|tool| tokens::count(&tool.to_string())).sum();
    assert!(spent <= 1000);
    assert!(
        tools.iter().any(|tool| tool["signature"].as_str().is_some_and(|it| it.contains("argument0_"))),
        "{answer}"
    );
}

#[tokio::test]
async fn nothing_of_what_a_caller_may_not_see_is_found_or_counted() {
    let gateway = gateway();
    let (outsider, insider) = (holder(""), holder("secret:read"));
    let mut dice = Dice(11);
    for _ in 0..200 {
        let asked = json!({ "query": dice.words(5), "tokenBudget": 100_000, "maxTools": 100 });
        let (answer, _) = search(&gateway, &outsider, asked).await.unwrap();
        assert!(!answer.to_string().contains("vault_"), "{answer}");
    }
    let wanted = Wanted { queries: vec!["vault issue".into()], ..Wanted::default() };
    let costs = [outsider, insider].map(|caller| {
        let (gateway, wanted) = (Arc::clone(&gateway), wanted.clone());
        async move { gateway.select(&caller, &View::default(), &wanted).await.unwrap().list_tokens }
    });
    let [less, all] = costs;
    assert!(less.await * 3 < all.await * 2);
    let (answer, _) =
        search(&gateway, &holder("secret:read"), json!({ "query": "issue", "categories": ["money-law"] }))
            .await
            .unwrap();
    let tools = answer["tools"].as_array().unwrap();
    assert!(!tools.is_empty() && tools.iter().all(|it| it["name"].as_str().unwrap().starts_with("vault_")), "{answer}");
}

#[tokio::test]
async fn a_request_that_cannot_be_searched_for_is_refused_in_a_few_words() {
    let gateway = gateway();
    let long = "x".repeat(2001);
    for (asked, words) in [
        (json!({}), "`query` is missing"),
        (json!({ "query": "  " }), "`query` is missing"),
        (json!({ "query": ["a", ""] }), "one of the queries is empty"),
        (json!({ "query": 7 }), "`query` has to be a string"),
        (json!({ "query": vec!["a"; 11] }), "too many queries: 10"),
        (json!({ "query": long }), "a query is too long: 2000"),
        (json!({ "query": "a", "maxTools": 0 }), "`maxTools` has to be 1"),
        (json!({ "query": "a", "maxTools": "many" }), "`maxTools` has to be a whole number"),
        (json!({ "query": "a", "tokenBudget": 99 }), "`tokenBudget` has to be 100"),
        (json!({ "query": "a", "categories": [1] }), "`categories` has to be a string"),
    ] {
        let error = search(&gateway, &Caller::Local, asked).await.unwrap_err();
        assert!(error.contains(words) && tokens::count(&error) < 100, "{error}");
    }
}

#[tokio::test]
async fn a_description_is_the_whole_descriptor_and_says_what_did_not_fit() {
    let gateway = gateway();
    let live = gateway.live();
    let entry = &live.catalog.entries()[0];
    let describe = async |arguments: Value| {
        let said = gateway.describe_tools(&Caller::Local, &View::default(), arguments.as_object().unwrap());
        let said = said.map_err(|error| error.message().to_owned())?;
        Ok::<_, String>((serde_json::from_str::<Value>(text(&said)).unwrap(), tokens::count(text(&said))))
    };
    let (one, _) = describe(json!({ "name": entry.name })).await.unwrap();
    assert_eq!(one["tools"], json!([entry.descriptor]));
    let names: Vec<&str> = live.catalog.entries().iter().take(10).map(|entry| entry.name.as_str()).collect();
    for budget in (100..4000).step_by(150) {
        let (several, counted) = describe(json!({ "names": names, "tokenBudget": budget })).await.unwrap();
        assert!(counted <= budget, "{counted} of {budget}: {several}");
    }
    let (cut, _) = describe(json!({ "names": names, "tokenBudget": 1000 })).await.unwrap();
    let note = cut["tools"].as_array().unwrap().iter().find_map(|tool| tool["note"].as_str()).unwrap();
    assert!(note.contains("ask for it alone with tokenBudget"), "{cut}");
    let (wrong, _) = describe(json!({ "names": ["shop_tool1_fnd", "nothing like it"] })).await.unwrap();
    assert_eq!((&wrong["tools"][0]["unknown"], &wrong["tools"][1]["nearest"]), (&json!(true), &json!([])), "{wrong}");
    assert!(wrong["tools"][0]["nearest"][0].as_str().unwrap().starts_with("shop_tool"), "{wrong}");
    assert!(describe(json!({ "names": [] })).await.unwrap_err().contains("1 to 10 names"));
    assert!(describe(json!({})).await.unwrap_err().contains("`names` is missing"));
}
