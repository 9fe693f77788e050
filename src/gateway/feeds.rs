//! The tools `search` and `fetch`: one question to every connector that feeds them.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde_json::{Map, Value, json};
use url::Url;

use super::desk::said;
use super::{Connector, Gateway};
use crate::call::{CallContext, Outcome, Output};
use crate::caller::{Caller, Verdict};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Arguments, Feeds, Field};
use crate::name::{cut, shown};

/// How long a connector may search before the others' results go out without its own.
const PATIENCE: Duration = Duration::from_secs(15);
/// Results of one connector.
const MOST: usize = 20;
/// The longest text of one thing, in characters: what the tightest client takes.
const LONGEST_TEXT: usize = 100_000;
/// The longest id or address, in bytes; nobody can use a longer one.
const LONGEST_ID: usize = 2000;
/// The longest title, in characters.
const LONGEST_TITLE: usize = 300;

/// A connector that can be searched.
struct Feeder {
    connector: Arc<Connector>,
    feeds: Feeds,
}

impl Gateway {
    /// Searches all feeders at once. What one of them finds does not wait for another's failure.
    pub(super) async fn search(&self, query: &str, cx: &CallContext) -> Output {
        let feeders = self.feeders(&cx.caller);
        // There has to be time left to tell who did not answer.
        let left = cx.deadline.saturating_duration_since(Instant::now());
        let patience = PATIENCE.min(left.mul_f64(0.8));
        let searched = join_all(feeders.iter().map(|feeder| async {
            let found = tokio::time::timeout(patience, self.search_one(feeder, query, cx)).await;
            let late =
                |_| Err(Error::new(ErrorKind::Timeout, format!("no answer within {:.1} s", patience.as_secs_f64())));
            (&feeder.connector.checked.connector.id, found.unwrap_or_else(late))
        }));
        let (mut found, mut failures) = (Vec::new(), Vec::new());
        for (id, result) in searched.await {
            match result {
                Ok(results) => found.push(VecDeque::from(results)),
                Err(error) => failures.push(json!({ "connector": id, "reason": error.message() })),
            }
        }
        let failed = found.is_empty() && !failures.is_empty();
        // Each connector's best first, in turns.
        let mut results = Vec::new();
        while found.iter().any(|rest| !rest.is_empty()) {
            results.extend(found.iter_mut().filter_map(VecDeque::pop_front));
        }
        let mut answer = json!({ "results": results });
        if let Value::Object(answer) = &mut answer
            && !failures.is_empty()
        {
            answer.insert("failures".into(), json!(failures));
        }
        Output { is_error: failed, ..Output::json(answer) }
    }

    async fn search_one(&self, feeder: &Feeder, query: &str, cx: &CallContext) -> Result<Vec<Value>> {
        let Feeder { connector, feeds } = feeder;
        let mut arguments = feeds.search.arguments.clone();
        arguments.insert(feeds.search.query.clone(), json!(query));
        let result = self.ask(connector, &feeds.search.tool, arguments, cx).await?;
        let items = result.pointer(&feeds.search.results).and_then(Value::as_array).ok_or_else(|| {
            Error::new(ErrorKind::Upstream, "its answer holds no list where the manifest says (`feeds.search.results`)")
        })?;
        let read = |item: &Value, field: Option<&Field>| field.and_then(|field| field.read(item));
        let result = |item: &Value| {
            let id = feeds.search.id.read(item).filter(|id| id.len() <= LONGEST_ID)?;
            let title = read(item, feeds.search.title.as_ref()).unwrap_or_else(|| id.clone());
            Some(json!({
                "id": format!("{}:{id}", connector.checked.connector.id),
                "title": cut(&title, LONGEST_TITLE),
                "url": read(item, feeds.search.url.as_ref()).and_then(|url| web(&url)).unwrap_or_default(),
            }))
        };
        Ok(items.iter().filter_map(result).take(MOST).collect())
    }

