//! A tool's descriptor, as a client reads it.

use std::collections::BTreeSet;

use serde_json::Value;

/// A tool of a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tool<'a>(pub(super) &'a Value);

impl<'a> Tool<'a> {
    pub(super) fn get(self, pointer: &str) -> Option<&'a Value> {
        self.0.pointer(pointer)
    }

    pub(super) fn text(self, pointer: &str) -> Option<&'a str> {
        self.get(pointer).and_then(Value::as_str)
    }

    pub(super) fn name(self) -> &'a str {
        self.text("/name").unwrap_or_default()
    }

    pub(super) fn meta(self, key: &str) -> Option<&'a Value> {
        self.0.get("_meta")?.get(key)
    }

    pub(super) fn is_read_only(self) -> bool {
        self.get("/annotations/readOnlyHint") == Some(&Value::Bool(true))
    }

    /// The page it shows itself with.
    pub(super) fn page(self) -> Option<&'a str> {
        self.text("/_meta/ui/resourceUri").or_else(|| self.meta("openai/outputTemplate").and_then(Value::as_str))
    }

    pub(super) fn needs_arguments(self) -> bool {
        self.get("/inputSchema/required").and_then(Value::as_array).is_some_and(|required| !required.is_empty())
    }

    /// Who may call it, by its own word.
    pub(super) fn schemes(self) -> &'a [Value] {
        let schemes = self.0.get("securitySchemes").or_else(|| self.meta("securitySchemes"));
        schemes.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    fn has_scheme(self, kind: &str) -> bool {
        self.schemes().iter().any(|scheme| scheme.get("type").is_some_and(|it| it == kind))
    }

    /// Whether somebody who is not signed in may call it.
    pub(super) fn is_open(self) -> bool {
        self.schemes().is_empty() || self.has_scheme("noauth")
    }

    pub(super) fn wants_sign_in(self) -> bool {
        self.has_scheme("oauth2")
    }

    /// The scopes it takes.
    pub(super) fn scopes(self) -> BTreeSet<String> {
        let all = self.schemes().iter().filter_map(|scheme| scheme.get("scopes")?.as_array()).flatten();
        all.filter_map(|scope| scope.as_str().map(str::to_owned)).collect()
    }

    pub(super) fn is_profile(self) -> bool {
        self.meta("openai/profile") == Some(&Value::Bool(true))
    }
}
