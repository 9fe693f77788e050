//! Plan and arguments → request. Each argument is written for the place it stands in, so it can change neither the
//! path's structure nor the host, nor add a parameter or a header.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use serde_json::Value;
use url::Url;

mod body;
mod style;

pub use body::is_text;

use super::plan::{Draft, Encode, Location, Parameter, Plan, Style, Upload};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Arguments, present};
use style::{Escape, SEGMENT, escaped};

/// Headers that frame a message, or that credentials are shown in: never an argument's.
const OURS: &[&str] = &[
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl Plan {
    /// The request these arguments mean, without credentials. `files` stand for arguments of their names.
    pub fn draft(&self, base: &Url, arguments: &Arguments, files: &HashMap<String, Upload>) -> Result<Draft> {
        let mut headers = Vec::new();
        if !self.accept.is_empty() {
            let liked = self.accept.iter().enumerate();
            let liked = liked.map(|(index, it)| if index == 0 { it.clone() } else { format!("{it};q=0.5") });
            headers.push(("accept".to_owned(), liked.collect::<Vec<_>>().join(", ")));
        }
        let mut cookies = Vec::new();
        for parameter in &self.parameters {
            let Some(value) = value_of(parameter, arguments) else { continue };
            match parameter.location {
                Location::Header => headers.extend(header(parameter, value)?),
                Location::Cookie => cookies.extend(cookie(parameter, &self.own(parameter, value))),
                Location::Path | Location::Query => {}
            }
        }
        if !cookies.is_empty() {
            headers.push(("cookie".into(), cookies.join("; ")));
        }
        let url = self.url(base, arguments)?;
        let body = self.body.as_ref().map(|body| body::draft(body, arguments, files)).transpose()?;
        Ok(Draft { method: self.method, url, headers, body: body.unwrap_or_default() })
    }

    fn url(&self, base: &Url, arguments: &Arguments) -> Result<Url> {
        // Some documents tell operations of one path apart by what no server ever sees.
        let written = self.path.split('#').next().unwrap_or_default();
        let (written, fixed) = written.split_once('?').map_or((written, None), |(path, query)| (path, Some(query)));
        let mut path = written.to_owned();
        for parameter in self.at(Location::Path) {
            let place = format!("{{{}}}", parameter.wire);
            let value = value_of(parameter, arguments).ok_or_else(|| {
                invalid(format!("`{}` stands in the path, so it has to be given", parameter.argument))
            })?;
            path = path.replace(&place, &segment(parameter, value)?);
        }
        // Two arguments may make what none of them is.
        if path.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(invalid("the arguments that stand in the path make a segment `.` or `..`"));
        }
        let mut url = base.clone();
        url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
        let mut query: Vec<String> = base.query().into_iter().chain(fixed).map(str::to_owned).collect();
        for parameter in self.at(Location::Query) {
            let Some(value) = value_of(parameter, arguments) else { continue };
            query.extend(in_query(parameter, &self.own(parameter, value)));
        }
        query.retain(|pair| !pair.is_empty());
        url.set_query((!query.is_empty()).then(|| query.join("&")).as_deref());
        Ok(url)
    }

    /// A value without members that would stand under another parameter's name.
    fn own<'v>(&self, parameter: &Parameter, value: &'v Value) -> Cow<'v, Value> {
        let (Encode::Style { style: Style::Form, explode: true, .. }, Value::Object(members)) =
            (&parameter.encode, value)
        else {
            return Cow::Borrowed(value);
        };
        let others: HashSet<&str> = self.at(parameter.location).map(|other| other.wire.as_str()).collect();
        let own = members.iter().filter(|(name, _)| *name == &parameter.wire || !others.contains(name.as_str()));
        Cow::Owned(own.map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    fn at(&self, location: Location) -> impl Iterator<Item = &Parameter> {
        self.parameters.iter().filter(move |parameter| parameter.location == location)
    }
}

/// What a parameter is: always the same, or what the argument says.
fn value_of<'a>(parameter: &'a Parameter, arguments: &'a Arguments) -> Option<&'a Value> {
    match &parameter.value {
        Some(value) => Some(value),
        None => present(arguments, &parameter.argument),
    }
}

/// What stands in the path for a value.
fn segment(parameter: &Parameter, value: &Value) -> Result<String> {
    let Parameter { argument, wire, encode, .. } = parameter;
    let refused =
        || invalid(format!("`{argument}` stands in the path, so it cannot be or hold an empty name, `.` or `..`"));
    let text = match encode {
        Encode::Content(media_type) => escaped(&style::content(media_type, value), SEGMENT),
        Encode::Style { style, explode, .. } => style::in_path(wire, value, (*style, *explode), Escape::Segment),
    };
    if text.split('/').any(|segment| matches!(segment, "" | "." | "..")) { Err(refused()) } else { Ok(text) }
}

fn in_query(parameter: &Parameter, value: &Value) -> Vec<String> {
    let Parameter { wire, encode, .. } = parameter;
    match encode {
        Encode::Content(media_type) => {
            let text = style::content(media_type, value);
            vec![format!("{}={}", Escape::Name.apply(wire), escaped(&text, SEGMENT))]
        }
        Encode::Style { style, explode, allow_reserved } => {
            let escape = if *allow_reserved { Escape::Reserved } else { Escape::Segment };
            style::pairs(wire, value, (*style, *explode), escape)
        }
    }
}

fn header(parameter: &Parameter, value: &Value) -> Result<Option<(String, String)>> {
    let Parameter { argument, wire, encode, .. } = parameter;
    if OURS.contains(&wire.to_ascii_lowercase().as_str()) {
        return Ok(None);
    }
    let text = match encode {
        Encode::Content(media_type) => style::content(media_type, value),
        Encode::Style { style, explode, .. } => style::simple(value, (*style, *explode)),
    };
    if text.chars().any(|c| c.is_control() && c != '\t') {
        let message = format!("`{argument}` stands in a header, which can hold no line break or control character");
        return Err(invalid(message));
    }
    Ok(Some((wire.clone(), text)))
}

fn cookie(parameter: &Parameter, value: &Value) -> Vec<String> {
    let Parameter { wire, encode, .. } = parameter;
    match encode {
        Encode::Content(media_type) => {
            vec![format!("{wire}={}", escaped(&style::content(media_type, value), SEGMENT))]
        }
        Encode::Style { style, explode, .. } => style::pairs(wire, value, (*style, *explode), Escape::Segment),
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArguments, message)
}
