//! What a collection holds, and how it changes. Values in, values out.

use std::collections::HashMap;

use jsonschema::Validator;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Arguments, CollectionSettings, ItemsOperation, explain};
use crate::name::{nearest, shown};

/// Items named in one message; more would drown the model.
const MOST_NAMED: usize = 10;

type Item = Map<String, Value>;

/// Items in the order they came.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Items(Vec<Item>);

impl Items {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// How many there are, in words.
    pub(super) fn said(&self, name: &str) -> String {
        match self.0.len() {
            0 => format!("the {name} is empty"),
            1 => format!("the {name} holds 1 item"),
            many => format!("the {name} holds {many} items"),
        }
    }

    /// The items after an operation, and what was done, in words. Nothing is done by halves.
    pub(super) fn apply(
        self,
        operation: ItemsOperation,
        arguments: &Arguments,
        settings: &CollectionSettings,
        schema: &Validator,
    ) -> Result<(Self, String)> {
        let change = |items: Self, done: &str, change: &dyn Fn(&mut Draft<'_>) -> Result<Vec<String>>| {
            let mut draft = Draft::new(items, settings);
            let keys = change(&mut draft)?;
            draft.check(schema)?;
            Ok((draft.items, format!("{done} {}", listed(&keys))))
        };
        match operation {
            ItemsOperation::List => {
                let message = self.said(&settings.name);
                Ok((self, message))
            }
            ItemsOperation::Clear => Ok((Self::default(), format!("the {} is empty now", settings.name))),
            ItemsOperation::Add => change(self, "added", &|draft| draft.add(given(arguments, "items")?)),
            ItemsOperation::Update => change(self, "changed", &|draft| draft.update(given(arguments, "items")?)),
            ItemsOperation::Remove => change(self, "removed", &|draft| draft.remove(given(arguments, "keys")?)),
        }
    }
}

/// Items while they are changed.
struct Draft<'a> {
    items: Items,
    /// Where the item of a key is.
    index: HashMap<String, usize>,
    /// The items that are new or changed.
    touched: Vec<usize>,
    settings: &'a CollectionSettings,
}

impl<'a> Draft<'a> {
    fn new(items: Items, settings: &'a CollectionSettings) -> Self {
        let mut draft = Self { items, index: HashMap::new(), touched: Vec::new(), settings };
        draft.reindex();
        draft
    }

    fn reindex(&mut self) {
        let keys = self.items.0.iter().enumerate().map(|(at, item)| (self.folded(key_of(item, self.settings)), at));
        self.index = keys.collect();
    }

    /// A key in the form in which it is compared.
    fn folded(&self, key: &str) -> String {
        if self.settings.ignore_case {
            key.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
        } else {
            key.to_owned()
        }
    }

    fn add(&mut self, items: &[Value]) -> Result<Vec<String>> {
        let mut done = Vec::new();
        for item in items {
            let mut item = self.read(item)?;
            done.push(key_of(&item, self.settings).to_owned());
            let key = self.folded(key_of(&item, self.settings));
            let there = self.index.get(&key).copied();
            let defaults = self.settings.item.get("properties").and_then(Value::as_object);
            for (name, property) in defaults.into_iter().flatten() {
                // What was said before is not unsaid by saying nothing, but one more is one more.
                if let Some(default) = property.get("default").filter(|_| there.is_none() || self.sums(name)) {
                    item.entry(name).or_insert_with(|| default.clone());
                }
            }
            if let Some(at) = there {
                self.merge(at, item, true)?;
            } else {
                let at = self.items.0.len();
                if at == self.settings.max_items {
                    let CollectionSettings { name, max_items, .. } = self.settings;
                    return Err(invalid(format!("the {name} holds {max_items} items at most; nothing was added")));
                }
                self.index.insert(key, at);
                self.touched.push(at);
                self.items.0.push(item);
            }
        }
        Ok(done)
    }

    fn update(&mut self, items: &[Value]) -> Result<Vec<String>> {
        let changes = items.iter().map(|item| self.read(item)).collect::<Result<Vec<_>>>()?;
        let keys: Vec<&str> = changes.iter().map(|item| key_of(item, self.settings)).collect();
        let places = self.find(&keys)?;
        let done =
            places.iter().filter_map(|at| Some(key_of(self.items.0.get(*at)?, self.settings).to_owned())).collect();
        for (at, mut change) in places.into_iter().zip(changes) {
            // The key says which item is meant, and stays as it is written.
            change.shift_remove(&self.settings.key);
            self.merge(at, change, false)?;
        }
        Ok(done)
    }

