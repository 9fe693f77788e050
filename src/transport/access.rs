//! Who sent a request, and what is answered to who may not.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::response::Response;
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{AUTHORIZATION, RETRY_AFTER, USER_AGENT, WWW_AUTHENTICATE},
};
use rmcp::model::{ErrorCode, ErrorData};
use serde_json::value::RawValue;

use super::desk;
use super::guard::Visitor;
use super::reply::{self, Code};
use super::strangers::{Address, Strangers, Work};
use crate::auth::{Auth, Denied, Refused, password};
use crate::caller::Caller;
use crate::catalog::{Viewer, view::View};
use crate::error::{Challenge, Error};
use crate::gateway::Gateway;
use crate::params::Params;
use crate::protocol::{INSUFFICIENT_SCOPE, Server};

/// What a browser says of the page that makes a request.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The code of RFC 6750 for a proof that does not count.
const INVALID_TOKEN: &str = "invalid_token";
/// When to try again while a proof cannot be checked, in seconds.
const SOON: HeaderValue = HeaderValue::from_static("5");

/// Lets callers in.
#[derive(Debug, Clone)]
pub(super) struct Access {
    auth: Arc<Auth>,
    strangers: Arc<Strangers>,
    /// Whether tokens could not be checked when that was last tried.
    unsure: Arc<AtomicBool>,
    /// Knows in whose name we speak.
    gateway: Arc<Gateway>,
}

impl Access {
    pub(super) fn new(auth: Arc<Auth>, strangers: Arc<Strangers>, gateway: Arc<Gateway>) -> Self {
        Self { auth, strangers, unsure: Arc::default(), gateway }
    }

    /// In whose name we speak.
    pub(super) fn brand(&self) -> String {
        self.gateway.live().brand().to_owned()
    }

    /// Whether this is the key of somebody who may see everything.
    pub(super) fn is_operator(&self, shown: &str) -> bool {
        self.auth.is_operator(shown)
    }

    /// The answer to somebody who shows wrong proofs too often.
    pub(super) fn slow_down(&self, address: Address) -> Option<Response> {
        self.strangers.refusal(Work::Proof, address)
    }

    /// Whether what a long stream was opened with still counts, and for the same caller.
    pub(super) async fn is_still(&self, server: &Server, caller: &Caller, headers: &HeaderMap) -> bool {
        let Caller::Known(before) = caller else { return true };
        match self.auth.identify(headers, &server.key_headers(), false).await {
            Ok(Caller::Known(now)) => now.id() == before.id(),
            // What cannot be told now is told later.
            Err(Refused::Denied(Denied::Unavailable(_))) => true,
            Ok(Caller::Anonymous { .. } | Caller::Local) | Err(_) => false,
        }
    }

    /// Who sent a request, or the answer to somebody who has to show more.
    pub(super) async fn caller(
        &self,
        server: &Server,
        visitor: Visitor,
        headers: &HeaderMap,
    ) -> Result<Caller, Box<Response>> {
        // What a browser adds by itself says nothing of who wrote the page.
        let said = headers.get(AUTHORIZATION).and_then(|said| said.to_str().ok());
        if visitor.foreign && said.and_then(password).is_some() {
            let message = "pages of other origins may not use what the browser knows of this server";
            return Err(Box::new(reply::error(StatusCode::FORBIDDEN, Code::InvalidRequest, message)));
        }
        let strained = self.strangers.is_strained(visitor.address);
        let refused = match self.auth.identify(headers, &server.key_headers(), strained).await {
            Ok(caller) => {
                if self.unsure.load(Ordering::Relaxed) && self.unsure.swap(false, Ordering::Relaxed) {
                    tracing::info!("tokens can be checked again");
                }
                return Ok(caller);
            }
            Err(refused) => refused,
        };
        let challenge = Challenge { known: false, scopes: self.auth.scopes().to_vec() };
        let metadata = server.sign_in_at();
        Err(Box::new(match refused {
            Refused::Nothing => {
                let message = "authentication required: show `Authorization: Bearer` and a token or an API key";
                let mut response = unauthorized(message, &challenge.header(metadata, None));
                // The dashboard calls tools, and its browser has the key as a password.
                if headers.get(FETCH_SITE).is_some_and(|site| site == "same-origin") {
                    response.headers_mut().append(WWW_AUTHENTICATE, desk::BASIC);
                }
                response
            }
            Refused::Ambiguous => {
                let message = "the request shows two different keys or tokens; show one";
                reply::error(StatusCode::BAD_REQUEST, Code::InvalidRequest, message)
            }
            // Who guesses is slowed down, and who shows what counts is not.
            Refused::Denied(Denied::Invalid(message)) => match self.slow_down(visitor.address) {
                Some(refusal) => refusal,
                None => unauthorized(&message, &challenge.header(metadata, Some((INVALID_TOKEN, &message)))),
            },
            Refused::Strained => super::strangers::too_many(SOON),
            Refused::Denied(Denied::Unavailable(reason)) => {
                if !self.unsure.swap(true, Ordering::Relaxed) {
                    tracing::warn!("tokens cannot be checked: {reason}");
                }
                let message = "the token cannot be checked now; try again soon";
                let mut response = reply::error(StatusCode::SERVICE_UNAVAILABLE, Code::Internal, message);
                response.headers_mut().insert(RETRY_AFTER, SOON);
                response
            }
        }))
    }
}

fn unauthorized(message: &str, challenge: &str) -> Response {
    let error = reply::error(StatusCode::UNAUTHORIZED, Code::InvalidRequest, message);
    challenged(error, challenge)
}

fn challenged(mut response: Response, challenge: &str) -> Response {
    if let Ok(challenge) = HeaderValue::try_from(challenge) {
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

/// The answer to a caller who lacks what a request takes and could get it. `ChatGPT` reads that in the tool's result,
/// every other client in the status.
pub(super) fn step_up(
    server: &Server,
    (caller, view): (&Caller, &View),
    headers: &HeaderMap,
    id: Option<&RawValue>,
    (method, params): (&str, &Params),
) -> Option<Response> {
    if caller.is_unlimited() {
        return None;
    }
    let metadata = server.sign_in_at()?;
    let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    if method == "tools/call" && Viewer::named(agent) == Viewer::ChatGpt {
        return None;
    }
    let error: Error = server.refusal(caller, (method, params), view)?;
    let challenge = error.challenge()?;
    let status = if challenge.known { StatusCode::FORBIDDEN } else { StatusCode::UNAUTHORIZED };
    let code = ErrorCode(Code::InvalidRequest as i32);
    let body = reply::error_to(status, id, &ErrorData::new(code, error.message().to_owned(), None));
    Some(challenged(body, &challenge.header(Some(metadata), Some((INSUFFICIENT_SCOPE, error.message())))))
}
