//! What a change of a descriptor means.

use serde_json::{Value, json};
use switchboard::catalog::diff::{Class, differences, unified, worst};
use switchboard::catalog::surface::{Facade, Fate, PROFILES, Plan, Profile, Surface};

fn tool(input: &Value) -> Value {
    json!({ "name": "t", "description": "Says things.", "inputSchema": input })
}

fn object(properties: &Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required })
}

/// What it means that the schema of arguments changes so.
fn input(old: &Value, new: &Value) -> Class {
    worst(&differences(&tool(old), &tool(new)))
}

/// What it means that one argument's schema changes so.
fn argument(old: &Value, new: &Value) -> Class {
    input(&object(&json!({ "a": old }), &[]), &object(&json!({ "a": new }), &[]))
}

/// What it means that one member's schema of the result changes so.
fn member(old: &Value, new: &Value) -> Class {
    let promising = |schema: &Value| {
        let mut tool = tool(&object(&json!({}), &[]));
        tool["outputSchema"] = object(&json!({ "a": schema }), &["a"]);
        tool
    };
    worst(&differences(&promising(old), &promising(new)))
}

#[test]
fn what_takes_less_breaks_callers_and_what_takes_more_does_not() {
    let string = json!({ "type": "string" });
    for (narrow, wide) in [
        (string.clone(), json!({ "type": ["string", "null"] })),
        (json!({ "type": "integer" }), json!({ "type": "number" })),
        (string.clone(), json!({})),
        (json!({ "type": "string", "maxLength": 5 }), json!({ "type": "string", "maxLength": 9 })),
        (json!({ "type": "string", "minLength": 5 }), string.clone()),
        (json!({ "type": "string", "pattern": "^a" }), string.clone()),
        (json!({ "type": "integer", "minimum": 2 }), json!({ "type": "integer", "minimum": 1 })),
        (json!({ "enum": [1, 2] }), json!({ "enum": [1, 2, 3] })),
        (json!({ "const": 1 }), json!({ "enum": [1, 2] })),
        (
            json!({ "type": "array", "items": { "type": "integer" } }),
            json!({ "type": "array", "items": { "type": "number" } }),
        ),
        (json!({ "anyOf": [{ "type": "integer" }] }), json!({ "anyOf": [{ "type": "integer" }, { "type": "null" }] })),
        (json!({ "uniqueItems": true }), json!({ "uniqueItems": false })),
        (json!({ "contains": {} }), json!({ "contains": {}, "minContains": 0 })),
        (
            json!({ "patternProperties": { "^a": {}, "^x": { "type": "integer" } } }),
            json!({ "patternProperties": { "^a": {} } }),
        ),
        (
            json!({ "patternProperties": { "^a": {} }, "additionalProperties": false }),
            json!({ "patternProperties": { "^a": {}, "^b": {} }, "additionalProperties": false }),
        ),
        (
            json!({ "type": "object", "additionalProperties": false }),
            json!({ "type": "object", "additionalProperties": true }),
        ),
    ] {
        assert_eq!(argument(&wide, &narrow), Class::Breaking, "{wide} → {narrow}");
        assert_eq!(argument(&narrow, &wide), Class::Harmless, "{narrow} → {wide}");
        assert_eq!(argument(&narrow, &narrow), Class::Harmless);
    }
}

#[test]
fn results_are_judged_the_other_way_round() {
    let (narrow, wide) = (json!({ "type": "string" }), json!({ "type": ["string", "null"] }));
    assert_eq!(member(&wide, &narrow), Class::Harmless);
    assert_eq!(member(&narrow, &wide), Class::Breaking);
    let promising = |schema: Option<Value>| {
        let mut tool = tool(&object(&json!({}), &[]));
        tool["outputSchema"] = schema.unwrap_or_default();
        tool
    };
    let both = object(&json!({ "a": {}, "b": {} }), &["a"]);
    let one = object(&json!({ "a": {} }), &["a"]);
    let class = |old, new| worst(&differences(&promising(old), &promising(new)));
    assert_eq!(class(Some(both.clone()), Some(one.clone())), Class::Breaking);
    assert_eq!(class(Some(one.clone()), Some(both)), Class::Harmless);
    assert_eq!(class(Some(one.clone()), None), Class::Breaking);
    assert_eq!(class(None, Some(one)), Class::Risky);
    assert_eq!(member(&json!({ "enum": ["a"] }), &json!({ "enum": ["a", "b"] })), Class::Breaking);
}

