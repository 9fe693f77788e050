//! The application: parts built from settings, every task owned, and an orderly end.

use std::{net::SocketAddr, path::Path, pin::Pin, sync::Arc, time::Duration};

use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

mod callers;
mod manifests;
mod pages;
mod settings;
mod shutdown;

pub use manifests::Hangups;
pub use settings::Following;
pub use shutdown::Signals;

use crate::audit::{Audit, Deed};
use crate::auth::Mode;
use crate::caller::{Caller, Scopes};
use crate::catalog::{
    ShownPages, SignIn,
    view::{Asked, Unknown},
};
use crate::config::Config;
use crate::credential::{Keyring, SEAL_KEY, Safe, Seal, Vouching};
use crate::error::Problem;
use crate::gateway::{Gateway, Parts, Upkeep};
use crate::manifest::BuiltIn;
use crate::protocol::{Audience, Server};
use crate::secret::Environment;
use crate::signature::Signer;
use crate::store::{Embedded, Store};
use crate::telemetry::Telemetry;
use crate::transport::{Shutdown, TransportError, serve_http, serve_stdio};
use crate::upstream::Upstream;
pub(crate) use manifests::read as read_manifests;
use manifests::{Sources, Stamp};

/// What is started and stopped.
const VERSION: &str = concat!("switchboard ", env!("CARGO_PKG_VERSION"));
/// Where clients learn who signs people in, after our own address.
const METADATA: &str = "/.well-known/oauth-protected-resource/mcp";
/// After the last call ended, its answer has this long to leave.
const LINGER: Duration = Duration::from_millis(250);

/// Why the application cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// What a person wrote is wrong.
    #[error("{} to mend", if .0.len() == 1 { "there is a problem" } else { "there are problems" })]
    Problems(Vec<Problem>),
    /// The address cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(String, std::io::Error),
    /// A transport failed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// Signals cannot be received.
    #[error("signals cannot be received: {0}")]
    Signals(std::io::Error),
    /// A second signal came while stopping.
    #[error("stopped at once")]
    StoppedAtOnce,
}

/// Our address for somebody at this machine. Nobody connects to the address that stands for all.
fn reached_at(address: SocketAddr) -> String {
    let all = address.ip().is_unspecified();
    let address = if all { SocketAddr::from(([127, 0, 0, 1], address.port())) } else { address };
    format!("http://{address}")
}

/// What outlives the program, or why there is nothing.
fn open_store(folder: Option<&Path>) -> Result<Arc<dyn Store>, String> {
    let folder = folder.ok_or("no folder is known where data can be kept; set SWITCHBOARD_DATA_DIR (--data-dir)")?;
    let store = Embedded::open(folder).map_err(|error| error.to_string())?;
    Ok(Arc::new(store))
}

/// Everything credentials are found with. Sealing keys have to be right: with others, what is kept would be passed
/// over, and what an issuer takes once would be shown to it again.
fn keyring(
    config: &Config,
    environment: &Environment,
    mode: Mode,
    store: &Result<Arc<dyn Store>, String>,
) -> Result<Arc<Keyring>, AppError> {
    let data = config.data_dir.as_deref().filter(|_| store.is_ok());
    let file = config.credentials.seal_key_file.as_deref();
    let seal = Seal::load(environment, file, data);
    let given = file.is_some() || environment.get(SEAL_KEY).is_some();
    if let Err(why) = seal.as_ref().map_err(Clone::clone)
        && (given || data.is_some())
    {
        return Err(AppError::Problems(vec![Problem::in_file("settings", why)]));
    }
    let safe = store.clone().and_then(|store| Ok(Safe::new(store, Arc::new(seal?))));
    let vouching = if mode == Mode::BuiltIn { Vouching::ByIssuer } else { Vouching::Nobody };
    Ok(Keyring::new(environment.clone(), &config.vault, safe, vouching))
}

/// The running parts.
#[derive(Debug)]
pub struct App {
    config: Config,
    mode: Mode,
    gateway: Arc<Gateway>,
    audience: Audience,
    sources: Sources,
    stamp: Stamp,
    environment: Environment,
    following: Option<Following>,
    hangups: Option<Hangups>,
}

impl App {
    /// Builds the parts and reads the manifests. With `strict`, any error in them is fatal.
    pub fn open(config: Config, environment: Environment) -> Result<Self, AppError> {
        Self::telling(config, environment, Telemetry::default())
    }

