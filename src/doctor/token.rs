//! From the code to a token, and whether the token is the right one.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::register::ProvenBy;
use super::sign_in::{resource, scope, secret_of};
use super::tour::{Code, Looked, Tour};
use super::wire::{Answer, Wanted, is_safe, readable};
use crate::name::cut;

/// Shorter tokens make people notice, in seconds.
const SHORT: u64 = 300;

pub(super) async fn look<P>(tour: &mut Tour<'_, P>) -> Looked {
    let Some(code) = tour.learned.code.take() else { return Err("there is no code to exchange".into()) };
    look_at_wrong_verifier(tour).await;
    let who = tour.who();
    let answer = exchange(tour, &code, code.verifier.expose_secret()).await;
    // It is tried once more when the visit ends.
    tour.learned.code = Some(code);
    let document = match answer {
        Ok(answer) if answer.is_ok() => answer.json().unwrap_or_default(),
        Ok(answer) => return Ok(failed(tour, &answer.summary())),
        Err(reason) => return Ok(failed(tour, &reason)),
    };
    let Some(token) = secret_of(&document, "access_token") else {
        return Ok(failed(tour, "the answer has no `access_token`"));
    };
    if !document.get("token_type").and_then(Value::as_str).is_some_and(|kind| kind.eq_ignore_ascii_case("bearer")) {
        tour.error(
            "the token's `token_type` is not Bearer",
            format!("{who} does not know how to show it"),
            "answer `\"token_type\": \"Bearer\"`",
        );
    }
    tour.learned.refresh_token = secret_of(&document, "refresh_token");
    if tour.learned.refresh_token.is_none() {
        tour.warn(
            "no refresh token came with the token",
            "people have to sign in again whenever the token ends",
            "give out refresh tokens, to clients that ask for `offline_access` at least",
        );
    }
    let seconds = document.get("expires_in").and_then(Value::as_u64);
    if let Some(seconds) = seconds.filter(|seconds| *seconds < SHORT) {
        tour.warn(
            format!("the token is good for {seconds} seconds only"),
            "calls fail when it ends on the way, and clients ask for a new one all the time",
            "let tokens live for an hour",
        );
    }
    let granted = document.get("scope").and_then(Value::as_str).map_or_else(|| scope(tour), str::to_owned);
    tour.learned.scopes = granted.split_ascii_whitespace().map(str::to_owned).collect();
    judge_audience(tour, &token);
    tour.learned.token = Some(token);
    tour.learned.token_is_ours = true;
    Ok(seconds.map_or_else(|| "a token was given".into(), |seconds| format!("a token for {} minutes", seconds / 60)))
}

fn failed<P>(tour: &mut Tour<'_, P>, reason: &str) -> String {
    let who = tour.who();
    tour.error(
        format!("the code cannot be exchanged for a token: {reason}"),
        format!("people sign in, and {who} says that connecting failed"),
        "look into the log of the sign-in server",
    );
    String::new()
}

/// Exchanges a code.
pub(super) async fn exchange<P>(tour: &mut Tour<'_, P>, code: &Code, verifier: &str) -> Result<Answer, String> {
    let redirect = tour.learned.client.as_ref().map(|client| client.redirect.clone()).unwrap_or_default();
    let pairs = [
        ("grant_type", "authorization_code"),
        ("code", code.code.expose_secret()),
        ("redirect_uri", &redirect),
        ("code_verifier", verifier),
    ];
    ask(tour, &pairs).await
}

/// A request to the token endpoint, with what proves the client.
pub(super) async fn ask<P>(tour: &mut Tour<'_, P>, pairs: &[(&str, &str)]) -> Result<Answer, String> {
    let endpoint = tour.learned.endpoint("token_endpoint").filter(is_safe).ok_or("there is no token endpoint")?;
    let client = tour.learned.client.clone().ok_or("there is no client")?;
    let resource = resource(tour);
    let mut pairs = pairs.to_vec();
    pairs.push(("resource", &resource));
    let mut request = tour.wire.request(Method::POST, endpoint).header("Accept", "application/json");
    request = request.header("User-Agent", tour.guise().user_agent());
    match (client.method, &client.secret) {
        (ProvenBy::Basic, Some(secret)) => {
            request = request.basic_auth(escaped(&client.id), Some(escaped(secret.expose_secret())));
        }
        (ProvenBy::Post, Some(secret)) => {
            pairs.extend([("client_id", client.id.as_str()), ("client_secret", secret.expose_secret())]);
        }
        (ProvenBy::None | ProvenBy::Post | ProvenBy::Basic, _) => pairs.push(("client_id", &client.id)),
    }
    let request = request.form(&pairs);
    tour.wire.send(request, Wanted::All).await
}

/// As a form writes it, which Basic wants here (RFC 6749, 2.3.1).
fn escaped(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// A code must be worth nothing to somebody who has only seen it pass.
async fn look_at_wrong_verifier<P>(tour: &mut Tour<'_, P>) {
    let Some(code) = super::sign_in::another_code(tour).await else { return };
    let wrong = "wrong".repeat(10);
    let Ok(answer) = exchange(tour, &code, &wrong).await else { return };
    if answer.is_ok() {
        tour.error(
            "the sign-in server takes a code with a wrong PKCE verifier",
            "whoever sees a code pass can use it and act as the person who signed in",
            "check `code_verifier` against the challenge of the request",
        );
    }
}

/// The claims of a token that can be read.
pub(super) fn claims(token: &SecretString) -> Option<Value> {
    let mut parts = token.expose_secret().split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

fn judge_audience<P>(tour: &mut Tour<'_, P>, token: &SecretString) {
    let Some(claims) = claims(token) else { return };
    let resource = resource(tour);
    let audience = match claims.get("aud") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(many)) => many.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect(),
        Some(_) | None => Vec::new(),
    };
    // Whether the resource is named rightly is judged elsewhere.
    let bare = |text: &str| text.trim_end_matches('/').to_owned();
    let ours = [bare(&resource), bare(tour.visit.url.as_str())];
    let is_ours = |one: &String| ours.contains(&bare(one));
    if audience.is_empty() {
        tour.warn(
            "the token does not say what it is meant for (`aud`)",
            "a token for another service of the same sign-in server would count here too",
            format!("put {resource}, the `resource` of the request, into `aud`"),
        );
    } else if !audience.iter().any(is_ours) {
        tour.warn(
            format!("the token is meant for {}, not for {resource}", readable(&cut(&audience.join(", "), 200))),
            "a server that checks refuses it, and one that does not takes tokens of other services",
            "put the `resource` of the request into `aud`",
        );
    }
}
