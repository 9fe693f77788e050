//! The parameters of a request, each of which may be there once (RFC 6749, 3.1).

use std::fmt;

use url::form_urlencoded;

use super::answer::Refusal;

/// Parameters by name, as they came.
#[derive(Clone, Default)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// The parameters of a query or of a form.
    pub fn parse(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// One of them; one without a value counts as absent.
    pub(super) fn one(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(Refusal::request(format!("{name} is there more than once"))),
            (value, None) => Ok(value.filter(|value| !value.is_empty())),
        }
    }

    /// One that has to be there.
    pub(super) fn needed(&self, name: &str) -> Result<&str, Refusal> {
        self.one(name)?.ok_or_else(|| Refusal::request(format!("the parameter {name} is missing")))
    }

    /// One of a form of ours, where what is wrong counts as absent.
    pub fn field(&self, name: &str) -> &str {
        self.one(name).ok().flatten().unwrap_or_default()
    }

    /// The name of one that is there more than once.
    pub(super) fn repeated(&self) -> Option<&str> {
        self.0.iter().map(|(key, _)| key.as_str()).find(|name| self.one(name).is_err())
    }
}

// They hold passwords and codes.
impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}
