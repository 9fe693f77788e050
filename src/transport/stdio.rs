//! stdio: one client, one JSON message a line, nothing else on standard output.

use std::time::Duration;

use rmcp::service::{RoleServer, RxJsonRpcMessage, ServerInitializeError, TxJsonRpcMessage, serve_server_with_ct};
use rmcp::transport::{IntoTransport, Transport, stdio};
use tokio::time::Instant;

use super::{Shutdown, TransportError};
use crate::protocol::{Server, Wire};

/// Calls under way when the input ends have this long. Clients wait two seconds before they kill.
const LAST_CALLS: Duration = Duration::from_secs(1);

/// Serves the client that started us until it closes our input or `shutdown`.
pub async fn serve(server: Server, shutdown: Shutdown) -> Result<(), TransportError> {
    let transport =
        Input { inner: stdio().into_transport(), server: server.clone(), shutdown: shutdown.clone(), ended: None };
    let running = match serve_server_with_ct(Wire(server), transport, shutdown.expired).await {
        Ok(running) => running,
        // A client that leaves before its first request is a client that left.
        Err(ServerInitializeError::ConnectionClosed(_) | ServerInitializeError::Cancelled) => return Ok(()),
        Err(error) => return Err(TransportError::Protocol(error.to_string())),
    };
    running.waiting().await.map(drop).map_err(|error| TransportError::Protocol(error.to_string()))
}

/// A transport whose end of input ends everything soon: a script that pipes requests in still
/// gets its answers, a client that leaves does not wait for a long call.
struct Input<T> {
    inner: T,
    server: Server,
    shutdown: Shutdown,
    ended: Option<Instant>,
}

impl<T: Transport<RoleServer>> Transport<RoleServer> for Input<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        self.inner.send(message)
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        if let Some(message) = self.inner.receive().await {
            return Some(message);
        }
        // This future may be dropped and made again; the time runs on.
        let ended = *self.ended.get_or_insert_with(Instant::now);
        self.server.close(LAST_CALLS.saturating_sub(ended.elapsed())).await;
        self.shutdown.expired.cancel();
        None
    }

    fn close(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send {
        self.inner.close()
    }
}
