//! A list as it goes out: written once, and cut to what a caller may see.

use std::ops::Range;

use bytes::Bytes;
use serde::Serialize;

use crate::caller::{Access, Caller};
use crate::name::ConnectorId;

/// A list that is being written.
#[derive(Debug, Default)]
pub(super) struct Draft {
    text: Vec<u8>,
    items: Vec<Item>,
}

/// Where an item stands, whose it is, and what it takes to see it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    place: Range<usize>,
    connector: ConnectorId,
    access: Access,
}

/// A list: a JSON array.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Written {
    text: Bytes,
    items: Vec<Item>,
    /// Whether anything in it is closed to anybody.
    closed: bool,
}

impl Draft {
    /// Adds an item of a connector; gives how many bytes it has.
    pub(super) fn push(&mut self, item: &impl Serialize, connector: &ConnectorId, access: Access) -> usize {
        self.text.push(if self.text.is_empty() { b'[' } else { b',' });
        let start = self.text.len();
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(&mut self.text, item);
        self.items.push(Item { place: start..self.text.len(), connector: connector.clone(), access });
        self.text.len() - start
    }

    pub(super) fn finish(mut self) -> Written {
        self.text.extend_from_slice(if self.text.is_empty() { b"[]" } else { b"]" });
        let closed = self.items.iter().any(|item| item.access != Access::Open);
        Written { text: self.text.into(), items: self.items, closed }
    }
}

impl Written {
    /// What is there for this caller: a JSON array.
    pub(super) fn for_caller(&self, caller: &Caller) -> Bytes {
        if !self.closed || caller.is_unlimited() {
            return if self.items.is_empty() { Bytes::from_static(b"[]") } else { self.text.clone() };
        }
        self.cut(caller, |_, _| true)
    }

    /// The items that are there for this caller and wanted by their number and connector: a JSON array.
    pub(super) fn cut(&self, caller: &Caller, is_wanted: impl Fn(usize, &ConnectorId) -> bool) -> Bytes {
        let mut text = Vec::new();
        let wanted = self.items.iter().enumerate().filter(|(index, item)| is_wanted(*index, &item.connector));
        for (_, item) in wanted.filter(|(_, item)| caller.sees(&item.access)) {
            text.push(if text.is_empty() { b'[' } else { b',' });
            text.extend_from_slice(self.text.get(item.place.clone()).unwrap_or_default());
        }
        text.extend_from_slice(if text.is_empty() { b"[]" } else { b"]" });
        text.into()
    }
}
