//! What a page loads, and what of it the page's lists of origins leave out.
//!
//! A host shows a page without an address of its own and lets it load only from the origins that were declared. What
//! was forgotten fails in silence there, so it is found here. This advises authors, it guards nothing: the host does.

use std::borrow::Cow;

use indexmap::IndexSet;
use url::Url;

mod csp;
mod page;
mod script;
mod style;
mod token;

pub use csp::{Csp, NO_LIST, NOT_ABSOLUTE, uncovered};

/// How deep pages within pages (`srcdoc`) are read.
const NESTED: usize = 3;

/// The longest base that addresses are resolved against, in bytes: each of them becomes longer by so much.
const LONGEST_BASE: usize = 256;

/// Something a page loads, or sends to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Load {
    /// What it is loaded as.
    pub kind: Kind,
    /// From where: as written, but resolved when the page declares an absolute base.
    pub url: String,
}

/// What something is loaded as, which decides the list that has to allow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A script, module or worker.
    Script,
    /// A style sheet.
    Style,
    /// An image or icon.
    Image,
    /// A font.
    Font,
    /// Sound, film or subtitles.
    Media,
    /// A page within the page.
    Frame,
    /// A request or connection of a script.
    Connect,
    /// Where a form goes.
    Form,
    /// What relative addresses are relative to.
    Base,
    /// A plug-in's document.
    Object,
    /// Anything else: a manifest, a prefetched page, the page that follows.
    Other,
}

/// Everything a page loads, each once, roughly in the order of the page.
///
/// Linear in the size of the page. Addresses that a script puts together are not seen.
pub fn loads(html: &str) -> Vec<Load> {
    let mut found = Found::default();
    let mut pages = vec![Cow::Borrowed(html)];
    for _ in 0..=NESTED {
        let inner: Vec<_> = pages.iter().flat_map(|page| page::read(page, &mut found)).collect();
        pages = inner.into_iter().map(Cow::Owned).collect();
    }
    found.resolved()
}

/// What was found so far.
#[derive(Default)]
struct Found {
    loads: IndexSet<Load>,
    base: Option<Url>,
}

impl Found {
    /// Notes an address, unless it means nothing that is loaded from elsewhere.
    fn add(&mut self, kind: Kind, address: &str) {
        // A browser drops these characters anywhere in an address.
        let url = address.trim_matches(|c: char| c <= ' ').replace(['\t', '\n', '\r'], "");
        let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
        let within = ["data", "blob", "about", "javascript"].iter().any(|known| known.eq_ignore_ascii_case(scheme));
        if url.is_empty() || url.starts_with('#') || within {
            return;
        }
        if kind == Kind::Base && self.base.is_none() && url.len() <= LONGEST_BASE {
            self.base = Url::parse(&url).ok();
        }
        self.loads.insert(Load { kind, url });
    }

    fn resolved(self) -> Vec<Load> {
        let Some(base) = self.base else { return self.loads.into_iter().collect() };
        let resolve = |load: Load| match Url::parse(&load.url) {
            Err(url::ParseError::RelativeUrlWithoutBase) => {
                let url = base.join(&load.url).map_or(load.url, String::from);
                Load { url, ..load }
            }
            Ok(_) | Err(_) => load,
        };
        self.loads.into_iter().map(resolve).collect::<IndexSet<_>>().into_iter().collect()
    }
}
