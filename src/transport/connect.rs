//! The pages on which callers connect: see what acts for them, begin that, end it.
//!
//! Who is there is known by the link they came by, which is theirs alone and used up with the first form, or by having
//! signed in at our own issuer. A link for somebody whom our issuer knows opens nothing for anybody else.

use std::sync::Arc;

use axum::{
    Extension, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, RawQuery, State},
    response::Response,
    routing::get,
};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use url::Url;

use super::guard::Prefix;
use super::oauth::{Guest, of_query, own_form, respond};
use super::reply;
use crate::audit::Deed;
use crate::auth::{Answer, Auth, Message, Page, Paper, Parameters};
use crate::caller::{Caller, KEY};
use crate::credential::grant::{
    CALLBACK, DOCUMENT, Parted, Refusal, Site, Standing, client_document, fingerprint, is_same, is_word, word,
};
use crate::error::Error;
use crate::gateway::{Connectable, Gateway, LinkGuest, Ticket};
use crate::name::ConnectorId;
use crate::protocol::Server;

mod here;
mod message;
mod who;

pub use here::connect_here;
use who::{Seen, label};

/// The largest request. All of them are small.
const MAX_BODY: usize = 64 << 10;
const TEMPLATES: [(&str, &str); 3] = [
    ("connect.html", include_str!("connect/connect.html")),
    ("connections.html", include_str!("connect/connections.html")),
    ("leave.html", include_str!("connect/leave.html")),
];

/// What the pages are made of.
struct Hall {
    gateway: Arc<Gateway>,
    auth: Arc<Auth>,
    paper: Paper,
}

/// The page of one connector.
#[derive(Serialize)]
struct Shown {
    action: String,
    csrf: String,
    /// Whom the page is for: its form acts for nobody else.
    tag: String,
    ticket: Option<String>,
    name: String,
    description: Option<String>,
    person: String,
    /// Where people agree.
    host: Option<String>,
    /// Where calls go.
    calls: Option<String>,
    scopes: Vec<String>,
    connected: bool,
    since: Option<String>,
    /// What was just done.
    done: String,
    /// Whether the issuer was told of it.
    told: bool,
    trouble: Option<String>,
}

/// The list of all.
#[derive(Serialize)]
struct Listed {
    person: String,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    href: String,
    name: String,
    since: Option<String>,
}

/// The page that leads to the issuer. It is no redirect: browsers hold those against the form that led to them.
#[derive(Serialize)]
struct Leave {
    host: String,
    to: String,
}

/// A request of a page.
struct Visited<'a> {
    /// The path before ours, as the browser sees it.
    prefix: &'a str,
    guest: &'a Guest,
    asked: &'a Parameters,
}

/// All routes; none when pages cannot be made.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(server: &Server, auth: Arc<Auth>) -> Router<S> {
    let gateway = Arc::clone(server.gateway());
    let host = host_of(&base_of(&gateway)).unwrap_or_default();
    let paper = match Paper::new(host, &TEMPLATES) {
        Ok(paper) => paper,
        Err(why) => {
            tracing::error!("the pages for connecting cannot be made: {why}");
            return Router::new();
        }
    };
    let hall = Arc::new(Hall { gateway, auth, paper });
    Router::new()
        .route("/connect", get(list))
        .route("/connect/", get(list))
        .route(&format!("{CALLBACK}/{{connector}}"), get(come_back))
        .route("/connect/{connector}", get(show).post(decide))
        .route(&format!("{DOCUMENT}/{{name}}"), get(document))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(hall)
}

/// Our own address.
fn base_of(gateway: &Gateway) -> String {
    gateway.live().pages().base.clone().unwrap_or_default()
}

fn host_of(address: &str) -> Option<String> {
    let url = Url::parse(address).ok()?;
    let host = url.host_str()?;
    Some(url.port().map_or(host.to_owned(), |port| format!("{host}:{port}")))
}

