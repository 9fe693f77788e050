//! A document → its tools.

use std::collections::{BTreeMap, HashMap, HashSet};

use indexmap::IndexMap;
use serde_json::Value;
use url::Url;

use super::{
    ApiTool, Body, Converted, Member, Parameter, PartEncode, Plan, Proof, Shape, Skipped, Source,
    argument::{self, Placed},
    body::{self, Content},
    choice,
    dialect::Dialect,
    facts::View,
    more::{self, Leads},
    name,
    node::{Documents, Node},
    operation::{self, Operation},
    output::{self, Answer, Promise},
    parameter::{self, Spot},
    pattern::Patterns,
    schema::size,
    security,
    server::{self, Around},
    text,
};
use crate::manifest::{Annotations, Mend, OpenApiSettings, OutputPromise, Tool};
use crate::name::{did_you_mean, nearest};

/// The longest description of a tool, in characters.
const LONGEST_DESCRIPTION: usize = 1_024;
/// The longest title.
const LONGEST_TITLE: usize = 80;
/// The descriptors of one document, in bytes; tools beyond that are left out.
const MOST_BYTES: usize = 64 << 20;

/// Turns a document into tools. What is wrong with one operation leaves that one out; an error means that this is no
/// document of the kind at all.
pub fn convert(source: &Source<'_>, settings: &OpenApiSettings) -> Result<Converted, String> {
    let dialect = Dialect::of(source.document)?;
    let documents = Documents::new(source);
    let root = documents.root().ok_or("there is no document")?;
    let around = Around { at: source.at, variables: &settings.server_variables };
    let base = settings.base_url.is_none().then(|| server::base(&documents, dialect, root, &around));
    let proofs = security::schemes(&documents, dialect, root);
    let (operations, skipped, count) = operation::list(&documents, root);
    let mut converted = Converted { base, operations: count, skipped, tags: tags(&operations), ..head(dialect, root) };
    let mended: Vec<_> = operations.iter().map(|operation| mend(operation, settings)).collect();
    let mends: Vec<Option<&Mend>> = mended.iter().map(|mended| mended.map(|(_, mend)| mend)).collect();
    let names = name::tools(&operations, &mends);
    misnamed(&documents, &operations, settings);
    let mut maker = Maker {
        documents: &documents,
        dialect,
        root,
        settings,
        around,
        proofs: &proofs,
        base: converted.base.as_ref().and_then(|base| base.as_ref().ok()).cloned(),
        places: by_operation(&operations),
        leads: Vec::new(),
        patterns: Patterns::default(),
        promises: HashMap::new(),
    };
    let (mut taken, mut bytes) = (HashSet::new(), 0_usize);
    for ((operation, name), mended) in operations.iter().zip(&names).zip(mended) {
        let mend = mended.map(|(_, mend)| mend);
        let left_out = choice::left_out(operation, settings, mend);
        let wanted = left_out.is_some();
        let made = match left_out {
            Some(reason) => Err(reason),
            None if bytes > MOST_BYTES => Err("there are more tools than anybody can use: choose by `include`".into()),
            None if !taken.insert(name.as_str()) => Err(format!("another tool is called `{name}` too")),
            None => documents.begin().and_then(|()| {
                let made = maker.tool(operation, name, mend);
                documents.within().and(made)
            }),
        };
        match made {
            Ok(tool) => {
                let output = tool.tool.output_schema.as_ref().map_or(0, |schema| size(schema, MOST_BYTES));
                bytes += size(&tool.tool.input_schema, MOST_BYTES) + output + tool.tool.description.len();
                let mend = mended.map(|(named, _)| named.clone());
                converted.tools.push(ApiTool { mend, ..tool });
            }
            Err(reason) => {
                let (operation, place) = (operation.request(), operation.place.clone());
                converted.skipped.push(Skipped { operation, place, reason, wanted });
            }
        }
    }
    more::tell(&mut converted.tools, &maker.leads);
    converted.remarks = documents.take_remarks();
    converted.security = proofs;
    Ok(converted)
}

