//! How a connector's connections are made.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, RwLock},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::channel::{Channel, Failure};
use super::headers::Wishes;
use super::inbox::Inbox;
use super::link::{Eras, Link, Parts};
use super::signal::Signals;
use super::sse::Sse;
use super::stdio::{Pipes, Program};
use super::streamable::{Address, Shown, Streamable};
use crate::adapter::process::{find, search_path, variables};
use crate::adapter::{Surroundings, connect_timeout, plain_headers, web_address};
use crate::call::Session;
use crate::caller::Caller;
use crate::catalog::Names;
use crate::credential::{Credential, CredentialSource};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Checked, McpProtocol, McpSettings, McpTransport};
use crate::secret::{Environment, Text};
use crate::upstream::Limit;

/// On whose behalf an upstream is reached.
#[derive(Debug, Clone)]
pub(super) enum Party {
    /// Somebody's who connected, to learn what it has and for nothing else.
    Listing,
    /// This caller's.
    Caller(Caller),
}

impl Party {
    /// Where all callers show the same, it does not matter whose.
    pub(super) const ALL: Self = Self::Caller(Caller::Local);

    /// What to show now.
    pub(super) async fn credential(&self, source: &dyn CredentialSource) -> Result<Credential> {
        match self {
            Self::Caller(caller) => source.credential(caller).await,
            Self::Listing => {
                let nobody = || Error::new(ErrorKind::NotConnected, "nobody is connected any more");
                source.for_listing().await?.ok_or_else(nobody)
            }
        }
    }

    /// What they are told when there is none, and they can do something about that.
    pub(super) fn unwelcome(&self, source: &dyn CredentialSource) -> Option<Error> {
        match self {
            Self::Caller(_) => source.unwelcome(),
            Self::Listing => None,
        }
    }

    /// That was refused: whether there is another one.
    pub(super) async fn refused(&self, source: &dyn CredentialSource, shown: &Credential) -> bool {
        match self {
            Self::Caller(caller) => source.refused(caller, shown).await,
            Self::Listing => source.listing_refused(shown).await,
        }
    }
}

/// Makes connections to one upstream, each with credentials read anew.
#[derive(Debug)]
pub(super) struct Dialer {
    way: Way,
    transport: McpTransport,
    eras: Eras,
    pub(super) timeout: Duration,
    checked: Checked,
    pub(super) source: Arc<dyn CredentialSource>,
    /// What the upstream's tools want mirrored, for all its connections.
    wishes: Arc<RwLock<Wishes>>,
    /// What people call the connector.
    pub(super) name: String,
    pub(super) names: Names,
    pub(super) signals: Signals,
}

#[derive(Debug)]
enum Way {
    Program(Program),
    Address(Box<Address>),
}

impl Dialer {
    /// Reads the settings' references; the reason when one has no value.
    pub(super) fn new(
        checked: &Checked,
        settings: &McpSettings,
        source: &Arc<dyn CredentialSource>,
        around: Surroundings<'_>,
    ) -> Result<Self, String> {
        let environment = around.environment();
        let largest = Limit { bytes: around.max_result, setting: "limits.resultBytes" };
        let way = match (&settings.program, &settings.url) {
            (Some(program), _) => Way::Program(self::program(checked, settings, program, environment, largest)?),
            (None, Some(url)) => {
                let hop = around.upstream.hop(settings.allow_private, connect_timeout(checked));
                let hop = hop.map_err(|error| error.to_string())?;
                let (url, headers) =
                    (web_address("url", url, environment)?, plain_headers(&settings.headers, environment)?);
                Way::Address(Box::new(Address { url, headers, hop, largest }))
            }
            (None, None) => return Err("its manifest names neither a program nor a url".into()),
        };
        let ends_in_sse =
            matches!(&way, Way::Address(address) if address.url.path().trim_end_matches('/').ends_with("/sse"));
        let transport = match settings.transport {
            McpTransport::Auto if ends_in_sse => McpTransport::Sse,
            transport @ (McpTransport::Auto | McpTransport::Streamable | McpTransport::Sse) => transport,
        };
        let connector = &checked.connector;
        Ok(Self {
            way,
            transport,
            eras: Eras {
                per_request: settings.protocol != McpProtocol::Handshake && transport != McpTransport::Sse,
                handshake: settings.protocol != McpProtocol::PerRequest,
            },
            timeout: Duration::from_millis(settings.start_timeout_ms.get()),
            checked: checked.clone(),
            source: Arc::clone(source),
            wishes: Arc::default(),
            name: connector.name.clone(),
            names: Names::of(connector),
            signals: Signals::new(around.bulletin.updates.clone()),
        })
    }

