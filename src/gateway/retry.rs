//! Whether a call that failed is made again, and when. What may have been executed is executed twice only where that
//! does no harm.

use std::{
    mem,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use http::{HeaderName, HeaderValue};
use uuid::Uuid;

use super::Connector;
use super::connector::Turn;
use super::strain::Kind;
use super::trip::{Trip, answered};
use crate::call::{CallContext, Content, Invocation, Key, Outcome, Output};
use crate::catalog::Entry;
use crate::error::{Again, Error, ErrorKind, Executed, Result};
use crate::manifest::AdapterSettings;
use crate::upstream::{Backoff, random};

/// The waits before further tries, at most, where the upstream asks for none.
const WAITS: Backoff = Backoff { first: Duration::from_millis(250), longest: Duration::from_secs(4) };
/// The longest wait that an upstream is given: who called does not wait for ever, whatever our own deadline is.
const LONGEST_ASKED: Duration = Duration::from_secs(20);

/// What is said of a call that nobody knows the end of.
pub(super) const UNKNOWN: &str = "; the call was under way, and whether it did its work is unknown";

/// The tries of one call.
#[derive(Debug)]
pub(super) struct Tries<'a> {
    entry: &'a Entry,
    connector: &'a Connector,
    kind: Kind,
    deadline: Instant,
    /// How long it may take from here on.
    time: Duration,
    key: Option<Key>,
    made: u8,
    most: u8,
    /// Whether a try before the last one may have done its work.
    maybe: bool,
    /// Whether what was sent so far may have done its work, for whoever sees this call end in the middle.
    in_doubt: &'a AtomicBool,
}

impl<'a> Tries<'a> {
    /// The tries of a call that ends at `deadline`. `owner` is in whose name the upstream is asked, where that is not the
    /// same for all.
    pub(super) fn new(
        entry: &'a Entry,
        connector: &'a Connector,
        owner: Option<String>,
        deadline: Instant,
        in_doubt: &'a AtomicBool,
    ) -> Self {
        let adapter = &connector.checked.connector.adapter;
        // The others know for themselves what to do, or nothing that would help.
        let tried = matches!(adapter, AdapterSettings::Http(_) | AdapterSettings::OpenApi(_));
        let (kind, most) = ((entry.tool.clone(), owner), if tried { entry.retries.tries() } else { 1 });
        let time = deadline.saturating_duration_since(Instant::now());
        Self { entry, connector, kind, deadline, time, key: key(entry), made: 0, most, maybe: false, in_doubt }
    }

    /// What names the call for its upstream, where two calls would do more than one.
    pub(super) fn key(&self) -> Option<Key> {
        self.key.clone()
    }

    /// How long to wait before the first try, when the upstream has asked other calls for time.
    pub(super) fn rest(&self) -> Result<Option<Duration>> {
        self.connector.admits()?;
        let Some(left) = self.connector.strain.left(&self.kind) else { return Ok(None) };
        if left > self.longest_asked() {
            let seconds = left.as_secs_f64().ceil();
            let message = format!("the upstream asked to be left alone; try again in {seconds} s");
            return Err(Error::new(ErrorKind::Busy, message));
        }
        Ok(Some(left + WAITS.first.mul_f64(random())))
    }

    /// Makes the call, again where that does no harm.
    pub(super) async fn make(
        mut self,
        mut turn: Turn<'_>,
        invocation: &mut Invocation,
        mut cx: CallContext,
        trip: &Trip<'_>,
    ) -> Result<Outcome> {
        let (connector, source) = (self.connector, self.connector.source()?);
        let mut pass = connector.pass(self.deadline, self.time)?;
        let reached = connector.health.reached();
        let mut renewed = false;
        let outcome = loop {
            self.in_doubt.store(true, Ordering::Relaxed);
            let adapter = connector.adapter()?;
            let (part, trace) = trip.attempt(Some(self.entry.tool.as_str()));
            // What it asks of others, calls of ours among it, stands below it.
            if let Some(own) = trace.clone().filter(|own| Some(own) != trip.sent()) {
                cx.downstream = mem::take(&mut cx.downstream).traced(own);
            }
            invocation.trace = trace;
            trip.tried(u64::from(self.made) + 1);
            let outcome = adapter.call(invocation, &cx).await;
            answered(part, &outcome);
            pass.ended(&outcome);
            // What was refused did nothing, so that it may be asked again with another credential.
            let refused = !renewed && outcome.as_ref().is_ok_and(Outcome::is_refused);
            if refused && source.refused(&cx.caller, &invocation.credential).await {
                renewed = true;
                invocation.credential = source.credential(&cx.caller).await?;
                pass = connector.pass(self.deadline, self.time)?;
                continue;
            }
            let Some(wait) = self.next(&outcome) else { break outcome };
            self.in_doubt.store(self.maybe, Ordering::Relaxed);
            // Whoever waits for the upstream's sake keeps nobody else from it.
            drop(turn);
            tokio::time::sleep(wait).await;
            let (Ok(next_turn), Ok(next)) = (connector.turn().await, connector.pass(self.deadline, self.time)) else {
                break outcome;
            };
            (turn, pass) = (next_turn, next);
        };
        let refused = outcome.as_ref().is_ok_and(Outcome::is_refused);
        let outcome = self.ended(outcome);
        reached.ended(&outcome);
        source.unwelcome().filter(|_| refused).map_or(outcome, Err)
    }

