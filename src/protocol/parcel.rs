//! Parameters and results that pass through the SDK unopened.
//!
//! The SDK's types would drop members they do not know and rewrite numbers. So parameters and results
//! go through it as short labels; a result's own bytes take the label's place when the message leaves.

use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use uuid::Uuid;

use super::request::{OURS, PREFIX};
use crate::params::Params;

/// Where a request's parameters say where they were left.
const PARCEL: &str = "switchboard/parcel";
/// What stands before a label's id where a result stands.
const LABEL: &str = "\"result\":\"switchboard:parcel:";
/// The label's id and its closing quotation mark.
const REST: usize = 37;
/// A message may leave a second time, when a client takes its stream up again, until this.
const KEEP: Duration = Duration::from_secs(30);
/// What is kept for that at most; the oldest goes first.
const MOST_BYTES: usize = 16 << 20;
const MOST_PARCELS: usize = 1024;
/// What never left, because its client did, is forgotten after this long.
const STRAY: Duration = Duration::from_mins(10);

/// Parameters and results on their way.
#[derive(Clone, Default)]
pub struct Parcels(Arc<Mutex<Shelf>>);

#[derive(Default)]
struct Shelf {
    waiting: HashMap<Uuid, (Bytes, Instant)>,
    swept: Option<Instant>,
    left: HashMap<Uuid, Bytes>,
    order: VecDeque<(Uuid, Instant)>,
    bytes: usize,
}

impl Shelf {
    /// Forgets, now and then, what never left.
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_none_or(|swept| now.duration_since(swept) > STRAY / 10) {
            self.swept = Some(now);
            self.waiting.retain(|_, (_, since)| now.duration_since(*since) < STRAY);
        }
    }

    /// Keeps what has left for those who did not get it.
    fn keep(&mut self, id: Uuid, parcel: Bytes, now: Instant) {
        self.bytes += parcel.len();
        self.order.push_back((id, now));
        self.left.insert(id, parcel);
        while let Some((oldest, since)) = self.order.front().copied() {
            let room = self.bytes <= MOST_BYTES && self.order.len() <= MOST_PARCELS;
            if room && now.duration_since(since) < KEEP {
                break;
            }
            self.order.pop_front();
            self.bytes -= self.left.remove(&oldest).map_or(0, |parcel| parcel.len());
        }
    }
}

impl fmt::Debug for Parcels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Parcels").field(&self.open().waiting.len()).finish()
    }
}

impl Parcels {
    fn open(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes something in and gives its label. Its lines are joined: line feeds stand between
    /// JSON's tokens only, and would end a line or an event.
    pub(super) fn label(&self, parcel: Bytes) -> Value {
        let (id, now) = (Uuid::new_v4(), Instant::now());
        let mut kept = self.open();
        kept.sweep(now);
        kept.waiting.insert(id, (one_line(parcel), now));
        Value::String(format!("switchboard:parcel:{id}"))
    }

    /// A message with its label replaced by the result, if it has one. What does not leave for the
    /// last time is kept a while; an answer that was kept no longer becomes an error.
    pub fn fill(&self, message: Bytes, last: bool) -> Bytes {
        let Some((start, end, id)) = find(&message) else { return message };
        let parcel = {
            let mut kept = self.open();
            match kept.waiting.remove(&id) {
                Some((parcel, _)) if last => Some(parcel),
                Some((parcel, _)) => {
                    kept.keep(id, parcel.clone(), Instant::now());
                    Some(parcel)
                }
                None => kept.left.get(&id).cloned(),
            }
        };
        let (name, parcel): (&[u8], &[u8]) = match &parcel {
            Some(parcel) => (b"\"result\":", parcel),
            None => (b"\"error\":", br#"{"code":-32603,"message":"the answer was kept no longer"}"#),
        };
        [message.slice(..start).as_ref(), name, parcel, message.slice(end..).as_ref()].concat().into()
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
        let (parcel, _) = self.open().waiting.remove(&Uuid::parse_str(id).ok()?)?;
        Params::parse(std::str::from_utf8(&parcel).ok()?)
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
