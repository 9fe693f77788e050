//! The tables, and the way from each older form of them to the newest.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::file::fault;
use crate::store::StoreError;

/// Step `n` leads from form `n` to form `n + 1`. Steps are added, never changed.
///
/// Keys are bytes, so that their order is the order of bytes. The value stands last: whoever needs only what is
/// before it does not read it. Times are milliseconds since 1970.
const STEPS: &[&str] = &["
    CREATE TABLE entry (
        id      INTEGER PRIMARY KEY,
        key     BLOB NOT NULL UNIQUE,
        version INTEGER NOT NULL,
        expires INTEGER,
        value   BLOB NOT NULL
    ) STRICT;
    CREATE INDEX entry_expires ON entry (expires) WHERE expires IS NOT NULL;
    CREATE TABLE counter (version INTEGER NOT NULL) STRICT;
    INSERT INTO counter VALUES (0);
"];

/// Brings the file to the newest form, or refuses one that is newer still.
pub(super) fn migrate(connection: &mut Connection, file: &Path) -> Result<(), StoreError> {
    let found = bring_up(connection).map_err(|error| fault(file, &error))?;
    if found > STEPS.len() {
        let (file, known) = (file.display(), STEPS.len());
        return Err(StoreError::Newer(format!(
            "{file} has form {found}, and this Switchboard knows forms up to {known}: \
             run a newer one, or set SWITCHBOARD_DATA_DIR"
        )));
    }
    Ok(())
}

/// The form it was found in.
fn bring_up(connection: &mut Connection) -> rusqlite::Result<usize> {
    let form = |connection: &Connection| connection.pragma_query_value(None, "user_version", |row| row.get(0));
    let found: usize = form(connection)?;
    if found > STEPS.len() {
        return Ok(found);
    }
    if found == STEPS.len() {
        // Reading once tells a damaged file at the start, not at the first call.
        return connection.query_row("SELECT version FROM counter", (), |row| row.get::<_, u64>(0)).map(|_| found);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been here while this one waited.
    let found: usize = form(&transaction)?;
    for step in STEPS.iter().skip(found) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", STEPS.len().max(found))?;
    transaction.commit()?;
    Ok(found)
}