/// What issuers may read of us at an address that everybody reaches.
async fn document(State(hall): State<Arc<Hall>>, Path(name): Path<String>) -> Response {
    let base = base_of(&hall.gateway);
    let connector = name.strip_suffix(".json").and_then(|name| ConnectorId::try_from(name.to_owned()).ok());
    match connector.filter(|_| base.starts_with("https://")) {
        Some(connector) => reply::json(StatusCode::OK, client_document(&base, connector.as_str()).to_string()),
        None => reply::json(StatusCode::NOT_FOUND, r#"{"detail":"there is nothing here that issuers could read"}"#),
    }
}

async fn list(
    State(hall): State<Arc<Hall>>,
    Extension(prefix): Extension<Prefix>,
    RawQuery(query): RawQuery,
    guest: Guest,
) -> Response {
    let visited = Visited { prefix: &prefix.0, guest: &guest, asked: &of_query(query) };
    respond(hall.settled(hall.listed(&visited).await))
}

async fn show(
    State(hall): State<Arc<Hall>>,
    Extension(prefix): Extension<Prefix>,
    Path(connector): Path<String>,
    RawQuery(query): RawQuery,
    guest: Guest,
) -> Response {
    let visited = Visited { prefix: &prefix.0, guest: &guest, asked: &of_query(query) };
    respond(hall.settled(hall.shown(&connector, &visited).await))
}

async fn decide(
    (State(hall), Extension(prefix)): (State<Arc<Hall>>, Extension<Prefix>),
    Path(connector): Path<String>,
    guest: Guest,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(form) = own_form(&base_of(&hall.gateway), &headers, &body) else { return respond(hall.foreign()) };
    let visited = Visited { prefix: &prefix.0, guest: &guest, asked: &form };
    respond(hall.settled(hall.decided(&connector, &visited).await))
}

async fn come_back(
    State(hall): State<Arc<Hall>>,
    Extension(prefix): Extension<Prefix>,
    Path(connector): Path<String>,
    RawQuery(query): RawQuery,
    guest: Guest,
) -> Response {
    let visited = Visited { prefix: &prefix.0, guest: &guest, asked: &of_query(query) };
    respond(hall.settled(hall.returned(&connector, &visited).await))
}

impl Hall {
    async fn listed(&self, visited: &Visited<'_>) -> Result<Answer, Error> {
        let Visited { prefix, guest, asked } = visited;
        let seen = self.seen(guest).await?;
        let (callers, wanted) = (seen.callers(None), asked.field("for"));
        let Some(caller) = meant(&callers, wanted).or(callers.first().copied()) else {
            return Ok(self.unknown("/connect", guest).await);
        };
        let mut rows = Vec::new();
        for connectable in self.gateway.connectable(caller).into_iter().filter(|it| seen.opens(caller, it)) {
            let Connectable { id, name, grants, .. } = connectable;
            let since = grants.standing(caller).await?.map(|standing| day(&standing));
            rows.push(Row { href: format!("{prefix}/connect/{id}?for={}", tag(caller)), name, since });
        }
        let page = self.paper.page(StatusCode::OK, "connections.html", &Listed { person: label(caller), rows }, "");
        Ok(Answer::Page(Page { cookie: self.cookie(&seen), ..page }))
    }

    async fn shown(&self, connector: &str, visited: &Visited<'_>) -> Result<Answer, Error> {
        let Visited { prefix, guest, asked } = visited;
        let seen = self.seen(guest).await?;
        let callers = seen.callers(Some(connector));
        let secret = asked.field("ticket");
        if !secret.is_empty() {
            return match self.opened(self.gateway.ticket(secret).await?, connector) {
                // Whoever reloads the page is known by now.
                None if !callers.is_empty() => Ok(go(format!("{prefix}/connect/{connector}"))),
                None => Ok(self.over()),
                Some(ticket) if !self.is_person(&ticket.caller) => {
                    self.page(connector, &ticket.caller, (&seen, Some(secret), ""), prefix).await
                }
                Some(ticket) => match meant(&callers, &tag(&ticket.caller)) {
                    Some(caller) => self.page(connector, caller, (&seen, Some(secret), ""), prefix).await,
                    None => Ok(go(format!("{prefix}/connect/{connector}?for={}", tag(&ticket.caller)))),
                },
            };
        }
        // A link for one person led here; another one may be signed in.
        let wanted = asked.field("for");
        let wanted =
            if wanted.len() <= 64 && wanted.bytes().all(|byte| byte.is_ascii_alphanumeric()) { wanted } else { "" };
        let here = if wanted.is_empty() {
            format!("/connect/{connector}")
        } else {
            format!("/connect/{connector}?for={wanted}")
        };
        match (meant(&callers, wanted), callers.first()) {
            (Some(caller), _) => self.page(connector, caller, (&seen, None, asked.field("done")), prefix).await,
            (None, Some(_)) if asked.field("as") == "other" => Ok(self.sign_in(&here, true, guest).await),
            (None, Some(other)) => Ok(self.other(other, &format!("{prefix}{here}&as=other"))),
            (None, None) => Ok(self.unknown(&here, guest).await),
        }
    }

    /// The page of a connector for a caller.
    async fn page(
        &self,
        connector: &str,
        caller: &Caller,
        (seen, ticket, done): (&Seen, Option<&str>, &str),
        prefix: &str,
    ) -> Result<Answer, Error> {
        let Some(found) = self.find(connector, caller) else { return Ok(self.nothing()) };
        let standing = found.grants.standing(caller).await?;
        let terms = found.grants.terms(caller).await;
        let trouble = terms.as_ref().err().map(|error| format!("{}.", error.message()));
        let (host, wanted) = terms.map(|terms| (Some(terms.host), terms.scopes)).unwrap_or_default();
        let given = standing.as_ref().map(|standing| standing.scopes.clone());
        let shown = Shown {
            action: format!("{prefix}/connect/{connector}"),
            csrf: token(&seen.browser, connector, &tag(caller)),
            tag: tag(caller),
            ticket: ticket.map(str::to_owned),
            name: found.name,
            description: found.description,
            person: label(caller),
            host,
            calls: found.host,
            scopes: given.filter(|given| !given.is_empty()).unwrap_or(wanted),
            connected: standing.is_some(),
            since: standing.as_ref().map(day),
            done: match (done, &standing) {
                ("connected", Some(_)) => "connected".into(),
                ("disconnected" | "forgotten", None) => "disconnected".into(),
                _ => String::new(),
            },
            told: done == "disconnected",
            trouble: trouble.filter(|_| standing.is_none()),
        };
        let page = self.paper.page(StatusCode::OK, "connect.html", &shown, "");
        Ok(Answer::Page(Page { cookie: self.cookie(seen), ..page }))
    }

    async fn decided(&self, connector: &str, visited: &Visited<'_>) -> Result<Answer, Error> {
        let Visited { prefix, guest, asked } = visited;
        let mut seen = self.seen(guest).await?;
        let whom = asked.field("for");
        // A browser that brings no cookie was shown no form of ours.
        if seen.is_new || !is_same(&token(&seen.browser, connector, whom), asked.field("csrf")) {
            return Ok(self.over());
        }
        let Some(caller) = self.bearer(connector, (asked.field("ticket"), whom), &mut seen).await? else {
            return Ok(self.over());
        };
        let here = format!("{prefix}/connect/{connector}?for={whom}");
        if asked.field("decision") == "list" {
            return Ok(go(format!("{prefix}/connect?for={whom}")));
        }
        let Some(found) = self.find(connector, &caller) else { return Ok(self.nothing()) };
        match asked.field("decision") {
            "connect" => {
                let site = Site::of(&base_of(&self.gateway), connector);
                // Nobody can tell here who holds a link that came with a key: somebody else's may lead a person to an
                // issuer that they agreed at before, which has to ask them again.
                let site = if self.is_person(&caller) { site } else { site.asking_again() };
                let page = match found.grants.begin(&caller, &seen.browser, &site).await {
                    Ok(to) => {
                        let host = host_of(to.as_str()).unwrap_or_default();
                        self.paper.page(StatusCode::OK, "leave.html", &Leave { host, to: to.into() }, "")
                    }
                    Err(error) => self.failed(&error, &here),
                };
                Ok(Answer::Page(Page { cookie: self.cookie(&seen), ..page }))
            }
            "disconnect" => {
                let parted = found.grants.disconnect(&caller).await;
                let failure = parted.as_ref().err().map(|error| error as _);
                self.gateway.did(Deed::GrantDisconnect, &caller, connector, failure);
                let done = match parted? {
                    Parted::TakenBack | Parted::Nothing => "disconnected",
                    Parted::Forgotten => "forgotten",
                };
                Ok(Answer::Go { to: format!("{here}&done={done}"), cookie: self.cookie(&seen) })
            }
            _ => Ok(Answer::Go { to: here, cookie: self.cookie(&seen) }),
        }
    }

    /// Whose form it is: whom its page was for, by the link that it brings along, which is used up by that, or because
    /// they are known. Nobody else who is known in this browser takes their place.
    async fn bearer(
        &self,
        connector: &str,
        (secret, whom): (&str, &str),
        seen: &mut Seen,
    ) -> Result<Option<Caller>, Error> {
        if secret.is_empty() {
            return Ok(seen.callers(Some(connector)).into_iter().find(|caller| tag(caller) == whom).cloned());
        }
        let ticket = self.opened(self.gateway.redeem(secret).await?, connector);
        let Some(Ticket { caller, .. }) = ticket.filter(|ticket| tag(&ticket.caller) == whom) else { return Ok(None) };
        if self.is_person(&caller) {
            return Ok(seen.signed_in.clone().filter(|signed_in| signed_in.id() == caller.id()));
        }
        // Whoever knew the browser's word before is left behind.
        self.gateway.forget(&seen.browser).await?;
        let before = seen.by_link.take().filter(|before| before.caller.id() == caller.id());
        let mut connectors = before.map(|before| before.connectors).unwrap_or_default();
        connectors.insert(connector.to_owned());
        let guest = LinkGuest { caller: caller.clone(), connectors };
        (seen.browser, seen.is_new) = (word()?, true);
        self.gateway.know(&seen.browser, &guest).await?;
        seen.by_link = Some(guest);
        Ok(Some(caller))
    }

    /// Somebody comes back from the issuer.
    async fn returned(&self, connector: &str, visited: &Visited<'_>) -> Result<Answer, Error> {
        let Visited { prefix, guest, asked } = visited;
        let seen = self.seen(guest).await?;
        let callers: Vec<Caller> = seen.callers(Some(connector)).into_iter().cloned().collect();
        let said = |name: &str| Some(asked.field(name).to_owned());
        let ended = self.gateway.come_back(connector, (&seen.browser, &callers), said).await;
        let here = |caller: &Caller| format!("{prefix}/connect/{connector}?for={}", tag(caller));
        let message = |title, text: &str, link: Option<&str>| {
            let hint = "Nothing was opened. Ask for it in your app again, or try once more.";
            let link = link.map(|link| (link, "the connector"));
            Answer::Page(self.paper.message(StatusCode::BAD_REQUEST, &Message { title, text, hint, link }))
        };
        Ok(match ended {
            Ok(None) => self.over(),
            Ok(Some((caller, Ok(())))) => go(format!("{}&done=connected", here(caller))),
            Ok(Some((caller, Err(Refusal::Declined(words))))) => {
                let link = here(caller);
                message("It was not connected", &format!("The other side answered: {words}."), Some(&link))
            }
            Ok(Some((_, Err(Refusal::Wrong(why))))) => {
                message("This answer cannot be trusted", &format!("It did not fit: {why}."), None)
            }
            Err(error) => Answer::Page(self.failed(&error, &format!("{prefix}/connect"))),
        })
    }

    fn find(&self, connector: &str, caller: &Caller) -> Option<Connectable> {
        self.gateway.connectable(caller).into_iter().find(|it| it.id.as_str() == connector)
    }
}

fn go(to: String) -> Answer {
    Answer::Go { to, cookie: None }
}

/// What a form has to bring back. Only who has the browser's cookie can know it.
fn token(browser: &str, connector: &str, whom: &str) -> String {
    fingerprint(&format!("form {connector} {whom} {browser}"))
}

/// The one of them with this tag; the first, where it is not said which.
fn meant<'a>(callers: &[&'a Caller], wanted: &str) -> Option<&'a Caller> {
    callers.iter().find(|caller| wanted.is_empty() || tag(caller) == wanted).copied()
}

/// Stands for a caller in an address; says nothing to anybody else.
fn tag(caller: &Caller) -> String {
    match caller {
        Caller::Known(principal) => principal.tag(),
        Caller::Local | Caller::Anonymous { .. } => String::new(),
    }
}

fn day(standing: &Standing) -> String {
    humantime::format_rfc3339_seconds(standing.since).to_string().chars().take(10).collect()
}
