//! One connection to another MCP server: its handshake, its requests, its end.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::channel::{Answer, Channel, Failure, Outgoing};
use super::headers::Wishes;
use super::inbox::Inbox;
use crate::adapter::Secrets;
use crate::call::{Downstream, Era, Session};
use crate::credential::Credential;
use crate::error::{Error, ErrorKind, Rejection};
use crate::params::Params;
use crate::telemetry::TraceContext;

/// The version of each generation that we speak.
pub(super) const HANDSHAKE: &str = "2025-11-25";
pub(super) const PER_REQUEST: &str = "2026-07-28";
/// How long an upstream may take to say that it knows no `server/discover`.
const PROBE: Duration = Duration::from_secs(10);
/// How long an upstream may take to open the stream on which it says things unasked.
const LISTENING: Duration = Duration::from_secs(1);
/// The code by which an upstream refuses a version of MCP.
const UNSUPPORTED_VERSION: i32 = -32022;
/// Keys of `_meta` that belong to one hop.
const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
const HOP_PREFIX: &str = "io.modelcontextprotocol/";

/// What an upstream said of itself.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Facts {
    pub(super) protocol_version: String,
    pub(super) supported_versions: Vec<String>,
    pub(super) capabilities: Map<String, Value>,
    pub(super) instructions: Option<String>,
}

/// A connection, ready for requests.
pub(super) struct Link {
    channel: Arc<dyn Channel>,
    inbox: Arc<Inbox>,
    pub(super) era: Era,
    pub(super) facts: Facts,
    over_http: bool,
    wishes: Arc<RwLock<Wishes>>,
    /// Whose it is, when it is one caller's own.
    session: Option<Session>,
    credential: Arc<Mutex<Credential>>,
    ids: AtomicU64,
    closed: CancellationToken,
    used: Mutex<Instant>,
    served: AtomicBool,
    tasks: TaskTracker,
    _stop: DropGuard,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("era", &self.era).field("channel", &self.channel).finish_non_exhaustive()
    }
}

/// The parts of a connection before its handshake.
pub(super) struct Parts {
    pub(super) channel: Arc<dyn Channel>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) replies: tokio::sync::mpsc::Receiver<String>,
    pub(super) over_http: bool,
    /// What the upstream's tools want mirrored, once that is known.
    pub(super) wishes: Arc<RwLock<Wishes>>,
    pub(super) session: Option<Session>,
    /// What was shown last.
    pub(super) credential: Arc<Mutex<Credential>>,
    pub(super) closed: CancellationToken,
    pub(super) stop: CancellationToken,
}

/// Which generations to try.
#[derive(Debug, Clone, Copy)]
pub(super) struct Eras {
    pub(super) per_request: bool,
    pub(super) handshake: bool,
}

impl Link {
    /// Finds out what the upstream speaks, and shakes hands where that is the custom.
    pub(super) async fn open(parts: Parts, eras: Eras) -> Result<Self, Failure> {
        let Parts { channel, inbox, mut replies, over_http, wishes, session, credential, closed, stop } = parts;
        let tasks = TaskTracker::new();
        tasks.spawn({
            let (channel, stop) = (Arc::clone(&channel), stop.clone());
            let pass_on = async move {
                while let Some(text) = replies.recv().await {
                    let _ = channel.send(text).await;
                }
            };
            async move { stop.run_until_cancelled(pass_on).await }
        });
        let mut link = Self {
            channel,
            inbox,
            era: Era::PerRequest,
            facts: Facts::default(),
            over_http,
            wishes,
            session,
            credential,
            ids: AtomicU64::new(1),
            closed,
            used: Mutex::new(Instant::now()),
            served: AtomicBool::new(false),
            tasks,
            _stop: stop.clone().drop_guard(),
        };
        link.greet(eras).await?;
        let listening = CancellationToken::new();
        link.tasks.spawn({
            let (channel, listening) = (Arc::clone(&link.channel), listening.clone());
            async move { stop.run_until_cancelled(channel.listen(listening)).await }
        });
        // A question asked before anybody listens would be lost.
        let _ = tokio::time::timeout(LISTENING, listening.cancelled()).await;
        Ok(link)
    }

    async fn greet(&mut self, eras: Eras) -> Result<(), Failure> {
        if eras.per_request && self.discover(eras.handshake).await? {
            return Ok(());
        }
        self.era = Era::Handshake;
        self.initialize().await
    }

