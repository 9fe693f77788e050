//! What all cases have at hand: the servers they start, and the rows they make.

use std::{fs, path::PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    Fault,
    answer::Miss,
    manifest,
    options::Options,
    process::{self, Process, ourselves},
    rounds::{Series, ratio},
    slice::Slice,
    table::{Aim, Pair, Row},
};

/// A run of the benchmark.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) options: Options,
    scratch: TempDir,
    folders: usize,
    /// Answers to something else than was asked, of all rows.
    pub(crate) wrong: Vec<String>,
}

impl Bench {
    pub(crate) fn new(options: Options) -> Result<Self, Fault> {
        Ok(Self { options, scratch: tempfile::tempdir()?, folders: 0, wrong: Vec::new() })
    }

    /// A file or folder that does not exist yet.
    pub(crate) fn scratch(&mut self) -> PathBuf {
        self.folders += 1;
        self.scratch.path().join(self.folders.to_string())
    }

    /// Writes manifests into a folder of their own.
    pub(crate) fn manifests(&mut self, manifests: &[Value]) -> Result<PathBuf, Fault> {
        let folder = self.scratch();
        manifest::write(&folder, manifests)?;
        Ok(folder)
    }

    /// The gateway with these manifests.
    pub(crate) async fn gateway(&mut self, manifests: &[Value]) -> Result<Process, Fault> {
        let folder = self.manifests(manifests)?;
        Process::start(process::gateway(&self.options.binary(), &folder)).await
    }

    /// The same with settings of its own, not started.
    pub(crate) fn gateway_with(&mut self, manifests: &[Value], settings: &Value) -> Result<Command, Fault> {
        let (folder, config) = (self.manifests(manifests)?, self.scratch());
        fs::write(&config, settings.to_string())?;
        let mut command = process::gateway(&self.options.binary(), &folder);
        command.arg("--config").arg(config);
        Ok(command)
    }

    /// The row of a comparison by a figure of its slices.
    pub(crate) fn row(&mut self, figure: String, sides: [&Series; 2], by: fn(&Slice) -> Option<f64>, aim: Aim) -> Row {
        let [floor, subject] = sides;
        let pair = |figure: fn(&Slice) -> Option<f64>| Pair(floor.median(figure), subject.median(figure));
        let mut remarks = Vec::new();
        for (who, series) in [("floor", floor), ("switchboard", subject)] {
            let is_wrong = |miss: &&Miss| matches!(miss, Miss::Wrong(_));
            self.wrong.extend(series.misses().filter(is_wrong).map(|miss| format!("{figure}, {who}: {miss}")));
            if let Some(worst) = series.misses().find(is_wrong).or_else(|| series.misses().next()) {
                remarks.push(format!("{who}: {} errors: {worst}", series.misses().count()));
            }
        }
        Row {
            figure,
            callers: None,
            value: pair(by),
            ratio: ratio(subject, floor, by),
            p50: pair(Slice::p50),
            p99: pair(Slice::p99),
            rate: pair(Slice::rate),
            memory: pair(Slice::memory),
            remark: remarks.join("; "),
            aim,
        }
    }
}

/// An upstream, started.
pub(crate) async fn upstream(arguments: &[&str]) -> Result<Process, Fault> {
    Process::start(ourselves(&[&["__upstream"], arguments].concat())?).await
}

/// The floor before an upstream, started.
pub(crate) async fn floor(before: &Process) -> Result<Process, Fault> {
    Process::start(ourselves(&["__floor", &before.address.to_string()])?).await
}
