//! Keys of our own making, in files that nobody else can read.

use std::{fs, io, path::Path};

use secrecy::zeroize::Zeroizing;
use uuid::Uuid;

/// Makes a file that holds a key, unless there is one; whether it was made now. Of several processes that do so at
/// once, one wins, and no one reads half a key (where the file system has no links, the last one wins).
pub fn keep_secret(file: &Path, text: impl FnOnce() -> io::Result<Zeroizing<String>>) -> io::Result<bool> {
    if file.exists() {
        return Ok(false);
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let draft = folder.join(format!(".{name}.{}", Uuid::new_v4()));
    let written =
        text().and_then(|text| write(&draft, text.as_bytes())).and_then(|()| match fs::hard_link(&draft, file) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(_) => fs::rename(&draft, file).map(|()| true),
        });
    let _ = fs::remove_file(&draft);
    let made = written?;
    // The name has to last as long as what was made with the key; a folder that cannot be opened cannot be synced.
    drop(fs::File::open(folder).and_then(|folder| folder.sync_all()));
    Ok(made)
}

/// What a file of keys holds, whose longest form has `longest` bytes. It is said in the log when one of the bits `others`
/// of its mode lets somebody read it. The error says why it cannot be read, and not which file.
pub fn read_secret(file: &Path, longest: u64, others: u32) -> Result<Zeroizing<Vec<u8>>, String> {
    use io::Read as _;
    let mut bytes = Zeroizing::new(Vec::new());
    let opened = fs::File::open(file).and_then(|opened| {
        warn_of_readers(file, &opened.metadata()?, others);
        opened.take(longest + 1).read_to_end(&mut bytes)
    });
    let length = opened.map_err(|error| format!("it cannot be read: {error}"))?;
    if length as u64 > longest { Err(format!("it has more than {longest} bytes")) } else { Ok(bytes) }
}

#[cfg(unix)]
fn warn_of_readers(file: &Path, about: &fs::Metadata, others: u32) {
    if std::os::unix::fs::PermissionsExt::mode(&about.permissions()) & others != 0 {
        tracing::warn!("the key {} can be read by others: `chmod 600` is what it should have", file.display());
    }
}

#[cfg(not(unix))]
fn warn_of_readers(_file: &Path, _about: &fs::Metadata, _others: u32) {}

fn write(file: &Path, contents: &[u8]) -> io::Result<()> {
    use io::Write as _;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut written = options.open(file)?;
    written.write_all(contents)?;
    written.sync_all()
}
