//! What the operator lets be added while the server runs.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret::Environment;

/// A kind of source that starts a program on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Program {
    /// A package of npm.
    Npm,
    /// Any program.
    Stdio,
    /// A container.
    Docker,
    /// A package of npm in a repository.
    Github,
}

impl Program {
    /// The kind, as clients name it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::Stdio => "stdio",
            Self::Docker => "docker",
            Self::Github => "github",
        }
    }
}

/// What may be added.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// The kinds of programs that may be started. Nothing but the configuration file says so.
    pub programs: Vec<Program>,
    /// Whether an address may be private.
    pub allow_private: bool,
    /// Where programs run, each in a folder of its own; nowhere when there is no folder for data.
    pub folder: Option<PathBuf>,
    /// Our variables: where programs are looked for, and what they need to fetch more.
    pub environment: Environment,
}
