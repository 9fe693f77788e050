//! What somebody wants to find, read from what they said and checked.

use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};
use crate::manifest::Arguments;

/// Steps that are searched for at once.
const MOST_QUERIES: usize = 10;
/// Characters of a query.
const LONGEST_QUERY: usize = 2000;
/// Categories, and connectors, that are named at once.
const MOST_NAMES: usize = 50;
/// Characters of one of them.
const LONGEST_NAME: usize = 200;
/// Tools in one answer when nobody says how many, and at most.
const TOOLS: usize = 20;
const MOST_TOOLS: usize = 100;
/// Tokens of an answer, at least: an error has to fit, too.
const LEAST_TOKENS: usize = 100;
/// And at most.
pub(super) const MOST_TOKENS: usize = 100_000;
/// When nobody says how many, an answer may cost this part of the whole list, within these bounds.
const PART: usize = 100;
const USUAL_TOKENS: std::ops::RangeInclusive<usize> = 400..=2000;

/// What is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// In words, one text for each step.
    pub queries: Vec<String>,
    /// How many tools at most.
    pub max_tools: Option<usize>,
    /// How many tokens the answer may have.
    pub token_budget: Option<usize>,
    /// Of these categories only.
    pub categories: Vec<String>,
    /// Of these connectors only.
    pub connectors: Vec<String>,
}

impl Wanted {
    /// What a model says it wants. Members it made up are passed over.
    pub fn of(arguments: &Arguments) -> Result<Self> {
        let said = |name: &str| arguments.get(name).filter(|value| !value.is_null());
        let queries = said("query").or_else(|| said("queries"));
        let list = |name: &str| said(name).map_or(Ok(Vec::new()), |value| texts(value, name));
        Ok(Self {
            queries: queries.map_or(Ok(Vec::new()), |value| texts(value, "query"))?,
            max_tools: said("maxTools").map(|value| number(value, "maxTools")).transpose()?,
            token_budget: said("tokenBudget").map(|value| number(value, "tokenBudget")).transpose()?,
            categories: list("categories")?,
            connectors: list("connectors")?,
        })
    }

    /// That it can be searched for.
    pub(super) fn check(&self) -> Result<()> {
        let blank = |query: &String| query.trim().is_empty();
        if self.queries.is_empty() || self.queries.iter().all(blank) {
            return Err(wrong("`query` is missing: say in a few words what a tool has to do"));
        }
        if self.queries.iter().any(blank) {
            return Err(wrong("one of the queries is empty: leave it out"));
        }
        if self.queries.len() > MOST_QUERIES {
            return Err(wrong(format!("there are too many queries: {MOST_QUERIES} at most, one for each step")));
        }
        if self.queries.iter().any(|query| query.chars().count() > LONGEST_QUERY) {
            return Err(wrong(format!(
                "a query is too long: {LONGEST_QUERY} characters at most, a few words do better"
            )));
        }
        for (name, names) in [("categories", &self.categories), ("connectors", &self.connectors)] {
            if names.len() > MOST_NAMES || names.iter().any(|it| it.chars().count() > LONGEST_NAME) {
                return Err(wrong(format!("`{name}` names too much: {MOST_NAMES} short names at most")));
            }
        }
        if self.max_tools == Some(0) {
            return Err(wrong("`maxTools` has to be 1 or more"));
        }
        check_budget(self.token_budget)
    }

    /// How many tools an answer may have.
    pub fn tools(&self) -> usize {
        self.max_tools.unwrap_or(TOOLS).min(MOST_TOOLS)
    }

    /// How many tokens an answer may have, where the whole list has so many.
    pub fn tokens(&self, list: usize) -> usize {
        let usual = || (list / PART).clamp(*USUAL_TOKENS.start(), *USUAL_TOKENS.end());
        self.token_budget.map_or_else(usual, |tokens| tokens.min(MOST_TOKENS))
    }
}

/// That an answer with so many tokens can say something.
pub(super) fn check_budget(tokens: Option<usize>) -> Result<()> {
    if tokens.is_some_and(|tokens| tokens < LEAST_TOKENS) {
        return Err(wrong(format!("`tokenBudget` has to be {LEAST_TOKENS} or more")));
    }
    Ok(())
}

/// A text, or a list of texts.
pub(super) fn texts(value: &Value, name: &str) -> Result<Vec<String>> {
    let texts = match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(texts) => texts.iter().map(|text| text.as_str().map(str::to_owned)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    };
    texts.ok_or_else(|| wrong(format!("`{name}` has to be a string, or a list of strings")))
}

/// A whole number. Some models write it with a point, or as a text.
pub(super) fn number(value: &Value, name: &str) -> Result<usize> {
    let number = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => String::new(),
    };
    let whole = number.strip_suffix(".0").unwrap_or(&number).parse::<usize>();
    whole.map_err(|_| wrong(format!("`{name}` has to be a whole number")))
}

pub(super) fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArguments, message)
}
