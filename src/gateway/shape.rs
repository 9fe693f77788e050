//! The last look at a result: its size, and whether it is what the tool promised.

use std::fmt::Write as _;

use crate::call::{Content, Outcome, Output};
use crate::catalog::Entry;
use crate::error::{Error, ErrorKind, Result};

/// An adapter may add a note to a result that it cut at the limit.
const ROOM_FOR_NOTES: usize = 1024;

/// Clients check results against the output schema and fail without a word for the model, so a
/// result that breaks it becomes an error that says how, with the result beside it as text.
pub(super) fn shape(entry: &Entry, outcome: Outcome, max_result: usize) -> Result<Outcome> {
    if outcome.size() > max_result.saturating_add(ROOM_FOR_NOTES) {
        let made = if entry.may_be_repeated() { "" } else { "; the call itself was made" };
        let message = format!("the result is larger than {max_result} bytes; ask for less at a time{made}");
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    // What another MCP server sent is passed on as it is.
    let output = match outcome {
        Outcome::Made(output) if !output.is_error => output,
        outcome @ (Outcome::Made(_) | Outcome::Sent(_)) => return Ok(outcome),
    };
    let broken = entry.check_output(output.structured.as_ref());
    if broken.is_empty() {
        return Ok(output.into());
    }
    let mut why = format!("`{}` answered, but not in the form its output schema promises:", entry.name);
    for (pointer, violation) in &broken {
        let _ = write!(why, "\n- {}: {violation}", if pointer.is_empty() { "the result" } else { pointer });
    }
    let content = std::iter::once(Content::Text(why)).chain(output.content).collect();
    Ok(Output { content, is_error: true, ..Output::default() }.into())
}
