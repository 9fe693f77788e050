//! The record of who did what: one line for each call and each administrative act.
//!
//! Whoever records hands over a few values and goes on. One thread of its own makes records of them, chains them by
//! their hashes and writes them down; what it cannot keep up with is counted, and that is recorded, too.

use std::{
    fmt,
    num::NonZeroU64,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::{Builder, Thread},
    time::{Duration, SystemTime},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use tokio_util::sync::CancellationToken;

mod chain;
mod record;
mod shape;
mod verify;
mod writer;

pub use verify::{Fault, Report, newest, verify};

use writer::Writer;

/// What waits to be written. One more is lost, and counted.
const QUEUE: usize = 8192;
/// The largest arguments that are looked at.
const LARGEST_ARGUMENTS: usize = 64 << 10;
/// The most bytes of arguments that wait to be looked at.
const WAITING_ARGUMENTS: usize = 16 << 20;
/// How long the end waits for what is still to be written.
const LAST: Duration = Duration::from_secs(3);

/// What is recorded, and where.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AuditConfig {
    /// Whether calls and administrative acts are recorded.
    pub enabled: bool,
    /// The folder of records; `audit` in the data folder when unsaid.
    pub folder: Option<PathBuf>,
    /// How large a file of records grows before the next one is begun.
    #[schemars(range(min = 4096, max = 1_099_511_627_776_u64))]
    pub max_bytes: u64,
    /// How many old files are kept of each process that writes here.
    #[schemars(range(min = 1, max = 100_000))]
    pub keep: NonZeroU64,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self { enabled: true, folder: None, max_bytes: 64 << 20, keep: NonZeroU64::MIN.saturating_add(15) }
    }
}

impl AuditConfig {
    /// The folder of records, if one is known.
    pub fn folder(&self, data: Option<&Path>) -> Option<PathBuf> {
        self.folder.clone().or_else(|| Some(data?.join("audit")))
    }
}

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// The person at this machine, or the program itself.
    Local,
    /// Somebody who proved nothing.
    Anonymous,
    /// Somebody who proved who they are.
    Known {
        /// Who proved it.
        issuer: String,
        /// Names them there.
        subject: String,
        /// Whom they belong to.
        tenant: Option<String>,
    },
}

/// What is kept of the arguments of a tool's calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Keeping {
    /// Nothing.
    Nothing,
    /// Their names, as far as the tool declares them, and their types.
    #[default]
    Shape,
    /// They themselves.
    Values,
}

/// The tool of a call. It is asked when the record is made, beside all calls.
pub trait Called: fmt::Debug + Send + Sync {
    /// Its connector.
    fn connector(&self) -> &str;
    /// Its connector's own name for it.
    fn tool(&self) -> &str;
    /// The version of its connector's manifest.
    fn version(&self) -> Option<&str>;
    /// What its connector's tools were published as, in a word.
    fn fingerprint(&self) -> Arc<str>;
    /// What it takes.
    fn input(&self) -> Option<&Value>;
    /// What is kept of its arguments.
    fn keeping(&self) -> Keeping;
}

/// One call that ended.
#[derive(Debug)]
pub struct Call {
    /// Who called.
    pub who: Who,
    /// What the client says it is.
    pub client: Option<String>,
    /// What was asked for, by its published name.
    pub tool: String,
    /// The tool, once it was found.
    pub called: Option<Box<dyn Called>>,
    /// How it ended, in a word.
    pub outcome: &'static str,
    /// Bytes of its arguments.
    pub argument_bytes: usize,
    /// Its arguments, as far as [`Audit::wants`] them.
    pub arguments: Option<Box<RawValue>>,
    /// Bytes of its result.
    pub result_bytes: usize,
    /// How long it took.
    pub took: Duration,
    /// Names it in the log.
    pub request: Arc<str>,
    /// Names its trace.
    pub trace: Option<Arc<str>>,
}

/// One administrative act.
#[derive(Debug)]
pub struct Act {
    /// What was done.
    pub deed: Deed,
    /// Who did it.
    pub who: Who,
    /// What it was done to.
    pub on: String,
    /// How it ended: `ok`, or why it did not.
    pub outcome: String,
    /// Anything else. Integers, texts, lists and objects; no secrets.
    pub details: Option<Value>,
}

impl Act {
    /// An act of the person at this machine that ended well.
    pub fn local(deed: Deed, on: impl Into<String>) -> Self {
        Self { deed, who: Who::Local, on: on.into(), outcome: "ok".into(), details: None }
    }
}

/// What administrators do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "their words say it")]
pub enum Deed {
    #[serde(rename = "connector.add")]
    ConnectorAdd,
    #[serde(rename = "connector.remove")]
    ConnectorRemove,
    #[serde(rename = "key.new")]
    KeyNew,
    #[serde(rename = "key.revoke")]
    KeyRevoke,
    #[serde(rename = "user.add")]
    UserAdd,
    #[serde(rename = "user.password")]
    UserPassword,
    #[serde(rename = "user.disconnect")]
    UserDisconnect,
    #[serde(rename = "user.remove")]
    UserRemove,
    #[serde(rename = "grant.connect")]
    GrantConnect,
    #[serde(rename = "grant.disconnect")]
    GrantDisconnect,
    #[serde(rename = "pins.approve")]
    PinsApprove,
    #[serde(rename = "manifests.reload")]
    ManifestsReload,
    #[serde(rename = "config.reload")]
    ConfigReload,
    #[serde(rename = "server.start")]
    ServerStart,
    #[serde(rename = "server.stop")]
    ServerStop,
    #[serde(rename = "oauth-client.set")]
    OauthClientSet,
    #[serde(rename = "oauth-client.drop")]
    OauthClientDrop,
    #[serde(rename = "consent.give")]
    ConsentGive,
}

