//! What there is to set: every setting and variable with its names, kind, default and meaning.

use serde::Serialize;
use serde_json::Value;

use super::{Config, PATHS, variable_of};
use crate::manifest::schema_of;

/// One setting, or variables that no setting of the file stands for.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Described {
    /// Its name in the configuration file, with dots; `<name>` stands for any name.
    pub file: Option<String>,
    /// The variables that say it.
    pub variables: Vec<&'static str>,
    /// What it may be.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is when nobody says.
    pub default: Option<Value>,
    /// What it means.
    pub meaning: String,
}

/// Variables that no setting of the file stands for: their names, what they may be, and what they mean.
pub const OUTSIDE: &[(&[&str], &str, &str)] = &[
    (&["SWITCHBOARD_CONFIG"], "path", "The configuration file, when no option names one."),
    (&["CONNECTORS_API_KEY", "MCP_API_KEY"], "secret", "Keys for everything, the operator's routes too."),
    (&["NO_AUTH"], "true or false", "Nobody has to show anything, on any address."),
    (
        &["CONNECTORS_SIGNATURE_KEY"],
        "secret",
        "The key that the service map is signed with; it comes before `signature.keyFile`.",
    ),
    (
        &["SWITCHBOARD_SEAL_KEY"],
        "secret",
        "The keys that what is kept is sealed with, in base64, the newest first; they come before \
         `credentials.sealKeyFile`.",
    ),
    (&["SWITCHBOARD_KEY"], "secret", "The key that commands show to a running server."),
    (&["VAULT_ADDR", "BAO_ADDR"], "URL", "Where Vault or OpenBao is."),
    (&["VAULT_NAMESPACE", "BAO_NAMESPACE"], "text", "The namespace in Vault."),
    (&["VAULT_CACERT", "BAO_CACERT"], "path", "The certificates that vouch for Vault, instead of the system's."),
    (&["VAULT_TOKEN", "BAO_TOKEN"], "secret", "A token to log in to Vault with."),
    (&["VAULT_TOKEN_FILE", "BAO_TOKEN_FILE"], "path", "A file that holds such a token."),
    (&["VAULT_ROLE_ID", "BAO_ROLE_ID"], "text", "The AppRole to log in to Vault as."),
    (&["VAULT_SECRET_ID", "BAO_SECRET_ID"], "secret", "The secret of that AppRole."),
    (&["VAULT_SECRET_ID_FILE", "BAO_SECRET_ID_FILE"], "path", "A file that holds the secret of that AppRole."),
    (&["VAULT_K8S_ROLE", "BAO_K8S_ROLE"], "text", "The role to log in to Vault as a Kubernetes pod."),
    (&["VAULT_K8S_TOKEN_FILE", "BAO_K8S_TOKEN_FILE"], "path", "The pod's token, where it is not at its usual place."),
    (&["VAULT_AUTH_MOUNT", "BAO_AUTH_MOUNT"], "text", "Where in Vault the way to log in is mounted."),
    (&["OTEL_SERVICE_NAME"], "text", "How we are called where traces and numbers of many programs come together."),
    (&["OTEL_RESOURCE_ATTRIBUTES"], "name=value,…", "What else is said of us with every trace and number."),
    (&["OTEL_EXPORTER_OTLP_HEADERS"], "secret", "Headers that a collector wants: name=value, separated by commas."),
    (
        &["OTEL_EXPORTER_OTLP_COMPRESSION"],
        "gzip",
        "How what goes to a collector is compressed; not at all when unsaid.",
    ),
    (&["OTEL_EXPORTER_OTLP_TIMEOUT"], "milliseconds", "How long a collector may take to answer."),
    (&["XDG_DATA_HOME", "HOME"], "path", "Where the usual `dataDir` is."),
    (&["PATH"], "list of paths", "Where programs of connectors are found."),
    (&["NO_COLOR"], "anything", "`switchboard doctor` prints without colours."),
];

