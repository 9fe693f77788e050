//! Manifests: what a person declares about connectors, read and checked. Texts in, values out.
//!
//! A file holds one connector, a list of them, or a service-map document. A connector with a
//! fault is left out and the others stay; every fault of every file is reported with its place.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;

mod audit;
mod built_in;
mod check;
mod collection;
mod command;
mod credentials;
mod document;
mod feeds;
mod file;
mod http;
mod limits;
mod mcp;
mod model;
mod openapi;
mod operation;
mod owner;
mod query;
mod relations;
mod retries;
mod schema;
mod service_map;
mod template;
mod validators;
mod widget;

pub use audit::{Audited, AuditedArguments};
pub use built_in::BuiltIn;
pub use check::compile_items;
pub use collection::{CollectionSettings, Scope};
pub use command::{Arg, Choice, CommandSettings, OutputFormat, Run};
pub use credentials::{Basic, ClientAuth, Credentials, Grant, OAuth};
pub use document::{Document, explain, overlay};
pub use feeds::{Feeds, FetchFeed, Field, SearchFeed};
pub use file::FileArgument;
pub use http::{Body, Encoding, FailureMark, FilePart, HttpSettings, Method, Multipart, Request, Response};
pub use limits::{Quotas, Timeouts};
pub use mcp::{McpProtocol, McpSettings, McpStart, McpTransport};
pub use model::{
    AdapterSettings, Annotations, Auth, AuthKind, Connector, GatewaySettings, Sample, SecurityScheme, Tool,
};
pub use openapi::{Choice as OperationChoice, Mend, MendParameter, OpenApiSettings, OutputPromise};
pub use operation::{GatewayOperation, ItemsOperation, Operation};
pub use owner::Owner;
pub use query::Query;
pub use relations::{MOST_RELATIONS, Relations};
pub use retries::Retries;
pub use schema::{Part as SchemaPart, file_schema, generate as schema_of, part as compile_schema};
pub use service_map::Masthead;
pub use template::{Arguments, Expansion, JsonTemplate, Part, Template, present, text_of};
pub use validators::Validators;
pub use widget::{Audience, ClientName, Domain, PageOptions, Widget};

use crate::error::{Problem, Severity};
use crate::name::ConnectorId;

/// A connector in which nothing is wrong, with what was learned by checking it.
#[derive(Debug, Clone)]
pub struct Checked {
    /// What the manifest says; input schemas are complete.
    pub connector: Connector,
    /// The tools' schemas, compiled, in the tools' order.
    pub validators: Vec<Validators>,
    /// The document it stands in.
    pub document: Arc<Document>,
    /// Where in the document: a JSON pointer.
    pub pointer: String,
}

impl Checked {
    /// The file it stands in.
    pub fn file(&self) -> &Path {
        &self.document.file
    }

    /// Whether nobody wrote it.
    pub fn is_built_in(&self) -> bool {
        self.file().starts_with(built_in::FOLDER)
    }

    /// The folder that relative paths start from.
    pub fn folder(&self) -> &Path {
        self.file().parent().unwrap_or(Path::new("."))
    }

    /// An error at `below` in it.
    pub fn error(&self, below: &str, message: impl Into<String>) -> Problem {
        self.problem(Severity::Error, below, message)
    }

    /// A problem at `below` in it.
    pub fn problem(&self, severity: Severity, below: &str, message: impl Into<String>) -> Problem {
        self.document.problem(severity, &format!("{}{below}", self.pointer), message)
    }
}

/// All manifests of one place, and everything wrong with them.
#[derive(Debug, Clone, Default)]
pub struct Manifests {
    /// The usable connectors, by id.
    pub connectors: Vec<Checked>,
    /// Errors and warnings, by file and place.
    pub problems: Vec<Problem>,
    /// What the first document of connectors says of itself.
    pub masthead: Option<Arc<Masthead>>,
}

