//! What a source needs before it can be started, fetched to this machine.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use tokio::io::AsyncWriteExt as _;

use super::Source;
use super::rules::Rules;
use super::source::{INHERITED, MARK, clone_address};
use crate::adapter::{Errand, is_installed};
use crate::secret::Environment;

/// Programs that run containers, the first one that is there.
const ENGINES: &[&str] = &["docker", "podman"];
/// The file, in its connector's folder, from which an engine takes a container's variables.
pub(super) const VARIABLES: &str = "variables";
/// Removes the containers of a label.
const END_CONTAINERS: &str =
    r#"all=$("$0" ps --all --quiet --filter "$1") || exit; [ -z "$all" ] || "$0" rm --force $all"#;
/// Where a repository is cloned to, in its connector's folder.
const CHECKOUT: &str = "repository";

/// The program that runs containers here, if there is one.
pub(super) fn engine(environment: &Environment) -> Option<&'static str> {
    ENGINES.iter().copied().find(|engine| is_installed(engine, environment))
}

/// Where the package of a repository is, once it was cloned.
pub(super) fn checkout(folder: &Path, path: Option<&str>) -> PathBuf {
    let checkout = folder.join(CHECKOUT);
    path.map_or_else(|| checkout.clone(), |path| checkout.join(path))
}

/// Ends what may be left of a source that was a program, and takes its folder away.
pub(super) async fn clear(source: &Source, rules: &Rules, folder: &Path) {
    if source.program().is_none() || rules.folder.is_none() {
        return;
    }
    if let (Source::Docker { .. }, Some(engine)) = (source, engine(&rules.environment)) {
        // The engine's own client may end without its container.
        let mark = format!("label={MARK}={}", folder.file_name().unwrap_or_default().to_string_lossy());
        let args = ["-c", END_CONTAINERS, engine, &mark];
        let errand = Errand { program: "sh", args: &args, folder, inherit: INHERITED };
        if let Err(why) = errand.run(&rules.environment).await {
            tracing::warn!("a container may be left: {why}");
        }
    }
    let _ = tokio::fs::remove_dir_all(folder).await;
}

/// Writes a container's variables for its engine, and for nobody else.
async fn keep_variables(file: &Path, env: &BTreeMap<String, String>) -> Result<(), String> {
    let lines: String = env.iter().flat_map(|(name, value)| [name.as_str(), "=", value, "\n"]).collect();
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    options.mode(0o600);
    let written = async {
        let mut file = options.open(file).await?;
        file.write_all(lines.as_bytes()).await?;
        file.flush().await
    };
    written.await.map_err(|error| format!("its variables cannot be written: {error}"))
}

/// Fetches what a source needs; the reason, in words, when this machine cannot run such a source.
pub(super) async fn prepare(source: &Source, rules: &Rules, folder: &Path) -> Result<(), String> {
    if source.program().is_none() {
        return Ok(());
    }
    let environment = &rules.environment;
    let made = tokio::fs::create_dir_all(folder).await;
    made.map_err(|error| format!("its folder cannot be made: {error}"))?;
    let run = async |program: &str, args: &[&str]| {
        Errand { program, args, folder, inherit: INHERITED }.run(environment).await
    };
    let needs = |program: &str, what: &str| {
        let missing = || Err(format!("{what} needs the program {program}, which is not on this machine's PATH"));
        if is_installed(program, environment) { Ok(()) } else { missing() }
    };
    match source {
        Source::OpenApi { .. } | Source::Http { .. } | Source::Sse { .. } | Source::Stdio { .. } => Ok(()),
        Source::Npm { package, .. } => {
            needs("npx", "a package of npm")?;
            // It does nothing with the package but fetch it to where the connector finds it.
            run("npx", &["--yes", "--package", package, "--", "node", "--eval", ""]).await
        }
        Source::Docker { image, env, .. } => {
            keep_variables(&folder.join(VARIABLES), env).await?;
            let missing = "there is no container engine: neither docker nor podman is on this machine's PATH";
            let engine = engine(environment).ok_or(missing)?;
            // An image that was built here need not be anywhere else.
            match run(engine, &["image", "inspect", image]).await {
                Ok(()) => Ok(()),
                Err(_) => run(engine, &["pull", "--quiet", image]).await,
            }
        }
        Source::Github { repository, path } => {
            needs("git", "a repository")?;
            needs("npx", "the package in a repository")?;
            let address = clone_address(repository).ok_or("`repository` has to be `owner/name`")?;
            // An earlier try may have been interrupted.
            let _ = tokio::fs::remove_dir_all(folder.join(CHECKOUT)).await;
            run("git", &["clone", "--quiet", "--depth", "1", &address, CHECKOUT]).await?;
            let package = checkout(folder, path.as_deref());
            let real = tokio::fs::canonicalize(&package).await.map_err(|_| "the repository has no such folder")?;
            let inside = tokio::fs::canonicalize(folder.join(CHECKOUT)).await.is_ok_and(|root| real.starts_with(root));
            if !inside || !real.join("package.json").is_file() {
                return Err("there is no package of npm in the repository at this place: no package.json".into());
            }
            let package = package.to_string_lossy();
            run("npm", &["install", "--no-audit", "--no-fund", "--prefix", &package]).await
        }
    }
}
