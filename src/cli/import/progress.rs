//! How far an import is, for a person who watches.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget};

/// A line on standard error, when that is a terminal.
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        if io::stderr().is_terminal() {
            bar.enable_steady_tick(Duration::from_millis(100));
        } else {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        Self(bar)
    }

    pub(super) fn step(&self, what: &'static str) {
        self.0.set_message(what);
    }

    /// So much of a document is there.
    pub(super) fn bytes(&self, bytes: usize) {
        self.0.set_message(format!("reading the document: {} KiB", bytes >> 10));
    }

    pub(super) fn done(&self) {
        self.0.finish_and_clear();
    }
}
