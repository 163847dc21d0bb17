//! The network of the daemon: HTTP/1.1 with keep-alive, plain or over TLS.
//!
//! One client for each endpoint, made anew when a file that its TLS rests on has changed. No proxy
//! of the environment is asked and no redirect followed: events go where the manifest says.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::Instant;

use super::transport::{
    Answer, CONNECT_TIMEOUT, Endpoint, MAX_ANSWER_BYTES, REQUEST_TIMEOUT, Request, Transport,
    TransportError,
};
use crate::federation::files::Files;
use crate::federation::tls::ClientTls;
use crate::federation::wire::{SIGNATURE_HEADER, STORE_HEADER, TIMESTAMP_HEADER};

/// Connections that are kept to one peer.
const KEPT: usize = 16;
/// How long a client that nobody uses is kept: it holds connections.
const UNUSED: Duration = Duration::from_secs(600);
/// Characters of a cause that are told.
const MAX_CAUSE: usize = 200;

/// Carries requests over sockets.
pub struct HttpTransport {
    files: Arc<Files>,
    clients: Mutex<HashMap<String, Kept>>,
}

struct Kept {
    client: reqwest::Client,
    /// The files that it was made from are held, so that their changes are noticed.
    tls: Option<ClientTls>,
    version: u64,
    used: Instant,
}

impl HttpTransport {
    /// A transport whose certificates are among `files`.
    pub fn new(files: Arc<Files>) -> Self {
        Self { files, clients: Mutex::default() }
    }

    fn client(&self, endpoint: &Endpoint) -> Result<reqwest::Client, TransportError> {
        let key = format!("{endpoint:?}");
        let version = *self.files.changes().borrow();
        let now = Instant::now();
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = clients.get_mut(&key)
            && (kept.tls.is_none() || kept.version == version)
        {
            kept.used = now;
            return Ok(kept.client.clone());
        }
        clients.retain(|_, kept| now.saturating_duration_since(kept.used) < UNUSED);
        let tls = endpoint.url.starts_with("https:").then(|| {
            let spec = endpoint.tls.clone().unwrap_or_default();
            ClientTls::open(&self.files, &spec)
        });
        let client = build(tls.as_ref())?;
        clients.insert(key, Kept { client: client.clone(), tls, version, used: now });
        Ok(client)
    }

    async fn carry(&self, request: Request) -> Result<Answer, TransportError> {
        let client = self.client(&request.endpoint)?;
        let url = format!("{}{}", request.endpoint.url.trim_end_matches('/'), request.path);
        let builder = match request.body {
            None => client.get(url),
            Some(body) => {
                let post = client
                    .post(url)
                    .header(reqwest::header::CONTENT_TYPE, "application/json")
                    .header(TIMESTAMP_HEADER, body.timestamp);
                let post = match body.signature {
                    Some(signature) => post.header(SIGNATURE_HEADER, signature),
                    None => post,
                };
                post.body(body.bytes)
            }
        };
        let response = builder.send().await.map_err(|error| explain(&error))?;
        let header = |name: &str| response.headers().get(name)?.to_str().ok().map(str::to_owned);
        let retry_after = header("retry-after").and_then(|text| text.trim().parse().ok());
        Ok(Answer {
            status: response.status().as_u16(),
            retry_after: retry_after.map(Duration::from_secs),
            store: header(STORE_HEADER),
            body: read(response).await?,
        })
    }
}

fn build(tls: Option<&ClientTls>) -> Result<reqwest::Client, TransportError> {
    let config = match tls {
        Some(tls) => tls.config().map_err(|error| TransportError::Config(error.to_string()))?,
        None => plain(),
    };
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(config)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .http1_only()
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        .pool_max_idle_per_host(KEPT)
        .user_agent(concat!("routerd/", env!("CARGO_PKG_VERSION")))
        .build();
    client.map_err(|error| TransportError::Config(cause(&error)))
}

/// For plain http: it trusts nobody, but the client wants to have one.
fn plain() -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the default versions")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}

async fn read(mut response: reqwest::Response) -> Result<Bytes, TransportError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| explain(&error))? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(TransportError::TooLarge(MAX_ANSWER_BYTES));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn explain(error: &reqwest::Error) -> TransportError {
    if is_tls(error) {
        TransportError::Tls(cause(error))
    } else if error.is_timeout() {
        let limit = if error.is_connect() { CONNECT_TIMEOUT } else { REQUEST_TIMEOUT };
        TransportError::Timeout(limit)
    } else if error.is_connect() {
        TransportError::Connect(cause(error))
    } else if error.is_builder() {
        TransportError::Config(cause(error))
    } else {
        TransportError::Broken(cause(error))
    }
}

/// Whether rustls stands somewhere among the causes. An I/O error hides what it was made of from
/// `source`, and one may hold another.
fn is_tls(error: &(dyn StdError + 'static)) -> bool {
    let within = |error: &std::io::Error| error.get_ref().is_some_and(|inner| is_tls(inner));
    error.is::<rustls::Error>()
        || error.downcast_ref::<std::io::Error>().is_some_and(within)
        || error.source().is_some_and(is_tls)
}

/// The last of the causes, which is the one that says something; without the URL.
fn cause(error: &(dyn StdError + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string().chars().filter(|c| !c.is_control()).take(MAX_CAUSE).collect()
}

impl Transport for HttpTransport {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Answer, TransportError>> {
        self.carry(request).boxed()
    }
}
