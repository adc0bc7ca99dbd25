//! Tokens of an issuer of OpenID Connect, which stands on a socket of this machine: its keys are looked up and kept,
//! they rotate, and what it did not sign, or signed for something else, opens nothing.

mod common;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::Method;
use axum::routing::get;
use axum::{Json, Router};
use common::{Reply, TestServer, picture, score_body};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use medparse_server::admin::{EndpointSpec, put_endpoint};
use medparse_server::store::AuthMode;
use medparse_server::{AuditLog, IssuerConfig, Refresh, ServerConfig};
use rsa::pkcs1::EncodeRsaPrivateKey;
use serde_json::{Value, json};

/// A key with which tokens are signed.
#[derive(Clone)]
struct Signer {
    id: &'static str,
    algorithm: Algorithm,
    key: EncodingKey,
}

impl Signer {
    fn elliptic(id: &'static str) -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let key = EncodingKey::from_ec_der(pair.serialized_der());
        Self { id, algorithm: Algorithm::ES256, key }
    }

    /// As Entra signs.
    fn rsa(id: &'static str) -> Self {
        let mut random = rsa::rand_core::UnwrapErr(getrandom::SysRng);
        let key = rsa::PrivateKey::new(&mut random, 2048).unwrap();
        let key = EncodingKey::from_rsa_der(key.to_pkcs1_der().unwrap().as_bytes());
        Self { id, algorithm: Algorithm::RS256, key }
    }

    fn public(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.id.to_owned());
        serde_json::to_value(jwk).unwrap()
    }

    fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.to_owned()), ..Header::new(self.algorithm) };
        encode(&header, claims, &self.key).unwrap()
    }
}

/// What the issuer says.
#[derive(Default)]
struct Said {
    keys: Mutex<Vec<Value>>,
    name: Mutex<String>,
    asked: AtomicUsize,
}

struct Issuer {
    url: String,
    said: Arc<Said>,
}

