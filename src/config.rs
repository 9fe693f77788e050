//! Settings: a YAML file, the environment over it, the command line over both.
//!
//! Each layer is checked by the same schema, and every problem of all of them is shown at once.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::{Map, Value, json};
use url::Url;

mod callers;
mod described;
mod layers;
mod limits;
mod pins;
mod registry;
mod tools;

pub use callers::Seen;
pub use described::{Described, OUTSIDE, described};
pub use layers::{Layers, Origin, Standing};
pub use limits::LimitsConfig;
pub use pins::PinsConfig;
pub use registry::RegistryConfig;
pub use tools::{ProfileConfig, ToolsConfig};

use crate::audit::AuditConfig;
use crate::auth::{AuthConfig, Mode};
use crate::credential::VaultConfig;
use crate::error::Problem;
use crate::gateway;
use crate::manifest::{Document, compile_schema, explain, overlay, schema_of};
use crate::secret::Environment;
use crate::signature::SignatureConfig;
use crate::telemetry::{LogConfig, TelemetryConfig};

/// All settings.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// The address to listen on.
    #[schemars(with = "String", extend("format" = "ip"))]
    pub host: IpAddr,
    /// The port to listen on; 0 takes any free one.
    pub port: u16,
    /// The address clients use, when a proxy or tunnel stands before us.
    #[schemars(with = "Option<String>", extend("pattern" = "^https?://[^/@]+(/[A-Za-z0-9._~-]+)*/?$"))]
    pub public_url: Option<Url>,
    /// Hosts requests may name besides this machine's and the public address's, without scheme or path.
    #[schemars(inner(regex(pattern = "^[^/]+$")))]
    pub allowed_hosts: Vec<String>,
    /// Web origins that may call, besides this machine's and the public address's.
    pub allowed_origins: Vec<String>,
    /// Networks of proxies whose `X-Forwarded-*` headers are believed.
    #[schemars(with = "Vec<String>")]
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// The folder of manifests, or one manifest.
    pub manifests: PathBuf,
    /// Where what has to outlive the program is kept; `~/.local/share/switchboard` when unsaid.
    pub data_dir: Option<PathBuf>,
    /// A folder of pages and their assets, instead of the ones that ship with the program.
    pub apps_bundle_dir: Option<PathBuf>,
    /// What `/.well-known/openai-apps-challenge` answers, to show `OpenAI` whose this address is.
    #[schemars(extend("pattern" = "^[!-~]{1,512}$"))]
    pub openai_apps_challenge: Option<String>,
    /// Who may call.
    pub auth: AuthConfig,
    /// What we show upstreams.
    pub credentials: CredentialsConfig,
    /// How secrets of Vault are kept; where it is, the environment says (`VAULT_ADDR`).
    pub vault: VaultConfig,
    /// What clients are shown of the tools.
    pub tools: ToolsConfig,
    /// How tools of upstreams are pinned.
    pub pins: PinsConfig,
    /// Whether a problem in a manifest stops the program.
    pub strict: bool,
    /// In whose name this server speaks: in its service map, its log and the name of a number. The manifests' own
    /// when unsaid.
    #[schemars(extend("pattern" = "^[A-Za-z][A-Za-z0-9_. -]{0,63}$"))]
    pub brand: Option<String>,
    /// What is logged.
    pub log: LogConfig,
    /// What is told to whom, besides the log.
    pub telemetry: TelemetryConfig,
    /// What is recorded of calls and administrative acts.
    pub audit: AuditConfig,
    /// What the service map is signed with.
    pub signature: SignatureConfig,
    /// What may be added while the server runs.
    pub registry: RegistryConfig,
    /// Sizes and times.
    pub limits: LimitsConfig,
}

