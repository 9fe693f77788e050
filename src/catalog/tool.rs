//! One tool: its descriptor, and the check of arguments against its input schema.

use std::{
    fmt::Write,
    sync::{Arc, OnceLock},
    time::Duration,
};

use indexmap::IndexMap;
use serde_json::{Map, Value, json, value::RawValue};

use super::mirror::{self, Mirrored};
use crate::caller::Access;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{
    Annotations, Arguments, Audience, AuditedArguments, Connector, FileArgument, GatewayOperation, ItemsOperation,
    Method, Operation, Relations, Retries, SecurityScheme, Tool, Validators, Widget, explain,
};
use crate::name::{ConnectorId, shown};
use crate::select::tokens;

/// Violations named in one answer; more would drown the model.
const MOST_VIOLATIONS: usize = 20;

/// A published tool.
#[derive(Debug)]
pub struct Entry {
    /// The name clients call it by.
    pub name: String,
    /// Its connector.
    pub connector: ConnectorId,
    /// Its connector's category, as addresses write it.
    pub category: Arc<str>,
    /// Its name within the connector.
    pub tool: String,
    /// Whether its manifest wants it listed whatever a client is shown.
    pub pinned: bool,
    /// What `tools/list` says of it.
    pub descriptor: Value,
    /// What it takes to call it.
    pub access: Access,
    /// How long a call may take, when its manifest says.
    pub timeout: Option<Duration>,
    /// When a call that failed is made again.
    pub retries: Retries,
    /// How long the same call is answered with the same result, when its manifest says.
    pub cache: Option<Duration>,
    /// Arguments that a header mirrors.
    pub mirrored: Vec<Mirrored>,
    /// About how many tokens a model pays to see it: four bytes each.
    pub tokens: usize,
    /// Words that its manifest gives it, to be found by.
    pub tags: Vec<String>,
    /// Arguments that are files.
    pub files: IndexMap<String, FileArgument>,
    /// The tokens of its descriptor, once somebody counted them.
    exact: OnceLock<usize>,
    /// The tools it belongs together with, when its manifest says.
    pub relations: Option<Box<Relations>>,
    /// What is recorded of its calls' arguments.
    pub audited: AuditedArguments,
    schema: Value,
    /// None, when another MCP server judges what it is called with.
    validators: Option<Validators>,
}

/// What manifests say of a tool, and what follows from that.
pub(super) struct Said<'a> {
    pub(super) connector: &'a Connector,
    pub(super) tool: &'a Tool,
    pub(super) looks: &'a Looks,
    pub(super) access: Access,
    /// How clients are told of `access`.
    pub(super) words: Vec<SecurityScheme>,
}

impl Entry {
    /// About how many tokens a model pays to see a tool of a manifest that anybody may call.
    pub fn tokens_of(name: &str, tool: &Tool) -> usize {
        descriptor(name, tool, &Looks::default(), &[SecurityScheme::NoAuth]).to_string().len().div_ceil(4)
    }

    pub(super) fn new(name: String, said: &Said<'_>, validators: Option<Validators>) -> Self {
        let schema = Value::Object(said.tool.input_schema.clone());
        let descriptor = descriptor(&name, said.tool, said.looks, &said.words);
        Self { schema, validators, ..Self::sent(name, said, descriptor) }
    }

    /// A tool of another MCP server.
    pub(super) fn sent(name: String, said: &Said<'_>, descriptor: Value) -> Self {
        let Said { connector, tool, .. } = said;
        let timeout = tool.timeout_ms.or(connector.timeouts.request_ms);
        let schema = descriptor.get("inputSchema").and_then(Value::as_object);
        Self {
            mirrored: schema.and_then(|schema| mirror::mirrored(schema).ok()).unwrap_or_default(),
            tokens: 0,
            exact: OnceLock::new(),
            tags: tool.tags.clone(),
            descriptor,
            name,
            connector: connector.id.clone(),
            category: Arc::default(),
            tool: tool.name.clone(),
            pinned: tool.pinned,
            access: said.access.clone(),
            files: tool.files.clone(),
            relations: (!tool.relations.is_empty()).then(|| Box::new(tool.relations.clone())),
            timeout: timeout.map(|ms| Duration::from_millis(ms.get())),
            retries: tool.retry.over(&connector.retries),
            cache: tool.cache_seconds.map(|seconds| Duration::from_secs(seconds.get())),
            audited: tool.audit.arguments,
            schema: Value::Null,
            validators: None,
        }
    }

