//! A document → what the connector offers, and how each of its operations is called.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use indexmap::IndexMap;
use serde_json::{Map, Value, json};
use url::Url;

use super::document::Read;
use crate::catalog::{Declared, Offer, Tally};
use crate::error::{Problem, Severity};
use crate::manifest::{
    Annotations, Checked, Credentials, FileArgument, Mend, Method, OpenApiSettings, OutputPromise, Response, Tool,
    Validators,
};
use crate::openapi::{self, ApiTool, Body, Converted, Location, Plan, Shape, Source};

/// Problems that are named one by one.
const MOST_PROBLEMS: usize = 1000;

/// What the manifest says of the document.
#[derive(Debug)]
pub(super) struct Learner {
    pub(super) settings: OpenApiSettings,
    /// Where every path begins, when the manifest says so.
    pub(super) base: Option<Url>,
    /// Where the document is, when it is at an address.
    pub(super) address: Option<Url>,
    /// The document as problems name it.
    pub(super) shown: PathBuf,
    /// Whether the API is given anything that not everybody may have.
    pub(super) gives: bool,
    /// All that the manifest says.
    pub(super) checked: Checked,
}

/// What a document says.
#[derive(Debug)]
pub(super) struct Learned {
    pub(super) base: Url,
    /// How tools are called, by their own names.
    pub(super) operations: HashMap<String, Operation>,
    pub(super) offer: Arc<Offer>,
    /// What is odd about it, and what became no tool.
    pub(super) problems: Vec<Problem>,
}

/// How one operation is called.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) plan: Plan,
    /// Where its path begins, when that is not where the others begin.
    pub(super) base: Option<Url>,
    pub(super) response: Option<Response>,
    pub(super) wrapped: bool,
}

impl Learner {
    /// What a document says, as the manifest wants it; the reason when nothing can be made of it. Large documents
    /// take a while.
    pub(super) fn learn(&self, read: &Read) -> Result<Learned, String> {
        let source = Source { document: &read.document, at: self.address.as_ref(), others: &read.others };
        let converted = openapi::convert(&source, &self.settings)?;
        let mut problems = Problems { file: self.shown.clone(), found: Vec::new(), more: 0 };
        for (place, tools) in openapi::unfilled(&converted, &self.checked.connector.credentials) {
            let message = format!("{tools} of its tools need `{place}`, which is not there");
            problems.found.push(self.checked.problem(Severity::Warning, "/credentials", message));
        }
        let Converted { base, operations, tools, skipped, remarks, .. } = converted;
        let base = self.trusted_base(base)?;
        for (name, reason) in &read.refused {
            problems.warn("", format!("{name}: {reason}"));
        }
        problems.remark(remarks);
        let mut tally = Tally { operations, ..Tally::default() };
        for skip in skipped {
            if skip.wanted {
                tally.unwanted += 1;
            } else {
                tally.impossible += 1;
                problems.warn(&skip.place, format!("`{}` became no tool: {}", skip.operation, skip.reason));
            }
        }
        let (mut declared, mut calls) = (Vec::new(), HashMap::new());
        for mut api in tools {
            if let Some(own) = api.base.as_ref().filter(|own| !self.trusts(own, &base, api.base_from_afar)) {
                tally.impossible += 1;
                let own = own.origin().ascii_serialization();
                problems.warn(&api.place, format!("`{}` became no tool: it is at {own}, and only the manifest may say where credentials and private addresses are used", api.id));
                continue;
            }
            let id = api.mend.clone();
            let id = id.as_deref();
            let mend = id.and_then(|id| self.settings.operations.get(id));
            let at = id.map_or_else(|| "/adapter/spec".to_owned(), |id| format!("/adapter/operations/{}", escape(id)));
            for name in complete(&mut api, mend, &self.filled()) {
                let place = format!("{at}/parameters/{}/file", escape(name));
                let message = format!("`{name}` stands in no body, so it cannot be a file");
                problems.found.push(self.checked.problem(Severity::Warning, &place, message));
            }
            let ApiTool { mut tool, plan, base: own, response, mut wrapped, .. } = api;
            if self.keeps_part(response.as_ref().unwrap_or(&self.settings.response)) {
                (tool.output_schema, wrapped) = (None, false);
            }
            let request = self.request(&plan, own.as_ref(), &base);
            calls.insert(tool.name.clone(), Operation { plan, base: own, response, wrapped });
            declared.push(Declared { tool, validators: Validators::default(), at, request });
        }
        tally.tools = declared.len();
        for Declared { tool, at, .. } in &declared {
            if tool.cache_seconds.is_some() && tool.annotations.read_only != Some(true) {
                let message =
                    "its results are not kept: it is no GET or HEAD request and not marked `\"readOnly\": true`";
                problems.found.push(self.checked.problem(Severity::Warning, &format!("{at}/cacheSeconds"), message));
            }
        }
        if declared.is_empty() {
            problems.warn("", format!("none of its {operations} operations became a tool"));
        }
        let offer = Arc::new(Offer { declared, tally: Some(tally), ..Offer::default() });
        Ok(Learned { base, operations: calls, offer, problems: problems.all() })
    }

