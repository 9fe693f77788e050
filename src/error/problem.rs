//! A problem in a file that a person wrote: where it is, and what to do.

use std::{fmt, path::PathBuf};

/// A position in a file: line and column, both counted from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// How much a problem matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// What holds it does not work.
    Error,
    /// It works, but probably not as meant.
    Warning,
}

/// One problem, found before anything runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Whether it stops its connector.
    pub severity: Severity,
    /// The file, or the name of what stands for one ("environment").
    pub file: PathBuf,
    /// JSON pointer to the value, empty for the whole document.
    pub pointer: String,
    /// Where the value stands, when the file could be read that far.
    pub place: Option<Place>,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Problem {
    /// An error in `file` as a whole.
    pub fn in_file(file: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            file: file.into(),
            pointer: String::new(),
            place: None,
            message: message.into(),
        }
    }

    /// Whether it stops its connector.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Problem {
    /// `file:line:column: severity at /pointer: message`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(Place { line, column }) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, ": {severity}")?;
        if !self.pointer.is_empty() {
            write!(f, " at {}", self.pointer)?;
        }
        write!(f, ": {}", self.message)
    }
}
