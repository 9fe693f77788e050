//! The headers that mirror a request of 2026-07-28 on its way out.

use std::collections::HashMap;

use reqwest::header::{HeaderName, HeaderValue};
use serde_json::Value;

use crate::catalog::{Mirrored, mirror};
use crate::params::Params;

/// The arguments that tools want mirrored, by tool.
#[derive(Debug, Default)]
pub(super) struct Wishes(HashMap<String, Vec<Mirrored>>);

impl Wishes {
    /// Keeps the tools whose wishes make sense, as the specification asks of a client over HTTP;
    /// says what was left out.
    pub(super) fn of(tools: &mut Vec<Value>) -> (Self, Vec<String>) {
        let (mut wishes, mut omitted) = (HashMap::new(), Vec::new());
        tools.retain(|tool| {
            let name = tool.get("name").and_then(Value::as_str).unwrap_or_default();
            let Some(schema) = tool.get("inputSchema").and_then(Value::as_object) else { return true };
            match mirror::mirrored(schema) {
                Ok(mirrored) if mirrored.is_empty() => true,
                Ok(mirrored) => {
                    wishes.insert(name.to_owned(), mirrored);
                    true
                }
                Err(why) => {
                    omitted.push(format!("the tool `{}`: {why}", crate::name::shown(name)));
                    false
                }
            }
        });
        (Self(wishes), omitted)
    }

    /// The headers of a request.
    pub(super) fn headers(&self, method: &str, params: &Params) -> Vec<(HeaderName, HeaderValue)> {
        let name = mirror::name(method, params);
        let mut texts = vec![(mirror::METHOD.to_owned(), method.to_owned())];
        texts.extend(name.iter().map(|name| (mirror::NAME.to_owned(), mirror::encode(name))));
        let wishes = name.filter(|_| method == "tools/call").and_then(|name| self.0.get(&name));
        if let Some(wishes) = wishes {
            let arguments: Value = params.read("arguments").unwrap_or_default();
            for mirrored in wishes {
                let text = mirrored.text(&arguments);
                texts.extend(text.map(|text| (format!("{}{}", mirror::PARAM, mirrored.header), mirror::encode(&text))));
            }
        }
        let header = |(name, text): (String, String)| {
            Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(text).ok()?))
        };
        texts.into_iter().filter_map(header).collect()
    }
}
