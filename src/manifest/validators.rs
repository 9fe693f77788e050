//! A tool's schemas, compiled when they are first needed: a document may describe a thousand tools.

use std::sync::{Arc, OnceLock};

use jsonschema::Validator;
use serde_json::Value;

use super::check::compile;

/// A tool's schemas, compiled. Clones share what was compiled.
#[derive(Debug, Clone, Default)]
pub struct Validators {
    input: Slot,
    output: Slot,
}

/// A schema's validator, once it was asked for; none for a schema that is none.
type Slot = Arc<OnceLock<Option<Validator>>>;

impl Validators {
    /// What is compiled already.
    pub(super) fn ready(input: Validator, output: Option<Validator>) -> Self {
        let filled = |validator| Arc::new(OnceLock::from(validator));
        Self { input: filled(Some(input)), output: filled(output) }
    }

    /// What judges arguments by `schema`, the same at each call. None judges nothing: the upstream will.
    pub fn input(&self, schema: &Value) -> Option<&Validator> {
        self.input.get_or_init(|| compile(schema).ok()).as_ref()
    }

    /// What judges structured results by `schema`, the same at each call, when the tool promises a form.
    pub fn output(&self, schema: Option<&Value>) -> Option<&Validator> {
        self.output.get_or_init(|| compile(schema?).ok()).as_ref()
    }
}
