//! The `gateway` adapter: tools about the connectors themselves.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Instant,
};

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::overview::Reader;
use super::{Connector, Gateway};
use crate::adapter::Adapter;
use crate::call::{CallContext, Caller, Content, Invocation, Outcome, Output, ToolCall};
use crate::catalog::Names;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Arguments, Checked, Operation};
use crate::params::Params;

/// What of a sample's result is shown, in characters.
const SHOWN: usize = 4000;

/// Speaks for the gateway.
#[derive(Debug)]
pub(super) struct Desk {
    gateway: Weak<Gateway>,
    names: Names,
    operations: HashMap<String, Operation>,
}

impl Desk {
    pub(super) fn new(checked: &Checked, gateway: Weak<Gateway>) -> Self {
        let connector = &checked.connector;
        let operations = connector.tools.iter().filter_map(|tool| Some((tool.name.clone(), tool.operation?)));
        let names = Names { connector: connector.id.clone(), prefix: connector.prefix };
        Self { gateway, names, operations: operations.collect() }
    }

    /// The connectors as the dashboard shows them, and by which tools it goes on from there.
    fn connectors(&self, gateway: &Gateway, caller: Caller) -> Output {
        let reader = if caller == Caller::Local { Reader::Operator } else { Reader::Anybody };
        let mut output = Output::json(gateway.live().overview(reader));
        let tools = self.operations.iter().filter(|(_, it)| matches!(it, Operation::Connectors | Operation::Sample));
        let word = |operation: &Operation| json!(operation).as_str().unwrap_or_default().to_owned();
        let tools: Map<String, Value> =
            tools.map(|(tool, operation)| (word(operation), json!(self.names.public_name(tool)))).collect();
        output.meta.insert("switchboard/tools".into(), Value::Object(tools));
        output
    }
}

#[async_trait]
impl Adapter for Desk {
    async fn call(&self, invocation: &Invocation, cx: &CallContext) -> Result<Outcome> {
        let gone = || Error::new(ErrorKind::Internal, "the gateway is gone");
        let gateway = self.gateway.upgrade().ok_or_else(gone)?;
        let arguments = &invocation.arguments;
        let output = match self.operations.get(&invocation.entry.tool) {
            Some(Operation::Sample) => sample(&gateway, arguments, cx).await?,
            Some(Operation::Search) => gateway.search(text(arguments, "query")?, cx).await,
            Some(Operation::Fetch) => gateway.fetch(text(arguments, "id")?, cx).await?,
            _ => self.connectors(&gateway, cx.caller),
        };
        Ok(output.into())
    }
}

/// Makes a connector's sample call, on the road of every call.
async fn sample(gateway: &Gateway, arguments: &Arguments, cx: &CallContext) -> Result<Output> {
    let id = text(arguments, "connector")?;
    let live = gateway.live();
    let connector = live.connectors.values().find(|connector| connector.checked.connector.id.as_str() == id);
    let call = connector.and_then(|connector: &Arc<Connector>| live.sample(connector));
    let Some(call) = call else {
        let message = format!("`{}` has no sample call, or cannot be called now", crate::name::shown(id));
        return Err(Error::new(ErrorKind::InvalidArguments, message));
    };
    let of = |key: &str| call.get(key).cloned().unwrap_or_default();
    let tool = of("tool").as_str().unwrap_or_default().to_owned();
    let downstream = cx.downstream.quiet();
    let request = downstream.request.to_string();
    let started = Instant::now();
    let mut params = Params::of("name", &tool);
    params.set("arguments", &of("arguments"));
    let outcome = gateway.call(cx.caller, ToolCall { name: tool.clone(), params }, downstream).await;
    let ms = started.elapsed().as_secs_f64() * 1000.0;
    let (ok, shown) = match &outcome {
        Ok(outcome) => (!outcome.is_error(), said(outcome)),
        Err(error) => (false, error.to_string()),
    };
    let shown = match shown.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", shown.get(..end).unwrap_or_default()),
        None => shown,
    };
    Ok(Output::json(json!({
        "connector": id,
        "tool": tool,
        "requestId": request,
        "ms": (ms * 10.0).round() / 10.0,
        "ok": ok,
        "output": shown,
    })))
}

/// A result's text.
pub(super) fn said(outcome: &Outcome) -> String {
    let texts: Vec<String> = match outcome {
        Outcome::Made(output) => output.content.iter().filter_map(text_of).collect(),
        Outcome::Sent(sent) => {
            let result: Value = serde_json::from_slice(&sent.json).unwrap_or_default();
            let content = result.get("content").and_then(Value::as_array);
            let texts = content.into_iter().flatten().filter_map(|block| block.get("text")?.as_str());
            texts.map(str::to_owned).collect()
        }
    };
    if texts.is_empty() { "(no text)".into() } else { texts.join("\n") }
}

fn text_of(content: &Content) -> Option<String> {
    if let Content::Text(text) = content { Some(text.clone()) } else { None }
}

fn text<'a>(arguments: &'a Arguments, name: &str) -> Result<&'a str> {
    let text = arguments.get(name).and_then(Value::as_str);
    text.ok_or_else(|| Error::new(ErrorKind::InvalidArguments, format!("`{name}` has to be a text")))
}
