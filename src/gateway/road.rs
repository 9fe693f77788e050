//! The road of one call: resolve → authorize → check → look whether the result is kept → wait for a turn → credential →
//! adapter, again where that does no harm → shape.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tracing::Instrument as _;

use super::retry::{Tries, UNKNOWN};
use super::trip::{TOOL, Trip, answered};
use super::{Connector, Gateway, Live, authorize::authorize, cache::Cache, shape::shape};
use crate::adapter::McpAdapter;
use crate::call::{CallContext, Downstream, Invocation, Outcome, Sent, ToolCall};
use crate::caller::Caller;
use crate::catalog::{Catalog, Entry, Place, view::View};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{AdapterSettings, Arguments};
use crate::name::ConnectorId;
use crate::params::Params;

/// A request to an MCP server beyond a tool's call.
#[derive(Debug)]
pub struct Request {
    /// Its method.
    pub method: &'static str,
    /// Its parameters, in the server's own words.
    pub params: Params,
    /// Whose it is.
    pub place: Place,
}

impl Gateway {
    /// Calls a tool by its published name. Every front enters here. Dropping the future cancels
    /// the call. Arguments and results are never logged.
    pub async fn call(&self, caller: Caller, call: ToolCall, downstream: Downstream) -> Result<Outcome> {
        let trip = Trip::start(self, (TOOL, &call.name), &caller, &downstream);
        // By reference: a future that is handed on by value lies in memory once for each hand.
        let result = {
            let work = pin!(self.walk(caller, call, downstream, &trip).instrument(trip.span()));
            work.await
        };
        trip.end(result)
    }

    /// Makes any other request to the MCP server that answers it.
    pub async fn forward(&self, caller: &Caller, request: Request, downstream: &Downstream) -> Result<Sent> {
        let what = format!("{} of {}", request.method, request.place.connector);
        let trip = Trip::start(self, (request.method, &what), caller, downstream);
        trip.of_connector(&request.place.connector);
        let result = self.pass_on(caller, &request, (downstream, &trip)).instrument(trip.span()).await;
        trip.end(result)
    }

    /// The tool that a view calls so. While a connector that may have it is starting for the first time, that is
    /// waited for.
    pub async fn tool(&self, name: &str, caller: &Caller, view: &View) -> Result<(Arc<Live>, Arc<Entry>)> {
        let resolve = |catalog: &Catalog| {
            catalog.resolve_in(name, caller, view).map(Arc::clone).map_err(|error| told(caller, error))
        };
        self.find((view.own_name(name).unwrap_or(name), view), caller, resolve).await
    }

    /// Looks something up by its published name or URI, for a view. While a connector that may have it is
    /// starting for the first time, that is waited for.
    pub async fn find<T>(
        &self,
        (public, view): (&str, &View),
        caller: &Caller,
        look: impl Fn(&Catalog) -> Result<T>,
    ) -> Result<(Arc<Live>, T)> {
        let mut snapshots = self.live.subscribe();
        loop {
            let live = Arc::clone(&snapshots.borrow_and_update());
            let error = match look(&live.catalog) {
                Ok(found) => return Ok((live, found)),
                Err(error) => error,
            };
            // Of what a caller does not see, nothing is said and nothing waited for.
            let in_view = |id: &ConnectorId| view.takes(id, live.catalog.category(id), public);
            let shown =
                |connector: &Connector| in_view(&connector.checked.connector.id) && live.shows(connector, caller);
            let may_have = |connector: &Connector| {
                shown(connector) && (!connector.checked.connector.prefix || connector.is_named_in(public))
            };
            if !live.is_starting(may_have) {
                let named =
                    live.connectors.values().find(|connector| connector.is_named_in(public) && shown(connector));
                let never_came_up = named.filter(|named| named.offer().is_none()).and_then(|named| named.usable());
                let refusal = never_came_up.and_then(|adapter| adapter.refusal());
                return Err(refusal.map_or(error, |refusal| told(caller, refusal)));
            }
            let changed = tokio::time::timeout(self.limits.call_timeout, snapshots.changed()).await;
            if !matches!(changed, Ok(Ok(()))) {
                return Err(error);
            }
        }
    }

