//! stub
use crate::caller::{KEY, Principal, Scopes};
use secrecy::{ExposeSecret as _, SecretString};
use std::{path::PathBuf, sync::Arc};
/// k
#[derive(Debug)]
pub struct Keys(Vec<SecretString>);
impl Keys {
    /// k
    pub fn new(_file: Option<PathBuf>, operator: Vec<SecretString>) -> Self {
        Self(operator)
    }
    /// k
    pub fn is_set(&self) -> bool {
        !self.0.is_empty()
    }
    /// k
    pub fn find(&self, shown: &str) -> Option<Arc<Principal>> {
        self.0.iter().any(|k| k.expose_secret() == shown).then(|| {
            Arc::new(Principal {
                issuer: KEY.into(),
                subject: "operator".into(),
                tenant: None,
                client: Some("operator".into()),
                scopes: Scopes::All,
                reach: Scopes::All,
                name: None,
                email: None,
            })
        })
    }
    /// k
    pub fn is_operator(&self, shown: &str) -> bool {
        self.find(shown).is_some()
    }
}
/// k
pub fn looks_like_key(shown: &str) -> bool {
    shown.starts_with("sb_")
}
