//! The road of one call: resolve → authorize → check → wait for a turn → credential → adapter → shape.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::{Instrument as _, field::Empty};

use super::{Gateway, authorize::authorize, connector::Connector, shape::shape};
use crate::call::{CallContext, Caller, Invocation, Output, Progress};
use crate::catalog::Entry;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::Arguments;
use crate::name::shown;

impl Gateway {
    /// Calls a tool by its published name. Every front enters here. Dropping the future cancels
    /// the call. Arguments and results are never logged.
    pub async fn call(&self, caller: Caller, name: &str, arguments: Arguments, progress: Progress) -> Result<Output> {
        let _under_way = self.calls.token();
        let started = Instant::now();
        let span = tracing::info_span!("call", tool = shown(name), outcome = Empty, ms = Empty, bytes = Empty);
        let result = self.walk(caller, name, arguments, progress).instrument(span.clone()).await;
        span.record("ms", u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
        let _entered = span.enter();
        match &result {
            Ok(output) => {
                span.record("outcome", if output.is_error { "failed" } else { "ok" });
                span.record("bytes", output.size());
                tracing::info!("called");
            }
            Err(error) => {
                span.record("outcome", tracing::field::debug(error.kind()));
                tracing::info!(cause = std::error::Error::source(error).map(tracing::field::display), "called");
            }
        }
        result
    }

    async fn walk(&self, caller: Caller, name: &str, arguments: Arguments, progress: Progress) -> Result<Output> {
        if self.calls.is_closed() {
            return Err(Error::new(ErrorKind::Unavailable, "the server is stopping; try again later"));
        }
        let live = self.live();
        let entry = live.catalog.resolve(name).map_err(|error| told(caller, error))?;
        authorize(caller, entry)?;
        let arguments = entry.check(arguments)?;
        let connector = live.connectors.get(&entry.connector);
        let connector = connector.ok_or_else(|| Error::new(ErrorKind::Internal, "the tool's connector is gone"))?;
        let time = entry.timeout.unwrap_or(self.limits.call_timeout);
        let call = self.exchange(connector, entry, arguments, progress);
        tokio::select! {
            timed = tokio::time::timeout(time, call) => timed.unwrap_or_else(|_| Err(late(name, time))),
            () = self.stopping.cancelled() => {
                Err(Error::new(ErrorKind::Unavailable, "the server is stopping and ended this call; try again later"))
            }
        }
    }

    /// What the deadline covers.
    async fn exchange(
        &self,
        connector: &Connector,
        entry: &Arc<Entry>,
        arguments: Arguments,
        progress: Progress,
    ) -> Result<Output> {
        let _turn = connector.turn().await?;
        let credential = connector.references().resolve(&self.environment)?;
        let invocation = Invocation { entry: Arc::clone(entry), arguments, credential };
        let cx = CallContext { progress, max_result: self.limits.max_result };
        let output = connector.adapter()?.call(&invocation, &cx).await?;
        shape(entry, output, self.limits.max_result)
    }
}

/// The person at this machine is told why a connector is unavailable.
fn told(caller: Caller, error: Error) -> Error {
    match std::error::Error::source(&error) {
        Some(reason) if caller == Caller::Local => Error::new(error.kind(), format!("{error}: {reason}")),
        _ => error,
    }
}

fn late(name: &str, time: Duration) -> Error {
    let message = format!("`{name}` did not finish within {} and was stopped", said(time));
    Error::new(ErrorKind::Timeout, message)
}

fn said(time: Duration) -> String {
    if time.subsec_millis() == 0 { format!("{} s", time.as_secs()) } else { format!("{} ms", time.as_millis()) }
}
