//! https out of the files that manifests name, both ends.
//!
//! A configuration is made from what the files hold now; whoever keeps one asks for another when
//! [`Files`] tells of a change. The cryptography is ring's; there is no other provider to choose.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::files::{Access, File, FileError, Files};
use crate::api::kinds::federation::{ListenTls, PeerTls};

mod named;

/// Why there is no configuration. Each names the file and the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be used.
    #[error("{field}: {source}")]
    File {
        /// The field that names it.
        field: &'static str,
        /// What is wrong with it.
        source: FileError,
    },
    /// A file holds something else.
    #[error("{field}: {path} is not what is needed there: {why}")]
    Content {
        /// The field.
        field: &'static str,
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// The files do not go together.
    #[error("{field}: {why}")]
    Mismatch {
        /// The field.
        field: &'static str,
        /// What rustls says.
        why: String,
    },
    /// Whom to trust is not said.
    #[error(
        "tls.caFile: an https endpoint needs the CA of the peer's certificate; name its PEM file, or the system's bundle such as /etc/ssl/certs/ca-certificates.crt"
    )]
    NoCa,
}

/// The field that says whose certificates a listener asks for.
const CLIENT_CA: &str = "listen.tls.clientCAFile";

impl TlsError {
    /// Whether it is not known which clients are to be trusted.
    pub fn is_about_clients(&self) -> bool {
        match self {
            Self::File { field, .. }
            | Self::Content { field, .. }
            | Self::Mismatch { field, .. } => *field == CLIENT_CA,
            Self::NoCa => false,
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A file in the field that names it.
#[derive(Debug, Clone)]
struct Named {
    field: &'static str,
    file: Arc<File>,
}

impl Named {
    fn open(files: &Files, field: &'static str, path: &str, access: Access) -> Self {
        Self { field, file: files.open(path, access) }
    }

    fn error(&self, why: impl std::fmt::Display) -> TlsError {
        let path = self.file.path().display().to_string();
        TlsError::Content { field: self.field, path, why: why.to_string() }
    }

    fn content(&self) -> Result<super::files::Content, TlsError> {
        let file = |source| TlsError::File { field: self.field, source };
        self.file.content().map_err(file)
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let content = self.content()?;
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&content).collect();
        let found = found.map_err(|error| self.error(error))?;
        if found.is_empty() {
            return Err(self.error("no PEM certificate in it"));
        }
        Ok(found)
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        let content = self.content()?;
        PrivateKeyDer::from_pem_slice(&content).map_err(|_| self.error("no PEM private key in it"))
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates()? {
            roots.add(certificate).map_err(|error| self.error(error))?;
        }
        Ok(roots)
    }
}

/// A certificate and its key.
#[derive(Debug, Clone)]
struct Identity {
    certificate: Named,
    key: Named,
}

impl Identity {
    fn open(files: &Files, fields: [&'static str; 2], certificate: &str, key: &str) -> Self {
        let [certificate_field, key_field] = fields;
        Self {
            certificate: Named::open(files, certificate_field, certificate, Access::Public),
            key: Named::open(files, key_field, key, Access::Private),
        }
    }

    fn mismatch(&self, error: &rustls::Error) -> TlsError {
        TlsError::Mismatch {
            field: self.key.field,
            why: format!(
                "{} and {} do not go together: {error}",
                self.certificate.file.path().display(),
                self.key.file.path().display()
            ),
        }
    }
}

/// The files of a listener.
#[derive(Debug, Clone)]
pub struct ServerTls {
    identity: Identity,
    client_ca: Option<Named>,
}

impl ServerTls {
    /// Holds the files that `spec.listen.tls` names. Touches the disk.
    pub fn open(files: &Files, spec: &ListenTls) -> Self {
        let fields = ["listen.tls.certFile", "listen.tls.keyFile"];
        Self {
            identity: Identity::open(files, fields, &spec.cert_file, &spec.key_file),
            client_ca: spec
                .client_ca_file
                .as_ref()
                .map(|path| Named::open(files, CLIENT_CA, path, Access::Public)),
        }
    }

    /// Whether peers must show a certificate.
    pub fn is_mutual(&self) -> bool {
        self.client_ca.is_some()
    }

    /// The configuration of the present files.
    pub fn config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("ring has the default versions");
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(ca) => {
                let roots = Arc::new(ca.roots()?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
                builder.with_client_cert_verifier(verifier.build().map_err(|e| ca.error(e))?)
            }
        };
        let (chain, key) = (self.identity.certificate.certificates()?, self.identity.key.key()?);
        let config = builder.with_single_cert(chain, key);
        let mut config = config.map_err(|error| self.identity.mismatch(&error))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// The files of a peering.
#[derive(Debug, Clone)]
pub struct ClientTls {
    ca: Option<Named>,
    identity: Option<Identity>,
    server_name: Option<String>,
}

impl ClientTls {
    /// Holds the files that an EventPeer's `spec.tls` names. Touches the disk.
    pub fn open(files: &Files, spec: &PeerTls) -> Self {
        let pair = spec.cert_file.as_ref().zip(spec.key_file.as_ref());
        Self {
            ca: spec
                .ca_file
                .as_ref()
                .map(|path| Named::open(files, "tls.caFile", path, Access::Public)),
            identity: pair.map(|(certificate, key)| {
                Identity::open(files, ["tls.certFile", "tls.keyFile"], certificate, key)
            }),
            server_name: spec.server_name.clone(),
        }
    }

    /// The configuration of the present files. With a `serverName` that is the name looked for in
    /// the peer's certificate, whatever the URL says.
    pub fn config(&self) -> Result<ClientConfig, TlsError> {
        let ca = self.ca.as_ref().ok_or(TlsError::NoCa)?;
        let roots = Arc::new(ca.roots()?);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider())
            .build()
            .map_err(|error| ca.error(error))?;
        let verifier: Arc<dyn rustls::client::danger::ServerCertVerifier> = match &self.server_name
        {
            None => verifier,
            Some(name) => {
                let parsed =
                    ServerName::try_from(name.clone()).map_err(|_| TlsError::Mismatch {
                        field: "tls.serverName",
                        why: format!("{name:?} is neither a host name nor an address"),
                    })?;
                Arc::new(named::Verifier::new(verifier, parsed))
            }
        };
        // Not less strict than the default: it is the same verifier, with the name to look for.
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("ring has the default versions")
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let Some(identity) = &self.identity else { return Ok(builder.with_no_client_auth()) };
        let (chain, key) = (identity.certificate.certificates()?, identity.key.key()?);
        let config = builder.with_client_auth_cert(chain, key);
        config.map_err(|error| identity.mismatch(&error))
    }
}

/// The names for which a peer's certificate speaks: its DNS names, as they stand there. One with a
/// wildcard names nobody.
pub fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(parsed) = webpki::EndEntityCert::try_from(certificate) else { return Vec::new() };
    parsed.valid_dns_names().filter(|name| !name.starts_with('*')).map(ToOwned::to_owned).collect()
}

#[cfg(test)]
mod tests;
