//! The `collection` adapter: items that are kept here, for tools and their widgets to work on together.
//!
//! A collection is one value of the store, changed by compare-and-set, so that two calls at once lose nothing.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use jsonschema::Validator;
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

mod items;

use super::{Adapter, Surroundings};
use crate::call::{CallContext, Invocation, Outcome, Output};
use crate::caller::Caller;
use crate::catalog::Names;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Arguments, Checked, CollectionSettings, ItemsOperation, Operation, Scope, compile_items};
use crate::name::shown;
use crate::store::{Expected, MAX_VALUE, Put, Store, StoreError, Version};
use crate::widget::sha256_hex;
use items::Items;

/// Calls of this process take turns at a collection, so only other processes make a call try again.
const TURNS: usize = 64;
/// How often a call tries again when others were quicker.
const TRIES: usize = 20;
/// The longest id a client may make up for a conversation; a longer one is hashed.
const LONGEST_ID: usize = 64;

/// Where `ChatGPT` says which widget, and which conversation, a call belongs to.
const WIDGET_SESSION: &str = "openai/widgetSessionId";
const CONVERSATION: &str = "openai/session";

/// Items that are kept here.
#[derive(Debug)]
pub(super) struct CollectionAdapter {
    settings: CollectionSettings,
    item: Validator,
    names: Names,
    /// What each tool does, by its own name, in the manifest's order.
    operations: Vec<(String, ItemsOperation)>,
    store: Arc<dyn Store>,
    turns: Vec<Mutex<()>>,
}

/// Which collection a call is about.
#[derive(Debug)]
struct Place {
    key: String,
    /// Its id, where there are many.
    id: Option<String>,
    /// Somebody says that it is there already.
    must_exist: bool,
}

impl CollectionAdapter {
    pub(super) fn new(
        checked: &Checked,
        settings: &CollectionSettings,
        around: Surroundings<'_>,
    ) -> Result<Self, String> {
        let connector = &checked.connector;
        let operations = connector.tools.iter().filter_map(|tool| match tool.operation? {
            Operation::Items(operation) => Some((tool.name.clone(), operation)),
            Operation::Gateway(_) => None,
        });
        Ok(Self {
            settings: settings.clone(),
            item: compile_items(settings)?,
            names: Names::of(connector),
            operations: operations.collect(),
            store: around.store.clone()?,
            turns: std::iter::repeat_with(Mutex::default).take(TURNS).collect(),
        })
    }

    /// The collection a call is about; none when nothing says which, and so a new one.
    fn place(&self, arguments: &Arguments, cx: &CallContext) -> Option<Place> {
        let start = format!("collection/{}", self.names.connector);
        let at = |key: String| Some(Place { key, id: None, must_exist: false });
        match self.settings.scope {
            Scope::Shared => return at(format!("{start}/shared")),
            Scope::Caller => return at(format!("{start}/caller/{}", word(&cx.caller))),
            Scope::Session => {}
        }
        let explicit = arguments.get(&self.settings.id_argument()?).and_then(Value::as_str).map(tame);
        let implied = implied(cx);
        let must_exist = explicit.is_some() && explicit != implied;
        Some(Place { must_exist, ..self.conversation(&cx.caller, explicit.or(implied)?) })
    }

    /// The collection of a conversation of this caller.
    fn conversation(&self, caller: &Caller, id: String) -> Place {
        let key = format!("collection/{}/session/{}/{id}", self.names.connector, word(caller));
        Place { key, id: Some(id), must_exist: false }
    }

    async fn read(&self, place: &Place) -> Result<(Items, Option<Version>)> {
        let Some(stored) = self.store.get(&place.key).await.map_err(failed)? else {
            if place.must_exist {
                return Err(self.unknown(place));
            }
            return Ok((Items::default(), None));
        };
        let items = serde_json::from_slice(&stored.value)
            .map_err(|error| Error::new(ErrorKind::Internal, "the collection cannot be read").because(error))?;
        Ok((items, Some(stored.version)))
    }

    fn unknown(&self, place: &Place) -> Error {
        let (name, id) = (&self.settings.name, shown(place.id.as_deref().unwrap_or_default()));
        let message = format!(
            "there is no {name} with the {name}Id `{id}`, or it was forgotten since; leave `{name}Id` out to start a new one"
        );
        Error::new(ErrorKind::InvalidArguments, message)
    }

    /// Applies a change to whatever is there at that moment.
    async fn change(
        &self,
        operation: ItemsOperation,
        place: &Place,
        arguments: &Arguments,
        most: usize,
    ) -> Result<(Items, Option<Version>, String)> {
        let mut hasher = DefaultHasher::new();
        place.key.hash(&mut hasher);
        let turn = usize::try_from(hasher.finish() % TURNS as u64).ok().and_then(|turn| self.turns.get(turn));
        let _turn = match turn {
            Some(turn) => Some(turn.lock().await),
            None => None,
        };
        for _ in 0..TRIES {
            let (items, version) = self.read(place).await?;
            let (items, message) = items.apply(operation, arguments, &self.settings, &self.item)?;
            if version.is_none() && items.len() == 0 {
                // What was not there and holds nothing need not be kept.
                return Ok((items, None, message));
            }
            let value = serde_json::to_vec(&items)
                .map_err(|error| Error::new(ErrorKind::Internal, "the collection cannot be written").because(error))?;
            // What could not be shown afterwards is not done at all.
            if value.len() > most.min(MAX_VALUE) {
                let message = format!("the {} would become too large; nothing was changed", self.settings.name);
                return Err(Error::new(ErrorKind::TooLarge, message));
            }
            if version.is_none() {
                self.check_room().await?;
            }
            let expires = Duration::from_secs(self.settings.expire_seconds.get());
            let put = Put {
                expected: version.map_or(Expected::Absent, Expected::Is),
                expires: SystemTime::now().checked_add(expires),
            };
            let unsure = |error| {
                let name = &self.settings.name;
                let message = format!("whether the {name} was changed is not known; look at it before you try again");
                Error::new(ErrorKind::Unavailable, message).because(error)
            };
            if let Some(version) = self.store.put(&place.key, value.into(), put).await.map_err(unsure)? {
                return Ok((items, Some(version), message));
            }
        }
        let message = format!("too many calls change this {} at once; try again", self.settings.name);
        Err(Error::new(ErrorKind::Busy, message))
    }

