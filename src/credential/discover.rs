//! What an issuer says of itself: where its endpoints are and what they take.

use std::time::Duration;

use http::header::ACCEPT;
use http::{Method, StatusCode};
use serde::Deserialize;
use url::Url;

use super::token::check_address;
use crate::name::cut;
use crate::upstream::{Hop, Limit};

/// How long one document may take.
const TIME: Duration = Duration::from_secs(10);
/// The largest one we read, in bytes.
const LARGEST: usize = 256 << 10;

/// An issuer's metadata (RFC 8414, and `OpenID` Connect Discovery). Every address in it is one we go to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Metadata {
    /// The issuer.
    pub issuer: String,
    /// Where tokens are.
    pub token_endpoint: Option<Url>,
    /// Where people agree.
    pub authorization_endpoint: Option<Url>,
    /// Where tokens are given back.
    pub revocation_endpoint: Option<Url>,
    /// Where clients register.
    pub registration_endpoint: Option<Url>,
    /// How clients may show who they are; unsaid, by `client_secret_basic`.
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// The kinds of PKCE it knows.
    pub code_challenge_methods_supported: Option<Vec<String>>,
    /// The scopes it names.
    pub scopes_supported: Option<Vec<String>>,
    /// The grants it knows.
    pub grant_types_supported: Option<Vec<String>>,
    /// Whether a client's id may be the address of a document about it.
    pub client_id_metadata_document_supported: bool,
    /// Whether its answers name it (RFC 9207).
    pub authorization_response_iss_parameter_supported: bool,
}

/// Reads an issuer's metadata from where it may stand. The error says what is wrong, in words for the operator.
pub async fn discover(hop: &Hop, issuer: &str, allow_private: bool) -> Result<Metadata, String> {
    let url = Url::parse(issuer).map_err(|_| "the issuer is no web address")?;
    check_address(&url, allow_private)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err("an issuer has neither a query nor a fragment".into());
    }
    let path = url.path().trim_end_matches('/').to_owned();
    let mut places = vec![
        format!("/.well-known/oauth-authorization-server{path}"),
        format!("{path}/.well-known/openid-configuration"),
    ];
    if !path.is_empty() {
        places.push(format!("/.well-known/openid-configuration{path}"));
    }
    let mut why = String::new();
    for place in places {
        let mut at = url.clone();
        at.set_path(&place);
        match tokio::time::timeout(TIME, document(hop, at)).await {
            Ok(Ok(Some(found))) => return usable(found, issuer, allow_private),
            Ok(Ok(None)) if why.is_empty() => why = "the issuer shows no metadata".into(),
            Ok(Ok(None)) => {}
            Ok(Err(error)) => why = error,
            Err(_) => return Err("the issuer did not answer in time".into()),
        }
    }
    Err(why)
}

async fn document(hop: &Hop, at: Url) -> Result<Option<Metadata>, String> {
    let request = hop.request(Method::GET, at).header(ACCEPT, "application/json").build();
    let request = request.map_err(|_| "the issuer's address makes no request")?;
    let response =
        hop.once(request).await.map_err(|error| format!("the issuer cannot be asked: {}", error.message()))?;
    if response.status() != StatusCode::OK {
        return Ok(None);
    }
    let body = Limit { bytes: LARGEST, setting: "" }.read(response).await;
    let body = body.map_err(|error| format!("the issuer's metadata cannot be read: {}", error.message()))?;
    serde_json::from_slice(&body).map(Some).map_err(|_| "the issuer's metadata makes no sense".into())
}

fn usable(found: Metadata, issuer: &str, allow_private: bool) -> Result<Metadata, String> {
    // Some write a slash at the end in one place and not in the other.
    if found.issuer.trim_end_matches('/') != issuer.trim_end_matches('/') {
        let named: String = cut(&found.issuer, 200).chars().filter(|c| !c.is_control()).collect();
        return Err(format!("the issuer names itself `{named}` in its metadata; `issuer` has to be exactly that"));
    }
    let addresses = [
        &found.token_endpoint,
        &found.authorization_endpoint,
        &found.revocation_endpoint,
        &found.registration_endpoint,
    ];
    for address in addresses.into_iter().flatten() {
        check_address(address, allow_private).map_err(|why| format!("an endpoint in the issuer's metadata: {why}"))?;
    }
    Ok(found)
}
