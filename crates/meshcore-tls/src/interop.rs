//! Handshakes with OpenSSL, in both roles, over loopback.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::ca::{Authority, IssuedPem};
use crate::testing::{DAY, identity, materials};
use crate::{Expected, MeshTls, MeshTlsOptions, Refusal, alpn};

/// PEM files for a process that reads only files; removed at the end.
struct Files(PathBuf);

impl Files {
    fn write(authority: &Authority, issued: &IssuedPem, name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("{name}-{}", issued.serial));
        std::fs::create_dir(&directory).unwrap();
        let files = Self(directory);
        std::fs::write(files.path("chain.pem"), &issued.chain_pem).unwrap();
        std::fs::write(files.path("key.pem"), &issued.key_pem).unwrap();
        std::fs::write(files.path("root.pem"), authority.root_pem()).unwrap();
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A process that ends with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `openssl <role>` with the files, or `None` (said aloud) where it is not installed.
fn openssl(role: &str, files: &Files, more: &[&str]) -> Option<Running> {
    let child = Command::new("openssl")
        .arg(role)
        .args(["-tls1_3", "-verify_return_error", "-cert"])
        .arg(files.path("chain.pem"))
        .arg("-key")
        .arg(files.path("key.pem"))
        .arg("-CAfile")
        .arg(files.path("root.pem"))
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    if child.is_err() {
        std::io::stderr().write_all(b"skipped: openssl is not installed\n").unwrap();
    }
    child.ok().map(Running)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn an_openssl_client_is_served_and_known() {
    let authority = Authority::create("td", DAY).unwrap();
    let issued = authority.issue(&identity("stranger"), DAY).unwrap();
    let files = Files::write(&authority, &issued, "client");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let more = ["-quiet", "-connect", &address, "-alpn", "istio", "-servername", "web.ns"];
    let Some(mut client) = openssl("s_client", &files, &more) else { return };
    let mesh = MeshTls::new(materials(&authority, "server"), MeshTlsOptions::default());
    runtime().block_on(async {
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        let acceptor = TlsAcceptor::from(mesh.server_config(alpn::INBOUND).unwrap());
        let mut stream = acceptor.accept(socket).await.unwrap();
        let connection = stream.get_ref().1;
        assert_eq!(mesh.client_of(connection).unwrap(), identity("stranger"));
        assert_eq!(connection.alpn_protocol(), Some(alpn::ISTIO));
        assert_eq!(connection.server_name(), Some("web.ns"));
        stream.write_all(b"hello stranger\n").await.unwrap();
        stream.shutdown().await.unwrap();
    });
    let mut said = String::new();
    client.0.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "hello stranger\n");
}

#[test]
fn an_openssl_server_is_known_by_its_uri_only() {
    let authority = Authority::create("td", DAY).unwrap();
    let issued = authority.issue(&identity("stranger"), DAY).unwrap();
    let files = Files::write(&authority, &issued, "server");
    let more = ["-accept", "127.0.0.1:0", "-Verify", "2", "-alpn", "h2", "-rev"];
    let Some(mut server) = openssl("s_server", &files, &more) else { return };
    let mut lines = BufReader::new(server.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let accepting = lines.find(|line| line.starts_with("ACCEPT ")).unwrap();
    let address = accepting.trim_start_matches("ACCEPT ").to_owned();
    let mesh = MeshTls::new(materials(&authority, "client"), MeshTlsOptions::default());
    let connect = async |account: &str| {
        let expected = Expected::identities([&identity(account)]);
        let config = mesh.client_config(&expected, alpn::HBONE).unwrap();
        let socket = tokio::net::TcpStream::connect(&address).await.unwrap();
        let name = "any.name".try_into().unwrap();
        TlsConnector::from(Arc::clone(&config)).connect(name, socket).await
    };
    runtime().block_on(async {
        let error = connect("friend").await.unwrap_err();
        let refusal = Refusal::behind_io(&error).unwrap();
        assert_eq!(refusal.label(), "unexpected_identity", "{refusal}");
        let mut stream = connect("stranger").await.unwrap();
        assert_eq!(mesh.server_of(stream.get_ref().1).unwrap(), identity("stranger"));
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(alpn::H2));
        stream.write_all(b"abc\n").await.unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"cba\n");
    });
}
