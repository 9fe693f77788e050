//! The bundled manifests and their schema.

use std::fs;
use std::path::{Path, PathBuf};

use switchboard::manifest::{BuiltIn, Manifests, file_schema};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests")
}

/// The bundled manifests and their texts.
fn bundled() -> Vec<(PathBuf, String)> {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|file| file.extension().is_some_and(|ending| ending == "json"));
    let files = files.filter(|file| file.file_name().is_some_and(|name| name != "schema.json"));
    files.map(|file| (file.clone(), fs::read_to_string(&file).unwrap())).collect()
}

#[test]
fn the_committed_schema_is_the_one_the_types_make() {
    let committed = fs::read_to_string(folder().join("schema.json")).unwrap_or_default();
    let made = format!("{:#}\n", file_schema());
    assert!(committed == made, "run `cargo run -- schema > manifests/schema.json`");
}

#[test]
fn bundled_manifests_have_nothing_to_complain_of() {
    let manifests = Manifests::read(bundled()).with_built_in(BuiltIn { profile: false, registry: false });
    assert_eq!(manifests.problems, []);
    assert_eq!(manifests.connectors.len(), 10);
}

#[test]
fn bundled_manifests_fit_the_committed_schema() {
    let schema = jsonschema::options().build(&file_schema()).unwrap();
    for (file, text) in bundled() {
        let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
        let errors: Vec<String> = schema.iter_errors(&manifest).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new(), "{}", file.display());
    }
}
