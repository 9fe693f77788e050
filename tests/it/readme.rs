//! The README tells the truth.

use std::fs;
use std::path::Path;

use serde_json::Value;
use switchboard::config::{Config, described};
use switchboard::manifest::Manifests;

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

fn json_blocks(text: &str) -> Vec<String> {
    text.split("```json").skip(1).map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn its_snippets_are_json_and_its_manifest_is_right() {
    let blocks = json_blocks(&readme());
    assert_eq!(blocks.len(), 4);
    for block in &blocks {
        let value: Value = serde_json::from_str(block).unwrap_or_else(|error| panic!("{error}\n{block}"));
        if value.get("adapter").is_some() {
            let manifests = Manifests::read([("weather.json".into(), block.clone())]);
            assert_eq!((manifests.problems, manifests.connectors.len()), (vec![], 1));
        }
    }
}

#[test]
fn its_table_has_every_setting_and_variable() {
    let text = readme();
    let Value::Object(settings) = serde_json::to_value(Config::default()).unwrap() else { panic!() };
    for (name, value) in &settings {
        let inner = value.as_object().into_iter().flatten().map(|(key, _)| format!("`{name}.{key}`"));
        let names: Vec<String> = if value.is_object() { inner.collect() } else { vec![format!("`{name}`")] };
        for name in names {
            assert!(text.contains(&name), "{name} is not in the README");
        }
    }
    // Vault's variables are named by their beginnings, and the system's own need no words.
    let own = |it: &&str| !["BAO_", "XDG_", "HOME", "PATH", "NO_COLOR"].iter().any(|other| it.starts_with(other));
    for variable in described().iter().flat_map(|it| it.variables.clone()).filter(own) {
        assert!(text.contains(&format!("`{variable}`")), "{variable} is not in the README");
    }
}
