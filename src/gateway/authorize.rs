//! May this caller use this?

use super::{Gateway, Live};
use crate::caller::{Access, Caller, Verdict};
use crate::catalog::{Place, SignIn, view::View};
use crate::error::{Challenge, Error, ErrorKind, Result};
use crate::name::shown;

/// Refuses a caller who lacks what it takes to use `what`. What no scope could open is unknown to them.
pub(super) fn authorize(caller: &Caller, access: &Access, what: &str) -> Result<()> {
    match caller.may(access) {
        Verdict::Yes => Ok(()),
        Verdict::Never => Err(Error::new(ErrorKind::UnknownTool, format!("unknown tool `{}`", shown(what)))),
        Verdict::StepUp => {
            let challenge = Challenge { known: matches!(caller, Caller::Known(_)), scopes: caller.wants(access) };
            let message = if challenge.known {
                format!("`{what}` needs more than was granted: ask for the scopes {}", challenge.scopes.join(" "))
            } else {
                format!("`{what}` is for people who signed in: sign in to use it")
            };
            Err(Error::new(ErrorKind::Forbidden, message).asking(challenge))
        }
    }
}

/// What a request is about, by its published name.
#[derive(Debug)]
pub enum Subject {
    /// A tool.
    Tool(String),
    /// A prompt.
    Prompt(String),
    /// A resource.
    Resource(String),
}

impl Live {
    /// How callers can prove who they are.
    pub fn sign_in(&self) -> SignIn {
        self.sign_in
    }
}

impl Gateway {
    /// The place, when the caller may use what is there.
    pub fn lets_in(&self, place: Place, caller: &Caller, what: &str) -> Result<Place> {
        authorize(caller, self.live().catalog.to_connector(&place.connector), what).map(|()| place)
    }

    /// Why this caller would be refused this in this view and could do something about it.
    pub fn refusal(&self, caller: &Caller, subject: &Subject, view: &View) -> Option<Error> {
        if caller.is_unlimited() {
            return None;
        }
        let live = self.live();
        let catalog = &live.catalog;
        let (Subject::Tool(name) | Subject::Prompt(name) | Subject::Resource(name)) = subject;
        let access = match subject {
            Subject::Tool(_) => &catalog.resolve_in(name, caller, view).ok()?.access,
            Subject::Prompt(_) => catalog.to_connector(&catalog.prompt(name, caller).ok()?.connector),
            // A page is for who sees a tool that shows it.
            Subject::Resource(_) if catalog.page(name).is_some() => return None,
            Subject::Resource(_) => catalog.to_connector(&catalog.resource(name, caller).ok()?.connector),
        };
        // What is not there for this caller is answered as what is not there at all.
        (caller.may(access) == Verdict::StepUp).then(|| authorize(caller, access, name).err())?
    }
}
