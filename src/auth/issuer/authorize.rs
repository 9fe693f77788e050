//! The authorization endpoint: what a client asks for, checked, and where the person goes from there.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::answer::{Answer, Refusal};
use super::browser::Browser;
use super::client::{Client, Kind};
use super::flow::{Ask, Prompt};
use super::parameters::Parameters;
use super::redirect::Place;
use super::sign_in::Occasion;
use super::visit::Visit;
use super::{ALWAYS, Issuer, MCP, Trouble, random, redirect};
use crate::name::cut;

/// The longest parameters that are kept.
const LONGEST: usize = 8000;
/// Scopes of one request that are looked at.
const MOST_SCOPES: usize = 200;

impl Issuer {
    /// The authorization endpoint.
    pub async fn authorize(&self, asked: &Parameters, visit: Visit<'_>) -> Answer {
        self.settled(self.authorized(asked, visit).await)
    }

    async fn authorized(&self, asked: &Parameters, visit: Visit<'_>) -> Result<Answer, Trouble> {
        // As long as it is not clear who asks and where they may be sent, nobody is sent anywhere.
        let (client, to) = match self.who(asked).await? {
            Ok(known) => known,
            Err(refusal) => return Ok(self.pages.refused(&refusal.description)),
        };
        let browser = self.browser(visit.cookies).await?;
        let turn_back = async |refusal: Refusal| {
            let state = asked.one("state").ok().flatten();
            self.turn_back((&client, to), state, &refusal, &browser).await
        };
        let ask = match self.what(asked, &client, to) {
            Ok(ask) => ask,
            Err(refusal) => return turn_back(refusal).await,
        };
        let cookie = browser.cookie.clone();
        let person = browser.person.clone().filter(|_| !ask.prompt.sign_in);
        if ask.prompt.nothing {
            let Some(person) = person else {
                return turn_back(Refusal::new("login_required", "nobody is signed in")).await;
            };
            let scopes = person.may_give(&ask.scopes);
            if self.needs_asking(&ask, &person, &scopes).await? {
                return turn_back(Refusal::new("consent_required", "the person has to agree")).await;
            }
            return self.allow(&ask, person, scopes, cookie).await;
        }
        if let Some(person) = person {
            let scopes = person.may_give(&ask.scopes);
            if !self.needs_asking(&ask, &person, &scopes).await? {
                return self.allow(&ask, person, scopes, cookie).await;
            }
            let open = self.begin(ask, &browser).await?;
            return Ok(self.consent_page(&open, &person, cookie));
        }
        let mut open = self.begin(ask, &browser).await?;
        self.sign_in_form(&mut open, Occasion::Arrival(visit), None, cookie).await
    }

    /// An error before anybody decided anything. Anybody can register a client: so that our address does not lead
    /// on to whatever site they name, the person learns of it first, unless they know the client.
    async fn turn_back(
        &self,
        (client, to): (&Client, &str),
        state: Option<&str>,
        refusal: &Refusal,
        browser: &Browser,
    ) -> Result<Answer, Trouble> {
        let said = [("error", refusal.error), ("error_description", refusal.description.as_str())];
        let link = self.back(to, state, &said);
        // A program on the person's own device waits for the answer, and is no site to lead them to.
        let trusted =
            client.kind == Kind::Predefined || redirect::is_known(to) || redirect::place(to) != Some(Place::Web);
        let known = match &browser.person {
            Some(person) if !trusted => self.agreed(&client.id, to, person).await?,
            _ => trusted,
        };
        if known {
            return Ok(Answer::Go { to: link, cookie: browser.cookie.clone() });
        }
        Ok(self.pages.stopped(&refusal.description, &redirect::shown(to), &link, browser.cookie.clone()))
    }

