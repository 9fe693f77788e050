//! A document and those it refers to, one after the other, within bounds.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    fs, io,
    path::{Component, Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use serde_json::Value;
use url::Url;

use super::document::{Known, Read};
use crate::openapi;

/// Documents beside the first.
const MOST: usize = 200;
/// Documents that refer to documents.
const DEEPEST: usize = 8;
/// All documents together, in bytes.
pub(super) const MOST_BYTES: usize = 64 << 20;

/// Where a document is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Origin {
    File(PathBuf),
    Address(Url),
}

/// What may be read for a document.
#[derive(Debug, Clone)]
pub(super) struct Reach {
    /// Files below this folder, links followed.
    pub(super) folder: PathBuf,
    /// Addresses at these origins, besides that of the document itself.
    pub(super) origins: Vec<url::Origin>,
}

/// A document that is still to be read.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) origin: Origin,
    /// The name its readers know it by; none for the first.
    name: Option<String>,
    depth: usize,
}

/// What was read so far.
#[derive(Debug)]
pub(super) struct Gather {
    first: Origin,
    reach: Reach,
    waiting: VecDeque<Wanted>,
    named: HashSet<String>,
    /// Names by which others mean the first.
    first_named: Vec<String>,
    bytes: usize,
    document: Option<Arc<Value>>,
    others: BTreeMap<String, Arc<Value>>,
    /// What was not followed: its name and why.
    refused: Vec<(String, String)>,
}

/// A file as it was when it was read: its length and its time.
pub(super) type Stamp = (u64, Option<SystemTime>);

/// How a file is now.
pub(super) fn stamp(file: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.len(), metadata.modified().ok()))
}

impl Gather {
    pub(super) fn new(first: Origin, reach: Reach) -> Self {
        let waiting = VecDeque::from([Wanted { origin: first.clone(), name: None, depth: 0 }]);
        Self {
            first,
            reach,
            waiting,
            named: HashSet::new(),
            first_named: Vec::new(),
            bytes: 0,
            document: None,
            others: BTreeMap::new(),
            refused: Vec::new(),
        }
    }

    /// What to read next.
    pub(super) fn next(&mut self) -> Option<Wanted> {
        self.waiting.pop_front()
    }

    /// Leaves out what cannot be had; the first cannot be left out.
    pub(super) fn refuse(&mut self, wanted: Wanted, reason: String) -> Result<(), String> {
        let name = wanted.name.ok_or_else(|| reason.clone())?;
        self.refused.push((name, reason));
        Ok(())
    }

    /// Reads a text, lays `overlays` upon the first document, and follows what it refers to.
    pub(super) fn add(&mut self, wanted: Wanted, text: &str, overlays: &[(String, String)]) -> Result<(), String> {
        self.bytes = self.bytes.saturating_add(text.len());
        if self.bytes > MOST_BYTES {
            let reason = format!("all documents together have more than {MOST_BYTES} bytes");
            return self.refuse(wanted, reason);
        }
        let mut value = match openapi::parse(text) {
            Ok(value) => value,
            Err(reason) => return self.refuse(wanted, reason),
        };
        for (name, overlay) in overlays.iter().filter(|_| wanted.name.is_none()) {
            let overlay = openapi::parse(overlay).and_then(|overlay| openapi::overlay(&mut value, &overlay));
            let remarks = overlay.map_err(|reason| format!("the overlay {name}: {reason}"))?;
            self.refused.extend(remarks.into_iter().map(|remark| (name.clone(), remark)));
        }
        for reference in openapi::references(&value) {
            self.follow(&wanted, reference);
        }
        match wanted.name {
            None => self.document = Some(Arc::new(value)),
            Some(name) => drop(self.others.insert(name, Arc::new(value))),
        }
        Ok(())
    }

