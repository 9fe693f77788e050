//! `switchboard.lock`: read and changed by servers and by the command line, one at a time, whole or not at all.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use crate::catalog::pin::{LOCK_VERSION, Lock};
use crate::error::Problem;
use crate::manifest::{Document, compile_schema, schema_of};
use crate::widget::sha256_hex;

/// Its name, beside the manifests.
pub const LOCK_NAME: &str = "switchboard.lock";
/// The largest lock that is read.
const LARGEST: u64 = 64 << 20;
/// How long one waits for another process before giving up.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(10);
/// What stands for the digest of a lock that is not there.
const ABSENT: &str = "absent";

/// Where the lock is.
#[derive(Debug, Clone)]
pub struct LockFile {
    place: PathBuf,
    /// The data folder's, for when `place` cannot be written.
    spare: Option<PathBuf>,
    scope: String,
}

/// What tells one state of the files from the next without reading them.
pub(super) type Stamp = [Option<(u64, Option<SystemTime>)>; 2];

/// How a change of the lock ended.
#[derive(Debug)]
pub struct Written {
    /// What it says now.
    pub lock: Lock,
    /// Where it was written; nothing, when nothing changed.
    pub at: Option<PathBuf>,
    /// Why that is not the place it should be at.
    pub elsewhere: Option<String>,
}

impl LockFile {
    /// The lock at `place`.
    pub fn new(place: PathBuf, data_dir: Option<&Path>) -> Self {
        let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let whole = folder.canonicalize().or_else(|_| std::path::absolute(folder)).unwrap_or_else(|_| folder.into());
        let whole = whole.join(place.file_name().unwrap_or_default());
        let scope: String = sha256_hex(&whole.to_string_lossy()).chars().take(16).collect();
        let spare = data_dir.map(|folder| folder.join("pins").join(format!("{scope}.lock")));
        Self { place, spare, scope }
    }

    /// Where it should be.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Tells what is kept for this lock from what is kept for others.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    pub(super) fn stamp(&self) -> Stamp {
        let of = |file: &Path| fs::metadata(file).ok().map(|file| (file.len(), file.modified().ok()));
        [of(&self.place), self.spare.as_deref().and_then(of)]
    }

    /// What it says. One that is not there says nothing. Blocks.
    pub fn read(&self) -> Result<Lock, Vec<Problem>> {
        let text = read(&self.place)?;
        if let Some(spare) = &self.spare
            && let Some(instead) = read(spare)?
        {
            let instead = parse(spare, &instead)?;
            // Whoever changed the one it goes on from meant that one.
            if instead.base.as_deref() == Some(base(text.as_deref()).as_str()) {
                return Ok(instead);
            }
        }
        text.map_or(Ok(Lock::default()), |text| parse(&self.place, &text))
    }

    /// Changes it. Blocks.
    pub fn edit(&self, change: impl FnOnce(&mut Lock)) -> Result<Written, String> {
        let _turn = self.turn()?;
        let said = |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let before = self.read().map_err(said)?;
        let mut lock = before.clone();
        change(&mut lock);
        if lock == before {
            return Ok(Written { lock, at: None, elsewhere: None });
        }
        lock.base = None;
        let Err(why) = write(&self.place, &lock) else {
            if let Some(spare) = &self.spare {
                drop(fs::remove_file(spare));
            }
            return Ok(Written { lock, at: Some(self.place.clone()), elsewhere: None });
        };
        let why = format!("{} cannot be written: {why}", self.place.display());
        let Some(spare) = &self.spare else { return Err(why) };
        lock.base = Some(base(read(&self.place).map_err(said)?.as_deref()));
        private_folder(spare)
            .and_then(|()| write(spare, &lock))
            .map_err(|error| format!("{why}, and neither can {}: {error}", spare.display()))?;
        Ok(Written { lock, at: Some(spare.clone()), elsewhere: Some(why) })
    }

    /// Waits for the turn to change it: among those with this data folder, and then among those with these manifests.
    fn turn(&self) -> Result<Vec<File>, String> {
        let mut turns = Vec::new();
        if let Some(spare) = &self.spare {
            let failed = |error: io::Error| format!("{} cannot be used: {error}", spare.display());
            private_folder(spare).map_err(failed)?;
            let file = spare.with_extension("turn");
            let file = OpenOptions::new().write(true).create(true).truncate(false).open(file).map_err(failed)?;
            turns.push(held(file)?.map_err(failed)?);
        }
        // A folder that is none, or of a kind that nobody can hold, is nobody's to wait for.
        let folder = self.place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if let Ok(folder) = File::open(folder) {
            turns.extend(held(folder)?.ok());
        }
        Ok(turns)
    }
}

/// Holds a file against others, once they let go of it.
fn held(file: File) -> Result<io::Result<File>, String> {
    let end = Instant::now() + PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Ok(file)),
            Err(TryLockError::Error(error)) => return Ok(Err(error)),
            Err(TryLockError::WouldBlock) if Instant::now() < end => pause(),
            Err(TryLockError::WouldBlock) => {
                return Err(format!("another process has held the lock for {} s: try again", PATIENCE.as_secs()));
            }
        }
    }
}

/// Whether a file is the lock, or on its way to be it: nothing that manifests say changes with it.
pub fn is_lock(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.trim_start_matches('.').starts_with(LOCK_NAME)
}

#[expect(clippy::disallowed_methods, reason = "only threads that may block change the lock")]
fn pause() {
    std::thread::sleep(PAUSE);
}

fn private_folder(file: &Path) -> io::Result<()> {
    let Some(folder) = file.parent() else { return Ok(()) };
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn base(text: Option<&str>) -> String {
    text.map_or_else(|| ABSENT.to_owned(), sha256_hex)
}

fn read(path: &Path) -> Result<Option<String>, Vec<Problem>> {
    let unreadable = |error: io::Error| vec![Problem::in_file(path, format!("cannot be read: {error}"))];
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(unreadable(error)),
    };
    let mut text = String::new();
    let size = file.take(LARGEST + 1).read_to_string(&mut text).map_err(unreadable)?;
    if size as u64 > LARGEST {
        return Err(vec![Problem::in_file(path, format!("it has more than {LARGEST} bytes"))]);
    }
    Ok(Some(text))
}

fn parse(path: &Path, text: &str) -> Result<Lock, Vec<Problem>> {
    let document = Document::parse(path, text).map_err(|problem| vec![problem])?;
    let version = document.value.get("version").and_then(serde_json::Value::as_u64);
    if version.is_some_and(|version| version > u64::from(LOCK_VERSION)) {
        return Err(vec![document.error("/version", "it was written by a newer Switchboard")]);
    }
    if version.is_some_and(|version| version < u64::from(LOCK_VERSION)) {
        let message = "it was written by an older Switchboard and holds too little of each tool; delete it, and what \
                       upstreams say at the next start is pinned anew";
        return Err(vec![document.error("/version", message)]);
    }
    document.read("", &compile_schema(schema_of::<Lock>()))
}

/// Replaces a file: whoever reads it meets the old contents or the new ones.
fn write(path: &Path, lock: &Lock) -> io::Result<()> {
    let value = serde_json::to_value(lock)?;
    // A link stays a link.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.new", uuid::Uuid::new_v4().simple()));
    let new = path.with_file_name(name);
    let replaced = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&new)?;
        file.write_all(format!("{value:#}\n").as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &path)
    };
    replaced().inspect_err(|_| drop(fs::remove_file(&new)))
}
