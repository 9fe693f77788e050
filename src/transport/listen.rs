//! Connections: how many there may be, and how long they may take to say what they want.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::Router;
use axum_server::{Handle, accept::Accept};
use hyper_util::rt::TokioTimer;
use ipnet::IpNet;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower_http::add_extension::AddExtension;

use super::strangers::Address;
use super::{ConnectionLimits, Shutdown};

/// Streams of one HTTP/2 connection at once.
const MOST_STREAMS: u32 = 128;
/// An HTTP/2 connection that does not answer for this long is closed.
const ALIVE: Duration = Duration::from_secs(20);

/// The last answers have this long to leave when everything has to end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Serves `router` until `shutdown` drains, and then until the last connection ends or has to.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    trusted: Vec<IpNet>,
    shutdown: Shutdown,
) -> io::Result<()> {
    let handle = Handle::new();
    let mut server = axum_server::from_tcp(listener.into_std()?)?
        .handle(handle.clone())
        .acceptor(Door(Arc::new(Counted { limits, trusted, open: Mutex::default() }), shutdown.draining.clone()));
    let builder = server.http_builder();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.header_time).max_buf_size(limits.header_bytes);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(ALIVE)
        .keep_alive_timeout(ALIVE)
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX));
    let serving = server.serve(router.into_make_service_with_connect_info::<SocketAddr>());
    tokio::pin!(serving);
    tokio::select! {
        ended = &mut serving => return ended,
        () = shutdown.draining.cancelled() => handle.graceful_shutdown(None),
    }
    tokio::select! {
        ended = &mut serving => return ended,
        () = async { shutdown.expired.cancelled().await; tokio::time::sleep(LAST_WORDS).await } => handle.shutdown(),
    }
    serving.await
}

/// Lets a connection in, when there is room for it.
#[derive(Debug, Clone)]
struct Door(Arc<Counted>, CancellationToken);

#[derive(Debug)]
struct Counted {
    limits: ConnectionLimits,
    /// Proxies, each of which speaks for many.
    trusted: Vec<IpNet>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_address: HashMap<Address, usize>,
}

/// A connection's place, for as long as it lasts.
#[derive(Debug)]
struct Place(Arc<Counted>, Address);

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.all -= 1;
        if let Some(count) = open.by_address.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                open.by_address.remove(&self.1);
            }
        }
    }
}

impl Counted {
    fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let speaks_for_many = || self.trusted.iter().any(|network| network.contains(&address));
        let key = Address::from(address);
        let here = open.by_address.get(&key).copied().unwrap_or_default();
        let full = here >= self.limits.per_address && !speaks_for_many();
        if open.all >= self.limits.all || full {
            return None;
        }
        open.all += 1;
        open.by_address.insert(key, here + 1);
        Some(Place(Arc::clone(self), key))
    }
}

impl<S: Send + 'static> Accept<TcpStream, S> for Door {
    type Stream = TcpStream;
    type Service = AddExtension<S, Arc<Held>>;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let (counted, draining) = (Arc::clone(&self.0), self.1.clone());
        Box::pin(async move {
            // With Nagle's algorithm each second small write of a stream waits 40 ms.
            let _ = stream.set_nodelay(true);
            let peer = stream.peer_addr()?;
            let place = counted.enter(peer.ip().to_canonical()).ok_or_else(|| {
                tracing::debug!(%peer, "there are too many connections; this one is closed");
                io::Error::other("too many connections")
            })?;
            // The time for headers counts from the moment at which it is clear which HTTP is spoken.
            let heard = tokio::time::timeout(counted.limits.header_time, says_which(&stream));
            tokio::select! {
                heard = heard => heard??,
                () = draining.cancelled() => return Err(io::Error::other("the server is stopping")),
            }
            Ok((stream, AddExtension::new(service, Arc::new(Held { _place: place }))))
        })
    }
}

/// Waits until a client has said enough to tell HTTP/1 from HTTP/2.
async fn says_which(stream: &TcpStream) -> io::Result<()> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut said = [0; PREFACE.len()];
    let mut pause = Duration::from_millis(10);
    loop {
        let heard = stream.peek(&mut said).await?;
        let open = said.get(..heard).is_some_and(|said| heard < PREFACE.len() && PREFACE.starts_with(said));
        if heard == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !open {
            return Ok(());
        }
        // What was heard stays readable, so there is nothing to wait for but time.
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// Keeps a connection's place: its service has it, and ends with it.
#[derive(Debug)]
pub(super) struct Held {
    _place: Place,
}