/// What a document says of itself.
fn head(dialect: Dialect, root: Node<'_>) -> Converted {
    let info = root.get("info");
    let said = |key: &str| info.and_then(|info| info.text(key)).unwrap_or_default();
    let description = text::plain(said("description"), LONGEST_DESCRIPTION);
    Converted {
        title: text::line(said("title"), 200),
        version: text::line(said("version"), 100),
        description: (!description.is_empty()).then_some(description),
        dialect: dialect.name(),
        ..Converted::default()
    }
}

fn tags(operations: &[Operation<'_>]) -> BTreeMap<String, usize> {
    let mut tags = BTreeMap::new();
    for tag in operations.iter().flat_map(|operation| &operation.tags) {
        *tags.entry((*tag).to_owned()).or_default() += 1;
    }
    tags
}

/// What the settings mend in an operation, with the name they call it by: an `operationId` goes before `GET /path`.
fn mend<'s>(operation: &Operation<'_>, settings: &'s OpenApiSettings) -> Option<(&'s String, &'s Mend)> {
    let by_id = operation.own_id().and_then(|id| settings.operations.get_key_value(id));
    by_id.or_else(|| settings.operations.iter().find(|(named, _)| operation.is(named)))
}

/// Operations' places by `operationId`, and by themselves.
fn by_operation<'o>(operations: &'o [Operation<'_>]) -> HashMap<&'o str, &'o str> {
    let mut places = HashMap::new();
    for operation in operations {
        places.insert(operation.place.as_str(), operation.place.as_str());
        if let Some(id) = operation.own_id() {
            places.insert(id, operation.place.as_str());
        }
    }
    places
}

/// Says which operations the settings name and the document does not have.
fn misnamed(documents: &Documents<'_>, operations: &[Operation<'_>], settings: &OpenApiSettings) {
    let chosen = |choices: &'_ [crate::manifest::OperationChoice]| -> Vec<String> {
        choices.iter().flat_map(|choice| choice.operations.iter().cloned()).collect()
    };
    let named = [
        ("include", chosen(&settings.include)),
        ("exclude", chosen(&settings.exclude)),
        ("operations", settings.operations.keys().cloned().collect()),
    ];
    for (setting, names) in named {
        for wrong in names.iter().filter(|name| !operations.iter().any(|operation| operation.is(name))) {
            let ids: Vec<String> = operations.iter().map(Operation::id).collect();
            let near = did_you_mean(wrong, ids.iter().map(String::as_str));
            documents.remark("/paths", format!("`{setting}` names `{wrong}`, and there is no such operation{near}"));
        }
    }
    for choice in settings.include.iter().chain(&settings.exclude) {
        for wrong in choice.tags.iter().filter(|tag| !operations.iter().any(|it| it.tags.contains(&tag.as_str()))) {
            let tags: HashSet<&str> = operations.iter().flat_map(|operation| operation.tags.iter().copied()).collect();
            let near = nearest(wrong, tags).first().map(|near| format!("; did you mean `{near}`?"));
            documents.remark("/paths", format!("no operation has the tag `{wrong}`{}", near.unwrap_or_default()));
        }
    }
}

/// What tools are made with.
struct Maker<'m, 'a> {
    documents: &'m Documents<'a>,
    dialect: Dialect,
    root: Node<'a>,
    settings: &'m OpenApiSettings,
    around: Around<'m>,
    proofs: &'m IndexMap<String, Proof>,
    base: Option<Url>,
    places: HashMap<&'m str, &'m str>,
    /// Where results go on, by the place of the operation they come from.
    leads: Vec<Leads>,
    patterns: Patterns,
    promises: HashMap<Vec<usize>, Promise>,
}

