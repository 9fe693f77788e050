//! What a record looks like: its members, and the hash that ties it to the one before it.
//!
//! A line is the record as RFC 8785 writes it, with its `hash` behind everything else. The hash is the SHA-256 of the
//! record without it, so it covers the hash of the record before.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc, time::SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Act, Call, Called, Keeping, Who, shape};
use crate::name::cut;
use crate::widget::sha256_hex;

/// What the first record of all names as the one before it.
pub(super) const NOTHING_BEFORE: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Characters of what somebody else made up.
const CUT: usize = 200;
/// The most bytes of arguments that are kept as they are.
const VALUES: usize = 4096;

/// What becomes a record once it is known which one it follows.
#[derive(Debug)]
pub(super) enum Record {
    /// A call, when it ended. Most records are.
    Call(SystemTime, Box<Call>),
    /// Anything else.
    Other(Members),
}

/// The members of a record, in their order.
pub(super) type Members = BTreeMap<Cow<'static, str>, Value>;

/// What of a record ties it to others.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Tie {
    pub(super) seq: u64,
    pub(super) previous: String,
    pub(super) hash: String,
}

/// Ends a record: its line, with the line break, and its hash.
pub(super) fn seal(record: Record, seq: u64, previous: &str) -> Result<(String, String), String> {
    let text = match record {
        Record::Call(at, call) => canonical(&of_call(at, &call, seq, previous))?,
        Record::Other(mut members) => {
            members.insert("seq".into(), json!(seq));
            members.insert("previous".into(), json!(previous));
            sorted(&mut members)?
        }
    };
    Ok(line(&text))
}

/// The line of a record, with the line break, and its hash.
fn line(text: &str) -> (String, String) {
    let hash = sha256_hex(text);
    let open = text.strip_suffix('}').unwrap_or(text);
    (format!("{open},\"hash\":\"{hash}\"}}\n"), hash)
}

fn sorted(members: &mut Members) -> Result<String, String> {
    members.values_mut().for_each(Value::sort_all_objects);
    canonical(members)
}

/// A record as RFC 8785 writes it, from one whose members are in their order.
fn canonical(record: &impl Serialize) -> Result<String, String> {
    let text = serde_json::to_string(record).map_err(|error| error.to_string())?;
    // Records hold no number but integers. Names of characters beyond U+FFFF are sorted otherwise there; all else is as
    // it should be, for a fraction of the work.
    if text.is_ascii() || text.bytes().all(|byte| byte < 0xf0) {
        return Ok(text);
    }
    serde_json_canonicalizer::to_string(record).map_err(|error| error.to_string())
}

/// Reads a line, without its line break. Says what is wrong with it by itself.
pub(super) fn unseal(text: &str) -> Result<(Tie, Members), String> {
    let no_record = |error| format!("it is no record ({error})");
    let mut members: Members = serde_json::from_str(text).map_err(no_record)?;
    let tie: Tie = serde_json::from_str(text).map_err(no_record)?;
    members.remove("hash");
    let (whole, hash) = line(&sorted(&mut members)?);
    if hash != tie.hash || whole.trim_end_matches('\n') != text {
        return Err(format!("it was changed: its hash is not what it says ({})", cut(&tie.hash, 64)));
    }
    Ok((tie, members))
}

/// A record of ours, on the records themselves.
pub(super) fn note(event: &str, more: Value) -> Record {
    let mut members = begin(SystemTime::now(), event);
    if let Value::Object(more) = more {
        members.extend(more.into_iter().map(|(name, value)| (name.into(), value)));
    }
    Record::Other(members)
}

pub(super) fn of_act(at: SystemTime, act: Act) -> Record {
    let mut members = begin(at, "act");
    members.insert("act".into(), json!(act.deed));
    members.insert("who".into(), json!(Told::of(&act.who)));
    members.insert("on".into(), json!(short(&act.on)));
    members.insert("outcome".into(), json!(short(&act.outcome)));
    members.extend(act.details.map(|details| ("details".into(), details)));
    Record::Other(members)
}

/// The record of a call. Its members stand in their order: many are written, and so none is looked up or moved.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CallRecord<'a> {
    argument_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<Value>,
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    catalog: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connector: Option<Cow<'a, str>>,
    duration_ms: u64,
    event: &'static str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    own_tool: Option<Cow<'a, str>>,
    previous: &'a str,
    request_id: &'a str,
    result_bytes: usize,
    seq: u64,
    tool: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<Cow<'a, str>>,
    who: Told<'a>,
}

fn of_call<'a>(at: SystemTime, call: &'a Call, seq: u64, previous: &'a str) -> CallRecord<'a> {
    let called = call.called.as_deref();
    CallRecord {
        argument_bytes: call.argument_bytes,
        arguments: arguments(call).map(|mut arguments| {
            arguments.sort_all_objects();
            arguments
        }),
        at: humantime::format_rfc3339_millis(at).to_string(),
        catalog: called.map(Called::fingerprint),
        client: call.client.as_deref().map(short),
        connector: called.map(|called| short(called.connector())),
        duration_ms: u64::try_from(call.took.as_millis()).unwrap_or(u64::MAX),
        event: "call",
        outcome: call.outcome,
        own_tool: called.map(|called| short(called.tool())),
        previous,
        request_id: &call.request,
        result_bytes: call.result_bytes,
        seq,
        tool: short(&call.tool),
        trace_id: call.trace.as_deref(),
        version: called.and_then(Called::version).map(short),
        who: Told::of(&call.who),
    }
}

/// What is kept of a call's arguments.
fn arguments(call: &Call) -> Option<Value> {
    let called = call.called.as_ref()?;
    if call.argument_bytes == 0 {
        return None;
    }
    let sent = call.arguments.as_deref();
    match (called.keeping(), sent) {
        (Keeping::Nothing, _) => None,
        (Keeping::Shape | Keeping::Values, None) => Some(json!({ "omitted": "size" })),
        (Keeping::Shape, Some(sent)) => Some(shape::of(sent, called.input())),
        (Keeping::Values, Some(sent)) => {
            let text = sent.get();
            let end = text.floor_char_boundary(VALUES);
            Some(match text.get(..end).filter(|start| start.len() < text.len()) {
                Some(start) => json!({ "text": start, "cut": true }),
                None => json!({ "text": text }),
            })
        }
    }
}

fn begin(at: SystemTime, event: &str) -> Members {
    let at = humantime::format_rfc3339_millis(at).to_string();
    Members::from([("at".into(), json!(at)), ("event".into(), json!(event))])
}

/// What somebody else made up, and may be long.
fn short(text: &str) -> Cow<'_, str> {
    if text.len() <= CUT { text.into() } else { cut(text, CUT).into() }
}

/// Who did something, as a record tells it.
#[derive(Serialize)]
#[serde(untagged)]
enum Told<'a> {
    Word(&'static str),
    Known {
        issuer: Cow<'a, str>,
        subject: Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        tenant: Option<Cow<'a, str>>,
    },
}

impl<'a> Told<'a> {
    fn of(who: &'a Who) -> Self {
        match who {
            Who::Local => Self::Word("local"),
            Who::Anonymous => Self::Word("anonymous"),
            Who::Known { issuer, subject, tenant } => {
                Self::Known { issuer: short(issuer), subject: short(subject), tenant: tenant.as_deref().map(short) }
            }
        }
    }
}
