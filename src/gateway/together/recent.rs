//! What each caller used lately.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::Mark;
use super::counts::Counts;
use crate::catalog::Entry;

/// Calls no further apart are of one piece of work.
const LATELY: Duration = Duration::from_mins(10);
/// Tools of one caller that are remembered.
const MOST_TOOLS: usize = 8;
/// Callers that are remembered. Of two who share a place the later has it, so nothing is ever looked for or grows.
const CALLERS: usize = 4_096;

/// What callers used lately.
#[derive(Debug, Default)]
pub(super) struct Recent(Vec<Option<Box<Work>>>);

/// What one caller used.
#[derive(Debug, Default)]
struct Work {
    caller: u64,
    tools: Vec<Used>,
    /// The last of them.
    last: usize,
}

#[derive(Debug)]
struct Used {
    /// `connector.tool`
    name: Arc<str>,
    at: Instant,
    /// The places of the tools with which this use was counted, as bits.
    counted: u8,
}

impl Recent {
    /// Counts a use, and with which other tools it is together.
    pub(super) fn note(&mut self, mark: &Mark, entry: &Entry, counts: &mut Counts, now: Instant) {
        if self.0.is_empty() {
            self.0.resize_with(CALLERS, || None);
        }
        let place = mark.number % CALLERS as u64;
        let Some(place) = usize::try_from(place).ok().and_then(|place| self.0.get_mut(place)) else { return };
        let work = place.get_or_insert_default();
        if work.caller != mark.number {
            **work = Work { caller: mark.number, ..Work::default() };
        }
        work.note(entry, counts, now);
    }
}

impl Work {
    fn note(&mut self, entry: &Entry, counts: &mut Counts, now: Instant) {
        let known = self.tools.iter().position(|used| is(&used.name, entry));
        let is_fresh = |used: &Used| now.duration_since(used.at) <= LATELY;
        // A tool that is called again and again is used once: pages of one list, items of one job.
        if known == Some(self.last)
            && let Some(used) = self.tools.get_mut(self.last)
            && is_fresh(used)
        {
            used.at = now;
            return;
        }
        let name = known.and_then(|at| self.tools.get(at)).map(|used| Arc::clone(&used.name));
        let name = name.unwrap_or_else(|| format!("{}.{}", entry.connector, entry.tool).into());
        let place = known.unwrap_or_else(|| self.room());
        counts.used(&name);
        let mine = 1_u8 << place;
        let mut counted = 0;
        for (at, used) in self.tools.iter_mut().enumerate().filter(|(at, _)| *at != place) {
            let theirs = 1_u8 << at;
            // Each use of either is together with one use of the other, so that neither counts for more than it is.
            if is_fresh(used) && used.counted & mine == 0 {
                counts.together(&name, &used.name);
                used.counted |= mine;
                counted |= theirs;
            }
        }
        let used = Used { name, at: now, counted };
        match self.tools.get_mut(place) {
            Some(here) => *here = used,
            None => self.tools.push(used),
        }
        self.last = place;
    }

    /// A place for one more tool: that of the one used longest ago, when there are many.
    fn room(&mut self) -> usize {
        if self.tools.len() < MOST_TOOLS {
            return self.tools.len();
        }
        let oldest = self.tools.iter().enumerate().min_by_key(|(_, used)| used.at).map_or(0, |(place, _)| place);
        for used in &mut self.tools {
            used.counted &= !(1_u8 << oldest);
        }
        oldest
    }
}

/// Whether a name is this tool's.
fn is(name: &str, entry: &Entry) -> bool {
    let tool = name.strip_prefix(entry.connector.as_str()).and_then(|rest| rest.strip_prefix('.'));
    tool == Some(entry.tool.as_str())
}
