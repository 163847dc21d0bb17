//! A certificate authority of a test's own, and what it signs, in a temporary directory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::api::kinds::federation::{ListenTls, PeerTls};

/// A CA and what it signs, in a directory.
pub struct Authority {
    directory: tempfile::TempDir,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        fs::write(directory.path().join("ca.pem"), certificate.pem()).unwrap();
        Self { directory, issuer: rcgen::Issuer::new(params, key) }
    }

    pub fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// `NAME.pem` and `NAME.key` for these names.
    pub fn issue(&self, name: &str, names: &[&str]) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(names).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        let path = self.path(&format!("{name}.key"));
        fs::write(&path, key.serialize_pem()).unwrap();
        fs::set_permissions(Path::new(&path), fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub fn listen(&self, name: &str, mutual: bool) -> ListenTls {
        ListenTls {
            cert_file: self.path(&format!("{name}.pem")),
            key_file: self.path(&format!("{name}.key")),
            client_ca_file: mutual.then(|| self.path("ca.pem")),
        }
    }

    pub fn peer(&self, identity: Option<&str>, server_name: Option<&str>) -> PeerTls {
        PeerTls {
            ca_file: Some(self.path("ca.pem")),
            cert_file: identity.map(|name| self.path(&format!("{name}.pem"))),
            key_file: identity.map(|name| self.path(&format!("{name}.key"))),
            server_name: server_name.map(ToOwned::to_owned),
        }
    }
}