    async fn walk(&self, caller: Caller, call: ToolCall, downstream: Downstream, trip: &Trip<'_>) -> Result<Outcome> {
        let ToolCall { name, params } = call;
        let (live, entry) = trip.step("resolve").during(self.tool(&name, &caller, &downstream.view)).await?;
        let mark = self.together.mark(&caller, &downstream);
        let outcome = self.travel(caller, (&live, &entry), (params, downstream), trip).await?;
        if !outcome.is_error() {
            self.learn(mark.as_ref(), &live, &entry);
        }
        Ok(outcome)
    }

    /// Calls a tool of one connector by its own name, for another call. Published names are no use here: they may be
    /// another connector's. The gateway calls no tool of its own.
    pub(super) async fn call_within(
        &self,
        connector: &Connector,
        tool: &str,
        (arguments, downstream): (Arguments, Downstream),
        cx: &CallContext,
    ) -> Result<Outcome> {
        let live = self.live();
        let id = &connector.checked.connector.id;
        let entry = live.catalog.entry_of(id, tool);
        let entry = entry.filter(|_| !matches!(connector.checked.connector.adapter, AdapterSettings::Gateway(_)));
        let gone = || Error::new(ErrorKind::Unavailable, format!("{id} is not available now, or has no tool `{tool}`"));
        let entry = Arc::clone(entry.ok_or_else(gone)?);
        if connector.says_it_writes(tool) && !entry.is_read_only() {
            let message = format!("`{tool}` of {id} says that it is not read-only, so it is called by its name only");
            return Err(Error::new(ErrorKind::Forbidden, message));
        }
        let params = Params::of("arguments", &arguments);
        let trip = Trip::start(self, (TOOL, &entry.name), &cx.caller, &downstream);
        let work = Box::pin(self.travel(cx.caller.clone(), (&live, &entry), (params, downstream), &trip));
        let result = work.instrument(trip.span()).await;
        trip.end(result)
    }

    /// The road from a tool that was found.
    async fn travel(
        &self,
        caller: Caller,
        (live, entry): (&Arc<Live>, &Arc<Entry>),
        (mut params, downstream): (Params, Downstream),
        trip: &Trip<'_>,
    ) -> Result<Outcome> {
        trip.found(live, entry, params.get("arguments"));
        authorize(&caller, &entry.access, &entry.name)?;
        let arguments = trip.step("check").of(|| entry.check(params.get("arguments")))?;
        let connector = live.connectors.get(&entry.connector).ok_or_else(gone)?;
        let time = entry.timeout.unwrap_or(self.limits.call_timeout);
        let max_result = self.limits.max_result;
        let deadline = Instant::now() + time;
        let place = Cache::place(connector, entry, &arguments, &caller);
        let (who, session) = (caller.clone(), downstream.session.clone());
        let in_doubt = AtomicBool::new(false);
        let call = pin!(async {
            trip.reached();
            if let Some(grants) = connector.source().ok().and_then(|source| source.grants()) {
                Box::pin(self.await_connection(&caller, grants, (&mut params, deadline))).await?;
            }
            let source = connector.source()?;
            let tries = Tries::new(entry, connector, source.owner(&caller), deadline, &in_doubt);
            if let Some(wait) = tries.rest()? {
                tokio::time::sleep(wait).await;
            }
            let turn = trip.step("turn").during(connector.turn()).await?;
            let credential = trip.step("credential").during(source.credential(&caller)).await?;
            // Few tools take files, and what it takes to fetch them is large.
            let (files, _room) = if entry.files.is_empty() {
                (HashMap::new(), None)
            } else {
                Box::pin(self.files(entry, &arguments)).await?
            };
            params.set_default("name", &entry.name);
            let (entry, key) = (Arc::clone(entry), tries.key());
            let mut invocation = Invocation { entry, arguments, sent: params, files, credential, key, trace: None };
            let cx = CallContext { caller, downstream, deadline, max_result };
            let outcome = tries.make(turn, &mut invocation, cx, trip).await;
            trip.step("shape").of(|| shape(&invocation.entry, outcome?, max_result))
        });
        let exchange = pin!(async {
            match place {
                Some(place) => {
                    trip.may_be_kept();
                    Box::pin(self.cache.get(place, call)).await
                }
                None => call.await,
            }
        });
        let late = || {
            let is_unknown = in_doubt.load(Ordering::Relaxed) && !entry.may_be_repeated();
            late(&entry.name, time, if is_unknown { UNKNOWN } else { " and was stopped" })
        };
        match self.in_time(time, exchange, late).await {
            Err(error) if error.kind() == ErrorKind::NotConnected => {
                Err(Box::pin(self.inviting(&who, error, session.as_ref())).await)
            }
            ended => ended,
        }
    }

