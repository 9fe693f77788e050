//! One visit under way: what was learned so far, and what was found.

use std::collections::BTreeSet;

use secrecy::SecretString;
use serde_json::Value;
use url::Url;

use super::browser::Browser;
use super::challenge::Challenge;
use super::register::Client;
use super::wire::{Answer, Wire};
use super::{Finding, Guise, Severity, Visit};

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It was not taken.
    Skipped,
    /// Nothing is wrong.
    Passed,
    /// Something is not as it should be.
    Warned,
    /// Something breaks.
    Failed,
}

/// A step that was taken, or why not.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its name.
    pub name: &'static str,
    /// How it went.
    pub mark: Mark,
    /// What was seen, in a few words.
    pub remark: String,
}

/// What a step has seen, in a few words; or why it was left out.
pub(super) type Looked = Result<String, String>;

/// A visit under way.
pub(super) struct Tour<'a, P> {
    pub(super) visit: &'a Visit,
    pub(super) wire: Wire,
    pub(super) browser: Browser,
    pub(super) learned: Learned,
    pub(super) findings: Vec<Finding>,
    step: &'static str,
    progress: P,
}

/// What earlier steps learned for later ones.
#[derive(Debug, Default)]
pub(super) struct Learned {
    /// What the first request, without any token, was answered.
    pub(super) opening: Option<Answer>,
    /// Where the challenge says that the resource's metadata is.
    pub(super) metadata_at: Option<Url>,
    /// The scopes the challenge asks for.
    pub(super) wanted_scopes: Option<String>,
    /// The resource's metadata.
    pub(super) resource: Option<Value>,
    /// The sign-in server's metadata.
    pub(super) issuer: Option<Value>,
    pub(super) client: Option<Client>,
    /// The code and its verifier, before they are exchanged.
    pub(super) code: Option<Code>,
    /// What proves us.
    pub(super) token: Option<SecretString>,
    /// Whether we were given that token for this visit, so that we may risk it.
    pub(super) token_is_ours: bool,
    pub(super) refresh_token: Option<SecretString>,
    /// The scopes of the token.
    pub(super) scopes: BTreeSet<String>,
    /// Whether it speaks 2026-07-28.
    pub(super) modern: bool,
    /// Whether it speaks an older version.
    pub(super) legacy: bool,
    /// The session without which it answers nothing in an older version.
    pub(super) session: Option<String>,
    pub(super) tools: Vec<Value>,
}

/// A code, and what it takes to exchange it.
#[derive(Debug)]
pub(super) struct Code {
    pub(super) code: SecretString,
    pub(super) verifier: SecretString,
}

impl Learned {
    /// Whether the server answers people who show nothing.
    pub(super) fn is_open(&self) -> bool {
        self.opening.as_ref().is_some_and(|opening| !matches!(opening.status, 401 | 403))
    }

    /// Whether the server tells people who show nothing to sign in, in the way of OAuth.
    pub(super) fn is_challenged(&self) -> bool {
        self.opening.as_ref().is_some_and(|opening| Challenge::of(opening).is_some())
    }

    /// Whether we can ask the server anything.
    pub(super) fn may_ask(&self) -> Result<(), String> {
        if self.is_open() || self.token.is_some() { Ok(()) } else { Err("nobody is signed in".into()) }
    }

    /// Whether the server has a sign-in of its own or of another's.
    pub(super) fn has_oauth(&self) -> bool {
        self.resource.is_some()
    }

    /// A member of the sign-in server's metadata.
    pub(super) fn issuer_says(&self, name: &str) -> Option<&str> {
        self.issuer.as_ref()?.get(name)?.as_str()
    }

    /// An endpoint of the sign-in server.
    pub(super) fn endpoint(&self, name: &str) -> Option<Url> {
        self.issuer_says(name)?.parse().ok()
    }
}

impl<'a, P: FnMut(&Step)> Tour<'a, P> {
    pub(super) fn new(visit: &'a Visit, progress: P) -> Result<Self, String> {
        Ok(Self {
            visit,
            wire: Wire::new()?,
            browser: Browser::default(),
            learned: Learned::default(),
            findings: Vec::new(),
            step: "",
            progress,
        })
    }

    /// Takes a step, and tells of it.
    pub(super) async fn step(&mut self, name: &'static str, look: impl AsyncFnOnce(&mut Self) -> Looked) -> Mark {
        self.step = name;
        let before = self.findings.len();
        let looked = look(self).await;
        let worst = self.findings.iter().skip(before).map(|finding| finding.severity).max();
        let mark = match (worst, &looked) {
            (Some(Severity::Error), _) => Mark::Failed,
            (Some(Severity::Warning), _) => Mark::Warned,
            (Some(Severity::Note) | None, Ok(_)) => Mark::Passed,
            (Some(Severity::Note) | None, Err(_)) => Mark::Skipped,
        };
        let (Ok(remark) | Err(remark)) = looked;
        (self.progress)(&Step { name, mark, remark });
        mark
    }
}

impl<P> Tour<'_, P> {
    pub(super) fn guise(&self) -> Guise {
        self.visit.guise
    }

    /// The client's name, for people.
    pub(super) fn who(&self) -> &'static str {
        self.visit.guise.name()
    }

    pub(super) fn is_chatgpt(&self) -> bool {
        self.visit.guise == Guise::ChatGpt
    }

    pub(super) fn error(&mut self, what: impl Into<String>, why: impl Into<String>, fix: impl Into<String>) {
        self.found(Severity::Error, what, why, fix);
    }

    pub(super) fn warn(&mut self, what: impl Into<String>, why: impl Into<String>, fix: impl Into<String>) {
        self.found(Severity::Warning, what, why, fix);
    }

    pub(super) fn note(&mut self, what: impl Into<String>, why: impl Into<String>, fix: impl Into<String>) {
        self.found(Severity::Note, what, why, fix);
    }

    /// Notes something; the same is not said twice.
    pub(super) fn found(
        &mut self,
        severity: Severity,
        what: impl Into<String>,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let finding = Finding { severity, step: self.step, what: what.into(), why: why.into(), fix: fix.into() };
        if !self.findings.iter().any(|known| known.what == finding.what) {
            self.findings.push(finding);
        }
    }

    /// An error, or a warning for a client that can do without.
    pub(super) fn severity(&self, for_chatgpt: Severity, for_claude: Severity) -> Severity {
        match self.visit.guise {
            Guise::ChatGpt => for_chatgpt,
            Guise::Claude => for_claude,
        }
    }
}
