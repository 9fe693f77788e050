//! Arguments → body: JSON, forms, multipart, text and bytes.

use std::borrow::Cow;
use std::collections::HashMap;

use base64::{
    Engine as _,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD as Base64},
};
use bytes::Bytes;
use serde_json::{Map, Value};

use super::super::plan::{Body, DraftBody, DraftPart, PartEncode, Shape, Style, Upload};
use super::invalid;
use super::style::{self, Escape};
use crate::error::Result;
use crate::manifest::Arguments;

const FORM: &str = "application/x-www-form-urlencoded";
const BYTES: &str = "application/octet-stream";

/// What a body is made from: members and where each comes from, or one value.
enum Content<'a> {
    Whole(&'a str, Option<&'a Value>),
    Members(Vec<Part<'a>>),
}

/// A member of a body.
struct Part<'a> {
    name: &'a str,
    argument: &'a str,
    value: &'a Value,
}

/// Whether a media type is JSON.
pub(super) fn is_json(media_type: &str) -> bool {
    let essence = essence(media_type);
    essence == "application/json" || essence == "text/json" || essence.ends_with("+json")
}

/// Whether a whole body of this media type, which is neither JSON nor a form, is written as text. Of any other the
/// argument holds its bytes in base64.
pub fn is_text(media_type: &str) -> bool {
    const TEXT: &[&str] = &[
        "application/graphql",
        "application/javascript",
        "application/jsonl",
        "application/ndjson",
        "application/sql",
        "application/x-ndjson",
    ];
    let essence = essence(media_type);
    essence.starts_with("text/")
        || essence.ends_with("xml")
        || essence.ends_with("+text")
        || essence.contains("yaml")
        || TEXT.contains(&&*essence)
}

fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

pub(super) fn draft(body: &Body, arguments: &Arguments, files: &HashMap<String, Upload>) -> Result<DraftBody> {
    let content = match &body.shape {
        Shape::Whole(argument) => Content::Whole(argument, arguments.get(argument)),
        Shape::Spread(members) => Content::Members(
            members
                .iter()
                .filter_map(|member| {
                    let value = member.value.as_ref().or_else(|| arguments.get(&member.argument))?;
                    Some(Part { name: &member.wire, argument: &member.argument, value })
                })
                .collect(),
        ),
    };
    let nothing = match &content {
        Content::Whole(_, value) => value.is_none(),
        Content::Members(members) => members.is_empty(),
    };
    if nothing && !body.required {
        return Ok(DraftBody::None);
    }
    if let Content::Whole(argument, None) = content {
        return Err(invalid(format!("`{argument}` is the body, so it has to be given")));
    }
    let kind = essence(&body.media_type);
    if is_json(&kind) {
        return Ok(json(body, &content, files));
    }
    if kind == FORM {
        return Ok(form(body, content, files));
    }
    if kind.starts_with("multipart/") {
        return multipart(body, content, files);
    }
    match content {
        Content::Whole(argument, Some(value)) => whole(body, argument, value, files),
        // Nobody can say how members stand in what has none.
        Content::Whole(..) | Content::Members(_) => Ok(json(body, &content, files)),
    }
}

/// What stands for an argument where bytes are base64: the file's contents, or the value itself.
fn sent<'v>(argument: &str, value: &'v Value, files: &HashMap<String, Upload>) -> Cow<'v, Value> {
    let file = files.get(argument).map(|file| Value::String(Base64.encode(&file.bytes)));
    file.map_or(Cow::Borrowed(value), Cow::Owned)
}

fn json(body: &Body, content: &Content<'_>, files: &HashMap<String, Upload>) -> DraftBody {
    let text = match content {
        Content::Whole(argument, value) => {
            value.map_or_else(String::new, |value| sent(argument, value, files).to_string())
        }
        Content::Members(members) => {
            let value = |part: &Part<'_>| sent(part.argument, part.value, files).into_owned();
            let members = members.iter().map(|part| (part.name.to_owned(), value(part)));
            Value::Object(members.collect::<Map<_, _>>()).to_string()
        }
    };
    DraftBody::Bytes(body.media_type.clone(), text.into())
}

