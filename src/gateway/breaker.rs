//! Spares an upstream that fails nearly every call, and its callers the wait: calls are refused at once until one of
//! them, let through to see, works.

use std::{
    collections::VecDeque,
    mem,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::Connector;
use crate::call::Outcome;
use crate::error::{Again, Error, ErrorKind, Executed, Result};
use crate::manifest::AdapterSettings;

/// Exchanges that ended longer ago say nothing of now.
const WINDOW: Duration = Duration::from_secs(30);
/// Exchanges that are remembered at most, the newest.
const REMEMBERED: usize = 512;
/// Fewer say nothing.
const ENOUGH: usize = 20;
/// None of the newest may have worked.
const NEWEST: usize = 10;
/// It stays open for so long, then twice as long each time, up to the longest.
const FIRST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_mins(1);
/// What callers are told to wait while one of them is let through.
const SOON: Duration = Duration::from_secs(1);

/// What an exchange says of the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// It answers.
    Well,
    /// It does not, or says that it cannot.
    Unwell,
    /// It is there, and more cannot be said.
    There,
    /// Nothing.
    Neither,
}

impl Sign {
    /// What the end of a call says. What is wrong with the call itself is no fault of the upstream.
    pub(super) fn of(result: &Result<Outcome>) -> Self {
        match result {
            Ok(outcome) if outcome.is_ill() => Self::Unwell,
            Ok(outcome) => match outcome.again().map(|again| again.executed) {
                Some(Executed::Maybe) => Self::Unwell,
                // It limits one caller, and others may be welcome.
                Some(Executed::Declined) => Self::There,
                Some(Executed::No | Executed::Unproven | Executed::UnderWay) | None => Self::Well,
            },
            Err(error) if matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::Timeout) => Self::Unwell,
            Err(error) if matches!(error.kind(), ErrorKind::TooLarge | ErrorKind::Upstream) => Self::There,
            Err(_) => Self::Neither,
        }
    }
}

/// A refusal: how many of the last exchanges failed, and for how long it stays so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Refused {
    failed: usize,
    of: usize,
    left: Duration,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Closed,
    /// Until then, having waited so long.
    Open(Instant, Duration),
    /// One call is let through, and perhaps under way, since then.
    Half { under_way: bool, wait: Duration, since: Instant },
}

/// The state alone; the time is told to it.
#[derive(Debug, Default)]
struct State {
    ended: VecDeque<(Instant, bool)>,
    phase: Phase,
}

impl State {
    /// Lets a call through, perhaps as the one that shows how it is.
    fn admit(&mut self, now: Instant) -> Result<bool, Refused> {
        let (wait, left) = match self.phase {
            Phase::Closed => return Ok(false),
            Phase::Open(until, wait) if now >= until => (wait, None),
            Phase::Open(until, wait) => (wait, Some(until - now)),
            Phase::Half { under_way: false, wait, .. } => (wait, None),
            Phase::Half { under_way: true, wait, .. } => (wait, Some(SOON)),
        };
        let Some(left) = left else {
            self.phase = Phase::Half { under_way: true, wait, since: now };
            return Ok(true);
        };
        Err(Refused { failed: self.ended.iter().filter(|(_, failed)| *failed).count(), of: self.ended.len(), left })
    }

    fn ended(&mut self, now: Instant, sign: Sign, is_trial: bool) {
        match (self.phase, sign) {
            (Phase::Half { wait, .. }, Sign::Unwell) if is_trial => {
                let wait = (wait * 2).min(LONGEST);
                self.phase = Phase::Open(now + wait, wait);
            }
            (Phase::Half { wait, .. }, Sign::Neither) if is_trial => {
                self.phase = Phase::Half { under_way: false, wait, since: now };
            }
            (Phase::Half { .. }, Sign::There) if is_trial => *self = Self::default(),
            // Whichever call it was.
            (Phase::Half { .. }, Sign::Well) => *self = Self::default(),
            (Phase::Open(..), Sign::Well) => self.works(now),
            (Phase::Closed, Sign::Well | Sign::Unwell) => self.noted(now, sign == Sign::Unwell),
            (_, Sign::Unwell | Sign::There | Sign::Neither) => {}
        }
    }

    /// Whether calls go through, in a word and as a number: 0 when they do, 1 when not, 0.5 when one does.
    fn word(&self, now: Instant) -> (&'static str, f64) {
        match self.phase {
            Phase::Closed => ("closed", 0.0),
            Phase::Open(until, _) if now < until => ("open", 1.0),
            Phase::Half { .. } | Phase::Open(..) => ("half-open", 0.5),
        }
    }

