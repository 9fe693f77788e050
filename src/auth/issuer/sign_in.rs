//! Signing in: a name and a password, or, while there are no users, a code from the terminal.

use secrecy::SecretString;

use super::answer::Answer;
use super::browser::Browser;
use super::flow::Open;
use super::pages::SignIn;
use super::parameters::Parameters;
use super::pauses::Try;
use super::people::Person;
use super::visit::Visit;
use super::{Issuer, Trouble, password, random, redirect, user};

/// How a try to sign in ended.
enum Tried {
    In(Person),
    Wrong(String),
    /// Later, perhaps.
    Paused(String),
}

/// Why the form is shown; a code is made for it if it may.
pub(super) enum Occasion<'a> {
    /// Somebody came to the page.
    Arrival(Visit<'a>),
    /// Somebody at this address asked for a code.
    Button(&'a str),
    /// What they entered does not count.
    Again,
}

impl Issuer {
    /// The sign-in page of a flow.
    pub async fn sign_in_page(&self, asked: &Parameters, visit: Visit<'_>) -> Answer {
        let answer = async {
            let browser = self.browser(visit.cookies).await?;
            let Some(mut open) = self.flow(asked.field("flow"), &browser).await? else { return Ok(self.pages.over()) };
            self.sign_in_form(&mut open, Occasion::Arrival(visit), None, browser.cookie).await
        };
        self.settled(answer.await)
    }

    /// The sign-in form, sent.
    pub async fn sign_in(&self, form: &Parameters, visit: Visit<'_>) -> Answer {
        self.settled(self.signing_in(form, visit).await)
    }

    async fn signing_in(&self, form: &Parameters, visit: Visit<'_>) -> Result<Answer, Trouble> {
        let browser = self.browser(visit.cookies).await?;
        let Some(mut open) = self.flow(form.field("flow"), &browser).await? else { return Ok(self.pages.over()) };
        if !random::same(&open.token(None), form.field("csrf")) {
            return Ok(self.pages.over());
        }
        if form.field("show") == "code" {
            return self.sign_in_form(&mut open, Occasion::Button(visit.address), None, browser.cookie).await;
        }
        let tried = if self.people.have_names().await? {
            self.by_password(&mut open, form, visit.address).await?
        } else {
            self.by_code(&mut open, form).await?
        };
        let person = match tried {
            Tried::In(person) => person,
            Tried::Wrong(_) if open.is_used_up() => {
                self.end(&open).await?;
                return Ok(self.refuse(&open.flow.ask, "access_denied", "too many wrong tries to sign in", None));
            }
            Tried::Wrong(why) | Tried::Paused(why) => {
                let name = form.field("username");
                open.flow.ask.hint = (!name.is_empty()).then(|| crate::name::cut(name, 64));
                return self.sign_in_form(&mut open, Occasion::Again, Some(why), browser.cookie).await;
            }
        };
        self.welcome(open, &browser, person).await
    }

    /// Somebody is who they say: on to what they are asked, or back to the client when nothing is.
    async fn welcome(&self, mut open: Open, browser: &Browser, person: Person) -> Result<Answer, Trouble> {
        let cookie = Some(self.changed(browser, Some(person.clone())).await?);
        if open.flow.ask.own {
            self.end(&open).await?;
            return Ok(Answer::Go { to: open.flow.ask.redirect, cookie });
        }
        let scopes = person.may_give(&open.flow.ask.scopes);
        if self.needs_asking(&open.flow.ask, &person, &scopes).await? {
            if !self.signed_in(&mut open).await? {
                return Err(Trouble::Busy);
            }
            return Ok(Answer::Go { to: self.page("/oauth/consent", &open.id), cookie });
        }
        if !self.end(&open).await? {
            return Ok(self.pages.over());
        }
        self.allow(&open.flow.ask, person, scopes, cookie).await
    }

    /// A try by name and password. It counts for its flow first, so that what a flow no longer takes counts for
    /// nobody's name.
    async fn by_password(&self, open: &mut Open, form: &Parameters, address: &str) -> Result<Tried, Trouble> {
        let (name, shown) = (form.field("username").trim(), form.field("password"));
        if shown.is_empty() || name.is_empty() || shown.len() > user::LONGEST {
            return Ok(Tried::Paused("Enter your user name and password.".into()));
        }
        let of = Try { name, address };
        if let Some(left) = self.pauses.left(of) {
            return Ok(Tried::Paused(wait(left)));
        }
        if !self.try_once(open).await? {
            return Ok(Tried::Wrong(String::new()));
        }
        if let Err(left) = self.pauses.begin(of) {
            return Ok(Tried::Paused(wait(left)));
        }
        let looked_at = async {
            let (person, hash) = self.people.named(name).await?.unzip();
            let right = password::is_right(SecretString::from(shown), hash).await?;
            Ok(person.filter(|_| right))
        };
        match looked_at.await {
            Ok(Some(person)) => {
                self.pauses.right(of);
                Ok(Tried::In(person))
            }
            Ok(None) => Ok(Tried::Wrong("The user name or the password is wrong.".into())),
            Err(trouble) => {
                self.pauses.undo(of);
                self.untry(open).await?;
                Err(trouble)
            }
        }
    }

    /// A try by a one-time code. There are no pauses: five tries of each flow find none of 39 bits.
    async fn by_code(&self, open: &mut Open, form: &Parameters) -> Result<Tried, Trouble> {
        let shown = form.field("code");
        if shown.is_empty() || shown.len() > user::LONGEST {
            return Ok(Tried::Paused("Enter the code.".into()));
        }
        if !self.try_once(open).await? {
            return Ok(Tried::Wrong(String::new()));
        }
        let kept = open.flow.code.as_deref().unwrap_or_default();
        let right = random::same(kept, &random::fingerprint(&random::as_typed(shown)));
        let person = if right { self.people.owner().await? } else { None };
        let Some(person) = person else { return Ok(Tried::Wrong("This code is wrong.".into())) };
        self.codes.entered();
        Ok(Tried::In(person))
    }

    /// Shows the form; with a new code on the terminal when the flow has none yet.
    pub(super) async fn sign_in_form(
        &self,
        open: &mut Open,
        occasion: Occasion<'_>,
        wrong: Option<String>,
        cookie: Option<String>,
    ) -> Result<Answer, Trouble> {
        let named = self.people.have_names().await?;
        let (missing, may) = (!named && open.flow.code.is_none(), || self.may_announce(&occasion));
        let mut wrong = wrong;
        if missing && may() {
            let code = random::typed()?;
            if self.set_code(open, &code).await? {
                let name = open.flow.ask.client_name.replace('"', "'");
                let host = redirect::shown(&open.flow.ask.redirect);
                // The name comes last, because the client chose it.
                (self.announce)(&format!("sign-in code {code} for {host} (calls itself \"{name}\")"));
            }
        } else if missing && matches!(occasion, Occasion::Button(_)) {
            wrong = Some("Too many codes were asked for. Wait a minute.".into());
        }
        let ask = &open.flow.ask;
        let (kind, client_host) = ask.kind.shown();
        let page = SignIn {
            action: self.path("/oauth/sign-in"),
            flow: open.id.clone(),
            csrf: open.token(None),
            client: ask.client_name.clone(),
            kind,
            own: ask.own,
            client_host,
            host: redirect::shown(&ask.redirect),
            named,
            coded: open.flow.code.is_some(),
            name: ask.hint.clone(),
            wrong,
        };
        Ok(self.pages.sign_in(&page, &redirect::form_targets(&ask.redirect), cookie))
    }

    /// Whether a code may come on the terminal: other pages must not fill it with what nobody asked for.
    fn may_announce(&self, occasion: &Occasion<'_>) -> bool {
        match occasion {
            Occasion::Arrival(visit) => visit.navigates && self.codes.may_show(),
            Occasion::Button(address) => self.codes.may_ask(address),
            Occasion::Again => false,
        }
    }
}

fn wait(left: std::time::Duration) -> String {
    format!("There were too many wrong tries. Try again in {} seconds.", left.as_secs() + 1)
}