    fn remove(&mut self, keys: &[Value]) -> Result<Vec<String>> {
        let keys: Vec<&str> = keys.iter().filter_map(Value::as_str).collect();
        let mut places = self.find(&keys)?;
        places.sort_unstable();
        places.dedup();
        let mut done = Vec::new();
        for at in places.into_iter().rev() {
            done.push(key_of(&self.items.0.remove(at), self.settings).to_owned());
        }
        done.reverse();
        self.reindex();
        Ok(done)
    }

    /// Where these keys are; all of them, or an error that names the ones that are not there.
    fn find(&self, keys: &[&str]) -> Result<Vec<usize>> {
        let found: Vec<Option<usize>> = keys.iter().map(|key| self.index.get(&self.folded(key)).copied()).collect();
        let missing: Vec<String> =
            keys.iter().zip(&found).filter(|(_, at)| at.is_none()).map(|(key, _)| shown(key)).collect();
        let Some(first) = missing.first() else { return Ok(found.into_iter().flatten().collect()) };
        let there: Vec<&str> = self.items.0.iter().map(|item| key_of(item, self.settings)).collect();
        let near = nearest(first, there.iter().copied());
        let near: Vec<String> = if near.is_empty() { &there } else { &near }.iter().map(|key| shown(key)).collect();
        let name = &self.settings.name;
        let hint = if near.is_empty() { "it is empty".to_owned() } else { format!("it holds {}", listed(&near)) };
        Err(invalid(format!("the {name} has no {}; {hint}. Nothing was changed", listed(&missing))))
    }

    fn sums(&self, name: &String) -> bool {
        self.settings.sum.contains(name)
    }

    /// Puts members over those of an item. Numbers that add up do so when the item is added once more.
    fn merge(&mut self, at: usize, change: Item, again: bool) -> Result<()> {
        let sums = |name: &String| again && self.settings.sum.contains(name);
        let Some(item) = self.items.0.get_mut(at) else { return Ok(()) };
        for (name, value) in change {
            if again && name == self.settings.key {
                continue;
            }
            let value = match (item.get(&name), &value) {
                (Some(Value::Number(before)), Value::Number(more)) if sums(&name) => {
                    let large = || invalid(format!("`{}` would become too large to count", shown(&name)));
                    added(before, more).ok_or_else(large)?
                }
                _ => value,
            };
            item.insert(name, value);
        }
        self.touched.push(at);
        Ok(())
    }

    fn read(&self, item: &Value) -> Result<Item> {
        let item = item.as_object().filter(|item| item.get(&self.settings.key).is_some_and(Value::is_string));
        item.cloned().ok_or_else(|| invalid(format!("every item is an object with the text `{}`", self.settings.key)))
    }

    /// What came out has to be what items are, even after adding up.
    fn check(&self, schema: &Validator) -> Result<()> {
        for at in &self.touched {
            let Some(item) = self.items.0.get(*at) else { continue };
            let (key, item) = (shown(key_of(item, self.settings)), Value::Object(item.clone()));
            let size = item.to_string().len();
            let most = self.settings.max_item_bytes;
            if size > most {
                return Err(invalid(format!("`{key}` is {size} bytes, {most} at most (`maxItemBytes`)")));
            }
            if let Some((pointer, message)) =
                schema.iter_errors(&item).flat_map(|error| explain(&error, &Value::Null)).next()
            {
                let place = pointer.strip_prefix('/').unwrap_or("the item");
                return Err(invalid(format!(
                    "`{key}` would not be right: {}: {message}. Nothing was changed",
                    shown(place)
                )));
            }
        }
        Ok(())
    }
}

fn given<'a>(arguments: &'a Arguments, name: &str) -> Result<&'a [Value]> {
    let list = arguments.get(name).and_then(Value::as_array).filter(|list| !list.is_empty());
    list.map(Vec::as_slice).ok_or_else(|| invalid(format!("`{name}` has to be an array that is not empty")))
}

fn key_of<'a>(item: &'a Item, settings: &CollectionSettings) -> &'a str {
    item.get(&settings.key).and_then(Value::as_str).unwrap_or_default()
}

/// A sum, whole when both are.
fn added(before: &Number, more: &Number) -> Option<Value> {
    match (before.as_i64(), more.as_i64()) {
        (Some(before), Some(more)) => before.checked_add(more).map(Value::from),
        _ => Number::from_f64(before.as_f64()? + more.as_f64()?).map(Value::Number),
    }
}

/// `eggs, milk and bread`.
fn listed(names: &[impl AsRef<str>]) -> String {
    let mut names: Vec<String> = names.iter().map(|name| shown(name.as_ref())).collect();
    if names.len() > MOST_NAMED {
        let more = names.len() - MOST_NAMED;
        names.truncate(MOST_NAMED);
        names.push(format!("{more} more"));
    }
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArguments, message)
}
