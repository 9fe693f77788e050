//! Learns what each feature counts: a softmax over each question's pool, so that what is needed comes before what is
//! not. Each set counts the same, however many questions it has.

use std::path::Path;

use switchboard::select::FEATURES;
use switchboard::select::measure::{Question, Score};

use super::{read, sets};

/// Pulls weights towards nothing.
const DECAY: f32 = 0.002;
const STEP: f32 = 0.3;
const ROUNDS: usize = 400;
const COUNT: usize = FEATURES.len();

type Values = [f32; COUNT];

/// A question's pool.
struct Case {
    items: Vec<usize>,
    values: Vec<Values>,
    needed: Vec<bool>,
    question: Question,
}

struct Cases {
    name: String,
    cases: Vec<Case>,
}

fn cases(folder: &Path) -> Cases {
    let mut set = read(folder);
    let index = set.index();
    let name = folder.file_name().unwrap().to_string_lossy().into_owned();
    let case = |mut question: Question| {
        // What the target depends on is not what is asked for: relations bring it along.
        if folder.join("graph.json").exists() {
            question.groups.truncate(1);
        }
        let found = index.rank(&question.text, &|_| true);
        let needed = found.iter().map(|it| question.groups.iter().any(|group| group.contains(&it.item))).collect();
        let values = found.iter().map(|it| it.why.values.as_slice().try_into().unwrap()).collect();
        Case { items: found.iter().map(|it| it.item).collect(), values, needed, question }
    };
    Cases { name, cases: std::mem::take(&mut set.questions).into_iter().map(case).collect() }
}

/// Weights, for values as they are.
fn weights(sets: &[&Cases]) -> Values {
    let all = || sets.iter().flat_map(|set| &set.cases).flat_map(|case| &case.values);
    let count = all().count() as f32;
    let (mut mean, mut spread) = ([0.0_f64; COUNT], [0.0_f64; COUNT]);
    for values in all() {
        for at in 0..COUNT {
            mean[at] += f64::from(values[at]) / f64::from(count);
            spread[at] += f64::from(values[at]).powi(2) / f64::from(count);
        }
    }
    let spread: Vec<f32> = (0..COUNT).map(|at| (spread[at] - mean[at].powi(2)).max(1e-8).sqrt() as f32).collect();
    let (mut weights, mut squares) = ([0.0_f32; COUNT], [1e-8_f32; COUNT]);
    for _ in 0..ROUNDS {
        let mut slope = [0.0_f32; COUNT];
        for set in sets {
            let useful = set.cases.iter().filter(|case| case.needed.contains(&true)).collect::<Vec<_>>();
            for case in &useful {
                let share = 1.0 / (useful.len() * sets.len()) as f32;
                let needed = case.needed.iter().filter(|needed| **needed).count() as f32;
                let score = |values: &Values| (0..COUNT).map(|at| weights[at] * values[at] / spread[at]).sum::<f32>();
                let scores: Vec<f32> = case.values.iter().map(score).collect();
                let top = scores.iter().copied().fold(f32::MIN, f32::max);
                let odds: Vec<f32> = scores.iter().map(|score| (score - top).exp()).collect();
                let sum: f32 = odds.iter().sum();
                for ((values, odds), is_needed) in case.values.iter().zip(&odds).zip(&case.needed) {
                    let off = share * (odds / sum - if *is_needed { 1.0 / needed } else { 0.0 });
                    for at in 0..COUNT {
                        slope[at] += off * (values[at] - mean[at] as f32) / spread[at];
                    }
                }
            }
        }
        for at in 0..COUNT {
            slope[at] += DECAY * weights[at];
            squares[at] += slope[at].powi(2);
            weights[at] -= STEP * slope[at] / squares[at].sqrt();
        }
    }
    std::array::from_fn(|at| weights[at] / spread[at])
}

fn show(name: &str, set: &Cases, weights: &Values) {
    let mut sum = Score::default();
    for case in &set.cases {
        let score = |values: &Values| values.iter().zip(weights).map(|(value, weight)| value * weight).sum::<f32>();
        let mut ranked: Vec<(f32, usize)> = case.values.iter().map(score).zip(case.items.iter().copied()).collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        let found: Vec<usize> = ranked.into_iter().map(|(_, item)| item).collect();
        sum.add(&found, &case.question.groups);
    }
    let means = sum.means();
    let [_, _, five, ten] = means.recall;
    println!("{name:24} first {:5.1}  recall@5 {five:5.1}  @10 {ten:5.1}  nDCG@10 {:5.1}", means.first, means.ndcg);
}

pub(crate) fn learn(folder: &Path) {
    let sets: Vec<Cases> = sets(folder).iter().map(|folder| cases(folder)).collect();
    let all = weights(&sets.iter().collect::<Vec<_>>());
    let now: Values = FEATURES.map(|feature| feature.weight);
    for set in &sets {
        let others: Vec<&Cases> = sets.iter().filter(|other| other.name != set.name).collect();
        show(&format!("{} (weights as they are)", set.name), set, &now);
        show("  learnt from the others", set, &weights(&others));
        show("  learnt from all", set, &all);
    }
    for (feature, weight) in FEATURES.iter().zip(all) {
        println!("    feature({:?}, {weight:.3}),", feature.name);
    }
}
