//! How often tools are used, and how often two of them together.

use std::{cmp::Ordering, collections::HashMap, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Pairs of tools that are counted, each from both its sides.
const MOST_PAIRS: usize = 2_000;
/// What stays of the pairs when there are more.
const STAY: usize = MOST_PAIRS * 7 / 8;
/// Other tools that one tool is counted with.
const MOST_WITH: usize = 16;
/// Tools that are counted.
const MOST_TOOLS: usize = 2_000;
/// The longest name that is counted.
const LONGEST: usize = 200;
/// Seconds after which a use counts half.
const HALF_LIFE: f64 = 30.0 * 24.0 * 3600.0;
/// What is left of a use that is forgotten.
const FORGOTTEN: f32 = 0.25;
/// Uses together that say something: three, of which a week may have taken a little.
const TELLING: f32 = 2.5;
/// How often the other has to follow, of all uses of the one.
const OFTEN: f32 = 0.25;

/// Uses of tools. Names are `connector.tool`.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    tools: HashMap<Arc<str>, Uses>,
    /// How many sides of pairs there are.
    sides: usize,
}

#[derive(Debug, Clone, Default)]
struct Uses {
    count: f32,
    with: Vec<(Arc<str>, f32)>,
}

/// It as it is kept: each tool with its count, and the tools it was used with, by their place among all.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// When the counts were so, in seconds of Unix time.
    at: u64,
    tools: Vec<(String, f32, With)>,
}

type With = Vec<(usize, f32)>;

impl Counts {
    pub(super) fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }

    /// Counts a use.
    pub(super) fn used(&mut self, tool: &Arc<str>) {
        if tool.len() <= LONGEST && (self.tools.len() < MOST_TOOLS || self.tools.contains_key(tool)) {
            self.tools.entry(Arc::clone(tool)).or_default().count += 1.0;
        }
    }

    /// Counts that two tools were used together.
    pub(super) fn together(&mut self, one: &Arc<str>, other: &Arc<str>) {
        if one.len() <= LONGEST && other.len() <= LONGEST {
            self.side(one, other, 1.0);
            self.side(other, one, 1.0);
        }
        if self.sides > 2 * MOST_PAIRS {
            self.trim();
        }
    }

    fn side(&mut self, one: &Arc<str>, other: &Arc<str>, count: f32) {
        let full = self.tools.len() >= MOST_TOOLS;
        let uses = match self.tools.get_mut(one) {
            Some(uses) => uses,
            None if full => return,
            None => self.tools.entry(Arc::clone(one)).or_default(),
        };
        if let Some((_, known)) = uses.with.iter_mut().find(|(name, _)| name == other) {
            *known += count;
            return;
        }
        // The rarest makes room, so that what is new has a chance.
        if uses.with.len() >= MOST_WITH
            && let Some(rarest) = uses.with.iter_mut().min_by(|a, b| order(b, a))
        {
            *rarest = (Arc::clone(other), count);
            return;
        }
        uses.with.push((Arc::clone(other), count));
        self.sides += 1;
    }

    /// Forgets the rarest pairs.
    fn trim(&mut self) {
        let mut all: Vec<f32> =
            self.tools.values().flat_map(|uses| uses.with.iter().map(|(_, count)| *count)).collect();
        all.sort_by(|a, b| b.total_cmp(a));
        let least = all.get(2 * STAY).copied().unwrap_or_default();
        // Of many that are equally rare, those go first that are met first.
        let mut left = all.iter().filter(|count| **count > least).count();
        let mut equal = (2 * STAY).saturating_sub(left);
        for uses in self.tools.values_mut() {
            uses.with.retain(|(_, count)| {
                let stays = *count > least || *count >= least && equal > 0;
                equal -= usize::from(stays && *count <= least);
                left += usize::from(stays && *count <= least);
                stays
            });
        }
        self.sides = left;
    }

    /// Adds the counts of another.
    pub(super) fn add(&mut self, other: &Self) {
        let mut tools: Vec<_> = other.tools.iter().collect();
        // In one order, so that the same stays wherever there is no room for all.
        tools.sort_by(|a, b| b.1.count.total_cmp(&a.1.count).then_with(|| a.0.cmp(b.0)));
        for (tool, uses) in tools {
            if self.tools.len() >= MOST_TOOLS && !self.tools.contains_key(tool) {
                continue;
            }
            self.tools.entry(Arc::clone(tool)).or_default().count += uses.count;
            for (with, count) in &uses.with {
                self.side(tool, with, *count);
            }
        }
        if self.sides > 2 * MOST_PAIRS {
            self.trim();
        }
    }

    /// Lets all count less, and forgets what is nearly nothing.
    pub(super) fn fade(&mut self, seconds: u64) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a factor from 0 to 1")]
        let factor = 0.5_f64.powf(seconds as f64 / HALF_LIFE) as f32;
        for uses in self.tools.values_mut() {
            uses.count *= factor;
            uses.with.iter_mut().for_each(|(_, count)| *count *= factor);
            uses.with.retain(|(_, count)| *count > FORGOTTEN);
        }
        self.tools.retain(|_, uses| uses.count > FORGOTTEN || !uses.with.is_empty());
        self.sides = self.tools.values().map(|uses| uses.with.len()).sum();
    }

    /// It as it is kept, in one order.
    pub(super) fn write(&self, now: u64) -> Bytes {
        let mut names: Vec<&Arc<str>> = self.tools.keys().collect();
        names.sort();
        let places: HashMap<&str, usize> = names.iter().enumerate().map(|(place, name)| (&***name, place)).collect();
        let tools = names.iter().filter_map(|name| {
            let uses = self.tools.get(*name)?;
            let with = uses.with.iter().filter_map(|(other, count)| Some((*places.get(&**other)?, round(*count))));
            Some(((***name).to_owned(), round(uses.count), with.collect()))
        });
        serde_json::to_vec(&Kept { at: now, tools: tools.collect() }).unwrap_or_default().into()
    }

    /// What was kept, as much as it counts now. What cannot be read counts nothing.
    pub(super) fn read(kept: &[u8], now: u64) -> Self {
        let Kept { at, tools } = serde_json::from_slice(kept).unwrap_or_default();
        let fits = |count: f32| count.is_finite() && count > 0.0;
        let names: Vec<Arc<str>> = tools.iter().map(|(name, ..)| Arc::from(name.as_str())).collect();
        let mut counts = Self::default();
        for ((_, count, with), name) in tools.iter().zip(&names).take(MOST_TOOLS) {
            let with = with.iter().filter(|(_, count)| fits(*count)).take(MOST_WITH);
            let with = with.filter_map(|(place, count)| Some((Arc::clone(names.get(*place)?), *count))).collect();
            let count = if fits(*count) { *count } else { 0.0 };
            counts.tools.insert(Arc::clone(name), Uses { count, with });
        }
        counts.fade(now.saturating_sub(at));
        counts
    }

    /// How often a tool was used.
    fn count(&self, tool: &str) -> f32 {
        self.tools.get(tool).map_or(0.0, |uses| uses.count)
    }

    /// How often a tool was used with another.
    fn with(&self, tool: &str) -> &[(Arc<str>, f32)] {
        self.tools.get(tool).map(|uses| uses.with.as_slice()).unwrap_or_default()
    }
}

