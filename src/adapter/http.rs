//! The `http` adapter: a tool's arguments become one request, its answer a result.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret as _;
use url::Url;

mod answer;
mod request;

use super::{Adapter, Limit, Secrets};
use crate::call::{CallContext, Invocation, Output};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Checked, HttpSettings, Request, Response};
use crate::secret::Environment;
use crate::upstream::{Hop, Upstream};

/// An HTTP API.
#[derive(Debug)]
pub(super) struct HttpAdapter {
    base: Url,
    headers: HeaderMap,
    hop: Hop,
    response: Response,
    max_bytes: usize,
    requests: HashMap<String, Request>,
}

impl HttpAdapter {
    /// Reads the settings' references; the reason when one has no value.
    pub(super) fn new(
        checked: &Checked,
        settings: &HttpSettings,
        environment: &Environment,
        upstream: &Upstream,
    ) -> Result<Self, String> {
        let base = settings.base_url.resolve(environment).map_err(|missing| missing.to_string())?;
        let base = Url::parse(&base)
            .ok()
            .filter(|url| {
                matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none()
            })
            .ok_or("its baseUrl is no http or https address without a user name")?;
        let mut headers = HeaderMap::new();
        for (name, value) in &settings.headers {
            let value = value.resolve(environment).map_err(|missing| missing.to_string())?;
            let header = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok());
            let (name, value) =
                header.ok_or_else(|| format!("its header {name} has a value that no header can have"))?;
            headers.insert(name, value);
        }
        let connect = checked.connector.timeouts.connect_ms.map(|ms| Duration::from_millis(ms.get()));
        let tools = checked.connector.tools.iter();
        Ok(Self {
            base,
            headers,
            hop: upstream.hop(settings.allow_private, connect).map_err(|error| error.to_string())?,
            response: settings.response.clone(),
            max_bytes: settings.max_response_bytes,
            requests: tools.filter_map(|tool| Some((tool.name.clone(), tool.request.clone()?))).collect(),
        })
    }
}

#[async_trait]
impl Adapter for HttpAdapter {
    async fn call(&self, invocation: &Invocation, cx: &CallContext) -> Result<Output> {
        let request = self.requests.get(&invocation.entry.tool);
        let request = request.ok_or_else(|| Error::new(ErrorKind::Internal, "the tool has no request"))?;
        let credential = &invocation.credential;
        let arguments = &invocation.arguments;

        let mut url = request::url(&self.base, request, arguments)?;
        if !credential.query.is_empty() {
            let secrets = credential.query.iter().map(|(name, value)| (name, value.expose_secret()));
            url.query_pairs_mut().extend_pairs(secrets);
        }
        let mut headers = self.headers.clone();
        headers.extend(request::headers(request, arguments)?);
        for (name, value) in &credential.headers {
            let header = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value.expose_secret()).ok());
            let (name, mut value) = header.ok_or_else(|| {
                Error::new(ErrorKind::Unavailable, "the credential of this connector cannot stand in a header")
            })?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let builder = self.hop.request(request::method(request.method), url).headers(headers);
        let builder = request::body(builder, request.body.as_ref(), arguments)?;
        let built = builder.build().map_err(|error| {
            Error::new(ErrorKind::InvalidArguments, "the arguments make no valid request").because(error.without_url())
        })?;

        let response = self.hop.send(built).await?;
        let head = answer::Head::of(&response);
        let body = read(response, Limit::smaller(self.max_bytes, "maxResponseBytes", cx)).await?;
        let rules = answer::Rules {
            response: request.response.as_ref().unwrap_or(&self.response),
            secrets: Secrets::of(credential.headers.iter().chain(&credential.query)),
        };
        Ok(answer::interpret(&head, body, &rules, request.method).unwrap_or_else(Output::failure))
    }
}

/// The body, when it is not larger than `limit` once decompressed.
async fn read(response: reqwest::Response, limit: Limit) -> Result<bytes::Bytes> {
    if response.content_length().is_some_and(|length| length > limit.bytes as u64) {
        return Err(limit.exceeded("the upstream's answer"));
    }
    let mut body = bytes::BytesMut::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| {
            Error::new(ErrorKind::Unreachable, "the upstream's answer broke off").because(error.without_url())
        })?;
        if body.len() + chunk.len() > limit.bytes {
            return Err(limit.exceeded("the upstream's answer"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