/// Members of either form; what is no object has none.
fn members(content: Content<'_>) -> Result<Vec<Part<'_>>, &Value> {
    match content {
        Content::Members(members) => Ok(members),
        Content::Whole(argument, Some(Value::Object(members))) => {
            Ok(members.iter().map(|(name, value)| Part { name, argument, value }).collect())
        }
        Content::Whole(_, value) => Err(value.unwrap_or(&Value::Null)),
    }
}

fn form(body: &Body, content: Content<'_>, files: &HashMap<String, Upload>) -> DraftBody {
    let text = match members(content) {
        Ok(members) => {
            let given = members.iter().filter(|part| !part.value.is_null());
            let pairs: Vec<String> = given.flat_map(|part| field(part, body.parts.get(part.name), files)).collect();
            pairs.join("&")
        }
        Err(value) => style::plain(value),
    };
    DraftBody::Bytes(body.media_type.clone(), text.into())
}

/// One member of a form. Without a style, lists repeat the name, and what has members is JSON.
fn field(part: &Part<'_>, encode: Option<&PartEncode>, files: &HashMap<String, Upload>) -> Vec<String> {
    let value = &*sent(part.argument, part.value, files);
    if let Some((style, explode)) = encode.and_then(|encode| encode.style) {
        return style::pairs(part.name, value, (style, explode), Escape::Segment);
    }
    let as_json = encode.and_then(|encode| encode.content_type.as_deref()).is_some_and(is_json);
    if as_json || value.is_object() {
        let text = Escape::Segment.apply(&value.to_string());
        return vec![format!("{}={text}", Escape::Name.apply(part.name))];
    }
    style::pairs(part.name, value, (Style::Form, true), Escape::Segment)
}

fn multipart(body: &Body, content: Content<'_>, files: &HashMap<String, Upload>) -> Result<DraftBody> {
    let members = members(content).map_err(|_| invalid("a body of several parts is made from an object"))?;
    let mut parts = Vec::new();
    for part in members.iter().filter(|part| !part.value.is_null()) {
        if part.name.chars().any(char::is_control) {
            return Err(invalid("the name of a part can hold no line break or control character"));
        }
        let encode = body.parts.get(part.name);
        let joined = encode.and_then(|encode| encode.style).filter(|(_, explode)| !explode && part.value.is_array());
        if let Some(style) = joined {
            let text = Value::String(style::simple(part.value, style));
            parts.push(self::part(part, &text, encode, files)?);
            continue;
        }
        let one = std::slice::from_ref(part.value);
        for item in part.value.as_array().map_or(one, Vec::as_slice) {
            parts.push(self::part(part, item, encode, files)?);
        }
    }
    Ok(DraftBody::Multipart(body.media_type.clone(), parts))
}

fn part(
    part: &Part<'_>,
    item: &Value,
    encode: Option<&PartEncode>,
    files: &HashMap<String, Upload>,
) -> Result<DraftPart> {
    let name = part.name.to_owned();
    let said = encode.and_then(|encode| encode.content_type.clone()).filter(|kind| !kind.contains(['*', ',']));
    if let Some(upload) = files.get(part.argument) {
        let Upload { bytes, name: file, media_type } = upload.clone();
        return Ok(DraftPart { name, file_name: Some(file), media_type: said.or(Some(media_type)), bytes });
    }
    if encode.is_some_and(|encode| encode.binary) {
        let bytes = decode(part.argument, item)?;
        let media_type = said.or_else(|| Some(BYTES.to_owned()));
        return Ok(DraftPart { file_name: Some(part.name.to_owned()), media_type, name, bytes });
    }
    let has_members = matches!(item, Value::Object(_) | Value::Array(_));
    let as_json = has_members || said.as_deref().is_some_and(is_json);
    let text = if as_json { item.to_string() } else { style::plain(item) };
    let media_type = said.or_else(|| as_json.then(|| "application/json".to_owned()));
    Ok(DraftPart { name, file_name: None, media_type, bytes: text.into() })
}

/// A body that is one value and no JSON.
fn whole(body: &Body, argument: &str, value: &Value, files: &HashMap<String, Upload>) -> Result<DraftBody> {
    // A document may leave open what exactly is sent.
    let open = body.media_type.contains('*');
    // Base64 that goes on the wire as it is.
    let encoded = body.parts.get(argument).is_some_and(|part| !part.binary);
    if let Some(upload) = files.get(argument) {
        let kind = if open { &upload.media_type } else { &body.media_type };
        let bytes = if encoded { Base64.encode(&upload.bytes).into() } else { upload.bytes.clone() };
        return Ok(DraftBody::Bytes(kind.clone(), bytes));
    }
    let kind = if open { BYTES.to_owned() } else { body.media_type.clone() };
    let bytes = if encoded || is_text(&kind) { style::plain(value).into() } else { decode(argument, value)? };
    Ok(DraftBody::Bytes(kind, bytes))
}

/// Bytes from base64 of either alphabet, as models write it: in lines, without its end, or as a `data:` address.
fn decode(argument: &str, value: &Value) -> Result<Bytes> {
    let wrong = || invalid(format!("`{argument}` has to be the contents in base64"));
    let text = value.as_str().ok_or_else(wrong)?;
    let text = match text.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")) {
        Some((_, data)) => data,
        None => text,
    };
    let packed: String = text.split_ascii_whitespace().collect();
    let alphabet = if packed.contains(['-', '_']) { URL_SAFE } else { STANDARD };
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(&alphabet, config).decode(packed).map(Bytes::from).map_err(|_| wrong())
}
