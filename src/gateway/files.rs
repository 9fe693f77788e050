//! Files that somebody gave to the client, fetched from there before the call.

use std::{collections::HashMap, path::Path, sync::Arc};

use futures_util::future::try_join_all;
use percent_encoding::percent_decode_str;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use url::Url;

use super::Gateway;
use crate::call::File;
use crate::catalog::Entry;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Arguments, FileArgument};
use crate::upstream::Limit;

/// All files of all calls at once, in KiB. A call whose files find no room waits.
pub(super) const ROOM: u32 = 256 << 10;
/// The longest name a file keeps, in characters.
const LONGEST_NAME: usize = 120;

/// What files take of the room for all.
pub(super) type Room = Option<OwnedSemaphorePermit>;

impl Gateway {
    /// The files among a call's arguments, and the room they take while the call lasts.
    pub(super) async fn files(&self, entry: &Entry, arguments: &Arguments) -> Result<(HashMap<String, File>, Room)> {
        let given = entry.files.iter().filter_map(|(name, file)| Some((name, file, arguments.get(name)?)));
        let given: Vec<_> = given.filter(|(.., value)| !value.is_null()).collect();
        let bytes: usize = given.iter().map(|(_, file, _)| file.max_bytes).sum();
        let room = u32::try_from(bytes / 1024).unwrap_or(u32::MAX).min(ROOM);
        let room = Arc::clone(&self.file_room).acquire_many_owned(room).await.ok();
        let fetched = given.into_iter().map(|(name, file, value)| async move {
            let fetched = self.download(file, value).await;
            let named =
                |error: Error| Error::new(error.kind(), format!("`{name}`: {}", error.message())).because(error);
            Ok::<_, Error>((name.clone(), fetched.map_err(named)?))
        });
        Ok((try_join_all(fetched).await?.into_iter().collect(), room))
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
        let last = url.path_segments().and_then(|mut segments| segments.next_back()).unwrap_or_default();
        let last = percent_decode_str(last).decode_utf8_lossy().into_owned();
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
        let bytes = Limit { bytes: wanted.max_bytes, setting: "maxBytes" }.read(response).await;
        let bytes = bytes.map_err(|error| {
            if error.kind() == ErrorKind::TooLarge {
                return invalid(format!("the file is larger than {} bytes; give a smaller one", wanted.max_bytes));
            }
            Error::new(error.kind(), "the file could not be read to its end").because(error)
        })?;
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