    /// Checks what it is called with by its descriptor: its server has another one now.
    pub(super) fn hold(&mut self) {
        self.schema = self.descriptor.get("inputSchema").cloned().unwrap_or_default();
        self.validators = Some(Validators::default());
    }

    /// The arguments with the schema's defaults filled in, when they fit; else every violation,
    /// so that the model can mend them all at once.
    ///
    /// What another MCP server is called with stays unread, and nothing is given.
    pub fn check(&self, sent: Option<&RawValue>) -> Result<Arguments> {
        let Some(validators) = &self.validators else { return Ok(Arguments::new()) };
        let no_object = |error| {
            let message = format!("the arguments of `{}` are not an object", self.name);
            Error::new(ErrorKind::InvalidArguments, message).because(error)
        };
        let mut arguments: Arguments =
            sent.map_or(Ok(Arguments::new()), |sent| serde_json::from_str(sent.get()).map_err(no_object))?;
        let properties = self.schema.get("properties").and_then(Value::as_object);
        for (name, property) in properties.into_iter().flatten() {
            if let Some(default) = property.get("default") {
                arguments.entry(name).or_insert_with(|| default.clone());
            }
        }
        let arguments = Value::Object(arguments);
        let violations: Vec<(String, String)> = validators
            .input(&self.schema)
            .into_iter()
            .flat_map(|validator| validator.iter_errors(&arguments))
            .flat_map(|error| explain(&error, &self.schema))
            .take(MOST_VIOLATIONS + 1)
            .collect();
        match (violations.as_slice(), arguments) {
            ([], Value::Object(arguments)) => Ok(arguments),
            (violations, _) => Err(Error::new(ErrorKind::InvalidArguments, self.say(violations))),
        }
    }

    /// How many tokens its descriptor has, counted when this is asked for the first time.
    pub fn exact_tokens(&self) -> usize {
        *self.exact.get_or_init(|| tokens::count(&self.descriptor.to_string()))
    }

    /// The tokens of its descriptor, if they were counted already.
    pub fn counted(&self) -> Option<usize> {
        self.exact.get().copied()
    }

    /// Takes over what was counted when the same tool was in an earlier catalog.
    pub fn inherit_count(&self, before: &Self) {
        if let Some(counted) = before.counted().filter(|_| before.descriptor == self.descriptor) {
            let _ = self.exact.set(counted);
        }
    }

    /// Whether a model may call it: some tools are for pages only.
    pub fn is_for_models(&self) -> bool {
        let visibility = self.descriptor.pointer("/_meta/ui/visibility").and_then(Value::as_array);
        visibility.is_none_or(|visibility| visibility.iter().any(|who| who == "model"))
    }

    /// Whether it shows itself as a page.
    pub fn has_widget(&self) -> bool {
        let said = |place: &str| self.descriptor.pointer(place).is_some_and(Value::is_string);
        said("/_meta/ui/resourceUri") || said("/_meta/openai~1outputTemplate")
    }

    /// Whether its descriptor says that it changes nothing.
    pub fn is_read_only(&self) -> bool {
        self.hints("readOnlyHint")
    }

    /// Whether its descriptor says that two calls do no more than one.
    pub fn may_be_repeated(&self) -> bool {
        self.is_read_only() || self.hints("idempotentHint")
    }

