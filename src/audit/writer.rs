//! The thread that makes records of what was handed over, and writes them.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use serde_json::json;

use super::chain::Chain;
use super::record::{Record, note, of_act};
use super::{Event, Place, QUEUE, Tally};

/// What comes within this time is written together, so that whoever records rarely has to wake us.
const GATHER: Duration = Duration::from_millis(10);
/// The disk is asked to keep what was written after this long.
const SYNC: Duration = Duration::from_secs(1);
/// A write that failed is made again after this long.
const AGAIN: Duration = Duration::from_secs(1);
/// Of writes that fail it is told once in this time.
const TELL: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub(super) struct Writer {
    place: Place,
    inbox: Receiver<(SystemTime, Event)>,
    tally: Arc<Tally>,
    chain: Option<Chain>,
    /// Records that no chain has taken yet.
    waiting: VecDeque<Record>,
    /// Lost records that are recorded as such.
    told: u64,
    /// Since when something is written that the disk was not asked to keep.
    unkept: Option<Instant>,
    complained: Option<Instant>,
}

impl Writer {
    pub(super) fn new(place: Place, inbox: Receiver<(SystemTime, Event)>, tally: Arc<Tally>) -> Self {
        let waiting = VecDeque::new();
        Self { place, inbox, tally, chain: None, waiting, told: 0, unkept: None, complained: None }
    }

    /// Works until the end is asked for, or nobody is left to ask.
    pub(super) fn run(mut self) {
        let _over = self.tally.over.clone().drop_guard();
        let mut alone = false;
        loop {
            // Before the look into the queue: what was handed over before the end is written.
            let ending = alone || self.tally.ending.load(Ordering::SeqCst);
            alone = self.gather(ending);
            let has_some = !self.waiting.is_empty() || self.unwritten() > 0;
            let written = self.write();
            match &written {
                Ok(()) => self.complained = None,
                Err(error) => self.complain(error),
            }
            // With the end in sight, what cannot be written now is lost.
            if ending && (written.is_err() || !has_some) {
                break;
            }
            if written.is_err() {
                thread::park_timeout(AGAIN);
            }
        }
        let unwritten = self.unwritten();
        let left = self.inbox.try_iter().filter(|(_, event)| !matches!(event, Event::End)).count() + self.waiting.len();
        self.tally.lost.fetch_add(unwritten + u64::try_from(left).unwrap_or_default(), Ordering::Relaxed);
        if let Some(chain) = &self.chain {
            let _ = chain.sync();
        }
    }

    /// Records that a chain took and that are not in its file.
    fn unwritten(&self) -> u64 {
        self.chain.as_ref().map_or(0, Chain::unwritten)
    }

    /// Makes records of what is there, or waits for something. Whether nobody hands anything over any more.
    fn gather(&mut self, ending: bool) -> bool {
        // What could not be written is first: until then the queue holds the rest, and what is too much is lost.
        if !self.waiting.is_empty() || self.unwritten() > 0 {
            return false;
        }
        let mut alone = false;
        if !ending {
            let wait = self.unkept.map_or(Duration::MAX, |since| SYNC.saturating_sub(since.elapsed()));
            match self.inbox.recv_timeout(wait) {
                Ok((at, event)) => {
                    self.take(at, event);
                    thread::park_timeout(GATHER);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => alone = true,
            }
        }
        for _ in 0..QUEUE {
            let Ok((at, event)) = self.inbox.try_recv() else { break };
            self.take(at, event);
        }
        let lost = self.tally.lost.load(Ordering::Relaxed);
        if lost > self.told {
            self.waiting.push_back(note("lost", json!({ "count": lost - self.told })));
            self.told = lost;
        }
        alone
    }

    fn take(&mut self, at: SystemTime, event: Event) {
        self.waiting.extend(match event {
            Event::Call(call) => Some(Record::Call(at, call)),
            Event::Act(act) => Some(of_act(at, *act)),
            Event::End => None,
        });
    }

    fn write(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() && self.unkept.is_none() && self.unwritten() == 0 {
            return Ok(());
        }
        let mut chain = match self.chain.take() {
            Some(chain) => chain,
            None => Chain::open(self.place.clone())?,
        };
        let written = self.write_to(&mut chain);
        self.chain = Some(chain);
        written
    }

    fn write_to(&mut self, chain: &mut Chain) -> io::Result<()> {
        while !self.waiting.is_empty() {
            let before = chain.unwritten();
            chain.make_room()?;
            self.count(before.saturating_sub(chain.unwritten()));
            if let Some(record) = self.waiting.pop_front() {
                if let Record::Call(_, call) = &record {
                    self.tally.taken(call);
                }
                chain.push(record)?;
            }
        }
        let unwritten = chain.unwritten();
        chain.flush()?;
        self.count(unwritten);
        if self.unkept.is_some_and(|since| since.elapsed() >= SYNC) {
            self.unkept = None;
            chain.sync()?;
        }
        Ok(())
    }

    fn count(&mut self, written: u64) {
        if written > 0 {
            self.tally.failing.store(false, Ordering::Relaxed);
            self.tally.records.fetch_add(written, Ordering::Relaxed);
            self.unkept.get_or_insert_with(Instant::now);
        }
    }

    fn complain(&mut self, error: &io::Error) {
        self.tally.failing.store(true, Ordering::Relaxed);
        if self.complained.is_none_or(|last| last.elapsed() >= TELL) {
            self.complained = Some(Instant::now());
            let folder = self.place.folder.display();
            tracing::error!(%error, "calls and acts cannot be recorded in {folder}, and are lost when too many wait");
        }
    }
}
