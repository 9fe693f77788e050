//! Sessions of Streamable HTTP before 2026-07-28: whose they are, and when they end.
//!
//! The SDK knows neither owners nor when a session is truly idle: its own timer would end a
//! session in the middle of a long, silent call.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use aws_lc_rs::digest;
use http::{HeaderMap, header::AUTHORIZATION};
use tokio_util::sync::CancellationToken;

use crate::caller::Caller;
use crate::telemetry::{Held, Metrics};

/// Whose a session is. It serves only the one who opened it, whatever they prove it with; where nobody proves
/// anything, those who show the same `Authorization`.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Owner(Option<Box<[u8]>>);

impl Owner {
    pub(super) fn of(caller: &Caller, headers: &HeaderMap) -> Self {
        let hash = |text: &[u8]| digest::digest(&digest::SHA256, text).as_ref().into();
        Self(match caller {
            Caller::Known(principal) => {
                let client = principal.client.as_deref().unwrap_or_default();
                Some(hash(format!("{}\n{client}", principal.id()).as_bytes()))
            }
            Caller::Local | Caller::Anonymous { .. } => headers.get(AUTHORIZATION).map(|value| hash(value.as_bytes())),
        })
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Owner(with authorization)" } else { "Owner(anonymous)" })
    }
}

/// A session that was opened and never used ends after this long: some clients open one a call.
const FORGOTTEN: Duration = Duration::from_mins(1);

/// All open sessions.
#[derive(Debug, Clone)]
pub(super) struct Sessions {
    open: Arc<Mutex<HashMap<Arc<str>, Session>>>,
    metrics: Metrics,
}

#[derive(Debug)]
struct Session {
    owner: Owner,
    /// Which program its client says it is, where that matters.
    client: Option<String>,
    /// Requests and streams under way.
    open: usize,
    used: Instant,
    /// Whether anything came after `initialize`.
    used_again: bool,
    gone: CancellationToken,
    _counted: Held,
}

/// A request or stream of a session, under way until this is dropped.
#[derive(Debug)]
pub(super) struct Use {
    sessions: Sessions,
    id: Arc<str>,
    /// Fires when the session is closed.
    pub(super) gone: CancellationToken,
}

impl Sessions {
    /// None yet; they are counted there.
    pub(super) fn new(metrics: Metrics) -> Self {
        Self { open: Arc::default(), metrics }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(super) fn knows(&self, id: &str) -> bool {
        self.lock().contains_key(id)
    }

    /// Notes a session that was just opened, and its first use.
    pub(super) fn open(&self, id: &str, owner: Owner, client: Option<String>) -> Use {
        let id: Arc<str> = id.into();
        let gone = CancellationToken::new();
        let (used, counted) = (Instant::now(), self.metrics.session("streamable"));
        let session =
            Session { owner, client, open: 1, used, used_again: false, gone: gone.clone(), _counted: counted };
        self.lock().insert(Arc::clone(&id), session);
        Use { sessions: self.clone(), id, gone }
    }

    /// Which program a session's client says it is, where that matters.
    pub(super) fn client(&self, id: &str) -> Option<String> {
        self.lock().get(id)?.client.clone()
    }

    /// Uses a session, if it exists and belongs to `owner`. Who does not own it learns nothing.
    pub(super) fn enter(&self, id: &str, owner: &Owner) -> Option<Use> {
        let mut sessions = self.lock();
        let (id, _) = sessions.get_key_value(id)?;
        let id = Arc::clone(id);
        let session = sessions.get_mut(&id)?;
        if session.owner != *owner {
            return None;
        }
        session.open += 1;
        session.used_again = true;
        Some(Use { sessions: self.clone(), id, gone: session.gone.clone() })
    }

    /// Forgets a session and ends its calls.
    pub(super) fn close(&self, id: &str) {
        if let Some(session) = self.lock().remove(id) {
            session.gone.cancel();
        }
    }

    /// Removes and returns the sessions that nobody has used for `idle`.
    pub(super) fn take_idle(&self, idle: Duration) -> Vec<Arc<str>> {
        let mut sessions = self.lock();
        let is_idle = |session: &Session| {
            let idle = if session.used_again { idle } else { idle.min(FORGOTTEN) };
            session.open == 0 && session.used.elapsed() >= idle
        };
        let ids: Vec<Arc<str>> =
            sessions.iter().filter(|(_, session)| is_idle(session)).map(|(id, _)| Arc::clone(id)).collect();
        for id in &ids {
            sessions.remove(id);
        }
        ids
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        if let Some(session) = self.sessions.lock().get_mut(&self.id) {
            session.open -= 1;
            session.used = Instant::now();
        }
    }
}