    fn hints(&self, hint: &str) -> bool {
        self.descriptor.get("annotations").and_then(|hints| hints.get(hint)) == Some(&Value::Bool(true))
    }

    /// How a structured result breaks the output schema: pointers and messages, none when it
    /// does not, or when the tool promises nothing.
    pub fn check_output(&self, structured: Option<&Value>) -> Vec<(String, String)> {
        let schema = self.descriptor.get("outputSchema");
        let Some(validator) = self.validators.as_ref().and_then(|validators| validators.output(schema)) else {
            return Vec::new();
        };
        let Some(structured) = structured else { return vec![(String::new(), "is not JSON".into())] };
        let violations = validator.iter_errors(structured).flat_map(|error| explain(&error, &Value::Null));
        violations.take(MOST_VIOLATIONS).collect()
    }

    fn say(&self, violations: &[(String, String)]) -> String {
        let mut message = format!("the arguments do not fit `{}`:", self.name);
        for (pointer, violation) in violations.iter().take(MOST_VIOLATIONS) {
            let place = pointer.strip_prefix('/').unwrap_or("the arguments");
            let _ = write!(message, "\n- {}: {violation}", shown(place));
        }
        if violations.len() > MOST_VIOLATIONS {
            message.push_str("\n- and more");
        }
        message
    }
}

/// The descriptor in the order the MCP specification gives it. `securitySchemes` stands twice,
/// because clients built on an SDK drop members their SDK does not know.
fn descriptor(name: &str, tool: &Tool, looks: &Looks, security: &[SecurityScheme]) -> Value {
    let mut meta = tool.meta.clone();
    meta.insert("securitySchemes".into(), json!(security));
    looks.describe(&mut meta);
    in_step(&mut meta);
    if !tool.files.is_empty() {
        meta.insert("openai/fileParams".into(), json!(tool.files.keys().collect::<Vec<_>>()));
    }
    let mut descriptor = Map::new();
    descriptor.insert("name".into(), json!(name));
    descriptor.extend(tool.title.iter().map(|title| ("title".into(), json!(title))));
    descriptor.insert("description".into(), json!(tool.description));
    descriptor.insert("inputSchema".into(), json!(tool.input_schema));
    descriptor.extend(tool.output_schema.iter().map(|schema| ("outputSchema".into(), json!(schema))));
    descriptor.insert("annotations".into(), annotations(tool));
    descriptor.insert("securitySchemes".into(), json!(security));
    descriptor.insert("_meta".into(), Value::Object(meta));
    Value::Object(descriptor)
}

/// All four hints, always. What a manifest leaves open follows from the HTTP method or the operation, and is the
/// cautious answer where nothing is known.
fn annotations(tool: &Tool) -> Value {
    let Annotations { read_only, destructive, idempotent, open_world } = tool.annotations;
    let method = tool.request.as_ref().map(|request| request.method);
    let reads = matches!(method, Some(Method::Get | Method::Head))
        || match tool.operation {
            Some(Operation::Items(operation)) => operation == ItemsOperation::List,
            Some(Operation::Gateway(operation)) => !operation.writes(),
            None => false,
        };
    let read_only = read_only.unwrap_or(reads);
    let adds = tool.operation == Some(Operation::Items(ItemsOperation::Add));
    let repeats = matches!(method, Some(Method::Put | Method::Delete))
        || matches!(tool.operation, Some(Operation::Items(operation)) if operation != ItemsOperation::Add);
    // A collection is the caller's own; what the gateway itself does reaches its connectors.
    let own = matches!(tool.operation, Some(Operation::Items(_) | Operation::Gateway(GatewayOperation::Connectors)));
    json!({
        "readOnlyHint": read_only,
        "destructiveHint": destructive.unwrap_or(!read_only && !adds),
        "idempotentHint": idempotent.unwrap_or(read_only || repeats),
        "openWorldHint": open_world.unwrap_or(!own),
    })
}

