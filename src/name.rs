//! Names: connectors' ids, the names tools are published under, and the nearest name to a wrong one.

use std::{fmt, sync::Arc};

use aws_lc_rs::digest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest name every known client takes (Copilot CLI, Claude Code, `OpenAI`'s functions).
pub const MAX_TOOL_NAME: usize = 64;

/// Names a connector. Invariant: `[a-z0-9][a-z0-9-]{0,62}`, so never an underscore, and
/// `<connector>_<tool>` can be taken apart again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[a-z0-9][a-z0-9-]{0,62}$"), with = "String")]
pub struct ConnectorId(Arc<str>);

impl ConnectorId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ConnectorId {
    type Error = String;

    fn try_from(id: String) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if id.is_empty() || id.len() > 63 || id.starts_with('-') || !id.chars().all(fits) {
            return Err(format!("`{id}` is no connector id: lower-case letters, digits and `-`"));
        }
        Ok(Self(id.into()))
    }
}

impl From<ConnectorId> for String {
    fn from(id: ConnectorId) -> Self {
        id.0.as_ref().into()
    }
}

impl From<&ConnectorId> for Arc<str> {
    fn from(id: &ConnectorId) -> Self {
        Self::clone(&id.0)
    }
}

impl fmt::Display for ConnectorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name a tool is published under: `[A-Za-z0-9_-]{1,64}`, a function of its connector and
/// its own name only, so it stays when other connectors come and go.
///
/// Characters clients refuse become `_`; what is too long keeps 55 characters and a hash of the
/// whole name.
pub fn public_name(connector: &ConnectorId, tool: &str, prefix: bool) -> String {
    fitting(if prefix { format!("{connector}_{tool}") } else { tool.to_owned() })
}

/// A published name with a prefix of one client's before it, made to fit in the same way.
pub fn prefixed(prefix: &str, name: &str) -> String {
    fitting(format!("{prefix}{name}"))
}

fn fitting(full: String) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if full.len() <= MAX_TOOL_NAME && full.chars().all(fits) {
        return full;
    }
    let safe: String = full.chars().map(|c| if fits(c) { c } else { '_' }).collect();
    if safe.len() <= MAX_TOOL_NAME {
        return safe;
    }
    let hash = digest::digest(&digest::SHA256, full.as_bytes());
    let hash = hash.as_ref().iter().take(4).fold(0_u32, |hash, byte| hash << 8 | u32::from(*byte));
    let head: String = safe.chars().take(MAX_TOOL_NAME - 9).collect();
    format!("{head}_{hash:08x}")
}

/// A name as an id: small letters, with `-` for all that is neither letter nor digit.
pub fn slug(name: &str) -> String {
    let words: Vec<String> = name
        .to_lowercase()
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    words.join("-")
}

/// A wrong name longer than this is like nothing, and is not repeated whole: it may come from anybody.
const LONGEST_WRONG: usize = 128;

/// A name somebody else made up, short enough to be shown.
pub fn shown(name: &str) -> String {
    cut(name, LONGEST_WRONG)
}

/// A text's first characters, with a mark behind them when there are more.
pub fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The names most like `wrong`, nearest first, three at most and none that is not alike at all.
pub fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    if wrong.len() > LONGEST_WRONG {
        return Vec::new();
    }
    let mut scored: Vec<(f64, &str)> = names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&wrong.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(score, _)| *score > 0.8)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.into_iter().take(3).map(|(_, name)| name).collect()
}

/// `; did you mean …?` for the nearest names, or nothing.
pub fn did_you_mean<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(wrong, names).as_slice() {
        [] => String::new(),
        near => format!("; did you mean `{}`?", near.join("` or `")),
    }
}
