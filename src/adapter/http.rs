//! The `http` adapter: a tool's arguments become one request, its answer a result.

use std::collections::HashMap;

use async_trait::async_trait;
use reqwest::header::HeaderMap;
use url::Url;

pub(super) mod answer;
mod reduce;
mod request;

pub(super) use request::method;

use super::{Adapter, Secrets, below, connect_timeout, plain_headers, web_address};
use crate::call::{CallContext, Invocation, Outcome};
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
    probe: Option<Url>,
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
        let base = web_address("baseUrl", &settings.base_url, environment)?;
        let headers = plain_headers(&settings.headers, environment)?;
        let tools = checked.connector.tools.iter();
        let probe = settings.probe.as_ref().map(|path| below(&base, path));
        Ok(Self {
            base,
            probe,
            headers,
            hop: upstream.hop(settings.allow_private, connect_timeout(checked)).map_err(|error| error.to_string())?,
            response: settings.response.clone(),
            max_bytes: settings.max_response_bytes,
            requests: tools.filter_map(|tool| Some((tool.name.clone(), tool.request.clone()?))).collect(),
        })
    }
}

#[async_trait]
impl Adapter for HttpAdapter {
    async fn call(&self, invocation: &Invocation, cx: &CallContext) -> Result<Outcome> {
        let request = self.requests.get(&invocation.entry.tool);
        let request = request.ok_or_else(|| Error::new(ErrorKind::Internal, "the tool has no request"))?;
        let credential = &invocation.credential;
        let arguments = &invocation.arguments;

        let mut url = request::url(&self.base, request, arguments)?;
        let mut headers = self.headers.clone();
        headers.extend(request::headers(request, arguments)?);
        invocation.name_in(&mut headers);
        credential.apply(&mut url, &mut headers)?;
        let builder = self.hop.request(request::method(request.method), url).headers(headers);
        let builder = request::body(builder, request.body.as_ref(), invocation)?;
        let built = builder.build().map_err(|error| {
            Error::new(ErrorKind::InvalidArguments, "the arguments make no valid request").because(error.without_url())
        })?;

        let response = self.hop.send(built).await?;
        let head = answer::Head::of(&response);
        let rules = answer::Rules {
            response: request.response.as_ref().unwrap_or(&self.response),
            secrets: Secrets::of(credential.secrets()),
            wrapped: false,
        };
        let body = head.body(response, rules.limit(self.max_bytes, cx.max_result), invocation).await?;
        Ok(answer::output(&head, body, &rules, request.method, invocation).into())
    }

    /// Asks with the credentials of nobody; what the API says to strangers shows that it is there.
    async fn probe(&self) -> Result<()> {
        probe(&self.hop, &self.base, self.probe.as_ref(), &self.headers).await
    }

    fn endpoint(&self) -> Option<String> {
        self.base.host_str().map(str::to_owned)
    }
}

/// Asks an API whether it is there: at the address that says so, or else at its base, where any answer will do.
pub(super) async fn probe(hop: &Hop, base: &Url, probe: Option<&Url>, headers: &HeaderMap) -> Result<()> {
    let (method, url) = match probe {
        Some(probe) => (reqwest::Method::GET, probe),
        None => (reqwest::Method::HEAD, base),
    };
    let request = hop.request(method, url.clone()).headers(headers.clone()).build();
    let request = request.map_err(|error| {
        Error::new(ErrorKind::Internal, "the check makes no valid request").because(error.without_url())
    })?;
    let status = hop.send(request).await?.status();
    let broken = status.is_server_error() && status != reqwest::StatusCode::NOT_IMPLEMENTED;
    if broken || (probe.is_some() && !status.is_success()) {
        return Err(Error::new(ErrorKind::Upstream, format!("it answers {status}")));
    }
    Ok(())
}
