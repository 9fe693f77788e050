//! A place in a document, and what a reference there means.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap},
};

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use url::Url;

use super::{Source, text};

/// References that lead to references; a longer chain is a circle, or meant to tire us.
const LONGEST_CHAIN: usize = 16;
/// Oddities that are kept; a broken generator makes the same one everywhere.
const MOST_REMARKS: usize = 500;
/// Work for one document, in steps: a schema, one of its members, or a few letters that are looked at. The largest
/// documents there are need a tenth of it. One that multiplies itself by references costs seconds and no more.
const MOST_STEPS: u64 = 10_000_000;
/// Work for one operation.
const MOST_FOR_ONE: u64 = 500_000;
/// Bytes of text that are a step.
const STEP: usize = 16;

/// A value and the document it stands in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node<'a> {
    pub(super) value: &'a Value,
    home: usize,
}

impl<'a> Node<'a> {
    /// A member.
    pub(super) fn get(self, key: &str) -> Option<Self> {
        self.value.get(key).map(|value| self.with(value))
    }

    /// A value of the same document.
    pub(super) fn with(self, value: &'a Value) -> Self {
        Self { value, home: self.home }
    }

    /// A member that is a text with something in it.
    pub(super) fn text(self, key: &str) -> Option<&'a str> {
        self.value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// Whether a member is `true`.
    pub(super) fn says(self, key: &str) -> bool {
        self.value.get(key) == Some(&Value::Bool(true))
    }

    /// Its members, when it is an object.
    pub(super) fn members(self) -> impl Iterator<Item = (&'a str, Self)> {
        let members = self.value.as_object().into_iter().flatten();
        members.map(move |(key, value)| (key.as_str(), self.with(value)))
    }

    /// The items of a member that is a list.
    pub(super) fn items(self, key: &str) -> impl Iterator<Item = Self> {
        let items = self.value.get(key).and_then(Value::as_array).into_iter().flatten();
        items.map(move |value| self.with(value))
    }

    /// The texts of a member that is a list of texts.
    pub(super) fn texts(self, key: &str) -> impl Iterator<Item = &'a str> {
        self.items(key).filter_map(|item| item.value.as_str())
    }

    pub(super) fn object(self) -> Option<&'a Map<String, Value>> {
        self.value.as_object()
    }

    /// Which value it is, however one came to it.
    pub(super) fn identity(self) -> usize {
        std::ptr::from_ref(self.value).addr()
    }
}

struct Document<'a> {
    /// Its path beside the first.
    path: &'a str,
    at: Option<Url>,
    root: &'a Value,
}

/// A document and those it refers to.
pub(super) struct Documents<'a> {
    all: Vec<Document<'a>>,
    by_name: BTreeMap<&'a str, usize>,
    known: RefCell<HashMap<(usize, &'a str), Option<Node<'a>>>>,
    remarks: RefCell<Vec<(String, String)>>,
    lines: RefCell<HashMap<(usize, usize, usize), String>>,
    left: Cell<u64>,
    left_for_one: Cell<u64>,
}

impl<'a> Documents<'a> {
    pub(super) fn new(source: &Source<'a>) -> Self {
        let first = Document { path: "", at: source.at.cloned(), root: source.document };
        let others = source.others.iter().map(|(name, root)| {
            let at = Url::parse(name).ok().or_else(|| source.at?.join(name).ok());
            Document { path: name, at, root }
        });
        let all: Vec<Document<'a>> = std::iter::once(first).chain(others).collect();
        // What refers to the first by a name means the first.
        let home = |home: usize, root: &Value| if std::ptr::eq(root, source.document) { 0 } else { home };
        let named = all.iter().enumerate().skip(1);
        let by_name = named.map(|(index, document)| (document.path, home(index, document.root))).collect();
        let (known, remarks, lines) = Default::default();
        Self { all, by_name, known, remarks, lines, left: Cell::new(MOST_STEPS), left_for_one: Cell::new(MOST_STEPS) }
    }

    /// Whether a value stands in a document from the net that the first, which is none, refers to.
    pub(super) fn is_from_afar(&self, node: Node<'a>) -> bool {
        let address = |home: usize| self.all.get(home).and_then(|document| document.at.as_ref());
        address(0).is_none() && address(node.home).is_some()
    }

