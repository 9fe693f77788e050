//! stdio: one client, one JSON message a line, nothing else on standard output.

use rmcp::{
    service::{ServerInitializeError, serve_server_with_ct},
    transport::stdio,
};
use tokio_util::sync::CancellationToken;

use super::TransportError;
use crate::protocol::{Server, Wire};

/// Serves the client that started us until it closes our input or `stop` fires.
pub async fn serve(server: Server, stop: CancellationToken) -> Result<(), TransportError> {
    let running = match serve_server_with_ct(Wire(server), stdio(), stop).await {
        Ok(running) => running,
        // A client that leaves before its first request is a client that left.
        Err(ServerInitializeError::ConnectionClosed(_) | ServerInitializeError::Cancelled) => return Ok(()),
        Err(error) => return Err(TransportError::Protocol(error.to_string())),
    };
    running.waiting().await.map(drop).map_err(|error| TransportError::Protocol(error.to_string()))
}
