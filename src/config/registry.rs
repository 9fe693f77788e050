//! What the settings say of connectors that are added while the server runs.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::gateway::{Program, Rules};
use crate::secret::Environment;

/// What may be added while the server runs. No variable and no flag says so: only the configuration file does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RegistryConfig {
    /// With `auth.mode: none`: whether requests that this machine itself makes may add and remove connectors. In the
    /// other modes that takes the scope `connectors:admin`.
    pub open: bool,
    /// The kinds of sources that may start programs on this machine: `npm`, `stdio`, `docker`, `github`.
    pub programs: Vec<Program>,
    /// Whether an added connector's address may be private, loopback or link-local.
    pub allow_private: bool,
}

impl RegistryConfig {
    /// The registry's part; `folder` is where data is kept.
    pub(super) fn rules(&self, folder: Option<PathBuf>, environment: &Environment) -> Rules {
        let Self { programs, allow_private, .. } = self;
        Rules { programs: programs.clone(), allow_private: *allow_private, folder, environment: environment.clone() }
    }
}
