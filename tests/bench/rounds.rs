//! Measures servers in turns, so that whatever else the machine does falls on all of them alike.

use std::time::Duration;

use crate::{
    answer::Miss,
    slice::{Side, Slice},
};

/// The slices of one server, one a round.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series {
    rounds: Vec<Slice>,
    /// What went wrong in the round that does not count; that counts.
    warm_up: Vec<Miss>,
}

/// Loads every side once a round, one after the other, after a short round that does not count.
pub(crate) async fn take_turns(sides: &[Side], rounds: usize, slice: Duration) -> Vec<Series> {
    let mut all = vec![Series::default(); sides.len()];
    for (side, series) in sides.iter().zip(&mut all) {
        series.warm_up = side.load((slice / 4).max(Duration::from_millis(200))).await.misses;
    }
    for _ in 0..rounds {
        for (side, series) in sides.iter().zip(&mut all) {
            series.rounds.push(side.load(slice).await);
        }
    }
    all
}

impl Series {
    /// The median over the rounds of a figure, of the rounds that have it.
    pub(crate) fn median(&self, figure: impl Fn(&Slice) -> Option<f64>) -> Option<f64> {
        median(self.rounds.iter().filter_map(figure).collect())
    }

    pub(crate) fn misses(&self) -> impl Iterator<Item = &Miss> {
        self.rounds.iter().flat_map(|slice| &slice.misses).chain(&self.warm_up)
    }
}

/// The median over the rounds of a figure's ratio to the floor's of the same round.
pub(crate) fn ratio(subject: &Series, floor: &Series, figure: impl Fn(&Slice) -> Option<f64>) -> Option<f64> {
    let pairs = subject.rounds.iter().zip(&floor.rounds);
    median(
        pairs
            .filter_map(|(subject, floor)| Some(figure(subject)? / figure(floor)?))
            .filter(|x| x.is_finite())
            .collect(),
    )
}

pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some(f64::midpoint(*low, *high))
}

impl Slice {
    /// CPU µs of the process in the middle for one call.
    pub(crate) fn cpu_per_call(&self) -> Option<f64> {
        (self.calls > 0).then(|| micros(self.cpu.own) / number(self.calls))
    }

    /// CPU µs for a MiB of answers.
    pub(crate) fn cpu_per_mebibyte(&self) -> Option<f64> {
        (self.bytes > 0).then(|| micros(self.cpu.own) / number(self.bytes) * f64::from(1 << 20))
    }

    /// CPU µs of all it has started, for one call.
    pub(crate) fn descendants_per_call(&self) -> Option<f64> {
        (self.calls > 0).then(|| micros(self.cpu.descendants) / number(self.calls))
    }

    pub(crate) fn bytes_per_call(&self) -> Option<f64> {
        (self.calls > 0).then(|| number(self.bytes) / number(self.calls))
    }

    pub(crate) fn p50(&self) -> Option<f64> {
        (self.calls > 0).then(|| micros(self.p50))
    }

    pub(crate) fn p99(&self) -> Option<f64> {
        (self.calls > 0).then(|| micros(self.p99))
    }

    pub(crate) fn rate(&self) -> Option<f64> {
        (self.calls > 0).then(|| number(self.calls) / self.elapsed.as_secs_f64())
    }

    pub(crate) fn memory(&self) -> Option<f64> {
        (self.memory > 0.0).then_some(self.memory / 1024.0)
    }
}

pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// A count as a figure; exact up to 2^32, which nothing here reaches.
pub(crate) fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}
