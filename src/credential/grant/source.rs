//! Each caller's own token, beside what is the same for all.

use std::sync::Arc;

use async_trait::async_trait;
use url::Url;

use super::{GrantOptions, GrantSettings, Grants};
use crate::caller::Caller;
use crate::credential::fixed::Fixed;
use crate::credential::{Credential, CredentialSource, Keyring, check_address};
use crate::error::{Error, Result};
use crate::manifest::{AdapterSettings, Checked, OAuth};
use crate::secret::Text;
use crate::upstream::Upstream;

/// A connector's credentials, one of which callers bring.
#[derive(Debug)]
pub(in crate::credential) struct CallerSource {
    fixed: Fixed,
    grants: Arc<Grants>,
}

impl CallerSource {
    /// Those of a connector. The error says what is missing.
    pub(in crate::credential) fn new(
        checked: &Checked,
        settings: &OAuth,
        keyring: &Arc<Keyring>,
        upstream: &Upstream,
    ) -> Result<Self, String> {
        let fixed = Fixed::new(checked, keyring).map_err(|missing| missing.to_string())?;
        let resolve = |text: &Text| text.resolve(keyring.environment()).map_err(|missing| missing.to_string());
        let text = |text: &Option<Text>| text.as_ref().map(resolve).transpose();
        let address = |name: &str, given: &Option<Text>| {
            let Some(given) = text(given)? else { return Ok(None) };
            let url = Url::parse(&given).map_err(|_| format!("its {name} is no web address"))?;
            check_address(&url, settings.allow_private).map_err(|why| format!("its {name}: {why}"))?;
            Ok::<_, String>(Some(url))
        };
        let connector = &checked.connector;
        let (place, server) = match &connector.adapter {
            AdapterSettings::Http(http) => (resolve(&http.base_url)?, None),
            AdapterSettings::OpenApi(api) => (resolve(api.base_url.as_ref().unwrap_or(&api.spec))?, None),
            AdapterSettings::Mcp(mcp) => match &mcp.url {
                Some(url) => {
                    let url = resolve(url)?;
                    let server = Url::parse(&url).map_err(|_| "its url is no web address")?;
                    (url, Some(server))
                }
                None => return Err(NO_ADDRESS.into()),
            },
            AdapterSettings::Command(_) | AdapterSettings::Collection(_) | AdapterSettings::Gateway(_) => {
                return Err(NO_ADDRESS.into());
            }
        };
        let secret = settings.client_secret.clone().map(|secret| (secret, checked.folder().to_owned()));
        let grants = Grants::new(GrantOptions {
            connector: connector.id.clone(),
            name: connector.name.clone(),
            address: place,
            server,
            settings: GrantSettings {
                issuer: text(&settings.issuer)?,
                authorization: address("authorizationUrl", &settings.authorization_url)?,
                token: address("tokenUrl", &settings.token_url)?,
                client_id: text(&settings.client_id)?,
                client_secret: secret,
                auth: settings.client_auth,
                scopes: settings.scopes.clone(),
                audience: text(&settings.audience)?,
                resource: text(&settings.resource)?,
                header: (settings.header.clone(), settings.prefix.clone()),
                allow_private: settings.allow_private,
            },
            upstream,
            keyring,
        })?;
        Ok(Self { fixed, grants: Arc::new(grants) })
    }
}

const NO_ADDRESS: &str =
    "callers can connect to what is reached at an address only (`http`, `openapi`, `mcp` with a `url`)";

#[async_trait]
impl CredentialSource for CallerSource {
    async fn credential(&self, caller: &Caller) -> Result<Credential> {
        let own = self.grants.credential(caller).await?;
        Ok(own.beside(self.fixed.credential(caller).await?))
    }

    async fn refused(&self, caller: &Caller, shown: &Credential) -> bool {
        let fixed = self.fixed.refused(caller, shown).await;
        self.grants.refused(caller, shown).await || fixed
    }

    fn owner(&self, caller: &Caller) -> Option<String> {
        Some(caller.id())
    }

    fn is_per_caller(&self) -> bool {
        true
    }

    fn grants(&self) -> Option<&Arc<Grants>> {
        Some(&self.grants)
    }

    fn unwelcome(&self) -> Option<Error> {
        Some(self.grants.unwelcome())
    }

    async fn listing_refused(&self, shown: &Credential) -> bool {
        self.grants.any_refused(shown).await
    }

    async fn for_listing(&self) -> Result<Option<Credential>> {
        let Some(own) = self.grants.any().await? else { return Ok(None) };
        Ok(Some(own.beside(self.fixed.credential(&Caller::Local).await?)))
    }
}
