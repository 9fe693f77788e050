//! Where an upstream's people agree and where tokens are: as the manifest says, or as the issuer or the MCP server say
//! themselves (RFC 8414, `OpenID` Connect Discovery, RFC 9728).

use http::{Method, StatusCode, header::WWW_AUTHENTICATE};
use serde_json::{Value, json};
use url::Url;

use crate::credential::{Metadata, discover};
use crate::error::{Error, ErrorKind, Result};
use crate::upstream::{Answered, Fetcher, Hop};

/// The largest document we read.
const LARGEST: usize = 256 << 10;
/// Scopes that are taken from documents, at most.
const MOST_SCOPES: usize = 100;
/// Where a resource says who gives out its tokens.
const RESOURCE: &str = "/.well-known/oauth-protected-resource";

/// How issuers are reached.
pub(super) struct Way<'a> {
    pub(super) hop: &'a Hop,
    pub(super) fetcher: &'a Fetcher,
    pub(super) allow_private: bool,
}

/// An issuer's endpoints.
#[derive(Debug, Clone)]
pub(super) struct Issuer {
    /// As it names itself; none when the manifest gives addresses and no name.
    pub(super) name: Option<String>,
    /// Where people agree.
    pub(super) authorization: Url,
    /// Where tokens are.
    pub(super) token: Url,
    /// Where clients register.
    pub(super) registration: Option<Url>,
    /// Where tokens are given back.
    pub(super) revocation: Option<Url>,
    /// Whether clients may describe themselves by a document at their id.
    pub(super) takes_documents: bool,
    /// Whether its answers name it (RFC 9207).
    pub(super) names_itself: bool,
    /// How clients may show who they are; unsaid, nothing is known.
    pub(super) ways: Vec<String>,
    /// The scopes it says it knows.
    pub(super) scopes: Vec<String>,
}

impl Issuer {
    /// One of which only these are known.
    pub(super) fn by_hand(name: Option<String>, authorization: Url, token: Url) -> Self {
        Self {
            name,
            authorization,
            token,
            registration: None,
            revocation: None,
            takes_documents: false,
            names_itself: false,
            ways: Vec::new(),
            scopes: Vec::new(),
        }
    }
}

/// All that is to be known before somebody can be asked.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) issuer: Issuer,
    /// What tokens are for, where the upstream says that.
    pub(super) resource: Option<String>,
    /// The scopes that the upstream wants.
    pub(super) scopes: Vec<String>,
}

/// The endpoints of an issuer that the operator chose, by its own metadata.
pub(super) async fn issuer(name: &str, way: &Way<'_>) -> Result<Issuer> {
    let metadata = discover(way.hop, name, way.allow_private).await.map_err(|why| failed(&why))?;
    // Many that know PKCE do not say so.
    if metadata.code_challenge_methods_supported.is_some() { with_pkce(metadata) } else { endpoints(metadata) }
}

/// The same of an issuer that an MCP server chose: one that does not say that it knows PKCE is not to be used (MCP,
/// authorization).
async fn issuer_of(name: &str, way: &Way<'_>) -> Result<Issuer> {
    with_pkce(discover(way.hop, name, way.allow_private).await.map_err(|why| failed(&why))?)
}

fn with_pkce(metadata: Metadata) -> Result<Issuer> {
    let methods = metadata.code_challenge_methods_supported.as_deref().unwrap_or_default();
    if !methods.iter().any(|method| method == "S256") {
        return Err(failed("it does not say that it takes PKCE by SHA-256, without which a code could be stolen"));
    }
    endpoints(metadata)
}

fn endpoints(metadata: Metadata) -> Result<Issuer> {
    let needed =
        |address: Option<Url>, member| address.ok_or_else(|| failed(&format!("its metadata has no `{member}`")));
    Ok(Issuer {
        name: Some(metadata.issuer),
        authorization: needed(metadata.authorization_endpoint, "authorization_endpoint")?,
        token: needed(metadata.token_endpoint, "token_endpoint")?,
        registration: metadata.registration_endpoint,
        revocation: metadata.revocation_endpoint,
        takes_documents: metadata.client_id_metadata_document_supported,
        names_itself: metadata.authorization_response_iss_parameter_supported,
        ways: metadata.token_endpoint_auth_methods_supported.unwrap_or_default(),
        scopes: metadata.scopes_supported.unwrap_or_default(),
    })
}

