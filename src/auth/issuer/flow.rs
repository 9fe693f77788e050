//! A flow: one request of a client for access, from its arrival until the person has decided.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};

use super::browser::Browser;
use super::client::Kind;
use super::people::Person;
use super::shelf::{Kept, after, fresh, now};
use super::{Issuer, Trouble, random};
use crate::store::{Expected, Version};

/// A person has this long for all of it.
const LASTING: Duration = Duration::from_mins(10);
/// Wrong passwords or codes that end a flow.
const TRIES: u8 = 5;

/// What a client asks for, checked.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Ask {
    pub(super) client: String,
    pub(super) client_name: String,
    pub(super) kind: Kind,
    pub(super) redirect: String,
    pub(super) state: Option<String>,
    /// The SHA-256 of what the client has to show with the code.
    pub(super) challenge: String,
    pub(super) scopes: BTreeSet<String>,
    pub(super) prompt: Prompt,
    /// The name the client thinks the person has.
    pub(super) hint: Option<String>,
    /// Whether it is for a page of ours, which wants nothing but to know who is there.
    #[serde(default)]
    pub(super) own: bool,
}

/// What the person has to do even when nothing new is asked.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Prompt {
    pub(super) nothing: bool,
    pub(super) sign_in: bool,
    pub(super) consent: bool,
}

/// What is kept of a flow.
#[derive(Serialize, Deserialize)]
pub(super) struct Flow {
    pub(super) ask: Ask,
    /// The browser it belongs to.
    line: String,
    /// What its forms are told by.
    secret: String,
    /// When it ends, in milliseconds since 1970. Tries do not put that off.
    ends: u64,
    /// Passwords and codes that were tried.
    tries: u8,
    /// Whether the person has to sign in for it, even if they are signed in.
    must_sign_in: bool,
    /// The fingerprint of its one-time code.
    pub(super) code: Option<String>,
}

/// A flow, and how to come back to it.
pub(super) struct Open {
    /// What its pages and forms call it.
    pub(super) id: String,
    pub(super) flow: Flow,
    version: Version,
}

fn key(id: &str) -> String {
    format!("auth/flow/{}", random::fingerprint(id))
}

impl Issuer {
    /// Begins a flow in this browser.
    pub(super) async fn begin(&self, ask: Ask, browser: &Browser) -> Result<Open, Trouble> {
        let id = random::word()?;
        let ends = now() + u64::try_from(LASTING.as_millis()).unwrap_or_default();
        let (line, secret, must_sign_in) = (browser.line.clone(), random::word()?, ask.prompt.sign_in);
        let flow = Flow { ask, line, secret, ends, tries: 0, must_sign_in, code: None };
        self.shelf.keep(&key(&id), &flow, fresh(LASTING)).await?;
        self.flow(&id, browser).await?.ok_or(Trouble::Busy)
    }

    /// The flow of this id, when it was begun in this browser.
    pub(super) async fn flow(&self, id: &str, browser: &Browser) -> Result<Option<Open>, Trouble> {
        let kept = self.shelf.read::<Flow>(&key(id)).await?;
        let own = kept.filter(|kept| random::same(&kept.value.line, &browser.line));
        Ok(own.map(|Kept { value: flow, version }| Open { id: id.to_owned(), flow, version }))
    }

    /// Gives a flow a one-time code, for the terminal.
    pub(super) async fn set_code(&self, open: &mut Open, code: &str) -> Result<bool, Trouble> {
        open.flow.code = Some(random::fingerprint(code));
        self.update(open).await
    }

    /// Counts a try before it is looked at: whether there may be one. Of many at once one counts, the others may
    /// come again.
    pub(super) async fn try_once(&self, open: &mut Open) -> Result<bool, Trouble> {
        if open.flow.tries >= TRIES {
            return Ok(false);
        }
        open.flow.tries += 1;
        if self.update(open).await? { Ok(true) } else { Err(Trouble::Busy) }
    }

    /// Takes a try back that was not looked at.
    pub(super) async fn untry(&self, open: &mut Open) -> Result<bool, Trouble> {
        open.flow.tries = open.flow.tries.saturating_sub(1);
        self.update(open).await
    }

    /// The person signed in for this flow: whether it is still there as read.
    pub(super) async fn signed_in(&self, open: &mut Open) -> Result<bool, Trouble> {
        if !open.flow.must_sign_in {
            return Ok(true);
        }
        open.flow.must_sign_in = false;
        self.update(open).await
    }

    /// Ends a flow: whether it was still there as read. Only one decision ends it.
    pub(super) async fn end(&self, open: &Open) -> Result<bool, Trouble> {
        self.shelf.remove(&key(&open.id), Expected::Is(open.version)).await
    }

    async fn update(&self, open: &mut Open) -> Result<bool, Trouble> {
        let left = Duration::from_millis(open.flow.ends.saturating_sub(now()));
        let written = self.shelf.write(&key(&open.id), &open.flow, after(open.version, left)).await?;
        open.version = written.unwrap_or(open.version);
        Ok(written.is_some())
    }
}

impl Open {
    /// Whether no more passwords or codes are taken.
    pub(super) fn is_used_up(&self) -> bool {
        self.flow.tries >= TRIES
    }

    /// Who decides: whoever is signed in, once they did what the client wants them to do for that.
    pub(super) fn person(&self, browser: &Browser) -> Option<Person> {
        browser.person.clone().filter(|_| !self.flow.must_sign_in)
    }

    /// What a form of this flow has to bring back: for signing in, or for the decision of this person.
    pub(super) fn token(&self, person: Option<&Person>) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.flow.secret.as_bytes());
        let purpose = person.map_or("sign in".into(), |person| format!("consent of {}", person.subject));
        random::encode(hmac::sign(&key, purpose.as_bytes()).as_ref())
    }
}