    /// Fetches one thing by the id a search gave.
    pub(super) async fn fetch(&self, id: &str, cx: &CallContext) -> Result<Output> {
        let unknown = || {
            let message = format!("`{}` is no id that `search` gave", shown(id));
            Error::new(ErrorKind::InvalidArguments, message)
        };
        let (connector, own) = id.split_once(':').ok_or_else(unknown)?;
        let feeders = self.feeders(&cx.caller);
        let feeder = feeders.iter().find(|feeder| feeder.connector.checked.connector.id.as_str() == connector);
        let Feeder { connector, feeds } = feeder.ok_or_else(unknown)?;
        let live = self.live();
        let entry = live.catalog.entry_of(&connector.checked.connector.id, &feeds.fetch.tool);
        let schema = entry.and_then(|entry| entry.descriptor.get("inputSchema")).unwrap_or(&Value::Null);
        let arguments = feeds.fetch.arguments_for(own, schema).ok_or_else(unknown)?;
        let result = self.ask(connector, &feeds.fetch.tool, arguments, cx).await?;
        let read = |field: Option<&Field>| field.and_then(|field| field.read(&result));
        let whole = || match result.as_str() {
            Some(text) => text.to_owned(),
            None => result.to_string(),
        };
        let text = read(feeds.fetch.text.as_ref()).unwrap_or_else(whole);
        let metadata: Map<String, Value> = feeds
            .fetch
            .metadata
            .iter()
            .filter_map(|(name, field)| Some((name.clone(), json!(cut(&field.read(&result)?, LONGEST_TITLE)))))
            .collect();
        Ok(Output::json(json!({
            "id": id,
            "title": cut(&read(feeds.fetch.title.as_ref()).unwrap_or_else(|| own.to_owned()), LONGEST_TITLE),
            "text": cut(&text, LONGEST_TEXT),
            "url": read(feeds.fetch.url.as_ref().or(feeds.search.url.as_ref())).and_then(|url| web(&url)).unwrap_or_default(),
            "metadata": metadata,
        })))
    }

    /// The connectors that this caller may search and fetch from.
    fn feeders(&self, caller: &Caller) -> Vec<Feeder> {
        let live = self.live();
        let feeder = |connector: &Arc<Connector>| {
            let manifest = &connector.checked.connector;
            let feeds = manifest.feeds.clone().filter(|_| connector.feeds_now())?;
            let may = |tool: &str| {
                let entry = live.catalog.entry_of(&manifest.id, tool);
                let access = entry.map_or_else(|| live.access_to(connector), |entry| entry.access.clone());
                caller.may(&access) == Verdict::Yes
            };
            if !may(&feeds.search.tool) || !may(&feeds.fetch.tool) {
                return None;
            }
            Some(Feeder { connector: Arc::clone(connector), feeds })
        };
        live.connectors.values().filter_map(feeder).collect()
    }

    /// Calls a connector's tool on the road of every call, and gives what it answered as a value: its structured
    /// content, else its text, read as JSON when it is that.
    async fn ask(&self, connector: &Connector, tool: &str, arguments: Arguments, cx: &CallContext) -> Result<Value> {
        let call = (arguments, cx.downstream.quiet());
        let outcome = Box::pin(self.call_within(connector, tool, call, cx)).await?;
        if outcome.is_error() {
            return Err(Error::new(ErrorKind::Upstream, cut(&said(&outcome), LONGEST_TITLE)));
        }
        let structured = match &outcome {
            Outcome::Made(output) => output.structured.clone(),
            Outcome::Sent(sent) => {
                let result: Value = serde_json::from_slice(&sent.json).unwrap_or_default();
                result.get("structuredContent").cloned()
            }
        };
        let structured = structured.unwrap_or_else(|| {
            let text = said(&outcome);
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        });
        // What is no object was wrapped on its way, which whoever wrote the manifest has not seen.
        Ok(match structured.get("result") {
            Some(wrapped) if structured.as_object().is_some_and(|it| it.len() == 1) && !wrapped.is_object() => {
                wrapped.clone()
            }
            Some(_) | None => structured,
        })
    }
}

/// An address a person may be sent to.
fn web(url: &str) -> Option<String> {
    let parsed = Url::parse(url).ok().filter(|_| url.len() <= LONGEST_ID)?;
    matches!(parsed.scheme(), "http" | "https").then(|| url.to_owned())
}
