//! What the server says to somebody who shows nothing.

use url::Url;

use super::SignIn;
use super::tour::{Looked, Tour};
use super::wire::{Answer, is_safe, plain};

/// The parameters of a `WWW-Authenticate: Bearer …` header.
#[derive(Debug, Default)]
pub(super) struct Challenge(Vec<(String, String)>);

impl Challenge {
    /// Reads one challenge.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, mut rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut all = Vec::new();
        while let Some((name, after)) = rest.split_once('=') {
            let name = name.trim_matches(|c: char| c == ',' || c.is_whitespace()).to_ascii_lowercase();
            let after = after.trim_start();
            let (value, behind) = if let Some(quoted) = after.strip_prefix('"') {
                unquote(quoted)
            } else {
                let (value, behind) = after.split_once(',').unwrap_or((after, ""));
                (value.trim().to_owned(), behind)
            };
            all.push((name, value));
            rest = behind;
        }
        Some(Self(all))
    }

    /// The challenge in an answer's headers.
    pub(super) fn of(answer: &Answer) -> Option<Self> {
        let headers = answer.headers.get_all("www-authenticate").into_iter();
        headers.filter_map(|header| header.to_str().ok()).find_map(Self::parse)
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// What stands up to the closing quote, and what comes behind it.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, text.get(at + 1..).unwrap_or_default()),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            c => value.push(c),
        }
    }
    (value, "")
}

pub(super) async fn look<P>(tour: &mut Tour<'_, P>) -> Looked {
    if let SignIn::Token(token) = &tour.visit.sign_in {
        tour.learned.token = Some(token.clone());
    }
    let Some(opening) = tour.learned.opening.clone() else { return Err("nothing answered".into()) };
    let who = tour.who();
    if tour.learned.is_open() {
        return Ok("answers without signing in".into());
    }
    if opening.status == 403 {
        tour.error(
            "without a token the server answers HTTP 403 instead of 401",
            format!("only 401 makes {who} start to sign in"),
            "answer requests without a token with 401 and a `WWW-Authenticate: Bearer` header",
        );
    }
    let Some(challenge) = Challenge::of(&opening) else {
        let what = match opening.headers.get("www-authenticate") {
            None => "the 401 answer has no `WWW-Authenticate` header",
            Some(_) => "the `WWW-Authenticate` header of the 401 answer is not of the kind Bearer",
        };
        tour.error(
            what,
            format!("{who} does not learn from it where to sign in"),
            "add `WWW-Authenticate: Bearer resource_metadata=\"<address of the resource metadata>\"`",
        );
        return Ok(String::new());
    };
    if challenge.get("scope").is_some_and(|scope| scope.split(' ').any(|scope| scope == "offline_access")) {
        tour.warn(
            "the 401 answer asks for the scope `offline_access`",
            "whether a client stays signed in is between it and the sign-in server, not the business of this server",
            "leave `offline_access` out of the `WWW-Authenticate` header",
        );
    }
    tour.learned.wanted_scopes = challenge.get("scope").map(str::to_owned);
    look_at_metadata(tour, challenge.get("resource_metadata"));
    Ok("asks to sign in".into())
}

/// Whether the address of the metadata is one that clients read.
fn look_at_metadata<P>(tour: &mut Tour<'_, P>, address: Option<&str>) {
    let who = tour.who();
    match address.map(Url::parse) {
        Some(Ok(url)) if is_safe(&url) => {
            if url.origin() != tour.visit.url.origin() {
                tour.warn(
                    format!("the 401 answer sends clients to another address: {}", plain(&url)),
                    "clients expect the resource metadata where the server itself is; a wrong public address in the \
                     server's settings is the usual reason",
                    "tell the server its public address (in Switchboard: BASE_URL or --public-url)",
                );
            }
            tour.learned.metadata_at = Some(url);
        }
        Some(Ok(url)) => tour.error(
            format!("the 401 answer names resource metadata without https: {}", plain(&url)),
            format!("{who} does not read it"),
            "tell the server its public address (in Switchboard: BASE_URL or --public-url), beginning with https",
        ),
        Some(Err(_)) => tour.error(
            "the 401 answer names resource metadata at something that is no address",
            format!("{who} cannot read it"),
            "write the whole address, with https, into `resource_metadata`",
        ),
        // Whether that matters is seen when it is looked for.
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::Challenge;

    #[test]
    fn a_challenge_is_taken_apart() {
        let text = r#"Bearer resource_metadata="https://a.example/x,y=1", error=invalid_token, scope="a \"b\"""#;
        let challenge = Challenge::parse(text).unwrap();
        assert_eq!(challenge.get("resource_metadata"), Some("https://a.example/x,y=1"));
        assert_eq!(challenge.get("error"), Some("invalid_token"));
        assert_eq!(challenge.get("scope"), Some(r#"a "b""#));
        assert!(Challenge::parse("Basic realm=\"x\"").is_none());
    }
}
