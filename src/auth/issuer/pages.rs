//! The pages people see: they sign in, decide, or learn that something is wrong.

use http::StatusCode;
use serde::Serialize;

use super::answer::{Answer, Page};
use super::paper::{Message, Paper};

const TEMPLATES: [(&str, &str); 3] = [
    ("sign_in.html", include_str!("pages/sign_in.html")),
    ("consent.html", include_str!("pages/consent.html")),
    ("who.html", include_str!("pages/who.html")),
];

/// What the sign-in page shows.
#[derive(Serialize)]
pub(super) struct SignIn {
    pub(super) action: String,
    pub(super) flow: String,
    pub(super) csrf: String,
    pub(super) client: String,
    /// `document`, `registered` or `predefined`.
    pub(super) kind: &'static str,
    /// Whether it is for a page of ours.
    pub(super) own: bool,
    /// The host that vouches for the client.
    pub(super) client_host: String,
    /// Where the client has people sent back to.
    pub(super) host: String,
    /// Whether people sign in by name and password; else by a code.
    pub(super) named: bool,
    /// Whether there is a code.
    pub(super) coded: bool,
    pub(super) name: Option<String>,
    /// What was wrong with the last try.
    pub(super) wrong: Option<String>,
}

/// What the consent page shows.
#[derive(Serialize)]
pub(super) struct Consent {
    pub(super) action: String,
    pub(super) flow: String,
    pub(super) csrf: String,
    pub(super) client: String,
    /// `document`, `registered` or `predefined`.
    pub(super) kind: &'static str,
    /// The host that vouches for the client.
    pub(super) client_host: String,
    /// `web`, `loopback` or `app`.
    pub(super) place: &'static str,
    pub(super) host: String,
    pub(super) person: String,
    pub(super) may_switch: bool,
    /// Connectors that need no scope.
    pub(super) open: Vec<String>,
    pub(super) groups: Vec<Group>,
}

/// A scope, and what it opens.
#[derive(Serialize)]
pub(super) struct Group {
    pub(super) scope: String,
    pub(super) connectors: Vec<String>,
}

/// All pages.
pub(super) struct Pages(Paper);

impl Pages {
    /// `server` is what people know this server by: its host.
    pub(super) fn new(server: String) -> Result<Self, String> {
        Paper::new(server, &TEMPLATES).map(Self)
    }

    pub(super) fn sign_in(&self, page: &SignIn, target: &str, cookie: Option<String>) -> Answer {
        let status = if page.wrong.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
        Answer::Page(Page { cookie, ..self.0.page(status, "sign_in.html", page, target) })
    }

    pub(super) fn consent(&self, page: &Consent, target: &str, cookie: Option<String>) -> Answer {
        Answer::Page(Page { cookie, ..self.0.page(StatusCode::OK, "consent.html", page, target) })
    }

    /// A client's request that leads nowhere.
    pub(super) fn refused(&self, why: &str) -> Answer {
        let hint = "Nothing was opened. Go back to the app you came from and connect again; if this stays, tell who runs it what it says above.";
        let (title, text) = ("This request cannot be trusted", &*sentence(why));
        self.message(StatusCode::BAD_REQUEST, &Message { title, text, hint, link: None })
    }

    /// A client's request that cannot be granted, where the client is told only if the person wants that.
    pub(super) fn stopped(&self, why: &str, host: &str, link: &str, cookie: Option<String>) -> Answer {
        let text = &format!("What {host} asked for cannot be granted: {why}.");
        let hint =
            "Nothing was opened, and nobody here has checked whose site that is. Go on only if you came from it.";
        let message = Message { title: "This does not work", text, hint, link: Some((link, host)) };
        Answer::Page(Page { cookie, ..self.0.message(StatusCode::BAD_REQUEST, &message) })
    }

    /// A flow that is no longer, or never was in this browser.
    pub(super) fn over(&self) -> Answer {
        let text = "It took too long, was finished already, or was begun in another browser.";
        let hint = "Go back to the app you came from and connect again.";
        self.message(StatusCode::BAD_REQUEST, &Message { title: "This sign-in is over", text, hint, link: None })
    }

    /// A form that another page sent.
    pub(super) fn foreign(&self) -> Answer {
        let text = "The form was sent by a page of somebody else.";
        let hint = "Nothing was opened. Go back to the app you came from and connect again.";
        self.message(StatusCode::FORBIDDEN, &Message { title: "This did not come from here", text, hint, link: None })
    }

    pub(super) fn trouble(&self) -> Answer {
        let text = "The server cannot do this right now.";
        let hint = "Wait a moment and load the page again. Who runs the server finds the reason in its log.";
        self.message(StatusCode::SERVICE_UNAVAILABLE, &Message { title: "Please try again", text, hint, link: None })
    }

    fn message(&self, status: StatusCode, message: &Message<'_>) -> Answer {
        Answer::Page(self.0.message(status, message))
    }
}

/// Words of an error, as people write.
fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters.as_str().chars()).chain(['.']).collect()
}
