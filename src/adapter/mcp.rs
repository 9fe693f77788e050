//! The `mcp` adapter: another MCP server, whose every word is passed on.
//!
//! One connection serves all stateless work. A session whose client can be asked things has one of
//! its own to each upstream of the handshake era, where a question does not say whom it is for.

use std::{borrow::Cow, collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

mod channel;
mod dial;
mod events;
mod headers;
mod inbox;
mod link;
mod listing;
mod pool;
mod signal;
mod sse;
mod stdio;
mod streamable;
mod supervise;

use super::{Adapter, Bulletin, Phase, Status, Surroundings};
use crate::call::{CallContext, Downstream, Era, Invocation, Outcome, Output, Sent, Session};
use crate::caller::Caller;
use crate::catalog::{CONNECT, Names, Offer};
use crate::credential::CredentialSource;
use crate::error::{Error, ErrorKind, Rejection, Result};
use crate::manifest::{Checked, McpSettings, McpStart};
use crate::params::{Params, mentions};
use channel::{Answer, Failure};
use dial::Dialer;
use link::Link;
use pool::{Holder, Pool};

/// Rounds in which an upstream may ask for more before it answers.
const MOST_ROUNDS: usize = 10;

/// Another MCP server.
#[derive(Debug)]
pub struct McpAdapter {
    dialer: Dialer,
    start: McpStart,
    idle: Duration,
    pool: Pool,
    present: watch::Sender<Present>,
    offer: watch::Sender<Option<Arc<Offer>>>,
    bulletin: Bulletin,
    /// Resources somebody wants to hear of, in the upstream's words, each with how many do.
    watched: watch::Sender<HashMap<String, usize>>,
}

/// The shared connection, and how it is.
#[derive(Debug, Clone)]
struct Present {
    status: Status,
    link: Option<Arc<Link>>,
}

impl McpAdapter {
    /// Reads the settings; the reason when one has no value. Nothing is started yet.
    pub(super) fn new(
        checked: &Checked,
        settings: &McpSettings,
        source: &Arc<dyn CredentialSource>,
        around: Surroundings<'_>,
    ) -> Result<Self, String> {
        let idle = Duration::from_secs(settings.idle_seconds.get());
        Ok(Self {
            dialer: Dialer::new(checked, settings, source, around)?,
            start: settings.start,
            idle,
            pool: Pool::new(settings.max_connections - 1, idle),
            present: watch::Sender::new(Present { status: Status::now(Phase::Starting, None), link: None }),
            offer: watch::Sender::new(None),
            bulletin: around.bulletin.clone(),
            watched: watch::Sender::default(),
        })
    }

    /// How its names are published.
    pub fn names(&self) -> &Names {
        &self.dialer.names
    }

    /// Makes a request in the upstream's own words and gives its answer in ours.
    pub async fn request(
        &self,
        caller: &Caller,
        method: &str,
        mut params: Params,
        downstream: &Downstream,
    ) -> Result<Sent> {
        let downstream = &self.discreet(downstream);
        for _ in 0..MOST_ROUNDS {
            let (answer, era) = self.exchange(caller, method, &params, downstream).await?;
            let json = answer.map_err(|rejection| Error::from(self.published(rejection)))?;
            if era == Era::PerRequest
                && downstream.era == Era::Handshake
                && let Some(wanted) = Wanted::of(&json)
            {
                params.extend(wanted.ask(downstream).await?);
                continue;
            }
            let json = self.names().of_caller(downstream.owner.as_ref()).publish_result(&json);
            return Ok(Sent { is_error: is_error(&json), json, era });
        }
        Err(Error::new(
            ErrorKind::Upstream,
            format!("the upstream asked for more {MOST_ROUNDS} times and did not answer"),
        ))
    }

    /// What a client tells of the person who asks (`openai/…`: place, device, language) stays here, unless the
    /// manifest asks for it by name.
    fn discreet<'a>(&self, downstream: &'a Downstream) -> Cow<'a, Downstream> {
        const PERSONAL: &str = "openai/";
        if !downstream.meta.names().any(|name| name.starts_with(PERSONAL)) {
            return Cow::Borrowed(downstream);
        }
        let mut meta = Params::clone(&downstream.meta);
        meta.retain(|name| !name.starts_with(PERSONAL) || self.dialer.passes(name));
        Cow::Owned(downstream.with_meta(meta))
    }

    /// One request and its answer. What was certainly not executed is tried a second time.
    async fn exchange(
        &self,
        caller: &Caller,
        method: &str,
        params: &Params,
        downstream: &Downstream,
    ) -> Result<(Answer, Era)> {
        let mut last: Option<Arc<Link>> = None;
        loop {
            let link = self.link(caller, downstream.session.as_ref(), last.as_ref()).await?;
            match link.request(method, params.clone(), Some(downstream)).await {
                Ok(answer) => return Ok((answer, link.era)),
                Err(Failure::NotSent(_)) if last.is_none() => last = Some(link),
                Err(Failure::Broken(error)) => {
                    let message = format!("{error}; the call was under way, and whether it did its work is unknown");
                    return Err(Error::new(error.kind(), message).because(error));
                }
                Err(failure) => return Err(failure.into()),
            }
        }
    }

    /// The connection for a caller, another one than `not`.
    async fn link(&self, caller: &Caller, session: Option<&Session>, not: Option<&Arc<Link>>) -> Result<Arc<Link>> {
        let session = session.filter(|session| session.is_talked_to());
        let owner = self.dialer.source.owner(caller);
        if owner.is_none() {
            let shared = self.shared(not).await?;
            if session.is_none() || shared.era != Era::Handshake {
                return Ok(shared);
            }
        }
        self.pool.link(Holder { session, owner, caller }, &self.dialer).await
    }

    /// The shared connection. Waits while it is being made; fails at once while it cannot be.
    async fn shared(&self, not: Option<&Arc<Link>>) -> Result<Arc<Link>> {
        let mut present = self.present.subscribe();
        loop {
            let Present { status, link } = present.borrow_and_update().clone();
            let usable =
                |link: &Arc<Link>| !link.closed().is_cancelled() && not.is_none_or(|not| !Arc::ptr_eq(not, link));
            match (link.filter(usable), status.phase) {
                (Some(link), _) => return Ok(link),
                (None, Phase::Down) => return Err(self.down(&status)),
                (None, Phase::Starting | Phase::Up | Phase::Degraded) => self.dialer.signals.demanded(),
            }
            let gone = |_| Error::new(ErrorKind::Unavailable, "the connector is being closed");
            present.changed().await.map_err(gone)?;
        }
    }

    /// Whether every caller shows the upstream something of their own, on connections of their own.
    fn is_per_caller(&self) -> bool {
        self.dialer.source.is_per_caller()
    }

    fn down(&self, status: &Status) -> Error {
        let reason = status.reason.as_deref().unwrap_or("it cannot be reached");
        let again = match status.retry_in() {
            Some(wait) => format!("; it is tried again in {:.1} s", wait.as_secs_f64()),
            None => "; it is being tried again".into(),
        };
        Error::new(ErrorKind::Unavailable, format!("the connector {} is down: {reason}{again}", self.names().connector))
    }

    /// An upstream's error with the URI it is about as it is published.
    fn published(&self, mut rejection: Rejection) -> Rejection {
        if let Some(Value::String(uri)) = rejection.data.as_mut().and_then(|data| data.get_mut("uri")) {
            *uri = self.names().public_uri(uri);
        }
        rejection
    }

    /// Wants to hear of changes of a resource, by the upstream's URI, until the guard is dropped.
    pub fn watch(self: &Arc<Self>, uri: String) -> Watching {
        self.watched.send_modify(|watched| *watched.entry(uri.clone()).or_default() += 1);
        Watching { adapter: Arc::clone(self), uri }
    }

    /// Passes on what a session's client says of itself: a log level, that its roots changed, or
    /// which resources it wants to hear of. It matters to a connection of its own only.
    pub async fn tell(&self, caller: &Caller, session: &Session, method: &str, params: Params) {
        let link = match method {
            // To hear of a resource on it, there has to be one.
            "resources/subscribe" if session.is_talked_to() => self.link(caller, Some(session), None).await.ok(),
            _ => self.pool.existing(session),
        };
        let Some(link) = link else { return };
        let told = async {
            if method.starts_with("notifications/") {
                let _ = link.notify(method, params).await;
            } else {
                let _ = link.request(method, params, None).await;
            }
        };
        let _ = tokio::time::timeout(self.dialer.timeout, told).await;
    }
}

