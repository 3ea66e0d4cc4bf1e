//! Takes connections and serves them until it is told to stop; then lets what is under way end.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower::Service;

use super::client_address::ClientAddress;
use super::stopping::Stopping;

/// Connections at once; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 4096;
/// How long a client may take to send its headers.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(30);
/// How long requests under way may go on when the daemon stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Listens on an address.
pub async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until `stop` says so.
pub async fn serve(listener: TcpListener, router: Router, stop: watch::Receiver<bool>) {
    let stopping = Stopping::new(stop);
    let told = stopping.clone().told();
    tokio::pin!(told);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, peer)) => {
                    // Small answers should leave at once.
                    let _ = stream.set_nodelay(true);
                    connections.spawn(connection(stream, ClientAddress(peer.ip()), router.clone(), stopping.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            () = &mut told => break,
        }
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_TIMEOUT, drained).await.is_err() {
        connections.abort_all();
    }
}

async fn connection(
    stream: tokio::net::TcpStream,
    address: ClientAddress,
    router: Router,
    stopping: Stopping,
) {
    let stop = stopping.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(address);
        request.extensions_mut().insert(stopping.clone());
        let (answering, stopping) = (router.clone().call(request), stopping.clone());
        async move { answering.await.map(|answer| stopping.ends(answer)) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADERS_TIMEOUT).pipeline_flush(true);
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    tokio::select! {
        biased;
        // A broken connection is the client's affair.
        _ = serving.as_mut() => {}
        () = stop.told() => {
            serving.as_mut().graceful_shutdown();
            let _ = serving.await;
        }
    }
}
