//! May this caller call this tool?

use crate::call::Caller;
use crate::catalog::Entry;
use crate::error::{Error, ErrorKind, Result};

/// The person at this machine may call everything; a stranger what asks for no proof.
/// A tool that asks for one is refused rather than opened, as long as nobody can prove anything.
pub(super) fn authorize(caller: Caller, entry: &Entry) -> Result<()> {
    if caller == Caller::Local || entry.open {
        return Ok(());
    }
    let message = format!("`{}` needs a signed-in caller, and this server cannot sign anybody in", entry.name);
    Err(Error::new(ErrorKind::Forbidden, message))
}
