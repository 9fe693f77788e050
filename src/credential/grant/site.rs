//! Where people come from on their way to an issuer, and come back to.

use url::Url;

use super::DOCUMENT;

/// Where people come back to, after our own address; the connector's id follows. Each has an address of its own, so that
/// one connector's issuer cannot have the answer of another's sent there and be given it (RFC 9700, 4.4).
pub const CALLBACK: &str = "/connect/callback";

/// Where people come from and come back to.
#[derive(Debug, Clone)]
pub struct Site {
    host: String,
    pub(super) redirect: String,
    pub(super) document: Option<String>,
    /// Whether the issuer has to ask also whoever agreed before.
    pub(super) asks_again: bool,
}

impl Site {
    /// Ours, at this address, for a connector.
    pub fn of(base: &str, connector: &str) -> Self {
        let host = Url::parse(base).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
        // Nobody reads what stands at an address that is not everybody's.
        let document = base.starts_with("https://").then(|| format!("{base}{DOCUMENT}/{connector}.json"));
        Self { host, redirect: format!("{base}{CALLBACK}/{connector}"), document, asks_again: false }
    }

    /// It, where the issuer has to ask also whoever agreed before.
    #[must_use]
    pub fn asking_again(self) -> Self {
        Self { asks_again: true, ..self }
    }

    /// What we call ourselves.
    pub(super) fn client_name(&self) -> String {
        format!("Switchboard ({})", self.host)
    }
}
