//! Serving: accepting connections, and ending without losing what was accepted.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use axum::{Extension, Router};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tower::{Service, ServiceExt};

use crate::base::Scheme;
use crate::connection::ImpatientWriter;
use crate::telemetry::Peer;
use crate::{AppState, Certificates, Timeouts, app};

/// Why a server does not run.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {cause}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why not.
        cause: io::Error,
    },
    /// Requests were still running when the time for the end was up.
    #[error("{0} connections were still busy when the time to finish was up")]
    Unfinished(usize),
}

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    state: AppState,
    tls: Option<Certificates>,
}

impl Server {
    /// Listens on `address`; port 0 takes any that is free. With certificates it speaks HTTPS only.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn bind(
        address: SocketAddr,
        state: AppState,
        certificates: Option<&Certificates>,
    ) -> Result<Self, ServeError> {
        let failed = |cause| ServeError::Bind { address, cause };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, state, tls: certificates.cloned() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` completes, then finishes what was accepted.
    ///
    /// The end has four steps. First the server says that it is not ready and that connections close after their
    /// reply, while it still accepts, so that clients and load balancers turn away by themselves. Then it takes what has
    /// already connected and stops listening. Then it gives connections that have asked nothing yet a moment to do so,
    /// for their requests may be on the way. Then it waits for the requests that it has.
    ///
    /// # Errors
    /// [`ServeError::Unfinished`] when requests outlast [`Timeouts::shutdown`].
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        let Self { listener, state, tls, .. } = self;
        let follower = tokio::spawn(state.clone().follow());
        let renewal = tls.clone().map(|certificates| tokio::spawn(certificates.follow()));
        let connections = Connections {
            router: app(state.clone()).layer(Extension(if tls.is_some() {
                Scheme::Https
            } else {
                Scheme::Http
            })),
            timeouts: state.config().timeouts,
            tls,
            graceful: GracefulShutdown::new(),
            places: Arc::new(Semaphore::new(state.config().limits.connections.max(1))),
        };
        tokio::select! {
            () = connections.accept(&listener) => {}
            () = stop => {}
        }
        tracing::info!(
            "stopping: no new connections after a moment, accepted requests are finished"
        );
        state.start_draining();
        let drain = state.config().timeouts.drain;
        let _ = timeout(drain, connections.accept(&listener)).await;
        // Polled once more for each: what the operating system holds for us has connected too.
        while let Ok(Ok((stream, peer))) = timeout(Duration::ZERO, listener.accept()).await {
            let Ok(place) = connections.places.clone().try_acquire_owned() else { break };
            connections.welcome(stream, peer.ip(), place);
        }
        drop(listener);
        follower.abort();
        if let Some(renewal) = renewal {
            renewal.abort();
        }
        connections.settle(drain).await;
        let outcome = connections.finish().await;
        if let Some(audit) = state.config().audit.clone() {
            let _ = tokio::task::spawn_blocking(move || audit.flush()).await;
        }
        outcome
    }
}

struct Connections {
    router: Router,
    timeouts: Timeouts,
    tls: Option<Certificates>,
    graceful: GracefulShutdown,
    places: Arc<Semaphore>,
}

impl Connections {
    /// Accepts connections for ever.
    async fn accept(&self, listener: &TcpListener) {
        loop {
            let Ok(place) = self.places.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, peer)) => self.welcome(stream, peer.ip(), place),
                Err(error) => {
                    // Out of file descriptors, or a client that left the queue: neither ends the server.
                    tracing::warn!(%error, "a connection was not accepted");
                    sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn welcome(&self, stream: TcpStream, peer: IpAddr, place: OwnedSemaphorePermit) {
        // Replies are written in large pieces; waiting to fill a segment only delays their ends.
        let _ = stream.set_nodelay(true);
        let stream = ImpatientWriter::new(stream, self.timeouts.write_stall);
        let tls = self.tls.as_ref().map(|certificates| TlsAcceptor::from(certificates.current()));
        let head = self.timeouts.head;
        let watcher = self.graceful.watcher();
        let router = self.router.clone().map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            request
        });
        tokio::spawn(async move {
            let _place = place;
            match tls {
                None => serve_connection(stream, router, head, watcher).await,
                Some(tls) => match timeout(head, tls.accept(stream)).await {
                    Ok(Ok(stream)) => serve_connection(stream, router, head, watcher).await,
                    Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                    Err(_) => tracing::debug!("a TLS handshake took too long"),
                },
            }
        });
    }

    /// Waits until every connection has ended by itself, as one does after a reply that closes it, or the time is up.
    async fn settle(&self, time: Duration) {
        let settled = async {
            while self.graceful.count() > 0 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = timeout(time, settled).await;
    }

    /// Waits for the connections to end.
    async fn finish(self) -> Result<(), ServeError> {
        let Self { graceful, timeouts, places, .. } = self;
        match timeout(timeouts.shutdown, graceful.shutdown()).await {
            Ok(()) => Ok(()),
            // Every open connection holds its place, and with it a reference to the places.
            Err(_) => Err(ServeError::Unfinished(Arc::strong_count(&places) - 1)),
        }
    }
}

async fn serve_connection<S, R>(
    stream: S,
    router: R,
    head: Duration,
    watcher: hyper_util::server::graceful::Watcher,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    R: Service<Request<Incoming>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    R::Future: Send,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended early");
    }
}
