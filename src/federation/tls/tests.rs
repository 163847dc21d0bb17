use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;

use rustls::{ClientConnection, ServerConnection};

use super::*;
use crate::federation::authority::Authority;

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
