//! What may be served of what upstreams say, by what was agreed to.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use switchboard::catalog::diff::Class;
use switchboard::catalog::pin::{
    Change, Known, Locked, Pin, Policy, Served, descriptor_of_instructions, judge, page_digest,
};
use switchboard::catalog::{Declared, Offer};
use switchboard::manifest::{Tool, Validators};

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
fn what_clients_get_is_pinned_and_the_order_of_members_is_not() {
    let (locked, kept) = agreed(&[tool("a", "x")]);
    let mut same = json!({ "inputSchema": { "type": "object" }, "description": "x", "name": "a", "title": null });
    same["_meta"] = json!({ "vendor/build": 7 });
    same["securitySchemes"] = json!([{ "type": "noauth" }]);
    assert_eq!(judged(Policy::Hold, Some(&locked), &offer(&[same.clone()]), &kept), (vec![same], vec![]));
    for (member, value) in [
        ("title", json!("T")),
        ("inputSchema", json!({ "type": "object", "properties": {} })),
        ("outputSchema", json!({ "type": "object" })),
        ("annotations", json!({ "readOnlyHint": true })),
        ("icons", json!([{ "src": "https://elsewhere.example/i.png" }])),
        ("execution", json!({ "taskSupport": "required" })),
        ("_meta", json!({ "openai/widgetAccessible": true })),
        ("_meta", json!({ "ui": { "visibility": ["app"] } })),
        ("weird", json!("obey")),
    ] {
        let mut other = tool("a", "x");
        other[member] = value;
        let (_, drifts) = judged(Policy::Hold, Some(&locked), &offer(&[other]), &kept);
        assert_eq!(drifts, [(Change::Changed, Served::Before)], "{member}");
    }
}

#[test]
fn a_tool_that_would_be_another_call_is_not_held_in_its_old_words() {
    let declared = |text: &str, address: &str| {
        let tool = Tool::named("a".into(), text.into());
        let request = json!({ "method": "POST", "address": address });
        Declared { tool, validators: Validators::default(), at: String::new(), request }
    };
    let offer = |it: &Declared| Arc::new(Offer { declared: vec![it.clone()], ..Offer::default() });
    let (locked, kept) = agreed(&[declared("x", "/archive").descriptor()]);
    let of = |policy, text, address| {
        let judged = judge(policy, Some(&locked), &offer(&declared(text, address)), &kept);
        (judged.offer.declared.len(), judged.drifts.first().map(|drift| (drift.class, drift.served)))
    };
    assert_eq!(of(Policy::Block, "x", "/archive"), (1, None));
    assert_eq!(of(Policy::Hold, "y", "/archive"), (1, Some((Class::Risky, Served::Before))));
    assert_eq!(of(Policy::Warn, "x", "/delete"), (1, Some((Class::Breaking, Served::Now))));
    assert_eq!(of(Policy::Hold, "x", "/delete"), (0, Some((Class::Breaking, Served::Not))));
    assert_eq!(of(Policy::Block, "x", "/delete"), (0, Some((Class::Breaking, Served::Not))));
}

#[test]
fn what_a_server_says_of_itself_is_held_like_a_tool() {
    let saying = |text: &str| Arc::new(Offer { instructions: Some(text.into()), ..Offer::default() });
    let (locked, kept) = agreed(&[descriptor_of_instructions("Sells.")]);
    let nothing = Locked::default();
    let of = |policy, locked, text| judge(policy, locked, &saying(text), &kept).offer.instructions.clone();
    assert_eq!(of(Policy::Block, Some(&locked), "Sells."), Some("Sells.".into()));
    assert_eq!(of(Policy::Warn, Some(&locked), "Obey."), Some("Obey.".into()));
    assert_eq!(of(Policy::Hold, Some(&locked), "Obey."), Some("Sells.".into()));
    assert_eq!(of(Policy::Hold, Some(&nothing), "Obey."), None);
    assert_eq!(of(Policy::Block, None, "Obey."), None);
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
fn a_page_that_nobody_could_read_at_first_is_believed_when_it_is() {
    let mut showing = tool("a", "x");
    showing["_meta"] = json!({ "ui": { "resourceUri": "ui://one" } });
    let locked = Locked { tools: [("a".to_owned(), Pin::of(&showing, |_| None))].into() };
    let kept = Kept { pages: [("ui://one".to_owned(), "sha256:page".to_owned())].into(), ..Kept::default() };
    assert_eq!(judged(Policy::Block, Some(&locked), &offer(&[showing.clone()]), &kept), (vec![showing], vec![]));
}

#[test]
fn the_digest_of_a_page_is_of_what_it_shows_and_may_do() {
    let page = |text: &str, uri: &str, csp: &str| json!({ "contents": [{ "uri": uri, "mimeType": "text/html", "text": text, "_meta": { "csp": csp } }], "ttlMs": 1 });
    let digest = page_digest(&page("x", "ui://a", "none"));
    assert_eq!(digest, page_digest(&page("x", "ui://connector/a", "none")));
    assert_ne!(digest, page_digest(&page("y", "ui://a", "none")));
    assert_ne!(digest, page_digest(&page("x", "ui://a", "all")));
}
