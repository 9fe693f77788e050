//! The service map: the connectors as we vouch for them, for other programs. It holds no secret and no address of
//! ours, and no number but whole ones that every language reads alike, so that all write it alike to verify it.

use std::{sync::Arc, time::SystemTime};

use aws_lc_rs::digest;
use serde_json::{Map, Value, json};
use url::Url;

use super::overview::written;
use super::{Connector, Gateway, Live, Reader};
use crate::caller::Caller;
use crate::error::Problem;
use crate::manifest::{AdapterSettings, AuthKind, Masthead};

/// Who speaks when nobody says so.
const BRAND: &str = "Switchboard";
/// The largest whole number that every reader of JSON takes for what it is.
const LARGEST: u64 = (1 << 53) - 1;
/// How long a map without connectors' own times is fresh, in seconds.
const TTL: u64 = 300;
/// Letters of a ULID (Crockford's base 32).
const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Who we are: what the settings and the first document of connectors say of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Identity {
    brand: Option<Arc<str>>,
    masthead: Option<Arc<Masthead>>,
}

impl Identity {
    /// Who we are by these manifests. A document that is broken now stays who it was, as its connectors do.
    pub(super) fn next(&self, brand: Option<&str>, masthead: Option<Arc<Masthead>>, problems: &[Problem]) -> Self {
        let broken = |it: &&Arc<Masthead>| problems.iter().any(|problem| problem.is_error() && problem.file == it.file);
        let masthead = self.masthead.as_ref().filter(broken).map(Arc::clone).or(masthead);
        let theirs = masthead.as_ref().and_then(|it| it.brand.as_deref()).filter(|brand| !brand.trim().is_empty());
        Self { brand: brand.or(theirs).map(Arc::from), masthead }
    }
}

impl Gateway {
    /// The signed service map, a JSON document on one line. The error says why there is none.
    pub fn service_map(&self) -> Result<String, String> {
        let payload = self.live().service_map().ok_or("no manifest could be loaded; `switchboard check` says why")?;
        self.signer().sign(&payload)
    }
}

impl Live {
    /// In whose name we speak.
    pub fn brand(&self) -> &str {
        self.identity.brand.as_deref().unwrap_or(BRAND)
    }

    /// What the service map says, unless there is no connector to say anything of.
    pub fn service_map(&self) -> Option<Value> {
        let shown: Vec<&Arc<Connector>> = self.connectors.values().filter(|it| !it.checked.is_built_in()).collect();
        let masthead = self.identity.masthead.as_deref();
        let shortest = shown.iter().map(|connector| ttl_of(connector)).min()?;
        let own = masthead.and_then(|it| it.ttl_seconds).map_or(LARGEST, |ttl| ttl.get().min(LARGEST));
        let connectors: Vec<Value> = shown.iter().map(|connector| self.mapped(connector)).collect();
        let mut metadata = masthead.map(|it| whole(&it.metadata)).unwrap_or_default();
        metadata.insert("brand".into(), json!(self.brand()));
        metadata.insert("count".into(), json!(connectors.len()));
        let id = masthead.map_or_else(|| id_of(&shown), |it| it.id.clone());
        let made = masthead.and_then(|it| it.generated_at.clone()).unwrap_or_else(|| written(SystemTime::now()));
        Some(json!({
            "id": id,
            "brand": self.brand(),
            "generatedAt": made,
            "ttlSeconds": shortest.min(own).max(1),
            "connectors": connectors,
            "metadata": metadata,
        }))
    }

    fn mapped(&self, connector: &Connector) -> Value {
        let manifest = &connector.checked.connector;
        let mut metadata = whole(&manifest.metadata);
        let (hash, tools) = (self.catalog.fingerprint(&manifest.id), self.catalog.cost(&manifest.id).tools);
        metadata.insert("brand".into(), json!(self.brand()));
        // What the contract does not name stands where it lets anything stand.
        metadata.insert("kind".into(), json!(manifest.adapter.kind()));
        metadata.insert("catalog".into(), json!({ "hash": hash.as_ref(), "tools": tools }));
        let mut auth = json!({ "type": word(manifest.auth.kind) });
        let mut mapped = json!({
            "id": manifest.id,
            "displayName": manifest.name,
            "version": manifest.version,
            "endpoint": endpoint_of(connector),
            "scopes": manifest.scopes,
            "ttlSeconds": ttl_of(connector),
            "enabled": manifest.enabled,
            "metadata": metadata,
            "quotas": counted(json!(manifest.quotas)),
            "timeouts": counted(json!(manifest.timeouts)),
            "tags": manifest.tags,
        });
        if let (Value::Object(mapped), Value::Object(auth)) = (&mut mapped, &mut auth) {
            auth.extend(manifest.auth.header_name.iter().map(|name| ("headerName".to_owned(), json!(name))));
            auth.extend(manifest.auth.query_param.iter().map(|name| ("queryParam".to_owned(), json!(name))));
            mapped.extend(manifest.description.iter().map(|text| ("description".to_owned(), json!(text))));
            mapped.extend(condition(connector));
        }
        if let Value::Object(mapped) = &mut mapped {
            mapped.insert("auth".into(), auth);
        }
        mapped
    }
}