    /// How long to wait before the next try, when there is one after what became of the last.
    fn next(&mut self, result: &Result<Outcome>) -> Option<Duration> {
        self.made += 1;
        let Some(again) = again(result) else {
            if self.made > 1 {
                self.connector.strain.give_back();
            }
            return None;
        };
        let asked = again.after.unwrap_or_default();
        if !asked.is_zero() {
            self.connector.strain.rest(&self.kind, asked.min(LONGEST_ASKED));
        }
        if self.made >= self.most || !self.is_harmless(again.executed) || asked > self.longest_asked() {
            return None;
        }
        // Where many calls failed at once, their next tries are spread.
        let wait = asked.saturating_add(WAITS.after(self.made.into()).mul_f64(random()));
        if wait >= self.left() || !self.connector.strain.take() {
            return None;
        }
        self.maybe |= again.executed == Executed::Maybe;
        let (executed, ms) = (again.executed, u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        tracing::debug!(tool = self.entry.name, try_ = self.made, ?executed, ms, "trying again");
        Some(wait)
    }

    /// What became of the last try, with words on those before it.
    fn ended(self, result: Result<Outcome>) -> Result<Outcome> {
        let is_unknown = match again(&result).map(|again| again.executed) {
            Some(Executed::Maybe) => !self.entry.may_be_repeated(),
            Some(Executed::UnderWay) => self.maybe,
            Some(Executed::No | Executed::Unproven | Executed::Declined) | None => false,
        };
        let may_be_done = self.maybe && !is_unknown && !self.entry.is_read_only();
        let done = if may_be_done { "; an earlier try may have done its work" } else { "" };
        let tried = if self.made > 1 { format!(" (tried {} times{done})", self.made) } else { String::new() };
        let words = format!("{tried}{}", if is_unknown { UNKNOWN } else { "" });
        match result {
            Ok(Outcome::Made(mut output)) if output.is_error => {
                if let Some(Content::Text(text)) = output.content.first_mut() {
                    text.push_str(&words);
                }
                Ok(Output { again: None, ..output }.into())
            }
            Err(error) => Err(error.adding(&words)),
            ended @ Ok(Outcome::Made(_) | Outcome::Sent(_)) => ended,
        }
    }

    fn is_harmless(&self, executed: Executed) -> bool {
        let may_be_repeated = self.entry.may_be_repeated() || self.key.is_some();
        match executed {
            Executed::No => true,
            // Another try shows the same.
            Executed::Unproven => false,
            Executed::Declined => may_be_repeated || self.entry.retries.refused_is_undone == Some(true),
            // Unless it may be a try of ours, somebody else made that call.
            Executed::UnderWay => self.maybe,
            Executed::Maybe => may_be_repeated,
        }
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// The longest wait an upstream is given now: the call itself takes time too.
    fn longest_asked(&self) -> Duration {
        LONGEST_ASKED.min(self.left() / 2)
    }
}

fn key(entry: &Entry) -> Option<Key> {
    let header = entry.retries.idempotency_key.as_ref().filter(|_| !entry.may_be_repeated())?;
    let value = HeaderValue::try_from(Uuid::new_v4().to_string()).ok()?;
    Some(Key { header: HeaderName::try_from(header).ok()?, value })
}

fn again(result: &Result<Outcome>) -> Option<Again> {
    match result {
        Ok(outcome) => outcome.again(),
        Err(error) => Error::again(error),
    }
}
