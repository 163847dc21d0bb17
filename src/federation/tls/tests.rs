use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustls::{ClientConnection, ServerConnection};

use super::*;

/// A CA and what it signs, in a directory.
struct Authority {
    directory: tempfile::TempDir,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        fs::write(directory.path().join("ca.pem"), certificate.pem()).unwrap();
        Self { directory, issuer: rcgen::Issuer::new(params, key) }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// `NAME.pem` and `NAME.key` for these names.
    fn issue(&self, name: &str, names: &[&str]) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(names).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        let path = self.path(&format!("{name}.key"));
        fs::write(&path, key.serialize_pem()).unwrap();
        fs::set_permissions(Path::new(&path), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn listen(&self, name: &str, mutual: bool) -> ListenTls {
        ListenTls {
            cert_file: self.path(&format!("{name}.pem")),
            key_file: self.path(&format!("{name}.key")),
            client_ca_file: mutual.then(|| self.path("ca.pem")),
        }
    }

    fn peer(&self, identity: Option<&str>, server_name: Option<&str>) -> PeerTls {
        PeerTls {
            ca_file: Some(self.path("ca.pem")),
            cert_file: identity.map(|name| self.path(&format!("{name}.pem"))),
            key_file: identity.map(|name| self.path(&format!("{name}.key"))),
            server_name: server_name.map(ToOwned::to_owned),
        }
    }
}

/// Shakes hands in memory. Returns the names that the server found in the client's certificate.
fn shake(
    server: Arc<ServerConfig>,
    client: ClientConfig,
    host: &str,
) -> Result<Vec<String>, rustls::Error> {
    let host = ServerName::try_from(host.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), host).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    let mut wire = Vec::new();
    client.writer().write_all(b"hello").unwrap();
    for _ in 0..10 {
        wire.clear();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut sent = &wire[..];
        while !sent.is_empty() {
            server.read_tls(&mut sent).unwrap();
            server.process_new_packets()?;
        }
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut sent = &wire[..];
        while !sent.is_empty() {
            client.read_tls(&mut sent).unwrap();
            client.process_new_packets()?;
        }
    }
    let mut heard = [0; 5];
    server.reader().read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"hello");
    Ok(server.peer_certificates().and_then(<[_]>::first).map(names).unwrap_or_default())
}

#[test]
fn https_with_a_ca_and_a_name_of_ones_own_choice() {
    let authority = Authority::new();
    authority.issue("server", &["cloud-router"]);
    let files = Files::new();
    let server = ServerTls::open(&files, &authority.listen("server", false)).config().unwrap();
    let client = |name| ClientTls::open(&files, &authority.peer(None, name)).config().unwrap();
    assert_eq!(shake(server.clone(), client(None), "cloud-router"), Ok(Vec::new()));
    assert!(shake(server.clone(), client(None), "169.254.110.2").is_err());
    assert_eq!(
        shake(server.clone(), client(Some("cloud-router")), "169.254.110.2"),
        Ok(Vec::new())
    );
    assert!(shake(server, client(Some("another")), "cloud-router").is_err());
}

#[test]
fn mutual_tls_names_the_peer_and_admits_nobody_without_a_certificate() {
    let authority = Authority::new();
    authority.issue("server", &["cloud-router"]);
    authority.issue("peer", &["onprem-router", "*.example"]);
    let stranger = Authority::new();
    stranger.issue("peer", &["onprem-router"]);
    let files = Files::new();
    let tls = ServerTls::open(&files, &authority.listen("server", true));
    assert!(tls.is_mutual());
    let server = tls.config().unwrap();
    let client = |spec: &PeerTls| ClientTls::open(&files, spec).config().unwrap();
    assert_eq!(
        shake(server.clone(), client(&authority.peer(Some("peer"), None)), "cloud-router"),
        Ok(vec!["onprem-router".to_owned()])
    );
    assert!(shake(server.clone(), client(&authority.peer(None, None)), "cloud-router").is_err());
    let foreign =
        PeerTls { ca_file: Some(authority.path("ca.pem")), ..stranger.peer(Some("peer"), None) };
    assert!(shake(server, client(&foreign), "cloud-router").is_err());
}

#[test]
fn a_new_certificate_is_in_the_next_configuration() {
    let authority = Authority::new();
    authority.issue("server", &["old"]);
    let files = Files::new();
    let tls = ServerTls::open(&files, &authority.listen("server", false));
    let client = ClientTls::open(&files, &authority.peer(None, None)).config().unwrap();
    assert!(shake(tls.config().unwrap(), client.clone(), "new").is_err());
    authority.issue("server", &["new"]);
    files.look();
    assert_eq!(shake(tls.config().unwrap(), client, "new"), Ok(Vec::new()));
}

#[test]
fn what_is_wrong_names_the_field_and_the_file_and_never_the_key() {
    let authority = Authority::new();
    authority.issue("server", &["n"]);
    authority.issue("other", &["n"]);
    let files = Files::new();
    let mut spec = authority.listen("server", false);
    spec.key_file = authority.path("other.key");
    let error = ServerTls::open(&files, &spec).config().unwrap_err().to_string();
    assert!(error.starts_with("listen.tls.keyFile: ") && error.contains("other.key"), "{error}");

    let mut spec = authority.listen("server", false);
    spec.cert_file = authority.path("server.key");
    let error = ServerTls::open(&files, &spec).config().unwrap_err().to_string();
    assert!(error.contains("listen.tls.certFile") && error.contains("no PEM cert"), "{error}");

    let mut spec = authority.listen("server", true);
    spec.client_ca_file = Some(authority.path("none.pem"));
    let error = ServerTls::open(&files, &spec).config().unwrap_err().to_string();
    assert!(error.contains("listen.tls.clientCAFile: cannot read"), "{error}");

    let key = authority.path("server.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let error = ServerTls::open(&Files::new(), &authority.listen("server", false));
    let error = error.config().unwrap_err().to_string();
    assert!(error.contains("open to others"), "{error}");

    let mut spec = authority.peer(None, None);
    spec.ca_file = None;
    let error = ClientTls::open(&files, &spec).config().unwrap_err();
    assert_eq!(error, TlsError::NoCa);
}