/// What we show upstreams.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CredentialsConfig {
    /// A file of the keys that what is kept is sealed with, in base64, the newest first. `SWITCHBOARD_SEAL_KEY` comes
    /// before it; without either, a key is made in the data folder.
    pub seal_key_file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: IpAddr::from([127, 0, 0, 1]),
            port: 3026,
            public_url: None,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            manifests: "manifests".into(),
            data_dir: None,
            apps_bundle_dir: None,
            openai_apps_challenge: None,
            auth: AuthConfig::default(),
            credentials: CredentialsConfig::default(),
            vault: VaultConfig::default(),
            tools: ToolsConfig::default(),
            pins: PinsConfig::default(),
            strict: false,
            brand: None,
            log: LogConfig::default(),
            telemetry: TelemetryConfig::default(),
            audit: AuditConfig::default(),
            signature: SignatureConfig::default(),
            registry: RegistryConfig::default(),
            limits: LimitsConfig::default(),
        }
    }
}

/// Environment variables and the settings they stand for.
pub const VARIABLES: &[(&str, &str)] = &[
    ("HOST", "host"),
    ("PORT", "port"),
    ("BASE_URL", "publicUrl"),
    ("ALLOWED_HOSTS", "allowedHosts"),
    ("ALLOWED_ORIGINS", "allowedOrigins"),
    ("TRUSTED_PROXIES", "trustedProxies"),
    ("CONNECTORS_MANIFEST_PATH", "manifests"),
    ("SWITCHBOARD_DATA_DIR", "dataDir"),
    ("APPS_BUNDLE_DIR", "appsBundleDir"),
    ("OPENAI_APPS_CHALLENGE", "openaiAppsChallenge"),
    ("AUTH_MODE", "auth/mode"),
    ("AUTH_MIXED", "auth/mixed"),
    ("KEYS_FILE", "auth/keysFile"),
    ("MCP_SECRET_PATH", "auth/secretPath"),
    ("OAUTH_ISSUER", "auth/oauth/issuer"),
    ("OAUTH_AUDIENCE", "auth/oauth/audience"),
    ("OAUTH_SCOPES", "auth/oauth/scopes"),
    ("TOOLS_EXPOSURE", "tools/exposure"),
    ("PINS_POLICY", "pins/policy"),
    ("PINS_FILE", "pins/file"),
    ("SWITCHBOARD_BRAND", "brand"),
    ("ENABLE_PROMETHEUS", "telemetry/prometheus"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "telemetry/otlpEndpoint"),
    ("AUDIT_DIR", "audit/folder"),
    ("LOG_LEVEL", "log/level"),
    ("LOG_FORMAT", "log/format"),
];

/// The variable that stands for a setting of this name, with dots.
fn variable_of(setting: &str) -> Option<&'static str> {
    let mut variables = VARIABLES.iter();
    variables.find(|(_, it)| it.split('/').eq(setting.split('.'))).map(|(variable, _)| *variable)
}

impl Config {
    /// The effective settings. `file` is the configuration file, if any; `flags` hold what the
    /// command line says, in the file's form.
    pub fn load(
        file: Option<&Path>,
        environment: &Environment,
        flags: Map<String, Value>,
    ) -> Result<Self, Vec<Problem>> {
        let schema = compile_schema(schema_of::<Self>());
        let mut problems = Vec::new();
        let mut merged = Value::Object(Map::new());
        if let Some(folder) = usual_data_dir(environment) {
            overlay(&mut merged, json!({ "dataDir": folder }));
        }

        if let Some(path) = file {
            match read(path) {
                Ok(document) => {
                    match document.read::<Self>("", &schema) {
                        Ok(config) => problems
                            .extend(config.tools.faults().iter().map(|(at, fault)| document.error(at, fault.as_str()))),
                        Err(faults) => problems.extend(faults),
                    }
                    overlay(&mut merged, relative_to(path, document.value));
                }
                Err(problem) => problems.push(problem),
            }
        }
        let layers = [("environment", from_environment(environment)), ("command line", Value::Object(flags))];
        for (name, layer) in layers {
            for (pointer, message) in
                schema.validator.iter_errors(&layer).flat_map(|error| explain(&error, &schema.schema))
            {
                let set_by = VARIABLES.iter().find(|(_, setting)| pointer.starts_with(&format!("/{setting}")));
                let variable = set_by.filter(|_| name == "environment");
                let pointer = variable.map_or(pointer, |(variable, _)| (*variable).to_owned());
                problems.push(Problem { pointer, ..Problem::in_file(name, message) });
            }
            overlay(&mut merged, layer);
        }
        let public = merged.get("publicUrl").and_then(Value::as_str).unwrap_or_default();
        if public.trim_end_matches('/').ends_with("/mcp") {
            problems.push(Problem::in_file(
                "settings",
                "the public URL (BASE_URL) is the address before `/mcp`; leave that out",
            ));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Self::deserialize(merged)
            .map_err(|error| vec![Problem::in_file(file.unwrap_or(Path::new("settings")), error.to_string())])
    }

    /// The gateway's part, when callers show what `mode` says.
    pub fn gateway(&self, mode: Mode, environment: &Environment) -> gateway::Limits {
        gateway::Limits {
            call_timeout: Duration::from_millis(self.limits.call_timeout_ms),
            max_result: self.limits.result_bytes,
            sign_in: self.sign_in(mode),
            registry: self.registry.rules(self.data_dir.clone(), environment),
            learn: self.tools.learn,
            brand: self.brand.clone(),
        }
    }

    /// Where clients find us, when a setting says so; no slash at its end.
    pub fn base(&self) -> Option<String> {
        self.public_url.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned())
    }

