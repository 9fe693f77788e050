//! Who is calling, and what that opens.

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::widget::sha256_hex;

/// The letters of a tag.
const TAG: usize = 24;

/// Who is calling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Caller {
    /// The person at this machine: the command line, or a client that started us over stdio.
    Local,
    /// Somebody on the network who proved nothing. `reach` is what signing in could open.
    Anonymous {
        /// What signing in could open.
        reach: Scopes,
    },
    /// Somebody who proved who they are.
    Known(Arc<Principal>),
}

/// Somebody who proved who they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// Who proved it to us: the issuer's address, or [`KEY`] for an API key.
    pub issuer: String,
    /// Names them at the issuer.
    pub subject: String,
    /// Whom they belong to.
    pub tenant: Option<String>,
    /// The program they use: an OAuth client id, or the id of an API key.
    pub client: Option<String>,
    /// What they may use now.
    pub scopes: Scopes,
    /// What they could come to use by asking for more scopes. A key can ask for nothing.
    pub reach: Scopes,
    /// Their name for people.
    pub name: Option<String>,
    /// Their address for mail, when the issuer vouches for it.
    pub email: Option<String>,
}

/// Scopes held already that are named when more are asked for; headers have little room.
const MOST_NAMED: usize = 50;

/// The issuer of API keys.
pub const KEY: &str = "key";

impl Principal {
    /// Names them among all principals: who vouches for them, who they are there, and for whom.
    pub fn id(&self) -> String {
        // Written as JSON, so that no part can run into the next.
        json!([self.issuer, self.subject, self.tenant]).to_string()
    }

    /// What an id was made of: the issuer, the subject and the tenant.
    pub fn of_id(id: &str) -> Option<(String, String, Option<String>)> {
        serde_json::from_str(id).ok()
    }

    /// A short word for them, which says nothing to anybody else.
    pub fn tag(&self) -> String {
        sha256_hex(&self.id()).chars().take(TAG).collect()
    }
}

/// A set of scopes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scopes {
    /// Every scope there is.
    All,
    /// These.
    These(BTreeSet<String>),
}

impl Default for Scopes {
    fn default() -> Self {
        Self::none()
    }
}

impl Scopes {
    /// No scope.
    pub const fn none() -> Self {
        Self::These(BTreeSet::new())
    }

    /// The scopes of a list as OAuth writes it: words with spaces between.
    pub fn of(list: &str) -> Self {
        list.split_ascii_whitespace().collect()
    }

    /// Whether all of these are among them.
    pub fn cover<'a>(&self, wanted: impl IntoIterator<Item = &'a str>) -> bool {
        match self {
            Self::All => true,
            Self::These(scopes) => wanted.into_iter().all(|scope| scopes.contains(scope)),
        }
    }

    /// The scopes by name; none for [`Scopes::All`].
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = match self {
            Self::All => None,
            Self::These(names) => Some(names),
        };
        names.into_iter().flatten().map(String::as_str)
    }
}

impl<'a> FromIterator<&'a str> for Scopes {
    /// `*` stands for all.
    fn from_iter<I: IntoIterator<Item = &'a str>>(names: I) -> Self {
        let names: BTreeSet<String> = names.into_iter().map(str::to_owned).collect();
        if names.contains("*") { Self::All } else { Self::These(names) }
    }
}

/// What it takes to use something.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Access {
    /// Nothing.
    #[default]
    Open,
    /// A caller who proved who they are, with all scopes of one of these lists.
    Proven(Vec<Vec<String>>),
    /// A caller who holds all of these scopes already: nobody else is told that there is such a thing.
    Held(Vec<String>),
    /// A caller of this tenant, or of none, and what it takes besides.
    Of(Option<Arc<str>>, Box<Access>),
}

/// Whether a caller may use something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// They may.
    Yes,
    /// They may, once they have signed in or asked for more scopes.
    StepUp,
    /// They may not, so it is not there for them.
    Never,
}

impl Access {
    /// Lets in whom `other` lets in, too.
    pub fn widen(&mut self, other: &Self) {
        if self == other {
            return;
        }
        match (&mut *self, other) {
            (_, Self::Open) => *self = Self::Open,
            (Self::Of(_, rest), Self::Of(_, more)) => rest.widen(more),
            // What is open stays so, and a connector belongs to a tenant whole or not at all.
            (Self::Open | Self::Of(..), _) | (_, Self::Of(..)) => {}
            (Self::Proven(_) | Self::Held(_), Self::Proven(_) | Self::Held(_)) => {
                let mut ways = self.ways().to_vec();
                let new: Vec<_> = other.ways().iter().filter(|way| !ways.contains(way)).cloned().collect();
                ways.extend(new);
                *self = Self::Proven(ways);
            }
        }
    }

    /// The lists of scopes of which one has to be held whole.
    pub fn ways(&self) -> &[Vec<String>] {
        match self {
            Self::Open => &[],
            Self::Proven(ways) => ways,
            Self::Held(way) => std::slice::from_ref(way),
            Self::Of(_, rest) => rest.ways(),
        }
    }