    /// Whether the upstream may see this key of a request's `_meta`.
    pub(super) fn passes(&self, key: &str) -> bool {
        self.checked.connector.pass_meta.iter().any(|passed| passed == key)
    }

    /// The host it reaches.
    pub(super) fn host(&self) -> Option<String> {
        match &self.way {
            Way::Program(_) => None,
            Way::Address(address) => address.url.host_str().map(str::to_owned),
        }
    }

    /// A new connection on behalf of `party`, of a client's own if there is a session.
    pub(super) async fn dial(&self, party: &Party, session: Option<&Session>) -> Result<Link> {
        let late = || {
            let message = format!(
                "the upstream did not finish its start within {} ms (`startTimeoutMs`)",
                self.timeout.as_millis()
            );
            Error::new(ErrorKind::Timeout, message)
        };
        let opening = async {
            let credential = party.credential(&*self.source).await?;
            let opened = self.open(party, &credential, session).await.map_err(Error::from);
            if opened.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unavailable) {
                // Perhaps it was refused; then the next attempt should show another one.
                party.refused(&*self.source, &credential).await;
            }
            opened
        };
        tokio::time::timeout(self.timeout, opening).await.map_err(|_| late())?
    }

    async fn open(&self, party: &Party, credential: &Credential, session: Option<&Session>) -> Result<Link, Failure> {
        let sse_only = self.transport == McpTransport::Sse;
        let first = self.open_by(party, credential, session, sse_only).await;
        // A server older than Streamable HTTP refuses a POST.
        match (&self.way, first) {
            (Way::Address(_), Err(Failure::Exchange(why)))
                if self.transport == McpTransport::Auto && self.eras.handshake && why.kind() == ErrorKind::Upstream =>
            {
                self.open_by(party, credential, session, true).await.map_err(|_| Failure::Exchange(why))
            }
            (_, first) => first,
        }
    }

    async fn open_by(
        &self,
        party: &Party,
        credential: &Credential,
        session: Option<&Session>,
        sse: bool,
    ) -> Result<Link, Failure> {
        let (source, last) = (Arc::clone(&self.source), Arc::new(Mutex::new(credential.clone())));
        let shown = Shown { source, party: party.clone(), credential: Arc::clone(&last) };
        let (closed, stop) = (CancellationToken::new(), CancellationToken::new());
        // What the inbox started ends with the attempt.
        let guard = stop.clone().drop_guard();
        let (inbox, replies) = Inbox::new(session.cloned(), self.names.clone(), self.signals.clone(), stop.clone());
        let mut eras = self.eras;
        let reports = Arc::clone(&inbox);
        let (channel, over_http): (Arc<dyn Channel>, bool) = match &self.way {
            Way::Program(program) => (
                Arc::new(Pipes::start(program, credential.clone(), reports, closed.clone()).map_err(Failure::NotSent)?),
                false,
            ),
            Way::Address(address) if sse => {
                eras.per_request = false;
                (Arc::new(Sse::open(address, shown, reports, closed.clone()).await?), false)
            }
            Way::Address(address) => (Arc::new(Streamable::new(address, shown, reports, closed.clone())), true),
        };
        let (session, wishes) = (session.cloned(), Arc::clone(&self.wishes));
        let opened = Parts { channel, inbox, replies, over_http, wishes, session, credential: last, closed, stop };
        let link = Link::open(opened, eras).await?;
        guard.disarm();
        Ok(link)
    }
}

fn resolve(text: &Text, environment: &Environment) -> Result<String, String> {
    text.resolve(environment).map_err(|missing| missing.to_string())
}

fn program(
    checked: &Checked,
    settings: &McpSettings,
    program: &Text,
    environment: &Environment,
    longest_line: Limit,
) -> Result<Program, String> {
    let cwd = settings.cwd.as_ref().map_or(Ok(".".into()), |cwd| resolve(cwd, environment))?;
    let cwd: PathBuf = checked.folder().join(cwd);
    let cwd = cwd.canonicalize().map_err(|_| format!("its folder {} does not exist", cwd.display()))?;
    let args = settings.args.iter().map(|arg| resolve(arg, environment)).collect::<Result<_, _>>()?;
    Ok(Program {
        path: find(&resolve(program, environment)?, search_path(environment), checked.folder())?,
        args,
        cwd,
        env: variables(&settings.env, &settings.inherit_env, environment)?,
        longest_line,
    })
}
