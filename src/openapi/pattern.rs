//! Which of a document's patterns are passed on.

use std::collections::HashMap;

use jsonschema::PatternOptions;
use serde_json::json;

use super::node::Documents;

/// The longest pattern that is passed on.
const LONGEST_PATTERN: usize = 500;
/// The largest machine a pattern may become, in bytes: larger ones take long to make.
const LARGEST_PATTERN: usize = 1 << 20;
/// What it costs to try one, in steps.
const PATTERN_STEPS: usize = 2_000;

/// Which patterns the validator takes.
#[derive(Debug, Default)]
pub(super) struct Patterns(HashMap<String, bool>);

impl Patterns {
    pub(super) fn takes(&mut self, pattern: &str, documents: &Documents<'_>) -> bool {
        if pattern.len() > LONGEST_PATTERN {
            return false;
        }
        if let Some(known) = self.0.get(pattern) {
            return *known;
        }
        if !documents.spend(PATTERN_STEPS) {
            return false;
        }
        let engine = PatternOptions::fancy_regex().size_limit(LARGEST_PATTERN);
        let options = jsonschema::options().with_draft(jsonschema::Draft::Draft202012).with_pattern_options(engine);
        let options = options.offline();
        let takes = options.build(&json!({ "pattern": pattern })).is_ok();
        self.0.insert(pattern.to_owned(), takes);
        takes
    }
}
