//! Connecting: how callers let connectors act for them. A call that lacks that gives a link which is open to its caller
//! alone; the pages behind it begin, show and end what was agreed.
//!
//! | in the store, sealed | what | ends |
//! |---|---|---|
//! | `connect/ticket/<…>` | a link's word: for whom, and for which connector | when used, or after 10 minutes |
//! | `connect/session/<…>` | a browser that came by such links: who it is, and where | after an hour |

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Gateway;
use crate::audit::Deed;
use crate::call::{Downstream, Era, Session};
use crate::caller::Caller;
use crate::credential::grant::{Flow, Refusal, fingerprint, is_word, nowhere, unavailable, word};
use crate::credential::{Grants, Safe};
use crate::error::{Connect, Error, ErrorKind, Invitation, Result};
use crate::name::ConnectorId;
use crate::params::Params;
use crate::store::{Expected, Put};

/// A link is good for so long.
const TICKET: Duration = Duration::from_mins(10);
/// For so long the same caller is given the same link, so that many calls make one.
const SAME: Duration = Duration::from_mins(5);
/// A browser is known for so long.
const SESSION: Duration = Duration::from_hours(1);
/// Links and waiting sessions that are remembered here.
const MOST: u64 = 10_000;
/// Sessions that wait for one caller to connect.
const MOST_WAITING: usize = 16;
/// So often it is looked whether somebody connected, while a call waits for that.
const LOOK: Duration = Duration::from_millis(500);
/// The key of our question among those that a client answers.
pub const QUESTION: &str = "switchboard/connect";

/// What a link opens.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ticket {
    /// For whom.
    pub caller: Caller,
    /// Which connector, by its id.
    pub connector: String,
}

/// A browser that came by links.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LinkGuest {
    /// Who it is.
    pub caller: Caller,
    /// The connectors of the links: it opens the pages of no others, since whoever reads what a model reads may have it.
    pub connectors: BTreeSet<String>,
}

/// Whose link, and for which connector.
type Whom = (String, String);

/// What is remembered of links in this process.
#[derive(Debug)]
pub(super) struct Links {
    given: Cache<Whom, Arc<(String, Invitation)>>,
    waiting: Cache<Whom, Arc<Vec<(String, Session)>>>,
}

impl Default for Links {
    fn default() -> Self {
        Self {
            given: Cache::builder().max_capacity(MOST).time_to_live(SAME).build(),
            waiting: Cache::builder().max_capacity(MOST).time_to_live(TICKET).build(),
        }
    }
}

/// A connector that callers can connect, for pages.
#[derive(Debug, Clone)]
pub struct Connectable {
    /// Its id.
    pub id: ConnectorId,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// The host its calls go to.
    pub host: Option<String>,
    /// Who let it act for them.
    pub grants: Arc<Grants>,
}

impl Gateway {
    /// An error as it is told to a caller: when they have to connect first, with the way to do that.
    pub(super) async fn inviting(&self, caller: &Caller, error: Error, session: Option<&Session>) -> Error {
        let Some(connect) = error.connect().filter(|connect| connect.invitation.is_none()).cloned() else {
            return error;
        };
        match self.invitation(caller, &connect).await {
            Ok(Some(invitation)) => {
                self.remember(caller, &connect, &invitation, session);
                let invited = Connect { invitation: Some(invitation), ..connect };
                Error::new(ErrorKind::NotConnected, error.message()).connecting(invited)
            }
            Ok(None) => {
                let message = format!(
                    "{}; run `switchboard connect {}` in a terminal on this machine",
                    error.message(),
                    connect.connector
                );
                Error::new(ErrorKind::NotConnected, message).connecting(connect)
            }
            Err(why) => why,
        }
    }