    /// What the manifest itself fills in every request: no model is asked for it.
    fn filled(&self) -> Vec<(Location, &str)> {
        let Credentials { headers, query, cookies, oauth, .. } = &self.checked.connector.credentials;
        let token = oauth.iter().map(|oauth| (Location::Header, oauth.header.as_str()));
        let headers = headers.keys().chain(self.settings.headers.keys());
        let headers = headers.map(|name| (Location::Header, name.as_str()));
        let query = query.keys().map(|name| (Location::Query, name.as_str()));
        let cookies = cookies.keys().map(|name| (Location::Cookie, name.as_str()));
        headers.chain(query).chain(cookies).chain(token).collect()
    }

    /// Where paths begin: where the manifest says, else where the document says. A document from an address may change
    /// at any time, and shall not lead credentials elsewhere, or calls into a private network.
    fn trusted_base(&self, said: Option<Result<Url, String>>) -> Result<Url, String> {
        if let Some(base) = &self.base {
            return Ok(base.clone());
        }
        let base = said.unwrap_or_else(|| Err("it names no server; say `baseUrl`".into()))?;
        match self.address.as_ref().filter(|_| self.gives) {
            Some(address) if address.origin() != base.origin() => Err(format!(
                "it says that the API is at {}, which is not where it is itself; where credentials or private addresses are used, the manifest has to say so: `\"baseUrl\": \"{base}\"`",
                base.origin().ascii_serialization()
            )),
            _ => Ok(base),
        }
    }

    /// What calls send and where, as far as the document decides that; in an order that does not depend on its own.
    fn request(&self, plan: &Plan, own: Option<&Url>, base: &Url) -> Value {
        let base = own.or((self.base.is_none()).then_some(base)).map_or("", Url::as_str).trim_end_matches('/');
        let Plan { method, path, mut parameters, mut body, .. } = plan.clone();
        parameters.sort_by(|a, b| (a.location, &a.wire).cmp(&(b.location, &b.wire)));
        if let Some(Body { shape: Shape::Spread(members), .. }) = &mut body {
            members.sort_by(|a, b| a.wire.cmp(&b.wire));
        }
        json!({ "method": method, "address": format!("{base}{path}"), "parameters": parameters, "body": body })
    }

    /// Whether so little is kept of an answer that the document promises nothing of it: a part, or, to the letter, less.
    fn keeps_part(&self, response: &Response) -> bool {
        let strict = self.settings.output == OutputPromise::Strict;
        response.pick.is_some() || response.select.is_some() || strict && response.reduces()
    }

    /// Whether an operation may be elsewhere than the others; `from_afar` when a document says so to which a file refers.
    fn trusts(&self, own: &Url, base: &Url, from_afar: bool) -> bool {
        let said_by_others = self.address.is_some() || from_afar;
        !(said_by_others && self.gives) || own.origin() == base.origin()
    }
}

