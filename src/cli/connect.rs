//! `connect` and `disconnect`: what connectors may do for the person at this machine.

use std::io::{self, Write as _};
use std::net::Ipv4Addr;

use clap::Args;
use tokio::net::TcpListener;

use super::{Failure, print};
use crate::app::{App, Signals};
use crate::audit::Deed;
use crate::caller::Caller;
use crate::config::Config;
use crate::credential::grant::Parted;
use crate::error::Error;
use crate::gateway::{Connectable, Gateway};
use crate::secret::Environment;
use crate::store::Put;
use crate::transport::connect_here;

/// Where the port is kept that a browser came back to last.
const PORT: &str = "connect/port";

#[derive(Debug, Args)]
pub(super) struct ConnectArgs {
    /// The connector's id
    connector: String,
    /// The port of this machine that the browser comes back to; the last one, or any free one, when unsaid. Name one where the issuer has to know the address: http://127.0.0.1:PORT/connect/callback/CONNECTOR
    #[arg(long)]
    port: Option<u16>,
}

#[derive(Debug, Args)]
pub(super) struct DisconnectArgs {
    /// The connector's id
    connector: String,
}

pub(super) fn connect(config: Config, environment: Environment, args: &ConnectArgs) -> Result<(), Failure> {
    let app = App::open(config, environment)?;
    let found = find(&app, &args.connector)?;
    let runtime = super::runtime()?;
    let connected = runtime.block_on(async {
        let mut signals = Signals::new()?;
        let listener = listen(app.gateway(), args.port).await?;
        let show = |link: &str| {
            let _ = writeln!(io::stderr(), "Open this in your browser, agree there, and come back:");
            let _ = print(link);
        };
        let gateway = app.shared_gateway();
        tokio::select! {
            connected = connect_here(&gateway, &found, listener, show) => io::Result::Ok(Some(connected)),
            () = signals.next() => Ok(None),
        }
    })?;
    runtime.block_on(app.gateway().audit().close());
    runtime.shutdown_background();
    match connected {
        Some(Ok(())) => print(&format!("{} is connected", found.name)),
        Some(Err(error)) => Err(no(&error)),
        None => Err(Failure::No),
    }
}

pub(super) fn disconnect(config: Config, environment: Environment, args: &DisconnectArgs) -> Result<(), Failure> {
    let app = App::open(config, environment)?;
    let found = find(&app, &args.connector)?;
    let runtime = super::runtime()?;
    let parted = runtime.block_on(async {
        let parted = found.grants.disconnect(&Caller::Local).await;
        let failure = parted.as_ref().err().map(|error| error as _);
        app.gateway().did(Deed::GrantDisconnect, &Caller::Local, &args.connector, failure);
        app.gateway().audit().close().await;
        parted
    });
    runtime.shutdown_background();
    match parted {
        Ok(Parted::Nothing) => print(&format!("{} was not connected", found.name)),
        Ok(Parted::TakenBack) => print(&format!("{} is disconnected, here and at its issuer", found.name)),
        Ok(Parted::Forgotten) => {
            print(&format!("{} is disconnected here; take the access back at its own site, too", found.name))
        }
        Err(error) => Err(no(&error)),
    }
}

/// Listens where the browser comes back to. Unsaid, that is where it came back to the last time, if nobody is there: an
/// issuer that we registered at knows that address.
async fn listen(gateway: &Gateway, port: Option<u16>) -> io::Result<TcpListener> {
    let bind = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let (None, Ok(safe)) = (port, gateway.keyring().safe()) else { return bind(port.unwrap_or(0)).await };
    if let Ok(Some(last)) = safe.read::<u16>(PORT).await
        && let Ok(listener) = bind(last.value).await
    {
        return Ok(listener);
    }
    let listener = bind(0).await?;
    let _ = safe.write(PORT, &listener.local_addr()?.port(), Put::default()).await;
    Ok(listener)
}

fn find(app: &App, id: &str) -> Result<Connectable, Failure> {
    let all = app.gateway().connectable(&Caller::Local);
    let known: Vec<String> = all.iter().map(|it| it.id.to_string()).collect();
    let found = all.into_iter().find(|it| it.id.as_str() == id);
    found.ok_or_else(|| {
        let known = if known.is_empty() { "there is none".into() } else { format!("there are {}", known.join(", ")) };
        Failure::Usage(format!("no connector `{id}` acts for people; {known}"))
    })
}

/// What went wrong, with its cause: this is the operator's terminal.
pub(super) fn no(error: &Error) -> Failure {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    let _ = writeln!(io::stderr(), "switchboard: {error}{cause}");
    Failure::No
}