/// Everything there is to set.
pub fn described() -> Vec<Described> {
    let schema = schema_of::<Config>();
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    let mut found = Vec::new();
    Walk { schema: &schema, defaults: &defaults }.walk("", &schema, &mut found);
    found.extend(OUTSIDE.iter().map(|(variables, kind, meaning)| Described {
        file: None,
        variables: variables.to_vec(),
        kind: (*kind).to_owned(),
        default: None,
        meaning: (*meaning).to_owned(),
    }));
    found
}

struct Walk<'a> {
    schema: &'a Value,
    defaults: &'a Value,
}

impl Walk<'_> {
    fn walk(&self, name: &str, part: &Value, found: &mut Vec<Described>) {
        let whole = self.resolved(part);
        if let Some(Value::Object(properties)) = whole.get("properties") {
            for (key, property) in properties {
                self.walk(&if name.is_empty() { key.clone() } else { format!("{name}.{key}") }, property, found);
            }
            return;
        }
        if let Some(members @ Value::Object(_)) = whole.get("additionalProperties") {
            return self.walk(&format!("{name}.<name>"), members, found);
        }
        let words = |of: &Value| of.get("description").and_then(Value::as_str).map(str::to_owned);
        let meaning = words(part).or_else(|| words(whole)).unwrap_or_default();
        let default = self.defaults.pointer(&format!("/{}", name.replace('.', "/")));
        found.push(Described {
            variables: variable_of(name).into_iter().collect(),
            kind: self.kind_of(name, part),
            default: default.filter(|value| !value.is_null()).cloned(),
            meaning: meaning.split_whitespace().collect::<Vec<_>>().join(" "),
            file: Some(name.to_owned()),
        });
    }

    /// What a reference refers to.
    fn resolved<'b>(&'b self, part: &'b Value) -> &'b Value {
        let reference = part.get("$ref").and_then(Value::as_str).and_then(|it| it.strip_prefix('#'));
        reference.and_then(|pointer| self.schema.pointer(pointer)).unwrap_or(part)
    }

    /// What a setting may be, in words.
    fn kind_of(&self, name: &str, part: &Value) -> String {
        if PATHS.contains(&format!("/{}", name.replace('.', "/")).as_str()) {
            return "path".into();
        }
        // What stands beside a reference narrows it.
        let pattern = part.get("pattern").and_then(Value::as_str).filter(|_| part.get("$ref").is_some());
        pattern.map_or_else(|| self.kind(part), |pattern| format!("text, {pattern}"))
    }

    /// What a value may be, in words.
    fn kind(&self, part: &Value) -> String {
        let part = self.resolved(part);
        let list = |key: &str| part.get(key).and_then(Value::as_array).filter(|them| !them.is_empty());
        if let Some(choices) = list("enum") {
            return choices.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" | ");
        }
        if let Some(word) = part.get("const").and_then(Value::as_str) {
            return word.to_owned();
        }
        if let Some(choices) = list("oneOf").or_else(|| list("anyOf")) {
            return choices.iter().map(|choice| self.kind(choice)).collect::<Vec<_>>().join(" | ");
        }
        let number = |key: &str| part.get(key).filter(|bound| bound.is_number()).map(Value::to_string);
        match part.get("type").and_then(Value::as_str) {
            Some("boolean") => "true or false".into(),
            Some(kind @ ("integer" | "number")) => match (number("minimum"), number("maximum")) {
                (Some(least), Some(most)) => format!("{kind}, {least} to {most}"),
                (Some(least), None) => format!("{kind}, {least} or more"),
                (None, Some(most)) => format!("{kind}, {most} or less"),
                (None, None) => kind.to_owned(),
            },
            Some("array") => {
                format!("list of {}", part.get("items").map_or("anything".into(), |items| self.kind(items)))
            }
            Some("object") => "object".into(),
            _ => match (part.get("format"), part.get("pattern")) {
                (Some(Value::String(format)), _) => format!("text ({format})"),
                (_, Some(Value::String(pattern))) => format!("text, {pattern}"),
                _ => "text".into(),
            },
        }
    }
}
