//! What the doctor writes down, for people and for scripts.

use std::io::{self, IsTerminal as _};

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::super::Format;
use crate::doctor::{Finding, Guise, Mark, Severity, Step, Visit};
use crate::secret::Environment;

/// Room for the names of steps.
const NAME: usize = 18;

/// How it is written, and the steps that were taken.
#[derive(Debug)]
pub(super) struct Paper {
    format: Format,
    colours: bool,
    pub(super) steps: Vec<Step>,
    /// The part of our own address that nobody else may know.
    pub(super) hidden: Option<SecretString>,
}

impl Paper {
    pub(super) fn new(format: Format, environment: &Environment) -> Self {
        let colours = io::stdout().is_terminal() && environment.get("NO_COLOR").is_none();
        Self { format, colours, steps: Vec::new(), hidden: None }
    }

    /// One step, as it ends.
    pub(super) fn step(&self, step: &Step) -> String {
        let (sign, colour) = match step.mark {
            Mark::Passed => ("✓", 32),
            Mark::Warned => ("!", 33),
            Mark::Failed => ("✗", 31),
            Mark::Skipped => ("-", 90),
        };
        let (name, remark) = (step.name, self.clean(&step.remark));
        format!("{} {name:<NAME$} {remark}", self.coloured(sign, colour)).trim_end().to_owned()
    }

    pub(super) fn visit(&self, visit: &Visit, findings: &[Finding]) -> String {
        let client = match visit.guise {
            Guise::ChatGpt => "chatgpt",
            Guise::Claude => "claude",
        };
        let mark = |mark: Mark| match mark {
            Mark::Passed => "passed",
            Mark::Warned => "warned",
            Mark::Failed => "failed",
            Mark::Skipped => "skipped",
        };
        let step = |step: &Step| json!({ "name": step.name, "mark": mark(step.mark), "remark": step.remark });
        let steps: Vec<Value> = self.steps.iter().map(step).collect();
        match self.format {
            Format::Json => {
                let report = json!({ "client": client, "url": visit.url, "steps": steps, "findings": findings });
                self.hide(&format!("{report:#}"))
            }
            Format::Text => self.findings(findings),
        }
    }

    pub(super) fn local(&self, findings: &[Finding]) -> String {
        match self.format {
            Format::Json => format!("{:#}", json!({ "findings": findings })),
            Format::Text => self.findings(findings),
        }
    }

    /// The findings, the worst last, where people look first, and the verdict.
    fn findings(&self, findings: &[Finding]) -> String {
        let mut sorted: Vec<&Finding> = findings.iter().collect();
        sorted.sort_by_key(|finding| finding.severity);
        let mut text = String::new();
        for finding in sorted {
            let (word, colour) = match finding.severity {
                Severity::Error => ("error", 31),
                Severity::Warning => ("warning", 33),
                Severity::Note => ("note", 36),
            };
            let [what, why, fix] = [&finding.what, &finding.why, &finding.fix].map(|text| self.clean(text));
            let head = format!("{} ({}): {what}", self.coloured(word, colour), finding.step);
            text.extend(["\n", &head, "\n    why  ", &why, "\n    fix  ", &fix, "\n"]);
        }
        let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
        let several = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
        let counts = [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Note, "note")];
        let counts: Vec<String> = counts.map(|(severity, word)| several(count(severity), word)).to_vec();
        format!("{text}\n{}", counts.join(", "))
    }

    fn coloured(&self, text: &str, colour: u8) -> String {
        if self.colours { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// Text of others may hold commands for the terminal.
    fn clean(&self, text: &str) -> String {
        self.hide(text).chars().filter(|c| !c.is_control()).collect()
    }

    fn hide(&self, text: &str) -> String {
        self.hidden.as_ref().map_or_else(|| text.to_owned(), |hidden| text.replace(hidden.expose_secret(), "…"))
    }
}
