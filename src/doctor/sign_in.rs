//! Signing in: the authorization code flow with PKCE, as far as the code.

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::SecretString;
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use super::SignIn;
use super::browser::{Halt, Returned};
use super::tour::{Code, Looked, Tour};
use super::wire::{is_here, readable};
use crate::name::cut;

/// A request to sign in.
struct Request {
    url: Url,
    state: String,
    verifier: String,
    redirect: Url,
}

pub(super) async fn look<P>(tour: &mut Tour<'_, P>) -> Looked {
    if matches!(tour.visit.sign_in, SignIn::Token(_)) {
        return Err("a token was given".into());
    }
    if tour.learned.issuer.is_none() {
        return Err("there is no sign-in server".into());
    }
    let Some(request) = request(tour) else { return Err("there is no client to sign in with".into()) };
    look_at_client_documents(tour).await;
    look_at_refusal(tour).await;
    match tour.sign_in(request.url.clone(), &request.redirect).await {
        Ok(returned) => {
            judge(tour, &request, &returned, true);
            match get(&returned, "code") {
                Some(code) => {
                    tour.learned.code = Some(Code { code: code.into(), verifier: request.verifier.into() });
                    Ok(format!("signed in and sent back to {}", request.redirect.host_str().unwrap_or_default()))
                }
                None => Ok(String::new()),
            }
        }
        Err(halt) => stopped(tour, halt),
    }
}

fn stopped<P>(tour: &mut Tour<'_, P>, halt: Halt) -> Looked {
    let who = tour.who();
    match halt {
        Halt::Person(what) => {
            tour.note(
                format!("the sign-in page asks for {what}, and none was given"),
                "nothing behind the sign-in could be looked at",
                "give --user and --password-stdin, or --code-stdin for a one-time code, or a token with --token-env",
            );
            Err("a person has to sign in".into())
        }
        Halt::NoForm(page) => {
            tour.note(
                format!("the sign-in page is no simple form: {page}"),
                "a browser with scripts, or a person, has to sign in there; nothing behind it could be looked at",
                "sign in elsewhere and give the token with --token-env",
            );
            Err("it takes a real browser".into())
        }
        Halt::Refused => {
            tour.error(
                "the sign-in page does not take what was given",
                "nothing behind the sign-in could be looked at",
                "check the user name and password, or the one-time code, and try again",
            );
            Ok(String::new())
        }
        Halt::Fault(fault) => {
            tour.error(
                format!("signing in fails: {fault}"),
                format!("people cannot connect {who}"),
                "look into the log of the sign-in server; often the client id or the return address is not accepted",
            );
            Ok(String::new())
        }
    }
}

/// One more code, for an experiment; none when that takes a person again.
pub(super) async fn another_code<P>(tour: &mut Tour<'_, P>) -> Option<Code> {
    let request = request(tour)?;
    let returned = tour.sign_in(request.url, &request.redirect).await.ok()?;
    Some(Code { code: get(&returned, "code")?.into(), verifier: request.verifier.into() })
}

fn request<P>(tour: &Tour<'_, P>) -> Option<Request> {
    let client = tour.learned.client.as_ref()?;
    let mut url = tour.learned.endpoint("authorization_endpoint")?;
    // Two random ids, without what would have to be escaped.
    let verifier = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    let challenge = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
    let state = Uuid::new_v4().simple().to_string();
    let scope = scope(tour);
    let resource = resource(tour);
    {
        let mut query = url.query_pairs_mut();
        query.append_pair("response_type", "code").append_pair("client_id", &client.id);
        query.append_pair("redirect_uri", &client.redirect).append_pair("state", &state);
        query.append_pair("code_challenge", &challenge).append_pair("code_challenge_method", "S256");
        query.append_pair("resource", &resource);
        if !scope.is_empty() {
            query.append_pair("scope", &scope);
        }
    }
    Some(Request { url, state, verifier, redirect: client.redirect.parse().ok()? })
}

/// What tokens are asked for: what the resource's metadata says, letter by letter.
pub(super) fn resource<P>(tour: &Tour<'_, P>) -> String {
    let said = tour.learned.resource.as_ref().and_then(|resource| resource.get("resource")?.as_str());
    said.map_or_else(|| tour.visit.url.to_string(), str::to_owned)
}

/// The scopes the clients ask for: the challenge's, else all the resource names; and to stay signed in.
pub(super) fn scope<P>(tour: &Tour<'_, P>) -> String {
    let words = |document: &Option<Value>| -> Vec<String> {
        let list = document.as_ref().and_then(|document| document.get("scopes_supported")?.as_array());
        list.into_iter().flatten().filter_map(|scope| scope.as_str().map(str::to_owned)).collect()
    };
    let mut scopes = match &tour.learned.wanted_scopes {
        Some(wanted) => wanted.split_ascii_whitespace().map(str::to_owned).collect(),
        None => words(&tour.learned.resource),
    };
    let stay = "offline_access".to_owned();
    if words(&tour.learned.issuer).contains(&stay) && !scopes.contains(&stay) {
        scopes.push(stay);
    }
    scopes.join(" ")
}

