//! What a record looks like: its members, and the hash that ties it to the one before it.
//!
//! A line is the record as RFC 8785 writes it, with its `hash` behind everything else. The hash is the SHA-256 of the
//! record without it, so it covers the hash of the record before.

use std::{borrow::Cow, collections::BTreeMap, time::SystemTime};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Act, Call, Keeping, Who, shape};
use crate::name::cut;
use crate::widget::sha256_hex;

/// What the first record of all names as the one before it.
pub(super) const NOTHING_BEFORE: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Characters of what somebody else made up.
const CUT: usize = 200;
/// The most bytes of arguments that are kept as they are.
const VALUES: usize = 4096;

/// A record without its hash. Its members stand in their order at once.
pub(super) type Record = BTreeMap<Cow<'static, str>, Value>;

/// What of a record ties it to others.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Tie {
    pub(super) seq: u64,
    pub(super) previous: String,
    pub(super) hash: String,
}

/// Ends a record: its line, with the line break, and its hash.
pub(super) fn seal(mut record: Record, seq: u64, previous: &str) -> Result<(String, String), String> {
    record.insert("seq".into(), json!(seq));
    record.insert("previous".into(), json!(previous));
    let text = canonical(record)?;
    let hash = sha256_hex(&text);
    let open = text.strip_suffix('}').unwrap_or(&text);
    Ok((format!("{open},\"hash\":\"{hash}\"}}\n"), hash))
}

/// A record as RFC 8785 writes it.
fn canonical(mut record: Record) -> Result<String, String> {
    record.values_mut().for_each(Value::sort_all_objects);
    let text = serde_json::to_string(&record).map_err(|error| error.to_string())?;
    // Records hold no number but integers. Names of characters beyond U+FFFF are sorted otherwise there; all else is as
    // it should be, for a fraction of the work.
    if text.bytes().all(|byte| byte < 0xf0) {
        return Ok(text);
    }
    serde_json_canonicalizer::to_string(&record).map_err(|error| error.to_string())
}

/// Reads a line, without its line break. Says what is wrong with it by itself.
pub(super) fn unseal(line: &str) -> Result<(Tie, Record), String> {
    let no_record = |error| format!("it is no record ({error})");
    let mut record: Record = serde_json::from_str(line).map_err(no_record)?;
    let tie: Tie = serde_json::from_str(line).map_err(no_record)?;
    record.remove("hash");
    let (whole, hash) = seal(record.clone(), tie.seq, &tie.previous)?;
    if hash != tie.hash || whole.trim_end_matches('\n') != line {
        return Err(format!("it was changed: its hash is not what it says ({})", cut(&tie.hash, 64)));
    }
    Ok((tie, record))
}

/// A record of ours, on the records themselves.
pub(super) fn note(event: &str, members: Value) -> Record {
    let mut record = begin(SystemTime::now(), event);
    if let Value::Object(members) = members {
        record.extend(members.into_iter().map(|(name, value)| (name.into(), value)));
    }
    record
}

pub(super) fn of_act(at: SystemTime, act: Act) -> Record {
    let mut record = begin(at, "act");
    record.insert("act".into(), json!(act.deed));
    record.insert("who".into(), who(&act.who));
    record.insert("on".into(), json!(cut(&act.on, CUT)));
    record.insert("outcome".into(), json!(cut(&act.outcome, CUT)));
    record.extend(act.details.map(|details| ("details".into(), details)));
    record
}

pub(super) fn of_call(at: SystemTime, call: &Call) -> Record {
    let mut record = begin(at, "call");
    let size = |bytes: usize| json!(u64::try_from(bytes).unwrap_or(u64::MAX));
    let members = [
        ("who", who(&call.who)),
        ("tool", json!(cut(&call.tool, CUT))),
        ("outcome", json!(call.outcome)),
        ("argumentBytes", size(call.argument_bytes)),
        ("resultBytes", size(call.result_bytes)),
        ("durationMs", json!(u64::try_from(call.took.as_millis()).unwrap_or(u64::MAX))),
        ("requestId", json!(call.request)),
    ];
    record.extend(members.map(|(name, value)| (name.into(), value)));
    let mut say = |name: &'static str, value: Option<&str>| {
        record.extend(value.map(|value| (name.into(), json!(cut(value, CUT)))));
    };
    say("client", call.client.as_deref());
    say("traceId", call.trace.as_deref());
    if let Some(called) = &call.called {
        say("connector", Some(called.connector()));
        say("ownTool", Some(called.tool()));
        say("version", called.version());
        say("catalog", Some(&called.fingerprint()));
        record.extend(arguments(call).map(|arguments| ("arguments".into(), arguments)));
    }
    record
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

fn begin(at: SystemTime, event: &str) -> Record {
    let at = humantime::format_rfc3339_millis(at).to_string();
    Record::from([("at".into(), json!(at)), ("event".into(), json!(event))])
}

fn who(who: &Who) -> Value {
    match who {
        Who::Local => json!("local"),
        Who::Anonymous => json!("anonymous"),
        Who::Known { issuer, subject, tenant: None } => {
            json!({ "issuer": cut(issuer, CUT), "subject": cut(subject, CUT) })
        }
        Who::Known { issuer, subject, tenant: Some(tenant) } => {
            json!({ "issuer": cut(issuer, CUT), "subject": cut(subject, CUT), "tenant": cut(tenant, CUT) })
        }
    }
}
