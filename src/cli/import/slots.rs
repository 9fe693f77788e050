//! What an API wants to be shown, as places in a manifest for an operator to fill.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::manifest::overlay;
use crate::openapi::{Converted, Proof};

/// The credentials of a manifest, and what they need.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// What stands in the manifest.
    pub(super) credentials: Option<Value>,
    /// The variables to set, and what for.
    pub(super) variables: Vec<(String, String)>,
    /// What cannot be shown, or only in part.
    pub(super) remarks: Vec<String>,
}

/// The beginning of a connector's variables.
pub(super) fn variable(name: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let variable: String = name.chars().map(letter).collect();
    if variable.starts_with(|c: char| c.is_ascii_digit()) { format!("API_{variable}") } else { variable }
}

/// The names of ways to show who we are.
fn named<'a>(ways: impl Iterator<Item = &'a BTreeSet<&'a str>>) -> String {
    let names: BTreeSet<&str> = ways.flatten().copied().collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

impl Slots {
    /// The one way to show who we are that opens the most tools.
    pub(super) fn of(converted: &Converted, prefix: &str) -> Self {
        let mut ways: BTreeMap<BTreeSet<&str>, (usize, BTreeSet<&str>)> = BTreeMap::new();
        let mut closed = 0;
        for tool in converted.tools.iter().filter(|tool| !tool.security.is_empty()) {
            if tool.security.iter().any(Vec::is_empty) {
                continue;
            }
            closed += 1;
            for way in &tool.security {
                let names: BTreeSet<&str> = way.iter().map(|(name, _)| name.as_str()).collect();
                let (tools, scopes) = ways.entry(names).or_default();
                *tools += 1;
                scopes.extend(way.iter().flat_map(|(_, scopes)| scopes).map(String::as_str));
            }
        }
        let can = |name: &&str| !matches!(converted.security.get(*name), None | Some(Proof::Other(_)));
        let possible = ways.iter().filter(|(names, _)| names.iter().all(can));
        let Some((names, (tools, scopes))) =
            possible.max_by_key(|(names, (tools, _))| (*tools, usize::MAX - names.len()))
        else {
            let mut slots = Self::default();
            if closed > 0 {
                let kinds = named(ways.keys());
                slots
                    .remarks
                    .push(format!("{closed} tools want to be shown something that no manifest can say: {kinds}"));
            }
            return slots;
        };
        let mut slots = Self::default();
        let mut credentials = json!({});
        for proof in names.iter().filter_map(|name| converted.security.get(*name)) {
            slots.fill(&mut credentials, proof, prefix, scopes);
        }
        slots.credentials = Some(credentials);
        if *tools < closed {
            let others = named(ways.keys().filter(|way| *way != names));
            slots.remarks.push(format!("{} tools want to be shown something else: {others}", closed - tools));
        }
        slots
    }

    fn fill(&mut self, credentials: &mut Value, proof: &Proof, prefix: &str, scopes: &BTreeSet<&str>) {
        let mut slot = |name: &str, what: String| {
            let variable = format!("{prefix}_{name}");
            let reference = format!("${{{variable}}}");
            self.variables.push((variable, what));
            reference
        };
        let named = |kind: &str, name: &str, reference: String| json!({ kind: { name: reference } });
        let own = |name: &str| variable(name.trim_start_matches("X-").trim_start_matches("x-"));
        let more = match proof {
            Proof::Header(name) => named("headers", name, slot(&own(name), format!("the header {name}"))),
            Proof::Query(name) => named("query", name, slot(&own(name), format!("the query parameter {name}"))),
            Proof::Cookie(name) => named("cookies", name, slot(&own(name), format!("the cookie {name}"))),
            Proof::Basic => {
                let username = slot("USERNAME", "the user name".into());
                json!({ "basic": { "username": username, "password": slot("PASSWORD", "the password".into()) } })
            }
            Proof::Bearer => json!({ "bearer": slot("TOKEN", "a bearer token".into()) }),
            Proof::OAuth2(proof) => match proof.token_url.as_ref().filter(|_| proof.client_credentials) {
                Some(token_url) => json!({ "oauth": {
                    "grant": "clientCredentials",
                    "tokenUrl": token_url.replace("${", "$${"),
                    "clientId": slot("CLIENT_ID", "who we are at the issuer of tokens".into()),
                    "clientSecret": slot("CLIENT_SECRET", "what proves it".into()),
                    "scopes": scopes,
                } }),
                None => json!({ "bearer": slot("TOKEN", "an OAuth 2.0 access token".into()) }),
            },
            Proof::OpenIdConnect(_) => json!({ "bearer": slot("TOKEN", "an OpenID Connect access token".into()) }),
            Proof::Other(_) => return,
        };
        overlay(credentials, more);
    }
}
