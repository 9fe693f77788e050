//! A token endpoint: forms in, tokens out (RFC 6749, and the grants built on it).

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderValue, Method, StatusCode};
use reqwest::Request;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use url::{Url, form_urlencoded};

use crate::error::{Error, ErrorKind};
use crate::manifest::ClientAuth;
use crate::name::cut;
use crate::upstream::{Hop, Limit, never_sent};

/// How long an exchange may take in all.
const TIME: Duration = Duration::from_secs(15);
/// The largest answer we read, in bytes.
const LARGEST: usize = 256 << 10;
/// A token is not used in the last part of its life: this share of it, and no more than [`LONGEST_MARGIN`].
const MARGIN: u32 = 10;
const LONGEST_MARGIN: Duration = Duration::from_mins(1);
/// The most characters of a server's own words.
const WORDS: usize = 300;

/// Who we are at an issuer.
#[derive(Debug, Clone)]
pub struct Client {
    /// The client's id.
    pub id: String,
    /// What proves it.
    pub secret: Option<SecretString>,
    /// How it is shown. Without a secret, the id alone is.
    pub auth: ClientAuth,
}

/// A token, as its issuer gave it.
#[derive(Clone)]
pub struct Token {
    /// What an upstream is shown.
    pub access: SecretString,
    /// What a new one is had with.
    pub refresh: Option<SecretString>,
    /// When it was had.
    pub since: SystemTime,
    /// When it ends, if that was said.
    pub expires: Option<SystemTime>,
    /// The scopes it has, when they are not the ones that were asked for.
    pub scopes: Option<String>,
}

/// Why there is no token. The words hold no secret and no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// What was shown (a code, a refresh token) does not count, or no longer.
    #[error("the issuer says that the grant does not count any more (`invalid_grant`){0}")]
    InvalidGrant(String),
    /// The issuer refuses: its own word for why, and what it adds for people.
    #[error("the issuer refuses a token (`{code}`){words}")]
    Refused {
        /// Its word, such as `invalid_client`.
        code: String,
        /// `: ` and what it adds, or nothing.
        words: String,
    },
    /// It could not be asked, or its answer makes no sense. Whether it did its work is known when it never heard us.
    #[error("the issuer cannot be asked for a token: {words}")]
    Unavailable {
        /// Why.
        words: String,
        /// Whether it certainly did not hear us.
        never_sent: bool,
    },
}

impl From<TokenError> for Error {
    fn from(error: TokenError) -> Self {
        // What an issuer adds in its own words is for the operator.
        let message = match &error {
            TokenError::InvalidGrant(_) => "the issuer of the connector's credential does not take its grant any more",
            TokenError::Refused { .. } => "the issuer of the connector's credential refuses a token",
            TokenError::Unavailable { .. } => "the issuer of the connector's credential cannot be asked for a token",
        };
        let code = if let TokenError::Refused { code, .. } = &error { format!(" (`{code}`)") } else { String::new() };
        Self::new(ErrorKind::Unavailable, format!("{message}{code}")).because(error)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { refresh, expires, scopes, .. } = self;
        let refresh = refresh.is_some();
        f.debug_struct("Token").field("refresh", &refresh).field("expires", expires).field("scopes", scopes).finish()
    }
}

impl Token {
    /// Until when no other one has to be had, if it ends at all.
    pub fn fresh_until(&self) -> Option<SystemTime> {
        let expires = self.expires?;
        let life = expires.duration_since(self.since).unwrap_or_default();
        Some(expires - (life / MARGIN).min(LONGEST_MARGIN))
    }

    /// Whether it can be shown for a while yet.
    pub fn is_fresh(&self, now: SystemTime) -> bool {
        self.fresh_until().is_none_or(|until| now < until)
    }

    /// Whether it can still be shown.
    pub fn is_alive(&self, now: SystemTime) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

/// A token endpoint.
#[derive(Debug, Clone)]
pub struct TokenEndpoint {
    hop: Hop,
    url: Url,
}

impl TokenEndpoint {
    /// The endpoint at an address, reached over `hop`. The error says what is wrong with the address.
    pub fn new(hop: Hop, url: Url, allow_private: bool) -> Result<Self, String> {
        check_address(&url, allow_private)?;
        Ok(Self { hop, url })
    }

    /// Where it is.
    pub fn address(&self) -> &str {
        self.url.as_str()
    }

    /// Asks for a token. `form` is everything but who we are; nothing in it is sent twice.
    pub async fn ask(&self, client: &Client, form: &[(&str, &str)]) -> Result<Token, TokenError> {
        let (status, answer) = self.exchange(client, form).await?;
        read(status, &answer, &hidden(client, form))
    }

    /// Posts a form that has no token for an answer, such as a revocation (RFC 7009).
    pub async fn tell(&self, client: &Client, form: &[(&str, &str)]) -> Result<(), TokenError> {
        let (status, answer) = self.exchange(client, form).await?;
        if status.is_success() { Ok(()) } else { Err(refusal(status, &answer, &hidden(client, form))) }
    }

