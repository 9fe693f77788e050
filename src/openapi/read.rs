//! The text of a document → its value.

use serde_json::Value;

/// The longest text that is read.
const LONGEST: usize = 64 << 20;

/// Reads a document: JSON, else YAML. The words for what is wrong name the line and the column.
pub fn parse(text: &str) -> Result<Value, String> {
    let text = text.trim_start_matches('\u{feff}');
    if text.len() > LONGEST {
        return Err(format!("it is longer than {} MiB", LONGEST >> 20));
    }
    if text.trim_start().starts_with(['{', '[']) {
        // YAML may begin so too, but would read a member without a value as null.
        return serde_json::from_str(text).map_err(|error| format!("no valid JSON: {error}"));
    }
    yaml(text)
}

fn yaml(text: &str) -> Result<Value, String> {
    // YAML 1.2: only `true` and `false` are truth values. The bounds are for people's largest documents; depth and
    // repetition keep the parser's own.
    let options = serde_saphyr::options! {
        strict_booleans: true,
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::LastWins,
        budget: serde_saphyr::budget! {
            max_events: 8_000_000,
            max_nodes: 4_000_000,
        },
    };
    let value: Value = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let place = error.location().map(|at| format!(" at line {} column {}", at.line(), at.column()));
        format!("no valid YAML{}: {}", place.unwrap_or_default(), error.without_snippet())
    })?;
    if value.is_object() { Ok(value) } else { Err("it is no object, neither as JSON nor as YAML".into()) }
}
