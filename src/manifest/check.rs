//! What the schema cannot say: checks between the parts of a connector.

use std::{collections::HashSet, sync::Arc};

use ::http::HeaderName;
use jsonschema::{Draft, Validator};
use serde_json::{Map, Value};

use super::Validators;
use super::command::{CommandSettings, OutputFormat, Run};
use super::document::{Document, explain};
use super::http::{Body, Method, Request, Response};
use super::mcp::McpSettings;
use super::model::{AdapterSettings, Connector, Quotas, Tool};
use super::template::{Expansion, Part, Template, escape};
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
        // What an MCP server takes, it says itself.
        if !matches!(connector.adapter, AdapterSettings::Mcp(_)) {
            complete(&mut tool.input_schema);
        }
        let input = checker.input_schema(&at, &tool.input_schema);
        let output =
            tool.output_schema.as_ref().and_then(|schema| checker.schema(&format!("{at}/outputSchema"), schema));
        validators.extend(input.map(|input| Validators { input, output }));
        checker.tool(&at, tool, &connector.adapter);
    }
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

impl Checker<'_> {
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
        for (name, reference) in &connector.credentials.headers {
            self.header(&format!("/credentials/headers/{}", escape(name)), name);
            self.reference(&format!("/credentials/headers/{}", escape(name)), reference);
        }
        for (kind, references) in [("query", &connector.credentials.query), ("env", &connector.credentials.env)] {
            for (name, reference) in references {
                self.reference(&format!("/credentials/{kind}/{}", escape(name)), reference);
            }
        }
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
        if let Reference::Text(text) = reference {
            self.text(at, text);
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

    fn schema(&mut self, at: &str, schema: &Map<String, Value>) -> Option<Arc<Validator>> {
        if schema.get("type").and_then(Value::as_str) != Some("object") {
            self.error(at, "its root must say `\"type\": \"object\"`");
        }
        let compiled = compile(&Value::Object(schema.clone()));
        compiled.map_err(|message| self.error(at, format!("not a usable JSON Schema: {message}"))).ok().map(Arc::new)
    }

    fn input_schema(&mut self, at: &str, schema: &Map<String, Value>) -> Option<Arc<Validator>> {
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
        let faults = self.problems.len();
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

    fn request(&mut self, at: &str, tool: &Tool, request: &Request) -> Vec<String> {
        let mut templates = vec![(format!("{at}/path"), &request.path)];
        for (kind, map) in [("query", &request.query), ("headers", &request.headers)] {
            templates.extend(map.iter().map(|(name, template)| (format!("{at}/{kind}/{}", escape(name)), template)));
        }
        for name in request.headers.keys() {
            let place = format!("{at}/headers/{}", escape(name));
            self.header(&place, name);
            if request.body.is_some() && name.eq_ignore_ascii_case("content-type") {
                self.error(&place, "follows from the body; for `text` say it in `contentType`");
            }
        }
        let literal = |part: &Part| matches!(part, Part::Text(text) if text.contains(['?', '#']));
        if request.path.parts().iter().any(literal) {
            self.error(&format!("{at}/path"), "a path holds no `?` or `#`; parameters stand in `query`");
        }
        self.path_arguments(at, tool, request);
        if let Some(body) = &request.body {
            if matches!(request.method, Method::Get | Method::Head) {
                self.error(&format!("{at}/body"), "a GET or HEAD request has no body");
            }
            templates.extend(self.body(&format!("{at}/body"), body));
        }
        if let Some(response) = &request.response {
            self.response(&format!("{at}/response"), response);
        }
        self.templates(tool, templates)
    }

    /// A path cannot do without one of its arguments.
    fn path_arguments(&mut self, at: &str, tool: &Tool, request: &Request) {
        let required: Vec<&str> = tool
            .input_schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        for (name, expansion) in request.path.arguments() {
            let has_default = |property: &Value| property.get("default").is_some();
            let property = properties(&tool.input_schema).get(name);
            if property.is_some_and(|property| !has_default(property)) && !required.contains(&name) {
                self.error(
                    &format!("{at}/path"),
                    format!("`{name}` stands in the path, so it must be `required` or have a default"),
                );
            }
            if expansion == Expansion::Explode {
                self.error(&format!("{at}/path"), format!("`{{{name}*}}` cannot stand in a path; write `{{{name}}}`"));
            }
        }
    }

    fn body<'b>(&mut self, at: &str, body: &'b Body) -> Vec<(String, &'b Template)> {
        let forms = [body.json.is_some(), body.form.is_some(), body.text.is_some(), body.multipart.is_some()];
        if forms.iter().filter(|form| **form).count() != 1 {
            self.error(at, "give exactly one of `json`, `form`, `text` and `multipart`");
        }
        if body.content_type.is_some() && body.text.is_none() {
            self.error(&format!("{at}/contentType"), "goes with `text` only");
        }
        let mut templates = Vec::new();
        if let Some(json) = &body.json {
            templates.extend(json.templates(&format!("{at}/json")));
        }
        if let Some(text) = &body.text {
            templates.push((format!("{at}/text"), text));
        }
        let named = |kind: &str, name: &str| format!("{at}/{kind}/{}", escape(name));
        for (name, template) in body.form.iter().flatten() {
            templates.push((named("form", name), template));
        }
        if let Some(multipart) = &body.multipart {
            templates
                .extend(multipart.fields.iter().map(|(name, template)| (named("multipart/fields", name), template)));
            for (name, file) in &multipart.files {
                let file_at = named("multipart/files", name);
                templates.push((format!("{file_at}/data"), &file.data));
                templates.extend(file.filename.iter().map(|filename| (format!("{file_at}/filename"), filename)));
                templates.extend(file.content_type.iter().map(|kind| (format!("{file_at}/contentType"), kind)));
            }
        }
        templates
    }

    fn response(&mut self, at: &str, response: &Response) {
        let failures = response.failure.iter().enumerate();
        let failures = failures.map(|(index, mark)| (format!("{at}/failure/{index}/at"), &mark.at));
        let messages = response.message.iter().enumerate();
        let messages = messages.map(|(index, pointer)| (format!("{at}/message/{index}"), pointer));
        for (place, pointer) in failures.chain(messages) {
            if !pointer.is_empty() && !pointer.starts_with('/') {
                self.error(&place, format!("`{pointer}` is no JSON pointer; it begins with `/`"));
            }
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
        used
    }
}

/// The properties a schema declares at its root.
fn properties(schema: &Map<String, Value>) -> &Map<String, Value> {
    static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    schema.get("properties").and_then(Value::as_object).unwrap_or(&NONE)
}
