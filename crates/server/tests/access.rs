//! Keys, tokens and scopes: who gets in, and that nothing which opens a door lies on the disk.

mod common;

use axum::http::Method;
use common::{Reply, TestServer, WORKSPACE, picture, score_body};
use jiff::SignedDuration;
use medparse_server::admin::{
    DeploymentSpec, EndpointSpec, KeyGrant, endpoint_keys, grant_key, put_deployment, put_endpoint,
    revoke_key, rotate_key,
};
use medparse_server::store::{AuthMode, KeyRecord, Scope};
use medparse_server::{Access, AdminError, IdentitySource, SecretText, ServerConfig};
use serde_json::json;
use std::time::Duration;

async fn keyed() -> TestServer {
    TestServer::with(ServerConfig::default(), Duration::ZERO).await
}

fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}

async fn score(server: &TestServer, key: &str) -> Reply {
    let (_, png) = picture(4, 4, 1);
    let body = score_body(&[(&png, "cell")]).to_string().into_bytes();
    server.call(Method::POST, "/score", &[("authorization", &bearer(key))], body).await
}

fn grant(server: &TestServer, scopes: &[Scope], with: KeyGrant) -> (KeyRecord, String) {
    let grant = KeyGrant { scopes: scopes.iter().copied().collect(), ..with };
    let (record, key) = server.state.store().update(|document| grant_key(document, grant)).unwrap();
    (record, key.expose().to_owned())
}

fn keys(server: &TestServer) -> [String; 2] {
    let store = server.state.store();
    endpoint_keys(store, &store.read().unwrap(), "medparse")
        .unwrap()
        .map(|key| key.expose().to_owned())
}

#[tokio::test]
async fn both_keys_of_an_endpoint_score_and_nothing_else_does() {
    let server = keyed().await;
    let [primary, secondary] = keys(&server);
    assert_ne!(primary, secondary);
    for key in [&primary, &secondary] {
        assert_eq!(score(&server, key).await.status, 200);
    }
    for (headers, start) in [
        (vec![], "this route needs the header Authorization"),
        (vec![("authorization", primary.clone())], "the header Authorization must read"),
        (
            vec![("authorization", format!("Basic {primary}"))],
            "the header Authorization must use the scheme",
        ),
        (vec![("authorization", bearer("wrong"))], "the key is not valid"),
        (vec![("authorization", bearer(&primary[..primary.len() - 1]))], "the key is not valid"),
        (vec![("authorization", bearer(""))], "the key is not valid"),
    ] {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let reply = server.call(Method::POST, "/score", &headers, b"{}".into()).await;
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        let sentence = reply.sentence(401, "Unauthorized");
        assert!(sentence.starts_with(start), "{sentence}");
    }
    // Health is for everybody, the rest is not.
    for path in ["/", "/ready", "/swagger.json", "/v2/health/ready", "/version"] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    for path in ["/metrics", "/api/v1/keys"] {
        server.get(path).await.sentence(401, "Unauthorized");
        let reply = server
            .call(Method::GET, path, &[("authorization", &bearer(&primary))], Vec::new())
            .await;
        assert!(reply.sentence(403, "Forbidden").starts_with("a scoring key cannot be used here"));
    }
}

#[tokio::test]
async fn a_refused_caller_is_not_listened_to() {
    let server = keyed().await;
    // The body would be refused with a 400 if it were read.
    let reply =
        server.call(Method::POST, "/score", &[("authorization", "Bearer x")], b"[".into()).await;
    reply.sentence(401, "Unauthorized");
}

#[tokio::test]
async fn scopes_are_kept_apart() {
    let server = keyed().await;
    let manage = grant(&server, &[Scope::Manage], KeyGrant::default()).1;
    let metrics = grant(&server, &[Scope::Metrics], KeyGrant::default()).1;
    let scoring = grant(&server, &[Scope::Score], KeyGrant::default()).1;
    let all = grant(&server, &[Scope::Score, Scope::Manage, Scope::Metrics], KeyGrant::default()).1;
    for (key, may) in [
        (&manage, [403, 200, 403]),
        (&metrics, [403, 403, 200]),
        (&scoring, [200, 403, 403]),
        (&all, [200, 200, 200]),
    ] {
        let header = [("authorization", &*bearer(key))];
        let got = [
            score(&server, key).await.status,
            server.call(Method::GET, "/api/v1/keys", &header, Vec::new()).await.status,
            server.call(Method::GET, "/metrics", &header, Vec::new()).await.status,
        ];
        assert_eq!(got.map(|status| status.as_u16()), may);
    }
}

