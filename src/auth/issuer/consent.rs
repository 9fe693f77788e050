//! The person's decision: what a client may do for them.

use std::collections::BTreeSet;
use std::time::Duration;

use super::answer::Answer;
use super::flow::{Ask, Open};
use super::pages::{Consent, Group};
use super::parameters::Parameters;
use super::people::Person;
use super::redirect::{self, Place};
use super::shelf::lasting_for;
use super::sign_in::Occasion;
use super::visit::Visit;
use super::{ALWAYS, Issuer, Trouble, random};
use crate::audit::{Act, Deed, Who};

/// A decision is remembered for this long.
const REMEMBERED: Duration = Duration::from_hours(365 * 24);

impl Issuer {
    /// The consent page of a flow.
    pub async fn consent_form(&self, asked: &Parameters, visit: Visit<'_>) -> Answer {
        let answer = async {
            let browser = self.browser(visit.cookies).await?;
            let Some(mut open) = self.flow(asked.field("flow"), &browser).await? else { return Ok(self.pages.over()) };
            match open.person(&browser) {
                Some(_) if open.flow.ask.own => Ok(Answer::Go { to: open.flow.ask.redirect, cookie: None }),
                Some(person) => Ok(self.consent_page(&open, &person, None)),
                None => self.sign_in_form(&mut open, Occasion::Arrival(visit), None, browser.cookie).await,
            }
        };
        self.settled(answer.await)
    }

    /// The consent form, sent.
    pub async fn consent(&self, form: &Parameters, visit: Visit<'_>) -> Answer {
        self.settled(self.decided(form, visit).await)
    }

    async fn decided(&self, form: &Parameters, visit: Visit<'_>) -> Result<Answer, Trouble> {
        let browser = self.browser(visit.cookies).await?;
        let Some(open) = self.flow(form.field("flow"), &browser).await? else { return Ok(self.pages.over()) };
        let Some(person) = open.person(&browser) else {
            return Ok(Answer::Go { to: self.page("/oauth/sign-in", &open.id), cookie: browser.cookie });
        };
        // It is made for one person: what somebody else was shown counts for nothing.
        if !random::same(&open.token(Some(&person)), form.field("csrf")) {
            return Ok(self.pages.over());
        }
        match form.field("decision") {
            // A page of ours gets no code for anything.
            _ if open.flow.ask.own => return Ok(self.pages.over()),
            "switch" => {
                let cookie = Some(self.changed(&browser, None).await?);
                return Ok(Answer::Go { to: self.page("/oauth/sign-in", &open.id), cookie });
            }
            "allow" | "deny" => {}
            _ => return Ok(self.consent_page(&open, &person, None)),
        }
        if !self.end(&open).await? {
            return Ok(self.pages.over());
        }
        let ask = &open.flow.ask;
        if form.field("decision") == "deny" {
            return Ok(self.refuse(ask, "access_denied", "the person said no", None));
        }
        let scopes = person.may_give(&ask.scopes);
        let kept = self.remember(ask, &person, &scopes).await;
        self.record(ask, &person, kept.as_ref().err());
        kept?;
        self.allow(ask, person, scopes, None).await
    }

    /// Records that the person said yes.
    fn record(&self, ask: &Ask, person: &Person, failure: Option<&Trouble>) {
        let Some(audit) = self.audit.get() else { return };
        let (issuer, subject, tenant) = (self.base.clone(), person.subject.clone(), person.tenant.clone());
        audit.act(Act {
            deed: Deed::ConsentGive,
            who: Who::Known { issuer, subject, tenant },
            on: ask.client.clone(),
            outcome: failure.map_or_else(|| "ok".to_owned(), ToString::to_string),
            details: None,
        });
    }

    /// Whether the person has to be asked.
    pub(super) async fn needs_asking(
        &self,
        ask: &Ask,
        person: &Person,
        scopes: &BTreeSet<String>,
    ) -> Result<bool, Trouble> {
        // Another program could stand at such an address, and pass itself off as the one they agreed to.
        if ask.prompt.consent || redirect::place(&ask.redirect) != Some(Place::Web) {
            return Ok(true);
        }
        let agreed = self.shelf.read::<BTreeSet<String>>(&key(&ask.client, &ask.redirect, person)).await?;
        Ok(!agreed.is_some_and(|agreed| scopes.is_subset(&agreed.value)))
    }

    /// Whether the person agreed before that this client may act for them, sent back to the host of this address.
    pub(super) async fn agreed(&self, client: &str, redirect: &str, person: &Person) -> Result<bool, Trouble> {
        Ok(self.shelf.read::<BTreeSet<String>>(&key(client, redirect, person)).await?.is_some())
    }

    /// Forgets what somebody agreed to for a client.
    pub(super) async fn forget(&self, subject: &str, client: &str) -> Result<(), Trouble> {
        self.shelf.clear(&of_client(subject, client)).await?;
        Ok(())
    }

    async fn remember(&self, ask: &Ask, person: &Person, scopes: &BTreeSet<String>) -> Result<(), Trouble> {
        let key = key(&ask.client, &ask.redirect, person);
        let mut agreed = self.shelf.read::<BTreeSet<String>>(&key).await?.map(|kept| kept.value).unwrap_or_default();
        agreed.extend(scopes.iter().cloned());
        self.shelf.keep(&key, &agreed, lasting_for(REMEMBERED)).await?;
        Ok(())
    }

    pub(super) fn consent_page(&self, open: &Open, person: &Person, cookie: Option<String>) -> Answer {
        let ask = &open.flow.ask;
        let offers = (self.offers)();
        let granted = person.may_give(&ask.scopes);
        let group = |scope: &String| {
            let connectors = offers.scoped.get(scope).filter(|_| !ALWAYS.contains(&scope.as_str()))?;
            Some(Group { scope: scope.clone(), connectors: connectors.clone() })
        };
        let (kind, client_host) = ask.kind.shown();
        let place = match redirect::place(&ask.redirect) {
            Some(Place::Loopback) => "loopback",
            Some(Place::App) => "app",
            Some(Place::Web) | None => "web",
        };
        let page = Consent {
            action: self.path("/oauth/consent"),
            flow: open.id.clone(),
            csrf: open.token(Some(person)),
            client: ask.client_name.clone(),
            kind,
            client_host,
            place,
            host: redirect::shown(&ask.redirect),
            person: person.shown().to_owned(),
            may_switch: person.user.is_some(),
            open: offers.open.clone(),
            groups: granted.iter().filter_map(group).collect(),
        };
        self.pages.consent(&page, &redirect::form_targets(&ask.redirect), cookie)
    }
}

/// A decision holds for the same client, sent back to the same host.
fn key(client: &str, redirect: &str, person: &Person) -> String {
    format!("{}{}", of_client(&person.subject, client), random::fingerprint(&redirect::shown(redirect)))
}

/// Where everything stands that somebody agreed to for a client.
pub(super) fn of_client(subject: &str, client: &str) -> String {
    format!("auth/consent/{subject}/{}/", random::fingerprint(client))
}
