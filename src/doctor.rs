//! Visits an MCP server the way ChatGPT or Claude does, and says what would go wrong there.
//!
//! It speaks without any SDK of MCP: what is sent are the bytes those clients send. It works against anybody's
//! server, so everything it reads is bounded, no redirect is followed with a token, and no tool that writes is called.

use std::{fmt, sync::Arc};

use secrecy::SecretString;
use serde::Serialize;
use url::Url;

mod address;
mod browser;
mod call;
mod challenge;
mod cookies;
mod discover;
mod form;
mod initialize;
mod issuer;
mod lint;
mod list;
mod methods;
mod page;
mod probe;
mod refresh;
mod refusal;
mod register;
mod resource;
mod rpc;
mod schema;
mod sign_in;
mod step_up;
mod token;
mod tool;
mod tour;
mod wire;

pub use tour::{Mark, Step};

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Note,
    /// Works, but not always or not for everybody.
    Warning,
    /// Breaks.
    Error,
}

/// Something that was found, for a person who does not know MCP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The part of the visit it was found in.
    pub step: &'static str,
    /// What is the case.
    pub what: String,
    /// What comes of it.
    pub why: String,
    /// What to do.
    pub fix: String,
}

/// The client that is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guise {
    /// `ChatGPT`.
    ChatGpt,
    /// Claude.
    Claude,
}

/// Asks a person for a one-time code; none when there is nobody to ask.
pub type AskCode = Arc<dyn Fn() -> Option<SecretString> + Send + Sync>;

/// How the visitor signs in when it is asked to.
#[derive(Clone, Default)]
pub enum SignIn {
    /// It cannot.
    #[default]
    None,
    /// It does not, and shows this token or key.
    Token(SecretString),
    /// By a form, with a name and a password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: SecretString,
    },
    /// By a form, with a code that a person is told.
    Code(AskCode),
}

impl fmt::Debug for SignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Token(_) => "Token",
            Self::Password { .. } => "Password",
            Self::Code(_) => "Code",
        })
    }
}

/// A client that is known at the sign-in server already.
#[derive(Debug, Clone)]
pub struct KnownClient {
    /// Its id.
    pub id: String,
    /// What proves it; none for a public client.
    pub secret: Option<SecretString>,
}

/// A visit to one server.
#[derive(Debug, Clone)]
pub struct Visit {
    /// The address that people type into the client.
    pub url: Url,
    /// Who is played.
    pub guise: Guise,
    /// How it signs in.
    pub sign_in: SignIn,
    /// The client to be, instead of one that registers itself.
    pub client: Option<KnownClient>,
}

impl Guise {
    /// The client's name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::ChatGpt => "ChatGPT",
            Self::Claude => "Claude",
        }
    }
}

/// Makes the visit. `progress` is told of each step as it ends. Fails when this machine has no usable TLS roots.
pub async fn visit(visit: &Visit, progress: impl FnMut(&Step)) -> Result<Vec<Finding>, String> {
    let mut tour = tour::Tour::new(visit, progress)?;
    if tour.step("address", address::look).await == Mark::Failed && tour.learned.opening.is_none() {
        return Ok(tour.findings);
    }
    tour.step("sign-in offer", challenge::look).await;
    tour.step("resource metadata", resource::look).await;
    tour.step("sign-in server", issuer::look).await;
    tour.step("registration", register::look).await;
    tour.step("sign-in", sign_in::look).await;
    tour.step("token", token::look).await;
    tour.step("refusals", refusal::look).await;
    tour.step("empty requests", probe::look).await;
    tour.step("discovery", discover::look).await;
    tour.step("older handshake", initialize::look).await;
    tour.step("other methods", methods::look).await;
    tour.step("tools", list::look).await;
    tour.step("pages", page::look).await;
    tour.step("calls", call::look).await;
    tour.step("step-up", step_up::look).await;
    tour.step("renewal", refresh::look).await;
    tour.step("speed", wire::look).await;
    Ok(tour.findings)
}
