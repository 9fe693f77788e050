//! Pages of ours that want to know who is there, and no token for that.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::answer::Answer;
use super::client::Kind;
use super::flow::{Ask, Prompt};
use super::people::Person;
use super::sign_in::Occasion;
use super::visit::Visit;
use super::{Issuer, Trouble};
use crate::caller::{Principal, Scopes};

impl Issuer {
    /// Who signed in in the browser of these cookies: as a principal who may use all that they may let clients use.
    pub async fn visitor(&self, cookies: &str) -> Result<Option<Arc<Principal>>, Trouble> {
        let browser = self.browser(cookies).await?;
        Ok(browser.person.map(|person| Arc::new(self.principal(person))))
    }

    /// Has somebody sign in, as another one if they did already, and sends them back to a page of ours.
    pub async fn sign_in_for(&self, path: &str, anew: bool, visit: Visit<'_>) -> Answer {
        let ask = Ask {
            client: String::new(),
            client_name: "this server".into(),
            kind: Kind::Predefined,
            redirect: self.endpoint(path),
            state: None,
            challenge: String::new(),
            scopes: BTreeSet::new(),
            prompt: Prompt { sign_in: anew, ..Prompt::default() },
            hint: None,
            own: true,
        };
        let answer = async {
            let browser = self.browser(visit.cookies).await?;
            let cookie = browser.cookie.clone();
            let mut open = self.begin(ask, &browser).await?;
            self.sign_in_form(&mut open, Occasion::Arrival(visit), None, cookie).await
        };
        self.settled(answer.await)
    }

    fn principal(&self, person: Person) -> Principal {
        let reach: Scopes = match &person.ceiling {
            None => Scopes::All,
            Some(ceiling) => ceiling.iter().map(String::as_str).collect(),
        };
        Principal {
            issuer: self.base.clone(),
            name: Some(person.shown().to_owned()),
            subject: person.subject,
            tenant: person.tenant,
            client: None,
            scopes: reach.clone(),
            reach,
            email: person.email,
        }
    }
}