    /// Anybody may start a collection, so there is an end to how many.
    async fn check_room(&self) -> Result<()> {
        let prefix = format!("collection/{}/", self.names.connector);
        let most = self.settings.max_collections;
        if self.store.count(&prefix).await.map_err(failed)? < most {
            return Ok(());
        }
        let message = format!(
            "there are {most} of these already, and no room for a new one; try again later, or ask the operator to raise `maxCollections`"
        );
        Err(Error::new(ErrorKind::TooLarge, message))
    }

    fn output(&self, place: Option<&Place>, items: &Items, version: Option<Version>, message: &str) -> Output {
        // What is not there yet has no id that anybody else could use.
        let id = place.and_then(|place| place.id.as_ref()).filter(|_| version.is_some());
        let mut structured = Map::new();
        if let (Some(argument), Some(id)) = (self.settings.id_argument(), id) {
            structured.insert(argument, json!(id));
        }
        structured.insert("items".into(), json!(items));
        structured.insert("count".into(), json!(items.len()));
        structured.insert("message".into(), json!(message));
        let mut output = Output::json(Value::Object(structured));

        let mut tools = Map::new();
        for (tool, operation) in &self.operations {
            let word = json!(operation).as_str().unwrap_or_default().to_owned();
            tools.entry(word).or_insert_with(|| json!(self.names.public_name(tool)));
        }
        let mut about = json!({
            "name": self.settings.name,
            "key": self.settings.key,
            "scope": self.settings.scope,
            "maxItems": self.settings.max_items,
            "tools": tools,
        });
        if let Value::Object(about) = &mut about {
            about.extend(version.map(|version| ("version".into(), json!(version.number()))));
            about.extend(self.settings.id_argument().map(|argument| ("argument".into(), json!(argument))));
            about.extend(id.map(|id| ("id".into(), json!(id))));
        }
        // One widget for one collection, however many calls show it.
        let shared = || place.filter(|place| place.id.is_none()).map(|place| sha256_hex(&place.key));
        let widget = id.cloned().or_else(shared);
        output.meta.extend(widget.map(|widget| (WIDGET_SESSION.to_owned(), json!(widget))));
        output.meta.insert("switchboard/collection".into(), about);
        output
    }
}

#[async_trait]
impl Adapter for CollectionAdapter {
    async fn call(&self, invocation: &Invocation, cx: &CallContext) -> Result<Outcome> {
        let found = self.operations.iter().find(|(tool, _)| *tool == invocation.entry.tool);
        let operation = found.map(|(_, operation)| *operation);
        let operation = operation.ok_or_else(|| Error::new(ErrorKind::Internal, "the tool has no operation"))?;
        let arguments = &invocation.arguments;
        let place = self.place(arguments, cx);
        if operation == ItemsOperation::List {
            let Some(place) = place else {
                let items = Items::default();
                return Ok(self.output(None, &items, None, &items.said(&self.settings.name)).into());
            };
            let (items, version) = self.read(&place).await?;
            let message = items.said(&self.settings.name);
            return Ok(self.output(Some(&place), &items, version, &message).into());
        }
        let new = || self.conversation(&cx.caller, uuid::Uuid::new_v4().simple().to_string());
        let place = place.unwrap_or_else(new);
        let (items, version, message) = self.change(operation, &place, arguments, cx.max_result / 2).await?;
        Ok(self.output(Some(&place), &items, version, &message).into())
    }

    async fn probe(&self) -> Result<()> {
        self.store.get("probe").await.map(drop).map_err(failed)
    }
}

/// A caller, as part of a key. Who proved who they are keeps what is theirs whatever they prove it with.
fn word(caller: &Caller) -> String {
    match caller {
        Caller::Local | Caller::Anonymous { .. } => caller.id(),
        Caller::Known(principal) => sha256_hex(&principal.id()),
    }
}

/// The conversation a call belongs to, as far as its client says.
fn implied(cx: &CallContext) -> Option<String> {
    let meta = &cx.downstream.meta;
    let hashed = |id: String| sha256_hex(&id).chars().take(32).collect();
    let session = || cx.downstream.session.as_ref().map(|session| session.id.simple().to_string());
    meta.text(WIDGET_SESSION)
        .filter(|id| !id.is_empty())
        .map(|id| tame(&id))
        .or_else(|| meta.text(CONVERSATION).filter(|id| !id.is_empty()).map(hashed))
        .or_else(session)
}

/// An id that can be part of a key, whatever a client makes up.
fn tame(id: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !id.is_empty() && id.len() <= LONGEST_ID && id.chars().all(fits) {
        return id.to_owned();
    }
    sha256_hex(id).chars().take(32).collect()
}

fn failed(error: StoreError) -> Error {
    let message = "what is kept here cannot be reached now; try again, or ask the operator to look at the log";
    Error::new(ErrorKind::Unavailable, message).because(error)
}
