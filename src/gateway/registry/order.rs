//! What somebody asks to be added, and for whom.

use serde::Deserialize;
use serde_json::Value;

use super::clients::OAuthClient;
use super::record::MARK;
use super::{RegistryError, Source};
use crate::caller::Caller;
use crate::name::shown;

/// The longest name: a tenant's mark has to find room behind it.
const LONGEST_NAME: usize = 54;
/// The longest text that describes one, in characters.
const LONGEST_TEXT: usize = 1000;
/// The longest name of a tenant, in bytes.
const LONGEST_TENANT: usize = 200;

/// A connector to add.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewConnector {
    /// What it is to be called.
    pub name: String,
    /// For whom it is to be there.
    #[serde(rename = "tenantId")]
    pub tenant: Option<String>,
    /// Groups it with others.
    pub category: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Where it comes from.
    pub source: Source,
    /// Who the tenant is at the connector's issuer.
    #[serde(default)]
    pub oauth_config: Option<OAuthClient>,
}

impl NewConnector {
    /// An order as clients write it: `{name, source, category, description?, tenantId?, oauthConfig?}`.
    pub fn read(order: &Value) -> Result<Self, RegistryError> {
        let kind = order.pointer("/source/type").and_then(Value::as_str);
        let known = ["openapi", "http", "sse", "npm", "stdio", "docker", "github"];
        if !kind.is_some_and(|kind| known.contains(&kind)) {
            return Err(RegistryError::Invalid(format!("`source.type` has to be one of {}", known.join(", "))));
        }
        // The library's words would repeat what may be a secret in the wrong place.
        let unreadable = |_| {
            RegistryError::Invalid(
                "it has to be {name, source, category, description?, tenantId?, oauthConfig?}, and `source` what its \
                 `type` takes"
                    .into(),
            )
        };
        Self::deserialize(order).map_err(unreadable)
    }

    pub(super) fn check(&self) -> Result<(), RegistryError> {
        let invalid = |words: String| Err(RegistryError::Invalid(words));
        if !is_name(&self.name) {
            return invalid(format!(
                "`name` has to be 1 to {LONGEST_NAME} lower-case letters, digits and `-`, and begin with no `-`"
            ));
        }
        for (key, text) in [("category", &self.category), ("description", &self.description)] {
            let fits = |text: &String| text.chars().count() <= LONGEST_TEXT && !text.chars().any(char::is_control);
            if !text.iter().all(fits) {
                return invalid(format!("`{key}` has to be a text of at most {LONGEST_TEXT} characters on one line"));
            }
        }
        if self.tenant.is_none() && is_marked(&self.name) {
            return invalid("`name` may not end like a tenant's mark, in `-` and eight hexadecimal digits".into());
        }
        self.source.fault().map_or(Ok(()), invalid)
    }
}

pub(super) fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=LONGEST_NAME).contains(&name.len()) && !name.starts_with('-') && name.chars().all(fits)
}

/// Whether a name ends as the id of a tenant's connector does.
fn is_marked(name: &str) -> bool {
    name.rsplit_once('-')
        .is_some_and(|(_, mark)| mark.len() == MARK && mark.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')))
}

/// Whose things are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose<'a> {
    /// Everybody's.
    All,
    /// This tenant's, or nobody's.
    Of(Option<&'a str>),
}

impl Whose<'_> {
    pub(super) fn has(self, tenant: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::Of(whose) => whose == tenant,
        }
    }
}

/// The tenant in whose name a caller asks: of those that the request names, which have to be one, else their own.
pub fn tenant_of(caller: &Caller, named: &[Option<&str>]) -> Result<Option<String>, RegistryError> {
    let named = || named.iter().copied().flatten().filter(|tenant| !tenant.is_empty());
    let Some(tenant) = named().next() else { return Ok(caller.tenant().map(str::to_owned)) };
    if let Some(foreign) = named().find(|tenant| caller.acting_for(tenant).is_none()) {
        return Err(RegistryError::Forbidden(format!("you do not belong to the tenant `{}`", shown(foreign))));
    }
    if named().any(|other| other != tenant) {
        return Err(RegistryError::Invalid("the request names two tenants".into()));
    }
    if tenant.len() > LONGEST_TENANT {
        return Err(RegistryError::Invalid(format!("a tenant's name has at most {LONGEST_TENANT} bytes")));
    }
    Ok(Some(tenant.to_owned()))
}
