//! A bad network before a server: it cuts every connection after so many bytes of answers, a few more each time.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// The bad network. Its connections end with it.
pub struct Cutter {
    address: String,
    heard: Arc<Mutex<Vec<u8>>>,
    _tasks: JoinSet<()>,
}

impl Cutter {
    /// One before the server at this address, whose first connection lets through so many bytes of answers.
    pub async fn before(server: &str, first: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = server.strip_prefix("http://").unwrap().to_owned();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (mut tasks, requests) = (JoinSet::new(), heard.clone());
        tasks.spawn(async move {
            let (mut connections, mut left) = (JoinSet::new(), first);
            while let Ok((client, _)) = listener.accept().await {
                let upstream = TcpStream::connect(&server).await.unwrap();
                connections.spawn(carry(client, upstream, left, requests.clone()));
                left += first;
            }
        });
        Self { address, heard, _tasks: tasks }
    }

    pub fn address(&self) -> String {
        self.address.clone()
    }

    /// Whether any request had this in it, whatever its case.
    pub fn asked(&self, what: &str) -> bool {
        String::from_utf8_lossy(&self.heard.lock().unwrap()).to_lowercase().contains(what)
    }
}

async fn carry(mut client: TcpStream, mut server: TcpStream, mut left: usize, heard: Arc<Mutex<Vec<u8>>>) {
    let (mut up, mut down) = (vec![0; 4096], vec![0; 4096]);
    while left > 0 {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(read @ 1..) = read else { return };
                heard.lock().unwrap().extend_from_slice(&up[..read]);
                if server.write_all(&up[..read]).await.is_err() { return }
            }
            read = server.read(&mut down) => {
                let Ok(read @ 1..) = read else { return };
                let read = read.min(left);
                left -= read;
                if client.write_all(&down[..read]).await.is_err() { return }
            }
        }
    }
}
