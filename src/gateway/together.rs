//! Tools that are used together, learned from calls: how often, for each tenant by itself, and nothing else of them.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use tokio_util::sync::CancellationToken;

mod counts;
mod recent;

use super::{Gateway, Live};
use crate::call::Downstream;
use crate::caller::{Caller, Principal};
use crate::catalog::Entry;
use crate::manifest::AdapterSettings;
use crate::store::{Expected, Put, Store, StoreError};
use crate::widget::sha256_hex;
use counts::Counts;
use recent::Recent;

/// Where counts are kept, below it by tenant.
const PLACE: &str = "together/";
/// Counts are written this often, and read again when they are older.
const EVERY: Duration = Duration::from_mins(1);
/// How long they are kept after the last write.
const KEPT: Duration = Duration::from_hours(24 * 180);
/// Tenants whose counts are in memory.
const MOST_TENANTS: usize = 500;
/// Tries to write while other processes write, too.
const TRIES: usize = 8;
/// The letters of a tenant's tag.
const TAG: usize = 24;

/// What is learned of calls, if anything is.
#[derive(Debug)]
pub(super) struct Together(Option<Learner>);

#[derive(Debug, Default)]
struct Learner {
    /// Nobody can know which callers share a number's place.
    hasher: RandomState,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    recent: Recent,
    books: Books,
}

#[derive(Debug, Default)]
struct Books {
    /// Of callers of no tenant.
    nobody: Book,
    /// Of callers who proved nothing: what strangers do says nothing to others.
    strangers: Book,
    tenants: HashMap<String, Book>,
}

/// What is known of the calls of one tenant.
#[derive(Debug, Default)]
struct Book {
    /// What is kept, of all processes, as it was read.
    kept: Counts,
    read: Option<Instant>,
    /// What is being written.
    leaving: Counts,
    /// What was counted since.
    fresh: Counts,
}

/// Who calls, and for whom their calls are counted.
#[derive(Debug)]
pub(super) struct Mark {
    number: u64,
    whose: Whose,
}

/// For whom calls are counted.
#[derive(Debug, Clone)]
enum Whose {
    Nobody,
    Strangers,
    Of(Arc<Principal>),
}

impl Whose {
    fn new(caller: &Caller) -> Self {
        match caller {
            Caller::Anonymous { .. } => Self::Strangers,
            Caller::Known(principal) if principal.tenant.is_some() => Self::Of(Arc::clone(principal)),
            Caller::Known(_) | Caller::Local => Self::Nobody,
        }
    }
}

/// Whose counts, by name.
#[derive(Debug, Clone, PartialEq)]
enum Shelf {
    Nobody,
    Strangers,
    Of(String),
}

impl Shelf {
    fn new(whose: &Whose) -> Self {
        match whose {
            Whose::Nobody => Self::Nobody,
            Whose::Strangers => Self::Strangers,
            Whose::Of(principal) => Self::Of(principal.tenant.clone().unwrap_or_default()),
        }
    }

    fn key(&self) -> String {
        match self {
            Self::Nobody => format!("{PLACE}-"),
            Self::Strangers => format!("{PLACE}anonymous"),
            // A tenant may be called anything.
            Self::Of(tenant) => format!("{PLACE}{}", sha256_hex(tenant).chars().take(TAG).collect::<String>()),
        }
    }
}

impl Books {
    /// The book of these callers, if there is one or room for it.
    fn of(&mut self, whose: &Whose) -> Option<&mut Book> {
        let tenant = match whose {
            Whose::Nobody => return Some(&mut self.nobody),
            Whose::Strangers => return Some(&mut self.strangers),
            Whose::Of(principal) => principal.tenant.as_deref().unwrap_or_default(),
        };
        if !self.tenants.contains_key(tenant) {
            if self.tenants.len() >= MOST_TENANTS {
                // What is kept can be read again; what is not yet kept stays.
                let idle = self.tenants.iter().filter(|(_, book)| book.fresh.is_empty() && book.leaving.is_empty());
                let idle = idle.min_by_key(|(_, book)| book.read).map(|(tenant, _)| tenant.clone())?;
                self.tenants.remove(&idle);
            }
            self.tenants.insert(tenant.to_owned(), Book::default());
        }
        self.tenants.get_mut(tenant)
    }

    fn on(&mut self, place: &Shelf) -> Option<&mut Book> {
        match place {
            Shelf::Nobody => Some(&mut self.nobody),
            Shelf::Strangers => Some(&mut self.strangers),
            Shelf::Of(tenant) => self.tenants.get_mut(tenant),
        }
    }

    /// What has to be kept.
    fn leave(&mut self) -> Vec<(Shelf, Counts)> {
        let tenants = self.tenants.iter_mut().map(|(tenant, book)| (Shelf::Of(tenant.clone()), book));
        let rest = [(Shelf::Nobody, &mut self.nobody), (Shelf::Strangers, &mut self.strangers)];
        let all = tenants.chain(rest).filter(|(_, book)| !book.fresh.is_empty());
        all.map(|(shelf, book)| {
            book.leaving = std::mem::take(&mut book.fresh);
            (shelf, book.leaving.clone())
        })
        .collect()
    }
}

