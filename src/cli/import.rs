//! `import`: makes a manifest from what describes an API elsewhere.

use std::{num::NonZeroUsize, path::PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use url::Url;

mod choose;
mod progress;
mod read;
mod report;
mod slots;
mod write;

use super::{Failure, Format, for_terminal, print};
use crate::app::read_manifests;
use crate::config::Config;
use crate::manifest::{Manifests, OpenApiSettings};
use crate::name::{ConnectorId, did_you_mean};
use crate::openapi::{Converted, Source, convert};
use crate::secret::Environment;
use crate::upstream::is_public_literal;
use progress::Progress;
use read::Read;
use report::Report;

/// The longest id made from a title, in letters: tools are named after it, and names are short.
const LONGEST_ID: usize = 24;

/// What titles say of themselves, and not of the API.
const EMPTY: &[&str] = &["api", "the", "openapi", "swagger", "rest", "specification", "spec", "for", "http"];

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, Subcommand)]
enum Kind {
    /// Make a manifest from an OpenAPI document (Swagger 2.0, OpenAPI 3.0 or 3.1; JSON or YAML)
    #[command(name = "openapi")]
    OpenApi(Box<OpenApiArgs>),
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct OpenApiArgs {
    /// The document: a file, or a web address
    #[arg(value_name = "URL|FILE")]
    source: String,
    /// The connector's id; made from the document's title when unsaid
    #[arg(long)]
    id: Option<String>,
    /// Its name for people; the document's title when unsaid
    #[arg(long)]
    name: Option<String>,
    /// Only operations with one of these tags; repeat or separate by commas
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    tags: Vec<String>,
    /// Only operations with one of these paths; `*` stands for one segment's text, `**` for any
    #[arg(long, value_name = "PATH", value_delimiter = ',')]
    paths: Vec<String>,
    /// Only operations with one of these methods
    #[arg(long, value_name = "METHOD", value_delimiter = ',', value_parser = method)]
    methods: Vec<String>,
    /// Only these operations, by their `operationId` or as `GET /path`
    #[arg(long, value_name = "OPERATION", value_delimiter = ',')]
    operations: Vec<String>,
    /// No more tools than this: of the tags with the most operations, those that fit
    #[arg(long, value_name = "NUMBER")]
    max_tools: Option<NonZeroUsize>,
    /// Deprecated operations too
    #[arg(long)]
    deprecated: bool,
    /// Where the API is, instead of what the document says
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// Let the document and the API be at private addresses
    #[arg(long)]
    allow_private: bool,
    /// A header to ask for the document with, such as 'Authorization: Bearer ${TOKEN}'; repeat for more
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// Where to write the manifest; `<id>.json` among the manifests when unsaid, `-` for standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write over what is there
    #[arg(long)]
    force: bool,
    /// Only say what would come of it
    #[arg(long)]
    dry_run: bool,
    /// How to print what was found
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

fn method(text: &str) -> Result<String, String> {
    const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
    let method = text.to_ascii_uppercase();
    if METHODS.contains(&method.as_str()) { Ok(method) } else { Err(format!("one of {}", METHODS.join(", "))) }
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("a header is written `Name: value`")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

pub(super) fn import(config: &Config, environment: &Environment, args: &ImportArgs) -> Result<(), Failure> {
    let Kind::OpenApi(args) = &args.kind;
    let progress = Progress::new();
    progress.step("reading the document");
    let read = super::runtime()?.block_on(read::read(args, environment, &progress)).map_err(Failure::Usage)?;
    progress.step("making tools of its operations");
    let made = make(args, config, &read)?;
    progress.done();

    let written = if args.dry_run || made.target.is_output() { None } else { Some(made.write(&read, args.force)?) };
    let report = Report::new(&made, &read, written.as_deref());
    if made.target.is_output() {
        super::show(&for_terminal(&report.text()))?;
        return print(&made.text());
    }
    match args.format {
        Format::Json => print(&format!("{:#}", report.json())),
        Format::Text => print(&for_terminal(&report.text())),
    }
}

/// A manifest, and what there is to say of it.
struct Made {
    id: ConnectorId,
    manifest: Value,
    converted: Converted,
    slots: slots::Slots,
    target: write::Target,
    /// What was left out so that there are not too many tools.
    left_out: Option<choose::LeftOut>,
    remarks: Vec<String>,
}

impl Made {
    /// The manifest as a file has it.
    fn text(&self) -> String {
        format!("{:#}", self.manifest)
    }
}

fn make(args: &OpenApiArgs, config: &Config, read: &Read) -> Result<Made, Failure> {
    let mut adapter = adapter(args);
    let mut converted = turn(read, &adapter)?;
    let id = id(args, &converted)?;
    let target = write::Target::new(args.out.as_deref(), &config.manifests, &id);
    chosen(args, &converted)?;
    if args.out.is_none() {
        is_free(&id, config, &target)?;
    }
    adapter.insert("spec".into(), json!(target.spec(&args.source, read, &id)));
    let mut remarks = remarks(args, config);
    let mut left_out = None;
    if let Some(most) = args.max_tools.map(NonZeroUsize::get).filter(|most| converted.tools.len() > *most) {
        let (include, missing) = choose::choose(&converted, &adapter, most);
        adapter.insert("include".into(), include);
        converted = turn(read, &adapter)?;
        left_out = Some(missing);
    }
    let slots = slots::Slots::of(&converted, &slots::variable(id.as_str()));
    match &converted.base {
        Some(Err(reason)) => {
            let variable = format!("{}_BASE_URL", slots::variable(id.as_str()));
            adapter.insert("baseUrl".into(), json!(format!("${{{variable}}}")));
            remarks.push(format!("where the API is: {reason}; set {variable}, or give --base-url"));
        }
        Some(Ok(base)) => {
            if is_private(base) && !args.allow_private {
                remarks.push(
                    "the API is at a private address: give --allow-private, or nothing will be sent there".into(),
                );
            }
            let elsewhere = read.at.as_ref().is_some_and(|at| at.origin() != base.origin());
            let gives = slots.credentials.is_some() || args.allow_private;
            if elsewhere && gives && args.base_url.is_none() {
                adapter.insert("baseUrl".into(), json!(base.as_str().replace("${", "$${")));
                remarks.push(format!("the document says that the API is at {base}, elsewhere than itself; look whether that is right, for it is given credentials or private addresses"));
            }
        }
        None => {}
    }
    let manifest = manifest(args, &id, &converted, adapter, &slots);
    let made = Made { id, manifest, converted, slots, target, left_out, remarks };
    made.check()?;
    Ok(made)
}

/// Nothing chosen is a mistake.
fn chosen(args: &OpenApiArgs, converted: &Converted) -> Result<(), Failure> {
    let choices = [&args.tags, &args.paths, &args.methods, &args.operations];
    let chooses = choices.iter().any(|list| !list.is_empty());
    if !chooses || !converted.tools.is_empty() || converted.skipped.iter().any(|skipped| !skipped.wanted) {
        return Ok(());
    }
    let tags = || converted.tags.keys().map(String::as_str);
    let unknown = args.tags.iter().find(|tag| !converted.tags.contains_key(*tag));
    let near = unknown.map(|tag| did_you_mean(tag, tags())).unwrap_or_default();
    Err(Failure::Usage(format!("none of its {} operations is chosen{near}", converted.operations)))
}

/// Two manifests of one id would leave out one of the two.
fn is_free(id: &ConnectorId, config: &Config, target: &write::Target) -> Result<(), Failure> {
    let there = read_manifests(&config.manifests).unwrap_or_default();
    let taken = there.connectors.iter().find(|it| it.connector.id == *id && it.file() != target.file());
    taken.map_or(Ok(()), |taken| {
        let file = taken.file().display();
        Err(Failure::Usage(format!("the id `{id}` is taken by {file}; give another by --id")))
    })
}

/// What there is to say of the arguments themselves.
fn remarks(args: &OpenApiArgs, config: &Config) -> Vec<String> {
    let open = args.header.iter().filter(|(_, value)| !value.contains("${"));
    let open = open.map(|(name, _)| {
        format!("what the header {name} says stands in the manifest for all to read; put it in a variable, as in '{name}: ${{TOKEN}}'")
    });
    let alone = config.manifests.is_file() && args.out.is_none();
    let alone = alone.then(|| format!("it is not loaded where {} alone is", config.manifests.display()));
    open.chain(alone).collect()
}

/// What the manifest says of the document and of the choice among its operations.
fn adapter(args: &OpenApiArgs) -> Map<String, Value> {
    let mut adapter = Map::new();
    adapter.insert("kind".into(), json!("openapi"));
    adapter.insert("spec".into(), json!(args.source));
    let headers: Map<String, Value> = args.header.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    if !headers.is_empty() {
        adapter.insert("specHeaders".into(), Value::Object(headers));
    }
    if let Some(base) = &args.base_url {
        adapter.insert("baseUrl".into(), json!(base));
    }
    if args.allow_private {
        adapter.insert("allowPrivate".into(), json!(true));
    }
    let lists =
        [("tags", &args.tags), ("paths", &args.paths), ("methods", &args.methods), ("operations", &args.operations)];
    let choice: Map<String, Value> =
        lists.into_iter().filter(|(_, list)| !list.is_empty()).map(|(name, list)| (name.into(), json!(list))).collect();
    if !choice.is_empty() {
        adapter.insert("include".into(), json!([choice]));
    }
    if args.deprecated {
        adapter.insert("deprecated".into(), json!(true));
    }
    adapter
}

fn turn(read: &Read, adapter: &Map<String, Value>) -> Result<Converted, Failure> {
    let mut settings = adapter.clone();
    settings.remove("kind");
    let settings: OpenApiSettings =
        serde_json::from_value(Value::Object(settings)).map_err(|error| Failure::Usage(error.to_string()))?;
    let source = Source { document: &read.document, at: read.at.as_ref(), others: &read.others };
    convert(&source, &settings).map_err(|reason| Failure::Usage(format!("{}: {reason}", read.shown)))
}

fn id(args: &OpenApiArgs, converted: &Converted) -> Result<ConnectorId, Failure> {
    if let Some(id) = &args.id {
        return ConnectorId::try_from(id.clone()).map_err(Failure::Usage);
    }
    let lower: String =
        converted.title.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { ' ' }).collect();
    let words = lower.split_whitespace().filter(|word| !EMPTY.contains(word) && word.parse::<u32>().is_err());
    let mut id = String::new();
    for word in words {
        if id.len() + word.len() >= LONGEST_ID {
            break;
        }
        id.extend((!id.is_empty()).then_some('-'));
        id.push_str(word);
    }
    let none = |_| Failure::Usage("the document's title makes no id; give one by --id".into());
    ConnectorId::try_from(id).map_err(none)
}

fn manifest(
    args: &OpenApiArgs,
    id: &ConnectorId,
    converted: &Converted,
    adapter: Map<String, Value>,
    slots: &slots::Slots,
) -> Value {
    let or = |text: &str, other: &str| if text.trim().is_empty() { other.to_owned() } else { text.to_owned() };
    let mut manifest = Map::new();
    manifest.insert("$schema".into(), json!("./schema.json"));
    manifest.insert("id".into(), json!(id));
    manifest.insert("name".into(), json!(args.name.clone().unwrap_or_else(|| or(&converted.title, id.as_str()))));
    manifest.insert("version".into(), json!(or(&converted.version, "1.0.0")));
    manifest.extend(converted.description.iter().map(|text| ("description".to_owned(), json!(text))));
    manifest.insert("adapter".into(), Value::Object(adapter));
    if let Some(credentials) = &slots.credentials {
        manifest.insert("credentials".into(), credentials.clone());
    }
    Value::Object(manifest)
}

impl Made {
    /// The manifest has to be one.
    fn check(&self) -> Result<(), Failure> {
        let file = self.target.file();
        let problems = Manifests::read([(file, self.text())]).problems;
        let errors: Vec<String> = problems.iter().filter(|it| it.is_error()).map(ToString::to_string).collect();
        if errors.is_empty() { Ok(()) } else { Err(Failure::Usage(errors.join("\n"))) }
    }
}

/// Whether an address is private as it is written.
fn is_private(url: &Url) -> bool {
    let local = url.domain().is_some_and(|name| name == "localhost" || name.ends_with(".localhost"));
    local || !is_public_literal(url)
}