    /// The client, and where people are to be sent back to.
    async fn who<'a>(&self, asked: &'a Parameters) -> Result<Result<(Arc<Client>, &'a str), Refusal>, Trouble> {
        let read = || Ok((asked.needed("client_id")?, asked.needed("redirect_uri")?));
        let (id, to) = match read() {
            Ok(read) => read,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let client = match self.client(id).await? {
            Ok(client) => client,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if client.may_use(to) {
            return Ok(Ok((client, to)));
        }
        let shown = cut(to, 100);
        let what =
            format!("{} wants people sent back to {shown}, which is none of its registered addresses", client.name);
        Ok(Err(Refusal::request(what)))
    }

    /// What is asked for.
    fn what(&self, asked: &Parameters, client: &Client, to: &str) -> Result<Ask, Refusal> {
        if let Some(name) = asked.repeated() {
            return Err(Refusal::request(format!("{} is there more than once", cut(name, 40))));
        }
        if asked.one("request")?.is_some() {
            return Err(Refusal::new("request_not_supported", "requests in a token are not read here"));
        }
        if asked.one("request_uri")?.is_some() {
            return Err(Refusal::new("request_uri_not_supported", "requests at an address are not read here"));
        }
        if asked.one("response_type")? != Some("code") {
            let error =
                if asked.one("response_type")?.is_none() { "invalid_request" } else { "unsupported_response_type" };
            return Err(Refusal::new(error, "response_type has to be code"));
        }
        if asked.one("response_mode")?.is_some_and(|mode| mode != "query") {
            return Err(Refusal::request("response_mode has to be query"));
        }
        let challenge = challenge(asked)?;
        self.check_resource(asked)?;
        let state = asked.one("state")?.map(str::to_owned);
        if state.as_ref().is_some_and(|state| state.len() > LONGEST) {
            return Err(Refusal::request(format!("state is longer than {LONGEST} bytes")));
        }
        Ok(Ask {
            client: client.id.clone(),
            client_name: client.name.clone(),
            kind: client.kind.clone(),
            redirect: to.to_owned(),
            state,
            challenge,
            scopes: self.offered(asked.one("scope")?.unwrap_or_default()),
            prompt: prompt(asked)?,
            hint: asked.one("login_hint")?.map(|hint| cut(hint, 64)),
            own: false,
        })
    }

    /// Those of the asked scopes that there are, and the one that every client gets.
    pub(super) fn offered(&self, asked: &str) -> BTreeSet<String> {
        let offers = (self.offers)();
        let exists = |scope: &&str| ALWAYS.contains(scope) || offers.scoped.contains_key(*scope);
        let asked = asked.split_ascii_whitespace().take(MOST_SCOPES).filter(exists);
        asked.chain([MCP]).map(str::to_owned).collect()
    }

    /// Tokens are for our one resource only, however it is written.
    pub(super) fn check_resource(&self, asked: &Parameters) -> Result<(), Refusal> {
        let named = match asked.one("resource") {
            Ok(None) => return Ok(()),
            Ok(Some(named)) => named.trim_end_matches('/'),
            Err(_) => return Err(Refusal::new("invalid_target", "there is one resource here, so one can be named")),
        };
        if named == self.resource || named == self.base {
            return Ok(());
        }
        Err(Refusal::new("invalid_target", format!("the resource here is {}", self.resource)))
    }

    /// Sends the person back with an error.
    pub(super) fn refuse(&self, ask: &Ask, error: &str, why: &str, cookie: Option<String>) -> Answer {
        self.send_back(&ask.redirect, ask.state.as_deref(), &[("error", error), ("error_description", why)], cookie)
    }

    /// Sends the person back to the client.
    pub(super) fn send_back(
        &self,
        to: &str,
        state: Option<&str>,
        said: &[(&str, &str)],
        cookie: Option<String>,
    ) -> Answer {
        Answer::Go { to: self.back(to, state, said), cookie }
    }

    /// The client's address, with what it is told.
    fn back(&self, to: &str, state: Option<&str>, said: &[(&str, &str)]) -> String {
        let mut parameters = said.to_vec();
        parameters.extend(state.map(|state| ("state", state)));
        // RFC 9207: so that a client of several issuers knows which one speaks.
        parameters.extend(self.settings.advertise_iss.then_some(("iss", self.base.as_str())));
        redirect::with(to, &parameters)
    }
}

/// PKCE, by SHA-256 (RFC 7636).
fn challenge(asked: &Parameters) -> Result<String, Refusal> {
    let method = asked.one("code_challenge_method")?;
    let challenge = asked.needed("code_challenge")?;
    if method != Some("S256") {
        return Err(Refusal::request("code_challenge_method has to be S256"));
    }
    let right = challenge.len() == 43 && random::decode(challenge).is_some_and(|hash| hash.len() == 32);
    if right { Ok(challenge.to_owned()) } else { Err(Refusal::request("code_challenge is no SHA-256 in base64url")) }
}

fn prompt(asked: &Parameters) -> Result<Prompt, Refusal> {
    let mut prompt = Prompt::default();
    for word in asked.one("prompt")?.unwrap_or_default().split_ascii_whitespace() {
        match word {
            "none" => prompt.nothing = true,
            "login" | "select_account" => prompt.sign_in = true,
            "consent" => prompt.consent = true,
            _ => {}
        }
    }
    if prompt.nothing && (prompt.sign_in || prompt.consent) {
        return Err(Refusal::request("prompt asks for none and for more"));
    }
    Ok(prompt)
}
