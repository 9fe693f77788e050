//! stdio: one client, one JSON message a line, nothing else on standard output.

use std::time::Duration;

use rmcp::service::{RoleServer, RxJsonRpcMessage, ServerInitializeError, TxJsonRpcMessage, serve_server_with_ct};
use rmcp::transport::{IntoTransport, Transport, stdio};
use tokio::time::Instant;

use super::{Shutdown, TransportError, under_way::UnderWay};
use crate::protocol::{Server, Wire};

/// Requests under way when the input ends have this long. Clients wait two seconds before they kill.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// What was answered when everything ends has this long to leave.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// Serves the client that started us until it closes our input or `shutdown`.
pub async fn serve(server: Server, shutdown: Shutdown) -> Result<(), TransportError> {
    let transport = Input {
        inner: stdio().into_transport(),
        under_way: UnderWay::default(),
        ended: None,
        server: server.clone(),
        shutdown: shutdown.clone(),
    };
    let expired = shutdown.expired.clone();
    let running = match serve_server_with_ct(Wire(server), transport, shutdown.expired).await {
        Ok(running) => running,
        // A client that leaves before its first request is a client that left.
        Err(ServerInitializeError::ConnectionClosed(_) | ServerInitializeError::Cancelled) => return Ok(()),
        Err(error) => return Err(TransportError::Protocol(error.to_string())),
    };
    // The SDK waits seconds for requests that will never be answered; ours are accounted for.
    tokio::select! {
        ended = running.waiting() => ended.map(drop).map_err(|error| TransportError::Protocol(error.to_string())),
        () = async { expired.cancelled().await; tokio::time::sleep(LAST_WORDS).await } => Ok(()),
    }
}

/// A transport whose end of input ends everything soon: a script that pipes requests in still
/// gets its answers, a client that leaves does not wait for a long call.
struct Input<T> {
    inner: T,
    under_way: UnderWay<()>,
    ended: Option<Instant>,
    server: Server,
    shutdown: Shutdown,
}

impl<T: Transport<RoleServer>> Transport<RoleServer> for Input<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        self.under_way.goes(&message);
        self.inner.send(message)
    }

    /// The service loop drops this future and makes it again whenever it sends something, so
    /// after the end of input it is asked again with each answer that leaves.
    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        if self.ended.is_none() {
            if let Some(message) = self.inner.receive().await {
                self.under_way.came(&message, Some(()));
                return Some(message);
            }
            self.server.close_subscriptions();
        }
        let ended = *self.ended.get_or_insert_with(Instant::now);
        if !self.under_way.is_empty() {
            tokio::time::sleep(LAST_ANSWERS.saturating_sub(ended.elapsed())).await;
        }
        self.shutdown.expired.cancel();
        None
    }

    fn close(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send {
        self.inner.close()
    }
}