/// A wish to hear of a resource's changes.
#[derive(Debug)]
pub struct Watching {
    adapter: Arc<McpAdapter>,
    uri: String,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.adapter.watched.send_modify(|watched| {
            if let Some(count) = watched.get_mut(&self.uri) {
                *count -= 1;
                if *count == 0 {
                    watched.remove(&self.uri);
                }
            }
        });
    }
}

#[async_trait]
impl Adapter for McpAdapter {
    async fn call(&self, invocation: &Invocation, cx: &CallContext) -> Result<Outcome> {
        let stands_in = self.offer.borrow().as_ref().is_some_and(|offer| offer.is_provisional);
        if stands_in && invocation.entry.tool == CONNECT {
            // Who is not connected was told so before they came here.
            self.dialer.signals.lists_changed();
            let name = &self.dialer.name;
            return Ok(Output::text(format!("{name} is connected. Its tools are listed in a moment.")).into());
        }
        let mut params = invocation.sent.clone();
        params.set("name", &invocation.entry.tool);
        self.request(&cx.caller, "tools/call", params, &cx.downstream).await.map(Outcome::Sent)
    }

    async fn tend(&self, stop: CancellationToken) {
        self.supervise(stop).await;
    }

    fn status(&self) -> Status {
        let Present { mut status, link } = self.present.borrow().clone();
        status.connections = self.pool.len() + usize::from(link.is_some());
        status
    }

