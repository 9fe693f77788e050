//! Credentials that stand somewhere: references, found at each call, so that a rotated secret is found.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};

use super::{Credential, CredentialSource, Keyring};
use crate::caller::Caller;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Basic, Checked, Credentials};
use crate::secret::{Missing, Reference};

/// The header for most of them.
const AUTHORIZATION: &str = "Authorization";

/// The same for every caller.
#[derive(Debug)]
pub(super) struct Fixed {
    credentials: Credentials,
    folder: PathBuf,
    keyring: Arc<Keyring>,
}

impl Fixed {
    /// Those of a connector. The first one that is missing, as far as nobody has to be asked.
    pub(super) fn new(checked: &Checked, keyring: &Arc<Keyring>) -> Result<Self, Missing> {
        let credentials = checked.connector.credentials.clone();
        for (_, reference) in credentials.references() {
            keyring.check(reference, checked.folder())?;
        }
        Ok(Self { credentials, folder: checked.folder().to_owned(), keyring: Arc::clone(keyring) })
    }

    pub(super) fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The values, or what has none.
    async fn find(&self) -> Result<Credential, Missing> {
        let Credentials { headers, query, cookies, env, basic, bearer, oauth: _ } = &self.credentials;
        let mut found = Credential {
            headers: self.all(headers).await?,
            query: self.all(query).await?,
            cookies: self.all(cookies).await?,
            env: self.all(env).await?,
            ..Credential::default()
        };
        if let Some(bearer) = bearer {
            let token = self.keyring.find(bearer, &self.folder).await?;
            if !token.expose_secret().is_empty() {
                found.headers.push((AUTHORIZATION.into(), format!("Bearer {}", token.expose_secret()).into()));
            }
        }
        if let Some(Basic { username, password }) = basic {
            let (username, password) =
                (self.keyring.find(username, &self.folder).await?, self.keyring.find(password, &self.folder).await?);
            // Some take a token as the password of nobody.
            if !username.expose_secret().is_empty() || !password.expose_secret().is_empty() {
                let pair = Zeroizing::new(format!("{}:{}", username.expose_secret(), password.expose_secret()));
                let shown = format!("Basic {}", BASE64_STANDARD.encode(pair.as_bytes()));
                found.headers.push((AUTHORIZATION.into(), shown.into()));
                found.hidden.push(("password".into(), password));
            }
        }
        Ok(found)
    }

    /// What is empty is not sent.
    async fn all(&self, references: &BTreeMap<String, Reference>) -> Result<Vec<(String, SecretString)>, Missing> {
        let mut found = Vec::with_capacity(references.len());
        for (name, reference) in references {
            let value = self.keyring.find(reference, &self.folder).await?;
            if !value.expose_secret().is_empty() {
                found.push((name.clone(), value));
            }
        }
        Ok(found)
    }
}

/// A credential that is missing, in words for a caller.
pub(super) fn unreadable(missing: Missing) -> Error {
    let message = "the credential of this connector cannot be read; its operator has to look at `switchboard check`";
    Error::new(ErrorKind::Unavailable, message).because(missing)
}

#[async_trait]
impl CredentialSource for Fixed {
    async fn credential(&self, _caller: &Caller) -> Result<Credential> {
        self.find().await.map_err(unreadable)
    }

    /// A secret may have been rotated since Vault was asked. Something else may have been shown beside it.
    async fn refused(&self, _caller: &Caller, shown: &Credential) -> bool {
        self.keyring.renew(self.credentials.references().into_iter().map(|(_, reference)| reference)).await;
        self.find().await.is_ok_and(|now| !now.is_part_of(shown))
    }
}
