//! Where settings come from: so that they can be told, and read again.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Config, described, from_environment, read, variable_of};
use crate::error::Problem;
use crate::secret::Environment;

/// What the settings are made of.
#[derive(Debug, Clone)]
pub struct Layers {
    /// The configuration file, if there is one.
    pub file: Option<PathBuf>,
    /// The environment.
    pub environment: Environment,
    /// What the command line says, in the file's form.
    pub flags: Map<String, Value>,
}

/// A setting as it is now.
#[derive(Debug, Clone, Serialize)]
pub struct Standing {
    /// Its name in the file, with dots.
    pub setting: String,
    /// What is in force; nothing of a secret.
    pub value: Value,
    /// What says so.
    pub from: Origin,
    /// Which variable, where one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variable: Option<&'static str>,
}

/// What says what a setting is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Nobody.
    Default,
    /// The configuration file.
    File,
    /// A variable.
    Environment,
    /// An option.
    CommandLine,
}

impl Layers {
    /// The settings as these layers have them now.
    pub fn load(&self) -> Result<Config, Vec<Problem>> {
        Config::load(self.file.as_deref(), &self.environment, self.flags.clone())
    }

    /// Every setting of `config`, which was made of these layers, with what says so. Of a secret is shown that it is
    /// set.
    pub fn standing(&self, config: &Config) -> Vec<Standing> {
        let file = self.file.as_deref().and_then(|path| read(path).ok()).map(|document| document.value);
        let layers = [
            (Origin::CommandLine, Value::Object(self.flags.clone())),
            (Origin::Environment, from_environment(&self.environment)),
            (Origin::File, file.unwrap_or_default()),
        ];
        let says = |setting: &str| {
            let at = pointer(setting);
            let layer = layers.iter().find(|(_, layer)| layer.pointer(&at).is_some_and(|value| !value.is_null()));
            layer.map_or(Origin::Default, |(origin, _)| *origin)
        };
        let mut shown = leaves(config);
        let secrets =
            described().into_iter().filter_map(|it| it.file).filter(|setting| says(setting) != Origin::Default);
        let secrets: Vec<String> = secrets.filter(|setting| shown.iter().all(|(name, _)| name != setting)).collect();
        shown.extend(secrets.into_iter().map(|setting| (setting, Value::from("(set, and not shown)"))));
        let standing = |(setting, value): (String, Value)| {
            let from = says(&setting);
            let variable = variable_of(&setting).filter(|_| from == Origin::Environment);
            Standing { setting, value, from, variable }
        };
        shown.into_iter().map(standing).collect()
    }
}

impl Config {
    /// The names of the settings that are others in `other`.
    pub fn differing(&self, other: &Self) -> Vec<String> {
        let (mine, theirs) = (leaves(self), leaves(other));
        let of =
            |all: &[(String, Value)], name: &str| all.iter().find(|(it, _)| it == name).map(|(_, value)| value.clone());
        let mut names: Vec<String> = mine.iter().chain(&theirs).map(|(name, _)| name.clone()).collect();
        names.sort();
        names.dedup();
        names.retain(|name| of(&mine, name) != of(&theirs, name));
        let (auth, later) = (&self.auth, &other.auth);
        let client = |config: &crate::auth::AuthConfig| config.built_in.client.clone().and_then(|client| client.secret);
        let asked = |config: &crate::auth::AuthConfig| config.oauth.introspection.clone().map(|it| it.client_secret);
        let secrets = [
            (auth.secret_path != later.secret_path, "auth.secretPath"),
            (client(auth) != client(later), "auth.builtIn.client.secret"),
            (asked(auth) != asked(later), "auth.oauth.introspection.clientSecret"),
        ];
        names.extend(secrets.into_iter().filter(|(differs, _)| *differs).map(|(_, name)| name.to_owned()));
        names
    }
}

/// A name with dots as a JSON pointer.
fn pointer(setting: &str) -> String {
    let steps = setting.split('.').map(|step| step.replace('~', "~0").replace('/', "~1"));
    steps.fold(String::new(), |pointer, step| format!("{pointer}/{step}"))
}

/// All settings one by one, those of which nothing is said included.
fn leaves(config: &Config) -> Vec<(String, Value)> {
    fn walk(name: &str, value: Value, found: &mut Vec<(String, Value)>) {
        match value {
            Value::Object(members) if !members.is_empty() => {
                for (key, value) in members {
                    walk(&if name.is_empty() { key } else { format!("{name}.{key}") }, value, found);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                found.push((name.to_owned(), value));
            }
        }
    }
    let mut found = Vec::new();
    walk("", serde_json::to_value(config).unwrap_or_default(), &mut found);
    found
}