    async fn exchange(&self, client: &Client, form: &[(&str, &str)]) -> Result<(StatusCode, Value), TokenError> {
        let unavailable = |words: &str| TokenError::Unavailable { words: words.to_owned(), never_sent: true };
        let request =
            self.request(client, form).ok_or_else(|| unavailable("no request can be made of what it takes"))?;
        let exchange = async {
            let response = self.hop.once(request).await.map_err(|error| failed(&error))?;
            let status = response.status();
            if status.is_redirection() {
                return Err(unavailable("its address leads elsewhere, and credentials are not sent on"));
            }
            let body = Limit { bytes: LARGEST, setting: "" }.read(response).await.map_err(|error| failed(&error))?;
            Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
        };
        let late = |_| TokenError::Unavailable { words: "it did not answer in time".into(), never_sent: false };
        tokio::time::timeout(TIME, exchange).await.map_err(late)?
    }

    fn request(&self, client: &Client, form: &[(&str, &str)]) -> Option<Request> {
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(form.iter().filter(|(_, value)| !value.is_empty()));
        let mut request = self.hop.request(Method::POST, self.url.clone());
        match (&client.secret, client.auth) {
            (Some(secret), ClientAuth::Basic) => {
                // Id and secret are written as fields of a form first (RFC 6749, 2.3.1).
                let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                let (id, secret) = (encoded(&client.id), Zeroizing::new(encoded(secret.expose_secret())));
                request = request.basic_auth(id, Some(secret.as_str()));
            }
            (Some(secret), ClientAuth::Post) => {
                body.append_pair("client_id", &client.id).append_pair("client_secret", secret.expose_secret());
            }
            (None, _) | (Some(_), ClientAuth::None) => {
                body.append_pair("client_id", &client.id);
            }
        }
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(body.finish());
        let mut request = request.build().ok()?;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(shown) = request.headers_mut().get_mut(AUTHORIZATION) {
            shown.set_sensitive(true);
        }
        Some(request)
    }
}

/// Whether credentials may go to an address: over TLS, or in a private network where that is allowed.
pub fn check_address(url: &Url, allow_private: bool) -> Result<(), String> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the address must hold no user name or password".into());
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if allow_private => Ok(()),
        "http" => Err("the address must begin with https:// (http:// takes `allowPrivate`)".into()),
        _ => Err("the address must begin with https://".into()),
    }
}

fn failed(error: &Error) -> TokenError {
    TokenError::Unavailable { words: error.message().to_owned(), never_sent: never_sent(error) }
}

/// What must not come back in an issuer's words.
fn hidden<'a>(client: &'a Client, form: &[(&str, &'a str)]) -> Vec<&'a str> {
    const SECRET: &[&str] =
        &["refresh_token", "code", "code_verifier", "subject_token", "actor_token", "token", "assertion"];
    let sent = form.iter().filter(|(name, _)| SECRET.contains(name)).map(|(_, value)| *value);
    sent.chain(client.secret.as_ref().map(secrecy::ExposeSecret::expose_secret))
        .filter(|text| !text.is_empty())
        .collect()
}

fn read(status: StatusCode, answer: &Value, hidden: &[&str]) -> Result<Token, TokenError> {
    let text = |name: &str| answer.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    // Some say no with a status that says yes.
    let access = text("access_token").filter(|_| status.is_success());
    let Some(access) = access else { return Err(refusal(status, answer, hidden)) };
    let nonsense = |words: &str| TokenError::Unavailable { words: words.to_owned(), never_sent: false };
    let kind = text("token_type").unwrap_or("bearer").to_ascii_lowercase();
    if !matches!(kind.as_str(), "bearer" | "n_a") {
        return Err(nonsense("its tokens are of a kind that takes more than showing them"));
    }
    let fits = |text: &&str| text.bytes().all(|byte| byte.is_ascii_graphic());
    let access = Some(access).filter(fits).ok_or_else(|| nonsense("its token cannot stand in a header"))?;
    let since = SystemTime::now();
    // Some write the number as text.
    let seconds = answer
        .get("expires_in")
        .and_then(|said| said.as_f64().or_else(|| said.as_str().and_then(|text| text.trim().parse().ok())));
    let life = seconds.filter(|seconds| *seconds > 0.0 && *seconds < 1e10);
    Ok(Token {
        access: access.into(),
        refresh: text("refresh_token").map(SecretString::from),
        since,
        expires: life.map(|seconds| since + Duration::from_secs_f64(seconds)),
        scopes: text("scope").map(str::to_owned),
    })
}

fn refusal(status: StatusCode, answer: &Value, hidden: &[&str]) -> TokenError {
    let said = |name: &str| {
        let text = answer.get(name).and_then(Value::as_str)?;
        let text = hidden.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "[secret]"));
        Some(cut(&text.chars().filter(|c| !c.is_control()).collect::<String>(), WORDS))
    };
    let words = said("error_description").map(|words| format!(": {words}")).unwrap_or_default();
    match said("error") {
        Some(code) if code == "invalid_grant" => TokenError::InvalidGrant(words),
        Some(code) if !status.is_server_error() => TokenError::Refused { code, words },
        Some(_) | None if status.is_success() => {
            TokenError::Unavailable { words: "its answer holds no token".into(), never_sent: false }
        }
        Some(_) | None => {
            TokenError::Unavailable { words: format!("it answers {}", status.as_u16()), never_sent: false }
        }
    }
}