/// How a tool shows itself: what its manifest says, with the address its page has now.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// What the manifest says.
    pub(super) widget: Widget,
    /// The page's address.
    pub(super) template: Option<String>,
}

impl Looks {
    /// Takes out what a server says of the same things, because what the manifest says goes before.
    pub(super) fn silence(&self, meta: &mut Map<String, Value>) {
        let mut unsaid: Vec<(&str, &str)> = Vec::new();
        if self.template.is_some() {
            unsaid.extend([("resourceUri", "openai/outputTemplate"), ("resourceUri", "ui/resourceUri")]);
        }
        if self.widget.visibility.is_some() || self.widget.accessible.is_some() {
            unsaid.extend([("visibility", "openai/widgetAccessible"), ("visibility", "openai/visibility")]);
        }
        for (standard, other) in unsaid {
            meta.remove(other);
            if let Some(Value::Object(ui)) = meta.get_mut("ui") {
                ui.remove(standard);
            }
        }
    }

    /// Says it in both families of keys: MCP Apps' and `ChatGPT`'s. What stands there already stays.
    pub(super) fn describe(&self, meta: &mut Map<String, Value>) {
        // One family says it for both.
        let said = meta.contains_key("openai/widgetAccessible")
            || meta.get("ui").is_some_and(|ui| ui.get("visibility").is_some());
        let mut ui = Map::new();
        ui.extend(self.template.iter().map(|template| ("resourceUri".into(), json!(template))));
        let mut set = |key: &str, value: Value| {
            meta.entry(key).or_insert(value);
        };
        if let Some(audience) = self.widget.audience().filter(|_| !said) {
            set("openai/widgetAccessible", json!(audience.contains(&Audience::App)));
            ui.insert("visibility".into(), json!(audience));
        }
        let texts = [
            ("openai/outputTemplate", &self.template),
            ("openai/toolInvocation/invoking", &self.widget.invoking),
            ("openai/toolInvocation/invoked", &self.widget.invoked),
        ];
        for (key, text) in texts {
            if let Some(text) = text {
                set(key, json!(text));
            }
        }
        if !ui.is_empty()
            && let Value::Object(said) = meta.entry("ui").or_insert_with(|| json!({}))
        {
            for (key, value) in ui {
                said.entry(key).or_insert(value);
            }
        }
    }
}

/// What one family of keys says of a tool of an upstream, in the other's words too.
pub(super) fn in_step(meta: &mut Map<String, Value>) {
    let ui = meta.get("ui").and_then(Value::as_object);
    let said = |key: &str| ui.and_then(|ui| ui.get(key)).cloned();
    let template = said("resourceUri").or_else(|| meta.get("ui/resourceUri").cloned());
    let template = template.or_else(|| meta.get("openai/outputTemplate").cloned());
    let accessible = meta.get("openai/widgetAccessible").and_then(Value::as_bool);
    let visibility = said("visibility");
    if template.is_none() && accessible.is_none() && visibility.is_none() {
        return;
    }
    let for_app = |visibility: &Value| visibility.as_array().is_some_and(|it| it.contains(&json!("app")));
    // Unsaid, MCP Apps lets both call, and `ChatGPT` the model only.
    let speaks_mcp_apps = ui.is_some() || meta.contains_key("ui/resourceUri");
    let app = accessible.or(visibility.as_ref().map(for_app)).unwrap_or(speaks_mcp_apps);
    meta.entry("openai/widgetAccessible").or_insert(json!(app));
    if let Some(template) = &template {
        meta.entry("openai/outputTemplate").or_insert(template.clone());
    }
    if let Value::Object(ui) = meta.entry("ui").or_insert_with(|| json!({})) {
        if let Some(template) = template {
            ui.entry("resourceUri").or_insert(template);
        }
        ui.entry("visibility").or_insert_with(|| if app { json!(["model", "app"]) } else { json!(["model"]) });
    }
}
