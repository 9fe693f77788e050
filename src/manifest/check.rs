//! What the schema cannot say: checks between the parts of a connector.

use std::collections::HashSet;

use ::http::HeaderName;
use jsonschema::{Draft, Validator};
use serde_json::{Map, Value};

mod again;
mod collection;
mod credentials;
mod http;
mod links;
mod openapi;
mod relations;

pub use collection::compile_items;

use super::Validators;
use super::command::{CommandSettings, OutputFormat, Run};
use super::document::{Document, explain};
use super::limits::Quotas;
use super::mcp::McpSettings;
use super::model::{AdapterSettings, Auth, Connector, Tool};
use super::template::{Expansion, Template, escape};
use crate::error::{Problem, Severity};
use crate::name::did_you_mean;
use crate::secret::{Environment, Missing, Reference, Text};

/// Headers a manifest may not set: they frame the message or say where it goes.
const RESERVED_HEADERS: &[&str] =
    &["host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect", "keep-alive"];

/// Collects the problems of one connector at `root` in its document.
pub(super) struct Checker<'a> {
    document: &'a Document,
    root: &'a str,
    problems: Vec<Problem>,
}

/// Checks a connector whose shape is right and completes its input schemas. Gives its tools'
/// schemas compiled, in order, and every problem found.
pub(super) fn check(document: &Document, root: &str, connector: &mut Connector) -> (Vec<Validators>, Vec<Problem>) {
    let mut checker = Checker { document, root, problems: Vec::new() };
    checker.connector(connector);
    let mut validators = Vec::new();
    let mut names = HashSet::new();
    for (index, tool) in connector.tools.iter_mut().enumerate() {
        let at = format!("/tools/{index}");
        if !names.insert(tool.name.clone()) {
            checker.error(&format!("{at}/name"), format!("a second tool named `{}`", tool.name));
        }
        if let AdapterSettings::Collection(settings) = &connector.adapter {
            collection::complete(settings, tool);
        }
        // What an MCP server takes, it says itself.
        if !matches!(connector.adapter, AdapterSettings::Mcp(_)) {
            complete(&mut tool.input_schema);
            links::complete(tool);
        }
        let input = checker.input_schema(&at, &tool.input_schema);
        let output =
            tool.output_schema.as_ref().and_then(|schema| checker.schema(&format!("{at}/outputSchema"), schema));
        validators.extend(input.map(|input| Validators::ready(input, output)));
        checker.tool(&at, tool, &connector.adapter);
    }
    checker.links(connector);
    checker.relations(connector);
    (validators, checker.problems)
}

/// Says what the adapters do: arguments nobody declared go nowhere, so they are refused.
fn complete(schema: &mut Map<String, Value>) {
    schema.entry("properties").or_insert_with(|| Value::Object(Map::new()));
    if !schema.contains_key("patternProperties") {
        schema.entry("additionalProperties").or_insert(Value::Bool(false));
    }
}

/// Compiles a JSON Schema 2020-12; references are never fetched.
pub(super) fn compile(schema: &Value) -> Result<Validator, String> {
    jsonschema::options().with_draft(Draft::Draft202012).offline().build(schema).map_err(|error| {
        let at = error.instance_path().as_str();
        let (_, message) = explain(&error, &Value::Null).swap_remove(0);
        if at.is_empty() { message } else { format!("{message} (at {at})") }
    })
}

/// Headers that clients send anyway, so that none of them can hold a key.
const TAKEN: &[&str] = &[
    "accept",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
    "origin",
    "referer",
    "user-agent",
];

