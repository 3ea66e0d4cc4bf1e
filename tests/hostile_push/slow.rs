//! Pushes whose sender is let in and takes its time: part of the body, a pause in which something happens, and the rest.

use base64::Engine;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::HELLO;

use super::Site;

/// A push that the daemon has begun to read.
pub struct Slow {
    socket: TcpStream,
    rest: Vec<u8>,
}

impl Slow {
    /// Lets the daemon look the key up and ask for the body, of which half is sent.
    pub async fn begin(site: &Site, key: &str, body: &[u8]) -> Self {
        let address = site.world.address().replace("http://", "");
        let mut socket = TcpStream::connect(&address).await.unwrap();
        let key = base64::engine::general_purpose::STANDARD.encode(format!("me:{key}"));
        let head = format!(
            "POST /git/{HELLO}.git/git-receive-pack HTTP/1.1\r\nHost: {address}\r\nAuthorization: Basic {key}\r\n\
             Content-Length: {}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
            body.len()
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut told = [0; 25];
        socket.read_exact(&mut told).await.unwrap();
        assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n", "the daemon reads the body of whoever is let in");
        socket.write_all(&body[..body.len() / 2]).await.unwrap();
        Self { socket, rest: body[body.len() / 2..].to_vec() }
    }

    /// Sends the rest; tells the answer.
    pub async fn end(mut self) -> String {
        self.socket.write_all(&self.rest).await.unwrap();
        let mut said = Vec::new();
        self.socket.read_to_end(&mut said).await.unwrap();
        String::from_utf8_lossy(&said).into_owned()
    }
}
