//! What is wrong with this installation.

use std::{
    error::Error as _,
    net::IpAddr,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::{StreamExt as _, stream};
use reqwest::{Method, header::DATE};
use url::Url;
use uuid::Uuid;

use super::super::{Failure, runtime};
use crate::app::App;
use crate::auth::Mode;
use crate::config::Config;
use crate::doctor::{Finding, Severity};
use crate::gateway::{Live, State};
use crate::manifest::AdapterSettings;
use crate::secret::Environment;
use crate::upstream::Upstream;

/// How long an address may take to answer.
const PATIENCE: Duration = Duration::from_secs(8);
/// Addresses that are asked at once.
const AT_ONCE: usize = 16;
/// A clock that is off by more makes tokens end early or begin late, in seconds.
const OFF: u64 = 30;
/// More tools than this make models choose badly.
const MANY: usize = 128;
/// A heavier list fills a good part of what a model can hold, in tokens.
const HEAVY: usize = 25_000;

/// Somewhere that should answer.
struct Place {
    /// Whose it is; none for the public address.
    connector: Option<String>,
    url: Url,
    allow_private: bool,
}

pub(super) fn look(config: Config, environment: &Environment) -> Result<Vec<Finding>, Failure> {
    // What is wrong with manifests is to be shown, and stops nothing here.
    let app = App::open(Config { strict: false, ..config }, environment.clone())?;
    let shown = async {
        let live = app.gateway().live();
        let mut findings = settings(app.config(), environment);
        findings.extend(connectors(&live));
        findings.extend(addresses(places(app.config(), &live, environment)).await);
        findings
    };
    let mut findings = runtime()?.block_on(app.with_connectors(shown));
    findings.dedup_by(|one, other| one.what == other.what);
    Ok(findings)
}

fn finding(severity: Severity, step: &'static str, what: String, [why, fix]: [&str; 2]) -> Finding {
    Finding { severity, step, what, why: why.to_owned(), fix: fix.to_owned() }
}

/// Where we are found from this machine.
pub(super) fn here(config: &Config) -> String {
    let host = if config.host.is_unspecified() { IpAddr::from([127, 0, 0, 1]) } else { config.host };
    let host = if host.is_ipv6() { format!("[{host}]") } else { host.to_string() };
    format!("http://{host}:{}", config.port)
}

fn settings(config: &Config, environment: &Environment) -> Vec<Finding> {
    let mut findings: Vec<Finding> = data_folder(config.data_dir.as_deref()).into_iter().collect();
    let faults = config.faults_of_callers(environment);
    findings.extend(faults.iter().map(|fault| {
        let why = "`switchboard serve` does not start like this";
        finding(Severity::Error, "settings", fault.to_string(), [why, "change one of these settings"])
    }));
    let mode = config.mode(&config.keys(environment));
    findings.extend(public_address(config, faults.is_empty()));
    let known = config.public_url.is_some() || !config.host.is_loopback();
    match mode {
        Mode::None if known && config.secret_path().is_none() => findings.push(finding(
            Severity::Warning,
            "settings",
            format!(
                "everybody who knows the address {} can use every tool",
                config.base().unwrap_or_else(|| here(config))
            ),
            [
                "nobody has to sign in, and the server can be reached from elsewhere",
                "let people sign in (--auth built-in), or make keys (`switchboard keys new`)",
            ],
        )),
        Mode::ApiKey if config.public_url.is_some() => findings.push(finding(
            Severity::Note,
            "settings",
            "callers have to show an API key, which ChatGPT cannot".into(),
            ["other clients can show one", "let people sign in (--auth built-in) to use it with ChatGPT"],
        )),
        Mode::None | Mode::ApiKey | Mode::OAuth | Mode::BuiltIn => {}
    }
    findings
}

/// Whether clients on the web can reach us at all. `unsaid` when nothing was said of the address yet.
fn public_address(config: &Config, unsaid: bool) -> Option<Finding> {
    let Some(url) = &config.public_url else {
        return Some(finding(
            Severity::Note,
            "settings",
            "no public URL is set".into(),
            [
                "clients on this machine need none; ChatGPT and Claude on the web come from the internet",
                "start a tunnel or proxy, and set BASE_URL (--public-url) to its address",
            ],
        ));
    };
    let here = url.host_str().is_some_and(|host| ["localhost", "127.0.0.1", "[::1]"].contains(&host));
    (url.scheme() != "https" && !here && unsaid).then(|| {
        finding(
            Severity::Error,
            "settings",
            format!("the public URL is not https: {url}"),
            [
                "ChatGPT and Claude connect by https only",
                "put a tunnel or proxy with a certificate before the server, and set BASE_URL (--public-url) to its address",
            ],
        )
    })
}

fn data_folder(folder: Option<&Path>) -> Option<Finding> {
    let why = "what has to outlive the program is lost when it ends: collections, keys, who signed in";
    let Some(folder) = folder else {
        let what = "no folder is known where data can be kept".into();
        return Some(finding(Severity::Error, "settings", what, [why, "set SWITCHBOARD_DATA_DIR (--data-dir)"]));
    };
    let file = folder.join(format!(".doctor-{}", Uuid::new_v4().simple()));
    let tried = std::fs::write(&file, b"").and_then(|()| std::fs::remove_file(&file));
    let what = format!("the data folder {} cannot be written: {}", folder.display(), tried.err()?);
    let fix = "make the folder writable for the user that runs the server, or set SWITCHBOARD_DATA_DIR (--data-dir)";
    Some(finding(Severity::Error, "settings", what, [why, fix]))
}

fn connectors(live: &Live) -> Vec<Finding> {
    let mut findings = Vec::new();
    for problem in &live.problems {
        let (severity, why) = if problem.is_error() {
            (Severity::Error, "what holds it is left out")
        } else {
            (Severity::Warning, "it works, but probably not as meant")
        };
        findings.push(finding(severity, "manifests", problem.to_string(), [why, "correct it there"]));
    }
    for (id, connector) in &live.connectors {
        match connector.state() {
            State::Unavailable(reason) => findings.push(finding(
                Severity::Warning,
                "connectors",
                format!("{id} cannot be used: {reason}"),
                ["its tools are not offered", "set what is missing, or switch it off with `\"enabled\": false`"],
            )),
            State::Live(status) if !connector.state().is_ready() => findings.push(finding(
                Severity::Error,
                "connectors",
                format!("{id} does not run: {}", status.reason.unwrap_or_else(|| connector.state().word().to_owned())),
                ["calls of its tools fail", "start what it connects to, or correct its manifest"],
            )),
            State::Disabled | State::Live(_) => {}
        }
    }
    let renames = live.catalog.renames();
    if !renames.is_empty() {
        let shown: Vec<String> = renames.iter().take(5).map(|it| format!("{} is {}", it.tool, it.public)).collect();
        findings.push(finding(
            Severity::Note,
            "tools",
            format!("{} tools are published under another name: {}", renames.len(), shown.join(", ")),
            ["clients take 64 letters, digits, `_` and `-`", "shorten the names, or the ids of the connectors"],
        ));
    }
    let entries = live.catalog.entries();
    let tokens: usize = entries.iter().map(|entry| entry.tokens).sum();
    if entries.len() > MANY || tokens > HEAVY {
        findings.push(finding(
            Severity::Note,
            "tools",
            format!("the list is long: {} tools, about {tokens} tokens", entries.len()),
            [
                "models choose worse among many tools, and each conversation pays for the list",
                "switch off connectors, or hide tools in their manifests",
            ],
        ));
    }
    findings
}

fn places(config: &Config, live: &Live, environment: &Environment) -> Vec<Place> {
    let mut places = Vec::new();
    let public = config.public_url.clone();
    places.extend(public.map(|url| Place { connector: None, url, allow_private: true }));
    for (id, connector) in &live.connectors {
        let AdapterSettings::Http(http) = &connector.checked.connector.adapter else { continue };
        let url = http.base_url.resolve(environment).ok().and_then(|url| url.parse().ok());
        if let Some(url) = url.filter(|_| connector.state().is_ready()) {
            places.push(Place { connector: Some(id.to_string()), url, allow_private: http.allow_private });
        }
    }
    places
}

/// Whether they answer, and what time it is there.
async fn addresses(places: Vec<Place>) -> Vec<Finding> {
    let upstream = Upstream::default();
    let asked = places.into_iter().map(|place| ask(&upstream, place));
    let answers: Vec<(Option<Finding>, Option<u64>)> = stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
    let off = answers.iter().filter_map(|(_, off)| *off).min().filter(|off| *off > OFF);
    let mut findings: Vec<Finding> = answers.into_iter().filter_map(|(finding, _)| finding).collect();
    findings.sort_by(|one, other| one.what.cmp(&other.what));
    findings.extend(off.map(|off| {
        finding(
            Severity::Error,
            "clock",
            format!("this machine's clock is {off} seconds off"),
            ["tokens seem to have ended already, or not to have begun", "set the clock, best by NTP"],
        )
    }));
    findings
}

async fn ask(upstream: &Upstream, place: Place) -> (Option<Finding>, Option<u64>) {
    let exchange = async {
        let hop = upstream.hop(place.allow_private, Some(PATIENCE)).map_err(|error| error.to_string())?;
        let request =
            hop.request(Method::HEAD, place.url.clone()).build().map_err(|_| "it is no address".to_owned())?;
        // The operator may know what clients may not: the cause, and the address.
        hop.send(request).await.map_err(|error| match error.source() {
            Some(cause) => format!("{error} ({cause})"),
            None => error.to_string(),
        })
    };
    let answered = tokio::time::timeout(PATIENCE, exchange).await;
    let answered = answered.unwrap_or_else(|_| Err(format!("no answer came within {} seconds", PATIENCE.as_secs())));
    match answered {
        Ok(response) => {
            let date = response.headers().get(DATE).and_then(|date| date.to_str().ok()).and_then(seconds_of);
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
            (None, date.map(|date| date.abs_diff(now)))
        }
        Err(reason) => (Some(unreachable(&place, &reason)), None),
    }
}

fn unreachable(place: &Place, reason: &str) -> Finding {
    match &place.connector {
        Some(id) => finding(
            Severity::Error,
            "connectors",
            format!("{id} cannot be reached at {}: {reason}", origin(&place.url)),
            ["calls of its tools fail", "check the network, and `baseUrl` in its manifest"],
        ),
        None => finding(
            Severity::Warning,
            "settings",
            format!("the public URL {} cannot be reached from here: {reason}", place.url),
            [
                "when others cannot reach it either, no client can connect",
                "check that the tunnel or proxy runs, and try `switchboard doctor chatgpt` from elsewhere",
            ],
        ),
    }
}

/// Where that is, without what may be secret.
fn origin(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The seconds since 1970 of `Sun, 06 Nov 1994 08:49:37 GMT`.
fn seconds_of(date: &str) -> Option<u64> {
    let mut parts = date.split_ascii_whitespace().skip(1);
    let day: i64 = parts.next()?.parse().ok()?;
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let name = parts.next()?;
    let month = i64::try_from(months.iter().position(|month| *month == name)?).ok()? + 1;
    let year: i64 = parts.next()?.parse().ok()?;
    let mut clock = parts.next()?.splitn(3, ':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    // Days since 1970, with years that begin in March, so that the leap day comes last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (153 * month + 2) / 5 + day;
    u64::try_from((days - 719_469) * 86_400 + hour * 3600 + minute * 60 + second).ok()
}

#[cfg(test)]
mod tests {
    use super::seconds_of;

    #[test]
    fn an_http_date_is_read() {
        assert_eq!(seconds_of("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(seconds_of("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(seconds_of("Thu, 29 Feb 2024 12:00:00 GMT"), Some(1_709_208_000));
        assert_eq!(seconds_of("yesterday"), None);
    }
}
