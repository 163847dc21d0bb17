//! The client of the control socket.
//!
//! One request a connection: commands are short, and a connection costs a few microseconds.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{BoxStream, Stream};
use futures::{StreamExt, TryStreamExt};
use http_body_util::{BodyExt, BodyStream, Full, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, Uri, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::backend::EffectiveRevision;
use super::error::{ApiError, Enveloped, Reason};
use super::server::{DIGEST_HEADER, REVISION_HEADER, SERVER_HEADER};

/// How long the daemon may take to answer, beyond what the request itself asks for.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the socket may take to connect: only a daemon that is stopped or swamped takes longer.
const CONNECT: Duration = Duration::from_secs(5);
/// Bytes of a refusal that are read.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// A daemon's socket.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
    patience: Duration,
}

/// Why the daemon gave no answer, or refused.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no socket, or nobody listens on it.
    #[error("no routerd answers on {}", .0.display())]
    NoDaemon(PathBuf),
    /// The socket's mode keeps us out.
    #[error("no permission for the control socket {}", .0.display())]
    NoPermission(PathBuf),
    /// The daemon is there and does not answer in time.
    #[error("routerd on {} does not answer within {wait:?}", path.display())]
    Stalled {
        /// The socket.
        path: PathBuf,
        /// How long was waited.
        wait: Duration,
    },
    /// Something else listens there.
    #[error("what answers on {} is not a routerd", .0.display())]
    NotRouterd(PathBuf),
    /// The connection broke.
    #[error("the connection to routerd on {} broke: {why}", path.display())]
    Broken {
        /// The socket.
        path: PathBuf,
        /// How.
        why: String,
    },
    /// The daemon refused.
    #[error(transparent)]
    Refused(#[from] ApiError),
}

impl ClientError {
    /// Whether it is certain that the request had no effect because nobody took it.
    pub fn is_unanswered(&self) -> bool {
        matches!(self, Self::NoDaemon(_))
    }

    /// The way out, if one is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoDaemon(_) => Some("start routerd serve, or check --socket and --state".into()),
            Self::NoPermission(_) => {
                Some("run as root, or as a member of the socket's group".to_owned())
            }
            Self::Stalled { .. } => Some(
                "the process is there, but stopped or too busy: let it go on (kill -CONT), see its \
                 log, or restart it"
                    .to_owned(),
            ),
            Self::NotRouterd(_) => Some("check --socket".to_owned()),
            Self::Broken { .. } => Some("routerd may have been restarted; try again".to_owned()),
            Self::Refused(error) => error.hint.clone(),
        }
    }
}

/// A path and query, encoded as it is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    text: String,
    has_query: bool,
}

impl Target {
    /// A fixed path, such as `/v1/objects`.
    pub fn new(path: &'static str) -> Self {
        Self { text: path.to_owned(), has_query: false }
    }

    /// One more segment of the path.
    #[must_use]
    pub fn segment(mut self, segment: &str) -> Self {
        self.text.push('/');
        self.encode(segment);
        self
    }

    /// One more member of the query.
    #[must_use]
    pub fn query(mut self, name: &'static str, value: &str) -> Self {
        self.text.push(if self.has_query { '&' } else { '?' });
        self.has_query = true;
        self.text.push_str(name);
        self.text.push('=');
        self.encode(value);
        self
    }

    fn encode(&mut self, text: &str) {
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                self.text.push(char::from(byte));
            } else {
                let digits = |nibble: u8| char::from(b"0123456789ABCDEF"[usize::from(nibble)]);
                self.text.extend(['%', digits(byte >> 4), digits(byte & 15)]);
            }
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// A body that is read as it comes.
pub type Chunks = BoxStream<'static, Result<Bytes, ClientError>>;

impl Client {
    /// A client of the socket at this path.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into(), patience: PATIENCE }
    }

    /// The same, which gives up sooner or later.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// A GET that answers with JSON.
    pub async fn get<T: DeserializeOwned>(&self, path: &Target) -> Result<T, ClientError> {
        let response = self.send(Method::GET, path, Full::new(Bytes::new()), self.patience).await?;
        self.json(response).await
    }

    /// A GET whose answer is read as it comes.
    pub async fn get_chunks(&self, path: &Target) -> Result<Chunks, ClientError> {
        let response = self.send(Method::GET, path, Full::new(Bytes::new()), self.patience).await?;
        Ok(self.chunks(response.into_body()))
    }

    /// The effective config as text, and which revision of it that is.
    pub async fn get_rendered(
        &self,
        path: &Target,
    ) -> Result<(Bytes, Option<EffectiveRevision>), ClientError> {
        let response = self.send(Method::GET, path, Full::new(Bytes::new()), self.patience).await?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let revision = header(REVISION_HEADER).and_then(|number| number.parse().ok());
        let digest = header(DIGEST_HEADER).map(str::to_owned);
        let revision =
            revision.zip(digest).map(|(revision, digest)| EffectiveRevision { revision, digest });
        let mut chunks = self.chunks(response.into_body());
        let mut text = Vec::new();
        while let Some(chunk) = chunks.next().await {
            text.extend_from_slice(&chunk?);
        }
        Ok((text.into(), revision))
    }

