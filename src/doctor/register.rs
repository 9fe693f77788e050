//! How the client makes itself known to the sign-in server.

use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};
use url::Url;

use super::tour::{Looked, Tour};
use super::wire::Wanted;
use super::{Guise, SignIn};

/// How a client proves itself at the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProvenBy {
    None,
    Post,
    Basic,
}

/// The client that we are at the sign-in server.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) id: String,
    pub(super) secret: Option<SecretString>,
    pub(super) method: ProvenBy,
    pub(super) redirect: String,
}

impl Guise {
    /// Where the client wants people sent back to, the one it uses first.
    pub(super) fn redirects(self, names_issuer: bool) -> [&'static str; 2] {
        let stable = "https://chatgpt.com/connector_platform_oauth_redirect";
        let single = "https://chatgpt.com/connector/oauth/SwitchboardDoctor";
        match self {
            Self::ChatGpt if names_issuer => [stable, single],
            Self::ChatGpt => [single, stable],
            Self::Claude => ["https://claude.ai/api/mcp/auth_callback", "https://claude.com/api/mcp/auth_callback"],
        }
    }

    /// The address at which the client describes itself.
    pub(super) fn client_document(self) -> &'static str {
        match self {
            Self::ChatGpt => "https://chatgpt.com/oauth/client.json",
            Self::Claude => "https://claude.ai/oauth/mcp-oauth-client-metadata",
        }
    }
}

pub(super) async fn look<P>(tour: &mut Tour<'_, P>) -> Looked {
    let Some(issuer) = &tour.learned.issuer else { return Err("there is no sign-in server to register at".into()) };
    let says = |name: &str| issuer.get(name).and_then(Value::as_bool) == Some(true);
    let cimd = says("client_id_metadata_document_supported");
    let redirects = tour.guise().redirects(says("authorization_response_iss_parameter_supported"));
    let redirect = redirects[0].to_owned();
    if let Some(known) = &tour.visit.client {
        let method = if known.secret.is_some() { ProvenBy::Post } else { ProvenBy::None };
        tour.learned.client = Some(Client { id: known.id.clone(), secret: known.secret.clone(), method, redirect });
        return Ok("the client was named".into());
    }
    let endpoint = tour.learned.endpoint("registration_endpoint");
    if matches!(tour.visit.sign_in, SignIn::Token(_)) {
        return Err("a token was given".into());
    }
    let Some(endpoint) = endpoint else {
        if cimd {
            let id = tour.guise().client_document().to_owned();
            tour.learned.client = Some(Client { id, secret: None, method: ProvenBy::None, redirect });
            return Ok("client id documents are taken".into());
        }
        return Err("nothing is offered".into());
    };
    register(tour, endpoint, redirects).await;
    Ok(if cimd { "client id documents are taken, and clients can register" } else { "clients can register" }.into())
}

async fn register<P>(tour: &mut Tour<'_, P>, endpoint: Url, redirects: [&str; 2]) {
    let who = tour.who();
    let wish = json!({
        "client_name": format!("Switchboard doctor, playing {who}"),
        "redirect_uris": redirects,
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "application_type": "web",
    });
    let request = tour.wire.request(Method::POST, endpoint).json(&wish);
    let fix = format!("let clients register with {} and {} as return addresses", redirects[0], redirects[1]);
    let answer = match tour.wire.send(request, Wanted::All).await {
        Ok(answer) => answer,
        Err(reason) => {
            tour.error(format!("registration fails: {reason}"), format!("{who} cannot connect"), fix);
            return;
        }
    };
    let document = answer.json().filter(|_| answer.is_ok()).unwrap_or_default();
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    let Some(id) = text("client_id") else {
        let why = format!("{who} registers itself in this way when it connects, and cannot go on");
        tour.error(format!("registration fails: {}", answer.summary()), why, fix);
        return;
    };
    let kept = document.get("redirect_uris").and_then(Value::as_array);
    if kept.is_some_and(|kept| redirects.iter().any(|wish| !kept.iter().any(|kept| kept == wish))) {
        tour.error(
            "registration does not keep the return addresses it was asked for",
            format!("after signing in, people are not sent back to {who}"),
            fix,
        );
    }
    let secret = text("client_secret").map(|secret| SecretString::from(secret.to_owned()));
    if secret.is_some() && document.get("client_secret_expires_at").and_then(Value::as_u64).unwrap_or(0) > 0 {
        tour.warn(
            "registered clients end after a while (`client_secret_expires_at`)",
            format!("{who} registers once for each connection, and then everybody has to connect again"),
            "let client secrets not expire",
        );
    }
    let method = match (&secret, text("token_endpoint_auth_method")) {
        (None, _) | (_, Some("none")) => ProvenBy::None,
        (Some(_), Some("client_secret_post")) => ProvenBy::Post,
        (Some(_), _) => ProvenBy::Basic,
    };
    tour.learned.client = Some(Client { id: id.to_owned(), secret, method, redirect: redirects[0].to_owned() });
}
