//! What pages for connecting say when they ask nothing.

use http::StatusCode;

use super::who::label;
use super::{Answer, Caller, Error, Hall, Message, Page};

impl Hall {
    /// An answer for a person, also when there is trouble.
    pub(super) fn settled(&self, outcome: Result<Answer, Error>) -> Answer {
        outcome.unwrap_or_else(|error| {
            tracing::error!("a page for connecting cannot be shown: {error}");
            Answer::Page(self.failed(&error, ""))
        })
    }

    pub(super) fn failed(&self, error: &Error, link: &str) -> Page {
        if let Some(cause) = std::error::Error::source(error) {
            tracing::warn!("somebody cannot connect: {error}: {cause}");
        }
        let text = format!("It could not be done: {}.", error.message());
        let hint = "Wait a moment and try again. Who runs the server finds the reason in its log.";
        let link = (!link.is_empty()).then_some((link, "your connections"));
        let message = Message { title: "Please try again", text: &text, hint, link };
        self.paper.message(StatusCode::SERVICE_UNAVAILABLE, &message)
    }

    pub(super) fn over(&self) -> Answer {
        let text = "It was used already, is older than ten minutes, or was opened in another browser.";
        let hint = "Go back to your app and ask again: it gives you a new link.";
        self.message(StatusCode::BAD_REQUEST, "This link is over", text, hint)
    }

    pub(super) fn nothing(&self) -> Answer {
        let text = "There is no connector of this name that acts for you.";
        self.message(StatusCode::NOT_FOUND, "There is nothing here", text, "Go back to your app and ask again.")
    }

    pub(super) fn foreign(&self) -> Answer {
        let text = "The form was sent by a page of somebody else.";
        let hint = "Nothing was opened. Go back to your app and ask again.";
        self.message(StatusCode::FORBIDDEN, "This did not come from here", text, hint)
    }

    /// Somebody else is signed in than the one whom the link is for.
    pub(super) fn other(&self, other: &Caller, link: &str) -> Answer {
        let text =
            format!("The link is for another account than the one you are signed in with here, {}.", label(other));
        let hint = "Nothing was opened. If the link is not from your own app, close this page.";
        let link = Some((link, "sign in as somebody else"));
        let message = Message { title: "This link is not yours", text: &text, hint, link };
        Answer::Page(self.paper.message(StatusCode::FORBIDDEN, &message))
    }

    pub(super) fn message(&self, status: StatusCode, title: &str, text: &str, hint: &str) -> Answer {
        Answer::Page(self.paper.message(status, &Message { title, text, hint, link: None }))
    }
}
