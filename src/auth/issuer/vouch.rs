//! Vouching for a caller at an issuer elsewhere (RFC 8693): a token that says who they are and opens nothing here.

use async_trait::async_trait;
use jsonwebtoken::{Algorithm, Header, encode};
use secrecy::SecretString;
use serde::Serialize;

use super::shelf::now;
use super::{Issuer, random};
use crate::caller::Principal;
use crate::credential::Voucher;

/// How long it is good for, in seconds: it is exchanged at once.
const LIFE: u64 = 120;

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    exp: u64,
    iat: u64,
    jti: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
}

#[async_trait]
impl Voucher for Issuer {
    fn knows(&self, caller: &Principal) -> bool {
        caller.issuer == self.base
    }

    async fn vouch(&self, caller: &Principal, audience: &str) -> Result<SecretString, String> {
        if !self.knows(caller) {
            return Err("the caller did not sign in here".into());
        }
        let broken = || "a token cannot be signed now".to_owned();
        let ring = self.signing.fresh().await.map_err(|trouble| trouble.to_string())?;
        let (kid, key) = ring.signer().ok_or_else(broken)?;
        let iat = now() / 1000;
        let claims = Claims {
            iss: &self.base,
            sub: &caller.subject,
            // Nothing of ours is called like an issuer elsewhere, so it opens nothing here.
            aud: audience,
            exp: iat + LIFE,
            iat,
            jti: random::name().map_err(|trouble| trouble.to_string())?,
            tenant: caller.tenant.as_deref(),
            name: caller.name.as_deref(),
            email: caller.email.as_deref(),
        };
        let header = Header { typ: Some("JWT".into()), kid: Some(kid.to_owned()), ..Header::new(Algorithm::ES256) };
        encode(&header, &claims, key).map(SecretString::from).map_err(|_| broken())
    }
}