    /// The document itself.
    pub(super) fn root(&self) -> Option<Node<'a>> {
        self.all.first().map(|document| Node { value: document.root, home: 0 })
    }

    /// Notes what is odd, once.
    pub(super) fn remark(&self, place: impl Into<String>, words: impl Into<String>) {
        let remark = (place.into(), words.into());
        let mut remarks = self.remarks.borrow_mut();
        if remarks.len() < MOST_REMARKS && !remarks.contains(&remark) {
            remarks.push(remark);
        }
    }

    pub(super) fn take_remarks(&self) -> Vec<(String, String)> {
        self.remarks.take()
    }

    /// Begins the work for an operation; words when none is left for it.
    pub(super) fn begin(&self) -> Result<(), String> {
        self.left_for_one.set(MOST_FOR_ONE);
        let refused = || "to read this document takes more work than any is worth: choose by `include`".to_owned();
        self.spend(1).then_some(()).ok_or_else(refused)
    }

    /// Counts work; whether that is still within bounds. What is beyond is nothing that anybody may rely on, and
    /// [`Self::within`] says so.
    pub(super) fn spend(&self, steps: usize) -> bool {
        let steps = u64::try_from(steps).unwrap_or(u64::MAX);
        for left in [&self.left, &self.left_for_one] {
            left.set(left.get().saturating_sub(steps));
        }
        self.left.get() > 0 && self.left_for_one.get() > 0
    }

    /// Counts a text that is looked at.
    pub(super) fn read(&self, text: &str) -> bool {
        self.spend(1 + text.len() / STEP)
    }

    /// A text for people, on one line of at most this many characters. Many operations say the same, at one place.
    pub(super) fn line(&self, text: &'a str, most: usize) -> String {
        let key = (text.as_ptr().addr(), text.len(), most);
        if let Some(known) = self.lines.borrow().get(&key) {
            return known.clone();
        }
        let text = text::head(text);
        if !self.read(text) {
            return String::new();
        }
        let line = text::line(text, most);
        self.lines.borrow_mut().insert(key, line.clone());
        line
    }

    /// Words when the work for an operation was too much.
    pub(super) fn within(&self) -> Result<(), String> {
        let refused = || "to read it takes more work than any is worth; what it refers to multiplies".to_owned();
        self.spend(0).then_some(()).ok_or_else(refused)
    }

    /// What stands here, through references; the text of one that leads nowhere.
    pub(super) fn follow(&self, mut node: Node<'a>) -> Result<Node<'a>, String> {
        for _ in 0..LONGEST_CHAIN {
            let Some(reference) = node.text("$ref") else { return Ok(node) };
            node = self.resolve(node, reference).ok_or_else(|| format!("`$ref` {reference:?} leads nowhere"))?;
        }
        Err("its `$ref`s lead in a circle".into())
    }

    /// What a reference in the document of `from` means.
    pub(super) fn resolve(&self, from: Node<'a>, reference: &'a str) -> Option<Node<'a>> {
        if !self.read(reference) {
            return None;
        }
        if let Some(known) = self.known.borrow().get(&(from.home, reference)) {
            return *known;
        }
        self.spend(self.all.len());
        let (name, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let found = self.home(from.home, name).and_then(|home| {
            let value = point(self.all.get(home)?.root, fragment)?;
            Some(Node { value, home })
        });
        self.known.borrow_mut().insert((from.home, reference), found);
        found
    }

    /// The document a name means in another.
    fn home(&self, from: usize, name: &str) -> Option<usize> {
        if name.is_empty() {
            return Some(from);
        }
        let document = self.all.get(from)?;
        let by_name = |name: &str| self.by_name.get(name).copied();
        let address = document.at.as_ref().and_then(|at| at.join(name).ok()).or_else(|| Url::parse(name).ok());
        let by_address = |address: &Url| self.all.iter().position(|other| other.at.as_ref() == Some(address));
        by_name(&beside(document.path, name))
            .or_else(|| by_address(address.as_ref()?))
            .or_else(|| by_name(address.as_ref()?.as_str()))
            .or_else(|| by_name(name))
    }
}

/// A path that is written in another document, as the first would write it.
fn beside<'n>(document: &str, name: &'n str) -> Cow<'n, str> {
    let Some((folder, _)) = document.rsplit_once('/').filter(|_| !name.contains("://")) else {
        return Cow::Borrowed(name);
    };
    let mut path: Vec<&str> = Vec::new();
    for step in folder.split('/').chain(name.split('/')) {
        match step {
            "." | "" => {}
            ".." if path.last().is_some_and(|last| *last != "..") => drop(path.pop()),
            _ => path.push(step),
        }
    }
    Cow::Owned(path.join("/"))
}

/// What a fragment points to.
fn point<'a>(root: &'a Value, fragment: &str) -> Option<&'a Value> {
    if fragment.is_empty() {
        return Some(root);
    }
    if let Some(value) = root.pointer(fragment) {
        return Some(value);
    }
    let decoded = percent_decode_str(fragment).decode_utf8().ok()?;
    // People write `#components/…` too.
    root.pointer(&decoded).or_else(|| root.pointer(&format!("/{decoded}")))
}

/// A step of a JSON pointer.
pub(super) fn step(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
