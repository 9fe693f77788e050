//! The parameters of a request: members by name, each unread until somebody looks at it.
//!
//! What is only passed on goes out as it came in, with every digit of its numbers.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::{RawValue, to_raw_value};

/// Whether JSON may have a word in it. A quick look that spares most texts a closer one.
pub fn mentions(json: &[u8], word: &str) -> bool {
    memchr::memmem::find(json, word.as_bytes()).is_some()
}

/// An object whose members are JSON that nobody has read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Params(IndexMap<String, Box<RawValue>>);

impl Params {
    /// Reads an object's first level; nothing when it is no object.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// One member and nothing else.
    pub fn of(name: &str, value: &impl Serialize) -> Self {
        let mut params = Self::default();
        params.set(name, value);
        params
    }

    /// A member, unread. One that is null is not there.
    pub fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.get(name).map(AsRef::as_ref).filter(|value: &&RawValue| value.get() != "null")
    }

    /// A member, read; nothing when it is not there or of another form.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.get(name)?.get()).ok()
    }

    /// A member that is text.
    pub fn text(&self, name: &str) -> Option<String> {
        self.read(name)
    }

    /// Whether a member is there and an object.
    pub fn is_object(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.get().starts_with('{'))
    }

    /// Sets a member; it keeps its place.
    pub fn set(&mut self, name: &str, value: &impl Serialize) {
        if let Ok(value) = to_raw_value(value) {
            self.0.insert(name.to_owned(), value);
        }
    }

    /// Sets a member that is not there.
    pub fn set_default(&mut self, name: &str, value: &impl Serialize) {
        if !self.0.contains_key(name) {
            self.set(name, value);
        }
    }

    /// Takes a member out.
    pub fn take(&mut self, name: &str) -> Option<Box<RawValue>> {
        self.0.shift_remove(name)
    }

    /// Keeps the members whose name fits.
    pub fn retain(&mut self, fits: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| fits(name));
    }

    /// Adds members, over those of the same name.
    pub fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    /// The members' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