    /// The same, and tells what goes on.
    pub fn telling(config: Config, environment: Environment, telemetry: Telemetry) -> Result<Self, AppError> {
        let mode = config.mode(&config.keys(&environment));
        let sources = Sources {
            manifests: config.manifests.clone(),
            bundle: config.apps_bundle_dir.clone(),
            // As far as is known before we listen.
            base: config.base().or_else(|| Some(reached_at(SocketAddr::new(config.host, config.port)))),
            is_public: config.public_url.is_some(),
            built_in: BuiltIn {
                profile: config.sign_in(mode).is_oauth(),
                registry: config.sign_in(mode) != SignIn::Nobody,
            },
        };
        let (pins, faults) = config.pins().map_err(AppError::Problems)?;
        for fault in faults {
            tracing::error!("no tool is compared with what was agreed to: {fault}");
        }
        let stamp = sources.stamp();
        let (manifests, pages) = sources.read([], |_| {}).map_err(|problem| AppError::Problems(vec![problem]))?;
        let store = open_store(config.data_dir.as_deref());
        if let Err(reason) = &store {
            tracing::warn!("nothing is kept for later: {reason}");
        }
        let keyring = keyring(&config, &environment, mode, &store)?;
        let audit = Audit::new(&config.audit, config.data_dir.as_deref());
        let limits = config.gateway(mode, &environment);
        let signer = Signer::open(&config.signature, &environment, config.data_dir.as_deref());
        let signer = signer.map_err(|why| AppError::Problems(vec![Problem::in_file("settings", why)]))?;
        let parts = Parts { keyring, upstream: Upstream::default(), store, audit, telemetry, signer };
        let gateway = Gateway::new(parts, limits, pins);
        let shown = ShownPages::new(&manifests.connectors, &pages);
        let (_, live) = gateway.load(manifests, pages, shown);
        gateway.tell_numbers(live.brand());
        if config.strict && live.problems.iter().any(Problem::is_error) {
            return Err(AppError::Problems(live.problems.clone()));
        }
        let (audience, following, hangups) = (Audience::default(), None, None);
        Ok(Self { config, mode, gateway, audience, sources, stamp, environment, following, hangups })
    }

    /// Reads the settings again when their file changes or SIGHUP comes, as far as they can change while we run.
    #[must_use]
    pub fn following(self, following: Following) -> Self {
        Self { following: Some(following), ..self }
    }

    /// Answers these SIGHUPs by reading again; unsaid, those from the time on when it serves.
    #[must_use]
    pub fn hearing(self, hangups: Hangups) -> Self {
        Self { hangups: Some(hangups), ..self }
    }

    /// What answers calls.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// The same, to be shared.
    pub fn shared_gateway(&self) -> Arc<Gateway> {
        Arc::clone(&self.gateway)
    }

    /// Does something with every connector started, as far as it can be.
    pub async fn with_connectors<T>(&self, work: impl Future<Output = T>) -> T {
        let stop = CancellationToken::new();
        self.read_added().await;
        let settled = async {
            self.gateway.settled().await;
            let done = work.await;
            stop.cancel();
            done
        };
        tokio::join!(settled, Arc::clone(&self.gateway).tend(Upkeep::Connections, stop.clone())).0
    }

    /// What is told of what goes on.
    pub fn telemetry(&self) -> Telemetry {
        self.gateway.telemetry().clone()
    }

    /// The settings in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Serves over HTTP until a signal. `ready` is told the address.
    pub async fn serve(mut self, ready: impl FnOnce(SocketAddr)) -> Result<(), AppError> {
        // Before anybody is told that we run, so that a signal finds its handler.
        let signals = Signals::new().map_err(AppError::Signals)?;
        self.hangups.get_or_insert_with(Hangups::from_here);
        let wanted = (self.config.host, self.config.port);
        let failed = |error| AppError::Listen(format!("{}:{}", wanted.0, wanted.1), error);
        let listener = TcpListener::bind(wanted).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let base = self.config.base().unwrap_or_else(|| reached_at(address));
        self.find_at(Some(base.clone()));
        self.read_added().await;
        self.keep_pages().await;
        let auth = Arc::new(self.auth(&base).await?);
        if let Some(issuer) = auth.issuer() {
            issuer.record_in(self.gateway.audit().clone());
        }
        ready(address);
        let shutdown = Shutdown::default();
        let server = self.server(Caller::Anonymous { reach: Scopes::none() }, &shutdown);
        let server = server.with_views(self.config.views(), Asked::default());
        let server = server.with_sign_in(auth.metadata().map(|_| format!("{base}{METADATA}").into()));
        let options = self.config.http(&self.environment, auth);
        let serving = Box::pin(serve_http(server, listener, options, shutdown.clone()));
        self.run(signals, shutdown, serving).await
    }