/// How a connector is, as far as that is known.
fn condition(connector: &Connector) -> Map<String, Value> {
    let standing = connector.standing();
    let (status, facts) = (standing.status(), &standing.facts);
    // The map goes further than its readers look.
    let reason = standing.reason(Reader::Caller(&Caller::Local)).filter(|_| status != "online");
    let checked = facts.checked.as_ref().map(|check| check.at);
    let expires = checked.and_then(|at| at.checked_add(connector.ttl()));
    let p95 = facts.percentile(0.95).map(|time| time.as_micros().div_ceil(1000));
    let availability = [
        ("status", Some(json!(status))),
        ("lastCheckedAt", checked.map(|at| json!(written(at)))),
        ("lastSuccessAt", standing.worked().map(|at| json!(written(at)))),
        ("lastFailureAt", facts.ill.map(|at| json!(written(at)))),
        ("failureReason", reason.map(|reason| json!(reason))),
    ];
    let telemetry = [
        ("latencyP95Ms", p95.map(|time| json!(u64::try_from(time).unwrap_or(LARGEST).min(LARGEST)))),
        ("requestCount", Some(json!(facts.calls.min(LARGEST)))),
        ("errorCount", Some(json!(facts.errors.min(LARGEST)))),
    ];
    let members = [
        ("status", Some(json!(status))),
        ("availability", Some(Value::Object(said(availability)))),
        ("expiresAt", expires.map(|at| json!(written(at)))),
        ("telemetry", Some(Value::Object(said(telemetry)))),
    ];
    said(members)
}

/// The members that are known.
fn said<const N: usize>(members: [(&str, Option<Value>); N]) -> Map<String, Value> {
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn ttl_of(connector: &Connector) -> u64 {
    connector.checked.connector.ttl_seconds.map_or(TTL, |ttl| ttl.get().min(LARGEST))
}

fn word(kind: AuthKind) -> &'static str {
    match kind {
        AuthKind::None => "none",
        AuthKind::ApiKey => "apiKey",
        // By which token, the map has no word for.
        AuthKind::Bearer | AuthKind::OAuth2 => "bearer",
    }
}

/// Anything a person wrote, in a form that all languages write alike: numbers that are not whole, or too large, become
/// texts, and members that are sorted differently here and there (RFC 8785 sorts by UTF-16) are left out.
fn whole(members: &Map<String, Value>) -> Map<String, Value> {
    let sorts_alike = |name: &&String| name.chars().all(|c| u32::from(c) <= 0xffff);
    let kept = members.iter().filter(|(name, _)| sorts_alike(name));
    kept.map(|(name, value)| (name.clone(), whole_value(value))).collect()
}

fn whole_value(value: &Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(whole(members)),
        Value::Array(items) => items.iter().map(whole_value).collect(),
        Value::Number(number) => {
            let fits = number.as_i64().is_some_and(|number| number.unsigned_abs() <= LARGEST);
            if fits { value.clone() } else { json!(number.to_string()) }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

/// Counts, none so large that some language reads another.
fn counted(mut counts: Value) -> Value {
    for count in counts.as_object_mut().into_iter().flat_map(Map::values_mut) {
        *count = count.as_u64().map_or(Value::Null, |number| json!(number.min(LARGEST)));
    }
    counts
}

/// A ULID that is the same as long as the connectors are.
fn id_of(connectors: &[&Arc<Connector>]) -> String {
    let ids: Vec<&str> = connectors.iter().map(|connector| connector.checked.connector.id.as_str()).collect();
    let hash = digest::digest(&digest::SHA256, ids.join("\n").as_bytes());
    let number = hash.as_ref().first_chunk().map_or(0, |bytes| u128::from_be_bytes(*bytes));
    let letter = |index: u32| LETTERS.get((number >> (index * 5) & 31) as usize).copied().map(char::from);
    (0..26).rev().filter_map(letter).collect()
}

/// Where a connector is: an absolute URI as its manifest writes it, without what only its caller should know. What holds
/// references is none before they are filled in, and then it may hold secrets.
fn endpoint_of(connector: &Connector) -> String {
    let manifest = &connector.checked.connector;
    let address = match &manifest.adapter {
        AdapterSettings::Http(settings) => Some(&settings.base_url),
        AdapterSettings::OpenApi(settings) => settings.base_url.as_ref(),
        AdapterSettings::Mcp(settings) => settings.url.as_ref(),
        AdapterSettings::Command(_) | AdapterSettings::Collection(_) | AdapterSettings::Gateway(_) => None,
    };
    let address = address.and_then(|address| bare(&address.0));
    address.unwrap_or_else(|| format!("urn:switchboard:connector:{}", manifest.id))
}

/// An address without user info, query and fragment.
fn bare(address: &str) -> Option<String> {
    let mut url = Url::parse(address).ok().filter(|url| url.has_host() && !address.contains("${"))?;
    let is_bare = !address.contains(['@', '?', '#']);
    url.set_username("").and_then(|()| url.set_password(None)).ok()?;
    url.set_query(None);
    url.set_fragment(None);
    // What looks like user info elsewhere was perhaps meant as such.
    let written = if is_bare { address.to_owned() } else { url.to_string() };
    Some(written).filter(|written| !written.contains('@'))
}
