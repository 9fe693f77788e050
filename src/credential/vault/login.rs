//! How we log in at Vault: with a token, as an `AppRole`, or as a pod of Kubernetes.

use std::{
    fmt, fs,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use http::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::{Vault, VaultError, login_body, variable};
use crate::credential::held::Timed;
use crate::secret::Environment;

/// Where Kubernetes puts what proves a pod.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
/// A token in a file is read again after this long.
const READ_AGAIN: Duration = Duration::from_mins(1);

/// How we log in.
pub(super) enum Login {
    /// With a token that somebody gave us.
    Token(Given),
    /// As an `AppRole`.
    AppRole { mount: String, role: String, secret: Option<Given> },
    /// As a pod.
    Kubernetes { mount: String, role: String, jwt: PathBuf },
}

/// Something somebody gave us.
pub(super) enum Given {
    Text(SecretString),
    File(PathBuf),
}

/// A login.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) token: SecretString,
    /// How long it lasts, when it ends at all.
    pub(super) life: Option<Duration>,
    /// How long it lasted when it began.
    first: Option<Duration>,
    renewable: bool,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token",
            Self::AppRole { .. } => "AppRole",
            Self::Kubernetes { .. } => "Kubernetes",
        })
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("life", &self.life).field("renewable", &self.renewable).finish_non_exhaustive()
    }
}

impl Given {
    fn of(environment: &Environment, name: &str) -> Option<Self> {
        let text = variable(environment, name).map(|text| Self::Text(text.trim().into()));
        text.or_else(|| variable(environment, &format!("{name}_FILE")).map(|file| Self::File(file.into())))
    }

    fn read(&self) -> Result<SecretString, VaultError> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(file) => {
                let text = fs::read_to_string(file).unwrap_or_default();
                let missing =
                    || VaultError::Refused(format!("the file {} cannot be read, or is empty", file.display()));
                Some(text.trim()).filter(|text| !text.is_empty()).map(SecretString::from).ok_or_else(missing)
            }
        }
    }
}

impl Login {
    /// The way that the environment names.
    pub(super) fn of(environment: &Environment) -> Result<Self, String> {
        if let Some(token) = Given::of(environment, "TOKEN") {
            return Ok(Self::Token(token));
        }
        let mount = |usual: &str| variable(environment, "AUTH_MOUNT").unwrap_or(usual).trim_matches('/').to_owned();
        if let Some(role) = variable(environment, "ROLE_ID") {
            let secret = Given::of(environment, "SECRET_ID");
            return Ok(Self::AppRole { mount: mount("approle"), role: role.to_owned(), secret });
        }
        if let Some(role) = variable(environment, "K8S_ROLE") {
            let jwt = variable(environment, "K8S_TOKEN_FILE").unwrap_or(SERVICE_ACCOUNT).into();
            return Ok(Self::Kubernetes { mount: mount("kubernetes"), role: role.to_owned(), jwt });
        }
        let ways = "set VAULT_TOKEN, VAULT_TOKEN_FILE, VAULT_ROLE_ID with VAULT_SECRET_ID, or VAULT_K8S_ROLE";
        Err(format!("nothing says how to log in: {ways}"))
    }

    /// A login: the known one renewed where that can be, else a new one.
    pub(super) async fn session(&self, vault: &Vault, known: Option<Session>) -> Result<Timed<Session>, VaultError> {
        if let Some(known) = known.filter(|known| known.renewable)
            && let Ok(answer) =
                vault.exchange(Method::POST, "auth/token/renew-self", Some(&known), Some(&json!({}))).await
            && let Some(renewed) = renewed(&answer, &known)
        {
            return Ok(timed(renewed));
        }
        match self {
            Self::Token(given) => self::given(vault, given).await,
            Self::AppRole { mount, role, secret } => {
                let secret = secret.as_ref().map(Given::read).transpose()?;
                let secret = secret.as_ref().map(|secret| ("secret_id", secret.expose_secret()));
                let shown: Vec<_> = std::iter::once(("role_id", role.as_str())).chain(secret).collect();
                log_in(vault, mount, &shown).await
            }
            Self::Kubernetes { mount, role, jwt } => {
                let jwt = Given::File(jwt.clone()).read()?;
                log_in(vault, mount, &[("role", role), ("jwt", jwt.expose_secret())]).await
            }
        }
    }
}

async fn log_in(vault: &Vault, mount: &str, shown: &[(&str, &str)]) -> Result<Timed<Session>, VaultError> {
    let answer = vault.exchange(Method::POST, &format!("auth/{mount}/login"), None, Some(&login_body(shown))).await;
    let answer = answer.map_err(|error| match error {
        VaultError::Forbidden => VaultError::Refused("it refuses our login (403)".into()),
        other @ (VaultError::Refused(_) | VaultError::Unavailable(_)) => other,
    })?;
    let auth = answer.get("auth").unwrap_or(&Value::Null);
    let nonsense = || VaultError::Unavailable("its answer to our login holds no token".into());
    let token = auth.get("client_token").and_then(Value::as_str).filter(|token| !token.is_empty());
    Ok(timed(session(auth, "lease_duration", token.ok_or_else(nonsense)?.into())))
}

/// A token that somebody gave us: what it says of itself, as far as it may ask.
async fn given(vault: &Vault, given: &Given) -> Result<Timed<Session>, VaultError> {
    let bare = Session { token: given.read()?, life: None, first: None, renewable: false };
    let found = match vault.exchange(Method::GET, "auth/token/lookup-self", Some(&bare), None).await {
        Ok(answer) => session(answer.get("data").unwrap_or(&Value::Null), "ttl", bare.token),
        // It may open secrets and nothing else.
        Err(VaultError::Forbidden | VaultError::Refused(_)) => bare,
        Err(error @ VaultError::Unavailable(_)) => return Err(error),
    };
    let mut timed = timed(found);
    if matches!(given, Given::File(_)) {
        let again = SystemTime::now() + READ_AGAIN;
        timed.fresh = Some(timed.fresh.map_or(again, |fresh| fresh.min(again)));
        // Whoever writes the file renews what is in it.
        timed.value.renewable = false;
    }
    Ok(timed)
}

fn session(said: &Value, life: &str, token: SecretString) -> Session {
    let life = said.get(life).and_then(Value::as_u64).filter(|seconds| *seconds > 0).map(Duration::from_secs);
    let renewable = said.get("renewable") == Some(&Value::Bool(true)) && life.is_some();
    Session { token, life, first: life, renewable }
}

/// A renewed login, unless it is near the end that no renewal moves.
fn renewed(answer: &Value, known: &Session) -> Option<Session> {
    let auth = answer.get("auth")?;
    let now = session(auth, "lease_duration", known.token.clone());
    let short = now.life.zip(known.first).is_some_and(|(now, first)| now < first / 3);
    (!short).then_some(Session { first: known.first, ..now })
}

/// Two thirds of a login's life pass before it is renewed.
fn timed(session: Session) -> Timed<Session> {
    let now = SystemTime::now();
    let until = |part: u32| session.life.map(|life| now + life / 3 * part);
    Timed { fresh: until(2), good: until(3), value: session }
}
