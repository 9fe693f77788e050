//! The routes of our own issuer: what clients ask it, and the pages people sign in and agree on.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequestParts, RawQuery, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode, Uri,
    header::{
        ALLOW, AUTHORIZATION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HOST, LOCATION, ORIGIN, PRAGMA,
        REFERRER_POLICY, RETRY_AFTER, SET_COOKIE, WWW_AUTHENTICATE, X_FRAME_OPTIONS,
    },
    request::Parts,
};
use serde_json::Value;

use super::{guard::Visitor, reply};
use crate::auth::{Answer, Issuer, Page, Parameters, issuer::Visit};

/// The largest request. All of them are small.
const MAX_BODY: usize = 64 << 10;
const OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// All routes of the issuer.
pub fn routes(issuer: Arc<Issuer>) -> Router {
    Router::new()
        .route("/.well-known/oauth-authorization-server", get(metadata))
        .route("/.well-known/openid-configuration", get(openid))
        .route("/oauth/jwks", get(jwks))
        .route("/oauth/authorize", get(authorize).post(authorize_by_form).head(no_head))
        .route("/oauth/sign-in", get(sign_in_page).post(sign_in))
        .route("/oauth/consent", get(consent_page).post(consent))
        .route("/oauth/token", post(token))
        .route("/oauth/register", post(register))
        .route("/oauth/revoke", post(revoke))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(issuer)
}

/// The issuer's metadata where its own path stands behind (RFC 8414), and not before.
pub(super) fn at_root(issuer: Arc<Issuer>, prefix: &str) -> Router {
    Router::new()
        .route(&format!("/.well-known/oauth-authorization-server{prefix}"), get(metadata))
        .route(&format!("/.well-known/openid-configuration{prefix}"), get(openid))
        .with_state(issuer)
}

async fn metadata(State(issuer): State<Arc<Issuer>>) -> Response {
    reply::json(StatusCode::OK, issuer.metadata().to_string())
}

async fn openid(State(issuer): State<Arc<Issuer>>) -> Response {
    reply::json(StatusCode::OK, issuer.openid_metadata().to_string())
}

async fn jwks(State(issuer): State<Arc<Issuer>>) -> Response {
    reply::json(StatusCode::OK, issuer.jwks().await.to_string())
}

/// Who makes a request of a page, as far as the headers and the guard know.
pub(super) struct Guest {
    pub(super) cookies: String,
    address: String,
    navigates: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Guest {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let headers = &parts.headers;
        // HTTP/2 may send each cookie in a header of its own.
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        // Programs say neither; browsers say both.
        let is = |name: &HeaderName, word: &str| headers.get(name).is_none_or(|value| value == word);
        Ok(Self {
            cookies: cookies.collect::<Vec<_>>().join("; "),
            address: parts.extensions.get::<Visitor>().map(|it| format!("{:?}", it.address)).unwrap_or_default(),
            navigates: is(&FETCH_DEST, "document") && is(&FETCH_MODE, "navigate"),
        })
    }
}

impl Guest {
    pub(super) fn visit(&self) -> Visit<'_> {
        Visit { cookies: &self.cookies, address: &self.address, navigates: self.navigates }
    }
}

async fn authorize(State(issuer): State<Arc<Issuer>>, RawQuery(query): RawQuery, guest: Guest) -> Response {
    respond(issuer.authorize(&of_query(query), guest.visit()).await)
}

