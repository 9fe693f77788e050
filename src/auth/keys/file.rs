//! The file of keys: read by servers, changed by the command line.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::lock::{Turn, replace, turn};
use super::record::{KeyRecord, Line, NewKey};
use crate::error::Problem;
use crate::manifest::{Document, compile_schema, schema_of};

/// The largest file we read: room for some ten thousand keys.
const MAX_BYTES: u64 = 4 << 20;

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Contents {
    keys: Vec<Line>,
}

/// The file of keys. Several processes may read and change it at once.
#[derive(Debug, Clone)]
pub struct KeyFile {
    path: PathBuf,
}

/// What tells one state of a file from the next without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    changed: Option<SystemTime>,
    length: u64,
    /// Where it is, and when that was last changed: a file renamed to this name is another one.
    #[cfg(unix)]
    place: (u64, u64, i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt as _;
        Self {
            changed: metadata.modified().ok(),
            length: metadata.len(),
            #[cfg(unix)]
            place: (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl KeyFile {
    /// The file at `path`, which need not be there yet.
    pub fn open(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The state of the file; `None` when there is none. That it cannot be looked at is a state too.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        match fs::metadata(&self.path) {
            Ok(metadata) => Some(Stamp::of(&metadata)),
            Err(error) if is_nowhere(&error) => None,
            Err(_) => Some(Stamp {
                changed: None,
                length: u64::MAX,
                #[cfg(unix)]
                place: (0, 0, 0, 0),
            }),
        }
    }

    /// All its keys; none when there is no file.
    pub fn list(&self) -> Result<Vec<KeyRecord>, Vec<Problem>> {
        let text = match self.read() {
            Ok(text) => text,
            Err(error) if is_nowhere(&error) => return Ok(Vec::new()),
            Err(error) => return Err(vec![self.problem(format!("cannot be read: {error}"))]),
        };
        let (document, contents) = self.parse(&text)?;
        let (mut records, mut problems) = (Vec::<KeyRecord>::new(), Vec::new());
        for (index, line) in contents.keys.iter().enumerate() {
            match line.record() {
                Ok(record) => records.push(record),
                Err((member, why)) => problems.push(document.error(&format!("/keys/{index}/{member}"), why)),
            }
        }
        let mut ids = std::collections::HashSet::new();
        for (index, line) in contents.keys.iter().enumerate().filter(|(_, line)| !ids.insert(&line.id)) {
            let why = format!("another key has the id {} already", line.id);
            problems.push(document.error(&format!("/keys/{index}/id"), why));
        }
        if problems.is_empty() { Ok(records) } else { Err(problems) }
    }

    fn parse(&self, text: &str) -> Result<(Document, Contents), Vec<Problem>> {
        let document = Document::parse(&self.path, text).map_err(|problem| vec![problem])?;
        let contents = document.read("", &compile_schema(schema_of::<Contents>()))?;
        Ok((document, contents))
    }

    /// Makes a key. What it is shown by is here for the only time.
    pub fn add(&self, key: NewKey) -> Result<(KeyRecord, SecretString), Vec<Problem>> {
        let turn = self.turn()?;
        let mut records = self.list()?;
        // To the second, as the file says it.
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
        let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(now);
        let made = key.make(now).filter(|(made, _)| records.iter().all(|record| record.id != made.id));
        let (record, secret) = made.ok_or_else(|| {
            vec![self.problem("no key can be made: the machine gives no random bytes, or it would end too far ahead")]
        })?;
        records.push(record.clone());
        self.write(&records, &turn)?;
        Ok((record, secret))
    }

    /// Takes a key away: whether it was there. Servers see it within a second.
    pub fn revoke(&self, id: &str) -> Result<bool, Vec<Problem>> {
        let turn = self.turn()?;
        let mut records = self.list()?;
        let before = records.len();
        records.retain(|record| record.id != id);
        if records.len() == before {
            return Ok(false);
        }
        self.write(&records, &turn)?;
        Ok(true)
    }

    fn turn(&self) -> Result<Turn, Vec<Problem>> {
        turn(&self.path).map_err(|error| vec![self.problem(format!("cannot be changed: {error}"))])
    }

    fn read(&self) -> io::Result<String> {
        use io::Read as _;
        let file = fs::File::open(&self.path)?;
        let mut text = String::new();
        if file.take(MAX_BYTES + 1).read_to_string(&mut text)? as u64 > MAX_BYTES {
            return Err(io::Error::other(format!("it is larger than {} MiB", MAX_BYTES >> 20)));
        }
        Ok(text)
    }

    /// Writes these keys, unless servers would refuse to read them again.
    fn write(&self, records: &[KeyRecord], turn: &Turn) -> Result<(), Vec<Problem>> {
        let contents = Contents { keys: records.iter().map(Line::from).collect() };
        let value = serde_json::to_value(&contents).map_err(|error| vec![self.problem(error.to_string())])?;
        let text = format!("{value:#}\n");
        if text.len() as u64 > MAX_BYTES {
            return Err(vec![self.problem("there is no room for another key: revoke some")]);
        }
        self.parse(&text)?;
        replace(&self.path, text.as_bytes(), turn)
            .map_err(|error| vec![self.problem(format!("cannot be written: {error}"))])
    }

    fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::in_file(&self.path, message)
    }
}

/// Whether there is no such file, be it because what should be its folder is none.
fn is_nowhere(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
