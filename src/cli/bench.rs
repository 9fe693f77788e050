//! `bench select`: how well tools are found in sets whose answers are known, what a search costs, and what it saves.

#![expect(clippy::cast_precision_loss, reason = "counts are small")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use comfy_table::{Table, presets};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use super::{Failure, Format, FormatArgs, print};
use crate::gateway::Wanted;
use crate::protocol::front;
use crate::select::measure::{Score, Set, SetTool};
use crate::select::{Index, Pack, Said, first_sentence, signature, tokens};

/// The tasks of a session.
const TASKS: usize = 10;

#[derive(Debug, clap::Args)]
pub(super) struct BenchArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// How well tools are found: sets of tools with questions whose answers are known
    Select {
        /// A set (`corpus.jsonl` and `queries.jsonl`), or a folder of sets
        folder: PathBuf,
        #[command(flatten)]
        format: FormatArgs,
    },
}

/// The figures of one set.
struct Figures {
    name: String,
    tools: usize,
    questions: usize,
    score: Score,
    /// CPU time of each search, in milliseconds, in order.
    times: Vec<f64>,
    /// CPU time of the first index.
    indexed: f64,
    memory: usize,
    tokens: Tokens,
}

/// What models pay.
struct Tokens {
    list: usize,
    /// The menu of tools by which others are found.
    menu: usize,
    /// One answer, in the mean.
    answer: f64,
    /// A session of some tasks: the menu, a search for each, and a description where the answer had no schema.
    session: usize,
    tasks: usize,
    /// Answers that had more tokens than they may have.
    over: usize,
    /// Answers in which nothing was said.
    empty: usize,
}

pub(super) fn bench(args: &BenchArgs) -> Result<(), Failure> {
    let What::Select { folder, format } = &args.what;
    let sets = sets(folder)?;
    let figures = sets.iter().map(|folder| measured(folder)).collect::<Result<Vec<_>, _>>()?;
    match format.format {
        Format::Text => print(&format!("{}\n{}", found(&figures), cost(&figures))),
        Format::Json => print(&format!("{:#}", json!({ "sets": figures.iter().map(report).collect::<Vec<_>>() }))),
    }
}

/// The sets in a folder, or the one that it is.
fn sets(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let is_set = |folder: &Path| folder.join("corpus.jsonl").is_file();
    if is_set(folder) {
        return Ok(vec![folder.to_owned()]);
    }
    let unreadable = |error| Failure::Usage(format!("{} cannot be read: {error}", folder.display()));
    let inside = std::fs::read_dir(folder).map_err(unreadable)?;
    let mut sets: Vec<PathBuf> = inside.filter_map(|entry| Some(entry.ok()?.path())).filter(|it| is_set(it)).collect();
    sets.sort();
    if sets.is_empty() {
        let wants = "a set is a folder with corpus.jsonl (id, server, name, description, input_schema on each line) and queries.jsonl (text, gold)";
        return Err(Failure::Usage(format!("{} holds no set; {wants}", folder.display())));
    }
    Ok(sets)
}

fn read(folder: &Path) -> Result<Set, Failure> {
    let text = |name: &str| {
        let path = folder.join(name);
        std::fs::read_to_string(&path)
            .map_err(|error| Failure::Usage(format!("{} cannot be read: {error}", path.display())))
    };
    let set = Set::read(&text("corpus.jsonl")?, &text("queries.jsonl")?);
    set.map_err(|fault| Failure::Usage(format!("{}: {fault}", folder.display())))
}

/// The CPU time of this thread so far.
fn clock() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// What came of it, and how many milliseconds of CPU it took.
fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = clock();
    let done = work();
    (done, clock().saturating_sub(start).as_secs_f64() * 1000.0)
}

fn measured(folder: &Path) -> Result<Figures, Failure> {
    let set = read(folder)?;
    // What is read once for all sets is no part of one's figures.
    Index::default().rank("ready", &|_| true);
    let (index, indexed) = timed(|| set.index());
    let tools: Vec<&SetTool> = set.tools.iter().flatten().collect();
    let (mut score, mut times) = (Score::default(), Vec::new());
    let mut bill = Bill::of(&tools);
    for question in &set.questions {
        let (found, time) = timed(|| index.rank(&question.text, &|_| true));
        times.push(time);
        let items: Vec<usize> = found.iter().map(|found| found.item).collect();
        score.add(&items, &question.groups);
        bill.add(&items, &question.groups);
    }
    times.sort_by(f64::total_cmp);
    Ok(Figures {
        name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        tools: tools.len(),
        questions: set.questions.len(),
        score,
        times,
        indexed,
        memory: index.size(),
        tokens: bill.tokens(set.questions.len()),
    })
}

/// The tokens that answers have.
struct Bill<'a> {
    tools: &'a [&'a SetTool],
    descriptors: Vec<Value>,
    budget: usize,
    sum: usize,
    tokens: Tokens,
}

