//! What shows that a request to the token endpoint comes from the client it names.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use moka::sync::Cache;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use url::Url;

use super::{Client, Keys, Proof};
use crate::auth::Denied;
use crate::auth::issuer::answer::Refusal;
use crate::auth::issuer::parameters::Parameters;
use crate::auth::issuer::shelf::{Shelf, fresh, now};
use crate::auth::issuer::{Issuer, Trouble, random};
use crate::auth::jwks::{Jwks, KeySet, Pick};
use crate::upstream::Fetcher;

/// What clients may sign with.
const ALGORITHMS: [Algorithm; 2] = [Algorithm::RS256, Algorithm::ES256];
/// A signed proof may be good for this long, in seconds.
const LONGEST: u64 = 300;
const LEEWAY: u64 = 30;
/// Clients whose keys are remembered.
const REMEMBERED: u64 = 200;
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The keys of clients that sign, and what they signed already.
pub(in crate::auth::issuer) struct Proofs {
    shelf: Shelf,
    fetcher: Fetcher,
    keys: Cache<String, Arc<Jwks>>,
}

/// What a request shows.
enum Shown<'a> {
    Nothing,
    /// In each of the ways it may be meant.
    Secret(Vec<String>),
    Signature(&'a str),
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: u64,
    #[serde(default)]
    iat: Option<u64>,
    jti: String,
}

impl Proofs {
    pub(in crate::auth::issuer) fn new(shelf: Shelf, fetcher: Fetcher) -> Self {
        Self { shelf, fetcher, keys: Cache::builder().max_capacity(REMEMBERED).build() }
    }

    async fn key(
        &self,
        keys: &Keys,
        kid: Option<&str>,
        alg: Algorithm,
    ) -> Result<Result<DecodingKey, Refusal>, Trouble> {
        let unknown = || Refusal::client("the client_assertion is signed with a key the client does not have");
        let address = match keys {
            Keys::Set(set) => {
                let picked = KeySet::parse(set).map(|set| set.pick(kid, alg));
                return Ok(match picked {
                    Ok(Pick::Key(key)) => Ok(key),
                    Ok(Pick::Unfit | Pick::Unknown) | Err(_) => Err(unknown()),
                });
            }
            Keys::At(address) => address,
        };
        let Ok(url) = Url::parse(address) else { return Ok(Err(unknown())) };
        let jwks = self.keys.get_with(address.clone(), || Arc::new(Jwks::new(url, self.fetcher.clone())));
        match jwks.key(kid, alg).await {
            Ok(key) => Ok(Ok(key)),
            Err(Denied::Invalid(_)) => Ok(Err(unknown())),
            Err(Denied::Unavailable(why)) => {
                tracing::info!("a client's keys cannot be read: {why}");
                Ok(Err(Refusal::new("temporarily_unavailable", "the client's keys cannot be read now")))
            }
        }
    }
}

