//! The one thread that writes: it takes all that waits and syncs it once.
//!
//! A sync costs milliseconds and its price does not grow with what it covers, so sixty-four writers pay for one
//! sync, not for sixty-four. Each write is judged by itself, in the order of the queue.

use std::{
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
    time::SystemTime,
};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use tokio::sync::{mpsc, oneshot};

use super::{file::fault, millis};
use crate::store::{Expected, StoreError, Version};

/// Writes that wait, and writes in one commit. Whoever comes when the queue is full waits for its place, at most
/// two commits.
const QUEUE: usize = 64;

/// A commit is closed when it has this many bytes, so that the log stays small.
const COMMIT: usize = 8 << 20;

/// Expired entries removed for each write: more than a write can add, so they do not pile up.
const SWEPT: usize = 32;

/// What to do with a key.
pub(super) enum Change {
    /// Give it this value; it ends at this millisecond.
    Put { value: Bytes, expires: Option<i64> },
    /// Remove it.
    Delete,
}

/// The version written or removed; `None` when nothing was.
type Answer = Result<Option<Version>, StoreError>;

struct Write {
    key: String,
    expected: Expected,
    change: Change,
    answer: oneshot::Sender<Answer>,
}

impl Write {
    fn size(&self) -> usize {
        match &self.change {
            Change::Put { value, .. } => value.len(),
            Change::Delete => 0,
        }
    }
}

/// The queue and its thread, which ends after the last write of the queue.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Write>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(connection: Connection, file: PathBuf) -> Result<Self, StoreError> {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let thread = thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || run(connection, &file, waiting))
            .map_err(|error| StoreError::Unavailable(format!("no thread can be started for the store: {error}")))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    pub(super) async fn write(&self, key: String, expected: Expected, change: Change) -> Answer {
        let closed = || StoreError::Unavailable("the store is closed".to_owned());
        let (answer, answered) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or_else(closed)?;
        queue.send(Write { key, expected, change, answer }).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // A thread that failed has told every writer already.
            drop(thread.join());
        }
    }
}

fn run(mut connection: Connection, file: &Path, mut queue: mpsc::Receiver<Write>) {
    while let Some(first) = queue.blocking_recv() {
        let mut size = first.size();
        let mut writes = vec![first];
        while writes.len() < QUEUE && size < COMMIT {
            let Ok(next) = queue.try_recv() else { break };
            size += next.size();
            writes.push(next);
        }
        let mut answers = commit(&mut connection, &writes).map_err(|error| fault(file, &error)).map(Vec::into_iter);
        for write in writes {
            let answer = answers.as_mut().map(|answers| answers.next().flatten()).map_err(|error| error.clone());
            // Who has gone away does not need the answer.
            drop(write.answer.send(answer));
        }
    }
}

/// Does these writes, and syncs them: their answers, in order. After an error none of them counts.
fn commit(connection: &mut Connection, writes: &[Write]) -> rusqlite::Result<Vec<Option<Version>>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // The turn to write may have been long in coming.
    let now = millis(SystemTime::now());
    let mut last: u64 = transaction.prepare_cached("SELECT version FROM counter")?.query_row((), |row| row.get(0))?;
    let before = last;
    let answers: Vec<_> =
        writes.iter().map(|write| apply(&transaction, write, now, &mut last)).collect::<Result<_, _>>()?;
    if last != before {
        transaction.prepare_cached("UPDATE counter SET version = ?1")?.execute([last])?;
    }
    transaction
        .prepare_cached("DELETE FROM entry WHERE id IN (SELECT id FROM entry WHERE expires <= ?1 LIMIT ?2)")?
        .execute(params![now, SWEPT * writes.len()])?;
    transaction.commit()?;
    Ok(answers)
}

fn apply(on: &Transaction<'_>, write: &Write, now: i64, last: &mut u64) -> rusqlite::Result<Option<Version>> {
    let key = write.key.as_bytes();
    let current = on
        .prepare_cached("SELECT version FROM entry WHERE key = ?1 AND (expires IS NULL OR expires > ?2)")?
        .query_row(params![key, now], |row| row.get(0).map(Version))
        .optional()?;
    if !write.expected.holds(current) {
        return Ok(None);
    }
    match &write.change {
        Change::Put { value, expires } => {
            *last += 1;
            on.prepare_cached(
                "INSERT INTO entry (key, version, expires, value) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (key)
                 DO UPDATE SET version = excluded.version, expires = excluded.expires, value = excluded.value",
            )?
            .execute(params![key, *last, expires, value.as_ref()])?;
            Ok(Some(Version(*last)))
        }
        Change::Delete => {
            on.prepare_cached("DELETE FROM entry WHERE key = ?1")?.execute([key])?;
            Ok(current)
        }
    }
}
