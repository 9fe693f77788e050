//! Answer → result: JSON, text, pictures, sound, other bytes, and the many ways to say no.

use bytes::Bytes;
use reqwest::{
    Response, StatusCode,
    header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderMap, RETRY_AFTER},
};
use serde_json::{Map, Value, json};

use super::reduce;
use crate::adapter::Secrets;
use crate::call::{Content, Invocation, Output};
use crate::error::{Again, Error, ErrorKind, Executed, Result as Called};
use crate::manifest::{self, Method, Query};
use crate::upstream::{Limit, Redirected, retry_after};

/// Where upstreams put their own words, when the manifest does not say.
const USUAL_MESSAGES: &[&str] = &[
    "/error/message",
    "/message",
    "/detail",
    "/error_description",
    "/errors/0/message",
    "/error",
    "/title",
    "/reason",
];
/// An upstream's own words are cut here, in characters.
const LONGEST_MESSAGE: usize = 1000;
/// As much is read of an answer that is a failure: it is for its words only.
const FAILURE: Limit = Limit { bytes: 1 << 16, setting: "" };

/// What may be answered otherwise in a moment.
const PASSING: &[u16] = &[408, 425, 429, 502, 503, 504];

/// How an answer is to be read.
#[derive(Debug)]
pub(in crate::adapter) struct Rules<'a> {
    /// What the manifest says.
    pub(in crate::adapter) response: &'a manifest::Response,
    /// What must not come back in words of the upstream.
    pub(in crate::adapter) secrets: Secrets<'a>,
    /// Whether the result is `{"result": …}` whatever it is, because the tool promises so.
    pub(in crate::adapter) wrapped: bool,
}

impl Rules<'_> {
    /// How much of an answer is read: what is left of a large one may be small.
    pub(in crate::adapter) fn limit(&self, max_bytes: usize, max_result: usize) -> Limit {
        let most = if self.response.reduces() { usize::MAX } else { max_result };
        Limit::smaller(max_bytes, "maxResponseBytes", most)
    }
}

/// A response without its body.
#[derive(Debug)]
pub(in crate::adapter) struct Head {
    status: StatusCode,
    headers: HeaderMap,
    redirected: bool,
}

impl Head {
    pub(in crate::adapter) fn of(response: &Response) -> Self {
        let redirected = response.extensions().get::<Redirected>().is_some();
        Self { status: response.status(), headers: response.headers().clone(), redirected }
    }

    /// What an answer that is a failure says of a second try.
    fn again(&self, invocation: &Invocation) -> Option<Again> {
        let after = retry_after(&self.headers);
        let executed = match self.status {
            // It is not this answer that says what became of the call.
            _ if self.redirected => Executed::Maybe,
            StatusCode::UNAUTHORIZED => Executed::Unproven,
            StatusCode::TOO_MANY_REQUESTS => Executed::Declined,
            StatusCode::SERVICE_UNAVAILABLE if after.is_some() => Executed::Declined,
            StatusCode::CONFLICT if invocation.key.is_some() => Executed::UnderWay,
            _ => Executed::Maybe,
        };
        let passing = PASSING.contains(&self.status.as_u16());
        let known = !self.redirected && matches!(executed, Executed::Unproven | Executed::UnderWay);
        (passing || known).then_some(Again { executed, after })
    }

    /// The body of the answer. Whatever becomes of a failure's, its head counts.
    pub(in crate::adapter) async fn body(
        &self,
        response: Response,
        limit: Limit,
        invocation: &Invocation,
    ) -> Called<Bytes> {
        if !self.status.is_success() {
            return Ok(FAILURE.read_some(response).await);
        }
        let made = |error: Error| {
            if error.kind() == ErrorKind::TooLarge { error.adding(&self.made(invocation)) } else { error }
        };
        limit.read(response).await.map_err(made)
    }

    /// Whether it is a stream of events that goes well.
    pub(in crate::adapter) fn streams(&self) -> bool {
        self.status.is_success() && self.media_type().is_some_and(|kind| kind == "text/event-stream")
    }

