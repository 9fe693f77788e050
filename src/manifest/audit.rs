//! What a manifest says about what is recorded of a tool's calls.

use schemars::JsonSchema;
use serde::Deserialize;

/// What is recorded of a tool's calls, beside who called and how it ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Audited {
    /// What is recorded of its arguments.
    #[serde(default)]
    pub arguments: AuditedArguments,
}

/// What is recorded of a call's arguments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuditedArguments {
    /// Nothing but their size.
    None,
    /// The names that the tool declares, and types.
    #[default]
    Shape,
    /// They themselves, up to 4 KiB. For tools that are called with no secrets.
    Values,
}
