//! Where the document is, and reading it: from files at once, from addresses only when it changed.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::header::{ACCEPT, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use url::Url;

use super::gather::{Gather, MOST_BYTES, Origin, Reach, Stamp, Wanted, read, stamp};
use super::kept::{Kept, Seen};
use crate::adapter::{Surroundings, web_address};
use crate::credential::Keyring;
use crate::error::ErrorKind;
use crate::manifest::{Checked, OpenApiSettings};
use crate::secret::{Reference, Text};
use crate::upstream::{Hop, Limit};

/// How long one document may take.
const TIME: Duration = Duration::from_secs(30);
/// How long all of them may take.
const ALL: Duration = Duration::from_mins(2);
/// What is not larger is read while the connector is made, so that its tools are there from the start.
const SMALL: u64 = 1 << 20;

/// Where the document and everything it is made of is.
#[derive(Clone)]
pub(super) struct Documents {
    first: Origin,
    reach: Reach,
    overlays: Vec<PathBuf>,
    /// The folder of the manifest.
    folder: PathBuf,
    /// What is shown to the document's own address.
    headers: BTreeMap<String, Reference>,
    keyring: Arc<Keyring>,
    hop: Hop,
    kept: Kept,
}

impl fmt::Debug for Documents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An address may hold a secret.
        f.debug_struct("Documents").field("overlays", &self.overlays).finish_non_exhaustive()
    }
}

/// A document and those it refers to.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) document: Arc<Value>,
    pub(super) others: BTreeMap<String, Arc<Value>>,
    /// What was not followed: its name and why.
    pub(super) refused: Vec<(String, String)>,
    pub(super) known: Known,
}

/// What was read, to see whether any of it changed.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    files: HashMap<PathBuf, Stamp>,
    addresses: HashMap<Url, Seen>,
}

impl Known {
    /// The files that were read.
    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.files.keys()
    }

    /// Whether any of the files is not as it was.
    pub(super) fn is_old(&self) -> bool {
        self.files.iter().any(|(file, was)| stamp(file).as_ref() != Some(was))
    }
}

/// The overlays' names and texts.
type Overlays = Vec<(String, String)>;

/// What asking an address gave.
enum Asked {
    Same,
    New(Bytes, Seen),
}

/// Why there is no document.
#[derive(Debug)]
pub(super) enum Failure {
    /// It is not there, or no document: nothing changes that but an edit of it.
    Wrong(String),
    /// It cannot be had now.
    Away(String),
}

impl Failure {
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Wrong(reason) | Self::Away(reason) => reason,
        }
    }
}

impl Documents {
    pub(super) fn new(
        checked: &Checked,
        settings: &OpenApiSettings,
        hop: &Hop,
        around: Surroundings<'_>,
    ) -> Result<Self, String> {
        let environment = around.environment();
        let folder = checked.folder().to_owned();
        let spec = settings.spec.resolve(environment).map_err(|missing| missing.to_string())?;
        let mut reach = folder.clone();
        let first = if spec.contains("://") {
            Origin::Address(web_address("spec", &Text(spec.replace("${", "$${")), environment)?)
        } else {
            let path = folder.join(&spec);
            if Path::new(&spec).is_absolute() {
                // The operator named it, so its folder is theirs to read.
                path.parent().unwrap_or(Path::new("/")).clone_into(&mut reach);
            }
            Origin::File(path)
        };
        let origins = settings.allow_refs.iter().filter_map(|origin| Some(Url::parse(origin).ok()?.origin()));
        let headers = settings.spec_headers.clone();
        for reference in headers.values() {
            around.keyring.check(reference, &folder).map_err(|missing| missing.to_string())?;
        }
        Ok(Self {
            first,
            reach: Reach { folder: reach, origins: origins.collect() },
            overlays: settings.overlays.iter().map(|overlay| folder.join(overlay)).collect(),
            folder,
            headers,
            keyring: Arc::clone(around.keyring),
            hop: hop.clone(),
            kept: Kept::new(&checked.connector.id, around.store),
        })
    }

    /// The address of the document, when it has one.
    pub(super) fn address(&self) -> Option<&Url> {
        match &self.first {
            Origin::Address(url) => Some(url),
            Origin::File(_) => None,
        }
    }

    /// The files that the manifest names.
    pub(super) fn named(&self) -> impl Iterator<Item = PathBuf> {
        let first = match &self.first {
            Origin::File(file) => Some(file.clone()),
            Origin::Address(_) => None,
        };
        first.into_iter().chain(self.overlays.iter().cloned())
    }