impl<'a> Maker<'_, 'a> {
    fn tool(&mut self, operation: &Operation<'a>, name: &str, mend: Option<&Mend>) -> Result<ApiTool, String> {
        let view = View { documents: self.documents, dialect: self.dialect, place: &operation.place };
        let method = operation.method.ok_or("tools send no such requests")?;
        let (mut fields, path) = parameter::fields(&view, operation, self.proofs, mend)?;
        let mut content = body::content(&view, operation, mend)?;
        fields.extend(content.iter_mut().flat_map(|content| std::mem::take(&mut content.fields)));
        let arranged = argument::arrange(&view, fields, mend, &mut self.patterns)?;
        let answer = output::answer(&view, operation);
        let promise = self.promise(&view, &answer);
        let base = self.own_base(operation)?;
        let (base, base_from_afar) = base.map_or((None, false), |(base, from_afar)| (Some(base), from_afar));
        let hint = more::pages(&view, &answer, &arranged.names);
        let description = mend.and_then(|mend| mend.description.clone());
        let links = more::links(&view, &answer, &self.places);
        // What the manifest says of it stays as it is.
        let told = description.is_none();
        self.leads.push(Leads { place: operation.place.clone(), links, told });
        let description = description.unwrap_or_else(|| describe(&view, operation, hint));
        let mut tool = Tool::named(name.to_owned(), description);
        let title = operation.node.text("summary").map(|summary| text::line(summary, LONGEST_TITLE * 2));
        tool.title = title.filter(|title| !title.is_empty() && title.chars().count() <= LONGEST_TITLE);
        tool.input_schema = arranged.schema;
        tool.output_schema = promise.schema;
        tool.annotations = annotations(operation.verb);
        tool.tags = operation.tags.iter().map(|tag| text::line(tag, 60)).filter(|tag| !tag.is_empty()).collect();
        if let Some(mend) = mend {
            apply(&mut tool, mend);
        }
        let plan = Plan { method, path, ..plan(arranged.placed, content, answer.accept) };
        Ok(ApiTool {
            id: operation.id(),
            place: operation.place.clone(),
            tool,
            plan,
            mend: None,
            base,
            base_from_afar,
            wrapped: promise.wrapped,
            response: mend.and_then(|mend| mend.response.clone()),
            security: security::of(self.documents, operation, self.root, self.proofs),
        })
    }

    /// What is promised of the results; the same for operations that answer with the same schema.
    fn promise(&mut self, view: &View<'_, 'a>, answer: &Answer<'a>) -> Promise {
        if self.settings.output == OutputPromise::Strict && answer.mixed {
            return Promise::default();
        }
        let identity = answer.identity(view);
        if let Some(known) = self.promises.get(&identity) {
            return known.clone();
        }
        let promise = output::promise(view, answer, self.settings.output, &mut self.patterns);
        if self.documents.within().is_ok() {
            self.promises.insert(identity, promise.clone());
        }
        promise
    }

    /// Where an operation's path begins, when it says so itself and it is elsewhere; and whether somebody else says so.
    fn own_base(&self, operation: &Operation<'a>) -> Result<Option<(Url, bool)>, String> {
        if self.settings.base_url.is_some() || self.dialect == Dialect::Swagger2 {
            return Ok(None);
        }
        let own = [operation.node, operation.item]
            .into_iter()
            .find_map(|holder| Some((server::own(self.documents, holder, &operation.place, &self.around)?, holder)));
        let Some((own, holder)) = own else { return Ok(None) };
        let own = Some(own?).filter(|own| Some(own) != self.base.as_ref());
        Ok(own.map(|own| (own, self.documents.is_from_afar(holder))))
    }
}

/// Summary, description, what to do next, and the request.
fn describe(view: &View<'_, '_>, operation: &Operation<'_>, hint: Option<String>) -> String {
    let summary = operation.node.text("summary").or_else(|| operation.item.text("summary")).unwrap_or_default();
    let said = operation.node.text("description").or_else(|| operation.item.text("description")).unwrap_or_default();
    for said in [summary, said] {
        if text::hides(said) {
            view.documents.remark(view.place, "its description holds characters nobody sees; they are taken out");
        }
    }
    view.documents.read(text::head(said));
    let summary = text::line(summary, LONGEST_DESCRIPTION / 4);
    let said = text::plain(said, LONGEST_DESCRIPTION);
    // Many generators write the summary again as the description's beginning.
    let alike = |a: &str, b: &str| {
        let (a, b) = (a.trim_end_matches('.'), b.trim_end_matches('.'));
        a.len() <= b.len() && b.get(..a.len()).is_some_and(|start| start.eq_ignore_ascii_case(a))
    };
    let mut parts: Vec<String> = Vec::new();
    if !summary.is_empty() && !alike(&summary, &said) {
        let end = if summary.ends_with(['.', '!', '?', ':']) { "" } else { "." };
        parts.push(format!("{summary}{end}"));
    }
    if operation.deprecated {
        parts.push("Deprecated.".into());
    }
    if !said.is_empty() {
        parts.push(said);
    }
    let text = text::shorten(&parts.join("\n"), LONGEST_DESCRIPTION);
    let mut parts: Vec<String> = if text.is_empty() { Vec::new() } else { vec![text] };
    parts.extend(hint);
    parts.push(text::line(&operation.request(), 300));
    parts.join("\n")
}

