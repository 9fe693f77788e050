//! The servers behind the gateway: as little work as possible, so that what stands in the middle is what is measured.

use clap::{Args, Subcommand};

mod api;
mod body;
mod http;
mod server;
mod session;
mod stdio;

use crate::{Fault, listen::listen};
pub(crate) use server::BIG;

/// Which upstream to be.
#[derive(Debug, Subcommand)]
pub(crate) enum Upstream {
    /// An MCP server over HTTP.
    McpHttp(McpHttp),
    /// An MCP server over standard input and output.
    McpStdio(Tools),
    /// An HTTP API.
    Api,
}

/// Its tools.
#[derive(Debug, Clone, Args)]
pub(crate) struct Tools {
    /// How many there are.
    #[arg(long, default_value_t = 2)]
    tools: usize,
    /// How many are on a page of `tools/list`; 0 lists all at once.
    #[arg(long, default_value_t = 0)]
    page: usize,
}

/// How it speaks over HTTP.
#[derive(Debug, Clone, Args)]
pub(crate) struct McpHttp {
    #[command(flatten)]
    tools: Tools,
    /// Gives no `Mcp-Session-Id`.
    #[arg(long)]
    no_sessions: bool,
    /// Answers requests of the handshake era with JSON instead of an event stream.
    #[arg(long)]
    json: bool,
}

impl Upstream {
    /// Serves until the benchmark closes our standard input.
    pub(crate) async fn serve(self) -> Result<(), Fault> {
        match self {
            Self::McpHttp(options) => {
                let server = server::Server::new(options.tools.tools, options.tools.page);
                let http = http::Http::new(server, options);
                listen(move |request| http.clone().answer(request)).await
            }
            Self::McpStdio(tools) => Ok(stdio::serve(&server::Server::new(tools.tools, tools.page))?),
            Self::Api => {
                let api = api::Api::new();
                listen(move |request| api.clone().answer(request)).await
            }
        }
    }
}
