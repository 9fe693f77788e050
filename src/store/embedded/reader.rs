//! The connections that read, and the threads they run on.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::Connection;
use tokio::{sync::Semaphore, task};

use super::file::{connect, fault};
use crate::store::StoreError;

/// Reads at once; further ones wait. A read takes microseconds when the file is in the machine's memory.
const READERS: usize = 4;

/// As many connections as there are permits, less those in use.
pub(super) struct Readers {
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    pub(super) fn open(file: &Path) -> Result<Self, StoreError> {
        let reader = |_| {
            let connection = connect(file)?;
            connection.pragma_update(None, "query_only", true).map_err(|error| fault(file, &error))?;
            Ok(connection)
        };
        let idle = (0..READERS).map(reader).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { permits: Arc::new(Semaphore::new(READERS)), idle: Arc::new(Mutex::new(idle)) })
    }

    /// Runs a query on a thread that may block. A query that nobody waits for any more still ends, and gives back
    /// its connection and its permit.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        file: &Path,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let closed = || StoreError::Unavailable("the store is closed".to_owned());
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| closed())?;
        let idle = self.idle.clone();
        let read = task::spawn_blocking(move || {
            let connection = idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            let answer = query(&connection);
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            drop(permit);
            Some(answer)
        });
        let answer = read.await.ok().flatten().ok_or_else(closed)?;
        answer.map_err(|error| fault(file, &error))
    }
}
