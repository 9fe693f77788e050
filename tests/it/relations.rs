//! What comes along with tools that were found.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use switchboard::select::relations::{Along, Around, Edge, Kind, along};
use switchboard::select::structure::{Shape, pairs};

const NAMES: [&str; 16] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"];

/// What comes along with `found`, as `b dependsOn a`, when these are related and those are hidden.
fn comes(found: &str, related: &[(&str, Kind, f32, &str)], hidden: &str) -> Vec<String> {
    let place = |name: &str| NAMES.iter().position(|known| *known == name).unwrap();
    let mut edges: BTreeMap<usize, Vec<Edge>> = BTreeMap::new();
    for (from, kind, confidence, to) in related {
        edges.entry(place(from)).or_default().push(Edge { to: place(to), kind: *kind, confidence: *confidence });
    }
    let found: Vec<usize> = found.split_whitespace().map(place).collect();
    let around = Around {
        edges: &|item| edges.get(&item).cloned().unwrap_or_default(),
        sees: &|item| !hidden.contains(NAMES[item]),
        name: &|item| NAMES[item],
    };
    let said = |it: &Along| {
        let must = if it.required { "!" } else { "" };
        format!("{}{must} {} {} {:.2}", NAMES[it.item], it.kind.words(), NAMES[it.of], it.confidence)
    };
    along(&found, &around).iter().map(said).collect()
}

use Kind::{AlternativeTo, ComesAfter, DependsOn, OftenUsedWith};

#[test]
fn what_is_needed_always_comes_also_what_that_needs_and_no_further() {
    let chain = [("a", DependsOn, 1.0, "d"), ("d", DependsOn, 1.0, "c"), ("c", DependsOn, 1.0, "b")];
    assert_eq!(comes("a", &chain, ""), ["d! needed by a 1.00", "c! needed by d 1.00"]);
    let circle = [("a", DependsOn, 1.0, "b"), ("b", DependsOn, 1.0, "a")];
    assert_eq!(comes("a", &circle, ""), ["b! needed by a 1.00"]);
    assert!(comes("a b", &circle, "").is_empty());
    let many: Vec<_> = NAMES[1..].iter().map(|to| ("a", DependsOn, 1.0, *to)).collect();
    let needed = comes("a", &many, "");
    assert_eq!(needed.iter().filter(|it| it.contains('!')).count(), 10);
}

#[test]
fn of_the_others_the_three_surest_come_within_two_hops() {
    let related = [
        ("a", OftenUsedWith, 0.6, "f"),
        ("a", ComesAfter, 0.9, "e"),
        ("e", ComesAfter, 0.9, "d"),
        ("d", OftenUsedWith, 1.0, "c"),
        ("a", OftenUsedWith, 0.49, "b"),
        ("a", OftenUsedWith, 0.55, "g"),
    ];
    let expected = ["e comes after a 0.90", "d comes after e 0.81", "f often used with a 0.60"];
    assert_eq!(comes("a", &related, ""), expected);
    // What was found already does not come again, and makes room.
    let expected = ["d comes after e 0.90", "c often used with d 0.90", "f often used with a 0.60"];
    assert_eq!(comes("a e", &related, ""), expected);
}

#[test]
fn alternatives_come_last_and_equals_by_name() {
    let related = [
        ("a", AlternativeTo, 0.8, "b"),
        ("a", OftenUsedWith, 0.5, "d"),
        ("a", OftenUsedWith, 0.5, "c"),
        ("b", OftenUsedWith, 1.0, "e"),
    ];
    let expected = ["c often used with a 0.50", "d often used with a 0.50", "b alternative to a 0.80"];
    assert_eq!(comes("a", &related, ""), expected);
    let mut turned = related;
    turned.reverse();
    assert_eq!(comes("a", &turned, ""), expected);
}

#[test]
fn nothing_comes_that_is_hidden_nor_by_way_of_it() {
    let related = [
        ("a", DependsOn, 1.0, "b"),
        ("b", DependsOn, 1.0, "c"),
        ("a", OftenUsedWith, 1.0, "d"),
        ("d", OftenUsedWith, 1.0, "e"),
    ];
    assert!(comes("a", &related, "b d").is_empty());
    assert_eq!(comes("a", &related, "b").len(), 2);
}

fn gives(property: &str) -> Value {
    json!({ "type": "object", "properties": { property: {} } })
}

fn takes(property: &str) -> Value {
    json!({ "type": "object", "properties": { property: {} }, "required": [property] })
}

#[test]
fn a_tool_comes_before_those_that_need_the_id_it_gives() {
    let nothing = json!({ "type": "object" });
    let deep = json!({ "type": "object", "properties": { "issues": { "type": "array", "items": gives("id") } } });
    let (id, named, input, other) = (gives("id"), gives("issueID"), takes("issue_id"), takes("comment_id"));
    let before = |name: &str, output: &Value, input: &Value, taker: &Value| {
        let first = Shape { name, input, output: Some(output) };
        let second = Shape { name: "close", input: taker, output: None };
        pairs(&[first, second])
    };
    for (name, output) in [("create_issue", &id), ("search", &deep), ("anything", &named), ("list-issues-of-repo", &id)]
    {
        assert_eq!(before(name, output, &nothing, &input), [(0, 1)], "{name}");
    }
    for (name, output) in [("create_comment", &id), ("delete_issue", &id), ("get", &id), ("issue_comment_list", &id)] {
        assert!(before(name, output, &nothing, &input).is_empty(), "{name}");
    }
    assert_eq!(before("issueCommentList", &id, &nothing, &other), [(0, 1)]);
    // What only gives back what it was called with.
    assert!(before("get_issue", &named, &input, &input).is_empty());
    assert!(before("get_issue", &id, &takes("id"), &input).is_empty());
}

#[test]
fn odd_schemas_and_very_many_tools_are_taken_as_they_come() {
    let mut deep = gives("issueId");
    for _ in 0..100 {
        deep =
            json!({ "properties": { "": deep }, "allOf": [null, true, []], "items": [1], "required": [1, null, ""] });
    }
    let input = takes("issueId");
    let odd = Shape { name: "", input: &deep, output: Some(&deep) };
    let (id, nothing) = (gives("id"), json!(null));
    let mut tools = vec![odd];
    for number in 0..5_000 {
        let output = Some(&id).filter(|_| number % 2 == 0);
        let input = if number % 2 == 0 { &nothing } else { &input };
        tools.push(Shape { name: "create_issue", input, output });
    }
    let found = pairs(&tools);
    assert_eq!(found.len(), 2_500 * 8);
    assert_eq!(found, pairs(&tools));
}