    /// Every scope that one of its ways takes.
    pub fn scopes(&self) -> impl Iterator<Item = &String> {
        self.ways().iter().flatten()
    }

    fn opens_to(&self, scopes: &Scopes) -> bool {
        match self {
            Self::Open => true,
            Self::Of(_, rest) => rest.opens_to(scopes),
            Self::Proven(_) | Self::Held(_) => {
                self.ways().iter().any(|way| scopes.cover(way.iter().map(String::as_str)))
            }
        }
    }
}

impl Caller {
    /// Whether this caller may use what takes `access`.
    pub fn may(&self, access: &Access) -> Verdict {
        match access {
            Access::Open => return Verdict::Yes,
            Access::Of(tenant, rest) if self.is_of(tenant.as_deref()) => return self.may(rest),
            Access::Of(..) => return Verdict::Never,
            Access::Held(_) | Access::Proven(_) => {}
        }
        let (held, reach) = match self {
            Self::Local => return Verdict::Yes,
            Self::Anonymous { reach } => (None, reach),
            Self::Known(principal) => (Some(&principal.scopes), &principal.reach),
        };
        match held {
            Some(held) if access.opens_to(held) => Verdict::Yes,
            Some(_) | None if matches!(access, Access::Held(_)) => Verdict::Never,
            // Who has proved nothing and can reach nothing cannot prove anything.
            Some(_) | None if access.opens_to(reach) && (held.is_some() || *reach != Scopes::none()) => Verdict::StepUp,
            Some(_) | None => Verdict::Never,
        }
    }

    /// The scopes to ask for, in order to use what takes `access`: those of the way with the least to add, after
    /// those held already, which are lost when they are not asked for again.
    pub fn wants(&self, access: &Access) -> Vec<String> {
        let held = if let Self::Known(principal) = self { &principal.scopes } else { &Scopes::none() };
        let ways = access.ways();
        if ways.is_empty() {
            return Vec::new();
        }
        let reach = match self {
            Self::Local => &Scopes::All,
            Self::Anonymous { reach } => reach,
            Self::Known(principal) => &principal.reach,
        };
        let within = |way: &&Vec<String>| reach.cover(way.iter().map(String::as_str));
        let lacking = |way: &&Vec<String>| way.iter().filter(|scope| !held.cover([scope.as_str()])).count();
        let mut wanted: Vec<String> = held.names().take(MOST_NAMED).map(str::to_owned).collect();
        for scope in ways.iter().filter(within).min_by_key(lacking).into_iter().flatten() {
            if !wanted.contains(scope) {
                wanted.push(scope.clone());
            }
        }
        wanted
    }

    /// Whether something that takes `access` is there for this caller at all.
    pub fn sees(&self, access: &Access) -> bool {
        self.may(access) != Verdict::Never
    }

    /// A word that names this caller among all, for what is kept for each.
    pub fn id(&self) -> String {
        match self {
            Self::Local => "local".into(),
            Self::Anonymous { .. } => "anonymous".into(),
            Self::Known(principal) => principal.id(),
        }
    }

    /// Whether nothing is closed to this caller, no tenant's things either.
    pub fn is_unlimited(&self) -> bool {
        match self {
            Self::Local => true,
            Self::Anonymous { .. } => false,
            Self::Known(principal) => principal.scopes == Scopes::All && principal.tenant.is_none(),
        }
    }

    /// Whom this caller belongs to.
    pub fn tenant(&self) -> Option<&str> {
        match self {
            Self::Local | Self::Anonymous { .. } => None,
            Self::Known(principal) => principal.tenant.as_deref(),
        }
    }

    /// Whether what is this tenant's, or nobody's, is there for this caller.
    fn is_of(&self, tenant: Option<&str>) -> bool {
        self.is_unlimited() || self.tenant() == tenant
    }

    /// This caller in the name of a tenant: their own, or any one for who is limited by nothing.
    pub fn acting_for(&self, tenant: &str) -> Option<Self> {
        if self.tenant() == Some(tenant) {
            return Some(self.clone());
        }
        if !self.is_unlimited() {
            return None;
        }
        let tenant = Some(tenant.to_owned());
        let principal = match self {
            Self::Known(principal) => Principal { tenant, ..Principal::clone(principal) },
            Self::Local | Self::Anonymous { .. } => Principal {
                issuer: "local".into(),
                subject: "local".into(),
                tenant,
                client: None,
                scopes: Scopes::All,
                reach: Scopes::All,
                name: None,
                email: None,
            },
        };
        Some(Self::Known(Arc::new(principal)))
    }

    /// Who it is, for the log.
    pub fn said(&self) -> String {
        match self {
            Self::Local => "the person at this machine".into(),
            Self::Anonymous { .. } => "somebody unknown".into(),
            Self::Known(principal) => format!("{} of {}", principal.subject, principal.issuer),
        }
    }
}
