//! What an issuer says of itself: where its keys are, and where it answers about tokens.

use std::sync::Arc;

use serde_json::Value;
use url::Url;

use crate::auth::jwks::Jwks;
use crate::auth::kept::Read;
use crate::upstream::{FetchError, Fetcher};

/// The largest document we read.
const MAX_BYTES: usize = 256 << 10;

/// What we take from an issuer's metadata.
#[derive(Debug)]
pub(super) struct Metadata {
    /// Its keys.
    pub(super) keys: Option<Arc<Jwks>>,
    /// Where it answers about tokens.
    pub(super) introspection: Option<Url>,
}

/// Where an issuer's metadata may stand, in the order in which it is looked for.
#[derive(Debug)]
pub(super) struct Places(Vec<Url>);

impl Places {
    /// `OpenID` Connect puts it after the issuer's path; RFC 8414 puts it before, under either name.
    pub(super) fn of(issuer: &str, fetcher: &Fetcher) -> Result<Self, String> {
        let url = Url::parse(issuer).map_err(|_| "it is no web address")?;
        fetcher.check(&url).map_err(|error| error.to_string())?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err("an issuer has neither a query nor a fragment".into());
        }
        let path = url.path().trim_end_matches('/').to_owned();
        let at = |path: String| {
            let mut url = url.clone();
            url.set_path(&path);
            url
        };
        let mut places = vec![
            at(format!("{path}/.well-known/openid-configuration")),
            at(format!("/.well-known/oauth-authorization-server{path}")),
        ];
        if !path.is_empty() {
            places.push(at(format!("/.well-known/openid-configuration{path}")));
        }
        Ok(Self(places))
    }

    /// Reads it from the first place that has it. `known` is what it said before: keys that stay where they were are
    /// not read again.
    pub(super) async fn read(&self, issuer: &str, fetcher: &Fetcher, known: Option<Arc<Metadata>>) -> Read<Metadata> {
        let mut why = String::new();
        for place in &self.0 {
            match fetcher.json(place, MAX_BYTES).await {
                Ok(document) => match metadata(&document.value, issuer, fetcher, known.as_deref()) {
                    Ok(metadata) => return Ok((metadata, document.max_age)),
                    Err(wrong) => why = wrong,
                },
                // Nobody there: the other places are on the same machine.
                Err(error @ (FetchError::Unreachable(_) | FetchError::Address(_))) => {
                    return Err(format!("the issuer {issuer} cannot be reached: {error}"));
                }
                // What was found wrong in a document says more than that another one is missing.
                Err(_) if !why.is_empty() => {}
                Err(error) => why = format!("the issuer {issuer} shows no metadata: {error}"),
            }
        }
        Err(why)
    }
}

fn metadata(document: &Value, issuer: &str, fetcher: &Fetcher, known: Option<&Metadata>) -> Result<Metadata, String> {
    let named = document.get("issuer").and_then(Value::as_str).unwrap_or_default();
    if named != issuer {
        let named: String = named.chars().take(200).filter(|c| !c.is_control()).collect();
        return Err(format!(
            "the issuer {issuer} names itself `{named}` in its metadata: auth.oauth.issuer (OAUTH_ISSUER) has to be exactly that, if it is to be trusted"
        ));
    }
    let address = |member: &str| {
        let Some(text) = document.get(member) else { return Ok(None) };
        let url = text.as_str().and_then(|text| Url::parse(text).ok()).ok_or("it is no web address".to_owned());
        let url = url.and_then(|url| fetcher.check(&url).map(|()| url).map_err(|error| error.to_string()));
        url.map(Some).map_err(|why| format!("`{member}` in the metadata of {issuer}: {why}"))
    };
    let keys = address("jwks_uri")?.map(|url| {
        let same = known.and_then(|known| known.keys.clone()).filter(|keys| *keys.url() == url);
        same.unwrap_or_else(|| Arc::new(Jwks::new(url, fetcher.clone())))
    });
    Ok(Metadata { keys, introspection: address("introspection_endpoint")? })
}
