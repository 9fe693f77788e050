//! The text of a document → its value.

use serde_json::Value;

/// The longest text that is read.
const LONGEST: usize = 64 << 20;

/// The most values that are read; each needs many times the memory of its text.
const MOST_VALUES: usize = 4_000_000;

/// Reads a document: JSON, else YAML. The words for what is wrong name the line and the column.
pub fn parse(text: &str) -> Result<Value, String> {
    let text = text.trim_start_matches('\u{feff}');
    if text.len() > LONGEST {
        return Err(format!("it is longer than {} MiB", LONGEST >> 20));
    }
    if text.trim_start().starts_with(['{', '[']) {
        if values(text) > MOST_VALUES {
            return Err(format!("it has more than {MOST_VALUES} values"));
        }
        // YAML may begin so too, but would read a member without a value as null.
        return serde_json::from_str(text).map_err(|error| format!("no valid JSON: {error}"));
    }
    yaml(text)
}

/// How many values a JSON text has, names counted as well.
fn values(text: &str) -> usize {
    let (mut count, mut quoted, mut escaped) = (0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            b',' | b':' | b'[' | b'{' if !quoted => count += 1,
            _ => {}
        }
    }
    count
}

fn yaml(text: &str) -> Result<Value, String> {
    // YAML 1.2: only `true` and `false` are truth values. The bounds are for people's largest documents; depth and
    // repetition keep the parser's own.
    let options = serde_saphyr::options! {
        strict_booleans: true,
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::LastWins,
        budget: serde_saphyr::budget! {
            max_events: 8_000_000,
            max_nodes: MOST_VALUES,
        },
    };
    let value: Value = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let place = error.location().map(|at| format!(" at line {} column {}", at.line(), at.column()));
        format!("no valid YAML{}: {}", place.unwrap_or_default(), error.without_snippet())
    })?;
    if value.is_object() { Ok(value) } else { Err("it is no object, neither as JSON nor as YAML".into()) }
}
