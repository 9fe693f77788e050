//! What is said of a token, by itself or by its issuer: whether that makes it good here, and whom it names.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use crate::auth::{Denied, OAuthConfig};
use crate::caller::{Principal, Scopes};

/// How far the clocks of the issuer and this machine may be apart.
pub(super) const LEEWAY: Duration = Duration::from_secs(30);
/// The claims that hold scopes when the settings do not say.
const SCOPE_CLAIMS: &[&str] = &["scope", "scp", "roles"];
/// The longest name, subject and scope we take.
const MAX_TEXT: usize = 256;

/// What is said of a token.
pub(super) type Claims = Map<String, Value>;

/// What makes a token good here.
#[derive(Debug)]
pub(super) struct Rules {
    /// Who has to have given it out.
    pub(super) issuer: String,
    /// What it has to be meant for; one of these.
    pub(super) audience: Vec<String>,
    scope_claims: Vec<String>,
    tenant_claim: Option<String>,
    /// What the issuer can give out; nothing known when empty.
    scopes: Vec<String>,
}

impl Rules {
    pub(super) fn new(settings: &OAuthConfig, resource: &str) -> Self {
        let or = |list: &[String], usual: &[&str]| {
            if list.is_empty() { usual.iter().map(|&it| it.to_owned()).collect() } else { list.to_vec() }
        };
        Self {
            issuer: settings.issuer.clone().unwrap_or_default(),
            audience: or(&settings.audience, &[resource]),
            scope_claims: or(&settings.scope_claims, SCOPE_CLAIMS),
            tenant_claim: settings.tenant_claim.clone(),
            scopes: settings.scopes.clone(),
        }
    }

    /// Whether it is an access token of our issuer, for us, now: when it ends.
    pub(super) fn check(&self, claims: &Claims, now: SystemTime) -> Result<Option<SystemTime>, Denied> {
        let invalid = |words: &str| Err(Denied::Invalid(words.into()));
        if claims.get("iss").is_some_and(|named| named.as_str() != Some(&self.issuer)) {
            return invalid("the token is of another issuer");
        }
        if !self.meant_for_us(claims) {
            return invalid("the token is not meant for this server");
        }
        let ends = time(claims, "exp")?;
        if ends.is_some_and(|ends| ends + LEEWAY <= now) {
            return invalid("the token has expired");
        }
        let begins = [time(claims, "nbf")?, time(claims, "iat")?];
        if begins.into_iter().flatten().any(|begins| begins > now + LEEWAY) {
            return invalid("the token is not valid yet");
        }
        if claims.contains_key("cnf") {
            return invalid("the token is bound to a key of its owner, which is not asked for here");
        }
        if is_other_kind(claims) {
            return invalid("this is no access token");
        }
        Ok(ends)
    }

    /// A token that says nothing of whom it is meant for may be for anybody, and one for others proves nothing here.
    fn meant_for_us(&self, claims: &Claims) -> bool {
        let ours = |named: &Value| named.as_str().is_some_and(|named| self.audience.iter().any(|ours| ours == named));
        match claims.get("aud") {
            Some(Value::Array(several)) => several.iter().any(ours),
            Some(one) => ours(one),
            None => false,
        }
    }

    /// Whom it names.
    pub(super) fn principal(&self, claims: &Claims) -> Result<Principal, Denied> {
        let client = ["client_id", "azp", "appid"].iter().find_map(|name| text(claims.get(*name)));
        // A token that a program got for itself, and that only its issuer can read, may name nobody else (RFC 7662).
        let program = || client.as_ref().map(|client| format!("client:{client}"));
        let subject = if claims.contains_key("sub") { text(claims.get("sub")) } else { program() };
        let subject = subject.ok_or(Denied::Invalid("the token names nobody (`sub`)".into()))?;
        let scopes = self.scopes(claims);
        let reach = match (&scopes, self.scopes.is_empty()) {
            (_, true) | (Scopes::All, false) => Scopes::All,
            (Scopes::These(held), false) => Scopes::These(held.iter().chain(&self.scopes).cloned().collect()),
        };
        let vouched = claims.get("email_verified") == Some(&Value::Bool(true));
        Ok(Principal {
            issuer: self.issuer.clone(),
            subject,
            tenant: self.tenant_claim.as_deref().and_then(|name| match claim(claims, name) {
                Some(Value::Number(number)) => Some(number.to_string()),
                other => text(other),
            }),
            client,
            scopes,
            reach,
            name: text(claims.get("name")),
            email: text(claims.get("email")).filter(|_| vouched),
        })
    }

    /// The scopes it holds. `*` is a word of our own settings: whoever gives out tokens elsewhere cannot say it.
    fn scopes(&self, claims: &Claims) -> Scopes {
        let mut held = std::collections::BTreeSet::new();
        let mut take = |scope: &str| {
            if !scope.is_empty() && scope.len() <= MAX_TEXT && scope != "*" {
                held.insert(scope.to_owned());
            }
        };
        for name in &self.scope_claims {
            match claim(claims, name) {
                Some(Value::String(list)) => list.split_ascii_whitespace().for_each(&mut take),
                Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).for_each(&mut take),
                Some(_) | None => {}
            }
        }
        Scopes::These(held)
    }
}

/// A claim by its name; one that lies deeper by its JSON pointer, like `/realm_access/roles`.
fn claim<'a>(claims: &'a Claims, name: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let (first, rest) = name.strip_prefix('/')?.split_once('/')?;
    claims.get(first)?.pointer(&format!("/{rest}"))
}

fn text(value: Option<&Value>) -> Option<String> {
    let text = value?.as_str()?;
    let fits = !text.is_empty() && text.len() <= MAX_TEXT && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
}

/// A moment in seconds since 1970, with or without a fraction.
fn time(claims: &Claims, name: &str) -> Result<Option<SystemTime>, Denied> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    // Later than anybody can mean, so that reckoning with it cannot go wrong.
    let seconds = seconds.map(|seconds| seconds.min(Duration::from_secs(1 << 40)));
    match seconds.and_then(|seconds| UNIX_EPOCH.checked_add(seconds)) {
        Some(time) => Ok(Some(time)),
        None => Err(Denied::Invalid(format!("`{name}` of the token is no time"))),
    }
}

/// Whether it is an ID token or a refresh token, by the marks that issuers give them.
fn is_other_kind(claims: &Claims) -> bool {
    let said = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
    ["nonce", "at_hash", "c_hash"].iter().any(|name| claims.contains_key(*name))
        || matches!(said("token_use").as_str(), "id" | "refresh")
        || matches!(said("typ").as_str(), "id" | "refresh" | "offline" | "logout")
        || !matches!(said("token_type").as_str(), "" | "bearer" | "access_token")
}