/// What the method says a call does to the world.
fn annotations(verb: &str) -> Annotations {
    let reads = matches!(verb, "get" | "head");
    Annotations {
        read_only: Some(reads),
        destructive: Some(!reads),
        idempotent: Some(reads || matches!(verb, "put" | "delete")),
        open_world: Some(true),
    }
}

fn apply(tool: &mut Tool, mend: &Mend) {
    let Annotations { read_only, destructive, idempotent, open_world } = mend.annotations;
    let hints = &mut tool.annotations;
    if read_only == Some(true) {
        *hints = Annotations { read_only, destructive: Some(false), idempotent: Some(true), open_world: Some(true) };
    } else if read_only == Some(false) && hints.read_only == Some(true) {
        (hints.destructive, hints.idempotent) = (Some(true), Some(false));
    }
    hints.read_only = read_only.or(hints.read_only);
    hints.destructive = destructive.or(hints.destructive);
    hints.idempotent = idempotent.or(hints.idempotent);
    hints.open_world = open_world.or(hints.open_world);
    tool.title = mend.title.clone().or_else(|| tool.title.take());
    tool.security_schemes.clone_from(&mend.security_schemes);
    tool.scopes.clone_from(&mend.scopes);
    tool.tags.extend(mend.tags.iter().filter(|tag| !tool.tags.contains(tag)).cloned().collect::<Vec<_>>());
    tool.meta.clone_from(&mend.meta);
    tool.widget.clone_from(&mend.widget);
    tool.pinned = mend.pinned;
    tool.timeout_ms = mend.timeout_ms;
    tool.cache_seconds = mend.cache_seconds;
    tool.retry = mend.retry.clone();
    tool.relations.clone_from(&mend.relations);
    tool.audit = mend.audit;
}

/// Which argument stands where. Method and path come from elsewhere.
fn plan(placed: Vec<Placed<'_>>, content: Option<Content<'_>>, accept: Vec<String>) -> Plan {
    let (mut parameters, mut members) = (Vec::new(), Vec::new());
    for Placed { field, argument, value } in placed {
        match (field.spot, field.encode) {
            (Spot::At(location), Some(encode)) => {
                parameters.push(Parameter { argument, wire: field.wire, location, encode, value });
            }
            (Spot::At(_) | Spot::Body, _) => members.push(Member { argument, wire: field.wire, value }),
        }
    }
    let body = content.and_then(|content| {
        let mut parts = content.parts;
        let shape = if content.whole {
            match members.pop()? {
                Member { value: None, argument, .. } => {
                    // Bytes, and what is base64 on the wire too, are known by the argument, whatever it is called.
                    let is_bytes = |part: &PartEncode| part.binary || *part == PartEncode::default();
                    if let Some(part) = parts.remove("body").filter(is_bytes) {
                        parts.insert(argument.clone(), part);
                    }
                    Shape::Whole(argument)
                }
                // What is always the same is sent member by member.
                Member { value: Some(Value::Object(whole)), .. } => Shape::Spread(
                    whole
                        .into_iter()
                        .map(|(wire, value)| Member { argument: wire.clone(), wire, value: Some(value) })
                        .collect(),
                ),
                Member { .. } => return None,
            }
        } else {
            Shape::Spread(members)
        };
        Some(Body { media_type: content.media_type, required: content.required, shape, parts })
    });
    Plan { method: crate::manifest::Method::Get, path: String::new(), parameters, body, accept }
}
