//! `serve` and `stdio`.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use tokio::runtime::Runtime;

use super::{Failure, StdioArgs, show_problems};
use crate::app::{App, AppError, Following, Hangups};
use crate::auth::{AuthConfig, Mode};
use crate::catalog::view::Asked;
use crate::config::{Config, Layers, Seen};
use crate::error::Problem;
use crate::gateway::{Gateway, State};
use crate::telemetry::{FLUSH, Format, Telemetry};

pub(super) fn serve(config: Config, layers: Layers) -> Result<(), Failure> {
    let faults = config.faults_of_callers(&layers.environment);
    if !faults.is_empty() {
        return Err(AppError::Problems(faults).into());
    }
    let runtime = super::runtime()?;
    let following = Following { layers, running: config.clone(), judge: Config::faults_of_callers };
    let app = open(&runtime, config, following)?;
    let config = app.config().clone();
    let strangers = app.says_to_strangers();
    let json = config.log.format == Format::Json;
    let summary = summary(app.gateway());
    block_on(
        runtime,
        &app.telemetry(),
        app.serve(move |address| {
            for warning in strangers {
                tracing::warn!("{warning}");
            }
            if json {
                tracing::info!("{summary}; listening on http://{address}/mcp");
                return;
            }
            let mut stderr = io::stderr().lock();
            let seen_by = if stderr.is_terminal() { Seen::ByPerson } else { Seen::ByLog };
            let here = config.endpoint(&format!("http://{address}"), seen_by);
            let _ = writeln!(stderr, "{summary}\nlistening on {here}");
            if let Some(base) = config.base() {
                let _ = writeln!(stderr, "clients use {}", config.endpoint(&base, seen_by));
            }
        }),
    )
}

pub(super) fn stdio(config: Config, layers: Layers, args: &StdioArgs) -> Result<(), Failure> {
    let said = [("profile", &args.profile), ("exposure", &args.exposure)];
    let said = said.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
    let asked = Asked::read(said.chain(args.tools.iter().map(|part| ("tools", part.as_str()))));
    let asked = asked.map_err(|unknown| Failure::Usage(unknown.message().to_owned()))?;
    // Who starts us is who calls.
    let auth = AuthConfig { mode: Some(Mode::None), ..config.auth.clone() };
    let effective = Config { auth, ..config.clone() };
    let runtime = super::runtime()?;
    let app = open(&runtime, effective, Following { layers, running: config, judge: |_, _| Vec::new() })?;
    tracing::info!("{}", summary(app.gateway()));
    block_on(runtime, &app.telemetry(), app.stdio(asked))
}

fn open(runtime: &Runtime, config: Config, following: Following) -> Result<App, Failure> {
    // Before what takes its time: from here on SIGHUP does not end us.
    let hangups = {
        let _inside = runtime.enter();
        Hangups::from_here()
    };
    let refuse = |words: String| AppError::Problems(vec![Problem::in_file("settings", words)]);
    let environment = following.layers.environment.clone();
    let service = environment.get("OTEL_SERVICE_NAME");
    let telemetry = Telemetry::start(&config.log, &config.telemetry, service).map_err(refuse)?;
    let format = config.log.format;
    let app = App::telling(config, environment, telemetry)?;
    let live = app.gateway().live();
    match format {
        Format::Text => show_problems(&live.problems),
        Format::Json => live.problems.iter().for_each(log),
    }
    Ok(app.following(following).hearing(hangups))
}

fn log(problem: &Problem) {
    if problem.is_error() { tracing::error!("{problem}") } else { tracing::warn!("{problem}") }
}

fn summary(gateway: &Gateway) -> String {
    let live = gateway.live();
    let count =
        |wanted: fn(&State) -> bool| live.connectors.values().filter(|connector| wanted(&connector.state())).count();
    let ready = count(|state| matches!(state, State::Live(_)));
    let unavailable = count(|state| matches!(state, State::Unavailable(_)));
    let tools = live.catalog.entries().len();
    match unavailable {
        0 => format!("{tools} tools of {ready} connectors"),
        _ => format!(
            "{tools} tools of {ready} connectors; {unavailable} more are unavailable (`switchboard check` says why)"
        ),
    }
}

fn block_on(
    runtime: Runtime,
    telemetry: &Telemetry,
    work: impl Future<Output = Result<(), AppError>>,
) -> Result<(), Failure> {
    let result = runtime.block_on(work);
    // After a second signal nothing is waited for; dropping a call kills what it started. Standard
    // input may hold a thread in a read that never ends.
    runtime.shutdown_background();
    let is_at_once = matches!(result, Err(AppError::StoppedAtOnce));
    telemetry.stop(if is_at_once { Duration::ZERO } else { FLUSH });
    Ok(result?)
}