    fn offer(&self) -> Option<Arc<Offer>> {
        self.offer.borrow().clone()
    }

    fn learns(&self) -> bool {
        true
    }

    fn refusal(&self) -> Option<Error> {
        let status = self.present.borrow().status.clone();
        (status.phase == Phase::Down).then(|| self.down(&status))
    }

    /// Asks a connection that is there; one that is not is for `tend` to make.
    async fn probe(&self) -> Result<()> {
        let Present { status, link } = self.present.borrow().clone();
        match link {
            // What runs only while it is used is not kept running by looking at it.
            Some(_) if self.start == McpStart::Lazy => Ok(()),
            Some(link) => {
                let method = if link.era == Era::Handshake { "ping" } else { "server/discover" };
                // Any answer will do, a refusal too.
                link.request(method, Params::default(), None).await.map(drop).map_err(Error::from)
            }
            None if status.phase == Phase::Down => Err(self.down(&status)),
            None => Ok(()),
        }
    }

    fn endpoint(&self) -> Option<String> {
        self.dialer.host()
    }

    fn mcp(self: Arc<Self>) -> Option<Arc<McpAdapter>> {
        Some(self)
    }
}

/// Whether a result says that the tool failed. Most say nothing of the kind, which is quick to see.
fn is_error(json: &Bytes) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Peek {
        #[serde(default)]
        is_error: bool,
    }
    mentions(json, "\"isError\"") && serde_json::from_slice::<Peek>(json).is_ok_and(|peek| peek.is_error)
}

/// What an upstream of 2026-07-28 wants to know before it answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    result_type: String,
    #[serde(default)]
    input_requests: Map<String, Value>,
    #[serde(default)]
    request_state: Option<Value>,
}

impl Wanted {
    fn of(json: &Bytes) -> Option<Self> {
        let wanted: Self = mentions(json, "\"input_required\"").then(|| serde_json::from_slice(json).ok())??;
        (wanted.result_type == "input_required").then_some(wanted)
    }

    /// Asks a client of the handshake era, the way it is used to; gives what to send along next.
    async fn ask(self, downstream: &Downstream) -> Result<Params> {
        let mut answers = Map::new();
        for (key, request) in self.input_requests {
            let method = request.get("method").and_then(Value::as_str).unwrap_or_default();
            let can = downstream.session.as_ref().is_some_and(|session| session.answers(method));
            let Some(client) = downstream.client.as_ref().filter(|_| can) else {
                let message = format!("the upstream wants to ask the caller ({method}), who cannot be asked that");
                return Err(Error::new(ErrorKind::Upstream, message));
            };
            let asked = client.ask(method, request.get("params").cloned()).await;
            let answer = asked.map_err(|rejection| {
                let message = format!("the upstream wanted {method} of the caller, who refused: {}", rejection.message);
                Error::new(ErrorKind::Upstream, message)
            })?;
            answers.insert(key, answer);
        }
        let mut next = Params::of("inputResponses", &answers);
        if let Some(state) = self.request_state {
            next.set("requestState", &state);
        }
        Ok(next)
    }
}
