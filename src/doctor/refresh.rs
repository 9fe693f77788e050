//! Getting a new token without a person, and the end of the visit: what was given is given back.

use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::rpc::Proof;
use super::sign_in::secret_of;
use super::token::{ask, exchange};
use super::tour::{Looked, Tour};
use super::wire::{Wanted, is_safe};

pub(super) async fn look<P>(tour: &mut Tour<'_, P>) -> Looked {
    if !tour.learned.token_is_ours {
        return Err("no token was given to us".into());
    }
    let renewed = match tour.learned.refresh_token.clone() {
        Some(first) => renew(tour, &first).await,
        None => "there is no refresh token".into(),
    };
    replay_code(tour).await;
    give_back(tour).await;
    Ok(renewed)
}

async fn renew<P>(tour: &mut Tour<'_, P>, first: &SecretString) -> String {
    let who = tour.who();
    let answer = refresh(tour, first).await;
    let document = answer.as_ref().ok().filter(|answer| answer.is_ok()).and_then(super::wire::Answer::json);
    let Some(token) = document.as_ref().and_then(|document| secret_of(document, "access_token")) else {
        let reason = answer.map_or_else(|reason| reason, |answer| answer.summary());
        tour.error(
            format!("the refresh token does not work: {reason}"),
            format!("{who} loses the connection when the first token ends, and people have to sign in again"),
            "look into the log of the sign-in server",
        );
        return String::new();
    };
    let next = document.as_ref().and_then(|document| secret_of(document, "refresh_token"));
    tour.learned.token = Some(token);
    let answer = tour.say_discover(Proof::Ours).await;
    if answer.is_ok_and(|answer| answer.status == 401) {
        tour.error(
            "the token that came by the refresh token is refused",
            format!("{who} loses the connection when the first token ends"),
            "make sure that renewed tokens have the same audience and scopes",
        );
    }
    let Some(next) = next else { return "a new token came; the refresh token stays".into() };
    // An answer that was lost on the way makes the client ask again with what it has.
    let again = refresh(tour, first).await;
    if again.is_ok_and(|answer| answer.status == 400) {
        let still = refresh(tour, &next).await.is_ok_and(|answer| answer.is_ok());
        let ends = if still { "" } else { ", and the new one ends too" };
        tour.warn(
            format!("a refresh token that was used a moment ago is refused{ends}"),
            format!("when an answer gets lost, or two parts of {who} renew at once, people have to sign in again"),
            "answer the same once more for a minute",
        );
        return "a new token came".into();
    }
    tour.learned.refresh_token = Some(next);
    "a new token came, and asking twice did no harm".into()
}

async fn refresh<P>(tour: &mut Tour<'_, P>, token: &SecretString) -> Result<super::wire::Answer, String> {
    ask(tour, &[("grant_type", "refresh_token"), ("refresh_token", token.expose_secret())]).await
}

/// A code counts once.
async fn replay_code<P>(tour: &mut Tour<'_, P>) {
    let Some(code) = tour.learned.code.take() else { return };
    let answer = exchange(tour, &code, code.verifier.expose_secret()).await;
    if answer.is_ok_and(|answer| answer.is_ok()) {
        tour.error(
            "the sign-in server takes the same code twice",
            "whoever finds a used code, in a log or a browser's history, can use it",
            "let each code count once",
        );
    }
}

async fn give_back<P>(tour: &mut Tour<'_, P>) {
    let Some(endpoint) = tour.learned.endpoint("revocation_endpoint").filter(is_safe) else { return };
    let Some(client) = tour.learned.client.clone() else { return };
    for token in [tour.learned.refresh_token.take(), tour.learned.token.take()].into_iter().flatten() {
        let mut pairs = vec![("token", token.expose_secret()), ("client_id", client.id.as_str())];
        pairs.extend(client.secret.as_ref().map(|secret| ("client_secret", secret.expose_secret())));
        let request = tour.wire.request(Method::POST, endpoint.clone()).form(&pairs);
        let _: Option<Value> = tour.wire.send(request, Wanted::All).await.ok().and_then(|answer| answer.json());
    }
}
