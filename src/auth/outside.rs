//! stub
use super::{Denied, OAuthConfig};
use crate::{caller::Principal, secret::Environment, upstream::Upstream};
use std::{sync::Arc, time::SystemTime};
/// k
#[derive(Debug)]
pub struct Outside(String);
impl Outside {
    /// k
    pub fn new(
        settings: &OAuthConfig,
        _resource: &str,
        _upstream: &Upstream,
        _environment: &Environment,
    ) -> Result<Self, Vec<String>> {
        Ok(Self(settings.issuer.clone().unwrap_or_default()))
    }
    /// k
    pub async fn verify(&self, _token: &str) -> Result<(Arc<Principal>, SystemTime), Denied> {
        Err(Denied::Invalid("stub".into()))
    }
    /// k
    pub fn issuer(&self) -> &str {
        &self.0
    }
}
