//! Connecting without a server: the person at this machine comes back to a listener that is there for them alone.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Path, RawQuery, State},
    response::Response,
    routing::get,
};
use http::StatusCode;
use tokio::{net::TcpListener, sync::mpsc};

use super::{
    Answer, CALLBACK, Caller, Connectable, Error, Gateway, Message, Paper, Refusal, Site, of_query, respond, word,
};
use crate::error::ErrorKind;

/// They have this long.
const PATIENCE: Duration = Duration::from_mins(10);
/// The page they come back to is given this long to leave.
const LINGER: Duration = Duration::from_millis(500);

struct Door {
    gateway: Arc<Gateway>,
    paper: Paper,
    /// What stands for the browser: whoever knows the flow's state came from the link we showed.
    browser: String,
    ended: mpsc::Sender<Result<(), Error>>,
}

/// Connects something for the person at this machine: `show` is given the link for their browser. Ends when they are
/// back, or after ten minutes.
pub async fn connect_here(
    gateway: &Arc<Gateway>,
    connectable: &Connectable,
    listener: TcpListener,
    show: impl FnOnce(&str),
) -> Result<(), Error> {
    let broken = |why: String| Error::new(ErrorKind::Internal, "nobody can come back to this machine").because(why);
    let address = listener.local_addr().map_err(|error| broken(error.to_string()))?;
    let browser = word()?;
    let site = Site::of(&format!("http://{address}"), connectable.id.as_str());
    let to = connectable.grants.begin(&Caller::Local, &browser, &site).await?;
    let (ended, mut end) = mpsc::channel(1);
    let paper = Paper::new("this computer".into(), &[]).map_err(broken)?;
    let door = Arc::new(Door { gateway: Arc::clone(gateway), paper, browser, ended });
    let router = Router::new().route(&format!("{CALLBACK}/{{connector}}"), get(come_back)).with_state(door);
    show(to.as_str());
    let serving = async { axum::serve(listener, router).await };
    tokio::select! {
        served = serving => Err(broken(format!("{served:?}"))),
        ended = tokio::time::timeout(PATIENCE, end.recv()) => {
            Err(Error::new(ErrorKind::Timeout, "nobody came back within ten minutes")).or_else(|late| match ended {
                Ok(Some(ended)) => ended,
                Ok(None) | Err(_) => Err(late),
            })
        }
    }
}

async fn come_back(
    State(door): State<Arc<Door>>,
    Path(connector): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let asked = of_query(query);
    let said = |name: &str| Some(asked.field(name).to_owned());
    let ended = door.gateway.come_back(&connector, (&door.browser, &[Caller::Local]), said).await;
    let refused = |words: String| Err(Error::new(ErrorKind::Forbidden, words));
    let ended = match ended {
        // Not the one we wait for.
        Ok(None) => {
            let (title, text) = ("This link is over", "It was used already, or is none of ours.");
            let message = Message { title, text, hint: "Nothing was opened.", link: None };
            return respond(Answer::Page(door.paper.message(StatusCode::BAD_REQUEST, &message)));
        }
        Ok(Some((_, Ok(())))) => Ok(()),
        Ok(Some((_, Err(Refusal::Declined(words))))) => refused(format!("the other side answered: {words}")),
        Ok(Some((_, Err(Refusal::Wrong(why))))) => refused(format!("the answer cannot be trusted: {why}")),
        Err(error) => Err(error),
    };
    let (status, title, text) = match &ended {
        Ok(()) => {
            (StatusCode::OK, "It is connected", "It acts for the person at this computer from now on.".to_owned())
        }
        Err(error) => (StatusCode::BAD_REQUEST, "It was not connected", format!("It could not be done: {error}.")),
    };
    let message = Message { title, text: &text, hint: "You can close this page.", link: None };
    let page = respond(Answer::Page(door.paper.message(status, &message)));
    let sender = door.ended.clone();
    // The page has to leave before the listener goes.
    let later = async move {
        tokio::time::sleep(LINGER).await;
        let _ = sender.send(ended).await;
    };
    door.gateway.keyring().tasks().spawn(later);
    page
}
