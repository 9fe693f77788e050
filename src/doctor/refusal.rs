//! What the server does with tokens that are none.

use secrecy::ExposeSecret as _;

use super::challenge::Challenge;
use super::rpc::{MODERN, Proof, Reply, reply_in};
use super::tour::{Looked, Tour};
use super::wire::{Answer, Wanted};

pub(super) async fn look<P>(tour: &mut Tour<'_, P>) -> Looked {
    if tour.learned.is_open() && !tour.learned.has_oauth() {
        return Err("the server is open to everybody".into());
    }
    let mut tried = vec!["a made-up one"];
    let made_up = tour.say_discover(Proof::Token("made-up-by-switchboard-doctor")).await;
    let counts = made_up.as_ref().is_ok_and(Answer::is_ok);
    let before = tour.findings.len();
    judge(tour, made_up, "a made-up token", false);
    let warned = tour.findings.len() > before;
    if let Some(token) = tour.learned.token.clone().filter(|_| tour.learned.token_is_ours && !counts) {
        if let Some(forged) = forged(token.expose_secret()) {
            tried.push("a forged one");
            let answer = tour.say_discover(Proof::Token(&forged)).await;
            judge(tour, answer, "a token with a forged signature", warned);
        }
        if !tour.learned.is_open() {
            tried.push("one in the address");
            look_at_query(tour, token.expose_secret()).await;
        }
    }
    Ok(format!("tried {}", tried.join(", ")))
}

/// Says what is wrong with an answer; `known` when the words of a refusal were found wanting already.
fn judge<P>(tour: &mut Tour<'_, P>, answer: Result<Answer, String>, token: &str, known: bool) {
    let Ok(answer) = answer else { return };
    let who = tour.who();
    match answer.status {
        401 => {
            let says = Challenge::of(&answer).and_then(|challenge| challenge.get("error").map(str::to_owned));
            let signs = tour.learned.is_challenged() || tour.learned.is_open();
            if signs && !known && says.as_deref() != Some("invalid_token") {
                tour.warn(
                    format!("the answer to {token} does not say `error=\"invalid_token\"`"),
                    format!("{who} may not see that the token has ended, and asks nobody to sign in again"),
                    "add `error=\"invalid_token\"` to the `WWW-Authenticate` header of that answer",
                );
            }
        }
        200..300 if tour.learned.is_open() => tour.warn(
            format!("{token} is answered as if nothing had been shown"),
            format!("{who} does not learn that a token has ended, and calls without it"),
            "answer 401 to a token that does not count, even where none is needed",
        ),
        200..300 => tour.error(
            format!("{token} is accepted"),
            "anybody can use the server",
            "check the signature, the issuer, the audience and the end of every token",
        ),
        status => tour.error(
            format!("{token} is answered with HTTP {status} instead of 401"),
            format!("only 401 makes {who} get a new token or ask to sign in again"),
            "answer HTTP 401 with a `WWW-Authenticate: Bearer` header",
        ),
    }
}

/// A token of the same form whose signature does not fit.
fn forged(token: &str) -> Option<String> {
    let (head, signature) = token.rsplit_once('.').filter(|(head, _)| head.contains('.'))?;
    // The first character, because the last may hold bits that do not count.
    let first = signature.chars().next()?;
    let other = if first == 'A' { 'B' } else { 'A' };
    Some(format!("{head}.{other}{}", signature.get(1..)?))
}

/// A token in an address ends up in logs.
async fn look_at_query<P>(tour: &mut Tour<'_, P>, token: &str) {
    let mut url = tour.visit.url.clone();
    url.query_pairs_mut().append_pair("access_token", token);
    let request = tour.wire.request(reqwest::Method::POST, url).header("Content-Type", "application/json");
    let request = request.header("Accept", "application/json, text/event-stream").body(tour.guise().discover());
    let request = request.header("MCP-Protocol-Version", MODERN).header("Mcp-Method", "server/discover");
    let request = tour.dressed(request, Proof::Nothing);
    let Ok(answer) = tour.wire.send(request, Wanted::All).await else { return };
    if answer.is_ok() && matches!(reply_in(&answer), Reply::Result(_)) {
        tour.warn(
            "a token in the address (`?access_token=`) is accepted",
            "addresses are written into logs and shown to others, and the token with them",
            "take tokens from the `Authorization` header only",
        );
    }
}
