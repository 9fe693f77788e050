//! What it takes to use a connector's things, and the words that tell clients so.

use crate::caller::Access;
use crate::manifest::{AuthKind, Connector, Operation, SecurityScheme, Tool};

/// The scope of who may add connectors and take them away while the server runs.
pub const ADMIN: &str = "connectors:admin";

/// How callers can prove who they are, as far as a catalog depends on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SignIn {
    /// Not at all.
    #[default]
    Nobody,
    /// By API keys, for which MCP has no words.
    Keys,
    /// By OAuth, where a tool asks for it.
    Mixed,
    /// By OAuth, before anything else.
    Everybody,
}

impl SignIn {
    /// Whether clients sign in by OAuth.
    pub fn is_oauth(self) -> bool {
        matches!(self, Self::Mixed | Self::Everybody)
    }

    /// What it takes to use what a connector has beside tools.
    pub fn to_connector(self, connector: &Connector) -> Access {
        if !connector.tools.is_empty() && connector.tools.iter().all(registers) {
            return Access::Held(union([&[ADMIN.to_owned()], connector.scopes.as_slice()]));
        }
        self.owned(connector, self.unless_open(connector, scopes(connector, &[])))
    }

    /// What it takes to call a tool: its own word, else its connector's.
    pub(super) fn to_tool(self, connector: &Connector, tool: &Tool) -> Access {
        if registers(tool) {
            return Access::Held(union([&[ADMIN.to_owned()], connector.scopes.as_slice(), &tool.scopes]));
        }
        let own = own(tool);
        if own.is_empty() {
            return self.owned(connector, self.unless_open(connector, scopes(connector, &tool.scopes)));
        }
        let ways = own.iter().map(|scheme| match scheme {
            // A tool that names scopes of its own is not for everybody, where somebody can hold them.
            SecurityScheme::NoAuth if self == Self::Nobody || tool.scopes.is_empty() => None,
            SecurityScheme::NoAuth => Some(union([&connector.scopes, &tool.scopes])),
            SecurityScheme::OAuth2 { scopes } => Some(union([scopes, &connector.scopes, &tool.scopes])),
        });
        // One way that takes nothing opens it, unless it acts in the name of who calls.
        let nothing =
            if connector.credentials.is_per_caller() { Access::Proven(vec![Vec::new()]) } else { Access::Open };
        self.owned(connector, ways.collect::<Option<Vec<_>>>().map_or(nothing, Access::Proven))
    }

    /// What somebody added is there for their tenant, and never for who could say who they are and has not.
    fn owned(self, connector: &Connector, access: Access) -> Access {
        let Some(owner) = &connector.owner else { return access };
        let asks = access == Access::Open && self != Self::Nobody;
        let access = if asks { Access::Proven(vec![Vec::new()]) } else { access };
        Access::Of(owner.tenant.clone(), Box::new(access))
    }

    fn unless_open(self, connector: &Connector, scopes: Vec<String>) -> Access {
        // Where nobody can hold a scope, a name for one closes nothing that asks for no proof.
        let asks = connector.auth.kind != AuthKind::None || (self != Self::Nobody && !scopes.is_empty());
        if asks || connector.credentials.is_per_caller() { Access::Proven(vec![scopes]) } else { Access::Open }
    }

    /// What `securitySchemes` says of a tool. API keys are a matter of the transport and have no word here.
    pub(super) fn words(self, connector: &Connector, tool: &Tool, access: &Access) -> Vec<SecurityScheme> {
        let own = own(tool);
        let key = own.is_empty() && matches!(connector.auth.kind, AuthKind::None | AuthKind::ApiKey);
        match (self, access) {
            (Self::Nobody | Self::Keys, _) if key => vec![SecurityScheme::NoAuth],
            (Self::Everybody, Access::Open) => {
                let proofs = own.iter().filter(|scheme| **scheme != SecurityScheme::NoAuth);
                let proofs: Vec<SecurityScheme> = proofs.cloned().collect();
                if proofs.is_empty() { vec![SecurityScheme::OAuth2 { scopes: Vec::new() }] } else { proofs }
            }
            (_, Access::Open) if own.is_empty() => vec![SecurityScheme::NoAuth],
            (_, Access::Open) => own.to_vec(),
            (_, Access::Proven(ways)) => {
                ways.iter().map(|scopes| SecurityScheme::OAuth2 { scopes: scopes.clone() }).collect()
            }
            (_, Access::Held(scopes)) => vec![SecurityScheme::OAuth2 { scopes: scopes.clone() }],
            (_, Access::Of(_, rest)) => self.words(connector, tool, rest),
        }
    }
}

/// Whether a tool adds connectors or takes them away, or tells of that.
fn registers(tool: &Tool) -> bool {
    matches!(tool.operation, Some(Operation::Gateway(operation)) if operation.registers())
}

/// What a tool says itself; nothing leaves it to its connector.
fn own(tool: &Tool) -> &[SecurityScheme] {
    tool.security_schemes.as_deref().unwrap_or_default()
}

fn scopes(connector: &Connector, more: &[String]) -> Vec<String> {
    union([connector.auth.scopes.as_slice(), &connector.scopes, more])
}

/// All of them, each once, in the order they were written.
fn union<'a>(lists: impl IntoIterator<Item = impl IntoIterator<Item = &'a String>>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for scope in lists.into_iter().flatten() {
        if !all.contains(scope) {
            all.push(scope.clone());
        }
    }
    all
}
