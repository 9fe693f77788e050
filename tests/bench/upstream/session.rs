//! The upstream's sessions, of Streamable HTTP and of the older SSE transport.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Events waiting for a client that does not read; the server waits with them.
const QUEUE: usize = 64;

/// All open sessions, each with the way to its event stream if it has one.
#[derive(Debug, Clone, Default)]
pub(super) struct Sessions {
    open: Arc<Mutex<HashMap<String, Option<Sender<Bytes>>>>>,
    opened: Arc<AtomicU64>,
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Option<Sender<Bytes>>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a session and gives its id.
    pub(super) fn open(&self) -> String {
        let id = format!("{:032x}", self.opened.fetch_add(1, Ordering::Relaxed));
        self.lock().insert(id.clone(), None);
        id
    }

    pub(super) fn knows(&self, id: &str) -> bool {
        self.lock().contains_key(id)
    }

    /// Gives a session an event stream.
    pub(super) fn stream(&self, id: &str) -> (Sender<Bytes>, Receiver<Bytes>) {
        let (sender, receiver) = channel(QUEUE);
        self.lock().insert(id.to_owned(), Some(sender.clone()));
        (sender, receiver)
    }

    /// The way to a session's event stream.
    pub(super) fn sender(&self, id: &str) -> Option<Sender<Bytes>> {
        self.lock().get(id).cloned().flatten()
    }

    pub(super) fn close(&self, id: &str) {
        self.lock().remove(id);
    }

    /// Ends a session when dropped.
    pub(super) fn leave(&self, id: String) -> Leave {
        Leave { sessions: self.clone(), id }
    }
}

/// Ends a session when dropped.
#[derive(Debug)]
pub(crate) struct Leave {
    sessions: Sessions,
    id: String,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.sessions.close(&self.id);
    }
}
