//! The daemon that is measured: a process of its own over a seeded folder, and the few bytes of HTTP to talk to it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::identity::token::{OPERATOR_TOKEN, read_or_make};
use crate::state::layout::DataFolder;

/// How long a daemon may take to be ready before something must be wrong.
const READY_TIME_MAX: Duration = Duration::from_secs(120);
/// The longest answer of a daemon that a benchmark reads.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// A daemon; it ends when this is dropped.
pub struct Server {
    child: Child,
    /// Kept, so that what the daemon prints later has somewhere to go.
    _output: BufReader<ChildStdout>,
    /// Where it listens.
    pub address: String,
    /// The admin's token.
    pub admin: String,
    /// How long it took from its start to readiness.
    pub ready_after: Duration,
}

impl Server {
    /// Starts a daemon over this folder and waits until it is ready.
    #[expect(clippy::disallowed_methods, reason = "the daemon that is measured is a process of its own")]
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let keys = DataFolder::new(folder).keys();
        let begun = Instant::now();
        let mut child = std::process::Command::new(std::env::current_exe().context("find this program")?)
            .arg("serve")
            .arg("--data")
            .arg(folder)
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .context("start the daemon")?;
        let mut output = BufReader::new(child.stdout.take().context("read the daemon's output")?);
        let mut line = String::new();
        output.read_line(&mut line).context("read the daemon's address")?;
        let address = line.trim().rsplit_once("http://").map(|(_, address)| address.to_owned());
        let mut server = Self {
            child,
            _output: output,
            address: address.with_context(|| format!("the daemon said {line:?}"))?,
            admin: read_or_make(&keys, OPERATOR_TOKEN)?.reveal().to_owned(),
            ready_after: Duration::ZERO,
        };
        let mut connection = server.connect(&server.admin).await?;
        while connection.call("GET", "/ready", "").await?.0 != 200 {
            if begun.elapsed() > READY_TIME_MAX {
                bail!("the daemon is not ready after {READY_TIME_MAX:?}");
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        server.ready_after = begun.elapsed();
        Ok(server)
    }

    /// A connection with one principal's token.
    pub async fn connect(&self, token: &str) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(&self.address).await.context("connect")?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, token: token.to_owned(), request: Vec::new(), answer: Vec::new() })
    }

    /// A connection of an agent of this name, which is registered first.
    pub async fn connect_agent(&self, name: &str) -> anyhow::Result<Connection> {
        let mut admin = self.connect(&self.admin).await?;
        let body = format!("{{\"agentId\":\"{name}\"}}");
        let (status, answer) = admin.call("POST", "/admin/agents", &body).await?;
        let answer: serde_json::Value = serde_json::from_slice(answer)?;
        let key = answer["key"]
            .as_str()
            .with_context(|| format!("agent {name} was not registered: {status} {answer}"))?;
        self.connect(key).await
    }

    /// The daemon's resident memory in MiB.
    pub fn rss_mb(&self) -> f64 {
        super::report::rss_mb_of(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is ours, it may be gone already, and nobody needs its last words.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One connection: a request at a time, with as little work as possible, since it shares the machine with the daemon.
pub struct Connection {
    stream: TcpStream,
    token: String,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Connection {
    /// Sends a request with a JSON body (or none) and reads the answer: its status and body.
    pub async fn call(&mut self, method: &str, path: &str, body: &str) -> anyhow::Result<(u16, &[u8])> {
        self.request.clear();
        let token = &self.token;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: mrx\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.request.extend_from_slice(head.as_bytes());
        self.request.extend_from_slice(body.as_bytes());
        self.stream.write_all(&self.request).await?;
        self.read_answer().await
    }

    async fn read_answer(&mut self) -> anyhow::Result<(u16, &[u8])> {
        self.answer.clear();
        loop {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                bail!("the daemon closed the connection");
            }
            let Some(head) = memchr::memmem::find(&self.answer, b"\r\n\r\n") else { continue };
            let status = std::str::from_utf8(&self.answer[9..12])?.parse()?;
            let length = content_length(&self.answer[..head]);
            if length > ANSWER_BYTES_MAX {
                bail!("the daemon's answer has {length} bytes");
            }
            while self.answer.len() < head + 4 + length {
                if self.stream.read_buf(&mut self.answer).await? == 0 {
                    bail!("the daemon closed the connection");
                }
            }
            return Ok((status, &self.answer[head + 4..head + 4 + length]));
        }
    }

    /// Begins a stream of server-sent events; the stream's bytes follow.
    pub async fn events(mut self, path: &str) -> anyhow::Result<TcpStream> {
        let token = &self.token;
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: mrx\r\nauthorization: Bearer {token}\r\naccept: text/event-stream\r\n\r\n"
        );
        self.stream.write_all(head.as_bytes()).await?;
        while memchr::memmem::find(&self.answer, b"\r\n\r\n").is_none() {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                bail!("the daemon closed the connection");
            }
        }
        Ok(self.stream)
    }
}

fn content_length(head: &[u8]) -> usize {
    const NAME: &[u8] = b"content-length:";
    let value = head.split(|byte| *byte == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked(NAME.len())?;
        name.eq_ignore_ascii_case(NAME).then_some(value)
    });
    value.and_then(|value| std::str::from_utf8(value).ok()?.trim().parse().ok()).unwrap_or(0)
}
