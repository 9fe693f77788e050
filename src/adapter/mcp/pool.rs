//! Connections of callers' own: one for each session whose client an upstream may ask things, and for each caller who
//! shows the upstream something of their own.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Mutex as AsyncMutex;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::dial::{Dialer, Party};
use super::link::Link;
use crate::call::Session;
use crate::caller::Caller;
use crate::error::{Error, ErrorKind, Result};
use crate::params::Params;

/// How often connections are looked at that nobody needs any more.
const SWEEP: Duration = Duration::from_millis(500);

/// Whose a connection is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    session: Option<Uuid>,
    owner: Option<String>,
}

/// For whom there is a connection: a session, the owner of what the caller shows, or both.
#[derive(Debug, Clone)]
pub(super) struct Holder<'a> {
    pub(super) session: Option<&'a Session>,
    pub(super) owner: Option<String>,
    pub(super) caller: &'a Caller,
}

impl Holder<'_> {
    fn key(&self) -> Key {
        Key { session: self.session.map(|session| session.id), owner: self.owner.clone() }
    }
}

/// All connections of callers' own.
#[derive(Debug)]
pub(super) struct Pool {
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
    most: usize,
    idle: Duration,
}

#[derive(Debug)]
struct Slot {
    /// Held while a connection is made, so that one session makes one.
    link: AsyncMutex<Option<Arc<Link>>>,
    gone: CancellationToken,
}

impl Pool {
    pub(super) fn new(most: usize, idle: Duration) -> Self {
        Self { slots: Mutex::default(), most, idle }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// The connection of this holder, made when there is none that works.
    pub(super) async fn link(&self, holder: Holder<'_>, dialer: &Dialer) -> Result<Arc<Link>> {
        let slot = self.slot(&holder)?;
        let mut link = slot.link.lock().await;
        if let Some(link) = link.as_ref().filter(|link| !link.closed().is_cancelled()) {
            return Ok(Arc::clone(link));
        }
        let made = Arc::new(dialer.dial(&Party::Caller(holder.caller.clone()), holder.session).await?);
        let level = holder.session.and_then(|session| session.log_level.borrow().clone());
        if let Some(level) = level {
            let set = made.request("logging/setLevel", Params::of("level", &level), None);
            let _ = tokio::time::timeout(dialer.timeout, set).await;
        }
        *link = Some(Arc::clone(&made));
        Ok(made)
    }

    /// The place of a holder. When all are taken, the connection idle for longest gives way.
    fn slot(&self, holder: &Holder<'_>) -> Result<Arc<Slot>> {
        let key = holder.key();
        let mut slots = self.lock();
        if let Some(slot) = slots.get(&key) {
            return Ok(Arc::clone(slot));
        }
        if slots.len() >= self.most {
            slots.retain(|_, slot| !slot.is_empty());
        }
        if slots.len() >= self.most {
            let idle = slots.iter().filter_map(|(id, slot)| Some((slot.idle()?, id.clone()))).max();
            let Some((_, longest)) = idle else {
                let message = "all connections to this upstream are in use (`maxConnections`); try again later";
                return Err(Error::new(ErrorKind::Busy, message));
            };
            // Dropping it ends it.
            slots.remove(&longest);
        }
        let gone = holder.session.map(|session| session.gone.clone()).unwrap_or_default();
        let slot = Arc::new(Slot { link: AsyncMutex::default(), gone });
        slots.insert(key, Arc::clone(&slot));
        Ok(slot)
    }

    /// The connection a session has already, if it has one.
    pub(super) fn existing(&self, session: &Session) -> Option<Arc<Link>> {
        let mine = |(key, _): &(&Key, &Arc<Slot>)| key.session == Some(session.id);
        let slot = self.lock().iter().find(mine).map(|(_, slot)| Arc::clone(slot))?;
        slot.link.try_lock().ok()?.clone()
    }

    /// Closes connections that nobody needs any more, for as long as it is polled.
    pub(super) async fn sweep(&self) {
        let mut ticks = tokio::time::interval(SWEEP);
        loop {
            ticks.tick().await;
            let over: Vec<Arc<Slot>> = {
                let mut slots = self.lock();
                let is_over = |slot: &Arc<Slot>| {
                    slot.gone.is_cancelled()
                        || slot.is_empty()
                        || slot.is_closed()
                        || slot.idle().is_some_and(|idle| idle > self.idle)
                };
                let keys: Vec<Key> =
                    slots.iter().filter(|(_, slot)| is_over(slot)).map(|(key, _)| key.clone()).collect();
                keys.iter().filter_map(|key| slots.remove(key)).collect()
            };
            close(over).await;
        }
    }

    /// Closes all.
    pub(super) async fn close(&self) {
        let all = self.lock().drain().map(|(_, slot)| slot).collect();
        close(all).await;
    }
}

impl Slot {
    /// How long its connection has been idle; nothing while it is used or made.
    fn idle(&self) -> Option<Duration> {
        self.link.try_lock().ok()?.as_ref()?.idle()
    }

    /// Whether no connection came of it, and nobody is making one. Who has the pool knows that nobody begins to.
    fn is_empty(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) == 1 && self.link.try_lock().is_ok_and(|link| link.is_none())
    }

    fn is_closed(&self) -> bool {
        self.link.try_lock().is_ok_and(|link| link.as_ref().is_some_and(|link| link.closed().is_cancelled()))
    }
}

async fn close(slots: Vec<Arc<Slot>>) {
    let close = |slot: Arc<Slot>| async move {
        if let Some(link) = slot.link.lock().await.take() {
            link.close().await;
        }
    };
    futures_util::future::join_all(slots.into_iter().map(close)).await;
}
