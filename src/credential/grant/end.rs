//! Grants as the operator sees them: whose there are, and the end of them.

use std::time::{Duration, SystemTime};

use super::{Grant, Grants, Kept, Parted, unavailable};
use crate::error::Result;
use crate::store::Expected;

/// A grant that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// The id of the caller whose it is.
    pub caller: String,
    /// When they agreed.
    pub since: SystemTime,
    /// Whether it was made under settings that are no more, so that nothing uses it.
    pub is_old: bool,
}

impl Grants {
    /// All that are kept, also those of other settings.
    pub async fn holdings(&self) -> Result<Vec<Holding>> {
        let all = self.kept().await?;
        let holding = |(_, Kept { value: grant, .. }): (String, Kept<Grant>)| Holding {
            since: SystemTime::UNIX_EPOCH + Duration::from_millis(grant.granted),
            is_old: grant.binding != self.binding,
            caller: grant.caller,
        };
        Ok(all.into_iter().map(holding).collect())
    }

    /// Forgets the grant of whom this is the id, and takes it back at the issuer (RFC 7009).
    pub async fn end(&self, caller: &str) -> Result<Parted> {
        let (key, safe) = (self.key_of(caller), self.safe()?);
        loop {
            let kept = safe.read::<Grant>(&key).await.map_err(unavailable)?;
            let Some(Kept { value: grant, version }) = kept.filter(|kept| kept.value.caller == caller) else {
                return Ok(Parted::Nothing);
            };
            // Whoever is having a new token for it finds it gone; what they had before that is what is taken back.
            if safe.remove(&key, Expected::Is(version)).await.map_err(unavailable)? {
                return Ok(match self.proved(&grant.client).await {
                    Ok(client) => grant.take_back(&client, (&self.hop, self.settings.allow_private)).await,
                    Err(_) => Parted::Forgotten,
                });
            }
        }
    }

    async fn kept(&self) -> Result<Vec<(String, Kept<Grant>)>> {
        let mut all = self.safe()?.all::<Grant>(&format!("grant/{}/", self.connector)).await.map_err(unavailable)?;
        all.retain(|(key, kept)| self.key_of(&kept.value.caller) == *key);
        Ok(all)
    }

    /// All that count.
    pub(super) async fn all(&self) -> Result<Vec<(String, Kept<Grant>)>> {
        let mut all = self.kept().await?;
        all.retain(|(_, kept)| kept.value.binding == self.binding);
        Ok(all)
    }
}