    /// A POST of JSON that answers with JSON. `extra` is how long the request itself asks the
    /// daemon to take.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &Target,
        body: &impl Serialize,
        extra: Duration,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| self.broken(&error))?;
        let body = Full::new(Bytes::from(body));
        let response = self.send(Method::POST, path, body, self.patience + extra).await?;
        self.json(response).await
    }

    /// A POST of a stream, answered by a stream: both go on at once. An answer may take as long as
    /// the next piece of the request does.
    pub async fn post_chunks<S>(&self, path: &Target, body: S) -> Result<Chunks, ClientError>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let body = StreamBody::new(body.map_ok(Frame::data).boxed());
        let response = self.send(Method::POST, path, body, self.patience).await?;
        Ok(self.chunks(response.into_body()))
    }

    async fn send<B>(
        &self,
        method: Method,
        path: &Target,
        body: B,
        wait: Duration,
    ) -> Result<Response<Incoming>, ClientError>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let uri: Uri = path.text.parse().map_err(|error| self.broken(&error))?;
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header(header::HOST, "routerd")
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|error| self.broken(&error))?;
        let stream = self.connect().await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(&error))?;
        // Driven here until there is an answer, for to hand each step to another task takes as long
        // as the answer. Its errors reach us through the response; a connection that ends is no
        // error by itself.
        let mut connection = Box::pin(connection);
        let mut ended = false;
        let answered = tokio::time::timeout(wait, async {
            let mut answer = std::pin::pin!(sender.send_request(request));
            loop {
                tokio::select! {
                    biased;
                    answer = answer.as_mut() => return answer,
                    _ = connection.as_mut(), if !ended => ended = true,
                }
            }
        });
        let response = answered
            .await
            .map_err(|_| self.stalled(wait))?
            .map_err(|error| self.not_http(&error))?;
        if !ended {
            // The rest of the body.
            tokio::spawn(connection);
        }
        if !response.headers().contains_key(SERVER_HEADER) {
            return Err(ClientError::NotRouterd(self.socket.clone()));
        }
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(self.refusal(response).await)
        }
    }

    async fn connect(&self) -> Result<UnixStream, ClientError> {
        match tokio::time::timeout(CONNECT, UnixStream::connect(&self.socket)).await {
            Err(_) => Err(self.stalled(CONNECT)),
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(match error.kind() {
                io::ErrorKind::NotFound
                | io::ErrorKind::ConnectionRefused
                | io::ErrorKind::NotADirectory => ClientError::NoDaemon(self.socket.clone()),
                io::ErrorKind::PermissionDenied => ClientError::NoPermission(self.socket.clone()),
                // A full backlog: the daemon is stopped, or swamped.
                io::ErrorKind::WouldBlock => self.stalled(Duration::ZERO),
                _ => self.broken(&error),
            }),
        }
    }

    async fn refusal(&self, response: Response<Incoming>) -> ClientError {
        let status = response.status();
        let body = http_body_util::Limited::new(response.into_body(), MAX_ERROR_BYTES);
        let body = match tokio::time::timeout(self.patience, body.collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            _ => Bytes::new(),
        };
        match serde_json::from_slice::<Enveloped>(&body) {
            Ok(Enveloped { error }) => error.into(),
            Err(_) => ApiError::new(Reason::Internal, format!("routerd answered {status}")).into(),
        }
    }

    async fn json<T: DeserializeOwned>(
        &self,
        response: Response<Incoming>,
    ) -> Result<T, ClientError> {
        let body = tokio::time::timeout(self.patience, response.into_body().collect()).await;
        let body = body
            .map_err(|_| self.stalled(self.patience))?
            .map_err(|error| self.broken(&error))?
            .to_bytes();
        serde_json::from_slice(&body).map_err(|error| self.broken(&error))
    }

    fn chunks(&self, body: Incoming) -> Chunks {
        let client = self.clone();
        let frames = BodyStream::new(body);
        TryStreamExt::map_err(frames, move |error| client.broken(&error))
            .try_filter_map(|frame| async move { Ok(frame.into_data().ok()) })
            .boxed()
    }

    fn stalled(&self, wait: Duration) -> ClientError {
        ClientError::Stalled { path: self.socket.clone(), wait }
    }

    fn broken(&self, error: &dyn std::error::Error) -> ClientError {
        ClientError::Broken { path: self.socket.clone(), why: super::error::with_sources(error) }
    }

    fn not_http(&self, error: &hyper::Error) -> ClientError {
        if error.is_parse() {
            ClientError::NotRouterd(self.socket.clone())
        } else {
            self.broken(error)
        }
    }
}
