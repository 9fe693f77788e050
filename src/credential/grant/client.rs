//! Who we are at an issuer: the client of the manifest, a document of ours, or one that we register.

use std::time::{Duration, SystemTime};

use http::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::discover::Issuer;
use super::word::fingerprint;
use super::{Grants, Site, unavailable};
use crate::caller::Caller;
use crate::credential::{Client, Safe, TenantClient, fixed};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::ClientAuth;
use crate::store::{Expected, Put};

/// The largest answer to a registration.
const LARGEST: usize = 64 << 10;
/// A registration is used no longer than until this long before its secret ends.
const MARGIN: Duration = Duration::from_hours(1);
/// And no longer than this: an issuer may forget it, and says so to people only.
const LONGEST: Duration = Duration::from_hours(30 * 24);

/// A client, as it is kept beside what it was used for.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct KeptClient {
    pub(super) id: String,
    /// What proves it, when we registered it.
    pub(super) secret: Option<String>,
    pub(super) auth: ClientAuth,
    /// Where it is kept for the next flow, when we registered it.
    pub(super) registered: Option<String>,
    /// Who gave it to us. What proves it is asked of them each time, since they may change it.
    #[serde(default)]
    pub(super) given: Option<Giver>,
}

/// Who gives us a client.
#[derive(Clone, Serialize, Deserialize)]
pub(super) enum Giver {
    Manifest,
    /// The tenant of this name, or who belongs to none.
    Tenant(Option<String>),
}

impl KeptClient {
    /// Forgets it, because the issuer no longer knows it, so that the next flow registers another.
    pub(super) async fn forget(&self, safe: &Safe) {
        if let Some(key) = &self.registered {
            let _ = safe.remove(key, Expected::Any).await;
        }
    }
}

impl Grants {
    /// The client for a caller's flow that comes back to `site`.
    pub(super) async fn client(&self, caller: &Caller, issuer: &Issuer, site: &Site) -> Result<KeptClient> {
        if let Some(given) = self.given(caller, issuer).await? {
            // A person is led nowhere that they would come back from in vain.
            self.proved(&given).await?;
            return Ok(given);
        }
        if let Some(document) = site.document.as_ref().filter(|_| issuer.takes_documents) {
            let (id, auth) = (document.clone(), ClientAuth::None);
            return Ok(KeptClient { id, secret: None, auth, registered: None, given: None });
        }
        let key = self.client_key(&issuer.token, &site.redirect);
        let safe = self.safe()?;
        if let Some(kept) = safe.read::<KeptClient>(&key).await.map_err(unavailable)? {
            return Ok(kept.value);
        }
        let (Client { id, secret, auth }, ends) = self.register(issuer, site).await?;
        let secret = secret.map(|secret| secret.expose_secret().to_owned());
        let client = KeptClient { id, secret, auth, registered: Some(key.clone()), given: None };
        let put = Put { expected: Expected::Absent, expires: Some(ends) };
        if safe.write(&key, &client, put).await.map_err(unavailable)?.is_none()
            && let Some(kept) = safe.read::<KeptClient>(&key).await.map_err(unavailable)?
        {
            // Somebody else was first; theirs is used from now on.
            return Ok(kept.value);
        }
        Ok(client)
    }

    /// The client of the caller's tenant, or the one that the manifest names.
    async fn given(&self, caller: &Caller, issuer: &Issuer) -> Result<Option<KeptClient>> {
        let kept = |id, auth, by| KeptClient { id, secret: None, auth, registered: None, given: Some(by) };
        let said = self.settings.auth;
        if let Some(own) = self.client_of(caller.tenant()).await? {
            let auth = said.unwrap_or_else(|| way(&issuer.ways));
            return Ok(Some(kept(own.id, auth, Giver::Tenant(caller.tenant().map(str::to_owned)))));
        }
        let Some(id) = self.settings.client_id.clone() else { return Ok(None) };
        let auth = match &self.settings.client_secret {
            None => ClientAuth::None,
            Some(_) => said.unwrap_or_else(|| way(&issuer.ways)),
        };
        Ok(Some(kept(id, auth, Giver::Manifest)))
    }

    /// The client that a tenant has at the issuer.
    pub(super) async fn client_of(&self, tenant: Option<&str>) -> Result<Option<TenantClient>> {
        let unreadable = |why: String| Error::new(ErrorKind::Unavailable, "the client cannot be read").because(why);
        self.keyring.client_of(tenant, &self.connector).await.map_err(unreadable)
    }

