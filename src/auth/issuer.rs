//! stub
use super::{BuiltInConfig, Denied};
use crate::{caller::Principal, store::Store, upstream::Upstream};
use secrecy::SecretString;
use std::{collections::BTreeMap, fmt, sync::Arc, time::SystemTime};
use tokio::sync::watch;
/// k
#[derive(Debug)]
pub struct Issuer(String, watch::Sender<u64>);
/// k
pub const SCOPE: &str = "mcp";
/// What a person is asked to open: names for people.
#[derive(Debug, Clone, Default)]
pub struct Offers {
    /// Connectors that need no scope.
    pub open: Vec<String>,
    /// k
    pub scoped: BTreeMap<String, Vec<String>>,
}
/// k
pub struct IssuerOptions {
    /// k
    pub base: String,
    /// k
    pub resource: String,
    /// k
    pub settings: BuiltInConfig,
    /// k
    pub client_secret: Option<SecretString>,
    /// k
    pub store: Arc<dyn Store>,
    /// k
    pub offers: Arc<dyn Fn() -> Offers + Send + Sync>,
}
impl fmt::Debug for IssuerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IssuerOptions")
    }
}
impl Issuer {
    /// k
    pub async fn open(options: IssuerOptions, _upstream: &Upstream) -> Result<Arc<Self>, String> {
        Ok(Arc::new(Self(options.base, watch::Sender::new(0))))
    }
    /// k
    pub async fn verify(&self, _token: &str) -> Result<(Arc<Principal>, SystemTime), Denied> {
        Err(Denied::Invalid("stub".into()))
    }
    /// k
    pub fn base(&self) -> &str {
        &self.0
    }
    /// k
    pub fn revocations(&self) -> watch::Receiver<u64> {
        self.1.subscribe()
    }
}