    /// A link for this caller; nothing where no browser reaches us.
    async fn invitation(&self, caller: &Caller, connect: &Connect) -> Result<Option<Invitation>> {
        // Who is at this machine may have no server running.
        let base = self.live().pages.base.clone().filter(|_| *caller != Caller::Local);
        let Some(base) = base else { return Ok(None) };
        let (safe, whom) = (self.safe()?, (caller.id(), connect.connector.clone()));
        if let Some(given) = self.links.given.get(&whom)
            && safe.read::<Ticket>(&given.0).await.map_err(unavailable)?.is_some()
        {
            return Ok(Some(given.1.clone()));
        }
        let secret = word()?;
        let key = ticket_key(&secret);
        let ticket = Ticket { caller: caller.clone(), connector: connect.connector.clone() };
        let put = Put { expected: Expected::Absent, expires: Some(SystemTime::now() + TICKET) };
        safe.write(&key, &ticket, put).await.map_err(unavailable)?;
        let link = format!("{base}/connect/{}?ticket={secret}", connect.connector);
        // It names the link to the client, and opens nothing.
        let invitation = Invitation { id: fingerprint(&key), link };
        self.links.given.insert(whom, Arc::new((key, invitation.clone())));
        Ok(Some(invitation))
    }

    /// Remembers who is to be told once the caller has connected.
    fn remember(&self, caller: &Caller, connect: &Connect, invitation: &Invitation, session: Option<&Session>) {
        let Some(session) = session.filter(|session| opens_links(&session.capabilities)) else { return };
        let whom = (caller.id(), connect.connector.clone());
        let mut waiting = self.links.waiting.get(&whom).map(|waiting| waiting.to_vec()).unwrap_or_default();
        waiting.retain(|(_, other)| other.id != session.id && !other.gone.is_cancelled());
        waiting.truncate(MOST_WAITING - 1);
        waiting.push((invitation.id.clone(), session.clone()));
        self.links.waiting.insert(whom, Arc::new(waiting));
    }

    /// What a link opens. Looking does not use it up, since programs look at links before people do.
    pub async fn ticket(&self, secret: &str) -> Result<Option<Ticket>> {
        if !is_word(secret) {
            return Ok(None);
        }
        let kept = self.safe()?.read::<Ticket>(&ticket_key(secret)).await.map_err(unavailable)?;
        Ok(kept.map(|kept| kept.value))
    }

    /// Uses a link up: what it opened, for the one who is first.
    pub async fn redeem(&self, secret: &str) -> Result<Option<Ticket>> {
        if !is_word(secret) {
            return Ok(None);
        }
        let (safe, key) = (self.safe()?, ticket_key(secret));
        let Some(kept) = safe.read::<Ticket>(&key).await.map_err(unavailable)? else { return Ok(None) };
        let first = safe.remove(&key, Expected::Is(kept.version)).await.map_err(unavailable)?;
        Ok(first.then_some(kept.value))
    }

    /// Knows a browser by a word from now on, which only it has.
    pub async fn know(&self, secret: &str, guest: &LinkGuest) -> Result<()> {
        let put = Put { expected: Expected::Absent, expires: Some(SystemTime::now() + SESSION) };
        self.safe()?.write(&session_key(secret), guest, put).await.map(drop).map_err(unavailable)
    }

    /// Who a browser is.
    pub async fn known(&self, secret: &str) -> Result<Option<LinkGuest>> {
        if !is_word(secret) {
            return Ok(None);
        }
        let kept = self.safe()?.read::<LinkGuest>(&session_key(secret)).await.map_err(unavailable)?;
        Ok(kept.map(|kept| kept.value))
    }

    /// Forgets a browser.
    pub async fn forget(&self, secret: &str) -> Result<()> {
        self.safe()?.remove(&session_key(secret), Expected::Any).await.map(drop).map_err(unavailable)
    }

    /// How long a browser is known.
    pub const KNOWN: Duration = SESSION;

    /// The connectors that this caller may connect.
    pub fn connectable(&self, caller: &Caller) -> Vec<Connectable> {
        let live = self.live();
        let seen = live.connectors.values().filter(|connector| live.shows(connector, caller));
        let connectable = seen.filter_map(|connector| {
            let manifest = &connector.checked.connector;
            let usable = connector.usable().filter(|_| manifest.enabled)?;
            let grants = Arc::clone(connector.source().ok()?.grants()?);
            let (id, name) = (manifest.id.clone(), manifest.name.clone());
            Some(Connectable { id, name, description: manifest.description.clone(), host: usable.endpoint(), grants })
        });
        connectable.collect()
    }

