//! The document to import, and those it refers to.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    fs,
    path::{Component, Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, header::ACCEPT};
use reqwest::Method;
use serde_json::Value;
use url::Url;

use super::{OpenApiArgs, progress::Progress};
use crate::openapi::{parse, references};
use crate::secret::{Environment, Text};
use crate::upstream::{Hop, Upstream};

/// All documents together, in bytes.
const MOST_BYTES: usize = 64 << 20;
/// Documents beside the first.
const MOST: usize = 200;
/// How long one address may take.
const TIME: Duration = Duration::from_mins(1);
const KINDS: &str = "application/vnd.oai.openapi+json, application/json, application/yaml, */*;q=0.8";

/// What was read.
pub(super) struct Read {
    pub(super) document: Value,
    /// The first document's text.
    pub(super) text: String,
    /// The first document as a file, when it is one.
    pub(super) file: Option<PathBuf>,
    /// Its address, when it has one.
    pub(super) at: Option<Url>,
    pub(super) others: BTreeMap<String, Arc<Value>>,
    /// What was not followed, and why.
    pub(super) refused: Vec<String>,
    /// The document as people are told of it.
    pub(super) shown: String,
}

#[derive(Clone)]
enum Origin {
    File(PathBuf),
    Address(Url),
}

struct Reader<'a> {
    hop: Hop,
    headers: HeaderMap,
    first: Origin,
    bytes: usize,
    progress: &'a Progress,
}

pub(super) async fn read(args: &OpenApiArgs, environment: &Environment, progress: &Progress) -> Result<Read, String> {
    let source = &args.source;
    let first = if source.contains("://") {
        let address = Text(source.clone()).resolve(environment).map_err(|missing| missing.to_string())?;
        let fits = |url: &Url| matches!(url.scheme(), "http" | "https") && url.username().is_empty();
        let address = Url::parse(&address).ok().filter(|url| fits(url) && url.password().is_none());
        Origin::Address(address.ok_or("the document's address is no http or https address without a user name")?)
    } else {
        Origin::File(PathBuf::from(source))
    };
    let mut headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(KINDS))]);
    for (name, value) in &args.header {
        let value = Text(value.clone()).resolve(environment).map_err(|missing| missing.to_string())?;
        let header = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok());
        let (name, value) = header.ok_or_else(|| format!("`{name}` makes no header"))?;
        headers.insert(name, value);
    }
    let hop = Upstream::default().hop(args.allow_private, None).map_err(|error| error.to_string())?;
    let mut reader = Reader { hop, headers, first: first.clone(), bytes: 0, progress };
    let shown = match &first {
        Origin::File(file) => file.display().to_string(),
        Origin::Address(url) => shown(url),
    };
    let text = reader.text(&first).await.map_err(|reason| format!("{shown}: {reason}"))?;
    let document = parse(&text).map_err(|reason| format!("{shown}: {reason}"))?;
    let (others, refused) = reader.follow(&document).await;
    let (file, at) = match first {
        Origin::File(file) => (Some(file), None),
        Origin::Address(url) => (None, Some(url)),
    };
    Ok(Read { document, text, file, at, others, refused, shown })
}