impl<'a> Bill<'a> {
    fn of(tools: &'a [&'a SetTool]) -> Self {
        let descriptors: Vec<Value> = tools.iter().map(|tool| tool.descriptor()).collect();
        let list = tokens::count(&json!({ "tools": descriptors }).to_string());
        let menu = tokens::count(front(crate::catalog::SignIn::Nobody));
        let tokens = Tokens { list, menu, answer: 0.0, session: menu, tasks: 0, over: 0, empty: 0 };
        Self { tools, descriptors, budget: Wanted::default().tokens(list), sum: 0, tokens }
    }

    fn add(&mut self, items: &[usize], groups: &[Vec<usize>]) {
        let items: Vec<usize> = items.iter().copied().take(Wanted::default().tools()).collect();
        let pack = Pack {
            budget: self.budget,
            items: items.len(),
            tiers: 4,
            longest: (3, self.budget / 2),
            say: &|at, tier| items.get(at).map(|item| self.say(*item, tier)).unwrap_or_default(),
            whole: &|said, left| {
                let said: Vec<&str> = said.iter().map(|said| said.text.as_str()).collect();
                format!(r#"{{"tools":[{}],"more":{left}}}"#, said.join(","))
            },
        };
        let packed = pack.pack();
        self.sum += packed.tokens;
        self.tokens.over += usize::from(packed.tokens > self.budget);
        self.tokens.empty += usize::from(packed.said.is_empty() && !items.is_empty());
        if self.tokens.tasks < TASKS {
            self.tokens.tasks += 1;
            let whole = |said: &Said| {
                said.tier == 0 && items.get(said.item).is_some_and(|it| groups.iter().any(|group| group.contains(it)))
            };
            let needed = groups.first().and_then(|group| self.descriptors.get(*group.first()?));
            let described =
                needed.filter(|_| !packed.said.iter().any(whole)).map_or(0, |it| tokens::count(&it.to_string()));
            self.tokens.session += packed.tokens + described;
        }
    }

    /// A tool, in one of the ways of `search_tools`.
    fn say(&self, item: usize, tier: usize) -> String {
        let (Some(tool), Some(descriptor)) = (self.tools.get(item), self.descriptors.get(item)) else {
            return String::new();
        };
        match tier {
            0 => descriptor.to_string(),
            1 => {
                json!({ "name": tool.name, "signature": signature(&tool.name, &tool.input_schema, &tool.description) })
                    .to_string()
            }
            2 => json!({ "name": tool.name, "line": first_sentence(&tool.description, 100) }).to_string(),
            _ => json!({ "name": tool.name }).to_string(),
        }
    }

    fn tokens(self, questions: usize) -> Tokens {
        Tokens { answer: self.sum as f64 / questions.max(1) as f64, ..self.tokens }
    }
}

impl Figures {
    fn time(&self, share: f64) -> f64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
        let at = (self.times.len().saturating_sub(1) as f64 * share).round() as usize;
        self.times.get(at).copied().unwrap_or_default()
    }
}

impl Tokens {
    /// How much less an answer costs than the whole list, in per cent.
    fn saved(&self) -> f64 {
        100.0 * (1.0 - self.answer / self.list.max(1) as f64)
    }
}

fn table<const N: usize>(header: [&str; N], rows: impl Iterator<Item = [String; N]>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(header);
    rows.for_each(|row| {
        table.add_row(row);
    });
    table
}

fn found(figures: &[Figures]) -> Table {
    let header = ["set", "tools", "questions", "first", "R@1", "R@3", "R@5", "R@10", "nDCG@10", "all in 10"];
    let row = |it: &Figures| {
        let means = it.score.means();
        let [one, three, five, ten] = means.recall;
        let shown = [means.first, one, three, five, ten, means.ndcg, means.complete].map(|mean| format!("{mean:.1}"));
        let [first, one, three, five, ten, ndcg, complete] = shown;
        let (tools, questions) = (it.tools.to_string(), it.questions.to_string());
        [it.name.clone(), tools, questions, first, one, three, five, ten, ndcg, complete]
    };
    table(header, figures.iter().map(row))
}

fn cost(figures: &[Figures]) -> Table {
    let header = ["set", "p50 ms", "p99 ms", "index ms", "memory KiB", "list", "answer", "saved", "menu", "session"];
    let row = |it: &Figures| {
        let Tokens { list, menu, answer, session, tasks, .. } = &it.tokens;
        [
            it.name.clone(),
            format!("{:.2}", it.time(0.5)),
            format!("{:.2}", it.time(0.99)),
            format!("{:.0}", it.indexed),
            (it.memory / 1024).to_string(),
            list.to_string(),
            format!("{answer:.0}"),
            format!("{:.2} %", it.tokens.saved()),
            menu.to_string(),
            format!("{session} for {tasks} tasks"),
        ]
    };
    table(header, figures.iter().map(row))
}

fn report(it: &Figures) -> Value {
    let means = it.score.means();
    let [one, three, five, ten] = means.recall;
    let Tokens { list, menu, answer, session, tasks, over, empty } = &it.tokens;
    json!({
        "set": it.name,
        "tools": it.tools,
        "questions": it.questions,
        "first": means.first,
        "recall": { "1": one, "3": three, "5": five, "10": ten },
        "ndcg10": means.ndcg,
        "complete10": means.complete,
        "cpuMs": { "p50": it.time(0.5), "p99": it.time(0.99), "index": it.indexed },
        "indexBytes": it.memory,
        "tokens": {
            "list": list,
            "menu": menu,
            "answer": answer,
            "savedPercent": it.tokens.saved(),
            "session": { "tasks": tasks, "tokens": session },
            "answersOverBudget": over,
            "emptyAnswers": empty,
        },
    })
}