    /// What has to be known when an answer is of no use, so that nobody makes a call again that was made.
    fn made(&self, invocation: &Invocation) -> String {
        if !self.status.is_success() || self.redirected || invocation.entry.may_be_repeated() {
            return String::new();
        }
        format!("; the upstream answered {}, so the call itself was made", self.status)
    }

    fn header(&self, name: reqwest::header::HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The media type in lower case, without parameters.
    fn media_type(&self) -> Option<String> {
        let essence = self.header(CONTENT_TYPE)?.split(';').next()?.trim().to_ascii_lowercase();
        (!essence.is_empty()).then_some(essence)
    }

    fn charset(&self) -> Option<&str> {
        let (_, charset) = self.header(CONTENT_TYPE)?.split_once("charset=")?;
        charset.split(';').next().map(|charset| charset.trim_matches(['"', ' ']))
    }
}

/// What the answer means.
pub(in crate::adapter) fn output(
    head: &Head,
    body: Bytes,
    rules: &Rules<'_>,
    method: Method,
    invocation: &Invocation,
) -> Output {
    interpret(head, body, rules, method).unwrap_or_else(|fault| match fault {
        Fault::Told(words) => {
            let is_ill = head.status.is_server_error() && head.status != StatusCode::NOT_IMPLEMENTED;
            Output { is_ill, again: head.again(invocation), ..Output::failure(words) }
        }
        Fault::Unusable(words) => Output::failure(words + &head.made(invocation)),
    })
}

/// Why there is no result, in words.
enum Fault {
    /// The upstream says that it failed.
    Told(String),
    /// It says that it did what it was asked, and its answer is of no use.
    Unusable(String),
}

impl From<String> for Fault {
    fn from(words: String) -> Self {
        Self::Unusable(words)
    }
}

/// What the answer means, or why it means nothing.
fn interpret(head: &Head, body: Bytes, rules: &Rules<'_>, method: Method) -> Result<Output, Fault> {
    // A byte order mark is no JSON, and services on some platforms send one.
    let body = if body.starts_with(b"\xef\xbb\xbf") { body.slice(3..) } else { body };
    let media_type = head.media_type();
    let kind = media_type.as_deref().unwrap_or_default();
    let is_json = kind == "application/json" || kind.ends_with("+json") || kind == "text/json";
    let response = rules.response;
    let wants_json = response.pick.is_some() || response.select.is_some();
    let says_nothing = media_type.is_none() || wants_json || !response.failure.is_empty();
    let json = if is_json || says_nothing { serde_json::from_slice::<Value>(&body).ok() } else { None };

    if !head.status.is_success() {
        let json = json.or_else(|| serde_json::from_slice(&body).ok());
        return Err(Fault::Told(failure(head, json.as_ref(), &body, rules)));
    }
    if method == Method::Head {
        return Ok(Output::json(json!({ "status": head.status.as_u16(), "headers": readable(&head.headers) })));
    }
    if body.is_empty() {
        return Ok(Output::text(format!("done ({})", head.status)));
    }
    if let Some(value) = json {
        return from_json(head, value, &body, rules);
    }
    if is_json {
        return Err(format!(
            "the upstream answered {} but its JSON is broken: {}",
            head.status,
            excerpt(&rules.secrets.hide(&text(head, &body)))
        )
        .into());
    }
    let place = response.pick.as_deref().or(response.select.as_ref().map(Query::as_str));
    if let Some(place) = place {
        return Err(format!("the upstream's answer is not JSON, so it has nothing at `{place}`").into());
    }
    Ok(reduce::content(content(head, kind, body), response.max_bytes)?)
}

fn from_json(head: &Head, mut value: Value, body: &Bytes, rules: &Rules<'_>) -> Result<Output, Fault> {
    if rules.response.failure.iter().any(|mark| matches_mark(&value, mark)) {
        return Err(Fault::Told(failure(head, Some(&value), body, rules)));
    }
    if let Some(pick) = &rules.response.pick {
        let picked = value.pointer_mut(pick).map(Value::take);
        value = picked.ok_or_else(|| format!("the upstream's answer has nothing at `{pick}`"))?;
    }
    Ok(reduce::json(value, rules.response, body.len(), rules.wrapped)?)
}

fn matches_mark(value: &Value, mark: &manifest::FailureMark) -> bool {
    match (value.pointer(&mark.at), &mark.is) {
        (Some(found), Some(wanted)) => found == wanted,
        (Some(found), None) => !matches!(found, Value::Null | Value::Bool(false)) && found != "",
        (None, _) => false,
    }
}

/// The upstream's own words for its failure, with the status when that says so.
fn failure(head: &Head, json: Option<&Value>, body: &Bytes, rules: &Rules<'_>) -> String {
    let pointers = rules.response.message.iter().map(String::as_str).chain(USUAL_MESSAGES.iter().copied());
    let words = json.and_then(|json| pointers.filter_map(|pointer| json.pointer(pointer)).find_map(words));
    let words = words.unwrap_or_else(|| text(head, body));
    let mut message = if head.status.is_success() {
        "the upstream reports a failure".to_owned()
    } else {
        format!("the upstream answered {}", head.status)
    };
    if !words.trim().is_empty() {
        // Before it is cut, or half a secret would not be known for one.
        message = format!("{message}: {}", excerpt(&rules.secrets.hide(&words)));
    }
    if let Some(after) = head.header(RETRY_AFTER) {
        let after = retry_after(&head.headers)
            .map_or_else(|| excerpt(after), |after| format!("{} s", after.as_secs_f64().ceil()));
        message = format!("{message} (it asks to be called again after: {after})");
    }
    message
}

fn words(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Bool(_) => None,
        Value::String(text) => Some(text.clone()).filter(|text| !text.trim().is_empty()),
        Value::Number(_) | Value::Array(_) | Value::Object(_) => Some(value.to_string()),
    }
}

