//! What we show an upstream, found at the moment of the call.

use std::{collections::BTreeMap, fmt, path::Path};

use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

mod safe;
mod seal;
mod token;

pub use safe::{Kept, Safe};
pub use seal::{Closed, Opened, SEAL_KEY, Seal};
pub use token::{Client, Token, TokenEndpoint, TokenError, check_address};

use crate::error::{Error, ErrorKind, Result};
use crate::secret::{Environment, Missing, Reference};

/// Resolved credentials of one connector. `Debug` shows names only.
#[derive(Clone, Default)]
pub struct Credential {
    /// Request headers.
    pub headers: Vec<(String, SecretString)>,
    /// Query parameters.
    pub query: Vec<(String, SecretString)>,
    /// Environment variables.
    pub env: Vec<(String, SecretString)>,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |pairs: &[(String, SecretString)]| pairs.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        f.debug_struct("Credential")
            .field("headers", &names(&self.headers))
            .field("query", &names(&self.query))
            .field("env", &names(&self.env))
            .finish()
    }
}

impl Credential {
    /// Puts it into a request: its headers, marked as secret, and its query parameters.
    pub fn apply(&self, url: &mut Url, headers: &mut HeaderMap) -> Result<()> {
        for (name, value) in &self.headers {
            let header = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value.expose_secret()).ok());
            let (name, mut value) = header.ok_or_else(|| {
                Error::new(ErrorKind::Unavailable, "the credential of this connector cannot stand in a header")
            })?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        if !self.query.is_empty() {
            let secrets = self.query.iter().map(|(name, value)| (name, value.expose_secret()));
            url.query_pairs_mut().extend_pairs(secrets);
        }
        Ok(())
    }
}

/// Where a connector's credentials come from: references, resolved against the environment and
/// files at each call, so that a rotated secret is found.
#[derive(Debug, Clone, Copy)]
pub struct References<'a> {
    /// For request headers.
    pub headers: &'a BTreeMap<String, Reference>,
    /// For query parameters.
    pub query: &'a BTreeMap<String, Reference>,
    /// For environment variables.
    pub env: &'a BTreeMap<String, Reference>,
    /// The folder that files are relative to.
    pub folder: &'a Path,
}

impl References<'_> {
    /// The values, or the first reference that has none.
    pub fn find(&self, environment: &Environment) -> Result<Credential, Missing> {
        let find = |references: &BTreeMap<String, Reference>| {
            let value = |(name, reference): (&String, &Reference)| {
                Ok((name.clone(), reference.resolve(environment, self.folder)?))
            };
            references.iter().map(value).collect::<Result<Vec<_>, Missing>>()
        };
        Ok(Credential { headers: find(self.headers)?, query: find(self.query)?, env: find(self.env)? })
    }

    /// The values for a call; one that is missing is said to the caller without its place.
    pub fn resolve(&self, environment: &Environment) -> Result<Credential> {
        self.find(environment).map_err(|missing| {
            let message =
                "the credential of this connector cannot be read; its operator has to look at `switchboard check`";
            Error::new(ErrorKind::Unavailable, message).because(missing)
        })
    }
}
