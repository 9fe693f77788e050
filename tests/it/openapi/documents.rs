//! What holds for every tool of every document: those among the fixtures, those the fuzzer begins with, and those in
//! the folder that the variable `OPENAPI_SPECS` names.

use std::collections::HashSet;
use std::env;

use super::*;

fn find(at: &Path, found: &mut Vec<PathBuf>) {
    if at.is_dir() {
        for entry in fs::read_dir(at).unwrap() {
            find(&entry.unwrap().path(), found);
        }
    } else if at.extension().is_some_and(|ending| ending == "json" || ending == "yaml" || ending == "yml") {
        found.push(at.to_owned());
    }
}

pub(super) fn documents() -> Vec<PathBuf> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut found = Vec::new();
    find(&tests.join("fixtures/openapi"), &mut found);
    find(&tests.join("fuzz/corpus"), &mut found);
    found.sort();
    assert!(found.len() > 10, "there are documents");
    found
}

/// Every schema in a schema, with its place.
fn schemas<'a>(schema: &'a Value, place: &str, found: &mut Vec<(String, &'a Value)>) {
    found.push((place.to_owned(), schema));
    let Value::Object(members) = schema else { return };
    for (keyword, value) in members {
        match (keyword.as_str(), value) {
            ("properties", Value::Object(properties)) => {
                for (name, property) in properties {
                    schemas(property, &format!("{place}/properties/{name}"), found);
                }
            }
            ("items" | "additionalProperties", value) => schemas(value, &format!("{place}/{keyword}"), found),
            ("anyOf" | "prefixItems", Value::Array(variants)) => {
                for variant in variants {
                    schemas(variant, &format!("{place}/{keyword}"), found);
                }
            }
            _ => {}
        }
    }
}

fn is_name(name: &str, extra: &[char]) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || extra.contains(&c);
    (1..=64).contains(&name.len()) && name.chars().all(fits)
}

/// What a client or a model's API would refuse in a schema.
fn faults(schema: &Value) -> Vec<String> {
    const ROOT: &[&str] = &["anyOf", "oneOf", "allOf", "not", "if", "$ref", "enum"];
    let mut faults = Vec::new();
    if schema["type"] != "object" || ROOT.iter().any(|keyword| schema.get(keyword).is_some()) {
        faults.push("the root is no plain object".to_owned());
    }
    let mut all = Vec::new();
    schemas(schema, "", &mut all);
    for (place, schema) in all {
        let text = |key: &str| schema.get(key).is_some();
        if text("$ref") || text("allOf") || text("discriminator") || text("nullable") || text("xml") {
            faults.push(format!("{place} holds what 2020-12 or a client does not know: {schema}"));
        }
        let kinds = &schema["type"];
        let array = kinds == "array" || kinds.as_array().is_some_and(|kinds| kinds.contains(&json!("array")));
        if array && !text("items") {
            faults.push(format!("{place} is an array of nobody knows what"));
        }
        for name in schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name) {
            if !is_name(name, &['_', '.', '-']) {
                faults.push(format!("{place} has a property {name:?}"));
            }
        }
        let properties = schema["properties"].as_object();
        for name in schema["required"].as_array().into_iter().flatten() {
            if !properties.is_some_and(|properties| properties.contains_key(name.as_str().unwrap())) {
                faults.push(format!("{place} requires {name}, which it does not have"));
            }
        }
    }
    let options = jsonschema::options().with_draft(jsonschema::Draft::Draft202012).offline();
    faults.extend(options.build(schema).err().map(|error| format!("it does not compile: {error}")));
    faults
}

/// What is wrong with a tool.
pub(super) fn wrong(tool: &ApiTool) -> Vec<String> {
    let mut wrong = Vec::new();
    let input = Value::Object(tool.tool.input_schema.clone());
    wrong.extend(faults(&input));
    if input.to_string().len() > 16 << 10 {
        wrong.push("the input schema is too large".into());
    }
    if let Some(output) = tool.tool.output_schema.clone().map(Value::Object) {
        wrong.extend(faults(&output));
        if output.to_string().len() > 8 << 10 {
            wrong.push("the output schema is too large".into());
        }
    }
    if !is_name(&tool.tool.name, &['_', '-']) {
        wrong.push(format!("its name is {:?}", tool.tool.name));
    }
    if tool.tool.description.is_empty() || tool.tool.description.chars().count() > 2_000 {
        wrong.push(format!("its description is {:?}", tool.tool.description));
    }
    wrong.extend(unplanned(tool, &input));
    wrong
}

/// Each argument goes somewhere, and what goes somewhere comes from an argument or is fixed.
fn unplanned(tool: &ApiTool, input: &Value) -> Vec<String> {
    let mut used: Vec<&str> = Vec::new();
    for parameter in tool.plan.parameters.iter().filter(|it| it.value.is_none()) {
        used.push(&parameter.argument);
    }
    match tool.plan.body.as_ref().map(|body| &body.shape) {
        Some(Shape::Whole(argument)) => used.push(argument),
        Some(Shape::Spread(members)) => {
            used.extend(members.iter().filter(|it| it.value.is_none()).map(|it| it.argument.as_str()));
        }
        None => {}
    }
    let given: HashSet<&str> = input["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    let mut wrong = Vec::new();
    if used.len() != given.len() || used.iter().any(|it| !given.contains(it)) {
        wrong.push(format!("it takes {given:?} and sends {used:?}"));
    }
    let placed = |name: &str| tool.plan.parameters.iter().any(|it| it.location == Location::Path && it.wire == name);
    let holes = tool.plan.path.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|(name, _)| name);
    wrong
        .extend(holes.filter(|name| !name.is_empty() && !placed(name)).map(|name| format!("nothing fills {{{name}}}")));
    wrong
}

fn all_is_well(file: &Path) {
    let text = fs::read_to_string(file).unwrap();
    let Ok(document) = parse(&text) else { return };
    let others = BTreeMap::new();
    for promise in ["loose", "strict"] {
        let settings = settings(json!({ "output": promise, "deprecated": true }));
        let source = Source { document: &document, at: None, others: &others };
        let Ok(converted) = convert(&source, &settings) else { return };
        let again = convert(&source, &settings).unwrap();
        let mut names = HashSet::new();
        let mut faults = Vec::new();
        for (tool, same) in converted.tools.iter().zip(&again.tools) {
            let called = &tool.tool.name;
            if !names.insert(called.as_str()) {
                faults.push(format!("two tools are called {called}"));
            }
            if tool.tool != same.tool || tool.plan != same.plan {
                faults.push(format!("{called} is another every time"));
            }
            faults.extend(wrong(tool).into_iter().map(|fault| format!("{called}: {fault}")));
        }
        assert!(faults.is_empty(), "{}:\n{}", file.display(), faults.join("\n"));
        assert_eq!(
            converted.tools.len() + converted.skipped.len(),
            converted.operations.max(converted.tools.len() + converted.skipped.len())
        );
    }
}

#[test]
fn every_tool_of_every_document_is_taken_by_every_client() {
    for file in documents() {
        all_is_well(&file);
    }
}

#[test]
fn every_tool_of_the_documents_somebody_names_is_taken_by_every_client() {
    let mut files = Vec::new();
    if let Some(folder) = env::var_os("OPENAPI_SPECS") {
        find(Path::new(&folder), &mut files);
    }
    for file in &files {
        all_is_well(file);
    }
}