/// What an MCP server says of who gives out its tokens; of one that says nothing, its own origin is asked, as servers
/// of 2025-03-26 have it.
pub(super) async fn resource(url: &Url, way: &Way<'_>) -> Result<Found> {
    let fetcher = way.fetcher;
    let challenge = challenge(url, fetcher).await;
    let named = challenge.as_ref().and_then(|challenge| parameter(challenge, "resource_metadata"));
    let named = named.and_then(|named| Url::parse(&named).ok());
    let path = url.path().trim_end_matches('/');
    let mut places: Vec<Url> = named.into_iter().collect();
    places.push(at(url, &format!("{RESOURCE}{path}")));
    if !path.is_empty() {
        places.push(at(url, RESOURCE));
    }
    for place in places {
        let Ok(document) = fetcher.json(&place, LARGEST).await else { continue };
        let said = document.value.get("resource").and_then(Value::as_str).unwrap_or_default();
        if !covers(said, url) {
            continue;
        }
        let servers = texts(&document.value, "authorization_servers");
        let Some(server) = servers.first() else { continue };
        let asked = challenge.as_ref().and_then(|challenge| parameter(challenge, "scope"));
        let scopes = match asked {
            Some(asked) => asked.split_ascii_whitespace().take(MOST_SCOPES).map(str::to_owned).collect(),
            None => texts(&document.value, "scopes_supported"),
        };
        return Ok(Found { issuer: issuer_of(server, way).await?, resource: Some(said.to_owned()), scopes });
    }
    let origin = url.origin().ascii_serialization();
    let issuer = issuer_of(&origin, way).await?;
    Ok(Found { issuer, resource: None, scopes: Vec::new() })
}

/// What an MCP server asks of a client that shows nothing.
async fn challenge(url: &Url, fetcher: &Fetcher) -> Option<String> {
    let hello = json!({
        "jsonrpc": "2.0", "id": 0, "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": { "name": "switchboard", "version": env!("CARGO_PKG_VERSION") },
        },
    });
    let request = fetcher.request(Method::POST, url.clone()).json(&hello);
    let request = request.header(http::header::ACCEPT, "application/json, text/event-stream").build().ok()?;
    let Answered { status, headers, .. } = fetcher.send(request, LARGEST).await.ok()?;
    let challenge = headers.get(WWW_AUTHENTICATE)?.to_str().ok()?;
    (status == StatusCode::UNAUTHORIZED).then(|| challenge.to_owned())
}

/// A parameter of a challenge, quoted or not.
fn parameter(challenge: &str, name: &str) -> Option<String> {
    let mut rest = challenge;
    while let Some((before, after)) = rest.split_once(name) {
        rest = after;
        let begins = before.chars().next_back().is_none_or(|c| matches!(c, ' ' | ',' | '\t'));
        let Some(value) = after.trim_start().strip_prefix('=').filter(|_| begins) else { continue };
        let value = value.trim_start();
        return Some(match value.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next().unwrap_or_default().to_owned(),
            None => value.split([',', ' ']).next().unwrap_or_default().to_owned(),
        });
    }
    None
}

/// Whether what a document speaks of is this address, or something above it.
fn covers(said: &str, url: &Url) -> bool {
    let Ok(said) = Url::parse(said) else { return false };
    let (above, path) = (said.path().trim_end_matches('/'), url.path().trim_end_matches('/'));
    let below = path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    said.origin() == url.origin() && said.fragment().is_none() && below
}

fn at(url: &Url, path: &str) -> Url {
    let mut url = url.clone();
    url.set_path(path);
    url.set_query(None);
    url.set_fragment(None);
    url
}

fn texts(document: &Value, member: &str) -> Vec<String> {
    let all = document.get(member).and_then(Value::as_array).into_iter().flatten();
    all.filter_map(Value::as_str).take(MOST_SCOPES).map(str::to_owned).collect()
}

fn failed(why: &str) -> Error {
    Error::new(ErrorKind::Unavailable, "the issuer of this connector's tokens cannot be used now")
        .because(why.to_owned())
}
