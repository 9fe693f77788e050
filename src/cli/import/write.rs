//! Where a manifest and its document are written. Nothing is written over unless that was asked for.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::{Made, Read};
use crate::cli::Failure;
use crate::manifest::file_schema;
use crate::name::ConnectorId;

/// The folder for documents beside manifests; what stands in it is taken for no manifest.
const DOCUMENTS: &str = "apis";
/// What is no manifest, either.
const SCHEMA: &str = "schema.json";

/// Where the manifest goes.
#[derive(Debug)]
pub(super) enum Target {
    Output(PathBuf),
    File(PathBuf),
}

impl Target {
    pub(super) fn new(out: Option<&Path>, manifests: &Path, id: &ConnectorId) -> Self {
        let folder = if manifests.is_file() { manifests.parent().unwrap_or(Path::new(".")) } else { manifests };
        let own = folder.join(format!("{id}.json"));
        match out {
            Some(out) if out == Path::new("-") => Self::Output(own),
            Some(out) if out.is_dir() || out.to_string_lossy().ends_with('/') => {
                Self::File(out.join(format!("{id}.json")))
            }
            Some(out) => Self::File(out.to_owned()),
            None => Self::File(own),
        }
    }

    pub(super) fn is_output(&self) -> bool {
        matches!(self, Self::Output(_))
    }

    /// The file the manifest stands in, or would.
    pub(super) fn file(&self) -> PathBuf {
        match self {
            Self::Output(file) | Self::File(file) => file.clone(),
        }
    }

    fn folder(&self) -> PathBuf {
        let file = self.file();
        let folder = file.parent().unwrap_or(Path::new("."));
        if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_owned() }
    }

    /// How the manifest names the document: by its address, or by a path from the manifest's folder. A document from
    /// elsewhere is copied there when it is whole by itself.
    pub(super) fn spec(&self, source: &str, read: &Read, id: &ConnectorId) -> String {
        let Some(file) = &read.file else { return source.to_owned() };
        let whole = fs::canonicalize(file).unwrap_or_else(|_| file.clone());
        let beside = fs::canonicalize(self.folder()).ok();
        let inside = beside.and_then(|folder| whole.strip_prefix(folder).map(Path::to_owned).ok());
        let spec = match inside.filter(|path| path.components().count() > 1) {
            Some(inside) => inside.display().to_string(),
            None if !self.is_output() && read.others.is_empty() => copy(read, id).display().to_string(),
            None => whole.display().to_string(),
        };
        spec.replace("${", "$${")
    }
}

/// Where a document is copied to, from the manifest's folder.
fn copy(read: &Read, id: &ConnectorId) -> PathBuf {
    let ending = if read.text.trim_start().starts_with('{') { "json" } else { "yaml" };
    Path::new(DOCUMENTS).join(format!("{id}.{ending}"))
}

impl Made {
    /// Writes the manifest, its document where that has to be beside it, and the schema for editors. Says what was
    /// written.
    pub(super) fn write(&self, read: &Read, force: bool) -> Result<Vec<PathBuf>, Failure> {
        let (file, folder) = (self.target.file(), self.target.folder());
        let schema = folder.join(SCHEMA);
        if file == schema {
            let message = format!("{} is for the manifests' schema; give another --id or --out", file.display());
            return Err(Failure::Usage(message));
        }
        let mut files = Vec::new();
        let spec = copy(read, &self.id);
        let named = self.manifest.pointer("/adapter/spec").and_then(serde_json::Value::as_str);
        if read.file.is_some() && named == spec.to_str() {
            files.push((folder.join(spec), read.text.clone()));
        }
        files.push((file, format!("{}\n", self.text())));
        let there: Vec<String> =
            files.iter().filter(|(file, _)| file.exists()).map(|(file, _)| file.display().to_string()).collect();
        if !there.is_empty() && !force {
            let message = format!("{} is there already; give --force to write over it, or --out", there.join(" and "));
            return Err(Failure::Usage(message));
        }
        if !schema.exists() {
            files.push((schema, format!("{:#}\n", file_schema())));
        }
        for (file, text) in &files {
            let failed = |error: io::Error| Failure::Usage(format!("{} cannot be written: {error}", file.display()));
            write(file, text).map_err(failed)?;
        }
        Ok(files.into_iter().map(|(file, _)| file).collect())
    }
}

/// Writes a file whole: a server that runs reads the old one or the new one.
fn write(file: &Path, text: &str) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let draft = folder.join(format!(".{name}.{}", uuid::Uuid::new_v4()));
    let written = fs::File::create_new(&draft).and_then(|mut draft| draft.write_all(text.as_bytes()));
    let written = written.and_then(|()| fs::rename(&draft, file));
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written
}
