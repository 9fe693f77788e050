//! Results that pass through the SDK unopened.
//!
//! The SDK's types would drop members they do not know and rewrite numbers. So a result goes
//! through it as a short label, and its own bytes take the label's place when the message leaves.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use serde_json::Value;
use uuid::Uuid;

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
        let mut kept = self.open();
        let parcel = if last {
            let parcel = kept.parcels.remove(&id);
            kept.bytes -= parcel.as_ref().map_or(0, Bytes::len);
            kept.order.retain(|(other, _)| *other != id);
            parcel
        } else {
            kept.parcels.get(&id).cloned()
        };
        let Some(parcel) = parcel else { return message };
        let mut filled = BytesMut::with_capacity(message.len() + parcel.len());
        filled.extend_from_slice(&message.slice(..start));
        filled.extend_from_slice(&parcel);
        filled.extend_from_slice(&message.slice(end..));
        filled.freeze()
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
