//! stdio: one client, one JSON message a line, nothing else on standard output.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use rmcp::model::ErrorData;
use rmcp::service::{RoleServer, RxJsonRpcMessage, ServerInitializeError, TxJsonRpcMessage, serve_server_with_ct};
use rmcp::transport::Transport;
use serde_json::json;
use tokio::io::{AsyncWriteExt as _, Stdin, Stdout};
use tokio::{sync::Mutex, time::Instant};
use tokio_stream::StreamExt as _;
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};

use super::{Shutdown, TransportError, under_way::UnderWay};
use crate::protocol::{Parcels, Server, Wire};

/// The longest line to take, in bytes.
const LONGEST_LINE: usize = 16 << 20;
/// Requests under way when the input ends have this long. Clients wait two seconds before they kill.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// What was answered when everything ends has this long to leave.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// Serves the client that started us until it closes our input or `shutdown`.
pub async fn serve(server: Server, shutdown: Shutdown) -> Result<(), TransportError> {
    let transport = Input {
        lines: FramedRead::new(tokio::io::stdin(), LinesCodec::new_with_max_length(LONGEST_LINE)),
        output: Arc::new(Mutex::new(tokio::io::stdout())),
        parcels: server.parcels().clone(),
        under_way: UnderWay::default(),
        ended: None,
        server: server.clone(),
        shutdown: shutdown.clone(),
    };
    let _counted = server.gateway().telemetry().metrics().session("stdio");
    let expired = shutdown.expired.clone();
    let running = match serve_server_with_ct(Wire(server.for_session()), transport, shutdown.expired).await {
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
struct Input {
    lines: FramedRead<Stdin, LinesCodec>,
    output: Arc<Mutex<Stdout>>,
    parcels: Parcels,
    under_way: UnderWay<()>,
    ended: Option<Instant>,
    server: Server,
    shutdown: Shutdown,
}

async fn write(output: &Mutex<Stdout>, message: &[u8]) -> io::Result<()> {
    let mut output = output.lock().await;
    output.write_all(message).await?;
    output.write_all(b"\n").await?;
    output.flush().await
}

impl Input {
    /// The next message. A line that is none is answered, as JSON-RPC wants it.
    async fn message(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            let refusal = match self.lines.next().await? {
                Ok(line) if line.trim().is_empty() => continue,
                Ok(line) => match serde_json::from_slice(&self.parcels.wrap(&Bytes::from(line.clone()))) {
                    Ok(message) => return Some(message),
                    Err(_) if serde_json::from_str::<serde::de::IgnoredAny>(&line).is_ok() => {
                        ErrorData::invalid_request("the line is not one JSON-RPC message", None)
                    }
                    Err(error) => ErrorData::parse_error(format!("the line is not JSON: {error}"), None),
                },
                Err(LinesCodecError::MaxLineLengthExceeded) => {
                    ErrorData::invalid_request(format!("a line has {LONGEST_LINE} bytes at most"), None)
                }
                Err(LinesCodecError::Io(_)) => return None,
            };
            let message = json!({ "jsonrpc": "2.0", "id": null, "error": refusal }).to_string();
            write(&self.output, message.as_bytes()).await.ok()?;
        }
    }
}

impl Transport<RoleServer> for Input {
    type Error = io::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        self.under_way.goes(&message);
        let (output, parcels) = (Arc::clone(&self.output), self.parcels.clone());
        async move {
            let message = serde_json::to_vec(&message)?;
            write(&output, &parcels.fill(message.into(), true)).await
        }
    }

    /// The service loop drops this future and makes it again whenever it sends something, so
    /// after the end of input it is asked again with each answer that leaves.
    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        if self.ended.is_none() {
            if let Some(message) = self.message().await {
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

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.output.lock().await.flush().await
    }
}
