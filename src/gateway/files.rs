//! Files that somebody gave to the client, fetched from there before the call.

use std::collections::HashMap;
use std::path::Path;

use futures_util::future::try_join_all;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde_json::Value;
use url::Url;

use super::Gateway;
use crate::call::File;
use crate::catalog::Entry;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Arguments, FileArgument};
use crate::upstream::Limit;

/// The longest name a file keeps, in characters.
const LONGEST_NAME: usize = 120;

impl Gateway {
    /// The files among a call's arguments.
    pub(super) async fn files(&self, entry: &Entry, arguments: &Arguments) -> Result<HashMap<String, File>> {
        let given = entry.files.iter().filter_map(|(name, file)| Some((name, file, arguments.get(name)?)));
        let given = given.filter(|(.., value)| !value.is_null());
        let fetched = given.map(|(name, file, value)| async move {
            let fetched = self.download(file, value).await;
            let named =
                |error: Error| Error::new(error.kind(), format!("`{name}`: {}", error.message())).because(error);
            Ok::<_, Error>((name.clone(), fetched.map_err(named)?))
        });
        Ok(try_join_all(fetched).await?.into_iter().collect())
    }

    async fn download(&self, wanted: &FileArgument, value: &Value) -> Result<File> {
        let text = |key: &str| value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let url = text("download_url").and_then(|url| Url::parse(url).ok());
        let right = |url: &Url| {
            let secure = url.scheme() == "https" || (wanted.allow_private && url.scheme() == "http");
            secure && url.username().is_empty() && url.password().is_none()
        };
        let url = url.filter(right);
        let url = url.ok_or_else(|| invalid("its `download_url` is no https address without a user name"))?;
        let last = url.path_segments().and_then(|mut segments| segments.next_back()).unwrap_or_default().to_owned();
        let hop = self.upstream.hop(wanted.allow_private, None);
        let hop = hop.map_err(|error| Error::new(ErrorKind::Internal, "no way out").because(error))?;
        let request = hop.request(reqwest::Method::GET, url).header(ACCEPT, "*/*").build();
        let request =
            request.map_err(|error| invalid("its `download_url` makes no request").because(error.without_url()))?;
        let response = hop.send(request).await?;
        let status = response.status();
        if !status.is_success() {
            return Err(Error::new(ErrorKind::Upstream, format!("the file cannot be fetched: the answer is {status}")));
        }
        let said = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).map(str::to_owned);
        // A store of files often says nothing of what they are; the client does.
        let says_nothing = |kind: &String| kind.starts_with("application/octet-stream") || kind.starts_with("binary/");
        let said = said.filter(|kind| !says_nothing(kind)).or_else(|| text("mime_type").map(str::to_owned));
        let media_type = said.unwrap_or_else(|| "application/octet-stream".into());
        if !wanted.takes(&media_type) {
            let shown: String = media_type.chars().take(LONGEST_NAME).collect();
            return Err(invalid(format!(
                "a file of type `{shown}` is not taken; these are: {}",
                wanted.types.join(", ")
            )));
        }
        let bytes = Limit { bytes: wanted.max_bytes, setting: "maxBytes" }.read(response).await?;
        Ok(File { bytes, name: plain(text("file_name").unwrap_or(&last)), media_type })
    }
}

/// A file's name without folders, control characters and surprises.
fn plain(name: &str) -> String {
    let name = name.replace('\\', "/");
    let name = Path::new(&name).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name: String = name.chars().filter(|c| !c.is_control() && *c != '"').take(LONGEST_NAME).collect();
    if name.trim_matches('.').is_empty() { "file".into() } else { name }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArguments, message)
}