impl Checker<'_> {
    /// Where callers show their keys.
    fn proof(&mut self, auth: &Auth) {
        if let Some(name) = &auth.header_name {
            let at = "/auth/headerName";
            if HeaderName::try_from(name).is_err() {
                self.error(at, format!("`{name}` is no name of a header"));
            } else if TAKEN.contains(&name.to_ascii_lowercase().as_str()) {
                self.error(
                    at,
                    format!("clients send `{name}` for another purpose; name a header for keys, such as `X-API-Key`"),
                );
            }
        }
        if auth.query_param.is_some() {
            self.warn("/auth/queryParam", "callers show keys in headers only: addresses end up in logs");
        }
    }

    fn error(&mut self, below: &str, message: impl Into<String>) {
        self.problems.push(self.document.error(&format!("{}{below}", self.root), message));
    }

    fn warn(&mut self, below: &str, message: impl Into<String>) {
        let pointer = format!("{}{below}", self.root);
        self.problems.push(self.document.problem(Severity::Warning, &pointer, message));
    }

    fn connector(&mut self, connector: &Connector) {
        let Quotas { per_minute, per_hour, per_day, .. } = connector.quotas;
        if per_minute.or(per_hour).or(per_day).is_some() {
            self.warn("/quotas", "only `concurrent` is enforced by this version");
        }
        self.credentials(connector);
        self.proof(&connector.auth);
        self.retries("/retries", &connector.retries, &connector.adapter);
        self.kept_of_nobody(connector);
        match &connector.adapter {
            AdapterSettings::Http(settings) => {
                self.text("/adapter/baseUrl", &settings.base_url);
                for (name, value) in &settings.headers {
                    self.header(&format!("/adapter/headers/{}", escape(name)), name);
                    self.text(&format!("/adapter/headers/{}", escape(name)), value);
                }
                self.response("/adapter/response", &settings.response);
            }
            AdapterSettings::Command(settings) => {
                self.text("/adapter/cwd", &settings.cwd);
                if let Some(program) = &settings.program {
                    self.text("/adapter/program", program);
                }
                for (name, value) in &settings.env {
                    self.text(&format!("/adapter/env/{}", escape(name)), value);
                }
            }
            AdapterSettings::Mcp(settings) => self.mcp(settings),
            AdapterSettings::Collection(settings) => self.collection(settings),
            AdapterSettings::OpenApi(settings) => self.openapi(settings),
            AdapterSettings::Gateway(_) => {}
        }
    }

    /// A program or an address, and only what belongs to it.
    fn mcp(&mut self, settings: &McpSettings) {
        let McpSettings { program, args, cwd, env, inherit_env, url, allow_private, headers, .. } = settings;
        if program.is_some() == url.is_some() {
            self.error("/adapter", "give either `program` or `url`");
        }
        let of_programs = [
            ("args", !args.is_empty()),
            ("cwd", cwd.is_some()),
            ("env", !env.is_empty()),
            ("inheritEnv", !inherit_env.is_empty()),
        ];
        let of_addresses = [("headers", !headers.is_empty()), ("allowPrivate", *allow_private)];
        let foreign = if url.is_some() { ("program", &of_programs[..]) } else { ("url", &of_addresses[..]) };
        for (name, _) in foreign.1.iter().filter(|(_, given)| *given) {
            self.error(&format!("/adapter/{name}"), format!("goes with `{}` only", foreign.0));
        }
        for (name, text) in [("program", program), ("url", url), ("cwd", cwd)] {
            if let Some(text) = text {
                self.text(&format!("/adapter/{name}"), text);
            }
        }
        for (index, text) in args.iter().enumerate() {
            self.text(&format!("/adapter/args/{index}"), text);
        }
        for (name, value) in env {
            self.text(&format!("/adapter/env/{}", escape(name)), value);
        }
        for (name, value) in headers {
            self.header(&format!("/adapter/headers/{}", escape(name)), name);
            self.text(&format!("/adapter/headers/{}", escape(name)), value);
        }
    }

    /// References are resolved later; here only their writing is looked at.
    fn text(&mut self, at: &str, text: &Text) {
        if let Err(Missing::Syntax(message)) = text.resolve(&Environment::default()) {
            self.error(at, message);
        }
    }

    fn reference(&mut self, at: &str, reference: &Reference) {
        match reference {
            Reference::Text(text) => self.text(at, text),
            Reference::File(_) => {}
            Reference::Vault(reference) => {
                if let Err(missing) = reference.place() {
                    self.error(at, missing.to_string());
                }
            }
        }
    }

    fn header(&mut self, at: &str, name: &str) {
        match HeaderName::try_from(name) {
            Ok(name) if RESERVED_HEADERS.contains(&name.as_str()) => {
                self.error(at, format!("the header `{name}` is not for a manifest to set"));
            }
            Ok(_) => {}
            Err(_) => self.error(at, format!("`{}` is no header name", name.escape_debug())),
        }
    }

    fn schema(&mut self, at: &str, schema: &Map<String, Value>) -> Option<Validator> {
        if schema.get("type").and_then(Value::as_str) != Some("object") {
            self.error(at, "its root must say `\"type\": \"object\"`");
        }
        let compiled = compile(&Value::Object(schema.clone()));
        compiled.map_err(|message| self.error(at, format!("not a usable JSON Schema: {message}"))).ok()
    }

    fn input_schema(&mut self, at: &str, schema: &Map<String, Value>) -> Option<Validator> {
        let at = format!("{at}/inputSchema");
        for keyword in ["oneOf", "anyOf", "allOf"] {
            if schema.contains_key(keyword) {
                self.warn(
                    &format!("{at}/{keyword}"),
                    format!("some clients refuse `{keyword}` at the root of a schema"),
                );
            }
        }
        for name in properties(schema).keys() {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
            if name.len() > 64 || name.is_empty() || !name.chars().all(fits) {
                let place = format!("{at}/properties/{}", escape(name));
                self.warn(&place, "some clients refuse property names outside `[A-Za-z0-9_.-]{1,64}`");
            }
        }
        let validator = self.schema(&at, schema)?;
        let defaults = properties(schema)
            .iter()
            .filter_map(|(name, property)| Some((name.clone(), property.get("default")?.clone())));
        let defaults = Value::Object(defaults.collect());
        for error in validator.iter_errors(&defaults) {
            for (place, message) in explain(&error, &Value::Null) {
                if let Some(name) = place.split('/').nth(1) {
                    self.error(
                        &format!("{at}/properties/{name}/default"),
                        format!("does not fit its own schema: {message}"),
                    );
                }
            }
        }
        Some(validator)
    }

    fn tool(&mut self, at: &str, tool: &Tool, adapter: &AdapterSettings) {
        if tool.annotations.read_only == Some(true) && tool.annotations.destructive == Some(true) {
            self.error(&format!("{at}/annotations/destructive"), "a tool that is read-only destroys nothing");
        }
        self.retries(&format!("{at}/retry"), &tool.retry, adapter);
        self.cache(at, tool, adapter);
        let faults = self.problems.len();
        self.files(at, tool, adapter);
        if let AdapterSettings::Collection(settings) = adapter {
            self.operation(at, tool, settings);
        }
        let mut used = match (adapter, &tool.request, &tool.run) {
            (AdapterSettings::Http(_), Some(request), _) => self.request(&format!("{at}/request"), tool, request),
            (AdapterSettings::Command(settings), _, Some(run)) => self.run(&format!("{at}/run"), tool, run, settings),
            _ => return,
        };
        if self.problems.len() > faults {
            // A faulty template may hide the use of an argument.
            return;
        }
        used.sort_unstable();
        for (name, property) in properties(&tool.input_schema) {
            // An argument of older times may be taken and ignored.
            let deprecated = property.get("deprecated") == Some(&Value::Bool(true));
            if used.binary_search(name).is_err() && !deprecated {
                let place = format!("{at}/inputSchema/properties/{}", escape(name));
                self.warn(&place, format!("the argument `{name}` is declared but never used"));
            }
        }
    }

    /// Checks templates and gives the arguments they use.
    fn templates<'t>(
        &mut self,
        tool: &Tool,
        templates: impl IntoIterator<Item = (String, &'t Template)>,
    ) -> Vec<String> {
        let mut used = Vec::new();
        for (at, template) in templates {
            if let Some(fault) = template.fault() {
                self.error(&at, fault);
            }
            for (name, expansion) in template.arguments() {
                if expansion == Expansion::Reserved && !at.ends_with("/request/path") {
                    self.error(&at, format!("`{{+{name}}}` is for paths only; write `{{{name}}}`"));
                }
                self.argument(&at, tool, name);
                used.push(name.to_owned());
            }
        }
        used
    }

    fn argument(&mut self, at: &str, tool: &Tool, name: &str) {
        let declared = properties(&tool.input_schema);
        if !declared.contains_key(name) {
            let suggestion = did_you_mean(name, declared.keys().map(String::as_str));
            self.error(at, format!("`{name}` is no argument of this tool{suggestion}"));
        }
    }

    fn run(&mut self, at: &str, tool: &Tool, run: &Run, settings: &CommandSettings) -> Vec<String> {
        match (&run.program, &settings.program) {
            (None, None) => self.error(at, "names no program, and neither does the adapter"),
            (Some(program), _) => self.text(&format!("{at}/program"), program),
            (None, Some(_)) => {}
        }
        if tool.output_schema.is_some() && run.output == OutputFormat::Text {
            self.error(&format!("{at}/output"), "has to be `json`, because the tool promises an `outputSchema`");
        }
        let mut templates = Vec::new();
        let mut used = Vec::new();
        for (index, arg) in run.args.iter().enumerate() {
            let (more, conditions) = arg.templates(&format!("{at}/args/{index}"));
            templates.extend(more);
            for (place, name) in conditions {
                self.argument(&place, tool, name);
                used.push(name.to_owned());
            }
        }
        templates.extend(run.stdin.iter().map(|stdin| (format!("{at}/stdin"), stdin)));
        for (index, name) in run.paths.iter().enumerate() {
            self.argument(&format!("{at}/paths/{index}"), tool, name);
        }
        used.extend(self.templates(tool, templates));
        if let Some(name) = &run.stdin_file {
            self.file(&format!("{at}/stdinFile"), tool, name);
            used.push(name.clone());
            if run.stdin.is_some() {
                self.error(&format!("{at}/stdinFile"), "give either `stdin` or `stdinFile`");
            }
        }
        used
    }
}

/// The properties a schema declares at its root.
fn properties(schema: &Map<String, Value>) -> &Map<String, Value> {
    static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    schema.get("properties").and_then(Value::as_object).unwrap_or(&NONE)
}