    fn follow(&mut self, from: &Wanted, reference: String) {
        let found = self.find(&from.origin, &reference);
        // The first document's references are known as it writes them, all others by where they lead.
        let name = match (&from.name, &found) {
            (None, _) | (_, Err(_)) => reference,
            (Some(_), Ok(origin)) => self.name_of(origin),
        };
        if !self.named.insert(name.clone()) {
            return;
        }
        let depth = from.depth + 1;
        let reason = match found {
            Err(reason) => reason,
            Ok(_) if self.named.len() > MOST => format!("more than {MOST} documents are referred to"),
            Ok(origin) if origin == self.first => return self.first_named.push(name),
            Ok(_) if depth > DEEPEST => format!("documents refer to documents more than {DEEPEST} times over"),
            Ok(origin) => {
                return self.waiting.push_back(Wanted { origin, name: Some(name), depth });
            }
        };
        self.refused.push((name, reason));
    }

    /// Where a reference in a document leads, if that may be read.
    fn find(&self, from: &Origin, reference: &str) -> Result<Origin, String> {
        let address = match (Url::parse(reference), from) {
            (Ok(url), _) => url,
            (Err(_), Origin::Address(base)) => base.join(reference).map_err(|_| "it is no address".to_owned())?,
            (Err(_), Origin::File(file)) => {
                let decoded = percent_encoding::percent_decode_str(reference).decode_utf8_lossy();
                let folder = file.parent().unwrap_or(Path::new("."));
                return Ok(Origin::File(tidied(&folder.join(decoded.as_ref()))));
            }
        };
        if !matches!(address.scheme(), "http" | "https") || !address.username().is_empty() {
            return Err("it is no http or https address without a user name".into());
        }
        let own = match &self.first {
            Origin::Address(first) => first.origin() == address.origin(),
            Origin::File(_) => false,
        };
        if own || self.reach.origins.contains(&address.origin()) {
            return Ok(Origin::Address(address));
        }
        let origin = address.origin().ascii_serialization();
        Err(format!("it is at another origin; `allowRefs: [\"{origin}\"]` allows that"))
    }

    /// The name by which documents other than the first know one.
    fn name_of(&self, origin: &Origin) -> String {
        match (origin, &self.first) {
            (Origin::Address(url), _) => url.to_string(),
            (Origin::File(file), Origin::File(first)) => {
                relative(first.parent().unwrap_or(Path::new("")), file).to_string_lossy().into_owned()
            }
            (Origin::File(file), Origin::Address(_)) => file.to_string_lossy().into_owned(),
        }
    }

    /// Everything that was read.
    pub(super) fn finish(mut self, known: Known) -> Option<Read> {
        let document = self.document?;
        let again = self.first_named.into_iter().map(|name| (name, Arc::clone(&document)));
        self.others.extend(again);
        Some(Read { document, others: self.others, refused: self.refused, known })
    }

    /// Reads a file that may be read.
    pub(super) fn read(&self, file: &Path) -> Result<(String, Stamp), String> {
        read(file, &self.reach.folder)
    }
}

/// Reads a file below `folder`, links followed.
pub(super) fn read(file: &Path, folder: &Path) -> Result<(String, Stamp), String> {
    let unreadable = |error: io::Error| format!("cannot be read: {error}");
    let real = file.canonicalize().map_err(unreadable)?;
    if !real.starts_with(folder.canonicalize().map_err(unreadable)?) {
        return Err("is not below the manifest's folder; give the whole path of a document elsewhere".into());
    }
    let metadata = fs::metadata(&real).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err("is no file".into());
    }
    if metadata.len() > MOST_BYTES as u64 {
        return Err(format!("has {} bytes, {MOST_BYTES} at most", metadata.len()));
    }
    let stamp = (metadata.len(), metadata.modified().ok());
    Ok((fs::read_to_string(&real).map_err(unreadable)?, stamp))
}

/// A path without `.` and, as far as it goes, without `..`.
fn tidied(path: &Path) -> PathBuf {
    let mut tidied = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if tidied.file_name().is_some() => {
                tidied.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::ParentDir | Component::Normal(_) => {
                tidied.push(part);
            }
        }
    }
    tidied
}

/// A path as it is said from a folder.
fn relative(folder: &Path, path: &Path) -> PathBuf {
    let folder = tidied(folder);
    let shared = folder.components().zip(path.components()).take_while(|(a, b)| a == b).count();
    let up = folder.components().skip(shared).map(|_| Component::ParentDir);
    up.chain(path.components().skip(shared)).collect()
}
