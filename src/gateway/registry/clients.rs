//! Who a tenant is at an integration's issuer: a client of its own there, kept sealed and never told again.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::record::{Drawer, id, of_tenant};
use super::{Registry, RegistryError, id_of};
use crate::audit::Deed;
use crate::caller::Caller;
use crate::credential::{TenantClient, TenantClients};
use crate::gateway::Gateway;
use crate::name::{ConnectorId, shown};
use crate::store::Expected;

/// Where clients are kept.
pub(super) const CLIENTS: &str = "oauth-client/";
/// Clients of one tenant.
const MOST: u64 = 500;
/// The longest text of one, in bytes.
const LONGEST: usize = 4096;
/// Scopes of one.
const MOST_SCOPES: usize = 100;

/// A client at an issuer. `Debug` shows no secret.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OAuthClient {
    client_id: String,
    client_secret: String,
    #[serde(default)]
    redirect_uri: Option<String>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    integration: String,
}

impl fmt::Debug for OAuthClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuthClient").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

impl OAuthClient {
    fn read(body: &Value, integration: &str) -> Result<Self, RegistryError> {
        let words = "it has to be {clientId, clientSecret, redirectUri?, scopes?}";
        let client = Self::deserialize(body).map_err(|_| RegistryError::Invalid(words.into()))?;
        client.checked(integration)
    }

    /// It as the client at this integration's issuer, when it can be one.
    pub(super) fn checked(self, integration: &str) -> Result<Self, RegistryError> {
        let invalid = |words: &str| RegistryError::Invalid(words.to_owned());
        let fits = |text: &str| text.len() <= LONGEST && !text.chars().any(char::is_control);
        let texts = [Some(&self.client_id), Some(&self.client_secret), self.redirect_uri.as_ref()];
        let texts = texts.into_iter().flatten().chain(&self.scopes);
        if self.client_id.is_empty() || self.client_secret.is_empty() {
            return Err(invalid("`clientId` and `clientSecret` are empty"));
        }
        if self.scopes.len() > MOST_SCOPES || !texts.into_iter().all(|text| fits(text)) {
            return Err(invalid("one of its texts is too long, or holds what no text of a client can"));
        }
        let web = |uri: &String| Url::parse(uri).is_ok_and(|uri| matches!(uri.scheme(), "http" | "https"));
        if !self.redirect_uri.iter().all(web) {
            return Err(invalid("`redirectUri` has to be a web address"));
        }
        Ok(Self { integration: integration.to_owned(), ..self })
    }

    /// What may be told of it.
    fn told(&self) -> Value {
        json!({
            "integration": self.integration,
            "clientId": self.client_id,
            "redirectUri": self.redirect_uri,
            "scopes": self.scopes,
            "configured": true,
        })
    }
}

/// Where a tenant's client is kept. An integration goes by its own name or its connector's id.
pub(super) fn key(tenant: Option<&str>, integration: &str) -> Result<String, RegistryError> {
    let id = ConnectorId::try_from(integration.to_owned());
    let id = id.map_err(|_| RegistryError::Unknown(format!("there is no integration `{}`", shown(integration))))?;
    Ok(format!("{}{id}", of_tenant(CLIENTS, tenant)))
}

#[async_trait]
impl TenantClients for Drawer {
    async fn client(&self, tenant: Option<&str>, connector: &ConnectorId) -> Result<Option<TenantClient>, String> {
        let prefix = of_tenant(CLIENTS, tenant);
        let found =
            self.get::<OAuthClient>(&format!("{prefix}{connector}")).await.map_err(|error| error.to_string())?;
        let found = match (found, own_name(tenant, connector)) {
            (None, Some(name)) => {
                self.get::<OAuthClient>(&format!("{prefix}{name}")).await.map_err(|error| error.to_string())?
            }
            (found, _) => found,
        };
        let client = |(client, _): (OAuthClient, _)| TenantClient {
            id: client.client_id,
            secret: client.client_secret.into(),
            scopes: client.scopes,
        };
        Ok(found.map(client))
    }
}

/// The name a tenant gave a connector that it added, when the id was made from that.
fn own_name<'a>(tenant: Option<&str>, connector: &'a ConnectorId) -> Option<&'a str> {
    let (name, _) = connector.as_str().rsplit_once('-').filter(|_| tenant.is_some())?;
    (id(tenant, name) == connector.as_str()).then_some(name)
}

impl Registry {
    /// What may be told of a tenant's client at an integration's issuer.
    pub async fn oauth_config(&self, tenant: Option<&str>, integration: &str) -> Result<Value, RegistryError> {
        let found = self.drawer()?.get::<OAuthClient>(&key(tenant, integration)?).await?;
        let unknown = || RegistryError::Unknown(format!("nothing is kept for `{}`", shown(integration)));
        found.map(|(client, _)| client.told()).ok_or_else(unknown)
    }

    /// The integrations a tenant has set up: connectors it added, and those at whose issuers it is a client.
    pub async fn integrations(&self, tenant: Option<&str>) -> Result<Vec<String>, RegistryError> {
        let clients = self.drawer()?.all::<OAuthClient>(&of_tenant(CLIENTS, tenant)).await?;
        let added = self.added(super::Whose::Of(tenant)).await?;
        let mut names: Vec<String> = clients.into_iter().map(|client| client.integration).collect();
        names.extend(added.into_iter().map(|record| record.name));
        names.sort();
        names.dedup();
        Ok(names)
    }

    async fn keep_client(
        &self,
        tenant: Option<&str>,
        integration: &str,
        body: &Value,
    ) -> Result<OAuthClient, RegistryError> {
        let client = OAuthClient::read(body, integration)?;
        let key = key(tenant, integration)?;
        let drawer = self.drawer()?;
        if drawer.count(&of_tenant(CLIENTS, tenant)).await? >= MOST {
            return Err(RegistryError::Forbidden(format!("{MOST} clients are kept already; forget one first")));
        }
        drawer.put(&key, &client, Expected::Any).await?;
        Ok(client)
    }

    async fn drop_client(&self, tenant: Option<&str>, integration: &str) -> Result<bool, RegistryError> {
        self.drawer()?.delete(&key(tenant, integration)?).await
    }
}

impl Gateway {
    /// Keeps a tenant's client at an integration's issuer; gives what may be told of it.
    pub async fn set_oauth_config(
        &self,
        tenant: Option<&str>,
        integration: &str,
        body: &Value,
        by: &Caller,
    ) -> Result<Value, RegistryError> {
        let kept = self.registry.keep_client(tenant, integration, body).await;
        let on = id_of(tenant, integration);
        self.did(Deed::OauthClientSet, by, &on, kept.as_ref().err().map(|error| error as _));
        let client = kept?;
        tracing::info!(integration, tenant, by = by.said(), "a tenant's client at an issuer is kept");
        Ok(client.told())
    }

    /// Forgets it; whether there was one.
    pub async fn drop_oauth_config(
        &self,
        tenant: Option<&str>,
        integration: &str,
        by: &Caller,
    ) -> Result<bool, RegistryError> {
        let dropped = self.registry.drop_client(tenant, integration).await;
        if !matches!(dropped, Ok(false)) {
            let on = id_of(tenant, integration);
            self.did(Deed::OauthClientDrop, by, &on, dropped.as_ref().err().map(|error| error as _));
        }
        let was = dropped?;
        if was {
            tracing::info!(integration, tenant, by = by.said(), "a tenant's client at an issuer is forgotten");
        }
        Ok(was)
    }
}