    /// Serves the client that started us what was asked for it, until it closes our input or a signal comes.
    pub async fn stdio(mut self, asked: Asked) -> Result<(), AppError> {
        self.hangups.get_or_insert_with(Hangups::from_here);
        let views = self.config.views();
        let unknown = |unknown: Unknown| AppError::Problems(vec![Problem::in_file("command line", unknown.message())]);
        views.check(&asked).map_err(unknown)?;
        self.find_at(self.config.base());
        self.read_added().await;
        self.keep_pages().await;
        let signals = Signals::new().map_err(AppError::Signals)?;
        let shutdown = Shutdown::default();
        let server = self.server(Caller::Local, &shutdown).with_views(views, asked);
        let serving = Box::pin(serve_stdio(server, shutdown.clone()));
        self.run(signals, shutdown, serving).await
    }

    /// Reads what was added while an earlier server ran.
    async fn read_added(&self) {
        if self.gateway.registry().has_any().await {
            manifests::read_again(&self.sources, &self.gateway).await;
        }
    }

    /// Says where clients find what pages load.
    fn find_at(&mut self, base: Option<String>) {
        if self.sources.base != base {
            self.sources.base.clone_from(&base);
            self.gateway.listens_at(base);
        }
    }

    /// Keeps the pages before anybody sees them.
    async fn keep_pages(&self) {
        let live = self.gateway.live();
        self.gateway.keep_next(live.shown(), &live.pages().bundle).await;
    }

    fn server(&self, caller: Caller, shutdown: &Shutdown) -> Server {
        Server::new(Arc::clone(&self.gateway), self.audience.clone(), caller, shutdown.draining.clone())
    }

    /// Runs a transport beside what every transport needs, and ends them all.
    async fn run(
        mut self,
        mut signals: Signals,
        shutdown: Shutdown,
        serving: impl Future<Output = Result<(), TransportError>>,
    ) -> Result<(), AppError> {
        self.gateway.did(Deed::ServerStart, &Caller::Local, VERSION, None);
        let over = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(over.clone().run_until_cancelled_owned(self.audience.clone().announce(Arc::clone(&self.gateway))));
        let Hangups { settings, manifests } = self.hangups.take().unwrap_or_else(Hangups::from_here);
        let (sources, stamp) = (self.sources.clone(), self.stamp.clone());
        let follow = manifests::follow(sources, Arc::clone(&self.gateway), stamp, manifests);
        tasks.spawn(over.clone().run_until_cancelled_owned(follow));
        if let Some(following) = self.following.take() {
            let follow = following.follow(Arc::clone(&self.gateway), settings);
            tasks.spawn(over.clone().run_until_cancelled_owned(follow));
        }
        let (gateway, stop) = (Arc::clone(&self.gateway), over.clone());
        tasks.spawn(async move { gateway.tend(Upkeep::Everything, stop).await });

        tokio::pin!(serving);
        let ended = tokio::select! {
            served = &mut serving => served.map_err(AppError::from),
            () = signals.next() => self.drain(shutdown, serving, &mut signals).await,
        };
        // However it ended: no call goes on, and what it started is gone.
        self.gateway.stop();
        let _ = tokio::time::timeout(LINGER, self.gateway.idle()).await;
        over.cancel();
        tasks.close();
        tasks.wait().await;
        self.gateway.did(Deed::ServerStop, &Caller::Local, VERSION, ended.as_ref().err().map(|error| error as _));
        self.gateway.audit().close().await;
        ended
    }

    /// Lets calls under way finish, then ends them; a second signal ends everything at once.
    async fn drain(
        &self,
        shutdown: Shutdown,
        serving: Pin<&mut impl Future<Output = Result<(), TransportError>>>,
        signals: &mut Signals,
    ) -> Result<(), AppError> {
        let grace = self.config.drain();
        tracing::info!("stopping: calls under way have {} s", grace.as_secs());
        shutdown.draining.cancel();
        let calls = async {
            let _ = tokio::time::timeout(grace, self.gateway.idle()).await;
            self.gateway.stop();
            let _ = tokio::time::timeout(LINGER, self.gateway.idle()).await;
            tokio::time::sleep(LINGER).await;
            shutdown.expired.cancel();
        };
        tokio::select! {
            (served, ()) = async { tokio::join!(serving, calls) } => served.map_err(AppError::from),
            () = signals.next() => Err(AppError::StoppedAtOnce),
        }
    }
}
