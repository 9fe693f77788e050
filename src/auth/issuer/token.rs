//! Access tokens: signed by us, for us (RFC 9068).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};

use super::grant::Grant;
use super::shelf::now;
use super::{Issuer, OFFLINE, Trouble, random};
use crate::auth::Denied;
use crate::caller::{Principal, Scopes};

/// What a token is called in its header.
const KIND: &str = "at+jwt";
/// For how long a token that was found good may be taken as good: another process may take its grant back.
const TRUST: Duration = Duration::from_secs(30);
/// How far clocks of processes may differ.
const LEEWAY: u64 = 5;

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    exp: u64,
    iat: u64,
    jti: String,
    client_id: String,
    scope: String,
    /// The grant it belongs to.
    gid: String,
}

impl Issuer {
    /// An access token of a grant.
    pub(super) async fn access_token(
        &self,
        id: &str,
        grant: &Grant,
        scopes: &BTreeSet<String>,
    ) -> Result<String, Trouble> {
        let ring = self.signing.fresh().await?;
        let (kid, key) = ring.signer().ok_or_else(|| Trouble::Broken("there is no signing key".into()))?;
        let iat = now() / 1000;
        let claims = Claims {
            iss: self.base.clone(),
            sub: grant.person.subject.clone(),
            aud: self.resource.clone(),
            exp: iat + self.settings.access_token_seconds,
            iat,
            jti: random::name()?,
            client_id: grant.client.clone(),
            scope: spelled(scopes.iter().filter(|scope| *scope != OFFLINE)),
            gid: id.to_owned(),
        };
        let header = Header { typ: Some(KIND.into()), kid: Some(kid.to_owned()), ..Header::new(Algorithm::ES256) };
        encode(&header, &claims, key).map_err(|_| Trouble::Broken("a token cannot be signed".into()))
    }

    /// Who shows this token, and until when that may be taken for granted.
    pub async fn verify(&self, token: &str) -> Result<(Arc<Principal>, SystemTime), Denied> {
        let claims = self.read_token(token).await?;
        let grant = self.grants.find(&claims.gid).await.map_err(unavailable)?;
        let grant = grant.map(|kept| kept.value).filter(|grant| grant.person.subject == claims.sub);
        let Some(grant) = grant.filter(|grant| grant.client == claims.client_id) else {
            return Err(Denied::Invalid("the access was taken back; connect again".into()));
        };
        // A grant may have been given while its person was removed; then nobody took it back.
        let Some(person) = self.people.now(&grant.person).await.map_err(unavailable)? else {
            return Err(Denied::Invalid("the person is no longer here".into()));
        };
        let given = person.may_give(&grant.scopes);
        let held: BTreeSet<&str> =
            claims.scope.split(' ').filter(|scope| given.contains(*scope) && *scope != OFFLINE).collect();
        let reach = match &person.ceiling {
            None => Scopes::All,
            Some(ceiling) => ceiling.iter().map(String::as_str).chain(held.iter().copied()).collect(),
        };
        let until = SystemTime::UNIX_EPOCH + Duration::from_secs(claims.exp);
        let principal = Principal {
            issuer: self.base.clone(),
            subject: claims.sub,
            tenant: person.tenant,
            client: Some(claims.client_id),
            scopes: held.into_iter().collect(),
            reach,
            name: person.name,
            email: person.email,
        };
        Ok((Arc::new(principal), until.min(SystemTime::now() + TRUST)))
    }

    /// What a token of ours says, whether or not its grant is still there.
    async fn read_token(&self, token: &str) -> Result<Claims, Denied> {
        let header = decode_header(token).map_err(|_| invalid())?;
        let called = header.typ.as_deref().unwrap_or_default().to_ascii_lowercase();
        let is_ours = called.trim_start_matches("application/") == KIND
            && header.alg == Algorithm::ES256
            && header.crit.is_none();
        let Some(kid) = header.kid.filter(|_| is_ours) else { return Err(invalid()) };
        let ring = self.signing.knowing(&kid).await.map_err(unavailable)?;
        let key = ring.decoding(&kid).ok_or_else(invalid)?;
        let mut validation = Validation::new(Algorithm::ES256);
        validation.leeway = LEEWAY;
        validation.set_audience(&[&self.resource]);
        validation.set_issuer(&[&self.base]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let data = decode::<Claims>(token, key, &validation).map_err(|error| {
            if *error.kind() == ErrorKind::ExpiredSignature {
                Denied::Invalid("the access token expired".into())
            } else if *error.kind() == ErrorKind::InvalidAudience {
                Denied::Invalid("the access token is for another resource".into())
            } else {
                invalid()
            }
        })?;
        Ok(data.claims)
    }

    /// The grant of an access token of ours, and its client.
    pub(super) async fn grant_of(&self, token: &str) -> Option<(String, String)> {
        self.read_token(token).await.ok().map(|claims| (claims.gid, claims.client_id))
    }
}

fn invalid() -> Denied {
    Denied::Invalid("this is no access token of ours".into())
}

#[expect(clippy::needless_pass_by_value, reason = "it stands behind map_err")]
fn unavailable(trouble: Trouble) -> Denied {
    Denied::Unavailable(trouble.to_string())
}

/// Scopes as OAuth writes them.
pub(super) fn spelled<'a>(scopes: impl IntoIterator<Item = &'a String>) -> String {
    scopes.into_iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}
