//! Checks of names by which one part of a connector means another: tools, arguments, files.

use serde_json::{Map, Value};

use super::{Checker, properties};
use crate::manifest::feeds::{Feeds, Field};
use crate::manifest::file::FileArgument;
use crate::manifest::http::Method;
use crate::manifest::model::{AdapterSettings, Connector, Tool};
use crate::manifest::operation::{ItemsOperation, Operation};
use crate::manifest::template::{Part, escape};
use crate::name::did_you_mean;

/// Gives a tool's files the schema clients write them in.
pub(super) fn complete(tool: &mut Tool) {
    let Tool { files, input_schema, .. } = tool;
    if let Some(Value::Object(properties)) = input_schema.get_mut("properties") {
        for name in files.keys() {
            properties.entry(name).or_insert_with(FileArgument::schema);
        }
    }
}

impl Checker<'_> {
    /// What the sample call and the tools `search` and `fetch` use.
    pub(super) fn links(&mut self, connector: &Connector) {
        if matches!(connector.adapter, AdapterSettings::Gateway(_)) {
            // It would call itself.
            let given = [("/sample", connector.sample.is_some()), ("/feeds", connector.feeds.is_some())];
            for (at, _) in given.into_iter().filter(|(_, given)| *given) {
                self.error(at, "is for the connectors behind the gateway");
            }
        }
        if let Some(sample) = &connector.sample {
            self.names_tool("/sample/tool", connector, &sample.tool, &sample.arguments);
        }
        if let Some(Feeds { search, fetch }) = &connector.feeds {
            let mut arguments = search.arguments.clone();
            arguments.insert(search.query.clone(), Value::Null);
            self.names_tool("/feeds/search/tool", connector, &search.tool, &arguments);
            let mut arguments = fetch.arguments.clone();
            let literal = fetch.id.literal().map(str::to_owned);
            let named = fetch.id.arguments().map(|(name, _)| name.to_owned()).chain(literal);
            arguments.extend(named.map(|name| (name, Value::Null)));
            self.names_tool("/feeds/fetch/tool", connector, &fetch.tool, &arguments);
            if let Some(fault) = fetch.id.fault() {
                self.error("/feeds/fetch/id", fault);
            }
            if fetch.id.parts().array_windows().any(|pair| matches!(pair, [Part::Argument(..), Part::Argument(..)])) {
                self.error(
                    "/feeds/fetch/id",
                    "text has to stand between two arguments, or nobody knows where one ends",
                );
            }
            if search.url.is_none() {
                self.warn("/feeds/search", "ChatGPT shows no source for results without a `url`");
            }
            let fields = [
                ("/feeds/search/id", Some(&search.id)),
                ("/feeds/search/title", search.title.as_ref()),
                ("/feeds/search/url", search.url.as_ref()),
                ("/feeds/fetch/title", fetch.title.as_ref()),
                ("/feeds/fetch/text", fetch.text.as_ref()),
                ("/feeds/fetch/url", fetch.url.as_ref()),
            ];
            for (at, field) in fields {
                self.field(at, field);
            }
            for (name, field) in &fetch.metadata {
                self.field(&format!("/feeds/fetch/metadata/{}", escape(name)), Some(field));
            }
        }
        for name in connector.pages.keys() {
            if !connector.widgets().any(|widget| widget.page.as_ref() == Some(name)) {
                self.warn(&format!("/pages/{}", escape(name)), "no widget of this connector shows this page");
            }
        }
    }

    fn field(&mut self, at: &str, field: Option<&Field>) {
        if let Some(Field::Made(template)) = field
            && let Some(fault) = template.fault()
        {
            self.error(at, fault);
        }
    }

    /// A tool of the connector, and arguments it declares. An MCP server or a document says itself what there is.
    fn names_tool(&mut self, at: &str, connector: &Connector, tool: &str, arguments: &Map<String, Value>) {
        if matches!(connector.adapter, AdapterSettings::Mcp(_) | AdapterSettings::OpenApi(_)) {
            return;
        }
        let Some(found) = connector.tools.iter().find(|it| it.name == tool) else {
            let suggestion = did_you_mean(tool, connector.tools.iter().map(|it| it.name.as_str()));
            return self.error(at, format!("`{tool}` is no tool of this connector{suggestion}"));
        };
        let reads = |tool: &Tool| {
            let method = tool.request.as_ref().map(|request| request.method);
            let list = Some(Operation::Items(ItemsOperation::List));
            let by_nature = matches!(method, Some(Method::Get | Method::Head)) || tool.operation == list;
            tool.annotations.read_only.unwrap_or(by_nature)
        };
        if !reads(found) {
            self.error(at, format!("`{tool}` is called without asking anybody, so it has to say `\"readOnly\": true`"));
        }
        let declared = properties(&found.input_schema);
        for name in arguments.keys().filter(|name| !declared.is_empty() && !declared.contains_key(*name)) {
            let suggestion = did_you_mean(name, declared.keys().map(String::as_str));
            self.error(at, format!("`{name}` is no argument of `{tool}`{suggestion}"));
        }
    }

    /// One of the tool's files.
    pub(super) fn file(&mut self, at: &str, tool: &Tool, name: &str) {
        if !tool.files.contains_key(name) {
            let suggestion = did_you_mean(name, tool.files.keys().map(String::as_str));
            self.error(at, format!("`{name}` is none of this tool's `files`{suggestion}"));
        }
    }

    /// Files have the form clients write them in, and only adapters that can use them have any.
    pub(super) fn files(&mut self, at: &str, tool: &Tool, adapter: &AdapterSettings) {
        if !tool.files.is_empty() && !matches!(adapter, AdapterSettings::Http(_) | AdapterSettings::Command(_)) {
            self.error(&format!("{at}/files"), "goes with the adapters `http` and `command` only");
        }
        for name in tool.files.keys() {
            let property = properties(&tool.input_schema).get(name);
            let has = |member: &str| property.and_then(|it| it.pointer(&format!("/properties/{member}"))).is_some();
            if !["download_url", "file_id", "mime_type", "file_name"].into_iter().all(has) {
                let message = "a file's schema declares `download_url`, `file_id`, `mime_type` and `file_name`; leave it out to get it so";
                self.error(&format!("{at}/inputSchema/properties/{}", escape(name)), message);
            }
        }
    }
}