    /// The document as problems name it: without what may be secret in its address.
    pub(super) fn shown(&self) -> PathBuf {
        match &self.first {
            Origin::File(file) => file.clone(),
            Origin::Address(url) => {
                let mut url = url.clone();
                url.set_query(None);
                url.set_fragment(None);
                url.as_str().into()
            }
        }
    }

    /// Whether it stands in a small file, which is read at once.
    pub(super) fn is_small(&self) -> bool {
        match &self.first {
            Origin::File(file) => stamp(file).is_none_or(|(bytes, _)| bytes <= SMALL),
            Origin::Address(_) => false,
        }
    }

    /// Reads it all from small files. None, when some of it is elsewhere or takes a while.
    pub(super) fn read_files(&self) -> Option<Result<Read, Failure>> {
        let (mut gather, overlays, mut known) = match self.begin() {
            Ok(begun) => begun,
            Err(reason) => return Some(Err(Failure::Wrong(reason))),
        };
        let mut left = SMALL;
        while let Some(wanted) = gather.next() {
            let Origin::File(file) = &wanted.origin else { return None };
            left = left.checked_sub(stamp(file).map_or(0, |(bytes, _)| bytes))?;
            if let Err(reason) = add_file(&mut gather, wanted, &overlays, &mut known) {
                return Some(Err(Failure::Wrong(reason)));
            }
        }
        Some(finish(gather, known))
    }

    fn begin(&self) -> Result<(Gather, Overlays, Known), String> {
        let mut known = Known::default();
        let mut overlays = Vec::new();
        for overlay in &self.overlays {
            let folder = overlay.parent().filter(|_| overlay.is_absolute() && !overlay.starts_with(&self.folder));
            let name = overlay.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let (text, stamp) = read(overlay, folder.unwrap_or(&self.folder))
                .map_err(|reason| format!("the overlay {}: {reason}", overlay.display()))?;
            known.files.insert(overlay.clone(), stamp);
            overlays.push((name, text));
        }
        Ok((Gather::new(self.first.clone(), self.reach.clone()), overlays, known))
    }

    /// Reads it all, when anything of it is not as it was `before`.
    pub(super) async fn read(&self, before: Option<Known>) -> Result<Option<Read>, Failure> {
        let late = |_| Failure::Away(format!("it could not be read within {} s", ALL.as_secs()));
        tokio::time::timeout(ALL, self.read_in_time(before)).await.map_err(late)?
    }

    async fn read_in_time(&self, before: Option<Known>) -> Result<Option<Read>, Failure> {
        let mut fresh: HashMap<Url, (Bytes, Seen)> = HashMap::new();
        if let Some(before) = before {
            let mut same = !before.is_old();
            for (url, seen) in &before.addresses {
                match self.ask(url, Some(seen)).await {
                    Ok(Asked::Same) => {}
                    Ok(Asked::New(bytes, now)) => {
                        same &= now.hash == seen.hash;
                        fresh.insert(url.clone(), (bytes, now));
                    }
                    Err(Failure::Wrong(reason)) if Some(url) != self.address() => {
                        tracing::debug!("a document that is referred to is gone: {reason}");
                        same = false;
                    }
                    Err(failure) => return Err(failure),
                }
            }
            if same {
                return Ok(None);
            }
        }
        self.gather(fresh, true).await.map(Some)
    }

    /// Reads it all as it was kept, when it was.
    pub(super) async fn read_kept(&self) -> Option<Read> {
        self.address()?;
        self.gather(HashMap::new(), false).await.ok()
    }

    async fn gather(&self, mut fresh: HashMap<Url, (Bytes, Seen)>, ask: bool) -> Result<Read, Failure> {
        let (mut gather, overlays, mut known) = self.begin().map_err(Failure::Wrong)?;
        let overlays = Arc::new(overlays);
        while let Some(wanted) = gather.next() {
            let text = match &wanted.origin {
                Origin::File(_) => None,
                Origin::Address(url) => {
                    let had = match fresh.remove(url) {
                        Some(had) => Ok(had),
                        None if ask => match self.ask(url, None).await {
                            Ok(Asked::New(bytes, seen)) => Ok((bytes, seen)),
                            Ok(Asked::Same) => Err(Failure::Away("the answer says nothing".into())),
                            Err(failure) => Err(failure),
                        },
                        None => self.kept.get(url).await.ok_or_else(|| Failure::Away("it was not kept".into())),
                    };
                    match had {
                        Ok((bytes, seen)) => {
                            if ask {
                                self.kept.put(url, &bytes, &seen).await;
                            }
                            known.addresses.insert(url.clone(), seen);
                            Some(bytes)
                        }
                        Err(Failure::Wrong(reason)) => {
                            gather.refuse(wanted, reason).map_err(Failure::Wrong)?;
                            continue;
                        }
                        Err(away) => return Err(away),
                    }
                }
            };
            // Large documents take a while, and calls go on meanwhile.
            let overlays = Arc::clone(&overlays);
            let work = tokio::task::spawn_blocking(move || {
                let added = match text {
                    None => add_file(&mut gather, wanted, &overlays, &mut known),
                    Some(bytes) => match std::str::from_utf8(&bytes) {
                        Ok(text) => gather.add(wanted, text, &overlays),
                        Err(_) => gather.refuse(wanted, "it is no text in UTF-8".into()),
                    },
                };
                (gather, known, added)
            });
            let ended = work.await.map_err(|error| Failure::Away(error.to_string()))?;
            (gather, known) = (ended.0, ended.1);
            ended.2.map_err(Failure::Wrong)?;
        }
        finish(gather, known)
    }