    /// What failed long ago does not count, when nothing failed since.
    fn settle(&mut self, now: Instant) {
        let is_stale = |since| now.duration_since(since) >= WINDOW;
        if matches!(self.phase, Phase::Half { under_way: false, since, .. } if is_stale(since)) {
            *self = Self::default();
        }
    }

    /// Something else shows that it answers.
    fn works(&mut self, now: Instant) {
        if let Phase::Open(_, wait) = self.phase {
            self.phase = Phase::Half { under_way: false, wait, since: now };
        }
    }

    fn noted(&mut self, now: Instant, failed: bool) {
        // The oldest is first: the clock is read where the order is made.
        let is_old = |at: &Instant| now.duration_since(*at) >= WINDOW;
        while self.ended.len() == REMEMBERED || self.ended.front().is_some_and(|(at, _)| is_old(at)) {
            self.ended.pop_front();
        }
        self.ended.push_back((now, failed));
        // What works opens nothing, and most calls do.
        if !failed || self.ended.len() < ENOUGH || !self.ended.iter().rev().take(NEWEST).all(|(_, failed)| *failed) {
            return;
        }
        let failures = self.ended.iter().filter(|(_, failed)| *failed).count();
        if failures * 10 >= self.ended.len() * 9 {
            self.phase = Phase::Open(now + FIRST, FIRST);
        }
    }
}

/// Whether calls of a connector go through.
#[derive(Debug)]
pub(super) struct Breaker {
    state: Mutex<State>,
    /// Told when it opens or closes.
    states: watch::Sender<()>,
}

impl Breaker {
    /// One that lets everything through.
    pub(super) fn new(states: watch::Sender<()>) -> Self {
        Self { state: Mutex::default(), states }
    }

    /// The upstream answered a check.
    pub(super) fn works(&self) {
        self.with(State::works);
    }

    /// Forgets everything.
    pub(super) fn close(&self) {
        self.with(|state, _| *state = State::default());
    }

    /// Whether nothing goes through for now, and only that: no call is let through to see.
    fn refuses(&self) -> Option<Refused> {
        self.with(|state, now| match state.phase {
            Phase::Open(until, _) if now < until => state.admit(now).err(),
            Phase::Open(..) | Phase::Closed | Phase::Half { .. } => None,
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut State, Instant) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, before) = (Instant::now(), state.phase);
        state.settle(now);
        let done = work(&mut state, now);
        if mem::discriminant(&state.phase) != mem::discriminant(&before) {
            self.states.send_replace(());
        }
        done
    }
}

/// An exchange that was let through. One that is dropped at its deadline had no answer.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    /// None for connectors that look after their upstreams themselves.
    breaker: Option<&'a Breaker>,
    deadline: Instant,
    /// Whether the upstream has most of the time that the call had. It is no fault of it when we took that.
    is_fair: bool,
    is_trial: bool,
}

impl Pass<'_> {
    /// Notes how it ended.
    pub(super) fn ended(mut self, result: &Result<Outcome>) {
        self.tell(Sign::of(result));
    }

    fn tell(&mut self, sign: Sign) {
        if let Some(breaker) = self.breaker.take() {
            breaker.with(|state, now| state.ended(now, sign, self.is_trial));
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.tell(if self.is_fair && Instant::now() >= self.deadline { Sign::Unwell } else { Sign::Neither });
    }
}

impl Connector {
    /// Whether its calls go through, in a word and as a number: 0 when they do, 1 when not, 0.5 when one does.
    pub fn breaker_state(&self) -> (&'static str, f64) {
        self.health.breaker.with(|state, now| state.word(now))
    }

    /// Refuses a call that would not be let through, before anything is done for it.
    pub(super) fn admits(&self) -> Result<()> {
        self.breaker().and_then(Breaker::refuses).map_or(Ok(()), |refused| Err(self.spared(refused)))
    }

