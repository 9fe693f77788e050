//! What the sign-in server says of itself (RFC 8414, `OpenID` Connect discovery).

use serde_json::Value;
use url::Url;

use super::resource::with_path;
use super::tour::{Looked, Tour};
use super::wire::{is_safe, plain};
use super::{Guise, Severity};

pub(super) async fn look<P>(tour: &mut Tour<'_, P>) -> Looked {
    let Some(resource) = &tour.learned.resource else { return Err("there is none".into()) };
    let named = resource.pointer("/authorization_servers/0").and_then(Value::as_str).map(str::to_owned);
    let Some(named) = named else { return Err("none is named".into()) };
    let Ok(url) = Url::parse(&named) else { return Err("its name is no address".into()) };
    let mut tried = Vec::new();
    for place in places(&url) {
        let answer = tour.wire.get(place.clone()).await;
        let document = answer.as_ref().ok().filter(|answer| answer.is_ok()).and_then(super::wire::Answer::json);
        if let Some(document @ Value::Object(_)) = document {
            judge(tour, &named, &document);
            tour.learned.issuer = Some(document);
            return Ok(format!("read at {}", plain(&place)));
        }
        tried.push(format!("{} ({})", plain(&place), answer.map_or_else(|reason| reason, |answer| answer.summary())));
    }
    tour.error(
        format!("the sign-in server says nothing of itself at {}", tried.join(", ")),
        format!("{} cannot sign in", tour.who()),
        "check the address in `authorization_servers`; the sign-in server has to serve its metadata at one of these places",
    );
    Ok(String::new())
}

/// Where the metadata may be, in the order clients look.
fn places(issuer: &Url) -> Vec<Url> {
    let path = issuer.path().trim_end_matches('/');
    let at = |path: String| with_path(issuer, &path);
    let mut places = vec![
        at(format!("/.well-known/oauth-authorization-server{path}")),
        at(format!("/.well-known/openid-configuration{path}")),
    ];
    if !path.is_empty() {
        places.push(at(format!("{path}/.well-known/openid-configuration")));
    }
    places
}

fn judge<P>(tour: &mut Tour<'_, P>, named: &str, document: &Value) {
    let who = tour.who();
    let issuer = document.get("issuer").and_then(Value::as_str).unwrap_or_default();
    if issuer != named {
        tour.error(
            format!("the sign-in server calls itself \"{issuer}\", but is named \"{named}\""),
            format!("{who} compares the two letter by letter, a slash at the end included, and refuses to go on"),
            "write the same into `issuer` of the sign-in server and `authorization_servers` of the resource metadata",
        );
    }
    for name in ["authorization_endpoint", "token_endpoint", "registration_endpoint"] {
        match document.get(name).and_then(Value::as_str).map(|text| (text, Url::parse(text))) {
            None if name == "registration_endpoint" => {}
            None => tour.error(
                format!("the sign-in server's metadata has no `{name}`"),
                format!("{who} cannot sign in"),
                "add its address to the metadata",
            ),
            Some((_, Ok(url))) if is_safe(&url) => {}
            Some((text, _)) => tour.error(
                format!("the sign-in server's `{name}` is not an https address: {text}"),
                format!("{who} does not go there"),
                "give the sign-in server its public https address",
            ),
        }
    }
    let list = |name: &str| document.get(name).and_then(Value::as_array);
    let has = |name: &str, word: &str| list(name).is_some_and(|list| list.iter().any(|it| it == word));
    if !has("code_challenge_methods_supported", "S256") {
        tour.error(
            "the sign-in server does not say that it supports PKCE with S256",
            format!("{who} refuses sign-in servers that do not"),
            "add `\"code_challenge_methods_supported\": [\"S256\"]` to its metadata, and check the challenge",
        );
    }
    if list("response_types_supported").is_some() && !has("response_types_supported", "code") {
        tour.error(
            "the sign-in server does not offer the response type `code`",
            format!("{who} knows no other way to sign in"),
            "switch on the authorization code flow",
        );
    }
    if list("grant_types_supported").is_some() && !has("grant_types_supported", "refresh_token") {
        tour.warn(
            "the sign-in server does not offer refresh tokens",
            "people have to sign in again whenever a token ends",
            "switch on the grant type `refresh_token`",
        );
    }
    judge_clients(tour, document);
}

/// Whether a client nobody has heard of can come in.
fn judge_clients<P>(tour: &mut Tour<'_, P>, document: &Value) {
    let who = tour.who();
    let says = |name: &str| document.get(name).and_then(Value::as_bool) == Some(true);
    let cimd = says("client_id_metadata_document_supported");
    let registers = document.get("registration_endpoint").is_some();
    if !cimd && !registers && tour.visit.client.is_none() {
        tour.error(
            "the sign-in server takes no clients it does not know: neither client id documents nor registration",
            format!("{who} cannot connect, unless somebody types a client id into it"),
            "switch on client id metadata documents (CIMD) or dynamic registration; or register the client by hand, type \
             its id into the client, and give it here with --client-id",
        );
    }
    let methods = document.get("token_endpoint_auth_methods_supported").and_then(Value::as_array);
    let has = |words: &[&str]| {
        methods.is_none_or(|methods| methods.iter().filter_map(Value::as_str).any(|it| words.contains(&it)))
    };
    match tour.guise() {
        Guise::Claude if cimd && (methods.is_none() || !has(&["none"])) => tour.warn(
            "the sign-in server's `token_endpoint_auth_methods_supported` lacks `none`",
            "Claude then does not use client id documents and registers itself each time",
            "add `none` to the list, for clients without a secret",
        ),
        Guise::ChatGpt if !has(&["none", "private_key_jwt", "client_secret_post", "client_secret_basic"]) => tour
            .error(
                "the sign-in server wants a proof of the client that ChatGPT cannot give",
                "ChatGPT knows none, private_key_jwt, client_secret_post and client_secret_basic",
                "allow one of these in `token_endpoint_auth_methods_supported`",
            ),
        Guise::Claude | Guise::ChatGpt => {}
    }
    if tour.is_chatgpt() && !says("authorization_response_iss_parameter_supported") {
        tour.found(
            Severity::Note,
            "the sign-in server does not announce `iss` in its answers (RFC 9207)",
            "ChatGPT then uses another return address for each connection",
            "if it sends `iss`, add `\"authorization_response_iss_parameter_supported\": true` to its metadata",
        );
    }
}
