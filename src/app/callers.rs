//! How callers are let in: who judges what they show, and what strangers may use.

use std::{
    io::{self, Write as _},
    sync::Arc,
};

use super::{App, AppError};
use crate::auth::{Auth, Issuer, IssuerOptions, Mode, Offers, Outside, Tokens};
use crate::caller::{Access, Caller, Scopes};
use crate::error::Problem;
use crate::gateway::{Connector, Live};

impl App {
    /// Who judges what callers show, for clients that reach us at `base`.
    pub(super) async fn auth(&self, base: &str) -> Result<Auth, AppError> {
        let (config, environment, keyring) = (&self.config, &self.environment, self.gateway.keyring());
        let refuse = |words: String| AppError::Problems(vec![Problem::in_file("settings", words)]);
        let resource = format!("{base}/mcp");
        let tokens = match self.mode {
            Mode::None | Mode::ApiKey => Tokens::None,
            Mode::OAuth => {
                let outside = Outside::new(&config.auth.oauth, &resource, self.gateway.upstream(), keyring);
                let many = |words: Vec<String>| words.into_iter().map(|words| Problem::in_file("settings", words));
                Tokens::Outside(Box::new(outside.map_err(|words| AppError::Problems(many(words).collect()))?))
            }
            Mode::BuiltIn => {
                let store = self.gateway.store().map_err(|reason| {
                    refuse(format!("the built-in issuer keeps who may do what, and nothing can be kept: {reason}"))
                })?;
                let gateway = Arc::downgrade(&self.gateway);
                let secret = config.client_secret(keyring).await.map_err(|it| AppError::Problems(vec![it]))?;
                let options = IssuerOptions {
                    base: base.to_owned(),
                    resource: resource.clone(),
                    settings: config.auth.built_in.clone(),
                    client_secret: secret,
                    store,
                    offers: Arc::new(move || gateway.upgrade().map(|it| offers(&it.live())).unwrap_or_default()),
                    announce: Arc::new(announce),
                };
                let issuer = Issuer::open(options, self.gateway.upstream()).await.map_err(refuse)?;
                self.gateway.keyring().vouch_by(Arc::clone(&issuer) as _);
                Tokens::BuiltIn(issuer)
            }
        };
        Ok(Auth::new(&config.auth, self.mode, config.keys(environment), tokens, resource))
    }

    /// What the operator should know of what everybody on the network may do.
    pub fn says_to_strangers(&self) -> Vec<String> {
        let live = self.gateway.live();
        let public = !self.config.host.is_loopback() || self.config.public_url.is_some();
        let stranger = Caller::Anonymous { reach: Scopes::none() };
        let enabled = live.connectors.values().filter(|it| it.checked.connector.enabled);
        let (open, closed): (Vec<_>, Vec<_>) = enabled.partition(|connector| live.shows(connector, &stranger));
        let list = |connectors: &[&Arc<Connector>]| {
            let ids = connectors.iter().map(|connector| connector.checked.connector.id.as_str());
            ids.collect::<Vec<_>>().join(", ")
        };
        let mut said = Vec::new();
        let mixed = self.config.auth.mixed && self.mode != Mode::None;
        if mixed || (self.mode == Mode::None && public && self.config.secret_path().is_none()) {
            let how = if mixed { "auth.mixed is on" } else { "--auth built-in changes that" };
            said.push(format!("nobody has to sign in: whoever reaches this server can use {}; {how}", list(&open)));
        }
        if self.mode == Mode::None && !closed.is_empty() {
            said.push(format!(
                "nobody on the network can use {}: their manifests ask for a proof, and auth.mode is none",
                list(&closed)
            ));
        }
        let short = self.config.short_keys(&self.environment);
        said.extend(
            short.map(|name| format!("{name} is short enough to be guessed; `switchboard keys new` makes a key")),
        );
        said
    }
}

/// Shows a one-time code to the person at the terminal: it is for their eyes, and no part of the log.
fn announce(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// What a person can open, by the scopes it takes.
fn offers(live: &Live) -> Offers {
    let mut offers = Offers::default();
    // What a tenant added is nobody else's business.
    let theirs = |it: &Connector| it.checked.is_built_in() || it.checked.connector.owner.is_some();
    let enabled = live.connectors.values().filter(|it| it.checked.connector.enabled && !theirs(it));
    for connector in enabled {
        let manifest = &connector.checked.connector;
        let mine = live.catalog.entries().iter().filter(|entry| entry.connector == manifest.id);
        let accesses = mine.map(|entry| &entry.access).chain([live.catalog.to_connector(&manifest.id)]);
        let mut free = false;
        for access in accesses {
            let scopes: Vec<&String> = access.scopes().collect();
            free |= scopes.is_empty();
            for scope in scopes {
                let names = offers.scoped.entry(scope.clone()).or_default();
                if !names.contains(&manifest.name) {
                    names.push(manifest.name.clone());
                }
            }
        }
        if free {
            offers.open.push(manifest.name.clone());
        }
    }
    let held = live.catalog.entries().iter().filter(|entry| matches!(entry.access, Access::Held(_)));
    for scope in held.flat_map(|entry| entry.access.scopes()) {
        offers.scoped.entry(scope.clone()).or_insert_with(|| vec!["Adding and removing connectors".into()]);
    }
    offers
}
