//! What the settings, taken together, say of callers.

use std::{
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use secrecy::{ExposeSecret as _, SecretString};

use super::Config;
use crate::auth::{Auth, AuthConfig, KeyFile, Keys, Mode};
use crate::catalog::SignIn;
use crate::credential::Keyring;
use crate::error::Problem;
use crate::secret::Environment;
use crate::transport::{ConnectionLimits, DeskAccess, HttpOptions};

/// The variables that hold a key for everything.
const OPERATOR_KEYS: &[&str] = &["CONNECTORS_API_KEY", "MCP_API_KEY"];
/// A key of fewer letters can be guessed.
const SHORTEST: usize = 16;
/// The file of keys in the data folder.
const KEYS: &str = "keys.json";

/// Who sees what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// A person at a terminal.
    ByPerson,
    /// Whatever keeps what programs print.
    ByLog,
}

impl Config {
    /// The API keys.
    pub fn keys(&self, environment: &Environment) -> Keys {
        let operator = OPERATOR_KEYS.iter().filter_map(|name| environment.get(name));
        Keys::new(self.keys_file(), operator.map(|key| SecretString::from(key.to_owned())).collect())
    }

    /// The variables whose key is so short that it can be guessed.
    pub fn short_keys<'a>(&self, environment: &'a Environment) -> impl Iterator<Item = &'static str> + use<'a> {
        let is_short = |name: &str| environment.get(name).is_some_and(|key| key.len() < SHORTEST);
        OPERATOR_KEYS.iter().copied().filter(move |name| is_short(name))
    }

    /// The file of API keys, unless there is no folder to keep it in.
    pub fn keys_file(&self) -> Option<PathBuf> {
        let usual = || self.data_dir.as_ref().map(|folder| folder.join(KEYS));
        self.auth.keys_file.clone().or_else(usual)
    }

    /// What callers show.
    pub fn mode(&self, keys: &Keys) -> Mode {
        // Who names a file of keys means keys, be it there or not.
        let meant = keys.is_set() || self.auth.keys_file.is_some();
        self.auth.mode.unwrap_or(if meant { Mode::ApiKey } else { Mode::None })
    }

    /// How callers can prove who they are.
    pub fn sign_in(&self, mode: Mode) -> SignIn {
        match mode {
            Mode::None => SignIn::Nobody,
            Mode::ApiKey => SignIn::Keys,
            Mode::OAuth | Mode::BuiltIn if self.auth.mixed => SignIn::Mixed,
            Mode::OAuth | Mode::BuiltIn => SignIn::Everybody,
        }
    }

    /// The secret of the client whose id a person types in, when there is one.
    pub async fn client_secret(&self, keyring: &Keyring) -> Result<Option<SecretString>, Problem> {
        let secret = self.auth.built_in.client.as_ref().and_then(|client| client.secret.as_ref());
        let Some(reference) = secret else { return Ok(None) };
        let found = keyring.find(reference, Path::new("")).await;
        found
            .map(Some)
            .map_err(|missing| Problem::in_file("settings", format!("auth.builtIn.client.secret: {missing}")))
    }

    /// What stands before `/mcp`, if it is a secret.
    pub fn secret_path(&self) -> Option<SecretString> {
        self.auth.secret_path.as_ref().map(|path| path.secret().clone())
    }

    /// What is wrong with how this server would let callers in, over HTTP.
    pub fn faults_of_callers(&self, environment: &Environment) -> Vec<Problem> {
        let keys = self.keys(environment);
        let mode = self.mode(&keys);
        let AuthConfig { mixed, secret_path, oauth, .. } = &self.auth;
        let open = is_open(environment);
        let public = self.public_url.as_ref();
        let insecure = public.filter(|url| url.scheme() == "http" && !is_loopback(url));
        let faults = [
            (
                mode == Mode::None && !self.host.is_loopback() && !open && secret_path.is_none(),
                format!(
                    "listening on {} would let everybody who reaches it use every tool: choose how callers prove who \
                     they are (--auth built-in, oauth or api-key), set a path nobody can guess (MCP_SECRET_PATH), or \
                     say NO_AUTH=true",
                    self.host
                ),
            ),
            (
                mode != Mode::None && open,
                "NO_AUTH lets everybody in and auth.mode, or a key, asks for a proof; set one of them".to_owned(),
            ),
            (
                mode != Mode::None && secret_path.is_some(),
                "auth.secretPath (MCP_SECRET_PATH) is for the mode `none`; the other modes need no secret address"
                    .to_owned(),
            ),
            (
                mode == Mode::ApiKey && !keys.is_set(),
                "auth.mode is api-key and there is no key: make one with `switchboard keys new`, or set \
                 CONNECTORS_API_KEY"
                    .to_owned(),
            ),
            (
                mode == Mode::OAuth && oauth.issuer.is_none(),
                "auth.mode is oauth and auth.oauth.issuer (OAUTH_ISSUER) is not set".to_owned(),
            ),
            (
                *mixed && matches!(mode, Mode::None),
                "auth.mixed (AUTH_MIXED) needs a mode by which callers can prove who they are".to_owned(),
            ),
            (
                matches!(mode, Mode::OAuth | Mode::BuiltIn) && public.is_none() && !self.host.is_loopback(),
                "clients sign in at an address that is the same for all: give it with --public-url (BASE_URL)"
                    .to_owned(),
            ),
            (
                matches!(mode, Mode::OAuth | Mode::BuiltIn) && insecure.is_some(),
                "clients sign in over https only: give the public URL (--public-url) with https".to_owned(),
            ),
        ];
        let said = faults.into_iter().filter(|(wrong, _)| *wrong).map(|(_, words)| Problem::in_file("settings", words));
        let broken = self.keys_file().and_then(|file| KeyFile::open(&file).list().err());
        said.chain(broken.into_iter().flatten()).collect()
    }

    /// The HTTP transport's part.
    pub fn http(&self, environment: &Environment, auth: Arc<Auth>) -> HttpOptions {
        let open = is_open(environment);
        // Behind a proxy everybody may seem to be at this machine.
        let alone = self.host.is_loopback() && self.public_url.is_none() && self.trusted_proxies.is_empty();
        HttpOptions {
            desk: if self.keys(environment).is_set() {
                DeskAccess::Key
            } else if open {
                DeskAccess::Everybody
            } else if alone {
                DeskAccess::ThisMachine
            } else {
                DeskAccess::Nobody
            },
            registry_open: self.registry.open && self.mode(&self.keys(environment)) == Mode::None,
            challenge: self.openai_apps_challenge.clone(),
            public_url: self.public_url.clone(),
            allowed_hosts: self.allowed_hosts.clone(),
            allowed_origins: self.allowed_origins.clone(),
            trusted_proxies: self.trusted_proxies.clone(),
            max_body: self.limits.body_bytes,
            max_sessions: self.limits.sessions,
            session_idle: Duration::from_secs(self.limits.session_idle_seconds),
            auth,
            strangers: NonZeroU32::new(self.limits.strangers_per_minute).unwrap_or(NonZeroU32::MIN),
            connections: ConnectionLimits {
                all: self.limits.connections,
                per_address: self.limits.connections_per_address,
                header_bytes: self.limits.header_bytes,
                header_time: Duration::from_secs(self.limits.header_seconds),
            },
            secret_path: self.secret_path(),
        }
    }

    /// The address of the MCP endpoint for clients that reach us at `base`; with the secret path, where there is one,
    /// for a person's eyes only.
    pub fn endpoint(&self, base: &str, seen_by: Seen) -> String {
        match (self.secret_path(), seen_by) {
            (Some(secret), Seen::ByPerson) => format!("{base}/{}/mcp", secret.expose_secret()),
            (Some(_), Seen::ByLog) => format!("{base}/<MCP_SECRET_PATH>/mcp"),
            (None, _) => format!("{base}/mcp"),
        }
    }
}

/// Whether nobody has to prove anything.
fn is_open(environment: &Environment) -> bool {
    environment.get("NO_AUTH").is_some_and(|it| it.eq_ignore_ascii_case("true") || it == "1")
}

fn is_loopback(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