#[tokio::test]
async fn a_key_ends_with_its_time_its_revocation_or_its_rotation() {
    let server = keyed().await;
    let store = server.state.store();
    let brief =
        KeyGrant { expires_in: Some(SignedDuration::from_millis(50)), ..Default::default() };
    let (_, brief) = grant(&server, &[Scope::Score], brief);
    assert_eq!(score(&server, &brief).await.status, 200);
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(score(&server, &brief).await.sentence(401, "Unauthorized"), "the key has expired");

    let (record, key) = grant(&server, &[Scope::Score], KeyGrant::default());
    let rotated = store
        .update(|document| rotate_key(document, &record.id, SignedDuration::from_hours(1)))
        .unwrap();
    assert_eq!(score(&server, &key).await.status, 200, "within its grace");
    assert_eq!(score(&server, rotated.expose()).await.status, 200);
    let again =
        store.update(|document| rotate_key(document, &record.id, SignedDuration::ZERO)).unwrap();
    assert_eq!(score(&server, rotated.expose()).await.status, 401);
    assert_eq!(score(&server, again.expose()).await.status, 200);
    store.update(|document| revoke_key(document, &record.id)).unwrap();
    assert_eq!(score(&server, again.expose()).await.status, 401, "on the next request");
}

#[tokio::test]
async fn a_key_for_a_deployment_opens_that_one_only() {
    let server = keyed().await;
    let store = server.state.store();
    store
        .update::<_, AdminError>(|document| {
            let spec = DeploymentSpec { model: "second".into(), ..Default::default() };
            put_deployment(document, "medparse", "trial", spec)?;
            put_endpoint(document, "other", EndpointSpec::default())
        })
        .unwrap();
    let server = server.restart();
    server.wait_ready().await;
    let (_, key) = grant(
        &server,
        &[Scope::Score],
        KeyGrant { deployment: Some("trial".into()), ..Default::default() },
    );
    for _ in 0..100 {
        let reply = score(&server, &key).await;
        if reply.status != 503 {
            assert_eq!(
                (reply.status.as_u16(), reply.header("azureml-model-deployment")),
                (200, Some("trial"))
            );
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let headers = [("authorization", &*bearer(&key)), ("azureml-model-deployment", "default")];
    let reply = server.call(Method::POST, "/score", &headers, b"{}".into()).await;
    assert_eq!(reply.sentence(403, "Forbidden"), "the key is good for the deployment trial only");
    let (record, key) = grant(
        &server,
        &[Scope::Score],
        KeyGrant { endpoint: Some("other".into()), ..Default::default() },
    );
    let sentence = score(&server, &key).await.sentence(403, "Forbidden");
    assert_eq!(sentence, format!("the key {} is good for the endpoint other only", record.id));
}

#[tokio::test]
async fn keys_are_granted_listed_rotated_and_revoked_by_http() {
    let server = keyed().await;
    let manage = bearer(&grant(&server, &[Scope::Manage], KeyGrant::default()).1);
    let call = async |method: Method, path: &str, body: serde_json::Value| {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        server.call(method, path, &[("authorization", &manage)], body).await
    };
    let asked = json!({"scopes": ["score"], "deployment": "default", "label": "ward 7", "expires_in": "90d"});
    let granted = call(Method::POST, "/api/v1/keys", asked).await;
    assert_eq!(granted.status, 201, "{}", granted.text());
    let (id, key) =
        (granted.json()["id"].clone(), granted.json()["key"].as_str().unwrap().to_owned());
    let id = id.as_str().unwrap();
    assert_eq!(score(&server, &key).await.status, 200);
    let listed = call(Method::GET, "/api/v1/keys", json!(null)).await;
    assert!(
        listed.text().contains("ward 7")
            && !listed.text().contains(&key)
            && !listed.text().contains("hash")
    );
    let rotated = call(Method::POST, &format!("/api/v1/keys/{id}/rotate"), json!({"grace": "1h"}))
        .await
        .json();
    assert_eq!(score(&server, rotated["key"].as_str().unwrap()).await.status, 200);
    assert_eq!(call(Method::DELETE, &format!("/api/v1/keys/{id}"), json!(null)).await.status, 204);
    assert_eq!(score(&server, rotated["key"].as_str().unwrap()).await.status, 401);
    for (body, status, code) in [
        (json!({"scopes": []}), 400, "InvalidScope"),
        (json!({"scopes": ["admin"]}), 400, "InvalidRequest"),
        (json!({"scopes": ["score"], "deployment": "absent"}), 404, "DeploymentNotFound"),
        (json!({"scopes": ["score"], "expires_in": "soon"}), 400, "InvalidLifetime"),
    ] {
        call(Method::POST, "/api/v1/keys", body).await.sentence(status, code);
    }
    call(Method::DELETE, "/api/v1/keys/absent", json!(null)).await.sentence(404, "KeyNotFound");
}

#[tokio::test]
async fn nothing_on_the_disk_opens_a_door() {
    let server = keyed().await;
    let (_, granted) = grant(&server, &[Scope::Score, Scope::Manage], KeyGrant::default());
    let secrets = [keys(&server).to_vec(), vec![granted]].concat();
    for file in std::fs::read_dir(server.folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(secrets.iter().all(|secret| !text.contains(secret.as_str())));
    }
}

#[tokio::test]
async fn keys_outlive_a_restart_and_die_with_their_endpoint() {
    let server = keyed().await.restart();
    server.wait_ready().await;
    let [primary, _] = keys(&server);
    assert_eq!(score(&server, &primary).await.status, 200);
    let store = server.state.store();
    let old = store.read().unwrap().endpoints["medparse"].clone();
    store
        .update::<_, AdminError>(|document| {
            medparse_server::admin::delete_endpoint(document, "medparse")?;
            put_endpoint(document, "medparse", EndpointSpec::default())?;
            document.endpoints.get_mut("medparse").unwrap().deployments = old.deployments.clone();
            Ok(())
        })
        .unwrap();
    assert_eq!(
        score(&server, &primary).await.status,
        401,
        "an endpoint of the same name has other keys"
    );
}

#[tokio::test]
async fn keys_given_from_outside_stand_in_for_the_endpoint_s() {
    let given = ["primary-of-the-container", "secondary-of-the-container"];
    let config =
        ServerConfig { given_keys: given.map(SecretText::new).into(), ..ServerConfig::default() };
    let server = TestServer::with(config, Duration::ZERO).await;
    for key in given {
        assert_eq!(score(&server, key).await.status, 200);
    }
    assert_eq!(score(&server, &keys(&server)[0]).await.status, 401);
}

#[tokio::test]
async fn an_endpoint_takes_what_its_mode_says() {
    let config = ServerConfig { identity: IdentitySource::On, ..ServerConfig::default() };
    let server = TestServer::with(config, Duration::ZERO).await;
    let store = server.state.store();
    let exports = medparse_server::azure::exports("http://localhost", store, None);
    let secret = exports
        .iter()
        .find(|export| export.name == "IDENTITY_HEADER")
        .unwrap()
        .value
        .expose()
        .to_owned();
    let identity = async |resource: &str, secret: &str| {
        let path = format!("/identity/token?resource={resource}&api-version=2019-08-01");
        server.call(Method::GET, &path, &[("x-identity-header", secret)], Vec::new()).await
    };
    let manager =
        identity("https://management.azure.com", &secret).await.json()["access_token"].clone();
    let scorer = identity("https://ml.azure.com", &secret).await.json()["access_token"].clone();
    let (manager, scorer) = (manager.as_str().unwrap(), scorer.as_str().unwrap());
    identity("https://management.azure.com", "guess").await.sentence(401, "Unauthorized");
    identity("https://storage.azure.com", &secret).await.sentence(400, "InvalidRequest");

    let granted = grant(&server, &[Scope::Score], KeyGrant::default()).1;
    let [primary, _] = keys(&server);
    let set = |mode| {
        let spec = EndpointSpec { auth_mode: Some(mode), ..Default::default() };
        store.update(|document| put_endpoint(document, "medparse", spec)).unwrap();
    };
    set(AuthMode::AmlToken);
    let path = format!("{WORKSPACE}/onlineEndpoints/medparse/token");
    let own = server
        .call(Method::POST, &path, &[("authorization", &bearer(manager))], Vec::new())
        .await
        .json();
    assert!(own["expiryTimeUtc"].as_i64().unwrap() > own["refreshAfterTimeUtc"].as_i64().unwrap());
    let own = own["accessToken"].as_str().unwrap();
    for (mode, may) in [
        (AuthMode::Key, [200, 200, 401, 401, 401]),
        (AuthMode::AmlToken, [401, 401, 200, 401, 401]),
        (AuthMode::AadToken, [401, 401, 401, 200, 401]),
    ] {
        set(mode);
        for (shown, status) in [&*primary, &granted, own, scorer, manager].into_iter().zip(may) {
            assert_eq!(score(&server, shown).await.status.as_u16(), status, "{mode} {shown}");
        }
    }
    for (shown, status) in [(manager, 200), (scorer, 401), (own, 401)] {
        let path = format!("{WORKSPACE}/onlineEndpoints");
        let reply =
            server.call(Method::GET, &path, &[("authorization", &bearer(shown))], Vec::new()).await;
        assert_eq!(reply.status.as_u16(), status);
    }
}

#[tokio::test]
async fn a_server_without_keys_answers_this_machine_only() {
    let server = TestServer::open().await;
    assert_eq!(server.state.config().access, Access::Open);
    for (headers, status) in [
        (&[("host", "localhost:5001")][..], 200),
        (&[("host", "rack7:5001")], 403),
        (&[("host", "localhost:5001"), ("origin", "https://evil.example")], 403),
    ] {
        let reply = server.call(Method::GET, "/api/v1/keys", headers, Vec::new()).await;
        assert_eq!(reply.status.as_u16(), status, "{headers:?}");
    }
    // The identity source is off unless it was asked for.
    server
        .get("/identity/token?resource=https://management.azure.com")
        .await
        .sentence(404, "NotFound");
}
