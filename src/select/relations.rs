//! What comes along with tools that were found: what they depend on, and what is used beside them.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

/// How far from what was found.
const HOPS: usize = 2;
/// Tools that come along because they are required.
const MOST_REQUIRED: usize = 10;
/// Other tools that come along.
const MOST_OTHERS: usize = 3;
/// What others have to reach.
const CONFIDENCE: f32 = 0.5;
/// Of those found, only the best bring others along: what belongs to the twentieth is far from what was asked.
const LEADING: usize = 10;

/// How a tool belongs to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The other is of no use without it.
    DependsOn,
    /// It is often called beside the other.
    OftenUsedWith,
    /// It is called after the other.
    ComesAfter,
    /// It is called before the other.
    ComesBefore,
    /// It can do the same as the other.
    AlternativeTo,
}

impl Kind {
    /// It in words, before the other's name.
    pub fn words(self) -> &'static str {
        match self {
            Self::DependsOn => "needed by",
            Self::OftenUsedWith => "often used with",
            Self::ComesAfter => "comes after",
            Self::ComesBefore => "comes before",
            Self::AlternativeTo => "alternative to",
        }
    }
}

/// From one tool to another that belongs to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edge {
    /// The other.
    pub to: usize,
    /// How it belongs to the one.
    pub kind: Kind,
    /// How sure that is, to 1.
    pub confidence: f32,
}

/// A tool that comes along.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Along {
    /// Which.
    pub item: usize,
    /// How it belongs to `of`.
    pub kind: Kind,
    /// The tool it belongs to: one that was found, or that comes along with one.
    pub of: usize,
    /// How sure that is, to 1.
    pub confidence: f32,
    /// Whether it has to come along.
    pub required: bool,
}

/// What is known of tools.
pub struct Around<'a> {
    /// What belongs to a tool.
    pub edges: &'a dyn Fn(usize) -> Vec<Edge>,
    /// Whether a tool is there for who asks. Nothing leads through one that is not.
    pub sees: &'a dyn Fn(usize) -> bool,
    /// A tool's name, which decides between equals.
    pub name: &'a dyn Fn(usize) -> &'a str,
}

impl std::fmt::Debug for Around<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Around")
    }
}

/// A way to a tool.
#[derive(Debug, Clone, Copy)]
struct Way {
    along: Along,
    /// Whether it leads by an alternative: those come last, because who has the one seldom needs the other.
    aside: bool,
    hops: usize,
    /// Which of those found it begins at.
    rank: usize,
}

/// What comes along with these tools, the best first: what is required, then the others.
pub fn along(found: &[usize], around: &Around<'_>) -> Vec<Along> {
    let mut taken: BTreeSet<usize> = found.iter().copied().collect();
    let mut all = required(found, &mut taken, around);
    all.extend(others(found, &taken, around));
    all
}

fn required(found: &[usize], taken: &mut BTreeSet<usize>, around: &Around<'_>) -> Vec<Along> {
    let mut all = Vec::new();
    let mut front = found.to_vec();
    for _ in 0..HOPS {
        let mut next = Vec::new();
        for of in front {
            let mut needed = (around.edges)(of);
            needed.retain(|edge| edge.kind == Kind::DependsOn && !taken.contains(&edge.to) && (around.sees)(edge.to));
            needed.sort_by_key(|edge| (around.name)(edge.to));
            for Edge { to, kind, .. } in needed {
                if all.len() == MOST_REQUIRED {
                    return all;
                }
                if taken.insert(to) {
                    all.push(Along { item: to, kind, of, confidence: 1.0, required: true });
                    next.push(to);
                }
            }
        }
        front = next;
    }
    all
}

fn others(found: &[usize], taken: &BTreeSet<usize>, around: &Around<'_>) -> Vec<Along> {
    let mut best: BTreeMap<usize, Way> = BTreeMap::new();
    for (rank, start) in found.iter().take(LEADING).enumerate() {
        let mut front = vec![(*start, 1.0, false)];
        for hops in 1..=HOPS {
            let mut next = Vec::new();
            for (of, sure, aside) in front {
                for Edge { to, kind, confidence } in (around.edges)(of) {
                    let confidence = sure * confidence;
                    if confidence < CONFIDENCE || taken.contains(&to) || !(around.sees)(to) {
                        continue;
                    }
                    let aside = aside || kind == Kind::AlternativeTo;
                    let along = Along { item: to, kind, of, confidence, required: false };
                    let way = Way { along, aside, hops, rank };
                    next.push((to, confidence, aside));
                    let known = best.entry(to).or_insert(way);
                    if way.order(known, around) == Ordering::Less {
                        *known = way;
                    }
                }
            }
            front = next;
        }
    }
    let mut ways: Vec<Way> = best.into_values().collect();
    ways.sort_by(|a, b| a.order(b, around));
    ways.into_iter().take(MOST_OTHERS).map(|way| way.along).collect()
}

impl Way {
    fn order(&self, other: &Self, around: &Around<'_>) -> Ordering {
        let name = |item: usize| (around.name)(item);
        let surer = other.along.confidence.total_cmp(&self.along.confidence);
        self.aside
            .cmp(&other.aside)
            .then(surer)
            .then((self.hops, self.rank).cmp(&(other.hops, other.rank)))
            .then_with(|| name(self.along.item).cmp(name(other.along.item)))
            .then_with(|| (self.along.kind, name(self.along.of)).cmp(&(other.along.kind, name(other.along.of))))
    }
}
