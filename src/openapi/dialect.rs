//! Which form a document has.

use serde_json::Value;

/// The forms that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Swagger2,
    OpenApi30,
    OpenApi31,
}

impl Dialect {
    /// A document's form; words when it has none of them.
    pub(super) fn of(document: &Value) -> Result<Self, String> {
        let said = |key: &str| match document.get(key) {
            Some(Value::String(version)) => Some(version.clone()),
            Some(Value::Number(version)) => Some(version.to_string()),
            _ => None,
        };
        match (said("openapi"), said("swagger")) {
            // 3.2 adds to 3.1 and takes nothing away.
            (Some(version), _) if version.starts_with("3.1") || version.starts_with("3.2") => Ok(Self::OpenApi31),
            (Some(version), _) if version == "3" || version.starts_with("3.0") => Ok(Self::OpenApi30),
            (None, Some(version)) if version == "2" || version.starts_with("2.") => Ok(Self::Swagger2),
            (Some(version), _) => Err(format!("`openapi` is {version:?}; 3.0 and 3.1 are read, and Swagger 2.0")),
            (None, Some(version)) => Err(format!("`swagger` is {version:?}; 2.0 is read, and OpenAPI 3.0 and 3.1")),
            (None, None) if document.get("info").is_some_and(Value::is_object) && document.get("paths").is_some() => {
                Err("it says neither `openapi: 3.…` nor `swagger: \"2.0\"`, so its form is not known".into())
            }
            (None, None) => Err("it is no OpenAPI document: it has neither `openapi` nor `swagger`".into()),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Swagger2 => "2.0",
            Self::OpenApi30 => "3.0",
            Self::OpenApi31 => "3.1",
        }
    }

    /// Whether what stands beside `$ref` in a schema counts.
    pub(super) fn has_siblings(self) -> bool {
        self == Self::OpenApi31
    }
}