impl Book {
    /// Takes note of what is kept now, or that nothing was.
    fn turn(&mut self, kept: Option<Counts>) {
        let leaving = std::mem::take(&mut self.leaving);
        match kept {
            Some(kept) => (self.kept, self.read) = (kept, Some(Instant::now())),
            None => self.fresh.add(&leaving),
        }
    }

    /// Keeps it as long as we live.
    fn stay(&mut self) {
        let age = self.read.map_or(Duration::ZERO, |read| read.elapsed());
        let mut kept = std::mem::take(&mut self.kept);
        kept.fade(age.as_secs());
        kept.add(&self.leaving);
        self.turn(Some(kept));
    }
}

impl Together {
    /// Learns, or does not.
    pub(super) fn new(learns: bool) -> Self {
        Self(learns.then(Learner::default))
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> Option<T> {
        let state = &self.0.as_ref()?.state;
        Some(work(&mut state.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Who calls, for when the call has ended.
    pub(super) fn mark(&self, caller: &Caller, downstream: &Downstream) -> Option<Mark> {
        let hasher = &self.0.as_ref()?.hasher;
        let number = match caller {
            Caller::Local => hasher.hash_one(0_u8),
            Caller::Anonymous { .. } => hasher.hash_one((1_u8, downstream.session.as_ref().map(|session| session.id))),
            Caller::Known(it) => hasher.hash_one((2_u8, &it.issuer, &it.subject, &it.tenant)),
        };
        Some(Mark { number, whose: Whose::new(caller) })
    }

    /// Counts a call that went well.
    pub(super) fn note(&self, mark: &Mark, entry: &Entry) {
        self.with(|State { recent, books }| {
            if let Some(book) = books.of(&mark.whose) {
                recent.note(mark, entry, &mut book.fresh, Instant::now());
            }
        });
    }

    /// Other tools that callers of one's own tenant often use with this one, as `connector.tool`, each with how often.
    pub(super) fn often(&self, caller: &Caller, tool: &str) -> Vec<(Arc<str>, f32)> {
        let whose = Whose::new(caller);
        let often = |state: &mut State| {
            let Book { kept, leaving, fresh, .. } = state.books.of(&whose)?;
            Some(counts::often(&[kept, leaving, fresh], tool))
        };
        self.with(often).flatten().unwrap_or_default()
    }

    /// Reads what is kept for a caller's tenant, if that was not done lately.
    pub(super) async fn recall(&self, caller: &Caller, store: Option<&dyn Store>) {
        let whose = Whose::new(caller);
        let (Some(store), now) = (store, Instant::now()) else { return };
        let is_due = |state: &mut State| {
            let book = state.books.of(&whose)?;
            let due = book.read.is_none_or(|read| now.duration_since(read) >= EVERY);
            if due {
                // Also when it fails: nobody waits for a store that is ill more than once a minute.
                book.read = Some(now);
            }
            Some(due)
        };
        if self.with(is_due).flatten() != Some(true) {
            return;
        }
        match store.get(&Shelf::new(&whose).key()).await {
            Ok(stored) => {
                let kept = stored.map(|stored| Counts::read(&stored.value, seconds())).unwrap_or_default();
                self.with(|state| state.books.of(&whose).map(|book| book.kept = kept));
            }
            Err(error) => tracing::warn!("what tools are used together cannot be read: {error}"),
        }
    }

    /// Keeps what was counted since the last time.
    async fn keep(&self, store: Option<&dyn Store>) {
        for (shelf, counts) in self.with(|state| state.books.leave()).unwrap_or_default() {
            let Some(store) = store else {
                self.with(|state| state.books.on(&shelf).map(Book::stay));
                continue;
            };
            let kept = write(store, &shelf.key(), &counts).await;
            if let Err(error) = &kept {
                tracing::warn!("what tools are used together is not kept: {error}");
            }
            self.with(|state| state.books.on(&shelf).map(|book| book.turn(kept.ok())));
        }
    }
}

/// Adds counts to those that are kept, which other processes add to as well; gives all.
async fn write(store: &dyn Store, key: &str, counts: &Counts) -> Result<Counts, StoreError> {
    for _ in 0..TRIES {
        let (now, stored) = (seconds(), store.get(key).await?);
        let expected = stored.as_ref().map_or(Expected::Absent, |stored| Expected::Is(stored.version));
        let mut all = stored.map(|stored| Counts::read(&stored.value, now)).unwrap_or_default();
        all.add(counts);
        let put = Put { expected, expires: SystemTime::now().checked_add(KEPT) };
        if store.put(key, all.write(now), put).await?.is_some() {
            return Ok(all);
        }
    }
    Err(StoreError::Unavailable("too many other processes write it; it is tried again".into()))
}

/// Seconds of Unix time.
fn seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Gateway {
    /// Counts a call that went well. What the gateway does itself belongs to everything.
    pub(super) fn learn(&self, mark: Option<&Mark>, live: &Live, entry: &Entry) {
        let Some(mark) = mark else { return };
        let connector = live.connectors.get(&entry.connector);
        if connector.is_some_and(|it| !matches!(it.checked.connector.adapter, AdapterSettings::Gateway(_))) {
            self.together.note(mark, entry);
        }
    }

    /// Keeps what is learned of calls, now and then and in the end.
    pub(super) async fn keep_together(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let is_over = stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none();
            self.together.keep(self.store.as_deref().ok()).await;
            if is_over {
                return;
            }
        }
    }
}