/// What waits to be written, and when it was.
#[derive(Debug)]
enum Event {
    Call(Box<Call>),
    Act(Box<Act>),
    /// Nothing: look whether the end is asked for.
    End,
}

/// What the writer and those who record know of each other.
#[derive(Debug, Default)]
struct Tally {
    records: AtomicU64,
    lost: AtomicU64,
    /// Whether the last write failed.
    failing: AtomicBool,
    /// Bytes of arguments that wait.
    waiting: AtomicUsize,
    ending: AtomicBool,
    over: CancellationToken,
}

/// The way to the writer, and the writer, if it could be started.
type Queue = (SyncSender<(SystemTime, Event)>, Option<Thread>);

#[derive(Debug)]
struct Inner {
    place: Place,
    queue: OnceLock<Queue>,
    tally: Arc<Tally>,
}

/// Where records are written.
#[derive(Debug, Clone)]
struct Place {
    folder: PathBuf,
    max_bytes: u64,
    keep: usize,
}

/// Takes records. Cheap to share; recording never waits. By default it takes them nowhere.
#[derive(Debug, Clone, Default)]
pub struct Audit(Option<Arc<Inner>>);

impl Audit {
    /// Records as these settings say. Nothing is touched before the first record.
    pub fn new(config: &AuditConfig, data: Option<&Path>) -> Self {
        let folder = config.folder(data).filter(|_| config.enabled);
        let keep = usize::try_from(config.keep.get()).unwrap_or(usize::MAX);
        let place = folder.map(|folder| Place { folder, max_bytes: config.max_bytes, keep });
        Self(place.map(|place| Arc::new(Inner { place, queue: OnceLock::new(), tally: Arc::default() })))
    }

    /// Whether anything is recorded.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Whether arguments of so many bytes are looked at.
    pub fn wants(&self, bytes: usize) -> bool {
        bytes <= LARGEST_ARGUMENTS
            && self.0.as_ref().is_some_and(|inner| inner.tally.waiting.load(Ordering::Relaxed) < WAITING_ARGUMENTS)
    }

    /// Records a call.
    pub fn call(&self, call: Call) {
        self.send(|tally| {
            let bytes = call.arguments.as_ref().map_or(0, |arguments| arguments.get().len());
            tally.waiting.fetch_add(bytes, Ordering::Relaxed);
            Event::Call(Box::new(call))
        });
    }

    /// Records an administrative act.
    pub fn act(&self, act: Act) {
        self.send(|_| Event::Act(Box::new(act)));
    }

    /// How many records were written by now, and how many were lost.
    pub fn counts(&self) -> (u64, u64) {
        let count = |inner: &Arc<Inner>| {
            (inner.tally.records.load(Ordering::Relaxed), inner.tally.lost.load(Ordering::Relaxed))
        };
        self.0.as_ref().map(count).unwrap_or_default()
    }

    /// Whether records could not be written the last time.
    pub fn is_failing(&self) -> bool {
        self.0.as_ref().is_some_and(|inner| inner.tally.failing.load(Ordering::Relaxed))
    }

    /// Ends the recording: what was taken is written, as long as that takes no more than a few seconds.
    pub async fn close(&self) {
        let Some(inner) = &self.0 else { return };
        let Some((queue, writer)) = inner.queue.get() else { return };
        inner.tally.ending.store(true, Ordering::SeqCst);
        // Where it is full, the writer does not sleep and sees the end for itself.
        let _ = queue.try_send((SystemTime::now(), Event::End));
        if let Some(writer) = writer {
            writer.unpark();
        }
        if tokio::time::timeout(LAST, inner.tally.over.cancelled()).await.is_err() {
            tracing::warn!("the last audit records could not be written in {} s", LAST.as_secs());
        }
    }

    fn send(&self, event: impl FnOnce(&Tally) -> Event) {
        let Some(inner) = &self.0 else { return };
        let (queue, _) = inner.queue.get_or_init(|| inner.start());
        let event = (SystemTime::now(), event(&inner.tally));
        if let Err(TrySendError::Full((_, lost)) | TrySendError::Disconnected((_, lost))) = queue.try_send(event) {
            inner.tally.lost.fetch_add(1, Ordering::Relaxed);
            if let Event::Call(call) = &lost {
                inner.tally.taken(call);
            }
        }
    }
}

impl Inner {
    fn start(&self) -> Queue {
        let (queue, inbox) = sync_channel(QUEUE);
        let writer = Writer::new(self.place.clone(), inbox, Arc::clone(&self.tally));
        let started = Builder::new().name("audit".into()).spawn(move || writer.run());
        let started = started.inspect_err(|error| {
            self.tally.over.cancel();
            self.tally.failing.store(true, Ordering::Relaxed);
            tracing::error!(%error, "nothing is recorded: the thread that does so cannot be started");
        });
        (queue, started.ok().map(|handle| handle.thread().clone()))
    }
}

impl Tally {
    /// Notes that a call waits no longer.
    fn taken(&self, call: &Call) {
        if let Some(arguments) = &call.arguments {
            self.waiting.fetch_sub(arguments.get().len(), Ordering::Relaxed);
        }
    }
}
