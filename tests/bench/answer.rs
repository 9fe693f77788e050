//! Whether an answer is the one that was asked for.

use std::{borrow::Cow, fmt};

use serde::Deserialize;
use serde_json::value::RawValue;

/// Why a call did not count.
#[derive(Debug, Clone)]
pub(crate) enum Miss {
    /// An answer to something else than was asked: never acceptable.
    Wrong(String),
    /// No answer, or one that says it did not work.
    Failed(String),
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrong(why) => write!(f, "WRONG ANSWER: {why}"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl<E: std::error::Error> From<E> for Miss {
    fn from(error: E) -> Self {
        Self::Failed(error.to_string())
    }
}

#[derive(Deserialize)]
struct Message<'a, R> {
    id: Option<u64>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    result: Option<R>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Called<'a> {
    #[serde(borrow)]
    content: Vec<Block<'a>>,
    #[serde(rename = "isError", default)]
    is_error: bool,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow)]
    text: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Listed<'a> {
    #[serde(borrow)]
    tools: Vec<&'a RawValue>,
    #[serde(rename = "nextCursor", borrow)]
    next: Option<Cow<'a, str>>,
}

/// What of a tool's text must be what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Text {
    /// All of it.
    Same,
    /// It stands in it: an adapter may have put something around it.
    Within,
    /// It stands in it, and 1 MiB comes with it.
    Big,
}

/// Whether a message is no answer but something the server says on its own.
pub(crate) fn is_said_unasked(message: &[u8]) -> bool {
    serde_json::from_slice::<Message<'_, &RawValue>>(message).is_ok_and(|message| message.method.is_some())
}

fn result<'a, R: Deserialize<'a>>(message: &'a [u8], id: u64) -> Result<R, Miss> {
    let answer: Message<'a, R> =
        serde_json::from_slice(message).map_err(|error| Miss::Failed(format!("{error}: {}", start_of(message))))?;
    if answer.id != Some(id) {
        return Err(Miss::Wrong(format!("asked with id {id}, got {}", start_of(message))));
    }
    if let Some(error) = answer.error {
        return Err(Miss::Failed(error.to_string()));
    }
    answer.result.ok_or_else(|| Miss::Failed("neither result nor error".to_owned()))
}

/// Checks the answer of a tool that sends back what it gets.
pub(crate) fn check_call(message: &[u8], id: u64, sent: &str, text: Text) -> Result<(), Miss> {
    let called: Called<'_> = result(message, id)?;
    let Some(Block { text: got }) = called.content.first() else {
        return Err(Miss::Failed("a result without content".to_owned()));
    };
    if called.is_error {
        return Err(Miss::Failed(got.to_string()));
    }
    let right = match text {
        Text::Same => got == sent,
        Text::Within => got.contains(sent),
        Text::Big => got.len() >= crate::upstream::BIG && got.get(..256).is_some_and(|start| start.contains(sent)),
    };
    if right { Ok(()) } else { Err(Miss::Wrong(format!("sent “{sent}”, got “{}”", start_of(got.as_bytes())))) }
}

/// The number of tools on a page of a list, and the cursor of the next.
pub(crate) fn check_list(message: &[u8], id: u64) -> Result<(usize, Option<String>), Miss> {
    let listed: Listed<'_> = result(message, id)?;
    Ok((listed.tools.len(), listed.next.map(Cow::into_owned)))
}

/// As much of a message as helps in a report.
pub(crate) fn start_of(message: &[u8]) -> String {
    String::from_utf8_lossy(message).chars().take(160).collect()
}