    async fn pass_on(
        &self,
        caller: &Caller,
        request: &Request,
        (downstream, trip): (&Downstream, &Trip<'_>),
    ) -> Result<Sent> {
        let live = self.live();
        let connector = live.connectors.get(&request.place.connector).ok_or_else(gone)?;
        let manifest = &connector.checked.connector;
        authorize(caller, live.catalog.to_connector(&manifest.id), request.method)?;
        let mcp: Arc<McpAdapter> = connector.mcp().ok_or_else(gone)?;
        let time = manifest.timeouts.request_ms.map_or(self.limits.call_timeout, |ms| Duration::from_millis(ms.get()));
        let exchange = pin!(async {
            let _turn = connector.turn().await?;
            // Who has none to show takes no connection.
            connector.source()?.credential(caller).await?;
            let (part, own) = trip.attempt(None);
            let traced = own.filter(|own| Some(own) != trip.sent()).map(|own| downstream.clone().traced(own));
            let downstream = traced.as_ref().unwrap_or(downstream);
            let sent = mcp.request(caller, request.method, request.params.clone(), downstream);
            let sent = sent.await;
            answered(part, &sent);
            let sent = sent?;
            if request.method == "resources/read" { self.pinned_page(&request.place, sent).await } else { Ok(sent) }
        });
        let late = || late(request.method, time, " and was stopped");
        match self.in_time(time, exchange, late).await {
            Err(error) if error.kind() == ErrorKind::NotConnected => {
                Err(Box::pin(self.inviting(caller, error, downstream.session.as_ref())).await)
            }
            ended => ended,
        }
    }

    /// What the deadline covers, and the end of the server.
    async fn in_time<T>(
        &self,
        time: Duration,
        work: impl Future<Output = Result<T>>,
        late: impl FnOnce() -> Error,
    ) -> Result<T> {
        if self.calls.is_closed() {
            return Err(Error::new(ErrorKind::Unavailable, "the server is stopping; try again later"));
        }
        tokio::select! {
            timed = tokio::time::timeout(time, work) => timed.unwrap_or_else(|_| Err(late())),
            () = self.stopping.cancelled() => {
                Err(Error::new(ErrorKind::Unavailable, "the server is stopping and ended this call; try again later"))
            }
        }
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Internal, "the connector is gone")
}

/// The person at this machine is told why a connector is unavailable.
fn told(caller: &Caller, error: Error) -> Error {
    match std::error::Error::source(&error) {
        Some(reason) if *caller == Caller::Local => Error::new(error.kind(), format!("{error}: {reason}")),
        _ => error,
    }
}

fn late(name: &str, time: Duration, so: &str) -> Error {
    let message = format!("`{name}` did not finish within {}{so}", said(time));
    Error::new(ErrorKind::Timeout, message)
}

fn said(time: Duration) -> String {
    if time.subsec_millis() == 0 { format!("{} s", time.as_secs()) } else { format!("{} ms", time.as_millis()) }
}
