//! A plain hyper server on a free port of loopback, for the upstreams and the floor.

use std::{
    error::Error,
    io::{self, Read as _, Write as _},
    thread,
};

use bytes::Bytes;
use http::{Request, Response};
use hyper::{
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, sync::oneshot};
use tokio_util::task::TaskTracker;

use crate::Fault;

/// Answers every request with `answer`, and says where on standard error. Ends when standard input
/// does, so that nothing outlives the benchmark however it ends.
pub(crate) async fn listen<S, F, B, E>(answer: S) -> Result<(), Fault>
where
    S: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<B>, E>> + Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    writeln!(io::stderr(), "listening on http://{}/", listener.local_addr()?)?;
    let mut ended = end_of_input();
    let connections = TaskTracker::new();
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            _ = &mut ended => return Ok(()),
        };
        stream.set_nodelay(true)?;
        let answer = answer.clone();
        connections.spawn(async move {
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)).await;
        });
    }
}

fn end_of_input() -> oneshot::Receiver<()> {
    let (ended, receiver) = oneshot::channel();
    thread::spawn(move || {
        let _ = io::stdin().lock().read(&mut [0]);
        let _ = ended.send(());
    });
    receiver
}
