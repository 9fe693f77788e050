//! Where an added connector comes from, and the manifest that follows from it. Values in, values out.

use std::{collections::BTreeMap, fmt, path::Path};

use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use url::Url;

use super::rules::{Program, Rules};

/// The longest text of a source, in bytes.
const LONGEST: usize = 8 << 10;
/// The largest source, in bytes.
const LARGEST: usize = 64 << 10;
/// Arguments, variables or headers of one source.
const MOST: usize = 100;
/// How long a program may take to start; what it has to fetch was fetched before.
const PROGRAM_START_MS: u64 = 120_000;
/// Variables of ours that the tools which fetch programs need: where they keep things, and how they reach the world.
pub(super) const INHERITED: &[&str] = &[
    "HOME",
    "npm_config_registry",
    "NPM_CONFIG_REGISTRY",
    "npm_config_userconfig",
    "NPM_CONFIG_USERCONFIG",
    "npm_config_cache",
    "NPM_CONFIG_CACHE",
    "NODE_EXTRA_CA_CERTS",
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
    "DOCKER_HOST",
];

/// Variables by which what `npx` starts, or fetches, becomes something else; in small letters.
const STEERING: &[&str] =
    &["path", "home", "env", "bash_env", "shell", "prefix", "userprofile", "comspec", "openssl_conf", "gconv_path"];
/// Beginnings of such.
const STEERING_STARTS: &[&str] =
    &["npm_", "node_", "ld_", "dyld_", "glibc_", "git_", "ssh_", "ssl_", "docker_", "container", "buildah_", "xdg_"];

/// The label of containers, by which they are found again.
pub(super) const MARK: &str = "switchboard";

/// Where an added connector comes from. `Debug` shows the kind only, for headers and variables hold secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Source {
    /// An API that an `OpenAPI` document describes.
    #[serde(rename_all = "camelCase")]
    OpenApi {
        /// The document's address.
        url: String,
        /// Where the API is, when its document does not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        base_url: Option<String>,
        /// What the API is shown.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        headers: BTreeMap<String, String>,
    },
    /// An MCP server at an address.
    Http {
        /// The address.
        url: String,
        /// What it is shown.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        headers: BTreeMap<String, String>,
    },
    /// An MCP server at an address, spoken to by the SSE transport of 2024-11-05.
    Sse {
        /// The address.
        url: String,
        /// What it is shown.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        headers: BTreeMap<String, String>,
    },
    /// An MCP server in a package of npm.
    Npm {
        /// The package with its exact version: `@scope/name@1.2.3`.
        package: String,
        /// The program's arguments.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        args: Vec<String>,
        /// The program's variables.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        env: BTreeMap<String, String>,
    },
    /// An MCP server that is a program of this machine.
    Stdio {
        /// The program.
        command: String,
        /// Its arguments.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        args: Vec<String>,
        /// Its variables.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        env: BTreeMap<String, String>,
    },
    /// An MCP server in a container image.
    Docker {
        /// The image.
        image: String,
        /// The arguments of what runs in it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        args: Vec<String>,
        /// Its variables.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        env: BTreeMap<String, String>,
    },
    /// An MCP server in a repository, as a package of npm.
    Github {
        /// `owner/name`.
        repository: String,
        /// The package's folder in it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        path: Option<String>,
    },
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