    /// Asks an address for what is there, unless that is what was `seen` there.
    async fn ask(&self, url: &Url, seen: Option<&Seen>) -> Result<Asked, Failure> {
        let late = |_| Failure::Away(format!("it was not answered within {} s", TIME.as_secs()));
        tokio::time::timeout(TIME, self.exchange(url, seen)).await.map_err(late)?
    }

    async fn exchange(&self, url: &Url, seen: Option<&Seen>) -> Result<Asked, Failure> {
        let mut headers = HeaderMap::new();
        let kinds = "application/vnd.oai.openapi+json, application/vnd.oai.openapi, application/json, application/yaml, */*;q=0.8";
        headers.insert(ACCEPT, HeaderValue::from_static(kinds));
        let conditions = [
            (IF_NONE_MATCH, seen.and_then(|it| it.etag.as_ref())),
            (IF_MODIFIED_SINCE, seen.and_then(|it| it.modified.as_ref())),
        ];
        for (name, value) in conditions {
            headers.extend(value.and_then(|value| Some((name, HeaderValue::try_from(value).ok()?))));
        }
        if self.address().is_some_and(|first| first.origin() == url.origin()) {
            headers.extend(self.shown_headers().await?);
        }
        let request = self.hop.request(Method::GET, url.clone()).headers(headers).build();
        let request = request.map_err(|error| Failure::Wrong(error.without_url().to_string()))?;
        let away = |error: &crate::error::Error| {
            let cause = std::error::Error::source(error).map(|cause| format!(" ({cause})")).unwrap_or_default();
            Failure::Away(format!("{}{cause}", error.message()))
        };
        let response = self.hop.send(request).await.map_err(|error| away(&error))?;
        let status = response.status();
        if status == StatusCode::NOT_MODIFIED && seen.is_some() {
            return Ok(Asked::Same);
        }
        if !status.is_success() {
            let reason = format!("its address answers {status}");
            let gone = matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE);
            return Err(if gone { Failure::Wrong(reason) } else { Failure::Away(reason) });
        }
        let text =
            |name: HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (etag, modified) = (text(ETAG), text(LAST_MODIFIED));
        let read = Limit { bytes: MOST_BYTES, setting: "" }.read(response).await;
        let bytes = read.map_err(|error| {
            let too_large = error.kind() == ErrorKind::TooLarge;
            if too_large { Failure::Wrong(format!("it has more than {MOST_BYTES} bytes")) } else { away(&error) }
        })?;
        let hash = digest(&SHA256, &bytes).as_ref().to_vec();
        Ok(Asked::New(bytes, Seen { etag, modified, hash }))
    }

    async fn shown_headers(&self) -> Result<HeaderMap, Failure> {
        let mut headers = HeaderMap::new();
        for (name, reference) in &self.headers {
            let value = self.keyring.find(reference, &self.folder).await;
            let value = value.map_err(|missing| Failure::Away(missing.to_string()))?;
            let header = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value.expose_secret()).ok());
            let unfit = || Failure::Wrong(format!("the value for the header {name} cannot stand in a header"));
            let (name, mut value) = header.ok_or_else(unfit)?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(headers)
    }
}

fn add_file(
    gather: &mut Gather,
    wanted: Wanted,
    overlays: &[(String, String)],
    known: &mut Known,
) -> Result<(), String> {
    let Origin::File(file) = &wanted.origin else { return Ok(()) };
    match gather.read(file) {
        Err(reason) => gather.refuse(wanted, reason),
        Ok((text, stamp)) => {
            known.files.insert(file.clone(), stamp);
            gather.add(wanted, &text, overlays)
        }
    }
}

fn finish(gather: Gather, known: Known) -> Result<Read, Failure> {
    gather.finish(known).ok_or_else(|| Failure::Wrong("there is no document".into()))
}
