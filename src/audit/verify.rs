//! Whether records are as they were written: each by its hash, all by what ties them together.

use std::{
    cmp::Ordering,
    collections::BTreeSet,
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use super::chain::{files, is_written};
use super::record::{NOTHING_BEFORE, Tie, unseal};

/// The longest line that is read. Ours are much shorter.
const LONGEST: u64 = 1 << 20;
/// A chain that is written while it is read is read so often before a fault of it is believed.
const TRIES: usize = 3;
/// Faults that are told of one chain.
const MOST: usize = 100;

/// What was found of one chain.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Which one.
    pub chain: u32,
    /// Its files.
    pub files: usize,
    /// Records that are as they were written.
    pub records: u64,
    /// The number of the first one, and the hash of the last one.
    pub span: Option<(u64, String)>,
    /// Records that were lost because they could not be written, by what the records say.
    pub lost: u64,
    /// Whether a process writes it now.
    pub is_written: bool,
    /// What is wrong.
    pub faults: Vec<Fault>,
    /// Those of the hashes asked for that are in it.
    pub found: BTreeSet<String>,
}

/// Something that is wrong.
#[derive(Debug, Clone)]
pub struct Fault {
    /// In which file.
    pub file: PathBuf,
    /// In which line, from 1; 0 for all of it.
    pub line: u64,
    /// What it is.
    pub what: String,
}

/// Checks every chain of a folder, and looks for these hashes. Gives what is wrong with the folder beside its chains.
pub fn verify(folder: &Path, wanted: &[String]) -> io::Result<(Vec<Report>, Vec<Fault>)> {
    let mut reports = Vec::new();
    let (chains, others) = files(folder)?;
    for number in chains.into_keys() {
        let mut report = Report::default();
        for _ in 0..TRIES {
            let is_written = is_written(folder, number);
            let paths = files(folder)?.0.remove(&number).unwrap_or_default().into_iter().collect();
            report = Check::new(Report { chain: number, is_written, ..Report::default() }, wanted).run(paths);
            if report.faults.is_empty() || !is_written {
                break;
            }
        }
        reports.push(report);
    }
    let none_of_ours = |file| Fault { file, line: 0, what: "it is none of ours, and is called like one".into() };
    Ok((reports, others.into_iter().map(none_of_ours).collect()))
}

/// The newest records of all chains, the newest last.
pub fn newest(folder: &Path, most: usize) -> io::Result<Vec<Map<String, Value>>> {
    let mut all = Vec::new();
    for paths in files(folder)?.0.into_values() {
        let mut mine: Vec<Map<String, Value>> = Vec::new();
        for path in paths.into_values().rev() {
            let lines = BufReader::new(File::open(path)?).split(b'\n');
            let records: io::Result<Vec<_>> = lines.map(|line| Ok(serde_json::from_slice(&line?).ok())).collect();
            let mut records: Vec<Map<String, Value>> = records?.into_iter().flatten().collect();
            records.append(&mut mine);
            mine = records.split_off(records.len().saturating_sub(most));
            if mine.len() == most {
                break;
            }
        }
        all.append(&mut mine);
    }
    let at = |record: &Map<String, Value>| record.get("at").and_then(Value::as_str).unwrap_or_default().to_owned();
    all.sort_by_key(at);
    Ok(all.split_off(all.len().saturating_sub(most)))
}

struct Check<'a> {
    report: Report,
    wanted: &'a [String],
    /// What the first record names as the one before it, when that is not here.
    before: Option<(String, PathBuf)>,
    /// The last records of files that were removed, by what the records say.
    removed: BTreeSet<String>,
    /// The number of the next record, and the hash it names. Behind what is no record, that may be any.
    next: Option<(u64, String)>,
}

impl<'a> Check<'a> {
    fn new(report: Report, wanted: &'a [String]) -> Self {
        let (before, removed) = (None, BTreeSet::new());
        Self { report, wanted, before, removed, next: Some((1, NOTHING_BEFORE.into())) }
    }

    fn run(mut self, paths: Vec<(u64, PathBuf)>) -> Report {
        for (first, path) in paths {
            if let Err(error) = self.file(first, &path) {
                self.next = None;
                self.fault(&path, 0, format!("it cannot be read: {error}"));
            }
        }
        if let Some((before, file)) = self.before.take().filter(|(before, _)| !self.removed.contains(before)) {
            let what =
                format!("the records before it are gone, up to {before}, and no record says that they were removed");
            self.fault(&file, 1, what);
        }
        self.report
    }

    fn fault(&mut self, file: &Path, line: u64, what: String) {
        let count = self.report.faults.len();
        if count <= MOST {
            let what = if count == MOST { "and more".into() } else { what };
            self.report.faults.push(Fault { file: file.to_owned(), line, what });
        }
    }

    fn file(&mut self, first: u64, path: &Path) -> io::Result<()> {
        self.report.files += 1;
        let mut reader = BufReader::new(File::open(path)?);
        for number in 1.. {
            let mut line = Vec::new();
            reader.by_ref().take(LONGEST).read_until(b'\n', &mut line)?;
            if line.is_empty() {
                break;
            }
            if line.pop_if(|byte| *byte == b'\n').is_none() {
                let is_last = reader.skip_until(b'\n')? == 0;
                // Its writer may be in the middle of it.
                if is_last && self.report.is_written && first == u64::MAX {
                    break;
                }
                self.next = None;
                let what = "it is not whole: what wrote it was stopped, or somebody cut it";
                self.fault(path, number, what.into());
                continue;
            }
            let named = (number == 1 && first != u64::MAX).then_some(first);
            if let Err(what) = self.line(&line, named, path) {
                self.fault(path, number, what);
            }
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8], named: Option<u64>, path: &Path) -> Result<(), String> {
        let expected = self.next.take();
        let text = str::from_utf8(line).map_err(|_| "it is no text")?;
        let (tie, record) = unseal(text)?;
        let placed = match (named, &expected) {
            (Some(named), _) if named != tie.seq => {
                Err(format!("its file is named after the record {named}, and begins with {}", tie.seq))
            }
            (_, Some(_)) if self.report.span.is_none() && tie.seq != 1 => {
                self.before = Some((tie.previous.clone(), path.to_owned()));
                Ok(())
            }
            (_, Some((next, last))) => follows(&tie, *next, last),
            (_, None) => Ok(()),
        };
        let text = |name: &str| record.get(name).and_then(Value::as_str);
        if text("event") == Some("removed") {
            self.removed.extend(text("last").map(str::to_owned));
        }
        if text("event") == Some("lost") {
            self.report.lost += record.get("count").and_then(Value::as_u64).unwrap_or_default();
        }
        if self.wanted.contains(&tie.hash) {
            self.report.found.insert(tie.hash.clone());
        }
        let first = self.report.span.as_ref().map_or(tie.seq, |(first, _)| *first);
        self.report.span = Some((first, tie.hash.clone()));
        self.report.records += 1;
        self.next = Some((tie.seq.saturating_add(1), tie.hash));
        placed
    }
}

/// Whether a record stands where it should: it is the next, and names the last one's hash.
fn follows(tie: &Tie, next: u64, last: &str) -> Result<(), String> {
    let seq = tie.seq;
    match seq.cmp(&next) {
        Ordering::Greater => Err(format!("the records {next} to {} are missing", seq - 1)),
        Ordering::Less => Err(format!("the record {seq} stands where {next} should")),
        Ordering::Equal if tie.previous != last => Err("it does not follow from the record before it".into()),
        Ordering::Equal => Ok(()),
    }
}