impl Issuer {
    /// The client a request comes from, when it shows what it has to.
    pub(in crate::auth::issuer) async fn proven(
        &self,
        form: &Parameters,
        authorization: Option<&str>,
    ) -> Result<Result<Arc<Client>, Refusal>, Trouble> {
        let (id, shown) = match read(form, authorization) {
            Ok(shown) => shown,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let client = match self.client(&id).await? {
            Ok(client) => client,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let proven = match (&client.proof, shown) {
            // Some send a secret that nobody gave them. It opens nothing.
            (Proof::Nothing, Shown::Nothing | Shown::Secret(_)) | (Proof::MaySign(_), Shown::Nothing) => Ok(()),
            (Proof::Secret(kept), Shown::Secret(meant)) if is_one(kept, &meant) => Ok(()),
            (Proof::Signature(keys) | Proof::MaySign(keys), Shown::Signature(assertion)) => {
                self.signed(&client, keys, assertion).await?
            }
            (Proof::Secret(_), Shown::Secret(_)) => Err(Refusal::client("the client_secret is wrong")),
            (Proof::Secret(_), _) => Err(Refusal::client("the client_secret is missing")),
            (Proof::Signature(_), _) => Err(Refusal::client("the client_assertion is missing")),
            (Proof::Nothing | Proof::MaySign(_), _) => {
                Err(Refusal::client("the client shows a proof that it is not registered for"))
            }
        };
        Ok(proven.map(|()| client))
    }

    /// Whether a signed proof is right, and was not shown before (RFC 7523).
    async fn signed(&self, client: &Client, keys: &Keys, assertion: &str) -> Result<Result<(), Refusal>, Trouble> {
        let wrong = |what: &str| Ok(Err(Refusal::client(format!("the client_assertion {what}"))));
        let Ok(header) = decode_header(assertion) else { return wrong("is no signed token") };
        if !ALGORITHMS.contains(&header.alg) || header.crit.is_some() {
            return wrong("has to be signed with RS256 or ES256");
        }
        let key = match self.proofs.key(keys, header.kid.as_deref(), header.alg).await? {
            Ok(key) => key,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut validation = Validation::new(header.alg);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.set_audience(&[self.endpoint("/oauth/token"), self.base.clone()]);
        validation.set_issuer(&[&client.id]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let Ok(data) = decode::<Claims>(assertion, &key, &validation) else {
            return wrong("has a wrong signature, or is not for here, or expired");
        };
        let Claims { sub, exp, iat, jti } = data.claims;
        let now = now() / 1000;
        if sub != client.id || jti.is_empty() || iat.is_some_and(|iat| iat > now + LEEWAY) {
            return wrong("has wrong claims");
        }
        if exp > now + LONGEST + LEEWAY {
            return wrong("is good for too long: five minutes is the most");
        }
        let key = format!("auth/assertion/{}", random::fingerprint(&format!("{} {jti}", client.id)));
        let first = self.proofs.shelf.keep(&key, &(), fresh(std::time::Duration::from_secs(LONGEST + 4 * LEEWAY)));
        if first.await? { Ok(Ok(())) } else { wrong("was shown before") }
    }
}

/// Who a request says it comes from, and what it shows for that.
fn read<'a>(form: &'a Parameters, authorization: Option<&str>) -> Result<(String, Shown<'a>), Refusal> {
    let named = form.one("client_id")?;
    let secret = form.one("client_secret")?;
    let assertion = form.one("client_assertion")?;
    let basic =
        authorization.and_then(|said| said.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
    if [secret.is_some(), assertion.is_some(), basic.is_some()].into_iter().filter(|it| *it).count() > 1 {
        return Err(Refusal::request("the client shows more than one proof"));
    }
    if let Some((_, pair)) = basic {
        let (id, secret) = basic_pair(pair).ok_or_else(|| Refusal::client("the Authorization header is malformed"))?;
        if named.is_some_and(|named| named != id) {
            return Err(Refusal::client("two clients are named"));
        }
        return Ok((id, if secret.concat().is_empty() { Shown::Nothing } else { Shown::Secret(secret) }));
    }
    let Some(assertion) = assertion else {
        let id = named.ok_or_else(|| Refusal::request("client_id is missing"))?;
        return Ok((id.to_owned(), secret.map_or(Shown::Nothing, |secret| Shown::Secret(vec![secret.to_owned()]))));
    };
    if form.one("client_assertion_type")? != Some(ASSERTION) {
        return Err(Refusal::client(format!("client_assertion_type has to be {ASSERTION}")));
    }
    // Only to know whose keys to look for; what it says counts once its signature does.
    let claimed = jsonwebtoken::dangerous::insecure_decode::<Claims>(assertion).ok().map(|data| data.claims.sub);
    let id = named.map(str::to_owned).or(claimed).ok_or_else(|| Refusal::request("client_id is missing"))?;
    Ok((id, Shown::Signature(assertion)))
}

/// Whether one of these is the secret of this fingerprint, in a time that does not tell which.
fn is_one(kept: &str, meant: &[String]) -> bool {
    meant.iter().fold(false, |found, secret| random::same(kept, &random::fingerprint(secret)) | found)
}

/// Id and secret of HTTP Basic. Each has to be written as in a form (RFC 6749, 2.3.1), but many clients write the
/// secret as it is, so both are looked at.
fn basic_pair(pair: &str) -> Option<(String, Vec<String>)> {
    let pair = String::from_utf8(BASE64_STANDARD.decode(pair.trim()).ok()?).ok()?;
    // An id that is an address holds a colon of its own, when it is not written as in a form.
    let is_address = pair.starts_with("https://") || pair.starts_with("http://");
    let (id, secret) = if is_address { pair.rsplit_once(':')? } else { pair.split_once(':')? };
    let plain = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_decode_str(&spaced).decode_utf8().ok().map(std::borrow::Cow::into_owned)
    };
    let id = if is_address { id.to_owned() } else { plain(id)? };
    Some((id, plain(secret).into_iter().chain([secret.to_owned()]).collect()))
}