impl Manifests {
    /// Reads the texts of files. The order of the files does not matter.
    pub fn read(files: impl IntoIterator<Item = (PathBuf, String)>) -> Self {
        let mut all = Self::default();
        let mut files: Vec<_> = files.into_iter().collect();
        files.sort();
        for (file, text) in files {
            match Document::parse(&file, &text) {
                Ok(document) => all.add_document(&Arc::new(document)),
                Err(problem) => all.problems.push(problem),
            }
        }
        all.drop_duplicates();
        all.problems.sort_by(|a, b| (&a.file, a.place).cmp(&(&b.file, b.place)));
        all
    }

    /// Keeps connectors of earlier times whose file has an error now, so that a broken edit
    /// takes nothing away.
    pub fn keep_last_good<'a>(&mut self, before: impl IntoIterator<Item = &'a Checked>) {
        for checked in before {
            let broken = self.problems.iter().any(|problem| problem.is_error() && problem.file == checked.file());
            let id = &checked.connector.id;
            if broken && !self.connectors.iter().any(|now| now.connector.id == *id) {
                self.connectors.push(checked.clone());
            }
        }
        self.connectors.sort_by(|a, b| a.connector.id.cmp(&b.connector.id));
    }

    /// Adds what somebody added while the server ran, one connector with its document. What a person wrote in a file
    /// goes before.
    pub fn add_owned(&mut self, file: &Path, text: &str, owner: &Owner) {
        let before = self.connectors.len();
        match Document::parse(file, text) {
            Ok(document) => self.add_document(&Arc::new(document)),
            Err(problem) => self.problems.push(problem),
        }
        for added in self.connectors.iter_mut().skip(before) {
            added.connector.owner = Some(owner.clone());
        }
    }

    fn add_document(&mut self, document: &Arc<Document>) {
        if let Value::Array(connectors) = &document.value {
            for index in 0..connectors.len() {
                self.add_connector(document, &format!("/{index}"));
            }
        } else if document.value.get("connectors").is_some() {
            self.add_service_map(document);
        } else {
            self.add_connector(document, "");
        }
    }

    fn add_connector(&mut self, document: &Arc<Document>, pointer: &str) {
        match document.read(pointer, &schema::CONNECTOR) {
            Ok(connector) => self.add(document, pointer, connector),
            Err(problems) => self.problems.extend(problems),
        }
    }

    fn add_service_map(&mut self, document: &Arc<Document>) {
        match document.read::<service_map::ServiceMap>("", &schema::SERVICE_MAP) {
            Err(problems) => self.problems.extend(problems),
            Ok(map) => {
                for index in 0..map.connectors.len() {
                    let pointer = format!("/connectors/{index}");
                    match document.read::<service_map::ServiceMapConnector>(&pointer, &schema::SERVICE_MAP_CONNECTOR) {
                        Ok(connector) => self.add(document, &pointer, connector.into_connector()),
                        Err(problems) => self.problems.extend(problems),
                    }
                }
                self.masthead.get_or_insert_with(|| Arc::new(map.masthead(document.file.clone())));
            }
        }
    }

    fn add(&mut self, document: &Arc<Document>, pointer: &str, mut connector: Connector) {
        let (validators, problems) = check::check(document, pointer, &mut connector);
        if !problems.iter().any(Problem::is_error) {
            self.connectors.push(Checked {
                connector,
                validators,
                document: Arc::clone(document),
                pointer: pointer.to_owned(),
            });
        }
        self.problems.extend(problems);
    }

    /// Of connectors with one id, the first stays.
    fn drop_duplicates(&mut self) {
        self.connectors.sort_by(|a, b| a.connector.id.cmp(&b.connector.id));
        let mut seen: HashMap<ConnectorId, PathBuf> = HashMap::new();
        let problems = &mut self.problems;
        self.connectors.retain(|checked| {
            let id = &checked.connector.id;
            if let Some(first) = seen.get(id) {
                problems.push(checked.error("/id", format!("the id `{id}` is taken by {}", first.display())));
                return false;
            }
            seen.insert(id.clone(), checked.file().to_owned());
            true
        });
    }
}