    /// How long calls may go on after a request to stop.
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.limits.drain_seconds)
    }
}

/// Networks, or single addresses.
fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let parse = |text: String| {
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let wrong = || {
            D::Error::custom(format!("trustedProxies: `{text}` is neither a network like 10.0.0.0/8 nor an address"))
        };
        network.map_err(|_| wrong())
    };
    Vec::<String>::deserialize(deserializer)?.into_iter().map(parse).collect()
}

fn read(path: &Path) -> Result<Document, Problem> {
    let text = fs::read_to_string(path).map_err(|error| Problem::in_file(path, format!("cannot be read: {error}")))?;
    Document::parse(path, &text)
}

/// A path in a configuration file starts from the file's own folder.
fn relative_to(file: &Path, mut value: Value) -> Value {
    for setting in PATHS {
        if let Some(Value::String(path)) = value.pointer_mut(setting) {
            let folder = file.parent().unwrap_or(Path::new(""));
            *path = folder.join(&*path).to_string_lossy().into_owned();
        }
    }
    value
}

/// The settings that are paths.
const PATHS: &[&str] = &[
    "/manifests",
    "/dataDir",
    "/appsBundleDir",
    "/pins/file",
    "/auth/keysFile",
    "/credentials/sealKeyFile",
    "/audit/folder",
    "/signature/keyFile",
    "/signature/ed25519KeyFile",
    "/auth/builtIn/client/secret/file",
    "/auth/oauth/introspection/clientSecret/file",
];

/// Where programs keep what is their users' (XDG Base Directory).
fn usual_data_dir(environment: &Environment) -> Option<PathBuf> {
    let data = environment.get("XDG_DATA_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let home = || environment.get("HOME").map(|home| Path::new(home).join(".local/share"));
    data.or_else(home).map(|data| data.join("switchboard"))
}

/// Variables as a configuration file would have them: lists at commas, numbers as numbers.
fn from_environment(environment: &Environment) -> Value {
    let mut layer = Value::Object(Map::new());
    for (variable, setting) in VARIABLES {
        let Some(text) = environment.get(variable) else { continue };
        let value = match *setting {
            "allowedHosts" | "allowedOrigins" | "trustedProxies" | "auth/oauth/audience" | "auth/oauth/scopes" => {
                text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Value::from).collect()
            }
            "port" => text.parse::<u64>().map_or_else(|_| text.into(), Value::from),
            "auth/mixed" | "telemetry/prometheus" => match text {
                "true" | "1" => true.into(),
                "false" | "0" => false.into(),
                other => other.into(),
            },
            "tools/exposure" | "pins/policy" | "log/level" | "log/format" => text.to_ascii_lowercase().into(),
            _ => text.into(),
        };
        let wrapped =
            setting.rsplit('/').fold(value, |value, key| Value::Object(Map::from_iter([(key.to_owned(), value)])));
        overlay(&mut layer, wrapped);
    }
    layer
}
