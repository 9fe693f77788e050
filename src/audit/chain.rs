//! A chain of records: the file that one process writes, and the files before it.
//!
//! | in the folder | what |
//! |---|---|
//! | `0.lock` | held by the process that writes the chain `0` |
//! | `0.jsonl` | its newest records |
//! | `0-1.jsonl`, `0-4711.jsonl` | older ones, each by the number of its first record |

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use serde_json::json;

use super::Place;
use super::record::{NOTHING_BEFORE, Record, Tie, note, seal};

/// Processes that write into one folder.
const CHAINS: u32 = 256;
/// What is written at once.
const CHUNK: usize = 256 << 10;
/// Where the last record of a file is looked for first.
const TAIL: u64 = 1 << 20;

/// The files of chains, by their first records.
pub(super) type Chains = BTreeMap<u32, BTreeMap<u64, PathBuf>>;

/// A chain that this process writes.
#[derive(Debug)]
pub(super) struct Chain {
    place: Place,
    number: u32,
    _lock: File,
    file: File,
    /// Bytes of the file that are whole records.
    size: u64,
    /// Whether more than that may stand in the file.
    torn: bool,
    /// The number of the file's first record.
    first: u64,
    next: u64,
    last: String,
    buffer: Vec<u8>,
    /// Records in the buffer.
    lines: u64,
}

impl Chain {
    /// Goes on with the first chain that nobody writes.
    pub(super) fn open(place: Place) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&place.folder)?;
        for number in 0..CHAINS {
            let lock = private().create(true).append(true).open(place.folder.join(format!("{number}.lock")))?;
            match lock.try_lock() {
                Ok(()) => return Self::resume(place, number, lock),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Err(io::Error::other(format!("{CHAINS} processes write there already")))
    }

    fn resume(place: Place, number: u32, lock: File) -> io::Result<Self> {
        let mut file = begin(&place.folder, number)?;
        let end = End::of(&mut file)?;
        let length = file.metadata()?.len();
        let mut last = end.last.clone();
        if last.is_none() {
            // A file that was begun and never written.
            let before = older(&place.folder, number)?.pop_last();
            last = before
                .map(|(_, path)| File::open(path).and_then(|mut file| End::of(&mut file)))
                .transpose()?
                .and_then(|end| end.last);
        }
        let (next, last) = last.map_or((1, NOTHING_BEFORE.to_owned()), |tie| (tie.seq + 1, tie.hash));
        let first = first_of(&file)?.unwrap_or(next);
        let (size, torn) = (end.whole, length > end.whole);
        let mut chain =
            Self { place, number, _lock: lock, file, size, torn, first, next, last, buffer: Vec::new(), lines: 0 };
        if torn || end.unreadable > 0 {
            chain.push(note("repaired", json!({ "cutBytes": length - size, "unreadableLines": end.unreadable })))?;
        }
        Ok(chain)
    }

    /// Makes room for a record.
    pub(super) fn make_room(&mut self) -> io::Result<()> {
        let buffered = u64::try_from(self.buffer.len()).unwrap_or(u64::MAX);
        if self.size.saturating_add(buffered) >= self.place.max_bytes {
            self.rotate()?;
        } else if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes what was added; the records that are still to be written, when that fails.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        if self.torn {
            self.file.set_len(self.size)?;
        }
        self.torn = true;
        self.file.write_all(&self.buffer)?;
        self.torn = false;
        self.size += u64::try_from(self.buffer.len()).unwrap_or_default();
        self.buffer.clear();
        self.lines = 0;
        Ok(())
    }

    /// Records that were added and are not written.
    pub(super) fn unwritten(&self) -> u64 {
        self.lines
    }

    /// Has the disk keep what was written.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Adds a record, for which there is room.
    pub(super) fn push(&mut self, record: Record) -> io::Result<()> {
        let (line, hash) = seal(record, self.next, &self.last).map_err(io::Error::other)?;
        if self.size == 0 && self.buffer.is_empty() {
            self.first = self.next;
        }
        self.buffer.extend_from_slice(line.as_bytes());
        self.lines += 1;
        self.next += 1;
        self.last = hash;
        Ok(())
    }

    /// Begins the next file, and removes the oldest when there are too many.
    fn rotate(&mut self) -> io::Result<()> {
        self.flush()?;
        self.sync()?;
        let folder = &self.place.folder;
        match fs::rename(path(folder, self.number), folder.join(name_of(self.number, self.first))) {
            // It was renamed when the next one could not be begun.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed?,
        }
        self.file = begin(folder, self.number)?;
        self.size = 0;
        let mut old = older(folder, self.number)?;
        while old.len() > self.place.keep
            && let Some((_, oldest)) = old.pop_first()
        {
            let last = End::of(&mut File::open(&oldest)?)?.last.map(|tie| tie.hash);
            let name = oldest.file_name().map(|name| name.to_string_lossy().into_owned());
            // In this order: a file that is recorded as removed and is still there does no harm.
            self.push(note("removed", json!({ "file": name, "last": last })))?;
            self.flush()?;
            self.sync()?;
            fs::remove_file(&oldest)?;
        }
        Ok(())
    }
}

