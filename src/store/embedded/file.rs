//! The file: made private, opened so that an answered write survives, and its faults in words.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::store::StoreError;

/// How long a write waits for another process before it fails.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long it waits between two tries. `SQLite`'s own waits grow to a tenth of a second, in which a busy process
/// commits dozens of times, so that another one hardly ever gets its turn.
const PAUSE: Duration = Duration::from_millis(2);

/// The log beside the file is cut to this many bytes when a burst of writes is over.
const LOG_KEPT: i64 = 8 << 20;

/// Makes the folder and the file in it, readable by their owner only, unless they are there.
pub(super) fn create(folder: &Path) -> Result<PathBuf, StoreError> {
    let file = folder.join("switchboard.db");
    create_private(folder, &file).map_err(|error| {
        let folder = folder.display();
        StoreError::Unavailable(format!(
            "the data folder {folder} cannot be used ({error}): set SWITCHBOARD_DATA_DIR to one that can be written"
        ))
    })?;
    Ok(file)
}

fn create_private(folder: &Path, file: &Path) -> io::Result<()> {
    let (mut builder, mut options) = (DirBuilder::new(), OpenOptions::new());
    builder.recursive(true);
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
        builder.mode(0o700);
        options.mode(0o600);
    }
    let missing = !folder.exists();
    builder.create(folder)?;
    options.open(file)?;
    // A new folder whose parent was never synced may be gone after a power loss, with all that is in it. SQLite cares
    // for the files only. A folder that cannot be read cannot be synced either.
    if cfg!(unix) && missing {
        for above in folder.ancestors().skip(1) {
            drop(File::open(above).and_then(|above| above.sync_all()));
        }
    }
    Ok(())
}

/// A connection that waits its turn, keeps readers and the writer apart, and syncs every commit.
///
/// Write-ahead log with `synchronous = FULL`: a commit appends to the log and syncs it before it is answered, so it
/// survives a killed process and a power loss. `fullfsync` asks macOS for the same, where a plain sync stops at the
/// drive's cache.
pub(super) fn connect(file: &Path) -> Result<Connection, StoreError> {
    let open = || -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(file, flags)?;
        connection.busy_handler(Some(wait))?;
        use_log(&connection)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "fullfsync", true)?;
        connection.pragma_update(None, "checkpoint_fullfsync", true)?;
        connection.pragma_update(None, "journal_size_limit", LOG_KEPT)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        Ok(connection)
    };
    open().map_err(|error| fault(file, &error))
}

/// Switches to the write-ahead log.
///
/// For a new file that takes the whole file for a moment, and `SQLite` does not wait there when a second process does
/// the same, since two that wait for each other would never end. Waiting for the turn to write is safe.
fn use_log(connection: &Connection) -> rusqlite::Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error) if busy(&error) && Instant::now() < end => {
                connection.execute_batch("BEGIN IMMEDIATE; COMMIT")?;
            }
            done => return done,
        }
    }
}

/// Waits for another process, and says whether to try once more.
#[expect(clippy::disallowed_methods, reason = "only threads that may block talk to the file")]
fn wait(tries: i32) -> bool {
    thread::sleep(PAUSE);
    PAUSE.saturating_mul(tries.unsigned_abs()) < PATIENCE
}

fn busy(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    code == Some(ErrorCode::DatabaseBusy) || code == Some(ErrorCode::DatabaseLocked)
}

/// What an error of `SQLite` means to us, and what to do about it.
pub(super) fn fault(file: &Path, error: &rusqlite::Error) -> StoreError {
    let (shown, code) = (file.display(), error.sqlite_error_code());
    let damaged = [ErrorCode::DatabaseCorrupt, ErrorCode::NotADatabase, ErrorCode::TypeMismatch];
    if busy(error) {
        let seconds = PATIENCE.as_secs();
        StoreError::Unavailable(format!("another process has held {shown} for {seconds} seconds: try again"))
    } else if code == Some(ErrorCode::DiskFull) {
        StoreError::Full(format!("there is no room left for {shown}: free some, or set SWITCHBOARD_DATA_DIR"))
    } else if code.is_none_or(|code| damaged.contains(&code)) {
        // Without a code, a value could not be read as what it has to be.
        StoreError::Corrupt(format!(
            "{shown} is damaged ({error}): bring back a copy, move it away to start anew, or set SWITCHBOARD_DATA_DIR"
        ))
    } else {
        StoreError::Unavailable(format!("{shown} cannot be used ({error}): mend that, or set SWITCHBOARD_DATA_DIR"))
    }
}
