//! The operations a document has.

use std::collections::{BTreeSet, HashSet};

use super::{
    Skipped,
    node::{Documents, Node, step},
};
use crate::manifest::Method;

/// More operations than any document has; the rest is said to be left out.
const MOST: usize = 30_000;

const VERBS: &[(&str, Option<Method>)] = &[
    ("get", Some(Method::Get)),
    ("head", Some(Method::Head)),
    ("post", Some(Method::Post)),
    ("put", Some(Method::Put)),
    ("patch", Some(Method::Patch)),
    ("delete", Some(Method::Delete)),
    ("options", None),
    ("trace", None),
    ("query", None),
];

/// An `operationId` that is longer is none.
const LONGEST_ID: usize = 500;
/// The same of a tag.
const LONGEST_TAG: usize = 200;

/// One operation.
#[derive(Debug, Clone)]
pub(super) struct Operation<'a> {
    /// Its method in lower case.
    pub(super) verb: &'static str,
    /// None for those nobody calls as a tool.
    pub(super) method: Option<Method>,
    pub(super) path: &'a str,
    pub(super) node: Node<'a>,
    /// The path item it stands in.
    pub(super) item: Node<'a>,
    /// A JSON pointer.
    pub(super) place: String,
    pub(super) tags: Vec<&'a str>,
    pub(super) deprecated: bool,
}

impl<'a> Operation<'a> {
    /// Its `operationId`.
    pub(super) fn own_id(&self) -> Option<&'a str> {
        self.node.text("operationId").filter(|id| id.len() <= LONGEST_ID)
    }

    /// `GET /path`.
    pub(super) fn request(&self) -> String {
        format!("{} {}", self.verb.to_ascii_uppercase(), self.path)
    }

    /// Its `operationId`, else `GET /path`.
    pub(super) fn id(&self) -> String {
        self.own_id().map_or_else(|| self.request(), str::to_owned)
    }

    /// Whether this is its `operationId`, or `GET /path`.
    pub(super) fn is(&self, name: &str) -> bool {
        self.own_id() == Some(name)
            || name
                .split_once(' ')
                .is_some_and(|(verb, path)| verb.eq_ignore_ascii_case(self.verb) && path.trim_start() == self.path)
    }
}

/// All of them in the document's order, those that are no operations, and how many there are of both.
pub(super) fn list<'a>(documents: &Documents<'a>, root: Node<'a>) -> (Vec<Operation<'a>>, Vec<Skipped>, usize) {
    let (mut operations, mut skipped, mut count) = (Vec::new(), Vec::new(), 0);
    let mut seen: HashSet<(&str, &str)> = HashSet::new();
    for (path, at) in root.get("paths").into_iter().flat_map(Node::members) {
        if path.starts_with("x-") {
            continue;
        }
        let place = format!("/paths/{}", step(path));
        let item = match documents.follow(at) {
            Ok(item) if item.object().is_some() => item,
            found => {
                let reason = found.err().unwrap_or_else(|| "it is no object".into());
                skipped.push(Skipped { operation: path.into(), place, reason, wanted: false });
                continue;
            }
        };
        count += additional(&mut skipped, [at, item], path);
        for (verb, method) in VERBS {
            // Beside a reference, the path item may still say something of its own.
            let Some(node) = at.get(verb).or_else(|| item.get(verb)) else { continue };
            count += 1;
            let place = format!("{place}/{verb}");
            let request = format!("{} {path}", verb.to_ascii_uppercase());
            let mut skip = |reason: String| {
                skipped.push(Skipped { operation: request.clone(), place: place.clone(), reason, wanted: false });
            };
            if count > MOST {
                skip(format!("only the first {MOST} operations are read"));
                continue;
            }
            if method.is_none() {
                skip("tools send no such requests".into());
                continue;
            }
            let node = match documents.follow(node) {
                Ok(node) if node.object().is_some() => node,
                Ok(_) => {
                    skip("it is no object".into());
                    continue;
                }
                Err(error) => {
                    skip(error);
                    continue;
                }
            };
            if !seen.insert((verb, path.trim_end_matches('/'))) {
                skip("the same stands there without or with a `/` at the end".into());
                continue;
            }
            operations.push(Operation {
                verb,
                method: *method,
                path,
                node,
                item,
                place,
                tags: node.texts("tags").filter(|tag| tag.len() <= LONGEST_TAG).take(100).collect(),
                deprecated: node.says("deprecated"),
            });
        }
    }
    (operations, skipped, count)
}

/// Notes the operations of methods that only 3.2 knows, and says how many there are.
fn additional(skipped: &mut Vec<Skipped>, holders: [Node<'_>; 2], path: &str) -> usize {
    let more = holders.into_iter().filter_map(|it| it.get("additionalOperations")).flat_map(Node::members);
    let verbs: BTreeSet<&str> = more.map(|(verb, _)| verb).filter(|verb| verb.len() <= LONGEST_ID).collect();
    skipped.extend(verbs.iter().map(|verb| Skipped {
        operation: format!("{verb} {path}"),
        place: format!("/paths/{}/additionalOperations/{}", step(path), step(verb)),
        reason: "tools send no such requests".into(),
        wanted: false,
    }));
    verbs.len()
}