impl Source {
    /// The kind, as clients name it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::OpenApi { .. } => "openapi",
            Self::Http { .. } => "http",
            Self::Sse { .. } => "sse",
            Self::Npm { .. } => Program::Npm.word(),
            Self::Stdio { .. } => Program::Stdio.word(),
            Self::Docker { .. } => Program::Docker.word(),
            Self::Github { .. } => Program::Github.word(),
        }
    }

    /// The kind of program it starts on this machine, if it starts one.
    pub fn program(&self) -> Option<Program> {
        match self {
            Self::OpenApi { .. } | Self::Http { .. } | Self::Sse { .. } => None,
            Self::Npm { .. } => Some(Program::Npm),
            Self::Stdio { .. } => Some(Program::Stdio),
            Self::Docker { .. } => Some(Program::Docker),
            Self::Github { .. } => Some(Program::Github),
        }
    }

    /// What is wrong with it, in words for whoever sent it.
    pub fn fault(&self) -> Option<String> {
        if serde_json::to_string(self).is_ok_and(|text| text.len() > LARGEST) {
            return Some(format!("`source` has more than {} KiB", LARGEST >> 10));
        }
        match self {
            Self::OpenApi { url, base_url, headers } => {
                let base = base_url.as_ref().and_then(|base| fault_of_url("baseUrl", base));
                fault_of_url("url", url).or(base).or_else(|| fault_of_headers(headers))
            }
            Self::Http { url, headers } | Self::Sse { url, headers } => {
                fault_of_url("url", url).or_else(|| fault_of_headers(headers))
            }
            Self::Npm { package, args, env } => {
                fault_of_package(package).or_else(|| fault_of_program(args, env)).or_else(|| steers(env))
            }
            Self::Stdio { command, args, env } => {
                let fault = command.is_empty() || !is_text(command);
                fault.then(|| "`command` is no program".to_owned()).or_else(|| fault_of_program(args, env))
            }
            Self::Docker { image, args, env } => {
                let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':' | '@');
                let fault = !image.starts_with(|c: char| c.is_ascii_alphanumeric())
                    || image.len() > LONGEST
                    || !image.chars().all(fits);
                let lines = || env.values().any(|value| value.contains(['\n', '\r']));
                fault
                    .then(|| "`image` is no name of an image".to_owned())
                    .or_else(|| fault_of_program(args, env))
                    .or_else(|| lines().then(|| "a variable of a container has one line".into()))
            }
            Self::Github { repository, path } => {
                let inside = |path: &String| {
                    let path = Path::new(path);
                    path.components().all(|part| matches!(part, std::path::Component::Normal(_)))
                };
                if clone_address(repository).is_none() {
                    return Some("`repository` has to be `owner/name`".into());
                }
                (!path.iter().all(inside)).then(|| "`path` has to be a folder in the repository".into())
            }
        }
    }

    /// How its connector is spoken to, and what it is shown; `folder` is its own, for a program.
    pub(super) fn adapter(&self, rules: &Rules, folder: &Path) -> (Value, Value) {
        let private = rules.allow_private;
        let secrets = |kind: &str, values: &BTreeMap<String, String>| json!({ kind: literals(values) });
        let mcp = |url: &String, transport: &str| json!({ "kind": "mcp", "url": literal(url), "allowPrivate": private, "transport": transport });
        let program = |program: &str, args: Vec<&str>| {
            json!({
                "kind": "mcp",
                "program": literal(program),
                "args": args.into_iter().map(literal).collect::<Vec<_>>(),
                "cwd": literal(&folder.to_string_lossy()),
                "inheritEnv": INHERITED,
                "startTimeoutMs": PROGRAM_START_MS,
            })
        };
        match self {
            Self::OpenApi { url, base_url, headers } => {
                let mut adapter = json!({ "kind": "openapi", "spec": literal(url), "allowPrivate": private });
                if let (Value::Object(adapter), Some(base)) = (&mut adapter, base_url) {
                    adapter.insert("baseUrl".into(), json!(literal(base)));
                }
                (adapter, secrets("headers", headers))
            }
            Self::Http { url, headers } => (mcp(url, "auto"), secrets("headers", headers)),
            Self::Sse { url, headers } => (mcp(url, "sse"), secrets("headers", headers)),
            Self::Npm { package, args, env } => {
                let fixed = ["--yes", package];
                (
                    program("npx", fixed.into_iter().chain(args.iter().map(String::as_str)).collect()),
                    secrets("env", env),
                )
            }
            Self::Stdio { command, args, env } => {
                (program(command, args.iter().map(String::as_str).collect()), secrets("env", env))
            }
            Self::Docker { image, args, env } => {
                // From a file: the engine's own variables say what it does, and arguments are seen by everybody here.
                let file = (!env.is_empty()).then_some(["--env-file", super::prepare::VARIABLES]);
                let mark = format!("{MARK}={}", folder.file_name().unwrap_or_default().to_string_lossy());
                // Without an init, what runs in it may go on when it is told to end.
                let fixed = ["run", "--rm", "--interactive", "--init", "--label", &mark].into_iter();
                let fixed = fixed.chain(file.into_iter().flatten());
                let engine = super::prepare::engine(&rules.environment).unwrap_or("docker");
                let args = fixed.chain([image.as_str()]).chain(args.iter().map(String::as_str)).collect();
                (program(engine, args), json!({}))
            }
            Self::Github { path, .. } => {
                let package = super::prepare::checkout(folder, path.as_deref());
                (program("npx", vec!["--yes", &package.to_string_lossy()]), json!({}))
            }
        }
    }
}

