//! The cookies of a sign-in, as a browser keeps them.

use reqwest::header::SET_COOKIE;
use url::Url;

use super::wire::Answer;

/// Cookies that are kept.
const MOST: usize = 100;

#[derive(Debug, Default)]
pub(super) struct Cookies(Vec<Cookie>);

#[derive(Debug)]
struct Cookie {
    name: String,
    value: String,
    host: String,
    /// Whether hosts below get it too.
    below: bool,
    path: String,
    secure: bool,
}

impl Cookies {
    /// Keeps what an answer sets.
    pub(super) fn keep(&mut self, url: &Url, answer: &Answer) {
        for header in answer.headers.get_all(SET_COOKIE).iter().filter_map(|header| header.to_str().ok()) {
            let mut parts = header.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { continue };
            let host = url.host_str().unwrap_or_default().to_owned();
            let (name, value) = (name.to_owned(), value.to_owned());
            let mut cookie = Cookie { name, value, host, below: false, path: "/".into(), secure: false };
            let mut ended = false;
            for part in parts {
                let (key, value) = part.split_once('=').unwrap_or((part, ""));
                let domain = value.trim_start_matches('.').to_ascii_lowercase();
                match key.to_ascii_lowercase().as_str() {
                    "domain" if fits(&cookie.host, &domain) => (cookie.host, cookie.below) = (domain, true),
                    "path" if value.starts_with('/') => value.clone_into(&mut cookie.path),
                    "secure" => cookie.secure = true,
                    "max-age" => ended = value.parse::<i64>().is_ok_and(|seconds| seconds <= 0),
                    "expires" => ended = ended || value.contains(" 1970 ") || value.contains("-1970 "),
                    _ => {}
                }
            }
            self.0.retain(|it| (&it.name, &it.host, &it.path) != (&cookie.name, &cookie.host, &cookie.path));
            if !ended && self.0.len() < MOST {
                self.0.push(cookie);
            }
        }
    }

    /// What a request to this address carries.
    pub(super) fn header(&self, url: &Url) -> Option<String> {
        let host = url.host_str().unwrap_or_default();
        let goes = |cookie: &&Cookie| {
            let at_host = if cookie.below { fits(host, &cookie.host) } else { host == cookie.host };
            let path = url.path();
            let below = path.strip_prefix(cookie.path.as_str());
            let at_path =
                below.is_some_and(|rest| rest.is_empty() || cookie.path.ends_with('/') || rest.starts_with('/'));
            at_host && at_path && (!cookie.secure || super::wire::is_safe(url))
        };
        let all: Vec<String> = self.0.iter().filter(goes).map(|it| format!("{}={}", it.name, it.value)).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

/// Whether a host is this domain or below it.
fn fits(host: &str, domain: &str) -> bool {
    host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.') && domain.contains('.'))
}
