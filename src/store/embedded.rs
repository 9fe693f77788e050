//! The store in a file of this machine: `SQLite`, which several processes may have open at once.
//!
//! Reads run beside each other and beside a write; one thread writes, many waiting writes at a time.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};

mod file;
mod reader;
mod schema;
mod writer;

use self::{
    reader::Readers,
    writer::{Change, Writer},
};
use super::{Expected, Put, Store, StoreError, Stored, Version, check_key, check_value};

/// The store in `switchboard.db`. Dropping it writes what is queued and closes the file: milliseconds, or a few
/// seconds when another process is in the way.
pub struct Embedded {
    file: PathBuf,
    // The order matters: the last connection to close tidies up, and only the writer may write.
    readers: Readers,
    writer: Writer,
}

impl Embedded {
    /// Opens the store of this folder, made when missing. Blocks. The error names the folder and what to do.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let file = file::create(folder)?;
        let mut connection = file::connect(&file)?;
        schema::migrate(&mut connection, &file)?;
        let readers = Readers::open(&file)?;
        let writer = Writer::start(connection, file.clone())?;
        Ok(Self { file, readers, writer })
    }

    /// Runs a query with the time it is, in milliseconds.
    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection, i64) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.readers.run(&self.file, move |connection| query(connection, millis(SystemTime::now()))).await
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").field("file", &self.file).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for Embedded {
    async fn get(&self, key: &str) -> Result<Option<Stored>, StoreError> {
        check_key(key)?;
        let key = key.to_owned();
        self.read(move |connection, now| {
            let mut get = connection.prepare_cached(
                "SELECT version, value FROM entry WHERE key = ?1 AND (expires IS NULL OR expires > ?2)",
            )?;
            get.query_row(params![key.as_bytes(), now], stored).optional()
        })
        .await
    }

    async fn put(&self, key: &str, value: Bytes, put: Put) -> Result<Option<Version>, StoreError> {
        check_key(key)?;
        check_value(&value)?;
        let expires = put.expires.map(millis);
        self.writer.write(key.to_owned(), put.expected, Change::Put { value, expires }).await
    }

    async fn delete(&self, key: &str, expected: Expected) -> Result<bool, StoreError> {
        check_key(key)?;
        let removed = self.writer.write(key.to_owned(), expected, Change::Delete).await?;
        Ok(removed.is_some())
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Stored)>, StoreError> {
        let (first, end) = range(prefix, after);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |connection, now| {
            let mut list = connection.prepare_cached(
                "SELECT version, value, key FROM entry
                 WHERE key >= ?1 AND key < ?2 AND (expires IS NULL OR expires > ?3) ORDER BY key LIMIT ?4",
            )?;
            list.query_map(params![first, end, now, limit], |row| Ok((key(row)?, stored(row)?)))?.collect()
        })
        .await
    }

    async fn count(&self, prefix: &str) -> Result<u64, StoreError> {
        let (first, end) = range(prefix, None);
        self.read(move |connection, now| {
            let mut count = connection.prepare_cached(
                "SELECT count(*) FROM entry WHERE key >= ?1 AND key < ?2 AND (expires IS NULL OR expires > ?3)",
            )?;
            count.query_row(params![first, end, now], |row| row.get(0))
        })
        .await
    }
}

/// The keys of this prefix after that one: from the first, to before the end.
///
/// Keys are compared as bytes. UTF-8 has no byte 0xFF, so the last byte of a prefix can always be raised by one, and
/// 0xFF alone comes after every key. The next key after `x` is `x` and a zero byte.
fn range(prefix: &str, after: Option<&str>) -> (Vec<u8>, Vec<u8>) {
    let mut end = prefix.as_bytes().to_vec();
    match end.last_mut() {
        Some(last) => *last = last.saturating_add(1),
        None => end.push(u8::MAX),
    }
    let first = match after {
        Some(after) if after >= prefix => [after.as_bytes(), &[0]].concat(),
        Some(_) | None => prefix.as_bytes().to_vec(),
    };
    (first, end)
}

/// Milliseconds since 1970, as the file has them.
fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn key(row: &Row<'_>) -> rusqlite::Result<String> {
    String::from_utf8(row.get(2)?).map_err(|error| rusqlite::Error::Utf8Error(2, error.utf8_error()))
}

fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored { version: Version(row.get(0)?), value: Bytes::from(row.get::<_, Vec<u8>>(1)?) })
}
