//! The `gateway` adapter: tools about the connectors themselves.

use std::{
    sync::{Arc, Weak},
    time::Instant,
};

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::overview::Reader;
use super::{Connector, Gateway};
use crate::adapter::Adapter;
use crate::call::{CallContext, Content, Invocation, Outcome, Output};
use crate::caller::Caller;
use crate::catalog::Names;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Arguments, Checked, GatewayOperation, Operation, Sample};
use crate::name::{cut, shown};
use crate::widget::sha256_hex;

/// What of a sample's result is shown, in characters.
const SHOWN: usize = 4000;

/// Speaks for the gateway.
#[derive(Debug)]
pub(super) struct Desk {
    gateway: Weak<Gateway>,
    names: Names,
    /// What each tool does, by its own name, in the manifest's order.
    operations: Vec<(String, GatewayOperation)>,
}

impl Desk {
    pub(super) fn new(checked: &Checked, gateway: Weak<Gateway>) -> Self {
        let connector = &checked.connector;
        let operations = connector.tools.iter().filter_map(|tool| match tool.operation? {
            Operation::Gateway(operation) => Some((tool.name.clone(), operation)),
            Operation::Items(_) => None,
        });
        Self { gateway, names: Names::of(connector), operations: operations.collect() }
    }

    /// The connectors as the dashboard shows them, and by which tools it goes on from there.
    fn connectors(&self, gateway: &Gateway, caller: &Caller) -> Output {
        let reader = if *caller == Caller::Local { Reader::Operator } else { Reader::Caller(caller) };
        let mut output = Output::json(gateway.live().overview(reader));
        let mut tools = Map::new();
        for (tool, operation) in &self.operations {
            let word = json!(operation).as_str().unwrap_or_default().to_owned();
            tools.entry(word).or_insert_with(|| json!(self.names.public_name(tool)));
        }
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
        let output = match self
            .operations
            .iter()
            .find(|(tool, _)| *tool == invocation.entry.tool)
            .map(|(_, operation)| operation)
        {
            Some(GatewayOperation::Sample) => sample(&gateway, arguments, cx).await?,
            Some(GatewayOperation::Search) => gateway.search(text(arguments, "query")?, cx).await,
            Some(GatewayOperation::Fetch) => gateway.fetch(text(arguments, "id")?, cx).await?,
            Some(GatewayOperation::Connectors) => self.connectors(&gateway, &cx.caller),
            Some(GatewayOperation::Profile) => profile(&cx.caller)?,
            Some(
                operation @ (GatewayOperation::ConnectorAdd
                | GatewayOperation::ConnectorStatus
                | GatewayOperation::ConnectorRemove
                | GatewayOperation::ConnectorList),
            ) => gateway.register(*operation, arguments, &cx.caller).await?,
            None => return Err(Error::new(ErrorKind::Internal, "the tool has no operation")),
        };
        Ok(output.into())
    }
}

/// Who signed in, by an id that says nothing to anybody else.
fn profile(caller: &Caller) -> Result<Output> {
    let principal = match caller {
        Caller::Known(principal) => principal,
        Caller::Local => return Ok(Output::json(json!({ "id": "local", "name": "The person at this machine" }))),
        Caller::Anonymous { .. } => {
            return Err(Error::new(ErrorKind::Forbidden, "nobody signed in"));
        }
    };
    let mut profile = Map::from_iter([("id".to_owned(), json!(sha256_hex(&principal.id())))]);
    profile.extend(principal.name.iter().map(|name| ("name".to_owned(), json!(name))));
    profile.extend(principal.email.iter().map(|email| ("email".to_owned(), json!(email))));
    Ok(Output::json(Value::Object(profile)))
}

/// Makes a connector's sample call, on the road of every call.
async fn sample(gateway: &Gateway, arguments: &Arguments, cx: &CallContext) -> Result<Output> {
    let id = text(arguments, "connector")?;
    let live = gateway.live();
    let sees = |connector: &&Arc<Connector>| live.shows(connector, &cx.caller);
    let mut connectors = live.connectors.values().filter(sees);
    let connector = connectors.find(|connector| connector.checked.connector.id.as_str() == id);
    let sees = |sample: &&Sample| {
        let own = connector.and_then(|it| live.catalog.entry_of(&it.checked.connector.id, &sample.tool));
        own.is_none_or(|entry| cx.caller.sees(&entry.access))
    };
    let call =
        connector.and_then(|connector| Some((connector, connector.checked.connector.sample.as_ref().filter(sees)?)));
    let Some((connector, Sample { tool, arguments, .. })) = call else {
        let message = format!("`{}` has no sample call", shown(id));
        return Err(Error::new(ErrorKind::InvalidArguments, message));
    };
    let downstream = cx.downstream.quiet();
    let request = downstream.request.to_string();
    let started = Instant::now();
    let outcome = gateway.call_within(connector, tool, (arguments.clone(), downstream), cx).await;
    let ms = started.elapsed().as_secs_f64() * 1000.0;
    let (ok, output) = match &outcome {
        Ok(outcome) => (!outcome.is_error(), said(outcome)),
        Err(error) => (false, error.to_string()),
    };
    Ok(Output::json(json!({
        "connector": id,
        "tool": connector.names().public_name(tool),
        "requestId": request,
        "ms": (ms * 10.0).round() / 10.0,
        "ok": ok,
        "output": cut(&output, SHOWN),
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