    /// Whether the upstream speaks the later generation. When it may also speak the earlier one,
    /// whatever it says beside only means that it does not know the question.
    async fn discover(&mut self, otherwise: bool) -> Result<bool, Failure> {
        let ask = || tokio::time::timeout(PROBE, self.request("server/discover", Params::default(), None));
        let mut discovered = ask().await;
        // One that refuses our version and offers it in the same breath is asked again.
        if let Ok(Ok(Err(Rejection { code: UNSUPPORTED_VERSION, data: Some(data), .. }))) = &discovered
            && data.get("supported").and_then(Value::as_array).is_some_and(|all| all.contains(&json!(PER_REQUEST)))
        {
            discovered = ask().await;
        }
        match discovered {
            Ok(Ok(Ok(result))) => {
                let facts: Facts = serde_json::from_slice(&result).unwrap_or_default();
                let offered = facts.supported_versions.iter().any(|version| version == PER_REQUEST);
                self.facts = facts;
                Ok(offered || !otherwise)
            }
            Ok(Ok(Err(_)) | Err(Failure::Exchange(_))) | Err(_) if otherwise => Ok(false),
            Ok(Ok(Err(rejection))) => Err(Failure::Exchange(rejection.into())),
            Ok(Err(failure)) => Err(failure),
            Err(_) => Err(Failure::Exchange(Error::new(ErrorKind::Timeout, "server/discover was not answered"))),
        }
    }

    async fn initialize(&mut self) -> Result<(), Failure> {
        let info = self.session.as_ref().map(|session| Arc::clone(&session.info)).filter(|info| info.is_object());
        let mut params = Params::of("protocolVersion", &HANDSHAKE);
        params.set("capabilities", &self.capabilities());
        match info {
            Some(info) => params.set("clientInfo", &info),
            None => params.set("clientInfo", &Ourselves::default()),
        }
        let result = self.request("initialize", params, None).await?.map_err(|rejection| {
            let message = format!("the upstream refused the handshake: {}", rejection.message);
            Failure::Exchange(Error::new(ErrorKind::Upstream, message))
        })?;
        self.facts = serde_json::from_slice(&result).map_err(|error| {
            Failure::Exchange(Error::new(ErrorKind::Upstream, "the upstream's handshake makes no sense").because(error))
        })?;
        self.notify("notifications/initialized", Params::default()).await
    }

    /// What this connection can be asked. The shared one declares everything, so that the lists
    /// are complete; a question there is refused unless its caller can be asked.
    fn capabilities(&self) -> Value {
        let pages = json!({ "io.modelcontextprotocol/ui": { "mimeTypes": ["text/html;profile=mcp-app"] } });
        let everything = || {
            json!({
                "sampling": {}, "elicitation": { "form": {}, "url": {} }, "roots": { "listChanged": true },
                "extensions": pages,
            })
        };
        self.session.as_ref().map_or_else(everything, |session| Value::clone(&session.capabilities))
    }

    /// Sends a request and waits for its answer. Dropping the future cancels it upstream.
    pub(super) async fn request(
        &self,
        method: &str,
        mut params: Params,
        downstream: Option<&Downstream>,
    ) -> Result<Answer, Failure> {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let trace = downstream.and_then(Downstream::trace);
        self.address(&mut params, id, downstream, trace.as_ref());
        let mut headers = if self.over_http && self.era == Era::PerRequest {
            self.wishes.read().unwrap_or_else(PoisonError::into_inner).headers(method, &params)
        } else {
            Vec::new()
        };
        if let Some(trace) = trace.filter(|_| self.over_http) {
            let header = |(name, value)| Some((HeaderName::from_static(name), HeaderValue::try_from(value).ok()?));
            headers.extend(trace.pairs().filter_map(header));
        }
        let text = message(Some(id), method, &params);
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        if let Some(downstream) = downstream {
            self.inbox.enter(id, downstream.clone());
        }
        let mut under_way =
            UnderWay { link: self, id, for_caller: downstream.is_some(), cancel: method != "initialize" };
        let answer = self.channel.request(Outgoing { id, method, text, headers }).await;
        under_way.cancel = false;
        self.served.fetch_or(downstream.is_some() && answer.is_ok(), Ordering::Relaxed);
        answer.map(|answer| answer.map_err(|rejection| self.without_secrets(rejection)))
    }

    /// An upstream's error, in case it repeats what we showed it.
    fn without_secrets(&self, mut rejection: Rejection) -> Rejection {
        let shown = self.credential.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let secrets = Secrets::of(shown.secrets());
        rejection.message = secrets.hide(&rejection.message);
        rejection.data = rejection.data.map(|data| secrets.hide_in(data));
        rejection
    }

    /// Sends a notification.
    pub(super) async fn notify(&self, method: &str, mut params: Params) -> Result<(), Failure> {
        if self.era == Era::PerRequest {
            params.set("_meta", &json!({ VERSION: PER_REQUEST }));
        }
        self.channel.send(message(None, method, &params)).await
    }

