//! A proxy on loopback that loses what it is told to lose: whole requests, or the answers to requests that were obeyed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::extract::Request;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The request: the daemon never hears of it.
    Request,
    /// The answer to a request that the daemon obeyed.
    Answer,
}

#[derive(Default)]
struct Told {
    prefix: String,
    cut: Option<Cut>,
    bodies: Vec<(String, String)>,
}

/// A running proxy; it ends with this value.
pub struct Proxy {
    pub address: String,
    told: Arc<Mutex<Told>>,
    left: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Stands between whoever calls it and the daemon at this address.
    pub async fn start(daemon: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (told, left) = (Arc::<Mutex<Told>>::default(), Arc::<AtomicUsize>::default());
        let link = Link {
            daemon: daemon.to_owned(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            told: told.clone(),
            left: left.clone(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let link = link.clone();
                let service =
                    hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                        let link = link.clone();
                        async move { link.pass(request.map(Body::new)).await }
                    });
                connections.spawn(async move {
                    let serving = hyper::server::conn::http1::Builder::new();
                    let _ = serving.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, told, left, _tasks: tasks }
    }

    /// From now on loses this, of so many requests with this path, or below it if it ends with a `/`.
    pub fn cut(&self, prefix: &str, cut: Cut, count: usize) {
        let mut told = self.told.lock();
        (told.prefix, told.cut) = (prefix.to_owned(), Some(cut));
        self.left.store(count, Ordering::Relaxed);
    }

    /// How many more it would lose.
    pub fn cuts_left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }

    /// The bodies of the requests with this path, in order.
    pub fn bodies(&self, path: &str) -> Vec<String> {
        self.told.lock().bodies.iter().filter(|(of, _)| of == path).map(|(_, body)| body.clone()).collect()
    }
}

#[derive(Clone)]
struct Link {
    daemon: String,
    http: reqwest::Client,
    told: Arc<Mutex<Told>>,
    left: Arc<AtomicUsize>,
}

impl Link {
    async fn pass(&self, request: Request) -> std::io::Result<axum::response::Response> {
        let cut = self.cut_of(request.uri().path());
        if cut == Some(Cut::Request) {
            return Err(closed());
        }
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 64 << 20).await.map_err(std::io::Error::other)?;
        let text = String::from_utf8_lossy(&body).into_owned();
        self.told.lock().bodies.push((parts.uri.path().to_owned(), text));
        let url = format!("{}{}", self.daemon, parts.uri);
        let mut headers = parts.headers;
        headers.remove("host");
        let sent = self.http.request(parts.method, url).headers(headers).body(body).send().await;
        let answer = sent.map_err(std::io::Error::other)?;
        if cut == Some(Cut::Answer) {
            return Err(closed());
        }
        let mut response = axum::response::Response::builder().status(answer.status());
        for (name, value) in answer.headers().iter().filter(|(name, _)| *name != "transfer-encoding") {
            response = response.header(name, value);
        }
        let body = answer.bytes().await.map_err(std::io::Error::other)?;
        response.body(Body::from(body)).map_err(std::io::Error::other)
    }

    fn cut_of(&self, path: &str) -> Option<Cut> {
        let told = self.told.lock();
        let fits = path == told.prefix || told.prefix.ends_with('/') && path.starts_with(&told.prefix);
        let cut = told.cut.filter(|_| fits)?;
        let take = |left: usize| left.checked_sub(1);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok().map(|_| cut)
    }
}

fn closed() -> std::io::Error {
    std::io::Error::other("the proxy closes the connection")
}
