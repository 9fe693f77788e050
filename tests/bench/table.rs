//! The table the benchmark prints.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

use serde_json::{Value, json};

use crate::machine;

/// A figure of the floor and the gateway's.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pair(pub(crate) Option<f64>, pub(crate) Option<f64>);

/// What a figure should be; `README.md` lists them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Aim {
    /// None is set.
    #[default]
    Open,
    /// So many times the floor.
    Times(f64),
    /// So much, in the row's own unit.
    AtMost(f64),
}

/// One row.
#[derive(Debug, Clone, Default)]
pub(crate) struct Row {
    /// What is measured, and its unit.
    pub(crate) figure: String,
    pub(crate) callers: Option<usize>,
    pub(crate) value: Pair,
    /// The gateway's to the floor's.
    pub(crate) ratio: Option<f64>,
    /// µs.
    pub(crate) p50: Pair,
    /// µs.
    pub(crate) p99: Pair,
    /// Calls a second.
    pub(crate) rate: Pair,
    /// MiB in RAM.
    pub(crate) memory: Pair,
    pub(crate) remark: String,
    pub(crate) aim: Aim,
}

impl Row {
    pub(crate) fn new(figure: impl Into<String>, value: Pair, aim: Aim) -> Self {
        let ratio = value.0.zip(value.1).map(|(floor, subject)| subject / floor).filter(|ratio| ratio.is_finite());
        Self { figure: figure.into(), value, ratio, aim, ..Self::default() }
    }

    /// A row for what could not be measured.
    pub(crate) fn missing(figure: impl Into<String>, why: impl Into<String>) -> Self {
        Self { figure: figure.into(), remark: why.into(), ..Self::default() }
    }

    fn cells(&self) -> [String; 11] {
        let ratio = self.ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"));
        [
            self.figure.clone(),
            self.callers.map(|callers| callers.to_string()).unwrap_or_default(),
            shown(self.value.0),
            shown(self.value.1),
            ratio,
            self.p50.shown(),
            self.p99.shown(),
            self.rate.shown(),
            self.memory.shown(),
            self.remark.replace(['|', '\n'], " ").chars().take(REMARK).collect(),
            self.aim.shown(self),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "figure": self.figure, "callers": self.callers, "floor": self.value.0, "switchboard": self.value.1,
            "ratio": self.ratio, "p50": self.p50.json(), "p99": self.p99.json(), "callsPerSecond": self.rate.json(),
            "memoryMiB": self.memory.json(), "remark": self.remark, "aim": self.aim.shown(self)
        })
    }
}

impl Pair {
    fn shown(self) -> String {
        match self {
            Self(None, None) => String::new(),
            Self(floor, subject) => format!("{} → {}", shown(floor), shown(subject)),
        }
    }

    fn json(self) -> Value {
        json!({ "floor": self.0, "switchboard": self.1 })
    }
}

impl Aim {
    fn shown(self, row: &Row) -> String {
        let (text, reached) = match self {
            Self::Open => return "–".to_owned(),
            Self::Times(most) => (format!("{most} ×"), row.ratio.map(|ratio| ratio <= most)),
            Self::AtMost(most) => (shown(Some(most)), row.value.1.map(|value| value <= most)),
        };
        match reached {
            None => text,
            Some(true) => format!("{text} (met)"),
            Some(false) => format!("{text} (missed)"),
        }
    }
}

/// A figure with as many digits as it deserves.
pub(crate) fn shown(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) if value.fract() == 0.0 || value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
    }
}

/// Characters of a remark that are shown; JSON has all of it.
const REMARK: usize = 150;
const HEAD: [&str; 11] =
    ["figure", "callers", "floor", "switchboard", "× floor", "p50 µs", "p99 µs", "calls/s", "RSS MiB", "remark", "aim"];

/// All rows, and the load of the machine around them.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Row>,
    load_before: String,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self { rows: Vec::new(), load_before: machine::load() }
    }

    pub(crate) fn add(&mut self, rows: impl IntoIterator<Item = Row>) {
        self.rows.extend(rows);
    }

    fn caption(&self, how: &str) -> String {
        let (machine, before, after) = (machine::description(), &self.load_before, machine::load());
        format!("{how}; {machine}; load average {before} before, {after} after")
    }

    /// Prints it as Markdown that can also be read as it is.
    pub(crate) fn print(&self, how: &str) -> io::Result<()> {
        let rows: Vec<[String; 11]> =
            std::iter::once(HEAD.map(str::to_owned)).chain(self.rows.iter().map(Row::cells)).collect();
        let mut widths = [0; 11];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let mut text = format!("{}\n\n", self.caption(how));
        for (number, row) in rows.iter().enumerate() {
            for (width, cell) in widths.iter().zip(row) {
                let _ = write!(text, "| {cell:width$} ");
            }
            text.push_str("|\n");
            if number == 0 {
                for width in widths {
                    let _ = write!(text, "|{:-<1$}", "", width + 2);
                }
                text.push_str("|\n");
            }
        }
        io::stdout().lock().write_all(text.as_bytes())
    }

    pub(crate) fn json(&self, how: &str) -> Value {
        json!({ "caption": self.caption(how), "rows": self.rows.iter().map(Row::json).collect::<Vec<_>>() })
    }
}
