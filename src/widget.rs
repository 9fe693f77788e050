//! Widgets: the pages that tools show themselves with, and what each of them loads.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::digest;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use data_encoding::HEXLOWER;

mod bundle;
mod loads;

pub use bundle::{Asset, Bundle};
pub use loads::{Csp, Kind, Load, NO_LIST, NOT_ABSOLUTE, loads, uncovered};

use crate::name::did_you_mean;

/// The largest page, in bytes. Written as JSON it still has to find room in the store.
pub const LARGEST_PAGE: u64 = 2 << 20;
/// Digits of a hash in a name or an address.
const DIGITS: usize = 12;

/// A page of HTML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Its name: the file's, without folder and ending.
    pub name: String,
    /// What it says.
    pub html: Arc<str>,
}

/// Every page there is, and where its assets are served.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pages {
    /// What ships with the server, or the folder that replaces it.
    pub bundle: Arc<Bundle>,
    /// Pages beside manifests by their path, or why one cannot be read.
    pub beside: BTreeMap<PathBuf, Result<Arc<Page>, String>>,
    /// The address before `/assets/…` and `/mcp`, without a slash behind it; none when we are not reached by HTTP.
    pub base: Option<String>,
    /// Whether that is the address the world knows.
    pub is_public: bool,
}

impl Page {
    /// A page in a file of this name.
    pub fn new(file: &Path, html: &str) -> Self {
        let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        Self { name, html: html.into() }
    }
}

impl Pages {
    /// The page a manifest in `folder` means, or why there is none.
    pub fn find(&self, folder: &Path, reference: &str) -> Result<Arc<Page>, String> {
        if let Some(path) = path_of(folder, reference) {
            return self.beside.get(&path).cloned().unwrap_or_else(|| Err("it was not read".into()));
        }
        let pages = self.bundle.pages();
        pages.get(reference).cloned().ok_or_else(|| {
            let suggestion = did_you_mean(reference, pages.keys().map(String::as_str));
            format!("no page is called `{reference}`{suggestion}; a page of your own is named by its path, `./{reference}.html`")
        })
    }

    /// What a page says once the assets it names (`/assets/app.js`) have the addresses they are served at, and those
    /// addresses.
    pub fn placed(&self, page: &Page) -> Result<(Arc<str>, Vec<String>), String> {
        if !page.html.contains(ASSETS) {
            return Ok((Arc::clone(&page.html), Vec::new()));
        }
        let mut text = String::with_capacity(page.html.len());
        let mut rest: &str = &page.html;
        let mut addresses = Vec::new();
        while let Some((before, after)) = rest.split_once(ASSETS) {
            text.push_str(before);
            let end = after.find(|c: char| !c.is_ascii_alphanumeric() && !"-._/".contains(c)).unwrap_or(after.len());
            let (name, behind) = after.split_at(end);
            // Only what stands at the beginning of an address is one of ours.
            let begins = text.ends_with(['"', '\'', '(', '=', ' ']);
            match self.bundle.address(name).filter(|_| begins) {
                Some(address) => {
                    let unplaced = "it loads assets, which need an address: set BASE_URL (--public-url)";
                    let base = self.base.as_ref().ok_or(unplaced)?;
                    text.extend([base, ASSETS, &address]);
                    addresses.push(address);
                }
                None => text.extend([ASSETS, name]),
            }
            rest = behind;
        }
        text.push_str(rest);
        Ok((text.into(), addresses))
    }
}

/// Whether this is the address of a page of ours, of whatever time: `ui://<connector>/<name>-<hash>.html`.
pub fn is_page_address(uri: &str) -> bool {
    let path = uri.strip_prefix("ui://").and_then(|path| path.strip_suffix(".html"));
    path.is_some_and(|path| path.contains('/') && ends_in_hash(path))
}

/// Whether this is the address of an asset of ours, of whatever time: `<name>-<hash>.<ending>`.
pub fn is_asset_address(address: &str) -> bool {
    ends_in_hash(address.rsplit_once('.').map_or(address, |(stem, _)| stem))
}

fn ends_in_hash(name: &str) -> bool {
    let hash = name.rsplit_once('-').map(|(_, hash)| hash);
    hash.is_some_and(|hash| hash.len() == DIGITS && hash.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

/// Where assets are served.
pub const ASSETS: &str = "/assets/";

/// The file a manifest in `folder` means by `reference`, when it means one and no name.
pub fn path_of(folder: &Path, reference: &str) -> Option<PathBuf> {
    let has_ending = Path::new(reference).extension().is_some_and(|ending| ending == "html" || ending == "htm");
    let is_path = has_ending || reference.contains(['/', '\\']);
    is_path.then(|| folder.join(reference))
}

/// A hash of these parts in hex digits, each part kept apart from the next.
pub fn fingerprint(parts: &[&[u8]]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    hex(context.finish().as_ref()).chars().take(DIGITS).collect()
}

/// The SHA-256 of a text in hex digits.
pub fn sha256_hex(text: &str) -> String {
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

/// What a content security policy says of a script or style that stands in a page.
pub fn hash_source(text: &str) -> String {
    format!("'sha256-{}'", BASE64_STANDARD.encode(digest::digest(&digest::SHA256, text.as_bytes())))
}

/// Bytes in hex digits, lower case.
pub fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// Bytes that may be shared with what outlives them.
fn shared(bytes: std::borrow::Cow<'static, [u8]>) -> Bytes {
    match bytes {
        std::borrow::Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        std::borrow::Cow::Owned(bytes) => bytes.into(),
    }
}