/// Nobody asks for access by looking whether that could be done.
async fn no_head() -> impl IntoResponse {
    (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET, POST")])
}

/// A client may send what it asks for by a form of its own page too, so this form may come from anywhere the guard
/// lets it come from.
async fn authorize_by_form(
    State(issuer): State<Arc<Issuer>>,
    guest: Guest,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    // Only a page that a person goes to by itself shows a code.
    let visit = Visit { navigates: false, ..guest.visit() };
    match form(&headers, &body) {
        Some(form) => respond(issuer.authorize(&form, visit).await),
        None => respond(issuer.foreign()),
    }
}

async fn sign_in_page(State(issuer): State<Arc<Issuer>>, RawQuery(query): RawQuery, guest: Guest) -> Response {
    respond(issuer.sign_in_page(&of_query(query), guest.visit()).await)
}

async fn sign_in(State(issuer): State<Arc<Issuer>>, guest: Guest, headers: HeaderMap, body: Bytes) -> Response {
    match own_form(issuer.base(), &headers, &body) {
        Some(form) => respond(issuer.sign_in(&form, guest.visit()).await),
        None => respond(issuer.foreign()),
    }
}

async fn consent_page(State(issuer): State<Arc<Issuer>>, RawQuery(query): RawQuery, guest: Guest) -> Response {
    respond(issuer.consent_form(&of_query(query), guest.visit()).await)
}

async fn consent(State(issuer): State<Arc<Issuer>>, guest: Guest, headers: HeaderMap, body: Bytes) -> Response {
    match own_form(issuer.base(), &headers, &body) {
        Some(form) => respond(issuer.consent(&form, guest.visit()).await),
        None => respond(issuer.foreign()),
    }
}

async fn token(State(issuer): State<Arc<Issuer>>, headers: HeaderMap, body: Bytes) -> Response {
    let Some(form) = form(&headers, &body) else { return respond(issuer.formless()) };
    respond(issuer.token(&form, authorization(&headers)).await)
}

async fn revoke(State(issuer): State<Arc<Issuer>>, headers: HeaderMap, body: Bytes) -> Response {
    let Some(form) = form(&headers, &body) else { return respond(issuer.formless()) };
    respond(issuer.revoke(&form, authorization(&headers)).await)
}

async fn register(State(issuer): State<Arc<Issuer>>, body: Bytes) -> Response {
    respond(issuer.register(&body).await)
}

pub(super) fn of_query(query: Option<String>) -> Parameters {
    Parameters::parse(query.unwrap_or_default().as_bytes())
}

/// A form, if the request is one.
fn form(headers: &HeaderMap, body: &[u8]) -> Option<Parameters> {
    let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?.split(';').next()?.trim();
    kind.eq_ignore_ascii_case("application/x-www-form-urlencoded").then(|| Parameters::parse(body))
}

/// A form that a page of ours sent. A browser says where a form comes from; a program need not.
pub(super) fn own_form(base: &str, headers: &HeaderMap, body: &[u8]) -> Option<Parameters> {
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let site = text(&FETCH_SITE).is_none_or(|site| matches!(site, "same-origin" | "none"));
    let origin = text(&ORIGIN).is_none_or(|origin| {
        let public = origin_of(base).is_some_and(|own| own == origin);
        let here = origin.split_once("://").is_some_and(|(_, authority)| Some(authority) == text(&HOST));
        public || here
    });
    if site && origin { form(headers, body) } else { None }
}

/// Scheme, host and port of an address.
fn origin_of(address: &str) -> Option<String> {
    let address: Uri = address.parse().ok()?;
    Some(format!("{}://{}", address.scheme_str()?, address.authority()?))
}

fn authorization(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()
}

/// The answer as HTTP. No cache keeps it, and no page of others frames it.
pub(super) fn respond(answer: Answer) -> Response {
    match answer {
        Answer::Page(page) => shown(page),
        Answer::Go { to, cookie } => {
            let mut response = reply::html("");
            *response.status_mut() = StatusCode::SEE_OTHER;
            set(&mut response, LOCATION, &to);
            protect(&mut response, cookie);
            response
        }
        Answer::Json { status, body, basic } => told(status, &body, basic),
    }
}

fn shown(page: Page) -> Response {
    let mut response = reply::html(page.html);
    *response.status_mut() = page.status;
    set(&mut response, CONTENT_SECURITY_POLICY, &page.policy);
    protect(&mut response, page.cookie);
    response
}

fn told(status: StatusCode, body: &Value, basic: bool) -> Response {
    let mut response = reply::json(status, body.to_string());
    let headers = response.headers_mut();
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    if basic {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"switchboard\""));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}

/// What every page and every way to another one says to browsers.
fn protect(response: &mut Response, cookie: Option<String>) {
    let headers = response.headers_mut();
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    // Clients open these pages in a window that has to find back to them.
    headers.insert(OPENER, HeaderValue::from_static("unsafe-none"));
    // Without one, browsers would not say where our own forms come from.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    if let Some(cookie) = cookie {
        set(response, SET_COOKIE, &cookie);
    }
}

fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().insert(name, value);
    }
}
