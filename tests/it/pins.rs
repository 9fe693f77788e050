//! What may be served of what upstreams say, by what was agreed to.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use switchboard::catalog::Offer;
use switchboard::catalog::diff::Class;
use switchboard::catalog::pin::{Change, Known, Locked, Pin, Policy, Served, judge, page_digest};

#[derive(Default)]
struct Kept {
    descriptors: BTreeMap<String, Value>,
    pages: BTreeMap<String, String>,
}

impl Known for Kept {
    fn descriptor(&self, form: &str) -> Option<Value> {
        self.descriptors.get(form).cloned()
    }

    fn page(&self, uri: &str) -> Option<String> {
        self.pages.get(uri).cloned()
    }
}

fn tool(name: &str, text: &str) -> Value {
    json!({ "name": name, "description": text, "inputSchema": { "type": "object" } })
}

fn offer(tools: &[Value]) -> Arc<Offer> {
    Arc::new(Offer { tools: tools.to_vec(), ..Offer::default() })
}

/// What was agreed to, kept word by word.
fn agreed(tools: &[Value]) -> (Locked, Kept) {
    let (mut locked, mut kept) = (Locked::default(), Kept::default());
    for tool in tools {
        let pin = Pin::of(tool, |_| Some("sha256:page".into()));
        kept.descriptors.insert(pin.form(), tool.clone());
        locked.tools.insert(tool["name"].as_str().unwrap().to_owned(), pin);
    }
    (locked, kept)
}

/// What is served, and what became of each tool that differs.
fn judged(
    policy: Policy,
    locked: Option<&Locked>,
    offer: &Arc<Offer>,
    kept: &Kept,
) -> (Vec<Value>, Vec<(Change, Served)>) {
    let judged = judge(policy, locked, offer, kept);
    let drifts = judged.drifts.iter().map(|drift| (drift.change, drift.served)).collect();
    (judged.offer.tools.clone(), drifts)
}

#[test]
fn what_is_as_it_was_agreed_to_is_served_under_every_policy() {
    let tools = [tool("a", "x"), tool("b", "y")];
    let (locked, kept) = agreed(&tools);
    for policy in [Policy::Warn, Policy::Hold, Policy::Block] {
        assert_eq!(judged(policy, Some(&locked), &offer(&tools), &kept), (tools.to_vec(), vec![]));
    }
}

#[test]
fn a_change_is_served_held_or_withheld() {
    let (locked, kept) = agreed(&[tool("a", "x")]);
    let now = offer(&[tool("a", "poison")]);
    let of = |policy, kept: &Kept| judged(policy, Some(&locked), &now, kept);
    assert_eq!(of(Policy::Warn, &kept), (vec![tool("a", "poison")], vec![(Change::Changed, Served::Now)]));
    assert_eq!(of(Policy::Hold, &kept), (vec![tool("a", "x")], vec![(Change::Changed, Served::Before)]));
    assert_eq!(of(Policy::Block, &kept), (vec![], vec![(Change::Changed, Served::Not)]));
    // What nobody can say word by word any longer cannot be served.
    assert_eq!(of(Policy::Hold, &Kept::default()), (vec![], vec![(Change::Changed, Served::Not)]));
}

#[test]
fn what_is_new_waits_and_what_is_gone_is_told() {
    let (locked, kept) = agreed(&[tool("a", "x"), tool("gone", "x")]);
    let now = offer(&[tool("a", "x"), tool("new", "y")]);
    let of = |policy| judged(policy, Some(&locked), &now, &kept);
    let told = |served| vec![(Change::New, served), (Change::Gone, Served::Not)];
    assert_eq!(of(Policy::Warn), (vec![tool("a", "x"), tool("new", "y")], told(Served::Now)));
    assert_eq!(of(Policy::Hold), (vec![tool("a", "x")], told(Served::Not)));
    assert_eq!(of(Policy::Block), (vec![tool("a", "x")], told(Served::Not)));
}

#[test]
fn the_first_sight_is_believed_unless_only_the_lock_counts() {
    let now = offer(&[tool("a", "x")]);
    let of = |policy| judged(policy, None, &now, &Kept::default());
    assert_eq!(of(Policy::Warn), (vec![tool("a", "x")], vec![]));
    assert_eq!(of(Policy::Hold), (vec![tool("a", "x")], vec![]));
    assert_eq!(of(Policy::Block), (vec![], vec![(Change::New, Served::Not)]));
}

#[test]
fn only_what_a_model_goes_by_is_pinned_and_the_order_of_members_is_not() {
    let (locked, kept) = agreed(&[tool("a", "x")]);
    let mut same = json!({ "inputSchema": { "type": "object" }, "description": "x", "name": "a", "title": null });
    same["_meta"] = json!({ "vendor/build": 7 });
    same["icons"] = json!([]);
    assert_eq!(judged(Policy::Hold, Some(&locked), &offer(&[same.clone()]), &kept), (vec![same], vec![]));
    for (member, value) in [
        ("title", json!("T")),
        ("inputSchema", json!({ "type": "object", "properties": {} })),
        ("outputSchema", json!({ "type": "object" })),
        ("annotations", json!({ "readOnlyHint": true })),
    ] {
        let mut other = tool("a", "x");
        other[member] = value;
        let (_, drifts) = judged(Policy::Hold, Some(&locked), &offer(&[other]), &kept);
        assert_eq!(drifts, [(Change::Changed, Served::Before)], "{member}");
    }
}

#[test]
fn pages_count_by_their_address_and_by_what_they_say() {
    let showing = |page: &str| {
        let mut tool = tool("a", "x");
        tool["_meta"] = json!({ "ui": { "resourceUri": page } });
        tool
    };
    let (locked, mut kept) = agreed(&[showing("ui://one")]);
    let of = |page: &str, kept: &Kept| judged(Policy::Hold, Some(&locked), &offer(&[showing(page)]), kept);
    // Nobody read it yet.
    assert_eq!(of("ui://one", &kept), (vec![showing("ui://one")], vec![]));
    assert_eq!(of("ui://two", &kept), (vec![showing("ui://one")], vec![(Change::Changed, Served::Before)]));
    kept.pages.insert("ui://one".into(), "sha256:page".into());
    assert_eq!(of("ui://one", &kept), (vec![showing("ui://one")], vec![]));
    kept.pages.insert("ui://one".into(), "sha256:other".into());
    let judged = judge(Policy::Hold, Some(&locked), &offer(&[showing("ui://one")]), &kept);
    assert_eq!((judged.drifts[0].class, judged.drifts[0].served), (Class::Risky, Served::Before));
    assert!(judged.drifts[0].said().contains("the page ui://one says something else"), "{:?}", judged.drifts);
}

#[test]
fn the_digest_of_a_page_is_of_what_it_shows_and_may_do() {
    let page = |text: &str, uri: &str, csp: &str| json!({ "contents": [{ "uri": uri, "mimeType": "text/html", "text": text, "_meta": { "csp": csp } }], "ttlMs": 1 });
    let digest = page_digest(&page("x", "ui://a", "none"));
    assert_eq!(digest, page_digest(&page("x", "ui://connector/a", "none")));
    assert_ne!(digest, page_digest(&page("y", "ui://a", "none")));
    assert_ne!(digest, page_digest(&page("x", "ui://a", "all")));
}
