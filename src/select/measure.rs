//! How well tools are found: a set of tools and questions whose answers are known, and the figures over it.

#![expect(clippy::cast_precision_loss, reason = "counts are small")]

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::Value;

use super::{Card, Index};

/// Tools, and questions with what they need.
#[derive(Debug)]
pub struct Set {
    /// By connector, in the order in which they are read.
    pub tools: Vec<Vec<SetTool>>,
    /// What is asked.
    pub questions: Vec<Question>,
}

/// A tool of a set.
#[derive(Debug, Deserialize)]
pub struct SetTool {
    /// Names it in the set.
    pub id: String,
    server: String,
    /// Its name within its server.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// What it takes.
    #[serde(default)]
    pub input_schema: Value,
}

/// A question, and what it needs.
#[derive(Debug)]
pub struct Question {
    /// What is asked.
    pub text: String,
    /// Of each group one tool, by its number.
    pub groups: Vec<Vec<usize>>,
}

#[derive(Deserialize)]
struct Line {
    text: String,
    gold: Vec<String>,
    groups: Option<Vec<Vec<String>>>,
}

impl Set {
    /// Reads a set: one tool on each line of `corpus` (`id, server, name, description, input_schema`), one question on
    /// each of `queries` (`text, gold`, and `groups` where one tool is as good as another). The error names the line.
    pub fn read(corpus: &str, queries: &str) -> Result<Self, String> {
        let mut by_server: BTreeMap<String, Vec<SetTool>> = BTreeMap::new();
        for tool in lines::<SetTool>(corpus, "corpus.jsonl")? {
            by_server.entry(tool.server.clone()).or_default().push(tool);
        }
        let tools: Vec<Vec<SetTool>> = by_server.into_values().collect();
        let numbers: HashMap<&str, usize> = tools.iter().flatten().map(|tool| tool.id.as_str()).zip(0..).collect();
        let known = |ids: &[String]| ids.iter().filter_map(|id| numbers.get(id.as_str()).copied()).collect::<Vec<_>>();
        let question = |line: Line| {
            let groups = line.groups.unwrap_or_else(|| line.gold.into_iter().map(|id| vec![id]).collect());
            let groups = groups.iter().map(|group| known(group)).filter(|group| !group.is_empty()).collect();
            Question { text: line.text, groups }
        };
        let mut questions: Vec<Question> = lines(queries, "queries.jsonl")?.into_iter().map(question).collect();
        questions.retain(|question| !question.groups.is_empty());
        Ok(Self { tools, questions })
    }

    /// What of the tools is searched.
    pub fn cards(&self) -> Vec<Vec<Card<'_>>> {
        self.tools.iter().map(|tools| tools.iter().map(SetTool::card).collect()).collect()
    }

    /// The index of the tools.
    pub fn index(&self) -> Index {
        Index::next(&Index::default(), &self.cards())
    }
}

impl SetTool {
    fn card(&self) -> Card<'_> {
        Card {
            name: &self.id,
            own: &self.name,
            connector: &self.server,
            title: "",
            description: &self.description,
            tags: "",
            schema: &self.input_schema,
        }
    }

    /// Its descriptor, as a list would have it.
    pub fn descriptor(&self) -> Value {
        serde_json::json!({ "name": self.name, "description": self.description, "inputSchema": self.input_schema })
    }
}

fn lines<T: for<'a> Deserialize<'a>>(text: &str, file: &str) -> Result<Vec<T>, String> {
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    let read = |(line, number): (&str, usize)| {
        serde_json::from_str(line).map_err(|error| format!("{file}, line {number}: {error}"))
    };
    lines.map(read).collect()
}

/// Sums of figures over questions.
#[derive(Debug, Clone, Copy, Default)]
pub struct Score {
    questions: f64,
    recall: [f64; 4],
    ndcg: f64,
    complete: f64,
    first: f64,
}

/// Means of figures over questions, in per cent.
#[derive(Debug, Clone, Copy)]
pub struct Means {
    /// Whether the first tool is one that is needed.
    pub first: f64,
    /// The share of what is needed among the first 1, 3, 5 and 10.
    pub recall: [f64; 4],
    /// The discounted gain of the first 10 beside the best possible.
    pub ndcg: f64,
    /// Whether all that is needed is among the first 10.
    pub complete: f64,
}

impl Score {
    /// How deep recall is looked at.
    pub const DEPTHS: [usize; 4] = [1, 3, 5, 10];

    /// Adds what was found, the best first, for a question that needs these.
    pub fn add(&mut self, found: &[usize], groups: &[Vec<usize>]) {
        let has = |depth: usize, group: &Vec<usize>| found.iter().take(depth).any(|item| group.contains(item));
        let share = |depth| groups.iter().filter(|group| has(depth, group)).count() as f64 / groups.len() as f64;
        for (sum, depth) in self.recall.iter_mut().zip(Self::DEPTHS) {
            *sum += share(depth);
        }
        let gain = |place: usize| 1.0 / (place as f64 + 2.0).log2();
        let mut open: Vec<&Vec<usize>> = groups.iter().collect();
        let mut gained = 0.0;
        for (place, item) in found.iter().take(10).enumerate() {
            if let Some(at) = open.iter().position(|group| group.contains(item)) {
                open.swap_remove(at);
                gained += gain(place);
            }
        }
        self.ndcg += gained / (0..groups.len().min(10)).map(gain).sum::<f64>();
        self.complete += f64::from(u8::from(open.is_empty()));
        self.first += f64::from(u8::from(found.first().is_some_and(|item| groups.iter().any(|it| it.contains(item)))));
        self.questions += 1.0;
    }

    /// The means.
    pub fn means(&self) -> Means {
        let mean = |sum: f64| 100.0 * sum / self.questions.max(1.0);
        Means {
            first: mean(self.first),
            recall: self.recall.map(mean),
            ndcg: mean(self.ndcg),
            complete: mean(self.complete),
        }
    }
}
