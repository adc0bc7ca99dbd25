//! Rates, the audit log, and certificates: what an operator relies on.

mod common;

use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use common::{Reply, TestServer, picture, score_body};
use medparse_server::admin::{KeyGrant, grant_key};
use medparse_server::store::Scope;
use medparse_server::{Access, AuditLog, Certificates, Server, ServerConfig, TlsFiles};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

fn grant(server: &TestServer, rate: Option<&str>) -> (String, String) {
    let grant = KeyGrant {
        scopes: [Scope::Score].into(),
        rate: rate.map(|text| text.parse().unwrap()),
        ..KeyGrant::default()
    };
    let change = |document: &mut _| grant_key(document, grant);
    let (record, key) = server.state.store().update(change).unwrap();
    (record.id, key.expose().to_owned())
}

async fn score(server: &TestServer, key: &str) -> Reply {
    let (_, png) = picture(4, 4, 1);
    let body = score_body(&[(&png, "a secret phrase & b")]).to_string().into_bytes();
    let bearer = format!("Bearer {key}");
    server.call(Method::POST, "/score", &[("authorization", &bearer)], body).await
}

#[tokio::test]
async fn each_key_may_ask_as_often_as_its_rate_says() {
    let rate = Some("2/h".parse().unwrap());
    let server =
        TestServer::with(ServerConfig { rate, ..Default::default() }, Duration::ZERO).await;
    let ((_, usual), (_, own)) = (grant(&server, None), grant(&server, Some("3/h")));
    for (key, times) in [(&usual, 2), (&own, 3)] {
        for _ in 0..times {
            assert_eq!(score(&server, key).await.status, 200);
        }
        let reply = score(&server, key).await;
        let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=1800).contains(&wait), "{wait}");
        let sentence = reply.sentence(429, "TooManyRequests");
        assert!(sentence.starts_with("this caller's rate is used up"), "{sentence}");
    }
    // Guessing keys is limited as well, health checks are not.
    for _ in 0..2 {
        assert_eq!(score(&server, "wrong").await.status, 401);
    }
    assert_eq!(score(&server, "another").await.status, 429);
    for _ in 0..9 {
        assert_eq!(server.get("/ready").await.status, 200);
    }
}

#[tokio::test]
async fn every_request_is_on_record_without_its_content() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logs/audit.jsonl");
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    let audit = Some(AuditLog::open(&path).unwrap());
    let server =
        TestServer::with(ServerConfig { audit, ..Default::default() }, Duration::ZERO).await;
    let (id, key) = grant(&server, None);
    assert_eq!(score(&server, &key).await.status, 200);
    assert_eq!(score(&server, "wrong").await.status, 401);
    server.get("/ready").await;
    let path_of_keys = [("authorization", &*format!("Bearer {key}"))];
    server.call(Method::DELETE, "/api/v1/keys/4f0c93a1be", &path_of_keys, Vec::new()).await;
    let text = lines(&path, 3).await;
    let [first, second, third]: [Value; 3] = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    assert_eq!(first["who"], format!("key:{id}"));
    assert_eq!(
        (&first["status"], &first["rows"], &first["prompts"]),
        (&200.into(), &1.into(), &2.into())
    );
    assert_eq!((&first["endpoint"], &first["deployment"]), (&"medparse".into(), &"default".into()));
    assert!(first["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{first}");
    assert_eq!(
        (&second["who"], &second["status"], &second["code"]),
        (&"nobody".into(), &401.into(), &"Unauthorized".into())
    );
    assert_eq!(
        (&third["method"], &third["path"], &third["status"]),
        (&"DELETE".into(), &"/api/v1/keys/4f0c93a1be".into(), &403.into())
    );
    let (_, png) = picture(4, 4, 1);
    for content in ["secret phrase", &*key, "wrong", &png[..20]] {
        assert!(!text.contains(content), "{content} is in {text}");
    }

    // What cannot be put on record is not done.
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    score(&server, &key).await;
    let refused = || async { score(&server, &key).await.status == 503 };
    wait_for("a refusal", refused).await;
    assert_eq!(server.get("/").await.status, 200);
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    let accepted = || async { score(&server, &key).await.status == 200 };
    wait_for("an answer", accepted).await;
}

/// The file's text, once it has so many lines.
async fn lines(path: &std::path::Path, count: usize) -> String {
    let read = || std::fs::read_to_string(path).unwrap_or_default();
    wait_for("the lines", || async { read().lines().count() >= count }).await;
    read()
}

async fn wait_for<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    for _ in 0..500 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what} never came");
}

/// An authority and what it signs.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    fn sign(&self) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    fn write(&self, files: &TlsFiles) {
        let (certificate, key) = self.sign();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        std::fs::write(&files.chain, certificate.pem()).unwrap();
    }

    /// A client that trusts this authority, and shows a certificate where it has one.
    fn client(&self, shown: Option<&Self>) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder =
            builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let config = match shown {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let (certificate, key) = authority.sign();
                let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
                let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        TlsConnector::from(Arc::new(config))
    }
}

/// Whether a client gets an answer over TLS.
async fn answered(port: u16, client: TlsConnector) -> bool {
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let Ok(mut stream) = client.connect("localhost".try_into().unwrap(), stream).await else {
        return false;
    };
    let mut reply = Vec::new();
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let sent = stream.write_all(request).await;
    // TLS 1.3 refuses a client after its side of the handshake.
    sent.is_ok() && stream.read_to_end(&mut reply).await.is_ok() && reply.ends_with(b"Healthy")
}

#[tokio::test]
async fn clients_show_certificates_and_new_files_count_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, clients, next) = (Authority::new(), Authority::new(), Authority::new());
    let files = TlsFiles {
        chain: folder.path().join("tls.crt"),
        key: folder.path().join("tls.key"),
        client_ca: Some(folder.path().join("clients.crt")),
    };
    authority.write(&files);
    let error = Certificates::from_files(files.clone()).unwrap_err().to_string();
    assert!(error.contains("clients.crt"), "{error}");
    std::fs::write(files.client_ca.as_ref().unwrap(), clients.certificate.pem()).unwrap();
    let certificates = Certificates::from_files(files.clone()).unwrap();
    let config = ServerConfig { access: Access::Open, ..ServerConfig::default() };
    let server = TestServer::with(config, Duration::ZERO).await;
    let bound = Server::bind(([127, 0, 0, 1], 0).into(), server.state.clone(), Some(&certificates));
    let bound = bound.await.unwrap();
    let port = bound.address().port();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(bound.run(async move {
        let _ = stopped.await;
    }));
    assert!(answered(port, authority.client(Some(&clients))).await);
    assert!(!answered(port, authority.client(None)).await, "a client without a certificate");
    assert!(!answered(port, authority.client(Some(&next))).await, "a stranger's certificate");

    // A broken file changes nothing; a good pair counts from then on.
    std::fs::write(&files.chain, "nonsense").unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(answered(port, authority.client(Some(&clients))).await);
    next.write(&files);
    wait_for("the new certificate", || answered(port, next.client(Some(&clients)))).await;
    assert!(!answered(port, authority.client(Some(&clients))).await);
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
}
