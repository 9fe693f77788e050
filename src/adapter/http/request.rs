//! Arguments → request. Each argument is encoded for the position it stands in, so it can change
//! neither the path's structure nor the host, nor add a header.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{
    RequestBuilder,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
    multipart,
};
use url::Url;

use crate::call::{File, Invocation};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{
    Arguments, Body, Encoding, Expansion, FilePart, Method, Multipart, Request, Template, present, text_of,
};

/// All but RFC 3986's unreserved characters.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The method as the client wants it.
pub(in crate::adapter) fn method(method: Method) -> reqwest::Method {
    match method {
        Method::Get => reqwest::Method::GET,
        Method::Head => reqwest::Method::HEAD,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Patch => reqwest::Method::PATCH,
        Method::Delete => reqwest::Method::DELETE,
    }
}

/// The base URL with the request's path and query.
pub(super) fn url(base: &Url, request: &Request, arguments: &Arguments) -> Result<Url> {
    let path = request.path.render_with(arguments, |text, expansion| match expansion {
        Expansion::Reserved => text.split('/').map(encode).collect::<Vec<_>>().join("/").into(),
        Expansion::Plain | Expansion::Explode => encode(text).into(),
    });
    let path = path.ok_or_else(|| invalid("an argument that stands in the path is missing"))?;
    for (name, expansion) in request.path.arguments() {
        let text = present(arguments, name).map(text_of).unwrap_or_default();
        let segments = if expansion == Expansion::Reserved { text.split('/').collect() } else { vec![text.as_ref()] };
        if segments.iter().any(|segment| matches!(*segment, "" | "." | "..")) {
            return Err(invalid(format!(
                "`{name}` stands in the path, so it cannot be or hold an empty name, `.` or `..`"
            )));
        }
    }
    // Two arguments may make what none of them is.
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(invalid("the arguments that stand in the path make a segment `.` or `..`"));
    }
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    for (name, template) in &request.query {
        for value in template.render_each(arguments) {
            url.query_pairs_mut().append_pair(name, &value);
        }
    }
    Ok(url)
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// The request's own headers.
pub(super) fn headers(request: &Request, arguments: &Arguments) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, template) in &request.headers {
        for value in template.render_each(arguments) {
            let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| {
                invalid(format!("the value for the header {name} holds a character that no header can have"))
            })?;
            let name = HeaderName::try_from(name)
                .map_err(|error| Error::new(ErrorKind::Internal, "a bad header name").because(error))?;
            headers.append(name, value);
        }
    }
    Ok(headers)
}

/// The request with its body.
pub(super) fn body(builder: RequestBuilder, body: Option<&Body>, invocation: &Invocation) -> Result<RequestBuilder> {
    let Some(body) = body else { return Ok(builder) };
    let arguments = &invocation.arguments;
    Ok(if let Some(json) = &body.json {
        match json.render(arguments) {
            Some(json) => builder.json(&json),
            None => builder,
        }
    } else if let Some(form) = &body.form {
        let pairs: Vec<(&String, String)> =
            form.iter().flat_map(|(name, template)| each(name, template, arguments)).collect();
        builder.form(&pairs)
    } else if let Some(multipart) = &body.multipart {
        builder.multipart(parts(multipart, invocation)?)
    } else if let Some(name) = &body.file {
        match invocation.files.get(name) {
            Some(file) => builder.header(CONTENT_TYPE, &file.media_type).body(file.bytes.clone()),
            None => builder,
        }
    } else if let Some(text) = body.text.as_ref().and_then(|text| text.render(arguments)) {
        let kind = body.content_type.as_deref().unwrap_or("text/plain; charset=utf-8");
        builder.header(CONTENT_TYPE, kind).body(text)
    } else {
        builder
    })
}

fn each<'a>(
    name: &'a String,
    template: &Template,
    arguments: &Arguments,
) -> impl Iterator<Item = (&'a String, String)> {
    template.render_each(arguments).into_iter().map(move |value| (name, value))
}

fn parts(multipart: &Multipart, invocation: &Invocation) -> Result<multipart::Form> {
    let arguments = &invocation.arguments;
    let mut form = multipart::Form::new();
    for (name, template) in &multipart.fields {
        for (name, value) in each(name, template, arguments) {
            form = form.text(name.clone(), value);
        }
    }
    for (name, file) in &multipart.files {
        let given = file.file.as_ref().and_then(|name| invocation.files.get(name));
        if let Some(given) = given {
            form = form.part(name.clone(), passed_on(file, given, arguments)?);
        } else if let Some(data) = file.data.as_ref().and_then(|data| data.render(arguments)) {
            form = form.part(name.clone(), part(name, file, data, arguments)?);
        }
    }
    Ok(form)
}

fn part(name: &str, file: &FilePart, data: String, arguments: &Arguments) -> Result<multipart::Part> {
    let data = match file.encoding {
        Encoding::Text => data.into_bytes(),
        Encoding::Base64 => {
            let packed: String = data.split_ascii_whitespace().collect();
            let bytes = BASE64_STANDARD.decode(packed);
            bytes.map_err(|_| invalid(format!("the contents for the file `{name}` are not base64")))?
        }
    };
    let rendered = |template: &Option<Template>| template.as_ref().and_then(|template| template.render(arguments));
    let filename = rendered(&file.filename).unwrap_or_else(|| name.to_owned());
    if filename.chars().any(char::is_control) {
        let argument = file.filename.iter().flat_map(Template::arguments).next().map_or(name, |(argument, _)| argument);
        return Err(invalid(format!(
            "`{argument}` names a file, so it cannot hold a line break or another control character"
        )));
    }
    let kind = rendered(&file.content_type).unwrap_or_else(|| "application/octet-stream".into());
    typed(multipart::Part::bytes(data).file_name(filename), &kind)
}

/// A file somebody gave to the client, under the name and type the manifest wants, or its own.
fn passed_on(part: &FilePart, file: &File, arguments: &Arguments) -> Result<multipart::Part> {
    let rendered = |template: &Option<Template>| template.as_ref().and_then(|template| template.render(arguments));
    let name = rendered(&part.filename).filter(|name| !name.chars().any(char::is_control));
    let kind = rendered(&part.content_type);
    let length = file.bytes.len() as u64;
    let body = multipart::Part::stream_with_length(file.bytes.clone(), length);
    typed(body.file_name(name.unwrap_or_else(|| file.name.clone())), kind.as_ref().unwrap_or(&file.media_type))
}

fn typed(part: multipart::Part, kind: &str) -> Result<multipart::Part> {
    part.mime_str(kind).map_err(|_| invalid(format!("`{kind}` is no media type")))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArguments, message)
}