/// What every answer has to carry.
fn judge<P>(tour: &mut Tour<'_, P>, request: &Request, returned: &Returned, wanted: bool) {
    let who = tour.who();
    match get(returned, "state") {
        Some(state) if state == request.state => {}
        Some(_) => tour.error(
            "the sign-in server sends back another `state` than it was given",
            format!("{who} takes the answer for an attack and stops"),
            "send back `state` as it came",
        ),
        None => tour.error(
            "the sign-in server does not send back `state`",
            format!("{who} cannot tell whose sign-in it was and stops"),
            "add the `state` of the request to the answer, and to answers that say no",
        ),
    }
    let issuer = tour.learned.issuer_says("issuer").unwrap_or_default().to_owned();
    let named = tour.learned.resource.as_ref().and_then(|it| it.pointer("/authorization_servers/0")?.as_str());
    let named = named.map(str::to_owned);
    let announced =
        tour.learned.issuer.as_ref().and_then(|it| it.get("authorization_response_iss_parameter_supported"));
    let announced = announced.and_then(Value::as_bool) == Some(true);
    match get(returned, "iss") {
        None if announced => tour.error(
            "the sign-in server announces `iss` in its answers and does not send it",
            format!("{who} takes the answer for an attack and stops"),
            "send `iss` with every answer, those that say no included, or do not announce it",
        ),
        // Two names of its own were remarked on already.
        Some(iss) if iss != issuer && Some(&iss) != named.as_ref() => tour.error(
            format!("the sign-in server sends `iss` \"{}\", but calls itself \"{issuer}\"", readable(&cut(&iss, 200))),
            format!("{who} compares the two letter by letter and stops"),
            "send the same as `issuer` in the metadata",
        ),
        Some(_) if !announced => tour.warn(
            "the sign-in server sends `iss` and does not announce it",
            "clients do not rely on it then, and ChatGPT uses another return address for each connection",
            "add `\"authorization_response_iss_parameter_supported\": true` to the metadata",
        ),
        None | Some(_) => {}
    }
    if let Some(error) = get(returned, "error").filter(|_| wanted) {
        let more = get(returned, "error_description").map(|more| format!(", {more}")).unwrap_or_default();
        tour.error(
            format!("signing in ends with the error {}", readable(&cut(&format!("{error}{more}"), 300))),
            format!("people cannot connect {who}"),
            "look into the log of the sign-in server",
        );
    } else if wanted && get(returned, "code").is_none() {
        tour.error(
            "signing in ends without a code",
            format!("people cannot connect {who}"),
            "look into the log of the sign-in server",
        );
    }
}

/// A request without a challenge has to be refused, and the refusal has to look like every answer.
async fn look_at_refusal<P>(tour: &mut Tour<'_, P>) {
    let Some(mut request) = request(tour) else { return };
    let pairs: Vec<_> = request.url.query_pairs().into_owned().filter(|(name, _)| !name.starts_with("code_")).collect();
    request.url.query_pairs_mut().clear().extend_pairs(pairs);
    let Ok(answer) = tour.open(&request.url).await else { return };
    let Some(target) = answer.leads_to(&request.url) else { return };
    if target.origin() == request.redirect.origin() && target.path() == request.redirect.path() {
        let returned: Returned = target.query_pairs().into_owned().collect();
        judge(tour, &request, &returned, false);
    }
}

/// Whether the client is let in under the name it would use. The sign-in server reads that from the internet, so a
/// server at this machine is spared.
async fn look_at_client_documents<P>(tour: &mut Tour<'_, P>) {
    let says = |issuer: &Value| issuer.get("client_id_metadata_document_supported").and_then(Value::as_bool);
    let takes = tour.learned.issuer.as_ref().and_then(says) == Some(true);
    if !takes || tour.visit.client.is_some() || is_here(&tour.visit.url) {
        return;
    }
    let id = tour.guise().client_document();
    let Some(mut request) = request(tour) else { return };
    let pairs: Vec<_> = request.url.query_pairs().into_owned().collect();
    let named =
        pairs.into_iter().map(|(name, value)| if name == "client_id" { (name, id.to_owned()) } else { (name, value) });
    let named: Vec<_> = named.collect();
    request.url.query_pairs_mut().clear().extend_pairs(named);
    let Ok(answer) = tour.open(&request.url).await else { return };
    if answer.status >= 400 {
        let who = tour.who();
        tour.error(
            format!("the sign-in server announces client id documents and refuses {id}: {}", answer.summary()),
            format!("{who} comes with that name when they are announced, and does not try to register then"),
            "let the sign-in server read that address, or do not announce `client_id_metadata_document_supported`",
        );
    }
}

fn get(returned: &Returned, name: &str) -> Option<String> {
    returned.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone())
}

/// A secret out of what came back.
pub(super) fn secret_of(document: &Value, name: &str) -> Option<SecretString> {
    document.get(name)?.as_str().map(|secret| secret.to_owned().into())
}
