//! Clients whose id is the address of a document that describes them.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moka::sync::Cache;
use serde_json::Value;
use tokio::{sync::Semaphore, task::JoinSet, time::Instant};
use url::Url;

use super::{Client, Keys, Kind, Proof, Redirects, check_ways, keys_of, plain, texts};
use crate::auth::issuer::answer::Refusal;
use crate::auth::issuer::{Trouble, redirect};
use crate::upstream::{FetchError, Fetcher, is_loopback};

/// The largest document.
const MAX_BYTES: usize = 64 << 10;
/// The longest address of one.
const LONGEST: usize = 1000;
/// The most addresses in one to send people to.
const MOST_REDIRECTS: usize = 50;
/// Documents, and failures, that are remembered.
const REMEMBERED: u64 = 1000;
/// How long a document is remembered at least, when it does not say, and at most.
const SHORTEST: Duration = Duration::from_mins(1);
const USUAL: Duration = Duration::from_mins(10);
const LONGEST_KEPT: Duration = Duration::from_hours(24);
/// How long a failure is remembered.
const FAILURE: Duration = Duration::from_secs(30);
/// How long a document that is over goes on to count while it is read anew.
const OVERTIME: Duration = Duration::from_hours(1);
/// Documents read at once, in all and from one host: nobody's slow site keeps those of others from being read.
const AT_ONCE: usize = 64;
const FROM_ONE: usize = 8;
/// Who has to wait longer than this for a place is asked to come again.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same for somebody else who reads the same document.
const COMPANY: Duration = Duration::from_secs(6);

type Found = Result<Arc<Client>, Refusal>;

/// Clients as their documents describe them.
pub(in crate::auth::issuer) struct Documents {
    reader: Arc<Reader>,
    hosts: Vec<String>,
    allow_private: bool,
    entries: Cache<String, Arc<Entry>>,
    /// What is read anew while the old still counts.
    renewals: Mutex<JoinSet<()>>,
}

/// What is known of one document.
#[derive(Default)]
struct Entry {
    known: Mutex<Option<Known>>,
    /// Held by whoever reads it; who asks for the same one waits.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Known {
    found: Found,
    /// For how long it counts.
    until: Instant,
    /// When it was read, if it could be.
    read: Option<Instant>,
}

/// Reads documents, a few at a time.
struct Reader {
    fetcher: Fetcher,
    places: Semaphore,
    sites: Cache<String, Arc<Semaphore>>,
}

impl fmt::Debug for Documents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Documents").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

impl Documents {
    /// `hosts` may have such clients; when there are none, all.
    pub(in crate::auth::issuer) fn new(fetcher: Fetcher, hosts: Vec<String>, allow_private: bool) -> Self {
        let entries = Cache::builder().max_capacity(REMEMBERED).time_to_idle(LONGEST_KEPT).build();
        let sites = Cache::builder().max_capacity(REMEMBERED).build();
        let reader = Arc::new(Reader { fetcher, places: Semaphore::new(AT_ONCE), sites });
        Self { reader, hosts, allow_private, entries, renewals: Mutex::default() }
    }

