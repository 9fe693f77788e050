//! A set of pages with their assets: the one in the binary, or a folder's.

use std::{borrow::Cow, collections::BTreeMap, path::Path, sync::Arc};

use bytes::Bytes;
use rust_embed::RustEmbed;

use super::{Page, fingerprint, shared};

/// The pages that are built from `widgets/`.
#[derive(RustEmbed)]
#[folder = "widgets/dist"]
struct Built;

/// Pages and assets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bundle {
    pages: BTreeMap<String, Arc<Page>>,
    assets: BTreeMap<String, Asset>,
    /// Addresses below `/assets/` with a hash in them, each with the asset's name.
    addresses: BTreeMap<String, String>,
}

/// A file that pages load.
#[derive(Debug, Clone, PartialEq)]
pub struct Asset {
    /// Its contents.
    pub bytes: Bytes,
    /// Its media type.
    pub media_type: String,
}

impl Asset {
    /// A file of this name, which says what it is.
    pub fn new(name: &str, bytes: Bytes) -> Self {
        let media_type = mime_guess::from_path(name).first_or_octet_stream();
        // Text without a word about its encoding is read in any.
        let media_type = match media_type.type_().as_str() {
            "text" => format!("{media_type}; charset=utf-8"),
            _ => media_type.to_string(),
        };
        Self { bytes, media_type }
    }
}

impl Bundle {
    /// The pages in the binary.
    pub fn built() -> Self {
        Self::of(Built::iter().filter_map(|name| Some((name.to_string(), Built::get(&name)?.data))))
    }

    /// Files by their path in a folder. A page is an HTML file at the top; everything else is an asset.
    pub fn of(files: impl IntoIterator<Item = (String, Cow<'static, [u8]>)>) -> Self {
        let mut bundle = Self::default();
        for (path, bytes) in files {
            let is_page = Path::new(&path).extension().is_some_and(|ending| ending == "html");
            if is_page && !path.contains('/') {
                let page = Page::new(Path::new(&path), &String::from_utf8_lossy(&bytes));
                bundle.pages.insert(page.name.clone(), Arc::new(page));
            } else {
                bundle.add_asset(&path, shared(bytes));
            }
        }
        bundle
    }

    fn add_asset(&mut self, path: &str, bytes: Bytes) {
        let name = path.strip_prefix("assets/").unwrap_or(path).to_owned();
        let hash = fingerprint(&[&bytes]);
        let address = match name.rsplit_once('.') {
            Some((stem, ending)) => format!("{stem}-{hash}.{ending}"),
            None => format!("{name}-{hash}"),
        };
        self.addresses.insert(address, name.clone());
        let asset = Asset::new(&name, bytes);
        self.assets.insert(name, asset);
    }

    /// Its pages by name.
    pub fn pages(&self) -> &BTreeMap<String, Arc<Page>> {
        &self.pages
    }

    /// What an asset is served as: its name with its hash in it.
    pub fn address(&self, name: &str) -> Option<String> {
        let found = self.addresses.iter().find(|(_, own)| own.as_str() == name);
        found.map(|(address, _)| address.clone())
    }

    /// The asset at an address below `/assets/`, and whether that is its own for ever.
    pub fn asset(&self, address: &str) -> Option<(&Asset, bool)> {
        match self.addresses.get(address) {
            Some(name) => Some((self.assets.get(name)?, true)),
            None => Some((self.assets.get(address)?, false)),
        }
    }
}