fn excerpt(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(LONGEST_MESSAGE) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn text(head: &Head, body: &Bytes) -> String {
    let encoding = head.charset().and_then(|label| encoding_rs::Encoding::for_label(label.as_bytes()));
    encoding.unwrap_or(encoding_rs::UTF_8).decode(body).0.into_owned()
}

fn content(head: &Head, kind: &str, body: Bytes) -> Content {
    const BINARY: &[&str] = &["application/octet-stream", "application/pdf", "application/zip", "application/gzip"];
    if kind.starts_with("image/") && !kind.ends_with("+xml") {
        return Content::Image(body, kind.to_owned());
    }
    if kind.starts_with("audio/") {
        return Content::Audio(body, kind.to_owned());
    }
    // A type nobody knows may be either: GitHub sends every file as `application/vnd.github.raw`.
    let binary = BINARY.contains(&kind) || kind.starts_with("video/") || kind.starts_with("font/");
    let readable = || std::str::from_utf8(&body).is_ok_and(|text| !text.contains('\0'));
    if kind.starts_with("text/") || (!binary && readable()) {
        return Content::Text(text(head, &body));
    }
    let disposition = head.header(CONTENT_DISPOSITION).unwrap_or_default();
    let name =
        disposition.split("filename=").nth(1).map_or("answer", |name| name.split(';').next().unwrap_or_default());
    let fits = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let name: String = name.chars().filter(fits).collect();
    let media_type = if kind.is_empty() { "application/octet-stream" } else { kind };
    Content::Blob { uri: format!("attachment:///{name}"), media_type: media_type.to_owned(), data: body }
}

/// Headers as JSON, those that carry state aside.
fn readable(headers: &HeaderMap) -> Map<String, Value> {
    let shown = headers.iter().filter(|(name, _)| name.as_str() != "set-cookie");
    shown.filter_map(|(name, value)| Some((name.to_string(), json!(value.to_str().ok()?)))).collect()
}