/// What follows from the method, what the manifest fills, and arguments that are files; the names of those that cannot
/// be files.
fn complete<'m>(api: &mut ApiTool, mend: Option<&'m Mend>, filled: &[(Location, &str)]) -> Vec<&'m str> {
    let ApiTool { tool, plan, .. } = api;
    plan.parameters.retain(|parameter| {
        let same = |name: &str| match parameter.location {
            Location::Header => name.eq_ignore_ascii_case(&parameter.wire),
            Location::Path | Location::Query | Location::Cookie => name == parameter.wire,
        };
        // What is fixed for one operation is the manifest's, too.
        let ours = filled.iter().any(|(location, name)| *location == parameter.location && same(name));
        let gone = ours && parameter.value.is_none();
        if gone {
            forget(&mut tool.input_schema, &parameter.argument);
        }
        !gone
    });
    let Annotations { read_only, idempotent, .. } = &mut tool.annotations;
    let read_only = *read_only.get_or_insert(matches!(plan.method, Method::Get | Method::Head));
    idempotent.get_or_insert(read_only || matches!(plan.method, Method::Put | Method::Delete));
    let parameters = mend.into_iter().flat_map(|mend| &mend.parameters);
    let mut wrong = Vec::new();
    for (name, file) in parameters.filter_map(|(name, parameter)| Some((name, parameter.file.as_ref()?))) {
        match argument(plan, name) {
            Some(argument) => takes_file(tool, argument, file),
            None => wrong.push(name.as_str()),
        }
    }
    wrong
}

/// Takes an argument out of a tool's schema.
fn forget(schema: &mut Map<String, Value>, argument: &str) {
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.shift_remove(argument);
    }
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.retain(|name| name.as_str() != Some(argument));
        if required.is_empty() {
            schema.shift_remove("required");
        }
    }
}

/// The argument of the body that stands for what the document calls so.
fn argument(plan: &Plan, wire: &str) -> Option<String> {
    let (whole, members) = match plan.body.as_ref().map(|body| &body.shape) {
        Some(Shape::Whole(argument)) => (Some((argument, argument)), None),
        Some(Shape::Spread(members)) => (None, Some(members)),
        None => (None, None),
    };
    let members = members.into_iter().flatten().map(|member| (&member.wire, &member.argument));
    let mut all = members.chain(whole);
    all.find(|(known, _)| *known == wire).map(|(_, argument)| argument.clone())
}

fn takes_file(tool: &mut Tool, argument: String, file: &FileArgument) {
    let Some(Value::Object(properties)) = tool.input_schema.get_mut("properties") else { return };
    let Some(property) = properties.get_mut(&argument) else { return };
    let description = property.get("description").cloned();
    *property = FileArgument::schema();
    if let (Some(description), Value::Object(property)) = (description, property) {
        property.insert("description".into(), description);
    }
    tool.files.insert(argument, file.clone());
}

/// What is said of a document, as far as anybody reads it.
struct Problems {
    file: PathBuf,
    found: Vec<Problem>,
    more: usize,
}

impl Problems {
    fn warn(&mut self, pointer: &str, message: impl Into<String>) {
        if self.found.len() == MOST_PROBLEMS {
            self.more += 1;
            return;
        }
        let problem = Problem::in_file(&self.file, message);
        self.found.push(Problem { severity: Severity::Warning, pointer: pointer.to_owned(), ..problem });
    }

    /// Says what is odd, once for all places.
    fn remark(&mut self, remarks: Vec<(String, String)>) {
        // What a generator does in one place, it does in all.
        let mut alike: IndexMap<String, (String, usize)> = IndexMap::new();
        for (pointer, words) in remarks {
            alike.entry(words).and_modify(|(_, more)| *more += 1).or_insert((pointer, 0));
        }
        for (words, (pointer, more)) in alike {
            let more = if more > 0 { format!(" (and in {more} more places)") } else { String::new() };
            self.warn(&pointer, format!("{words}{more}"));
        }
    }

    fn all(mut self) -> Vec<Problem> {
        if self.more > 0 {
            let more = Problem::in_file(&self.file, format!("and {} more of such warnings", self.more));
            self.found.push(Problem { severity: Severity::Warning, ..more });
        }
        self.found
    }
}

/// A key as it stands in a JSON pointer.
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
