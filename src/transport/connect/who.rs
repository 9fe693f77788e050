//! Who is in front of a page for connecting.

use super::{Answer, Caller, Error, Gateway, Guest, Hall, KEY, base_of, is_word, word};
use crate::error::ErrorKind;

/// A browser, and who it may be.
pub(super) struct Seen {
    /// What its cookie says, or will say.
    pub(super) browser: String,
    /// Whether the cookie has to be set.
    pub(super) is_new: bool,
    /// Who came by a link, then who signed in at our issuer.
    pub(super) callers: Vec<Caller>,
}

impl Seen {
    /// This caller, if it is who is there.
    pub(super) fn is(&self, caller: &Caller) -> Option<&Caller> {
        self.callers.iter().find(|seen| seen.id() == caller.id())
    }
}

impl Hall {
    /// Who is there, by the cookies.
    pub(super) async fn seen(&self, guest: &Guest) -> Result<Seen, Error> {
        let mut callers = Vec::new();
        let name = self.cookie_name();
        let mut pairs = guest.cookies.split(';').filter_map(|pair| pair.trim().split_once('='));
        let shown = pairs.find(|(key, _)| *key == name).map(|(_, value)| value).filter(|value| is_word(value));
        if let Some(shown) = shown {
            callers.extend(self.gateway.known(shown).await?);
        }
        if let Some(issuer) = &self.issuer {
            let unreadable =
                |trouble| Error::new(ErrorKind::Unavailable, "who signed in cannot be read").because(trouble);
            callers.extend(issuer.visitor(&guest.cookies).await.map_err(unreadable)?.map(Caller::Known));
        }
        let browser = shown.map_or_else(word, |shown| Ok(shown.to_owned()))?;
        Ok(Seen { browser, is_new: shown.is_none(), callers })
    }

    /// Whether our own issuer can tell whether somebody is this caller.
    pub(super) fn is_person(&self, caller: &Caller) -> bool {
        let Caller::Known(principal) = caller else { return false };
        self.issuer.as_ref().is_some_and(|issuer| issuer.base() == principal.issuer)
    }

    /// The way on for somebody who is not known.
    pub(super) async fn unknown(&self, path: &str, guest: &Guest) -> Answer {
        if self.issuer.is_some() {
            return self.sign_in(path, false, guest).await;
        }
        let text = "Nobody can tell who you are here but by a link that your app gives you.";
        let hint = "Use a tool of the connector in your app: it answers with a link that is yours alone.";
        self.message(http::StatusCode::FORBIDDEN, "Come by a link from your app", text, hint)
    }

    /// Has somebody sign in at our issuer and come back to a page.
    pub(super) async fn sign_in(&self, path: &str, anew: bool, guest: &Guest) -> Answer {
        match &self.issuer {
            Some(issuer) => issuer.sign_in_for(path, anew, guest.visit()).await,
            None => self.over(),
        }
    }

    /// The cookie to set, if there is one to set.
    pub(super) fn cookie(&self, seen: &Seen) -> Option<String> {
        let secure = if self.has_tls() { "; Secure" } else { "" };
        let (name, value, seconds) = (self.cookie_name(), &seen.browser, Gateway::KNOWN.as_secs());
        seen.is_new.then(|| format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"))
    }

    /// Over TLS the name itself keeps other hosts and paths from setting the cookie. Without it, servers of this
    /// machine are at least told apart by their ports.
    fn cookie_name(&self) -> String {
        if self.has_tls() {
            return "__Host-switchboard-connect".into();
        }
        let base = base_of(&self.gateway);
        let port = url::Url::parse(&base).ok().and_then(|url| url.port_or_known_default());
        format!("switchboard-connect-{}", port.unwrap_or_default())
    }

    fn has_tls(&self) -> bool {
        base_of(&self.gateway).starts_with("https://")
    }
}

/// What a caller is called on pages.
pub(super) fn label(caller: &Caller) -> String {
    match caller {
        Caller::Local => "the person at this computer".into(),
        Caller::Anonymous { .. } => "nobody in particular".into(),
        Caller::Known(principal) => {
            let named = principal.name.as_ref().or(principal.email.as_ref());
            let key = || format!("whoever has the API key {}", principal.subject);
            let unnamed = || if principal.issuer == KEY { key() } else { principal.subject.clone() };
            named.cloned().unwrap_or_else(unnamed)
        }
    }
}
