//! Files that several processes change: one at a time, and whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// How long one waits for another process before giving up.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(10);

/// Holds the turn to change a file; dropping it, or the end of the process, gives it back.
pub(super) struct Turn(#[expect(dead_code, reason = "held, never used")] File);

/// Waits for the turn to change `file`. What is locked is a file beside it, for `file` itself is replaced.
pub(super) fn turn(file: &Path) -> io::Result<Turn> {
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder)?;
    }
    let held = private().truncate(false).open(beside(file, ".lock"))?;
    let end = Instant::now() + PATIENCE;
    loop {
        match held.try_lock() {
            Ok(()) => return Ok(Turn(held)),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if Instant::now() < end => pause(),
            Err(TryLockError::WouldBlock) => {
                let message = format!("another process has held it for {} seconds: try again", PATIENCE.as_secs());
                return Err(io::Error::new(io::ErrorKind::WouldBlock, message));
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "only the command line changes such files")]
fn pause() {
    thread::sleep(PAUSE);
}

/// Replaces `file`, whose turn is held: whoever reads it meets the old contents or the new ones, also after a power
/// loss. Only its owner may read it.
pub(super) fn replace(file: &Path, contents: &[u8], _turn: &Turn) -> io::Result<()> {
    // A link stays a link.
    let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let new = beside(&file, ".new");
    // What a killed process left may be readable by others.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut written = private().create_new(true).open(&new)?;
    written.write_all(contents)?;
    written.sync_all()?;
    fs::rename(&new, &file)?;
    // The name itself has to last too; a folder that cannot be opened cannot be synced.
    if cfg!(unix)
        && let Some(folder) = file.parent()
    {
        drop(File::open(folder).and_then(|folder| folder.sync_all()));
    }
    Ok(())
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