impl Reader<'_> {
    /// Reads what a document refers to, and what that refers to.
    async fn follow(&mut self, document: &Value) -> (BTreeMap<String, Arc<Value>>, Vec<String>) {
        let (mut others, mut refused, mut seen) = (BTreeMap::new(), Vec::new(), HashSet::new());
        let mut waiting: VecDeque<(String, Option<Origin>)> =
            references(document).into_iter().map(|name| (name, None)).collect();
        while let Some((name, parent)) = waiting.pop_front() {
            if !seen.insert(name.clone()) {
                continue;
            }
            if others.len() >= MOST {
                refused.push(format!("{name}: there are more than {MOST} documents"));
                break;
            }
            let read = match self.place(&name, parent.as_ref()) {
                Ok(origin) => self.text(&origin).await.and_then(|text| parse(&text)).map(|value| (origin, value)),
                Err(reason) => Err(reason),
            };
            match read {
                Err(reason) => refused.push(format!("{name}: {reason}")),
                Ok((origin, value)) => {
                    let nested = references(&value).into_iter();
                    waiting.extend(
                        nested.filter_map(|nested| Some((known_by(&origin, &name, &nested)?, Some(origin.clone())))),
                    );
                    others.insert(name, Arc::new(value));
                }
            }
        }
        (others, refused)
    }

    /// Where a document is that is known by `name`: nothing but what lies beside the first, or at its origin.
    fn place(&self, name: &str, parent: Option<&Origin>) -> Result<Origin, String> {
        match &self.first {
            Origin::Address(first) => {
                let url = first.join(name).map_err(|_| "it is no address".to_owned())?;
                if url.origin() == first.origin() {
                    Ok(Origin::Address(url))
                } else {
                    Err("it is of another origin; see `allowRefs`".into())
                }
            }
            Origin::File(_) if name.contains("://") => Err("a file refers to files only".into()),
            Origin::File(first) => {
                debug_assert!(parent.is_none_or(|parent| matches!(parent, Origin::File(_))));
                let folder = first.parent().unwrap_or(Path::new("."));
                let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
                let file = folder.join(name);
                let whole = |path: &Path| fs::canonicalize(path).map_err(|error| error.to_string());
                if whole(&file)?.starts_with(whole(folder)?) {
                    Ok(Origin::File(file))
                } else {
                    Err("it is outside the document's folder".into())
                }
            }
        }
    }

    async fn text(&mut self, origin: &Origin) -> Result<String, String> {
        let room = MOST_BYTES.saturating_sub(self.bytes);
        let too_large = || format!("all documents together have more than {MOST_BYTES} bytes");
        let bytes = match origin {
            Origin::File(file) => {
                let length = fs::metadata(file).map_err(|error| error.to_string())?.len();
                if length > room as u64 {
                    return Err(too_large());
                }
                fs::read(file).map_err(|error| error.to_string())?
            }
            Origin::Address(url) => {
                let late = |_| format!("it was not answered within {} s", TIME.as_secs());
                tokio::time::timeout(TIME, self.download(url, room)).await.map_err(late)??
            }
        };
        self.bytes += bytes.len();
        String::from_utf8(bytes).map_err(|_| "it is no text in UTF-8".to_owned())
    }

    async fn download(&self, url: &Url, room: usize) -> Result<Vec<u8>, String> {
        let request = self.hop.request(Method::GET, url.clone()).headers(self.headers.clone()).build();
        let request = request.map_err(|error| error.without_url().to_string())?;
        let mut response = self.hop.send(request).await.map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(" ({cause})"));
            format!("{error}{}", cause.unwrap_or_default())
        })?;
        if !response.status().is_success() {
            return Err(format!("it answers {}", response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| error.without_url().to_string())? {
            if body.len() + chunk.len() > room {
                return Err(format!("all documents together have more than {MOST_BYTES} bytes"));
            }
            body.extend_from_slice(&chunk);
            self.progress.bytes(body.len());
        }
        Ok(body)
    }
}

/// The name of what a document refers to that is not the first.
fn known_by(origin: &Origin, name: &str, nested: &str) -> Option<String> {
    match origin {
        Origin::Address(url) => {
            let mut url = url.join(nested).ok()?;
            url.set_fragment(None);
            Some(url.into())
        }
        Origin::File(_) => {
            let mut path = PathBuf::from(name);
            path.pop();
            for part in Path::new(nested).components() {
                match part {
                    Component::CurDir => {}
                    Component::ParentDir => drop(path.pop()),
                    Component::Prefix(_) | Component::RootDir | Component::Normal(_) => path.push(part),
                }
            }
            Some(path.to_str()?.to_owned())
        }
    }
}

/// An address without what may be secret in it.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}
