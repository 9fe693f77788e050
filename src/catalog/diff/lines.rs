//! A tool as lines that can be laid side by side: one for each thing that is said.

use serde_json::Value;
use similar::TextDiff;

use crate::catalog::poison::visible_line;
use crate::name::cut;

/// Lines of a diff; more are cut.
const MOST: usize = 400;
/// Characters of one line.
const LONGEST: usize = 600;
/// Lines that did not change around one that did.
const AROUND: usize = 2;
/// Schemas are looked into so deep; deeper ones are one line.
const DEEPEST: usize = 12;

/// A descriptor as lines: texts as they are, everything else as `a.b.c = value`. Nothing in them is obeyed by a
/// terminal.
pub fn lines(tool: &Value) -> String {
    let mut lines = Vec::new();
    if let Some(members) = tool.as_object() {
        for (name, value) in members {
            if let Some(text) = value.as_str().filter(|_| name == "description") {
                lines.push("description:".to_owned());
                lines.extend(text.lines().map(|line| format!("  {}", shown(line))));
            } else if !value.is_null() {
                leaves(&visible_line(name), value, 0, &mut lines);
            }
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

fn leaves(at: &str, value: &Value, depth: usize, lines: &mut Vec<String>) {
    match value {
        Value::Object(members) if !members.is_empty() && depth < DEEPEST => {
            for (name, value) in members {
                leaves(&format!("{at}.{}", visible_line(name)), value, depth + 1, lines);
            }
        }
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) && depth < DEEPEST => {
            for (index, item) in items.iter().enumerate() {
                leaves(&format!("{at}[{index}]"), item, depth + 1, lines);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            lines.push(format!("{at} = {}", shown(&value.to_string())));
        }
    }
}

fn shown(text: &str) -> String {
    visible_line(&cut(text, LONGEST))
}

/// What differs between two descriptors, in the form `diff -u` made known; nothing, when nothing does.
pub fn unified(old: &Value, new: &Value) -> String {
    let (old, new) = (lines(old), lines(new));
    if old == new {
        return String::new();
    }
    let diff = TextDiff::from_lines(old.as_str(), new.as_str());
    let text = diff.unified_diff().context_radius(AROUND).to_string();
    let mut lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("@@")).collect();
    if lines.len() > MOST {
        lines.truncate(MOST);
        lines.push("…");
    }
    lines.join("\n")
}
