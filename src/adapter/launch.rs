//! The launcher: our own binary, started as a short step between us and a program.
//!
//! Between fork and exec only unsafe code could set limits, so the child first becomes this
//! launcher, which limits itself and then becomes the program.

use std::{convert::Infallible, ffi::OsString, io, os::unix::process::CommandExt as _, process::Command};

/// The first argument that makes our binary a launcher: `__launch BYTES PROGRAM ARGS…`, where
/// `BYTES` limits the address space and is 0 for no limit.
pub const LAUNCH: &str = "__launch";

/// The program that starts the launcher: this very binary, even when its file was replaced.
pub(super) fn launcher() -> io::Result<OsString> {
    if cfg!(target_os = "linux") { Ok("/proc/self/exe".into()) } else { std::env::current_exe().map(Into::into) }
}

/// Limits this process and becomes the program that `arguments` name. Returns only on failure.
pub fn launch(mut arguments: impl Iterator<Item = OsString>) -> io::Result<Infallible> {
    let bad = || io::Error::other("the launcher is started by switchboard itself only");
    let limit: u64 = arguments.next().and_then(|limit| limit.to_str()?.parse().ok()).ok_or_else(bad)?;
    let program = arguments.next().ok_or_else(bad)?;
    #[cfg(target_os = "linux")]
    {
        // When we are killed without a chance to clean up, the program goes too.
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        // What its children leave behind falls to it, not to init, so that it can be found.
        rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1))?;
    }
    if limit > 0 {
        let limits = rustix::process::Rlimit { current: Some(limit), maximum: Some(limit) };
        rustix::process::setrlimit(rustix::process::Resource::As, limits)?;
    }
    Err(Command::new(program).args(arguments).exec())
}
