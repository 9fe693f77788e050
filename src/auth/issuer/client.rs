//! Clients: the programs that ask to act for somebody. There are three ways to be one.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

mod document;
mod proof;
mod register;

pub(super) use document::Documents;
pub(super) use proof::Proofs;
pub(super) use register::{Registry, register};

use super::answer::Refusal;
use super::{Issuer, Trouble, random, redirect};
use crate::name::cut;

/// The longest name that is shown.
const LONGEST_NAME: usize = 60;

/// A client, however we know it.
pub(super) struct Client {
    pub(super) id: String,
    /// What it calls itself, fit to be shown.
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) redirects: Redirects,
    pub(super) proof: Proof,
}

/// How we know a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// It describes itself at the address that is its id, so this host vouches for it.
    Document(String),
    /// It registered itself; nobody vouches for it.
    Registered,
    /// The settings name it.
    Predefined,
}

impl Kind {
    /// What pages call it, and the host that vouches for the client.
    pub(super) fn shown(&self) -> (&'static str, String) {
        match self {
            Self::Document(host) => ("document", host.clone()),
            Self::Registered => ("registered", String::new()),
            Self::Predefined => ("predefined", String::new()),
        }
    }
}

/// Where people may be sent back to.
pub(super) enum Redirects {
    /// To these.
    These(Vec<String>),
    /// To the clients we know.
    Known,
}

/// What shows that a request comes from the client.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Proof {
    /// Nothing can: it is a program that cannot keep a secret.
    Nothing,
    /// The secret of this fingerprint.
    Secret(String),
    /// A signature by one of its keys.
    Signature(Keys),
    /// Nothing has to; a signature that is shown has to be right.
    MaySign(Keys),
}

/// Where a client's public keys are.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Keys {
    /// Here.
    Set(Value),
    /// At this address.
    At(String),
}

impl Client {
    /// Whether people may be sent to this address for it.
    pub(super) fn may_use(&self, asked: &str) -> bool {
        let registered = match &self.redirects {
            Redirects::These(these) => these.iter().any(|registered| redirect::same(registered, asked)),
            Redirects::Known => redirect::is_known(asked),
        };
        registered && redirect::place(asked).is_some()
    }
}

impl Issuer {
    /// The client of this id. The refusal is for the person, or for the client itself.
    pub(super) async fn client(&self, id: &str) -> Result<Result<Arc<Client>, Refusal>, Trouble> {
        if let Some(predefined) = self.predefined.as_ref().filter(|client| random::same(&client.id, id)) {
            return Ok(Ok(Arc::clone(predefined)));
        }
        if id.starts_with("https://") || id.starts_with("http://") {
            return self.documents.find(id).await;
        }
        let found = self.registry.find(id).await?;
        Ok(found.map(Arc::new).ok_or_else(|| Refusal::client("there is no such client; it has to register again")))
    }
}

/// A name somebody gave themselves, without what could make it look like something else on a page or a terminal.
pub(super) fn plain(name: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let name: String = name.chars().filter(|c| !hidden(*c)).collect();
    cut(name.split_whitespace().collect::<Vec<_>>().join(" ").as_str(), LONGEST_NAME)
}

/// What clients write about their proof: in a document, or when they register.
pub(super) fn keys_of(metadata: &Value) -> Result<Option<Keys>, Refusal> {
    let wrong = |what: &str| Refusal::new("invalid_client_metadata", what);
    match (metadata.get("jwks").filter(|set| !set.is_null()), metadata.get("jwks_uri").and_then(Value::as_str)) {
        (Some(_), Some(_)) => Err(wrong("there may be jwks or jwks_uri, not both")),
        (Some(set), None) => Ok(Some(Keys::Set(set.clone()))),
        (None, Some(address)) if address.starts_with("https://") || address.starts_with("http://") => {
            Ok(Some(Keys::At(address.to_owned())))
        }
        (None, Some(_)) => Err(wrong("jwks_uri is no web address")),
        (None, None) => Ok(None),
    }
}

/// The texts of a list, or why it is none.
pub(super) fn texts(metadata: &Value, name: &str) -> Result<Vec<String>, Refusal> {
    let wrong = || Refusal::new("invalid_client_metadata", format!("{name} has to be a list of texts"));
    match metadata.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => {
            list.iter().map(|text| text.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
        }
        Some(_) => Err(wrong()),
    }
}

/// Whether a client can do what we do: get codes, and turn them into tokens.
pub(super) fn check_ways(metadata: &Value) -> Result<(), Refusal> {
    for (name, needed) in [("grant_types", "authorization_code"), ("response_types", "code")] {
        let said = texts(metadata, name)?;
        if !said.is_empty() && !said.iter().any(|said| said == needed) {
            return Err(Refusal::new("invalid_client_metadata", format!("{name} has to name {needed}")));
        }
    }
    Ok(())
}