/// The tools that are often used with this one, each with how often of all its uses, by what all of these count.
pub(super) fn often(all: &[&Counts], tool: &str) -> Vec<(Arc<str>, f32)> {
    let uses: f32 = all.iter().map(|counts| counts.count(tool)).sum();
    let mut with: HashMap<&Arc<str>, f32> = HashMap::new();
    for (other, count) in all.iter().flat_map(|counts| counts.with(tool)) {
        *with.entry(other).or_default() += count;
    }
    let telling = with.into_iter().filter(|(_, count)| *count >= TELLING && *count >= OFTEN * uses);
    let mut often: Vec<_> =
        telling.map(|(other, count)| (Arc::clone(other), (count / uses.max(count)).min(1.0))).collect();
    often.sort_by(order);
    often
}

fn order(a: &(Arc<str>, f32), b: &(Arc<str>, f32)) -> Ordering {
    b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0))
}

fn round(count: f32) -> f32 {
    (count * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Counts, HALF_LIFE, MOST_PAIRS, MOST_WITH, often};

    fn name(number: usize) -> Arc<str> {
        format!("api.tool{number}").into()
    }

    fn pairs(counts: &Counts) -> usize {
        let sides: usize = counts.tools.values().map(|uses| uses.with.len()).sum();
        assert_eq!(sides, counts.sides);
        assert!(counts.tools.values().all(|uses| uses.with.len() <= MOST_WITH));
        sides.div_ceil(2)
    }

    #[test]
    fn what_is_counted_has_its_bounds_and_the_frequent_stays() {
        let mut counts = Counts::default();
        for _ in 0..5 {
            counts.used(&name(0));
            counts.together(&name(0), &name(1));
        }
        for number in 0..60_000 {
            counts.used(&name(number % 3_000));
            counts.together(&name(number % 3_000), &name((number * 7 + 1) % 2_999));
            assert!(counts.sides <= 2 * MOST_PAIRS);
        }
        assert!(pairs(&counts) > MOST_PAIRS / 2);
        assert!(often(&[&counts], "api.tool1").iter().any(|(other, _)| **other == *name(0)));
        let mut twice = Counts::read(&counts.write(10), 10);
        pairs(&twice);
        assert_eq!(twice.write(10), counts.write(10));
        twice.add(&counts);
        assert!(pairs(&twice) <= MOST_PAIRS);
    }

    #[test]
    fn uses_count_half_after_a_month_and_nonsense_counts_nothing() {
        let mut counts = Counts::default();
        for _ in 0..4 {
            counts.used(&name(0));
            counts.together(&name(0), &name(1));
        }
        let kept = counts.write(0);
        assert_eq!(often(&[&Counts::read(&kept, 0)], &name(0)), [(name(1), 1.0)]);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "so many seconds")]
        let month = HALF_LIFE as u64;
        assert!(often(&[&Counts::read(&kept, month)], &name(0)).is_empty());
        assert!(Counts::read(&kept, 12 * month).is_empty());
        let odd: &[u8] = br#"{"at":0,"tools":[["a.b",-1.0,[[9,1.0],[0,-3.0]]],["a.c",1e30,[]]]}"#;
        for nonsense in [&b"[]"[..], b"null", odd] {
            assert!(often(&[&Counts::read(nonsense, 0)], "a.b").is_empty());
        }
    }
}
