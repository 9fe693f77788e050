//! Which view a request has: by what it asks for, by who its client says it is, or the usual one.

use std::{collections::BTreeMap, sync::Arc};

use super::{Exposure, Parts, View};
use crate::name::shown;

/// Names in one address; more would only cost time.
const MOST_PARTS: usize = 200;
/// How many of them may have a `*`: each is compared with every tool.
const MOST_PATTERNS: usize = 10;
/// The letters of one of them.
const LONGEST_PART: usize = 128;

/// The views there are.
#[derive(Debug, Clone, Default)]
pub struct Views {
    /// The one of who asks for none.
    pub usual: Arc<View>,
    /// Those with a name.
    pub profiles: BTreeMap<String, Profile>,
}

/// A view with a name.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    /// It.
    pub view: Arc<View>,
    /// The clients that have it without asking, in small letters. `*` at the end stands for any text.
    pub clients: Vec<String>,
}

/// What a request, or who started the program, asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    profile: Option<String>,
    parts: Option<Arc<Parts>>,
    exposure: Option<Exposure>,
}

/// Why what is asked for cannot be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unknown {
    /// There is no such profile.
    Profile(String),
    /// What is said makes no sense.
    Word(String),
}

impl Unknown {
    /// In words.
    pub fn message(&self) -> &str {
        let (Self::Profile(message) | Self::Word(message)) = self;
        message
    }
}

impl Asked {
    /// What these names and values of an address ask for. Other names are somebody else's.
    pub fn read<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Result<Self, Unknown> {
        let mut asked = Self::default();
        let mut tools: Vec<String> = Vec::new();
        for (name, value) in pairs {
            let value = value.as_ref().trim();
            match name.as_ref() {
                "tools" => tools.extend(value.split(',').take(MOST_PARTS + 1).map(str::to_owned)),
                "exposure" if !value.is_empty() => {
                    let wrong = || {
                        Unknown::Word(format!("`exposure` is `all`, `search` or `auto`, and not `{}`", shown(value)))
                    };
                    asked.exposure = Some(Exposure::named(value).ok_or_else(wrong)?);
                }
                "profile" if !value.is_empty() => asked.profile = Some(value.to_owned()),
                _ => {}
            }
        }
        let parts = Parts::new(&tools);
        let patterns = tools.iter().filter(|part| part.contains('*')).count();
        let is_long = |part: &str| part.chars().count() > LONGEST_PART;
        if tools.len() > MOST_PARTS || patterns > MOST_PATTERNS || parts.names().any(is_long) {
            let message = format!(
                "`tools` names {MOST_PARTS} things at most, {MOST_PATTERNS} of them with `*`, each in {LONGEST_PART} letters"
            );
            return Err(Unknown::Word(message));
        }
        asked.parts = (!parts.is_empty()).then(|| Arc::new(parts));
        Ok(asked)
    }

    /// Whether nothing is asked for.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Views {
    /// Whether what is asked for can be given. Nobody is told which profiles there are.
    pub fn check(&self, asked: &Asked) -> Result<(), Unknown> {
        match asked.profile.as_ref().filter(|profile| !self.profiles.contains_key(*profile)) {
            None => Ok(()),
            Some(profile) => {
                let said = shown(profile);
                let message = format!("there is no profile `{said}`; `tools.profiles` in the settings names profiles");
                Err(Unknown::Profile(message))
            }
        }
    }

    /// Whether a view may depend on who a client says it is.
    pub fn know_clients(&self) -> bool {
        self.profiles.values().any(|profile| !profile.clients.is_empty())
    }

    /// The view of a request.
    pub fn choose(&self, asked: Option<&Asked>, client: impl FnOnce() -> Option<String>) -> Arc<View> {
        let named = asked.and_then(|asked| self.profiles.get(asked.profile.as_deref()?));
        let base = match named {
            Some(profile) => &profile.view,
            None if self.know_clients() => client().and_then(|client| self.of_client(&client)).unwrap_or(&self.usual),
            None => &self.usual,
        };
        match asked {
            Some(Asked { parts, exposure, .. }) if parts.is_some() || exposure.is_some() => Arc::new(View {
                parts: parts.clone().or_else(|| base.parts.clone()),
                exposure: exposure.unwrap_or(base.exposure),
                ..View::clone(base)
            }),
            _ => Arc::clone(base),
        }
    }

    /// The view of the profile that names a client, the most exactly if several do.
    fn of_client(&self, client: &str) -> Option<&Arc<View>> {
        let client = client.to_lowercase();
        let exactness = |name: &String| match name.strip_suffix('*') {
            Some(start) => client.starts_with(start).then_some((false, start.len())),
            None => (client == *name).then_some((true, name.len())),
        };
        let best = |profile: &Profile| profile.clients.iter().filter_map(exactness).max();
        let named = self.profiles.values().filter_map(|profile| Some((best(profile)?, &profile.view)));
        named.max_by_key(|(exact, _)| *exact).map(|(_, view)| view)
    }
}