    /// Every connector that keeps grants, whoever may see it, for the operator.
    pub fn granting(&self) -> Vec<(ConnectorId, Arc<Grants>)> {
        let live = self.live();
        let granting = live
            .connectors
            .iter()
            .filter_map(|(id, connector)| Some((id.clone(), Arc::clone(connector.source().ok()?.grants()?))));
        granting.collect()
    }

    /// Ends a flow by what the issuer said to the address that only this connector's issuer is sent to: for whom it
    /// was, and how it ended. `browser` is what only the browser knows in which it was begun, and `callers` who is
    /// there now.
    pub async fn come_back<'a>(
        &self,
        connector: &str,
        (browser, callers): (&str, &'a [Caller]),
        said: impl Fn(&str) -> Option<String> + Send,
    ) -> Result<Option<(&'a Caller, Result<(), Refusal>)>> {
        let state = said("state").unwrap_or_default();
        let Some(flow) = Flow::take(self.safe()?, &state, (browser, connector)).await? else { return Ok(None) };
        let Some(caller) = callers.iter().find(|caller| caller.id() == flow.caller) else { return Ok(None) };
        let all = self.connectable(caller);
        let Some(connectable) = all.into_iter().find(|it| it.id.as_str() == connector) else { return Ok(None) };
        let ended = connectable.grants.finish(flow, said).await;
        let failure = match &ended {
            Ok(Ok(())) => None,
            Ok(Err(_)) => Some("refused"),
            Err(error) => Some(error.message()),
        };
        self.did(Deed::GrantConnect, caller, connector, failure.as_ref().map(|failure| failure as _));
        let ended = ended?;
        if ended.is_ok() {
            self.tell_connected(caller, connector).await;
        }
        Ok(Some((caller, ended)))
    }

    /// Tells the clients that were asked to open a link that it did its work.
    async fn tell_connected(&self, caller: &Caller, connector: &str) {
        let whom = (caller.id(), connector.to_owned());
        self.links.given.invalidate(&whom);
        for (id, session) in self.links.waiting.remove(&whom).iter().flat_map(|waiting| waiting.iter()) {
            session.client.tell("notifications/elicitation/complete", Some(json!({ "elicitationId": id }))).await;
        }
    }

    /// A client that was asked to have a link opened calls again: waits until its caller has connected, as long as the
    /// call may take. What it answers to other questions is left alone. Says no when the person did.
    pub(super) async fn await_connection(
        &self,
        caller: &Caller,
        grants: &Grants,
        (params, until): (&mut Params, Instant),
    ) -> Result<()> {
        let Some(mut answers) = params.read::<serde_json::Map<String, Value>>("inputResponses") else { return Ok(()) };
        let Some(answer) = answers.remove(QUESTION) else { return Ok(()) };
        if answers.is_empty() {
            params.take("inputResponses");
        } else {
            params.set("inputResponses", &answers);
        }
        if answer.get("action").and_then(Value::as_str) != Some("accept") {
            return Err(Error::new(ErrorKind::Forbidden, "the person did not want to connect it"));
        }
        while grants.standing(caller).await?.is_none() && Instant::now() + LOOK < until {
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    fn safe(&self) -> Result<&Safe> {
        self.keyring.safe().map_err(nowhere)
    }
}

/// Whether a client opens links for its person, by the capabilities it declared.
fn opens_links(capabilities: &Value) -> bool {
    capabilities.get("elicitation").is_some_and(|elicitation| elicitation.get("url").is_some())
}

/// Whether the client of a request does.
pub fn may_open_links(downstream: &Downstream) -> bool {
    match downstream.era {
        Era::Handshake => downstream.session.as_ref().is_some_and(|session| opens_links(&session.capabilities)),
        Era::PerRequest => {
            let capabilities: Option<Value> = downstream.meta.read("io.modelcontextprotocol/clientCapabilities");
            capabilities.is_some_and(|capabilities| opens_links(&capabilities))
        }
    }
}

fn ticket_key(secret: &str) -> String {
    format!("connect/ticket/{}", fingerprint(secret))
}

fn session_key(secret: &str) -> String {
    format!("connect/session/{}", fingerprint(secret))
}
