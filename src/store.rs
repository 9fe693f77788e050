//! The store: small values by key, for all that must outlive the process.
//!
//! | implementation | for |
//! |---|---|
//! | [`Embedded`] | one machine: a file that several processes share |

use std::{fmt, time::SystemTime};

use async_trait::async_trait;
use bytes::Bytes;

mod embedded;

pub use embedded::Embedded;

/// The longest key, in bytes.
pub const MAX_KEY: usize = 512;

/// The largest value, in bytes: a whole page of a widget has room.
pub const MAX_VALUE: usize = 4 << 20;

/// Small values by key.
///
/// Each method is one atomic step, also among processes. An answered write is on disk and seen by every later
/// read. When a method's future is dropped, or its answer is an error, a write may have happened or may still happen.
/// An expired entry is to everyone as if it were not there.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync {
    /// What is kept under this key.
    async fn get(&self, key: &str) -> Result<Option<Stored>, StoreError>;

    /// Keeps a value if the expectation holds: its version. `None`: it did not hold and nothing was written.
    async fn put(&self, key: &str, value: Bytes, put: Put) -> Result<Option<Version>, StoreError>;

    /// Removes an entry if it is there and as expected: whether it was.
    async fn delete(&self, key: &str, expected: Expected) -> Result<bool, StoreError>;

    /// Up to `limit` entries whose keys begin with `prefix` and come after `after`, in the byte order of their keys.
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Stored)>, StoreError>;

    /// How many keys begin with `prefix`.
    async fn count(&self, prefix: &str) -> Result<u64, StoreError>;
}

/// Which write a value comes from. No two writes to one store have the same, so a key that was deleted and made
/// again cannot be taken for the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(u64);

impl Version {
    /// It as a number that grows with every write to the store.
    pub fn number(self) -> u64 {
        self.0
    }
}

/// A value as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The bytes, at most [`MAX_VALUE`].
    pub value: Bytes,
    /// The write they come from.
    pub version: Version,
}

/// What must be so for a write to happen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Expected {
    /// Nothing.
    #[default]
    Any,
    /// The key has no value. Nothing can be deleted so.
    Absent,
    /// The value is still the one of this version.
    Is(Version),
}

impl Expected {
    /// Whether a key with this version, or without a value, is as expected.
    fn holds(self, current: Option<Version>) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => current.is_none(),
            Self::Is(version) => current == Some(version),
        }
    }
}

/// How to put a value. The default: whatever was there, for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Put {
    /// What must be so.
    pub expected: Expected,
    /// When the value ends, by the clock of this machine, to the millisecond; `None`: never.
    pub expires: Option<SystemTime>,
}

/// How the store fails. A message may hold a path of this machine: it is for the log and for whoever starts us.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A key of so many bytes.
    #[error("a key of {0} bytes is too long: at most {MAX_KEY} are allowed")]
    KeyTooLong(usize),
    /// A value of so many bytes.
    #[error("a value of {0} bytes is too large: at most {MAX_VALUE} are allowed")]
    ValueTooLarge(usize),
    /// It cannot be reached, or is not ours to use now; the words say why and what to do.
    #[error("{0}")]
    Unavailable(String),
    /// There is no room to write.
    #[error("{0}")]
    Full(String),
    /// What it holds makes no sense; it was left as it is.
    #[error("{0}")]
    Corrupt(String),
    /// It was written by a newer Switchboard.
    #[error("{0}")]
    Newer(String),
}

fn check_key(key: &str) -> Result<(), StoreError> {
    if key.len() > MAX_KEY { Err(StoreError::KeyTooLong(key.len())) } else { Ok(()) }
}

fn check_value(value: &[u8]) -> Result<(), StoreError> {
    if value.len() > MAX_VALUE { Err(StoreError::ValueTooLarge(value.len())) } else { Ok(()) }
}