    /// A client with what proves it now. A tenant that took its client back took back what people gave to that.
    pub(super) async fn proved(&self, kept: &KeptClient) -> Result<Client> {
        let secret = match (&kept.given, &self.settings.client_secret) {
            (None, _) => kept.secret.clone().map(SecretString::from),
            (Some(Giver::Tenant(tenant)), _) => {
                let own = self.client_of(tenant.as_deref()).await?.filter(|own| own.id == kept.id);
                Some(own.ok_or_else(|| self.unconnected(true))?.secret)
            }
            (Some(Giver::Manifest), None) => None,
            (Some(Giver::Manifest), Some((reference, folder))) => {
                Some(self.keyring.find(reference, folder).await.map_err(fixed::unreadable)?)
            }
        };
        Ok(Client { id: kept.id.clone(), secret, auth: kept.auth })
    }

    /// The issuer does not take what proves a client: perhaps another secret is to be had by now.
    pub(super) async fn doubt_client(&self, kept: &KeptClient) {
        if let (Some(Giver::Manifest), Some((reference, _))) = (&kept.given, &self.settings.client_secret) {
            self.keyring.renew(std::iter::once(reference)).await;
        }
    }

    fn client_key(&self, token: &Url, redirect: &str) -> String {
        let named = json!([self.connector.as_str(), token.as_str(), redirect]).to_string();
        format!("connect/client/{}", fingerprint(&named))
    }

    async fn register(&self, issuer: &Issuer, site: &Site) -> Result<(Client, SystemTime)> {
        let refused = |why: String| {
            let message = "this server cannot introduce itself at the issuer of this connector's tokens; its operator has to give the connector a client id (`credentials.oauth.clientId`)";
            Error::new(ErrorKind::Unavailable, message).because(why)
        };
        let Some(url) = &issuer.registration else { return Err(refused("clients cannot register there".into())) };
        let way = way(&issuer.ways);
        let asked = json!({
            "client_name": site.client_name(),
            "redirect_uris": [site.redirect],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": word_of(way),
            "application_type": if site.redirect.starts_with("https://") { "web" } else { "native" },
        });
        let request = self.fetcher.request(Method::POST, url.clone()).json(&asked).build();
        let request = request.map_err(|error| refused(error.without_url().to_string()))?;
        let answered = self.fetcher.send(request, LARGEST).await.map_err(|error| refused(error.to_string()))?;
        let said = answered.json().unwrap_or_default();
        let text = |member: &str| said.get(member).and_then(Value::as_str).filter(|text| !text.is_empty());
        let id = text("client_id").filter(|_| answered.status.is_success());
        let Some(id) = id else {
            return Err(refused(format!("registration was answered {}", answered.status.as_u16())));
        };
        let secret = text("client_secret").map(SecretString::from);
        let auth = match (text("token_endpoint_auth_method"), &secret) {
            (_, None) | (Some("none"), _) => ClientAuth::None,
            (Some("client_secret_post"), _) => ClientAuth::Post,
            (Some("client_secret_basic"), _) => ClientAuth::Basic,
            (Some(_) | None, _) => way,
        };
        let ends = said.get("client_secret_expires_at").and_then(Value::as_u64).filter(|at| *at > 0);
        let ends = ends.and_then(|at| (SystemTime::UNIX_EPOCH + Duration::from_secs(at)).checked_sub(MARGIN));
        let longest = SystemTime::now() + LONGEST;
        let ends = ends.map_or(longest, |ends| ends.min(longest));
        Ok((Client { id: id.to_owned(), secret, auth }, ends))
    }
}

/// The way we would like to show who we are, of those an issuer takes. Unsaid, it is the header (RFC 8414).
pub(super) fn way(ways: &[String]) -> ClientAuth {
    let takes = |auth: &ClientAuth| ways.iter().any(|way| way == word_of(*auth));
    let liked = [ClientAuth::Basic, ClientAuth::Post, ClientAuth::None];
    liked.into_iter().find(takes).unwrap_or(ClientAuth::Basic)
}

fn word_of(auth: ClientAuth) -> &'static str {
    match auth {
        ClientAuth::Basic => "client_secret_basic",
        ClientAuth::Post => "client_secret_post",
        ClientAuth::None => "none",
    }
}

/// What we say of ourselves to issuers that read it at an address of ours.
pub fn client_document(base: &str, connector: &str) -> Value {
    let site = Site::of(base, connector);
    json!({
        "client_id": site.document,
        "client_name": site.client_name(),
        "client_uri": base,
        "redirect_uris": [site.redirect],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "application_type": "web",
    })
}

/// Where that is, after our own address; the connector's id and `.json` follow.
pub const DOCUMENT: &str = "/oauth/client";
