//! Which credential of a manifest fills what an API wants to be shown.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use super::{Converted, Proof};
use crate::manifest::Credentials;

/// A place in a manifest's `credentials`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    /// `headers`, by this name.
    Header(String),
    /// `query`, by this name.
    Query(String),
    /// `cookies`, by this name.
    Cookie(String),
    /// `basic`.
    Basic,
    /// `bearer`.
    Bearer,
    /// `oauth`, with where tokens are, and whether a client may ask in its own name.
    OAuth {
        /// Where tokens are.
        token_url: Option<String>,
        /// Where people agree.
        authorization_url: Option<String>,
        /// The issuer.
        issuer: Option<String>,
        /// Whether a client may ask in its own name.
        client_credentials: bool,
    },
}

impl Slot {
    /// Its place in the manifest, as a person reads it.
    pub fn place(&self) -> String {
        match self {
            Self::Header(name) => format!("credentials.headers.{name}"),
            Self::Query(name) => format!("credentials.query.{name}"),
            Self::Cookie(name) => format!("credentials.cookies.{name}"),
            Self::Basic => "credentials.basic".into(),
            Self::Bearer => "credentials.bearer".into(),
            Self::OAuth { .. } => "credentials.oauth".into(),
        }
    }

    /// Whether a manifest fills it. A token in the right header is a token, however it came there.
    pub fn is_filled(&self, credentials: &Credentials) -> bool {
        let header = |name: &str| {
            let by_oauth = credentials.oauth.as_ref().is_some_and(|oauth| oauth.header.eq_ignore_ascii_case(name));
            by_oauth || credentials.headers.keys().any(|key| key.eq_ignore_ascii_case(name))
        };
        let authorization = || header("authorization") || credentials.bearer.is_some() || credentials.basic.is_some();
        match self {
            Self::Header(name) if name.eq_ignore_ascii_case("authorization") => authorization(),
            Self::Header(name) => header(name),
            Self::Query(name) => credentials.query.contains_key(name),
            Self::Cookie(name) => credentials.cookies.contains_key(name),
            Self::Basic => credentials.basic.is_some() || header("authorization"),
            Self::Bearer | Self::OAuth { .. } => {
                credentials.bearer.is_some() || credentials.oauth.is_some() || header("authorization")
            }
        }
    }
}

/// The slot for each thing an API wants to be shown, by the document's name for it. What nobody can show from here has
/// none.
pub fn slots(security: &IndexMap<String, Proof>) -> IndexMap<String, Slot> {
    let slot = |proof: &Proof| {
        Some(match proof {
            Proof::Header(name) => Slot::Header(name.clone()),
            Proof::Query(name) => Slot::Query(name.clone()),
            Proof::Cookie(name) => Slot::Cookie(name.clone()),
            Proof::Basic => Slot::Basic,
            Proof::Bearer => Slot::Bearer,
            Proof::OAuth2(oauth) => Slot::OAuth {
                token_url: oauth.token_url.clone(),
                authorization_url: oauth.authorization_url.clone(),
                issuer: None,
                client_credentials: oauth.client_credentials,
            },
            Proof::OpenIdConnect(address) => Slot::OAuth {
                token_url: None,
                authorization_url: None,
                issuer: address.strip_suffix("/.well-known/openid-configuration").map(str::to_owned),
                client_credentials: false,
            },
            Proof::Other(_) => return None,
        })
    };
    security.iter().filter_map(|(name, proof)| Some((name.clone(), slot(proof)?))).collect()
}

/// What tools take that a manifest does not fill: each slot's place, and how many tools take it. Of alternatives, the
/// one with the least to fill counts, and none where a tool asks for nothing as well.
pub fn unfilled(converted: &Converted, credentials: &Credentials) -> BTreeMap<String, usize> {
    let slots = slots(&converted.security);
    let lacking = |way: &Vec<(String, Vec<String>)>| {
        let missing = way.iter().filter_map(|(name, _)| slots.get(name)).filter(|slot| !slot.is_filled(credentials));
        missing.map(Slot::place).collect::<Vec<_>>()
    };
    let mut counts = BTreeMap::new();
    for tool in &converted.tools {
        for place in tool.security.iter().map(lacking).min_by_key(Vec::len).unwrap_or_default() {
            *counts.entry(place).or_insert(0) += 1;
        }
    }
    counts
}
