//! Where remotes are: bare repositories in a folder, also over HTTP by git's own programs, for those who show a credential.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path as UrlPath, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use crate::world::git;

/// A bare repository that is somebody else's.
pub struct Host {
    folder: tempfile::TempDir,
}

impl Host {
    /// Without any branch.
    pub async fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let said = git(folder.path(), &["init", "-q", "--bare", "--initial-branch=main", "state.git"]).await;
        assert!(said.ok, "{}", said.text);
        Self { folder }
    }

    /// With a first branch, as a person has pushed it.
    pub async fn begun() -> Self {
        let host = Self::empty().await;
        host.begin().await;
        host
    }

    /// Somebody pushes `main`.
    pub async fn begin(&self) {
        let said = git(self.folder.path(), &["clone", "-q", "state.git", "first"]).await;
        assert!(said.ok, "{}", said.text);
        let first = self.folder.path().join("first");
        let who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"];
        for arguments in
            [&["commit", "-q", "--allow-empty", "-m", "Begin"][..], &["push", "-q", "origin", "HEAD:main"]]
        {
            let said = git(&first, &[&who[..], arguments].concat()).await;
            assert!(said.ok, "{}", said.text);
        }
    }

    pub fn repo(&self) -> PathBuf {
        self.folder.path().join("state.git")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn url(&self) -> String {
        format!("file://{}", self.repo().display())
    }

    /// What git says in it.
    pub async fn git(&self, arguments: &[&str]) -> String {
        let said = git(&self.repo(), arguments).await;
        assert!(said.ok, "git {arguments:?}: {}", said.text);
        said.text.trim().to_owned()
    }

    /// Somebody's copy of the branch, to change.
    pub async fn copy(&self, name: &str) -> PathBuf {
        let said = git(self.folder.path(), &["clone", "-q", "-b", "mrx/state", "state.git", name]).await;
        assert!(said.ok, "{}", said.text);
        self.folder.path().join(name)
    }

    /// Commits all that is changed in a copy, and pushes it to the branch.
    pub async fn merge(&self, copy: &Path, message: &str) {
        let who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"];
        for arguments in [
            &["add", "-A"][..],
            &["commit", "-q", "-m", message],
            &["push", "-q", "origin", "HEAD:mrx/state"],
        ] {
            let said = git(copy, &[&who[..], arguments].concat()).await;
            assert!(said.ok, "{arguments:?}: {}", said.text);
        }
    }
}

/// The same over HTTP.
pub struct Server {
    pub address: String,
    /// The `Authorization` of every request.
    pub shown: Arc<Mutex<Vec<Option<String>>>>,
    _tasks: JoinSet<()>,
}

#[derive(Clone)]
struct Served {
    repo: PathBuf,
    wanted: String,
    shown: Arc<Mutex<Vec<Option<String>>>>,
}

impl Server {
    /// Serves a host's repository to those who send `Basic` with this.
    pub async fn of(host: &Host, wanted: &str) -> Self {
        let shown = Arc::new(Mutex::new(Vec::new()));
        let served = Served { repo: host.repo(), wanted: format!("Basic {wanted}"), shown: shown.clone() };
        let router = Router::new()
            .route("/state.git/info/refs", get(refs))
            .route("/state.git/{service}", post(serve))
            .with_state(served);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, shown, _tasks: tasks }
    }
}

impl Served {
    fn admits(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
        self.shown.lock().unwrap().push(shown.clone());
        shown.as_ref() == Some(&self.wanted)
    }

    #[expect(clippy::disallowed_methods, reason = "a host of git runs git")]
    async fn run(&self, service: &str, advertise: bool, input: &[u8]) -> Vec<u8> {
        let mut command = tokio::process::Command::new("git");
        command
            .arg(service)
            .arg("--stateless-rpc")
            .args(advertise.then_some("--advertise-refs"))
            .arg(&self.repo);
        command.env("GIT_CONFIG_GLOBAL", "/dev/null");
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let feed = async {
            // One that has enough stops reading.
            let _ = stdin.write_all(input).await;
            drop(stdin);
        };
        let (output, ()) = tokio::join!(child.wait_with_output(), feed);
        output.unwrap().stdout
    }
}

fn unauthorized() -> Response {
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=\"host\"")]).into_response()
}

async fn refs(State(served): State<Served>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    if !served.admits(&headers) {
        return unauthorized();
    }
    let service = query.unwrap_or_default().replace("service=git-", "");
    let line = format!("# service=git-{service}\n");
    let mut body = format!("{:04x}{line}0000", line.len() + 4).into_bytes();
    body.extend(served.run(&service, true, b"").await);
    ([(header::CONTENT_TYPE, format!("application/x-git-{service}-advertisement"))], body).into_response()
}

async fn serve(
    State(served): State<Served>,
    UrlPath(service): UrlPath<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !served.admits(&headers) {
        return unauthorized();
    }
    let service = service.replace("git-", "");
    let mut input = Vec::new();
    if headers.get(header::CONTENT_ENCODING).is_some_and(|value| value == "gzip") {
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&body[..]), &mut input).unwrap();
    } else {
        input.extend_from_slice(&body);
    }
    let answer = served.run(&service, false, &input).await;
    ([(header::CONTENT_TYPE, format!("application/x-git-{service}-result"))], answer).into_response()
}
