//! Which operations become tools.

use super::operation::Operation;
use crate::manifest::{Mend, OpenApiSettings, OperationChoice};

/// Why an operation becomes no tool, when somebody wants it so.
pub(super) fn left_out(operation: &Operation<'_>, settings: &OpenApiSettings, mend: Option<&Mend>) -> Option<String> {
    match mend.and_then(|mend| mend.enabled) {
        Some(true) => return None,
        Some(false) => return Some("`operations` leaves it out".into()),
        None => {}
    }
    if !settings.include.is_empty() && !settings.include.iter().any(|choice| chooses(choice, operation)) {
        return Some("`include` does not choose it".into());
    }
    if settings.exclude.iter().any(|choice| chooses(choice, operation)) {
        return Some("`exclude` chooses it".into());
    }
    (operation.deprecated && !settings.deprecated).then(|| "it is deprecated".into())
}

fn chooses(choice: &OperationChoice, operation: &Operation<'_>) -> bool {
    let OperationChoice { tags, paths, methods, operations } = choice;
    (tags.is_empty() || tags.iter().any(|tag| operation.tags.contains(&tag.as_str())))
        && (paths.is_empty() || paths.iter().any(|pattern| matches(pattern, operation.path)))
        && (methods.is_empty() || operation.method.is_some_and(|method| methods.contains(&method)))
        && (operations.is_empty() || operations.iter().any(|name| operation.is(name)))
}

/// Whether a path fits a pattern, of which `*` stands for one segment's text and `**` for any.
fn matches(pattern: &str, path: &str) -> bool {
    enum Part {
        Just(char),
        Segment,
        Any,
    }
    let mut parts = Vec::new();
    let mut letters = pattern.chars().peekable();
    while let Some(c) = letters.next() {
        parts.push(match c {
            '*' if letters.next_if_eq(&'*').is_some() => Part::Any,
            '*' => Part::Segment,
            c => Part::Just(c),
        });
    }
    // Which beginnings of the path the pattern's parts so far may stand for; no pattern costs more than its
    // length times the path's.
    let path: Vec<char> = path.chars().collect();
    let mut ends = vec![false; path.len() + 1];
    if let Some(first) = ends.first_mut() {
        *first = true;
    }
    for part in &parts {
        let mut next = vec![false; ends.len()];
        let mut open = false;
        for (at, (end, next)) in ends.iter().zip(&mut next).enumerate() {
            let before = at.checked_sub(1).and_then(|at| path.get(at).copied());
            let came = at.checked_sub(1).and_then(|at| ends.get(at).copied()).unwrap_or_default();
            match part {
                Part::Just(c) => *next = came && before == Some(*c),
                Part::Segment => {
                    open = *end || open && before != Some('/');
                    *next = open;
                }
                Part::Any => {
                    open |= *end;
                    *next = open;
                }
            }
        }
        ends = next;
    }
    ends.last().copied().unwrap_or_default()
}
