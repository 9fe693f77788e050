//! Who is in front of a page for connecting.

use super::{Answer, Caller, Connectable, Error, Gateway, Guest, Hall, KEY, Ticket, base_of, is_word, word};
use crate::error::ErrorKind;
use crate::gateway::LinkGuest;

/// A browser, and who it may be.
pub(super) struct Seen {
    /// What its cookie says, or will say.
    pub(super) browser: String,
    /// Whether the cookie has to be set.
    pub(super) is_new: bool,
    /// Who came by links, and for which connectors.
    pub(super) by_link: Option<LinkGuest>,
    /// Who signed in at our issuer.
    pub(super) signed_in: Option<Caller>,
}

impl Seen {
    /// Who may act on the pages of a connector, or on the list of all.
    pub(super) fn callers(&self, connector: Option<&str>) -> Vec<&Caller> {
        let by_link = self.by_link.as_ref();
        let by_link = by_link.filter(|guest| connector.is_none_or(|connector| guest.connectors.contains(connector)));
        by_link.map(|guest| &guest.caller).into_iter().chain(&self.signed_in).collect()
    }

    /// Whether a connector is one that this caller may see here.
    pub(super) fn opens(&self, caller: &Caller, connectable: &Connectable) -> bool {
        self.callers(Some(connectable.id.as_str())).iter().any(|seen| seen.id() == caller.id())
    }
}

impl Hall {
    /// Who is there, by the cookies.
    pub(super) async fn seen(&self, guest: &Guest) -> Result<Seen, Error> {
        let name = self.cookie_name();
        let mut pairs = guest.cookies.split(';').filter_map(|pair| pair.trim().split_once('='));
        let shown = pairs.find(|(key, _)| *key == name).map(|(_, value)| value).filter(|value| is_word(value));
        let by_link = match shown {
            Some(shown) => self.gateway.known(shown).await?.filter(|guest| self.auth.still_knows(&guest.caller)),
            None => None,
        };
        let signed_in = match self.auth.issuer() {
            Some(issuer) => {
                let unreadable =
                    |trouble| Error::new(ErrorKind::Unavailable, "who signed in cannot be read").because(trouble);
                issuer.visitor(&guest.cookies).await.map_err(unreadable)?.map(Caller::Known)
            }
            None => None,
        };
        let browser = shown.map_or_else(word, |shown| Ok(shown.to_owned()))?;
        Ok(Seen { browser, is_new: shown.is_none(), by_link, signed_in })
    }

    /// What a link opens here, while its caller is still let in.
    pub(super) fn opened(&self, ticket: Option<Ticket>, connector: &str) -> Option<Ticket> {
        ticket.filter(|ticket| ticket.connector == connector && self.auth.still_knows(&ticket.caller))
    }

    /// Whether our own issuer can tell whether somebody is this caller.
    pub(super) fn is_person(&self, caller: &Caller) -> bool {
        let Caller::Known(principal) = caller else { return false };
        self.auth.issuer().is_some_and(|issuer| issuer.base() == principal.issuer)
    }

    /// The way on for somebody who is not known.
    pub(super) async fn unknown(&self, path: &str, guest: &Guest) -> Answer {
        if self.auth.issuer().is_some() {
            return self.sign_in(path, false, guest).await;
        }
        let text = "Nobody can tell who you are here but by a link that your app gives you.";
        let hint = "Use a tool of the connector in your app: it answers with a link that is yours alone.";
        self.message(http::StatusCode::FORBIDDEN, "Come by a link from your app", text, hint)
    }

    /// Has somebody sign in at our issuer and come back to a page.
    pub(super) async fn sign_in(&self, path: &str, anew: bool, guest: &Guest) -> Answer {
        match self.auth.issuer() {
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
