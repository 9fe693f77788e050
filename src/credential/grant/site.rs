//! Where people come from on their way to an issuer, and come back to.

use url::Url;

use super::DOCUMENT;

/// Where people come back to, after our own address.
pub const CALLBACK: &str = "/connect/callback";

/// Where people come from and come back to.
#[derive(Debug, Clone)]
pub struct Site {
    host: String,
    pub(super) redirect: String,
    pub(super) document: Option<String>,
}

impl Site {
    /// Ours, at this address.
    pub fn of(base: &str) -> Self {
        let host = Url::parse(base).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
        // Nobody reads what stands at an address that is not everybody's.
        let document = base.starts_with("https://").then(|| format!("{base}{DOCUMENT}"));
        Self { host, redirect: format!("{base}{CALLBACK}"), document }
    }

    /// What we call ourselves.
    pub(super) fn client_name(&self) -> String {
        format!("Switchboard ({})", self.host)
    }
}