    /// Sends a notification soon, from where nothing can be waited for.
    fn notify_soon(&self, method: &str, params: &Params) {
        self.inbox.reply(message(None, method, params));
    }

    /// What of `_meta` is for this hop: version, capabilities, place in a trace, and our own token for progress.
    fn address(&self, params: &mut Params, id: u64, downstream: Option<&Downstream>, trace: Option<&TraceContext>) {
        let mut meta = downstream.map(|downstream| Params::clone(&downstream.meta)).unwrap_or_default();
        meta.retain(|name| !TraceContext::NAMES.contains(&name));
        for (name, value) in trace.into_iter().flat_map(TraceContext::pairs) {
            meta.set(name, &value);
        }
        meta.take("progressToken");
        if downstream.is_some_and(|downstream| downstream.wants_progress) {
            meta.set("progressToken", &id);
        }
        match self.era {
            Era::Handshake => meta.retain(|key| !key.starts_with(HOP_PREFIX)),
            Era::PerRequest => {
                let session = downstream.and_then(|downstream| downstream.session.as_ref());
                meta.set(VERSION, &PER_REQUEST);
                match (downstream, session) {
                    (None, _) => meta.set(CAPABILITIES, &self.capabilities()),
                    (Some(_), None) => meta.set_default(CAPABILITIES, &json!({})),
                    (Some(_), Some(session)) => meta.set_default(CAPABILITIES, &session.capabilities),
                }
                meta.set_default(CLIENT_INFO, &Ourselves::default());
                if let Some(level) = session.and_then(|session| session.log_level.borrow().clone()) {
                    meta.set_default(LOG_LEVEL, &level);
                }
            }
        }
        params.take("_meta");
        if !meta.is_empty() {
            params.set("_meta", &meta);
        }
    }

    /// Learns which arguments of tools go into headers too; leaves out tools whose wishes make no
    /// sense, and says which.
    pub(super) fn learn(&self, tools: &mut Vec<Value>) -> Vec<String> {
        if !self.over_http || self.era == Era::Handshake {
            return Vec::new();
        }
        let (wishes, omitted) = Wishes::of(tools);
        *self.wishes.write().unwrap_or_else(PoisonError::into_inner) = wishes;
        omitted
    }

    /// Fires when the connection is of no more use.
    pub(super) fn closed(&self) -> &CancellationToken {
        &self.closed
    }

    /// Why it is closed.
    pub(super) fn why_closed(&self) -> Error {
        self.channel.why()
    }

    /// Whether it ever answered a caller.
    pub(super) fn served(&self) -> bool {
        self.served.load(Ordering::Relaxed)
    }

    /// How long nobody has used it; nothing while somebody does.
    pub(super) fn idle(&self) -> Option<Duration> {
        let used = *self.used.lock().unwrap_or_else(PoisonError::into_inner);
        self.inbox.is_idle().then(|| used.elapsed())
    }

    /// Whether the upstream still answers.
    pub(super) async fn is_alive(&self, patience: Duration) -> bool {
        let question = if self.era == Era::Handshake { "ping" } else { "server/discover" };
        matches!(tokio::time::timeout(patience, self.request(question, Params::default(), None)).await, Ok(Ok(_)))
    }

    /// Says goodbye.
    pub(super) async fn close(&self) {
        self.channel.close().await;
        self.closed.cancel();
    }
}

/// Who we say we are to an upstream, when nobody in particular is behind a request.
#[derive(Debug, Serialize)]
struct Ourselves {
    name: &'static str,
    version: &'static str,
}

impl Default for Ourselves {
    fn default() -> Self {
        Self { name: "switchboard", version: env!("CARGO_PKG_VERSION") }
    }
}

/// A message as it goes out; one without an id wants no answer.
fn message(id: Option<u64>, method: &str, params: &Params) -> String {
    #[derive(Serialize)]
    struct Message<'a> {
        jsonrpc: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        method: &'a str,
        params: &'a Params,
    }
    serde_json::to_string(&Message { jsonrpc: "2.0", id, method, params }).unwrap_or_default()
}

/// A request under way; cancelled upstream when dropped before its answer came.
struct UnderWay<'a> {
    link: &'a Link,
    id: u64,
    for_caller: bool,
    cancel: bool,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.link.inbox.leave(self.id);
        // Over HTTP, a request of the later generation is cancelled by hanging up.
        if self.cancel && !(self.link.over_http && self.link.era == Era::PerRequest) {
            let mut params = Params::of("requestId", &self.id);
            params.set("reason", &"the caller gave up");
            self.link.notify_soon("notifications/cancelled", &params);
        }
        if self.cancel && self.for_caller {
            self.link.inbox.doubted();
        }
    }
}
