//! Checks of what makes calls again, or spares them: `retries`, `retry` and `cacheSeconds`.

use super::Checker;
use crate::manifest::credentials::Grant;
use crate::manifest::http::Method;
use crate::manifest::model::{AdapterSettings, Connector, Tool};
use crate::manifest::retries::Retries;
use crate::manifest::template::escape;

impl Checker<'_> {
    pub(super) fn retries(&mut self, at: &str, retries: &Retries, adapter: &AdapterSettings) {
        if *retries != Retries::default() && !matches!(adapter, AdapterSettings::Http(_) | AdapterSettings::OpenApi(_))
        {
            self.error(at, "goes with the adapters `http` and `openapi` only");
        }
        self.retry(at, retries);
    }

    /// What is said of calls where they can be made again.
    pub(super) fn retry(&mut self, at: &str, retries: &Retries) {
        if let Some(name) = &retries.idempotency_key {
            self.header(&format!("{at}/idempotencyKey"), name);
        }
    }

    /// What people connected they may disconnect, so nothing of it is kept.
    pub(super) fn kept_of_nobody(&mut self, connector: &Connector) {
        if connector.credentials.oauth.as_ref().is_none_or(|oauth| oauth.grant != Grant::Caller) {
            return;
        }
        let tools = connector.tools.iter().enumerate().filter(|(_, tool)| tool.cache_seconds.is_some());
        let mut places: Vec<String> = tools.map(|(index, _)| format!("/tools/{index}")).collect();
        if let AdapterSettings::OpenApi(settings) = &connector.adapter {
            let mended = settings.operations.iter().filter(|(_, mend)| mend.cache_seconds.is_some());
            places.extend(mended.map(|(id, _)| format!("/adapter/operations/{}", escape(id))));
        }
        for at in places {
            self.warn(&format!("{at}/cacheSeconds"), "of what each caller connects, no results are kept");
        }
    }

    /// What a tool's result may be kept for.
    pub(super) fn cache(&mut self, at: &str, tool: &Tool, adapter: &AdapterSettings) {
        if tool.cache_seconds.is_none() {
            return;
        }
        let at = format!("{at}/cacheSeconds");
        if !matches!(adapter, AdapterSettings::Http(_) | AdapterSettings::OpenApi(_) | AdapterSettings::Command(_)) {
            return self.error(&at, "goes with the adapters `http`, `openapi` and `command` only");
        }
        let method = tool.request.as_ref().map(|request| request.method);
        let reads = matches!(method, Some(Method::Get | Method::Head));
        if !tool.annotations.read_only.unwrap_or(reads) {
            self.error(&at, "goes with tools that change nothing: a GET or HEAD request, or `\"readOnly\": true`");
        }
        if !tool.files.is_empty() {
            self.error(&at, "a file is another one each time, so what comes of it cannot be kept");
        }
    }
}
