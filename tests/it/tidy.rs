//! The house rules that a machine can hold: floors, purity, layout.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A module names only modules of lower floors; within a floor nobody names anybody.
const FLOORS: &[(u32, &[&str])] = &[
    (12, &["main"]),
    (11, &["cli"]),
    (10, &["app"]),
    (9, &["config"]),
    (8, &["transport"]),
    (7, &["protocol"]),
    (6, &["gateway"]),
    (5, &["adapter", "auth", "doctor"]),
    (4, &["call"]),
    (3, &["catalog", "credential", "openapi"]),
    (2, &["manifest", "caller", "upstream", "telemetry", "audit", "signature", "store"]),
    (1, &["widget", "select"]),
    (0, &["error", "name", "params", "secret"]),
];

/// Values in, values out: none of these words may stand in their code.
const PURE: &[&str] = &[
    "error",
    "name",
    "params",
    "caller",
    "widget",
    "manifest",
    "catalog",
    "select",
    "openapi",
    "adapter/collection/items",
    "protocol/present",
];
const IMPURE: &[&str] = &["tokio", "tracing::", "std::fs", "fs::", "Instant", "SystemTime", "std::env", "std::net"];

pub(crate) fn sources() -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push((path.clone(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut found);
    for (path, _) in &mut found {
        *path = path.strip_prefix(&root).unwrap().to_owned();
    }
    found
}

/// The top-level module a file belongs to.
fn module(file: &Path) -> String {
    file.iter().next().unwrap().to_string_lossy().trim_end_matches(".rs").to_owned()
}

fn floors() -> BTreeMap<&'static str, u32> {
    FLOORS.iter().flat_map(|(floor, modules)| modules.iter().map(|module| (*module, *floor))).collect()
}

/// The modules a file names: `crate::x`, each name of `crate::{x, y}`, and in `main` `switchboard::x`.
fn named(text: &str) -> Vec<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut names = Vec::new();
    for prefix in ["crate::", "switchboard::"] {
        for (_, after) in code.match_indices(prefix).map(|(at, _)| code.split_at(at + prefix.len())) {
            let group = after.strip_prefix('{').map(|rest| rest.split_once('}').map_or(rest, |(inside, _)| inside));
            for part in group.unwrap_or(after).split(',').take(if group.is_some() { usize::MAX } else { 1 }) {
                let name: String = part.trim().chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
                names.extend((!name.is_empty()).then_some(name));
            }
        }
    }
    names
}

#[test]
fn modules_name_only_lower_floors() {
    let floors = floors();
    let mut faults = Vec::new();
    for (file, text) in sources().iter().filter(|(file, _)| file != Path::new("lib.rs")) {
        let from = module(file);
        let floor = floors.get(from.as_str()).unwrap_or_else(|| panic!("{from} stands on no floor: add it to FLOORS"));
        for to in named(text).into_iter().filter(|to| *to != from) {
            match floors.get(to.as_str()) {
                Some(lower) if lower < floor => {}
                Some(_) => faults.push(format!("{}: `{from}` names `{to}`", file.display())),
                None => faults.push(format!("{}: `{to}` stands on no floor", file.display())),
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn pure_modules_touch_nothing_outside() {
    let mut faults = Vec::new();
    for (file, text) in sources() {
        let path = file.with_extension("");
        if !PURE.iter().any(|pure| path.starts_with(pure)) {
            continue;
        }
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for word in IMPURE.iter().filter(|word| line.contains(**word)) {
                faults.push(format!("{}:{}: pure code names `{word}`", file.display(), number + 1));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn files_follow_the_layout() {
    const NAMELESS: &[&str] = &["mod.rs", "util.rs", "utils.rs", "common.rs", "helpers.rs", "misc.rs", "types.rs"];
    for (file, text) in sources() {
        let name = file.file_name().unwrap().to_string_lossy();
        assert!(!NAMELESS.contains(&name.as_ref()), "{}: a file is named after its concept", file.display());
        assert!(text.starts_with("//!"), "{}: the first line says what the file is", file.display());
        assert!(text.lines().count() <= 420, "{}: which second idea lives in it?", file.display());
    }
}
