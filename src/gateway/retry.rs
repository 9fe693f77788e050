//! Whether a call that failed is made again, and when. What may have been executed is executed twice only where that
//! does no harm.

use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use http::{HeaderName, HeaderValue};
use uuid::Uuid;

use crate::call::{Content, Key, Outcome, Output};
use crate::catalog::Entry;
use crate::error::{Again, Error, Executed, Result};
use crate::manifest::AdapterSettings;

/// The longest wait before a second try, where the upstream asks for none. Each further one may be twice as long.
const FIRST: Duration = Duration::from_millis(250);
/// The longest of these waits.
const LONGEST: Duration = Duration::from_secs(4);

/// The tries of one call.
#[derive(Debug)]
pub(super) struct Tries<'a> {
    entry: &'a Entry,
    deadline: Instant,
    made: u8,
    most: u8,
    waits: ExponentialBackoff,
}

impl<'a> Tries<'a> {
    /// The tries of a call that ends at `deadline`.
    pub(super) fn new(entry: &'a Entry, adapter: &AdapterSettings, deadline: Instant) -> Self {
        // The others know for themselves what to do, or nothing that would help.
        let tried = matches!(adapter, AdapterSettings::Http(_) | AdapterSettings::OpenApi(_));
        let waits = ExponentialBuilder::new().with_min_delay(FIRST).with_max_delay(LONGEST).without_max_times().build();
        Self { entry, deadline, made: 0, most: if tried { entry.retries.tries() } else { 1 }, waits }
    }

    /// What names the call for its upstream, where two calls would do more than one.
    pub(super) fn key(&self) -> Option<Key> {
        let header = self.entry.retries.idempotency_key.as_ref().filter(|_| !self.entry.may_be_repeated())?;
        let value = HeaderValue::try_from(Uuid::new_v4().to_string()).ok()?;
        Some(Key { header: HeaderName::try_from(header).ok()?, value })
    }

    /// How long to wait before the next try, when there is one after what became of the last.
    pub(super) fn next(&mut self, result: &Result<Outcome>) -> Option<Duration> {
        self.made += 1;
        let again = again(result).filter(|again| self.made < self.most && self.is_harmless(again.executed))?;
        // Where many calls failed at once, their next tries are spread.
        let spread = self.waits.next().unwrap_or(LONGEST).mul_f64(random());
        let wait = again.after.unwrap_or_default().saturating_add(spread);
        if wait >= self.deadline.saturating_duration_since(Instant::now()) {
            return None;
        }
        let (executed, ms) = (again.executed, u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        tracing::debug!(tool = self.entry.name, try_ = self.made, ?executed, ms, "trying again");
        Some(wait)
    }

    /// What became of the last try, with words on those before it.
    pub(super) fn ended(self, result: Result<Outcome>) -> Result<Outcome> {
        let Some(again) = again(&result) else { return result };
        let mut words = String::new();
        if self.made > 1 {
            words = format!(" (tried {} times)", self.made);
        }
        if matches!(again.executed, Executed::Maybe | Executed::UnderWay) && !self.entry.may_be_repeated() {
            words.push_str("; the call was under way, and whether it did its work is unknown");
        }
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
        let retries = &self.entry.retries;
        let may_be_repeated = self.entry.may_be_repeated() || retries.idempotency_key.is_some();
        match executed {
            Executed::No => true,
            // Another try shows the same.
            Executed::Unproven => false,
            Executed::Declined => may_be_repeated || retries.refused_is_undone == Some(true),
            // On the first try, somebody else made that call.
            Executed::UnderWay => self.made > 1,
            Executed::Maybe => may_be_repeated,
        }
    }
}

fn again(result: &Result<Outcome>) -> Option<Again> {
    match result {
        Ok(outcome) => outcome.again(),
        Err(error) => Error::again(error),
    }
}

/// A number from 0 to 1.
fn random() -> f64 {
    let (high, _) = Uuid::new_v4().as_u64_pair();
    // The version's bits are the lowest of it.
    f64::from(u32::try_from(high >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}
