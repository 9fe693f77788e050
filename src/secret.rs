//! References to values that stand outside a manifest: `${VAR}`, `${VAR:default}`, `{"file": …}` and `{"vault": …}`.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

mod keep;

pub use keep::{keep_secret, read_secret};

/// The process's environment, read once at start. `Debug` shows names only.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// An environment of these variables. Empty values count as unset, so that no empty
    /// credential is ever sent.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(variables.into_iter().filter(|(_, value)| !value.is_empty()).collect())
    }

    /// The value of a variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A secret that stands in the settings themselves. Nobody sees it there again.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(with = "String")]
pub struct Hidden(SecretString);

impl Hidden {
    /// The secret itself.
    pub fn secret(&self) -> &SecretString {
        &self.0
    }
}

impl PartialEq for Hidden {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose_secret() == other.0.expose_secret()
    }
}

impl Eq for Hidden {}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden")
    }
}

/// Why a reference has no value; the text names the variable or file, never a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// A variable is not set, or empty.
    #[error("the environment variable {0} is not set")]
    Variable(String),
    /// A file cannot be read.
    #[error("the file {0} cannot be read")]
    File(PathBuf),
    /// A secret cannot be had from Vault: which, and why.
    #[error("the secret {0} cannot be had from Vault: {1}")]
    Vault(String, String),
    /// The reference itself is malformed.
    #[error("{0}")]
    Syntax(String),
}

/// Text that may hold `${VAR}` and `${VAR:default}`; `$${` stands for a literal `${`.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Text(pub String);

impl fmt::Debug for Text {
    /// Only the references: what stands beside them may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let references = self.0.split("${").skip(1).filter_map(|rest| rest.split_once('}'));
        f.debug_list().entries(references.map(|(reference, _)| reference)).finish()
    }
}

impl Text {
    /// The text with every reference replaced. Values are not searched for references again.
    pub fn resolve(&self, environment: &Environment) -> Result<String, Missing> {
        let mut out = String::new();
        let mut rest = self.0.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            if let Some(before) = before.strip_suffix('$') {
                out.push_str(before);
                out.push_str("${");
                rest = after;
                continue;
            }
            out.push_str(before);
            let Some((reference, after)) = after.split_once('}') else {
                return Err(Missing::Syntax("`${` without its `}`; write `$${` for a literal `${`".into()));
            };
            out.push_str(value_of(reference, environment)?);
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }
}

fn value_of<'a>(reference: &'a str, environment: &'a Environment) -> Result<&'a str, Missing> {
    let (name, default) = match reference.split_once(':') {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(Missing::Syntax(format!("`${{{reference}}}` names no environment variable")));
    }
    environment.get(name).or(default).ok_or_else(|| Missing::Variable(name.into()))
}

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Reference {
    /// Text with `${VAR}` references.
    Text(Text),
    /// The contents of a file, read at each use so that a rotated secret is found.
    File(FileReference),
    /// A field of a secret in Vault or `OpenBao`.
    Vault(VaultReference),
}

/// A field of a secret in Vault or `OpenBao`, in a key-value engine of version 2.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VaultReference {
    /// `mount/path#field`, e.g. `secret/apps/notion#token`.
    pub vault: String,
    /// The engine's mount, when it is more than the first part of the path.
    #[serde(default)]
    pub mount: Option<String>,
    /// Put before the value, e.g. `Bearer `.
    #[serde(default)]
    pub prefix: String,
}

/// Where a secret stands in Vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VaultPlace<'a> {
    /// The engine's mount.
    pub mount: &'a str,
    /// The secret's path in it.
    pub path: &'a str,
    /// The field.
    pub field: &'a str,
}

impl VaultReference {
    /// The place it names.
    pub fn place(&self) -> Result<VaultPlace<'_>, Missing> {
        let parts = || {
            let (path, field) = self.vault.split_once('#')?;
            let (mount, path) = match &self.mount {
                Some(mount) => (mount.trim_matches('/'), path.strip_prefix(mount.trim_matches('/')).unwrap_or(path)),
                None => path.trim_start_matches('/').split_once('/')?,
            };
            let path = path.trim_matches('/');
            let whole = |text: &str| {
                text.split('/').all(|part| !matches!(part, "" | "." | ".."))
                    && !text.contains(|c: char| c.is_control() || matches!(c, '?' | '#' | '%' | '\\'))
            };
            (whole(mount) && whole(path) && !field.is_empty()).then_some(VaultPlace { mount, path, field })
        };
        let wrong = || Missing::Syntax(format!("`{}` names no secret in Vault; write `mount/path#field`", self.vault));
        parts().ok_or_else(wrong)
    }
}

/// A secret in a file, as container platforms mount them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileReference {
    /// The file, relative to the manifest's folder. White space at its end is cut.
    pub file: PathBuf,
    /// Put before the contents, e.g. `Bearer `.
    #[serde(default)]
    pub prefix: String,
}

impl Reference {
    /// The secret itself, unless somebody has to be asked for it. `folder` is the manifest's.
    pub fn resolve(&self, environment: &Environment, folder: &Path) -> Result<SecretString, Missing> {
        match self {
            Self::Text(text) => text.resolve(environment).map(SecretString::from),
            Self::File(FileReference { file, prefix }) => {
                let path = folder.join(file);
                match fs::read_to_string(&path) {
                    Ok(contents) if !contents.trim_end().is_empty() => {
                        Ok(format!("{prefix}{}", contents.trim_end()).into())
                    }
                    Ok(_) | Err(_) => Err(Missing::File(path)),
                }
            }
            Self::Vault(reference) => {
                reference.place()?;
                Err(Missing::Vault(reference.vault.clone(), "it is not asked here".into()))
            }
        }
    }
}
