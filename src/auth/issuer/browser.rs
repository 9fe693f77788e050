//! The browser a person uses: its cookie, and who signed in there.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::people::Person;
use super::shelf::fresh;
use super::{Issuer, Trouble, random};
use crate::store::Expected;

/// A session in a browser ends after this long.
const LASTING: Duration = Duration::from_hours(12);
/// Without TLS, every server of this machine is sent the cookie, whatever its port.
const LASTING_PLAIN: Duration = Duration::from_hours(1);

/// A browser, told by its cookie.
pub(super) struct Browser {
    /// What its cookie says.
    id: String,
    /// Stays the same when signing in gives it another id, so that what it began in other tabs goes on.
    pub(super) line: String,
    /// Who signed in there, as they are now.
    pub(super) person: Option<Person>,
    /// The cookie to set, when it has none yet.
    pub(super) cookie: Option<String>,
}

/// What is kept of a session.
#[derive(Serialize, Deserialize)]
struct Session {
    line: String,
    /// Who signed in; none after they signed out.
    person: Option<Person>,
}

fn key(id: &str) -> String {
    format!("auth/session/{}", random::fingerprint(id))
}

impl Issuer {
    /// The browser of these cookies, a new one when they name none.
    pub(super) async fn browser(&self, cookies: &str) -> Result<Browser, Trouble> {
        let shape = |id: &&str| id.len() == 43 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        let Some(id) = cookie(cookies, &self.cookie_name()).filter(shape) else {
            let id = random::word()?;
            let cookie = Some(self.cookie(&id));
            return Ok(Browser { line: random::fingerprint(&id), id, person: None, cookie });
        };
        let (line, person) = match self.shelf.read::<Session>(&key(id)).await? {
            Some(kept) => {
                let Session { line, person } = kept.value;
                (line, self.still(person).await?)
            }
            None => (random::fingerprint(id), None),
        };
        Ok(Browser { id: id.to_owned(), line, person, cookie: None })
    }

    /// Who signed in, as they are now: gone when they were removed or have another password.
    async fn still(&self, person: Option<Person>) -> Result<Option<Person>, Trouble> {
        let Some(person) = person else { return Ok(None) };
        let now = self.people.now(&person).await?;
        Ok(now.filter(|now| now.stamp == person.stamp))
    }

    /// Somebody signed in, or nobody is any more: the browser gets another id, so that whoever knew the old one is
    /// left behind. The answer is the cookie to set.
    pub(super) async fn changed(&self, browser: &Browser, person: Option<Person>) -> Result<String, Trouble> {
        let id = random::word()?;
        let session = Session { line: browser.line.clone(), person };
        self.shelf.keep(&key(&id), &session, fresh(self.session_lasts())).await?;
        self.shelf.remove(&key(&browser.id), Expected::Any).await?;
        Ok(self.cookie(&id))
    }

    /// Over TLS the name itself keeps other hosts and paths from setting the cookie.
    /// Without it, servers of this machine are at least told apart by their ports.
    fn cookie_name(&self) -> String {
        if self.has_tls() {
            return "__Host-switchboard".into();
        }
        let port = url::Url::parse(&self.base).ok().and_then(|url| url.port_or_known_default());
        format!("switchboard-{}", port.unwrap_or_default())
    }

    fn has_tls(&self) -> bool {
        self.base.starts_with("https://")
    }

    fn session_lasts(&self) -> Duration {
        if self.has_tls() { LASTING } else { LASTING_PLAIN }
    }

    fn cookie(&self, id: &str) -> String {
        let secure = if self.has_tls() { "; Secure" } else { "" };
        let (name, seconds) = (self.cookie_name(), self.session_lasts().as_secs());
        format!("{name}={id}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
    }
}

/// One of the cookies of a request.
fn cookie<'a>(cookies: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = cookies.split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}
