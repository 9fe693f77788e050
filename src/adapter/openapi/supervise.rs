//! Keeps what is known of the API: reads its document, and reads it again when it changes.

use std::{
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::OpenApiAdapter;
use super::document::{Known, Read};
use super::learn::Learned;
use crate::adapter::{Phase, Status};
use crate::error::{Problem, Severity};
use crate::upstream::{Backoff, random};

/// The waits after failures.
const PAUSES: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_mins(5) };

impl OpenApiAdapter {
    /// Reads a small document in a file, so that its tools are there from the start.
    pub(super) fn read_now(&self) {
        if !self.documents.is_small() {
            return;
        }
        match self.documents.read_files() {
            None => {}
            Some(Ok(read)) => {
                let learned = self.learner.learn(&read);
                self.settle(learned, read.known, None);
            }
            Some(Err(failure)) => self.fail(failure.reason()),
        }
    }

    /// Keeps what is known up to date until `stop`.
    pub(super) async fn supervise(&self, stop: CancellationToken) {
        stop.run_until_cancelled(Box::pin(self.keep_up_to_date())).await;
        // A call that waits for what will not come shall not wait.
        self.present.send_if_modified(|present| {
            let unknown = present.learned.is_none();
            if unknown {
                present.status = Status::now(Phase::Down, Some("it was stopped".into()));
            }
            unknown
        });
    }

    async fn keep_up_to_date(&self) {
        let mut failures = 0;
        if self.present.borrow().status.phase == Phase::Starting {
            failures = u32::from(!self.begin().await);
        } else if !self.is_well() {
            failures = 1;
        }
        loop {
            let wait = if failures > 0 { self.pause(failures) } else { self.refresh() };
            let looked = tokio::select! {
                () = self.look.notified() => true,
                () = tokio::time::sleep(wait) => false,
            };
            let known = self.known().filter(|_| self.is_well());
            // Somebody changed some file; if it is none of ours, there is nothing to do.
            if looked && known.as_ref().is_some_and(|known| !known.is_old()) {
                continue;
            }
            failures = match self.documents.read(known).await {
                Ok(None) => 0,
                Ok(Some(read)) => {
                    let learnt = self.take(read, None).await;
                    if learnt { 0 } else { failures + 1 }
                }
                Err(failure) => {
                    self.fail(failure.reason());
                    self.tell();
                    failures + 1
                }
            };
        }
    }

    /// Reads the document for the first time, or as it was kept; whether it is as it is now.
    async fn begin(&self) -> bool {
        let failure = match self.documents.read(None).await {
            Ok(Some(read)) => return self.take(read, None).await,
            Ok(None) => return true,
            Err(failure) => failure,
        };
        if let Some(read) = self.documents.read_kept().await {
            self.take(read, Some(failure.reason().to_owned())).await;
        } else {
            self.fail(failure.reason());
            self.tell();
        }
        false
    }

    /// Learns from a document beside all calls, for large ones take a while; whether there was anything to learn.
    /// `old` says why it is not the newest.
    async fn take(&self, read: Read, old: Option<String>) -> bool {
        let learner = Arc::clone(&self.learner);
        let work = tokio::task::spawn_blocking(move || (learner.learn(&read), read.known));
        let (result, known) = work.await.unwrap_or_else(|error| (Err(error.to_string()), Known::default()));
        let well = self.settle(result, known, old);
        self.tell();
        well
    }

    /// Puts in force what was learned.
    fn settle(&self, learned: Result<Learned, String>, known: Known, old: Option<String>) -> bool {
        let learned = match learned {
            Ok(learned) => Arc::new(learned),
            Err(reason) => {
                self.fail(&reason);
                return false;
            }
        };
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
        let connector = &self.id;
        tracing::debug!(%connector, tools = learned.operations.len(), "its document was read");
        let reason = old.map(|reason| format!("its document is the one that could last be read: {reason}"));
        if let Some(reason) = &reason {
            tracing::warn!(%connector, "{reason}");
        }
        self.present.send_modify(|present| {
            let phase = if reason.is_some() { Phase::Degraded } else { Phase::Up };
            if present.status.phase != phase || reason.is_some() {
                present.status = Status::now(phase, reason.clone());
            }
            present.offer = Some(Arc::clone(&learned.offer));
            present.learned = Some(learned);
            present.edition += 1;
            present.fault = reason.map(|reason| self.fault(&reason, Severity::Warning));
        });
        true
    }

    /// Says that there is no document now. What was learned before stays in force.
    fn fail(&self, reason: &str) {
        let connector = &self.id;
        self.present.send_modify(|present| {
            let (phase, severity) = match present.learned {
                Some(_) => (Phase::Degraded, Severity::Warning),
                None => (Phase::Down, Severity::Error),
            };
            let fault = self.fault(reason, severity);
            if present.fault.as_ref() == Some(&fault) {
                tracing::debug!(%connector, "its document still cannot be read: {reason}");
                return;
            }
            tracing::warn!(%connector, "its document cannot be read: {reason}");
            present.status = Status::now(phase, Some(format!("its document cannot be read: {reason}")));
            present.fault = Some(fault);
        });
    }

    fn fault(&self, reason: &str, severity: Severity) -> Problem {
        Problem { severity, ..Problem::in_file(self.documents.shown(), reason) }
    }

    /// Tells everybody that something changed.
    fn tell(&self) {
        self.bulletin.states.send_replace(());
        self.bulletin.changed.notify_one();
    }

    /// How long until it is read again after so many failures in a row.
    fn pause(&self, failures: u32) -> Duration {
        let pause = PAUSES.after(failures);
        self.present.send_modify(|present| present.status.retry_at = Instant::now().checked_add(pause));
        pause
    }

    /// How long until it is looked at again: connectors that were made together do not all ask at once.
    fn refresh(&self) -> Duration {
        let seconds = Duration::from_secs(self.learner.settings.refresh_seconds.get());
        // A timer takes no longer wait.
        seconds.min(Duration::from_hours(24 * 365)).mul_f64(1.0 - random() / 10.0)
    }

    fn known(&self) -> Option<Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether what is in force is what was read last.
    fn is_well(&self) -> bool {
        let present = self.present.borrow();
        present.fault.is_none() && present.learned.is_some()
    }
}
