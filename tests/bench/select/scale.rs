//! What a search costs among very many tools: CPU time of this thread, and the memory that the index takes.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use switchboard::select::measure::{Set, SetTool};
use switchboard::select::{Card, Index};

use super::{read, sets};

/// Tools of one connector.
const SHELF: usize = 50;

/// A tool like one of a set, and like no other.
struct Made {
    name: String,
    own: String,
    connector: String,
    description: String,
    schema: Value,
}

fn make(count: usize, sets: &[Set]) -> Vec<Made> {
    let known: Vec<Value> = sets.iter().flat_map(|set| set.tools.iter().flatten()).map(SetTool::descriptor).collect();
    let text = |tool: &Value, key: &str| tool[key].as_str().unwrap_or_default().to_owned();
    let made = |number: usize| {
        let tool = &known[(number * 7919) % known.len()];
        let connector = format!("company {} service", number / SHELF);
        let own = format!("{}_{}", text(tool, "name"), number / known.len());
        Made {
            name: format!("{}_{own}", number / SHELF),
            own,
            description: format!("{} Of region {}.", text(tool, "description"), number % 97),
            schema: tool["inputSchema"].clone(),
            connector,
        }
    };
    (0..count).map(made).collect()
}

fn card(tool: &Made) -> Card<'_> {
    Card {
        name: &tool.name,
        own: &tool.own,
        connector: &tool.connector,
        title: "",
        description: &tool.description,
        tags: "",
        schema: &tool.schema,
    }
}

fn cards(tools: &[Made]) -> Vec<Vec<Card<'_>>> {
    tools.chunks(SHELF).map(|shelf| shelf.iter().map(card).collect()).collect()
}

/// The CPU time of the process, in which nothing else runs.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// What the process holds, in MiB.
fn memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().split(' ').next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or_default() / 1024.0
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let before = cpu();
    let done = work();
    (done, cpu().saturating_sub(before).as_secs_f64() * 1000.0)
}

pub(crate) fn scale(folder: &Path, counts: &[String]) {
    let sets: Vec<Set> = sets(folder).iter().map(|folder| read(folder)).collect();
    let questions: Vec<&str> =
        sets.iter().flat_map(|set| set.questions.iter().step_by(7)).map(|it| it.text.as_str()).collect();
    let started = Instant::now();
    let (_, first) = timed(|| Index::default().rank("warm up", &|_| true));
    let _ = sets[0].index();
    println!(
        "the table and its words are ready after {first:.1} ms of CPU, {:.1} ms with a first index",
        started.elapsed().as_secs_f64() * 1000.0
    );
    println!("| tools | first index | one connector changed | p50 | p99 | longest | memory |");
    println!("|---|---|---|---|---|---|---|");
    let counts: Vec<usize> = counts.iter().map(|count| count.parse().unwrap()).collect();
    for count in if counts.is_empty() { vec![1000, 10_000, 100_000] } else { counts } {
        let mut tools = make(count, &sets);
        let before = memory();
        let (index, built) = timed(|| Index::next(&Index::default(), &cards(&tools)));
        let held = memory() - before;
        let mut times: Vec<f64> =
            questions.repeat(3).iter().map(|text| timed(|| index.rank(text, &|_| true)).1).collect();
        times.sort_by(f64::total_cmp);
        tools[count / 2].description.push_str(" Changed.");
        let texts = cards(&tools);
        let (_, changed) = timed(|| Index::next(&index, &texts));
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        println!(
            "| {count} | {built:.0} ms | {changed:.1} ms | {:.2} ms | {:.2} ms | {:.2} ms | {held:.0} MiB |",
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
}
