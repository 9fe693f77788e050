//! Ranking tools: what is hidden counts for nothing, what did not change is kept, and everything is found by its name.

use serde_json::{Value, json};
use switchboard::select::{Card, Index};

const VERBS: &[&str] = &["create", "list", "delete", "update", "find", "send", "archive", "merge"];
const NOUNS: &[&str] = &["issue", "invoice", "pull_request", "calendar_event", "message", "contract", "image", "日程"];
const CONNECTORS: &[&str] = &["github", "stripe", "google calendar", "law firm", "slack"];

struct Tool {
    name: String,
    own: String,
    connector: &'static str,
    description: String,
    schema: Value,
}

fn tools(said: &str) -> Vec<Vec<Tool>> {
    let tool = |connector: &'static str, verb: &&str, noun: &&str| Tool {
        name: format!("{}_{verb}_{noun}", connector.replace(' ', "-")),
        own: format!("{verb}_{noun}"),
        connector,
        description: format!("Use this to {verb} the {noun} of {connector}. {said}"),
        schema: json!({ "properties": { format!("{noun}Id"): { "type": "string", "description": "Which one" } } }),
    };
    let shelf = |connector: &&'static str| {
        VERBS
            .iter()
            .flat_map(|verb| NOUNS.iter().map(move |noun| (verb, noun)))
            .map(|(v, n)| tool(connector, v, n))
            .collect()
    };
    CONNECTORS.iter().map(shelf).collect()
}

fn card(tool: &Tool) -> Card<'_> {
    let Tool { name, own, connector, description, schema } = tool;
    Card { name, own, connector, title: "", description, tags: "", schema }
}

fn cards(tools: &[Vec<Tool>], keep: impl Fn(&Tool) -> bool) -> Vec<Vec<Card<'_>>> {
    tools.iter().map(|shelf| shelf.iter().filter(|tool| keep(tool)).map(card).collect()).collect()
}

/// Whether a caller sees a tool; some of each connector, and nothing of one.
fn is_seen(tool: &Tool) -> bool {
    tool.connector != "law firm" && !tool.own.starts_with("delete") && !tool.own.ends_with("contract")
}

fn queries() -> Vec<String> {
    let mut queries = Vec::new();
    for connector in CONNECTORS {
        for verb in VERBS {
            for noun in NOUNS {
                queries.push(format!("{verb} {noun} in {connector}"));
                queries.push(format!("{connector} {noun}, and then {verb} the contract of the law firm. delete it"));
                queries.push(format!("{connector}_{verb}_{noun}"));
            }
        }
    }
    queries
}

#[test]
fn what_is_hidden_counts_for_nothing() {
    let all = tools("");
    let flat: Vec<&Tool> = all.iter().flatten().collect();
    let whole = Index::next(&Index::default(), &cards(&all, |_| true));
    let without = Index::next(&Index::default(), &cards(&all, is_seen));
    let seen: Vec<&Tool> = flat.iter().copied().filter(|tool| is_seen(tool)).collect();
    for query in queries() {
        let found = whole.rank(&query, &|item| is_seen(flat[item]));
        let found: Vec<(&str, f32)> = found.iter().map(|it| (flat[it.item].name.as_str(), it.score)).collect();
        let alone = without.rank(&query, &|_| true);
        let alone: Vec<(&str, f32)> = alone.iter().map(|it| (seen[it.item].name.as_str(), it.score)).collect();
        assert_eq!(found, alone, "{query}");
        assert!(!found.is_empty());
    }
}

#[test]
fn a_change_leads_to_the_same_index_as_a_new_start() {
    let (before, mut after) = (tools("As it was."), tools("As it was."));
    after[1][3].description.push_str(" Now with refunds.");
    after[1].remove(7);
    after[1].swap(0, 5);
    after[3].clear();
    let old = Index::next(&Index::default(), &cards(&before, |_| true));
    let next = Index::next(&old, &cards(&after, |_| true));
    let new = Index::next(&Index::default(), &cards(&after, |_| true));
    for query in queries().iter().step_by(7) {
        assert_eq!(next.rank(query, &|_| true), new.rank(query, &|_| true), "{query}");
    }
    assert_eq!(next.rank("refunds", &|_| true)[0].item, VERBS.len() * NOUNS.len() + 3);
}

#[test]
fn a_tool_is_found_first_by_its_name() {
    let all = tools("");
    let index = Index::next(&Index::default(), &cards(&all, |_| true));
    for (item, tool) in all.iter().flatten().enumerate() {
        assert_eq!(index.rank(&tool.name, &|_| true)[0].item, item, "{}", tool.name);
    }
}

#[test]
fn odd_wishes_have_answers() {
    let all = tools("");
    let index = Index::next(&Index::default(), &cards(&all, |_| true));
    for empty in ["", " ", "\n\u{0}", "of the and"] {
        assert!(index.rank(empty, &|_| true).len() <= 200, "{empty:?}");
    }
    for odd in ["🦀", "日程を作成", "x".repeat(100_000).as_str(), &", and ".repeat(500), "ĄĆĘŁŃÓŚŹŻ", "a\u{301}\u{302}"]
    {
        let found = index.rank(odd, &|_| true);
        assert!(found.iter().all(|found| found.score.is_finite()), "{odd:.20}");
    }
    assert!(index.rank("create issue", &|_| false).is_empty());
    assert!(Index::default().rank("create issue", &|_| true).is_empty());
}