/// The end of a file of records.
#[derive(Debug, Default)]
pub(super) struct End {
    /// The last record that can be read.
    pub(super) last: Option<Tie>,
    /// Bytes up to the last line break.
    whole: u64,
    /// Whole lines behind that record.
    unreadable: u64,
}

impl End {
    pub(super) fn of(file: &mut File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let mut window = TAIL.min(length);
        loop {
            let start = length - window;
            file.seek(SeekFrom::Start(start))?;
            let mut bytes = Vec::new();
            file.take(window).read_to_end(&mut bytes)?;
            let end = Self::within(&bytes, start);
            if end.last.is_some() || start == 0 {
                return Ok(end);
            }
            window = window.saturating_mul(8).min(length);
        }
    }

    fn within(bytes: &[u8], start: u64) -> Self {
        let Some(at) = bytes.iter().rposition(|byte| *byte == b'\n') else { return Self::default() };
        let (lines, _) = bytes.split_at(at);
        let mut end = Self { whole: start + u64::try_from(at).unwrap_or_default() + 1, ..Self::default() };
        for line in lines.rsplit(|byte| *byte == b'\n') {
            end.last = serde_json::from_slice(line).ok();
            if end.last.is_some() {
                break;
            }
            end.unreadable += 1;
        }
        end
    }
}

/// The number of a file's first record.
fn first_of(mut file: &File) -> io::Result<Option<u64>> {
    file.seek(SeekFrom::Start(0))?;
    let mut line = Vec::new();
    BufReader::new(file.take(TAIL)).read_until(b'\n', &mut line)?;
    Ok(serde_json::from_slice(&line).ok().map(|tie: Tie| tie.seq))
}

/// The file that a chain's newest records stand in.
pub(super) fn path(folder: &Path, number: u32) -> PathBuf {
    folder.join(name_of(number, u64::MAX))
}

/// What a chain's file is called whose first record this is; the newest of them has no number.
fn name_of(number: u32, first: u64) -> String {
    if first == u64::MAX { format!("{number}.jsonl") } else { format!("{number}-{first}.jsonl") }
}

/// The older files of a chain, by their first records.
pub(super) fn older(folder: &Path, number: u32) -> io::Result<BTreeMap<u64, PathBuf>> {
    let mut found = files(folder)?.0.remove(&number).unwrap_or_default();
    found.remove(&u64::MAX);
    Ok(found)
}

/// All files of all chains, by their first records; the newest of a chain is its last. And files that look like those
/// and are none: behind another spelling of a name, a file that was changed could hide.
pub(super) fn files(folder: &Path) -> io::Result<(Chains, Vec<PathBuf>)> {
    let (mut found, mut others) = (Chains::new(), Vec::new());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let Some(stem) = name.strip_suffix(".jsonl") else { continue };
        let (number, first) = stem.split_once('-').unwrap_or((stem, ""));
        let (number, first) = (number.parse().unwrap_or_default(), first.parse().unwrap_or(u64::MAX));
        if name == name_of(number, first) {
            found.entry(number).or_default().insert(first, path);
        } else {
            others.push(path);
        }
    }
    others.sort();
    Ok((found, others))
}

/// Whether a process writes a chain now.
pub(super) fn is_written(folder: &Path, number: u32) -> bool {
    let lock = File::open(folder.join(format!("{number}.lock")));
    lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

fn begin(folder: &Path, number: u32) -> io::Result<File> {
    private().create(true).read(true).append(true).open(path(folder, number))
}

/// Files that nobody else reads.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}
