//! A client that sends bytes and reads answers, so that a test can say anything at all.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// A connection; several answers may come on it.
pub struct Client<S = TcpStream> {
    stream: S,
    read: Vec<u8>,
}

/// One answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Client {
    pub async fn connect(at: SocketAddr) -> std::io::Result<Self> {
        Ok(Self::over(TcpStream::connect(at).await?))
    }

    /// A connection that comes from another loopback address.
    pub async fn connect_from(from: &str, at: SocketAddr) -> std::io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(from.parse().unwrap(), 0))?;
        Ok(Self::over(socket.connect(at).await?))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub fn over(stream: S) -> Self {
        Self { stream, read: Vec::new() }
    }

    pub async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// The next answer; `None` when the other side hung up before it was whole.
    pub async fn answer(&mut self) -> Option<Answer> {
        loop {
            if let Some(answer) = self.whole() {
                return Some(answer);
            }
            let mut piece = [0; 4096];
            match self.stream.read(&mut piece).await {
                Ok(0) | Err(_) => return None,
                Ok(read) => self.read.extend_from_slice(&piece[..read]),
            }
        }
    }

    pub async fn ask(&mut self, bytes: &[u8]) -> Option<Answer> {
        self.send(bytes).await.ok()?;
        self.answer().await
    }

    /// Whether the other side has hung up, as soon as it does.
    pub async fn ended(&mut self) -> bool {
        let mut piece = [0; 1];
        matches!(self.stream.read(&mut piece).await, Ok(0) | Err(_))
    }

    fn whole(&mut self) -> Option<Answer> {
        let end = self.read.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&self.read[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
        if self.read.len() < end + length {
            return None;
        }
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let body = String::from_utf8_lossy(&self.read[end..end + length]).into_owned();
        self.read.drain(..end + length);
        Some(Answer { status, head, body })
    }
}

/// The status that a request gets on a connection of its own; 0 if there is no answer.
pub async fn status(at: SocketAddr, bytes: &[u8]) -> u16 {
    let Ok(mut client) = Client::connect(at).await else { return 0 };
    client.ask(bytes).await.map_or(0, |answer| answer.status)
}