impl Issuer {
    async fn start(signers: &[&Signer]) -> Self {
        let said = Arc::new(Said::default());
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await;
        let listener = listener.unwrap();
        let url = format!("http://{}/tenant", listener.local_addr().unwrap());
        *said.name.lock().unwrap() = url.clone();
        let discovery = async |State(said): State<Arc<Said>>| {
            said.asked.fetch_add(1, Ordering::SeqCst);
            let name = said.name.lock().unwrap().clone();
            Json(json!({"issuer": name, "jwks_uri": format!("{name}/keys")}))
        };
        let keys =
            async |State(said): State<Arc<Said>>| Json(json!({"keys": *said.keys.lock().unwrap()}));
        let router = Router::new()
            .route("/tenant/.well-known/openid-configuration", get(discovery))
            .route("/tenant/keys", get(keys))
            .with_state(said.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let issuer = Self { url, said };
        issuer.publish(signers);
        issuer
    }

    fn publish(&self, signers: &[&Signer]) {
        let mut keys: Vec<_> = signers.iter().map(|signer| signer.public()).collect();
        // Kinds of keys that nobody here knows, and one that is a secret.
        keys.push(json!({"kty": "FUTURE", "kid": "x"}));
        keys.push(json!({"kty": "oct", "kid": "shared", "k": "c2VjcmV0"}));
        *self.said.keys.lock().unwrap() = keys;
    }

    fn asked(&self) -> usize {
        self.said.asked.load(Ordering::SeqCst)
    }

    fn claims(&self) -> Value {
        let now = jiff::Timestamp::now().as_second();
        json!({"iss": self.url, "aud": "api://medparse", "sub": "someone", "oid": "0000-1111",
            "exp": now + 600, "nbf": now, "iat": now, "roles": ["medparse.score"]})
    }

    /// Settings of a server that believes this issuer.
    fn believed(&self, refresh: Refresh) -> ServerConfig {
        let audiences = vec!["api://medparse".to_owned()];
        let issuer =
            IssuerConfig { refresh, ..IssuerConfig::new(&self.url, audiences, None).unwrap() };
        ServerConfig { issuer: Some(issuer), ..ServerConfig::default() }
    }

    /// A server that does, with an endpoint that takes its tokens.
    async fn believer(&self, refresh: Refresh) -> TestServer {
        start(self.believed(refresh)).await
    }
}

async fn start(config: ServerConfig) -> TestServer {
    let server = TestServer::with(config, Duration::ZERO).await;
    set_mode(&server, AuthMode::AadToken);
    server
}

fn set_mode(server: &TestServer, mode: AuthMode) {
    let spec = EndpointSpec { auth_mode: Some(mode), ..Default::default() };
    server.state.store().update(|document| put_endpoint(document, "medparse", spec)).unwrap();
}

/// Looks up keys whenever one is unknown.
fn eager() -> Refresh {
    Refresh { unknown_key: Duration::ZERO, ..Refresh::default() }
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

async fn score(server: &TestServer, token: &str) -> Reply {
    let (_, png) = picture(4, 4, 1);
    let body = score_body(&[(&png, "cell")]).to_string().into_bytes();
    let header = format!("Bearer {token}");
    server.call(Method::POST, "/score", &[("authorization", &header)], body).await
}

#[tokio::test]
async fn a_token_opens_what_its_roles_say() {
    let (elliptic, rsa) = (Signer::elliptic("e"), Signer::rsa("r"));
    let issuer = Issuer::start(&[&elliptic, &rsa]).await;
    let server = issuer.believer(eager()).await;
    assert_eq!(issuer.asked(), 0, "before anybody has shown a token");
    for signer in [&elliptic, &rsa] {
        let reply = score(&server, &signer.sign(&issuer.claims())).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    assert_eq!(issuer.asked(), 1, "the keys are kept");
    for (claim, value, may) in [
        ("roles", json!(["medparse.score"]), [200, 403, 403]),
        ("roles", json!(["medparse.manage", "medparse.metrics"]), [403, 200, 200]),
        ("scp", json!("openid medparse.metrics"), [403, 403, 200]),
        ("scope", json!("score manage"), [200, 200, 403]),
    ] {
        let claims = with(with(issuer.claims(), "roles", json!([])), claim, value);
        let token = elliptic.sign(&claims);
        let header = [("authorization", &*format!("Bearer {token}"))];
        let got = [
            score(&server, &token).await.status,
            server.call(Method::GET, "/api/v1/keys", &header, Vec::new()).await.status,
            server.call(Method::GET, "/metrics", &header, Vec::new()).await.status,
        ];
        assert_eq!(got.map(|status| status.as_u16()), may, "{claims}");
    }
    set_mode(&server, AuthMode::Key);
    let sentence = score(&server, &rsa.sign(&issuer.claims())).await.sentence(401, "Unauthorized");
    assert_eq!(sentence, "this endpoint takes keys (auth_mode key), not tokens");
}

#[tokio::test]
async fn what_the_issuer_did_not_sign_for_this_server_is_refused() {
    let (signer, other) = (Signer::elliptic("e"), Signer::elliptic("e"));
    let issuer = Issuer::start(&[&signer]).await;
    let server = issuer.believer(eager()).await;
    let (claims, now) = (issuer.claims(), jiff::Timestamp::now().as_second());
    let good = signer.sign(&claims);
    assert_eq!(score(&server, &good).await.status, 200);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let mut without = claims.clone();
    without.as_object_mut().unwrap().remove("exp");
    let shared = |secret: &[u8]| {
        let header = Header { kid: Some("shared".to_owned()), ..Header::new(Algorithm::HS256) };
        encode(&header, &claims, &EncodingKey::from_secret(secret).unwrap()).unwrap()
    };
    let unsigned = {
        let text = |text: &str| base64_simd::URL_SAFE_NO_PAD.encode_to_string(text.as_bytes());
        format!("{}.{}.", text(r#"{"alg":"none","kid":"e"}"#), text(&claims.to_string()))
    };
    for (token, start) in [
        (other.sign(&claims), "the token's signature is not"),
        (format!("{signed}.{}", &signature[2..]), "the token"),
        (signer.sign(&with(claims.clone(), "exp", json!(now - 90))), "the token has expired"),
        (signer.sign(&with(claims.clone(), "nbf", json!(now + 90))), "the token is not valid yet"),
        (
            signer.sign(&with(claims.clone(), "aud", json!("api://other"))),
            "the token is for another",
        ),
        (
            signer.sign(&with(claims.clone(), "iss", json!("https://evil.example"))),
            "this endpoint takes identity tokens",
        ),
        (signer.sign(&without), "the token lacks one of"),
        (shared(b"secret"), "this endpoint takes identity tokens"),
        (unsigned, "this endpoint takes identity tokens"),
        (
            Signer::elliptic("absent").sign(&claims),
            "the token is signed with a key that its issuer",
        ),
    ] {
        let sentence = score(&server, &token).await.sentence(401, "Unauthorized");
        assert!(sentence.starts_with(start), "{sentence}; expected {start}");
    }
}

#[tokio::test]
async fn keys_rotate_and_nobody_can_make_the_server_ask_all_the_time() {
    let (first, second) = (Signer::elliptic("1"), Signer::elliptic("2"));
    let issuer = Issuer::start(&[&first]).await;
    let pause = Duration::from_millis(200);
    let refresh =
        Refresh { unknown_key: pause, every: Duration::from_secs(2), ..Refresh::default() };
    let server = issuer.believer(refresh).await;
    assert_eq!(score(&server, &first.sign(&issuer.claims())).await.status, 200);
    issuer.publish(&[&second]);
    tokio::time::sleep(pause).await;
    assert_eq!(score(&server, &second.sign(&issuer.claims())).await.status, 200, "found anew");
    assert_eq!(issuer.asked(), 2);
    assert_eq!(score(&server, &first.sign(&issuer.claims())).await.status, 401, "withdrawn");
    let asked = issuer.asked();
    for _ in 0..20 {
        score(&server, &Signer::elliptic("3").sign(&issuer.claims())).await;
    }
    assert!(issuer.asked() <= asked + 10, "{} look-ups", issuer.asked() - asked);
    // A key that is withdrawn while nobody shows another one goes with the next look-up.
    issuer.publish(&[&first]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(score(&server, &second.sign(&issuer.claims())).await.status, 401);
}

#[tokio::test]
async fn an_issuer_that_fails_opens_nothing_and_closes_nothing_that_was_open() {
    let signer = Signer::elliptic("e");
    let issuer = Issuer::start(&[&signer]).await;
    let name = issuer.said.name.lock().unwrap().clone();
    "https://another.example".clone_into(&mut issuer.said.name.lock().unwrap());
    let refresh = Refresh { every: Duration::ZERO, ..eager() };
    let server = issuer.believer(refresh).await;
    let token = signer.sign(&issuer.claims());
    assert_eq!(score(&server, &token).await.status, 401, "the document names another issuer");
    *issuer.said.name.lock().unwrap() = name;
    assert_eq!(score(&server, &token).await.status, 200);
    issuer.said.keys.lock().unwrap().clear();
    assert_eq!(score(&server, &token).await.status, 200, "by the keys at hand");
}

#[tokio::test]
async fn the_audit_log_names_a_caller_whose_token_made_the_server_look_up_the_keys() {
    let signer = Signer::elliptic("e");
    let issuer = Issuer::start(&[&signer]).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let audit = Some(AuditLog::open(&path).unwrap());
    let server = start(ServerConfig { audit, ..issuer.believed(eager()) }).await;
    assert_eq!(score(&server, &signer.sign(&issuer.claims())).await.status, 200);
    let mut text = String::new();
    for _ in 0..200 {
        text = std::fs::read_to_string(&path).unwrap();
        if text.ends_with('\n') {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["who"], "issuer:0000-1111");
}