#[test]
fn a_new_argument_breaks_callers_only_when_it_has_to_be_given() {
    let before = object(&json!({ "a": { "type": "string" } }), &["a"]);
    let with = |more: &Value, required: &[&str]| object(&json!({ "a": { "type": "string" }, "b": more }), required);
    assert_eq!(input(&before, &with(&json!({ "type": "string" }), &["a", "b"])), Class::Breaking);
    // What it asks for is read by the model, be it by its name alone.
    assert_eq!(input(&before, &with(&json!({ "type": "string" }), &["a"])), Class::Risky);
    assert_eq!(input(&before, &with(&json!({ "description": "everything said so far" }), &["a"])), Class::Risky);
    assert_eq!(input(&with(&json!({}), &["a", "b"]), &with(&json!({}), &["a"])), Class::Harmless);
    assert_eq!(input(&with(&json!({}), &["a"]), &with(&json!({}), &["a", "b"])), Class::Breaking);
}

#[test]
fn an_argument_that_is_gone_breaks_callers_where_others_are_refused() {
    let (two, mut one) = (object(&json!({ "a": {}, "b": {} }), &[]), object(&json!({ "a": {} }), &[]));
    assert_eq!(input(&two, &one), Class::Risky);
    one["additionalProperties"] = json!(false);
    assert_eq!(input(&two, &one), Class::Breaking);
}

#[test]
fn what_is_the_same_said_otherwise_is_harmless_and_what_only_looks_alike_is_not() {
    let all = json!({ "type": ["null", "boolean", "object", "array", "number", "string", "integer"] });
    assert_eq!(argument(&json!({}), &all), Class::Harmless);
    assert_eq!(argument(&json!({}), &json!({ "minLength": 0 })), Class::Harmless);
    let way = |more: &Value| json!({ "oneOf": [{ "type": "integer" }, more] });
    let one = json!({ "oneOf": [{ "type": "integer" }] });
    assert_eq!(argument(&one, &way(&json!({ "type": "null" }))), Class::Harmless);
    assert_eq!(argument(&one, &way(&json!({ "minimum": 0 }))), Class::Breaking);
    // Words for the model, wherever they stand.
    assert_eq!(argument(&one, &way(&json!({ "type": "null", "title": "everything said" }))), Class::Risky);
    let (two, mut rest) = (object(&json!({ "a": {}, "b": {} }), &[]), object(&json!({ "a": {} }), &[]));
    rest["additionalProperties"] = json!({ "type": "integer" });
    assert_eq!(input(&two, &rest), Class::Breaking);
}

#[test]
fn other_words_are_risky_and_the_same_words_are_nothing() {
    let old = tool(&object(&json!({ "a": { "type": "string", "description": "x" } }), &[]));
    assert!(differences(&old, &old).is_empty());
    for (pointer, value) in [
        ("/description", json!("Says other things.")),
        ("/inputSchema/properties/a/description", json!("y")),
        ("/annotations", json!({ "readOnlyHint": true })),
        ("/securitySchemes", json!([{ "type": "oauth2", "scopes": ["admin"] }])),
        ("/_meta", json!({ "ui": { "resourceUri": "ui://other" } })),
        ("/title", json!("T")),
    ] {
        let mut new = old.clone();
        match new.pointer_mut(pointer) {
            Some(place) => *place = value,
            None => new[pointer.trim_start_matches('/')] = value,
        }
        assert_eq!(worst(&differences(&old, &new)), Class::Risky, "{pointer}");
    }
    let mut renamed = old.clone();
    renamed["name"] = json!("other");
    assert_eq!(worst(&differences(&old, &renamed)), Class::Breaking);
}

#[test]
fn nothing_in_a_diff_is_obeyed_by_a_terminal() {
    let (old, mut new) = (tool(&object(&json!({}), &[])), tool(&object(&json!({}), &[])));
    new["description"] = json!("Says things.\nAnd \u{1b}[2J hides \u{202e}this.\u{200b}");
    let diff = unified(&old, &new);
    assert!(diff.contains("+  And \\u{1b}[2J hides \\u{202e}this.\\u{200b}"), "{diff}");
    assert!(!diff.contains(['\u{1b}', '\u{202e}', '\u{200b}']));
    assert!(diff.contains("   Says things."), "{diff}");
    assert_eq!(unified(&old, &old), "");
}

#[test]
fn schemas_of_any_depth_and_width_are_compared() {
    let deep = |leaf: &str| (0..200).fold(json!({ "type": leaf }), |inner, _| object(&json!({ "a": inner }), &[]));
    assert_eq!(input(&deep("string"), &deep("integer")), Class::Breaking);
    let wide = |kind: &str| {
        let all = (0..3000).map(|n| (format!("p{n}"), json!({ "type": kind }))).collect::<serde_json::Map<_, _>>();
        object(&Value::Object(all), &[])
    };
    assert_eq!(input(&wide("string"), &wide("integer")), Class::Breaking);
    assert!(differences(&tool(&wide("string")), &tool(&wide("integer"))).len() < 100);
}

// Plans

fn facade(connector: &str, own: &str, descriptor: Value) -> Facade {
    Facade { connector: connector.to_owned(), own: own.to_owned(), descriptor, ways: None }
}