    /// The client of this id.
    pub(in crate::auth::issuer) async fn find(&self, id: &str) -> Result<Found, Trouble> {
        let url = match self.address(id) {
            Ok(url) => url,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let entry = self.entries.get_with(id.to_owned(), Arc::default);
        if let Some(known) = entry.known() {
            let now = Instant::now();
            if now < known.until {
                return Ok(known.found);
            }
            if known.is_usable(now) && now < known.until + OVERTIME {
                self.renew(id, url, entry);
                return Ok(known.found);
            }
        }
        let Ok(_reading) = tokio::time::timeout(COMPANY, entry.reading.lock()).await else { return Err(Trouble::Busy) };
        // Somebody may have read it meanwhile.
        if let Some(known) = entry.known().filter(|known| Instant::now() < known.until) {
            return Ok(known.found);
        }
        self.reader.read(id, &url, &entry).await
    }

    /// Reads a document anew, beside whoever asks for it.
    fn renew(&self, id: &str, url: Url, entry: Arc<Entry>) {
        let mut renewals = self.renewals.lock().unwrap_or_else(PoisonError::into_inner);
        while renewals.try_join_next().is_some() {}
        if renewals.len() >= AT_ONCE {
            return;
        }
        let (id, reader) = (id.to_owned(), Arc::clone(&self.reader));
        renewals.spawn(async move {
            if let Ok(_reading) = entry.reading.try_lock() {
                let _ = reader.read(&id, &url, &entry).await;
            }
        });
    }

    /// The address of a document, when the id can be one: it has to be written in the one way such addresses have.
    fn address(&self, id: &str) -> Result<Url, Refusal> {
        let wrong = |what: &str| Refusal::client(format!("the client id {what}"));
        let url = Url::parse(id).ok().filter(|url| id.len() <= LONGEST && url.as_str() == id);
        let url = url.ok_or_else(|| wrong("is no web address in its plain form"))?;
        let plain_http = url.scheme() == "http" && self.allow_private && is_loopback(&url);
        if url.scheme() != "https" && !plain_http {
            return Err(wrong("has to begin with https://"));
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(wrong("must hold no user name, password or fragment"));
        }
        let lower = url.path().to_ascii_lowercase();
        let dots = lower.split('/').any(|segment| matches!(segment.replace("%2e", ".").as_str(), "." | ".."));
        if url.path() == "/" || dots {
            return Err(wrong("needs a path, without dot segments"));
        }
        let host = url.host_str().unwrap_or_default();
        let allowed = |pattern: &String| match pattern.strip_prefix("*.") {
            Some(domain) => {
                host.strip_suffix(domain.to_ascii_lowercase().as_str()).is_some_and(|rest| rest.ends_with('.'))
            }
            None => pattern.eq_ignore_ascii_case(host),
        };
        if self.hosts.is_empty() || self.hosts.iter().any(allowed) {
            return Ok(url);
        }
        Err(wrong(&format!("is at {host}, which this server's settings do not allow (`auth.builtIn.clientHosts`)")))
    }
}

impl Entry {
    fn known(&self) -> Option<Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Reader {
    /// Reads a document, and remembers what came of it.
    async fn read(&self, id: &str, url: &Url, entry: &Entry) -> Result<Found, Trouble> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let site = self.sites.get_with(host, || Arc::new(Semaphore::new(FROM_ONE)));
        let places = async { Some((site.acquire().await.ok()?, self.places.acquire().await.ok()?)) };
        let Ok(Some(_places)) = tokio::time::timeout(PATIENCE, places).await else { return Err(Trouble::Busy) };
        let fetched = self.fetcher.json(url, MAX_BYTES).await;
        let now = Instant::now();
        let next = match fetched {
            Ok(fetched) => {
                let found = describe(id, url, &fetched.value).map(Arc::new);
                let lasting = fetched.max_age.unwrap_or(USUAL).clamp(SHORTEST, LONGEST_KEPT);
                let lasting = if found.is_ok() { lasting } else { FAILURE };
                Known { found, until: now + lasting, read: Some(now) }
            }
            Err(error) => {
                let known = entry.known().filter(|known| known.is_usable(now));
                match (error, known) {
                    // What it said last goes on to count for a while: a client is not cut off because its site is down.
                    (FetchError::Unreachable(why), Some(known)) => {
                        tracing::info!(host = url.host_str(), "a client's document cannot be read anew: {why}");
                        Known { until: now + FAILURE, ..known }
                    }
                    (error, _) => Known { found: Err(unreadable(url, &error)), until: now + FAILURE, read: None },
                }
            }
        };
        let found = next.found.clone();
        *entry.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(next);
        Ok(found)
    }
}

impl Known {
    fn is_usable(&self, now: Instant) -> bool {
        self.found.is_ok() && self.read.is_some_and(|read| now.duration_since(read) < LONGEST_KEPT)
    }
}

fn unreadable(url: &Url, error: &FetchError) -> Refusal {
    let host = url.host_str().unwrap_or_default();
    tracing::info!(host, "a client's document cannot be read: {error}");
    // What exactly is at an address is not told to whoever names it.
    let (kind, what) = match error {
        FetchError::Status(_) | FetchError::NotJson | FetchError::TooLarge(_) => {
            ("invalid_client", "it is no small JSON document")
        }
        FetchError::Address(_) => ("invalid_client", "it cannot be reached"),
        // A client that is told it is unknown forgets what it was given.
        FetchError::Unreachable(_) => ("temporarily_unavailable", "it cannot be reached"),
    };
    Refusal::new(kind, format!("the document that describes the client at {host} cannot be read: {what}"))
}

/// The client that a document describes.
fn describe(id: &str, url: &Url, document: &Value) -> Result<Client, Refusal> {
    let wrong = |what: &str| Refusal::client(format!("the document that describes the client {what}"));
    if document.get("client_id").and_then(Value::as_str) != Some(id) {
        return Err(wrong("has another client_id than its own address"));
    }
    check_ways(document)?;
    let redirects = texts(document, "redirect_uris")?;
    if redirects.is_empty() || redirects.len() > MOST_REDIRECTS {
        return Err(wrong("has no redirect_uris, or too many"));
    }
    // Others may be of use elsewhere; they just do not count here.
    let redirects: Vec<String> = redirects.into_iter().filter(|it| redirect::place(it).is_some()).collect();
    let host = url.host_str().unwrap_or_default().to_owned();
    let name = document.get("client_name").and_then(Value::as_str).map(plain).filter(|name| !name.is_empty());
    Ok(Client {
        id: id.to_owned(),
        name: name.unwrap_or_else(|| host.clone()),
        kind: Kind::Document(host),
        redirects: Redirects::These(redirects),
        proof: proof(document)?,
    })
}

fn proof(document: &Value) -> Result<Proof, Refusal> {
    let wrong = |what: &str| Refusal::client(format!("the document that describes the client {what}"));
    if document.get("client_secret").is_some() {
        return Err(wrong("holds a client_secret, which everybody can read"));
    }
    let keys = keys_of(document)?;
    let supported = texts(document, "token_endpoint_auth_methods_supported").unwrap_or_default();
    let signs = |way: fn(Keys) -> Proof| {
        let keys = keys.clone().ok_or_else(|| wrong("names private_key_jwt, but no keys"))?;
        Ok(way(keys))
    };
    match document.get("token_endpoint_auth_method").and_then(Value::as_str) {
        Some("private_key_jwt") => signs(Proof::Signature),
        None if supported.iter().any(|it| it == "private_key_jwt") && !supported.iter().any(|it| it == "none") => {
            signs(Proof::Signature)
        }
        Some("none") | None => Ok(keys.map_or(Proof::Nothing, Proof::MaySign)),
        Some(_) => Err(wrong("has to name none or private_key_jwt as its token_endpoint_auth_method")),
    }
}
