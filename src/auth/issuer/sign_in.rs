//! Signing in: a name and a password, or, while there are no users, a code from the terminal.

use secrecy::SecretString;

use super::answer::Answer;
use super::browser::Browser;
use super::flow::Open;
use super::pages::SignIn;
use super::parameters::Parameters;
use super::people::Person;
use super::{Issuer, Trouble, password, random, redirect, user};

/// How a try to sign in ended.
enum Tried {
    In(Person),
    Wrong(String),
    /// Later, perhaps.
    Paused(String),
}

impl Issuer {
    /// The sign-in page of a flow.
    pub async fn sign_in_page(&self, asked: &Parameters, cookies: &str) -> Answer {
        let answer = async {
            let browser = self.browser(cookies).await?;
            let Some(mut open) = self.flow(asked.field("flow"), &browser).await? else { return Ok(self.pages.over()) };
            self.sign_in_form(&mut open, None, browser.cookie).await
        };
        self.settled(answer.await)
    }

    /// The sign-in form, sent.
    pub async fn sign_in(&self, form: &Parameters, cookies: &str) -> Answer {
        self.settled(self.signing_in(form, cookies).await)
    }

    async fn signing_in(&self, form: &Parameters, cookies: &str) -> Result<Answer, Trouble> {
        let browser = self.browser(cookies).await?;
        let Some(mut open) = self.flow(form.field("flow"), &browser).await? else { return Ok(self.pages.over()) };
        if !random::same(&open.token(None), form.field("csrf")) {
            return Ok(self.pages.over());
        }
        let person = match self.attempt(&mut open, form).await? {
            Tried::In(person) => person,
            Tried::Wrong(_) if open.is_used_up() => {
                self.end(&open).await?;
                return Ok(self.refuse(&open.flow.ask, "access_denied", "too many wrong tries to sign in", None));
            }
            Tried::Wrong(why) | Tried::Paused(why) => {
                let name = form.field("username");
                open.flow.ask.hint = (!name.is_empty()).then(|| crate::name::cut(name, 64));
                return self.sign_in_form(&mut open, Some(why), browser.cookie).await;
            }
        };
        self.welcome(open, &browser, person).await
    }

    /// Somebody is who they say: on to what they are asked, or back to the client when nothing is.
    async fn welcome(&self, open: Open, browser: &Browser, person: Person) -> Result<Answer, Trouble> {
        let cookie = Some(self.changed(browser, Some(person.clone())).await?);
        let ask = &open.flow.ask;
        let scopes = person.may_give(&ask.scopes);
        if self.needs_asking(ask, &person, &scopes).await? {
            return Ok(Answer::Go { to: self.page("/oauth/consent", &open.id), cookie });
        }
        if !self.end(&open).await? {
            return Ok(self.pages.over());
        }
        self.allow(ask, person, scopes, cookie).await
    }

    async fn attempt(&self, open: &mut Open, form: &Parameters) -> Result<Tried, Trouble> {
        let named = self.people.have_names().await?;
        // Pauses for one-time codes are each flow's own: nobody keeps the owner out by guessing.
        let name = if named { form.field("username").trim().to_owned() } else { open.id.clone() };
        let shown = if named { form.field("password") } else { form.field("code") };
        if shown.is_empty() || name.is_empty() || shown.len() > user::LONGEST {
            let what = if named { "Enter your user name and password." } else { "Enter the code." };
            return Ok(Tried::Paused(what.into()));
        }
        if let Err(left) = self.pauses.begin(&name) {
            let seconds = left.as_secs() + 1;
            return Ok(Tried::Paused(format!("There were too many wrong tries. Try again in {seconds} seconds.")));
        }
        if !self.try_once(open).await? {
            return Ok(Tried::Wrong(String::new()));
        }
        let person = if named {
            let (person, hash) = self.people.named(&name).await?.unzip();
            let right = password::is_right(SecretString::from(shown), hash).await?;
            person.filter(|_| right)
        } else {
            let kept = open.flow.code.as_deref().unwrap_or_default();
            let right = random::same(kept, &random::fingerprint(&random::as_typed(shown)));
            if right { self.people.owner().await? } else { None }
        };
        let what = if named { "The user name or the password is wrong." } else { "This code is wrong." };
        let Some(person) = person else { return Ok(Tried::Wrong(what.into())) };
        self.pauses.right(&name);
        Ok(Tried::In(person))
    }

    /// Shows the form; with a new code on the terminal when the flow has none yet.
    pub(super) async fn sign_in_form(
        &self,
        open: &mut Open,
        wrong: Option<String>,
        cookie: Option<String>,
    ) -> Result<Answer, Trouble> {
        let named = self.people.have_names().await?;
        if !named && open.flow.code.is_none() {
            let code = random::typed()?;
            if self.set_code(open, &code).await? {
                let (client, host) = (&open.flow.ask.client_name, redirect::shown(&open.flow.ask.redirect));
                (self.announce)(&format!("sign-in code for {client} ({host}): {code}"));
            }
        }
        let page = SignIn {
            action: self.path("/oauth/sign-in"),
            flow: open.id.clone(),
            csrf: open.token(None),
            client: open.flow.ask.client_name.clone(),
            host: redirect::shown(&open.flow.ask.redirect),
            named,
            name: open.flow.ask.hint.clone(),
            wrong,
        };
        Ok(self.pages.sign_in(&page, &redirect::form_target(&open.flow.ask.redirect), cookie))
    }
}