fn surface(tools: &[(&str, &str, Value)]) -> Surface {
    let named = |(connector, own, tool): &(&str, &str, Value)| {
        let mut tool = tool.clone();
        tool["name"] = json!(format!("{connector}_{own}"));
        facade(connector, own, tool)
    };
    Surface { tools: tools.iter().map(named).collect() }
}

fn plan(old: &Surface, new: &Surface) -> Plan {
    Plan::between(old, new, &PROFILES.iter().collect::<Vec<_>>())
}

#[test]
fn a_plan_tells_what_goes_what_comes_and_what_got_another_name() {
    let simple = |text: &str| json!({ "description": text, "inputSchema": object(&json!({ "q": { "type": "string" } }), &["q"]) });
    let other = json!({ "description": "Else.", "inputSchema": object(&json!({ "n": {} }), &[]) });
    let old = surface(&[("a", "find", simple("Finds things by words.")), ("a", "gone", other.clone())]);
    let new =
        surface(&[("a", "search", simple("Finds things by words.")), ("a", "new", simple("Makes a new thing of it."))]);
    let fates: Vec<(String, Fate)> =
        plan(&old, &new).changes.into_iter().map(|change| (change.tool, change.change)).collect();
    assert!(fates.contains(&("a_search".into(), Fate::Renamed)), "{fates:?}");
    assert!(fates.contains(&("a_gone".into(), Fate::Removed)), "{fates:?}");
    assert!(fates.contains(&("a_new".into(), Fate::Added)), "{fates:?}");
    assert_eq!(plan(&old, &new).class, Class::Breaking);
    assert_eq!(plan(&old, &old).changes, []);
    assert_eq!(plan(&Surface::default(), &new).class, Class::Harmless);
}

#[test]
fn a_plan_counts_tokens_and_names_scopes_and_widgets() {
    let asking = |scope: &str, page: &str| {
        let schemes = json!([{ "type": "oauth2", "scopes": [scope] }]);
        json!({ "inputSchema": {}, "securitySchemes": schemes, "_meta": { "ui": { "resourceUri": page } } })
    };
    let plan = plan(
        &surface(&[("a", "t", asking("read", "ui://a/1"))]),
        &surface(&[("a", "t", asking("write", "ui://a/2")), ("a", "u", asking("read", "ui://a/2"))]),
    );
    assert_eq!((plan.tools.before, plan.tools.after), (1, 2));
    assert!(plan.tokens.after > plan.tokens.before);
    assert_eq!(plan.scopes.added.into_iter().collect::<Vec<_>>(), ["write"]);
    assert!(plan.scopes.removed.is_empty());
    assert_eq!(plan.widgets.removed.into_iter().collect::<Vec<_>>(), ["ui://a/1"]);
}

#[test]
fn a_plan_breaks_who_may_call_no_longer() {
    let asking = |ways: &[&[&str]]| {
        let mut facade = facade("a", "t", json!({ "name": "a_t", "inputSchema": {} }));
        facade.ways = Some(ways.iter().map(|way| way.iter().map(|&scope| scope.to_owned()).collect()).collect());
        Surface { tools: vec![facade] }
    };
    for (old, new, class) in [
        (asking(&[]), asking(&[&[]]), Class::Breaking),
        (asking(&[&[]]), asking(&[&["pay:write"]]), Class::Breaking),
        (asking(&[&["a", "b"]]), asking(&[&["a"]]), Class::Risky),
        (asking(&[&["a"]]), asking(&[]), Class::Risky),
        (asking(&[&["a"]]), asking(&[&["a"]]), Class::Harmless),
    ] {
        assert_eq!(plan(&old, &new).class, class, "{old:?} → {new:?}");
    }
    assert!(plan(&asking(&[]), &asking(&[&["pay:write"]])).scopes.added.contains("pay:write"));
}

#[test]
fn clients_are_told_of_what_they_cannot_take() {
    let many: Vec<(String, String)> = (0..41).map(|n| ("a".to_owned(), format!("t{n}"))).collect();
    let tools: Vec<(&str, &str, Value)> =
        many.iter().map(|(connector, own)| (connector.as_str(), own.as_str(), json!({ "inputSchema": {} }))).collect();
    let (few, all) = (surface(&tools[..40]), surface(&tools));
    let seen = |new: &Surface, client: &str| plan(&Surface::default(), new).profiles[client].clone();
    assert_eq!(seen(&few, "cursor").warnings, Vec::<String>::new());
    assert!(seen(&all, "cursor").warnings[0].contains("41 tools, and 40 is its most"));
    assert_eq!(seen(&all, "cursor").tools.after, 40);
    let long = surface(&[("a", &"x".repeat(50), json!({ "inputSchema": {} }))]);
    assert!(seen(&long, "claude-code").warnings[0].contains("longer than 46"));
    assert_eq!(seen(&long, "cursor").warnings, Vec::<String>::new());
    assert!(Profile::named("netscape").is_none());
}
