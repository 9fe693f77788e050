//! Pages on disk: a folder that replaces those in the program, and those that stand beside manifests.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

use crate::error::Problem;
use crate::manifest::{Checked, Manifests};
use crate::widget::{Bundle, LARGEST_PAGE, Page, Pages, path_of};

/// The largest asset, in bytes.
const LARGEST_ASSET: u64 = 16 << 20;
/// Files in a bundle, and bytes of them all; more is somebody's whole disk.
const MOST_FILES: usize = 2000;
const MOST_BYTES: u64 = 256 << 20;
/// Folders in folders.
const DEEPEST: usize = 4;

static BUILT: LazyLock<Arc<Bundle>> = LazyLock::new(|| Arc::new(Bundle::built()));

/// The pages that manifests may show.
pub(super) fn read(bundle: Option<&Path>, manifests: &Manifests) -> Result<Pages, Problem> {
    let bundle = match bundle {
        None => Arc::clone(&BUILT),
        Some(folder) => Arc::new(Bundle::of(read_bundle(folder).map_err(|error| {
            let advice = "give APPS_BUNDLE_DIR (--apps-bundle-dir) a folder of built pages";
            Problem::in_file(folder, format!("cannot be read: {error}; {advice}"))
        })?)),
    };
    let beside = manifests.connectors.iter().flat_map(beside).collect();
    Ok(Pages { bundle, beside, ..Pages::default() })
}

/// The files a connector's widgets name, each read.
fn beside(checked: &Checked) -> BTreeMap<PathBuf, Result<Arc<Page>, String>> {
    let named = checked.connector.widgets().filter_map(|widget| path_of(checked.folder(), widget.page.as_deref()?));
    named.map(|path| (path.clone(), read_page(checked.folder(), &path).map(Arc::new))).collect()
}

/// Reads a page that stands below `folder`, links followed.
fn read_page(folder: &Path, path: &Path) -> Result<Page, String> {
    let unreadable = |error: io::Error| format!("the page {} cannot be read: {error}", path.display());
    let real = path.canonicalize().map_err(unreadable)?;
    if !real.starts_with(folder.canonicalize().map_err(unreadable)?) {
        return Err(format!("the page {} is not below the manifest's folder", path.display()));
    }
    let metadata = fs::metadata(&real).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(format!("the page {} is no file", path.display()));
    }
    let size = metadata.len();
    if size > LARGEST_PAGE {
        return Err(format!("the page {} has {size} bytes, {LARGEST_PAGE} at most", path.display()));
    }
    Ok(Page::new(path, &fs::read_to_string(&real).map_err(unreadable)?))
}

fn read_bundle(folder: &Path) -> io::Result<Vec<(String, Cow<'static, [u8]>)>> {
    let (mut files, mut all) = (Vec::new(), 0);
    for path in bundle_files(folder)? {
        let size = fs::metadata(&path)?.len();
        let is_page = path.extension().is_some_and(|ending| ending == "html");
        let most = if is_page { LARGEST_PAGE } else { LARGEST_ASSET };
        if size > most {
            return Err(io::Error::other(format!("{} has {size} bytes, {most} at most", path.display())));
        }
        all += size;
        if all > MOST_BYTES {
            return Err(io::Error::other(format!("its files have more than {MOST_BYTES} bytes")));
        }
        let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        files.push((name, Cow::Owned(fs::read(&path)?)));
    }
    Ok(files)
}

/// The files of a bundle, those of editors and version control left out, and what is no file of its own: they are
/// shown to everybody, so a link may lead nowhere else.
pub(super) fn bundle_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            if kind.is_file() {
                files.extend(is_for_the_web(&path).then_some(path));
            } else if kind.is_dir() && depth < DEEPEST {
                folders.push((path, depth + 1));
            }
            if files.len() > MOST_FILES {
                return Err(io::Error::other(format!("it holds more than {MOST_FILES} files")));
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Whether a file is one that pages load, and not what they were made from: everybody may see it.
fn is_for_the_web(path: &Path) -> bool {
    const ENDINGS: &[&str] = &[
        "html", "js", "mjs", "css", "wasm", "png", "jpg", "jpeg", "gif", "svg", "webp", "avif", "ico", "woff", "woff2",
        "ttf", "otf", "mp3", "mp4", "webm", "ogg", "wav",
    ];
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}