/// A text in which nothing stands for something else: who adds a connector has no business with our variables.
fn literal(text: &str) -> String {
    text.replace("${", "$${")
}

fn literals(values: &BTreeMap<String, String>) -> Map<String, Value> {
    values.iter().map(|(name, value)| (name.clone(), json!(literal(value)))).collect()
}

fn is_text(text: &str) -> bool {
    text.len() <= LONGEST && !text.contains('\0')
}

fn fault_of_url(name: &str, url: &str) -> Option<String> {
    let plain =
        |url: &Url| matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
    let fits = url.len() <= LONGEST && Url::parse(url).is_ok_and(|url| plain(&url));
    (!fits).then(|| format!("`{name}` has to be an http or https address without a user name"))
}

fn fault_of_headers(headers: &BTreeMap<String, String>) -> Option<String> {
    if headers.len() > MOST {
        return Some(format!("there are more than {MOST} headers"));
    }
    let fits = |(name, value): &(&String, &String)| {
        HeaderName::try_from(*name).is_ok() && value.len() <= LONGEST && HeaderValue::try_from(*value).is_ok()
    };
    let wrong = headers.iter().find(|header| !fits(header));
    // Not even the name: a key may have been written in its place.
    wrong.map(|_| "one of `headers` has a name or a value that no header can have".into())
}

fn fault_of_program(args: &[String], env: &BTreeMap<String, String>) -> Option<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_name =
        |name: &str| !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(fits);
    if args.len() > MOST || !args.iter().all(|arg| is_text(arg)) {
        return Some(format!("`args` are at most {MOST} texts"));
    }
    let wrong = env.len() > MOST || !env.iter().all(|(name, value)| is_name(name) && is_text(value));
    wrong.then(|| "one of `env` is no variable".into())
}

/// Why a variable is not passed on that `npx` and node go by themselves: what they start, and from where it comes, is
/// for the operator to say.
fn steers(env: &BTreeMap<String, String>) -> Option<String> {
    let steers = |name: &&String| {
        let name = name.to_ascii_lowercase();
        name != "node_env"
            && (STEERING.contains(&name.as_str())
                || STEERING_STARTS.iter().any(|start| name.starts_with(start))
                || name.ends_with("_proxy"))
    };
    env.keys().find(steers).map(|name| format!("`{name}` says how programs are started, and is the operator's to set"))
}

/// A package is named with its exact version, so that what runs tomorrow is what runs today.
fn fault_of_package(package: &str) -> Option<String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    let is_name = |name: &str| name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(fits);
    let (name, version) = package.rsplit_once('@').unwrap_or((package, ""));
    let named = match name.strip_prefix('@').map(|name| name.split_once('/')) {
        Some(Some((scope, name))) => is_name(scope) && is_name(name),
        Some(None) => false,
        None => is_name(name),
    };
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<&str> = core.split('.').collect();
    let is_number = |number: &&str| !number.is_empty() && number.chars().all(|c| c.is_ascii_digit());
    let rest = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '+');
    let exact = numbers.len() == 3 && numbers.iter().all(is_number) && version.chars().all(rest);
    let wrong = package.len() > LONGEST || !named || !exact;
    wrong.then(|| "`package` has to be a package of npm with its exact version, such as `@scope/name@1.2.3`".into())
}

/// Where a repository is cloned from.
pub(super) fn clone_address(repository: &str) -> Option<String> {
    let named = repository.strip_prefix("https://github.com/").unwrap_or(repository);
    let named = named.trim_end_matches('/').trim_end_matches(".git");
    let (owner, name) = named.split_once('/')?;
    let fits = |part: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        (1..=100).contains(&part.len())
            && part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.chars().all(fits)
    };
    (fits(owner) && fits(name)).then(|| format!("https://github.com/{owner}/{name}.git"))
}
