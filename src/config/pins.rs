//! How tools of upstreams are pinned.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Config;
use crate::catalog::pin::{Lock, Policy};
use crate::error::Problem;
use crate::gateway::PinOptions;
use crate::gateway::pins::{LOCK_NAME, LockFile};

/// How tools of upstreams are pinned.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PinsConfig {
    /// What happens when an upstream says something else of a tool than it did: `warn` serves it and says so, `hold`
    /// goes on serving what was agreed to, `block` serves only what is in the lock as it is there.
    pub policy: Policy,
    /// The lock, instead of `switchboard.lock` beside the manifests.
    pub file: Option<PathBuf>,
}

impl Config {
    /// The lock of tools.
    pub fn lock_file(&self) -> LockFile {
        let beside = || {
            let folder = if self.manifests.is_dir() { Some(self.manifests.as_path()) } else { self.manifests.parent() };
            folder.unwrap_or(Path::new("")).join(LOCK_NAME)
        };
        LockFile::new(self.pins.file.clone().unwrap_or_else(beside), self.data_dir.as_deref())
    }

    /// How tools are pinned. A lock that cannot be read is an error where something depends on it; elsewhere nothing
    /// is compared.
    pub fn pins(&self) -> Result<(PinOptions, Vec<Problem>), Vec<Problem>> {
        let (policy, file) = (self.pins.policy, self.lock_file());
        match file.read() {
            Ok(lock) => Ok((PinOptions { policy, file, lock }, Vec::new())),
            Err(problems) if policy == Policy::Warn => {
                Ok((PinOptions { policy, file, lock: Lock::default() }, problems))
            }
            Err(problems) => Err(problems),
        }
    }
}
