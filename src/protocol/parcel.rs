//! Parameters and results that pass through the SDK unopened.
//!
//! The SDK's types would drop members they do not know and rewrite numbers. So parameters and results
//! go through it as short labels; a result's own bytes take the label's place when the message leaves.

use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use uuid::Uuid;

use super::request::{OURS, PREFIX};
use crate::params::Params;

/// Where a request's parameters say where they were left.
const PARCEL: &str = "switchboard/parcel";
const LABEL: &str = "\"switchboard:parcel:";
/// The label's id and its closing quotation mark.
const REST: usize = 37;
/// A message may leave a second time, when a client takes its stream up again, until this.
const KEEP: Duration = Duration::from_secs(30);
/// What is kept for that at most, in bytes; the oldest goes first.
const MOST: usize = 64 << 20;

/// Results on their way out.
#[derive(Clone, Default)]
pub struct Parcels(Arc<Mutex<Shelf>>);

#[derive(Default)]
struct Shelf {
    parcels: HashMap<Uuid, Bytes>,
    order: VecDeque<(Uuid, Instant)>,
    bytes: usize,
}

impl fmt::Debug for Parcels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Parcels").field(&self.open().parcels.len()).finish()
    }
}

impl Parcels {
    fn open(&self) -> std::sync::MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a result in and gives its label. Its lines are joined: line feeds stand between JSON's
    /// tokens only, and would end a line or an event.
    pub(super) fn label(&self, result: Bytes) -> Value {
        let id = Uuid::new_v4();
        let mut kept = self.open();
        let over = Instant::now().checked_sub(KEEP);
        while let Some((oldest, since)) = kept.order.front().copied() {
            if kept.bytes + result.len() <= MOST && over.is_none_or(|over| since > over) {
                break;
            }
            kept.order.pop_front();
            let gone = kept.parcels.remove(&oldest).map_or(0, |parcel| parcel.len());
            kept.bytes -= gone;
        }
        kept.bytes += result.len();
        kept.order.push_back((id, Instant::now()));
        kept.parcels.insert(id, one_line(result));
        Value::String(format!("switchboard:parcel:{id}"))
    }

    /// A message with its label replaced by the result, if it has one. `last` forgets the result.
    pub fn fill(&self, message: Bytes, last: bool) -> Bytes {
        let Some((start, end, id)) = find(&message) else { return message };
        let parcel = if last { self.take(id) } else { self.open().parcels.get(&id).cloned() };
        let Some(parcel) = parcel else { return message };
        let mut filled = BytesMut::with_capacity(message.len() + parcel.len());
        filled.extend_from_slice(&message.slice(..start));
        filled.extend_from_slice(&parcel);
        filled.extend_from_slice(&message.slice(end..));
        filled.freeze()
    }
}

impl Parcels {
    /// A request of ours under the name by which the SDK lets it through, its parameters left here;
    /// any other message as it is.
    pub fn wrap(&self, message: &Bytes) -> Bytes {
        #[derive(Deserialize)]
        struct Request<'a> {
            #[serde(borrow)]
            id: &'a RawValue,
            #[serde(borrow)]
            method: Cow<'a, str>,
            #[serde(borrow, default)]
            params: Option<&'a RawValue>,
        }
        #[derive(Deserialize)]
        struct Meta<'a> {
            #[serde(rename = "_meta", borrow, default)]
            meta: Option<&'a RawValue>,
        }
        let Ok(Request { id, method, params }) = serde_json::from_slice(message) else { return message.clone() };
        if !OURS.contains(&method.as_ref()) {
            return message.clone();
        }
        let wrapped = match params.map(|params| (params, serde_json::from_str::<Meta<'_>>(params.get()))) {
            Some((params, Ok(Meta { meta }))) => {
                let label = self.label(message.slice_ref(params.get().as_bytes()));
                match meta {
                    Some(meta) => json!({ "_meta": meta, PARCEL: label }),
                    None => json!({ PARCEL: label }),
                }
            }
            Some((_, Err(_))) => json!([]),
            None => json!({}),
        };
        let method = format!("{PREFIX}{method}");
        json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": wrapped }).to_string().into()
    }

    /// The parameters that were left here; nothing when they are no object.
    pub(super) fn unwrap(&self, params: Option<Value>) -> Option<Params> {
        let Value::Object(mut params) = params.unwrap_or_else(|| json!({})) else { return None };
        let Some(label) = params.remove(PARCEL) else { return Some(Params::default()) };
        let id = label.as_str()?.strip_prefix("switchboard:parcel:")?;
        let parcel = self.take(Uuid::parse_str(id).ok()?)?;
        Params::parse(std::str::from_utf8(&parcel).ok()?)
    }

    fn take(&self, id: Uuid) -> Option<Bytes> {
        let mut kept = self.open();
        let parcel = kept.parcels.remove(&id)?;
        kept.bytes -= parcel.len();
        kept.order.retain(|(other, _)| *other != id);
        Some(parcel)
    }
}

/// Where a message has a label. It stands near the start, before anything of an upstream's.
fn find(message: &Bytes) -> Option<(usize, usize, Uuid)> {
    const NEAR: usize = 1024;
    let near = message.get(..message.len().min(NEAR))?;
    let start = near.windows(LABEL.len()).position(|window| window == LABEL.as_bytes())?;
    let end = start + LABEL.len() + REST;
    let id = std::str::from_utf8(message.get(start + LABEL.len()..end - 1)?).ok()?;
    Some((start, end, Uuid::parse_str(id).ok()?))
}

/// JSON without line feeds.
pub(super) fn one_line(json: Bytes) -> Bytes {
    if !json.contains(&b'\n') && !json.contains(&b'\r') {
        return json;
    }
    json.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect::<Vec<u8>>().into()
}