    /// Lets an exchange through, of a call that had `time` in all.
    pub(super) fn pass(&self, deadline: Instant, time: Duration) -> Result<Pass<'_>> {
        let breaker = self.breaker();
        let admitted = breaker.map_or(Ok(false), |breaker| breaker.with(State::admit));
        let is_trial = admitted.map_err(|refused| self.spared(refused))?;
        let is_fair = deadline.saturating_duration_since(Instant::now()) >= time / 2;
        Ok(Pass { breaker, deadline, is_fair, is_trial })
    }

    fn breaker(&self) -> Option<&Breaker> {
        let adapter = &self.checked.connector.adapter;
        let is_spared = matches!(adapter, AdapterSettings::Http(_) | AdapterSettings::OpenApi(_));
        is_spared.then_some(&self.health.breaker)
    }

    fn spared(&self, refused: Refused) -> Error {
        let Refused { failed, of, left } = refused;
        let (id, seconds) = (&self.checked.connector.id, left.as_secs_f64().ceil());
        let message = format!("{id} failed {failed} of its last {of} calls; it is tried again in {seconds} s");
        let again = Again { executed: Executed::No, after: Some(left) };
        Error::new(ErrorKind::Unavailable, message).of_exchange(again)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state_after(signs: &[(Sign, usize)], now: Instant) -> State {
        let mut state = State::default();
        for (sign, times) in signs {
            for _ in 0..*times {
                state.ended(now, *sign, false);
            }
        }
        state
    }

    fn is_open(signs: &[(Sign, usize)]) -> bool {
        matches!(state_after(signs, Instant::now()).phase, Phase::Open(..))
    }

    #[test]
    fn it_opens_when_nearly_every_exchange_failed_and_none_of_the_newest_worked() {
        use Sign::{Neither, Unwell, Well};
        assert!(is_open(&[(Unwell, 20)]));
        assert!(is_open(&[(Well, 2), (Unwell, 18)]));
        assert!(!is_open(&[(Unwell, 19), (Neither, 50)]));
        assert!(!is_open(&[(Well, 3), (Unwell, 17)]));
        assert!(!is_open(&[(Unwell, 15), (Well, 1), (Unwell, 9)]));
    }

    #[test]
    fn an_answer_that_says_little_ends_a_trial_and_counts_for_nothing_else() {
        let mut now = Instant::now();
        assert!(is_open(&[(Sign::Unwell, 10), (Sign::There, 50), (Sign::Unwell, 10)]));
        let mut state = state_after(&[(Sign::Unwell, 20)], now);
        now += FIRST;
        assert_eq!((state.admit(now), state.word(now).0), (Ok(true), "half-open"));
        state.ended(now, Sign::There, true);
        assert_eq!(state.phase, Phase::Closed);
    }

    #[test]
    fn an_upstream_that_answers_checks_and_is_left_alone_is_well_again() {
        let now = Instant::now();
        let mut state = state_after(&[(Sign::Unwell, 20)], now);
        state.works(now);
        state.settle(now + WINDOW / 2);
        assert_eq!(state.word(now).0, "half-open");
        state.settle(now + WINDOW);
        assert_eq!(state.word(now).0, "closed");
    }

    #[test]
    fn what_is_long_ago_does_not_count() {
        let start = Instant::now();
        let mut state = state_after(&[(Sign::Unwell, 19)], start);
        state.ended(start + WINDOW, Sign::Unwell, false);
        assert_eq!(state.phase, Phase::Closed);
    }

    #[test]
    fn one_call_at_a_time_shows_whether_it_works_again_and_the_waits_grow() {
        let mut now = Instant::now();
        let mut state = state_after(&[(Sign::Unwell, 20)], now);
        for seconds in [5, 10, 20, 40, 60, 60] {
            let refused = Refused { failed: 20, of: 20, left: Duration::from_secs(seconds) };
            assert_eq!(state.admit(now), Err(refused));
            now += Duration::from_secs(seconds);
            assert_eq!(state.admit(now), Ok(true));
            assert_eq!(state.admit(now), Err(Refused { left: SOON, ..refused }));
            state.ended(now, Sign::Unwell, true);
        }
        now += LONGEST;
        assert_eq!(state.admit(now), Ok(true));
        // Its caller left: another one shows it.
        state.ended(now, Sign::Neither, true);
        assert_eq!(state.admit(now), Ok(true));
        state.ended(now, Sign::Well, true);
        assert_eq!((state.admit(now), state.ended.len()), (Ok(false), 0));
    }

    #[test]
    fn a_check_that_works_lets_a_call_through_at_once() {
        let now = Instant::now();
        let mut state = state_after(&[(Sign::Unwell, 20)], now);
        state.works(now);
        assert_eq!((state.admit(now), state.admit(now).is_err()), (Ok(true), true));
    }
}
