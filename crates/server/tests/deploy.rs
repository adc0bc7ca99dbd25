//! The management API on the state that `/score` serves: every change acts at once and survives a restart.

mod common;

use std::time::Duration;

use axum::http::Method;
use common::{Reply, TestServer, WORKSPACE, expected_mask, picture, score_body};
use medparse_server::{Access, ServerConfig};
use medparse_wire::read_score_reply;
use serde_json::{Value, json};

fn config() -> ServerConfig {
    ServerConfig { access: Access::Open, ..ServerConfig::default() }
}

async fn manage(server: &TestServer, method: Method, path: &str, body: Value) -> Reply {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    server.call(method, &format!("{WORKSPACE}/onlineEndpoints{path}"), &[], body).await
}

async fn put_endpoint(server: &TestServer, traffic: Value) -> Reply {
    manage(
        server,
        Method::PUT,
        "/e",
        json!({"properties": {"authMode": "Key", "traffic": traffic}}),
    )
    .await
}

async fn deploy(server: &TestServer, name: &str, properties: Value) -> Reply {
    let reply = manage(
        server,
        Method::PUT,
        &format!("/e/deployments/{name}"),
        json!({"properties": properties}),
    )
    .await;
    for _ in 0..400 {
        let shown = manage(server, Method::GET, &format!("/e/deployments/{name}"), Value::Null)
            .await
            .json();
        if !["Creating", "Updating"]
            .contains(&shown["properties"]["provisioningState"].as_str().unwrap_or_default())
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    reply
}

/// Whether a reply is the second model's, which answers the opposite of the first's.
fn is_second(reply: &Reply) -> bool {
    let (sent, _) = picture(16, 16, 3);
    let values = read_score_reply(&reply.body).unwrap()[0].masks().unwrap().values;
    let first = expected_mask(&sent, 0);
    assert!(values == first || values.iter().zip(&first).all(|(a, b)| a != b));
    values != first
}

async fn score(server: &TestServer) -> Reply {
    let (_, png) = picture(16, 16, 3);
    server.post("/score", score_body(&[(&png, "cell")])).await
}

#[tokio::test]
async fn every_change_acts_on_the_next_request_and_survives_a_restart() {
    let server = TestServer::empty(config(), Duration::ZERO);
    assert_eq!(score(&server).await.status, 404);
    let created = put_endpoint(&server, json!({})).await;
    assert_eq!(created.status, 201);
    assert_eq!(created.json()["properties"]["scoringUri"], "http://localhost:5001/score");
    score(&server).await.sentence(404, "NotFound");
    let created = deploy(&server, "blue", json!({"model": "bundled"})).await;
    assert_eq!(created.status, 201);
    assert!(
        created.header("azure-asyncoperation").unwrap().ends_with("/e/deployments/blue/status")
    );
    deploy(&server, "green", json!({"model": "second"})).await;
    assert_eq!(put_endpoint(&server, json!({"blue": 100})).await.status, 200);
    assert!(!is_second(&score(&server).await));
    assert_eq!(put_endpoint(&server, json!({"blue": 0, "green": 100})).await.status, 200);
    assert!(is_second(&score(&server).await));

    let server = server.restart();
    server.wait_ready().await;
    assert!(is_second(&score(&server).await), "the traffic is as it was");
    let shown = manage(&server, Method::GET, "/e", Value::Null).await.json();
    assert_eq!(shown["properties"]["traffic"], json!({"green": 100}));
    let sentence = manage(&server, Method::DELETE, "/e/deployments/green", Value::Null).await;
    sentence.sentence(409, "DeploymentInTraffic");
    put_endpoint(&server, json!({"blue": 100})).await;
    assert_eq!(
        manage(&server, Method::DELETE, "/e/deployments/green", Value::Null).await.status,
        200
    );
    assert_eq!(
        manage(&server, Method::DELETE, "/e/deployments/green", Value::Null).await.status,
        204
    );
    assert_eq!(manage(&server, Method::DELETE, "/e", Value::Null).await.status, 200);
    assert_eq!(score(&server.restart()).await.status, 404);
}

#[tokio::test]
async fn the_first_endpoint_is_the_one_that_score_serves() {
    let server = TestServer::open().await;
    put_endpoint(&server, json!({})).await;
    deploy(&server, "d", json!({"model": "second"})).await;
    let shown = put_endpoint(&server, json!({"d": 100})).await.json();
    assert_eq!(shown["properties"]["scoringUri"], "http://localhost:5001/endpoints/e/score");
    assert!(!is_second(&score(&server).await));
    let (_, png) = picture(16, 16, 3);
    assert!(is_second(&server.post("/endpoints/e/score", score_body(&[(&png, "cell")])).await));
}

#[tokio::test]
async fn a_changed_deployment_answers_with_its_old_model_until_the_new_one_is_there() {
    let server = TestServer::empty(config(), Duration::ZERO);
    put_endpoint(&server, json!({})).await;
    deploy(&server, "d", json!({"model": "second"})).await;
    put_endpoint(&server, json!({"d": 100})).await;
    let changed =
        manage(&server, Method::PUT, "/e/deployments/d", json!({"properties": {"model": "slow"}}))
            .await;
    assert_eq!(
        (changed.status.as_u16(), &changed.json()["properties"]["provisioningState"]),
        (200, &json!("Updating"))
    );
    assert!(is_second(&score(&server).await));
    server.wait_ready().await;
    for _ in 0..400 {
        if !is_second(&score(&server).await) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the new model never answered");
}

#[tokio::test]
async fn what_has_not_loaded_is_not_ready_and_says_why() {
    let server = TestServer::empty(config(), Duration::ZERO);
    put_endpoint(&server, json!({})).await;
    manage(&server, Method::PUT, "/e/deployments/d", json!({"properties": {"model": "slow"}}))
        .await;
    put_endpoint(&server, json!({"d": 100})).await;
    let sentence = score(&server).await.sentence(503, "NotReady");
    assert_eq!(sentence, "the deployment d is still loading its model");
    assert_eq!(
        server.get("/ready").await.sentence(503, "NotReady"),
        "the deployment d is loading its model"
    );
    deploy(&server, "panicked", json!({"model": "panic"})).await;
    let shown = manage(&server, Method::GET, "/e/deployments/panicked", Value::Null).await.json();
    assert_eq!(shown["properties"]["provisioningState"], "Failed");
    deploy(&server, "broken", json!({"model": "absent"})).await;
    let shown = manage(&server, Method::GET, "/e/deployments/broken", Value::Null).await.json();
    assert_eq!(shown["properties"]["provisioningState"], "Failed");
    let status =
        manage(&server, Method::GET, "/e/deployments/broken/status", Value::Null).await.json();
    assert_eq!(status["error"]["message"], "there is no model \"absent\" on this machine");
    let log = manage(&server, Method::POST, "/e/deployments/broken/getLogs", json!({"tail": 1}))
        .await
        .json();
    assert!(
        log["content"]
            .as_str()
            .unwrap()
            .ends_with("the model was not loaded: there is no model \"absent\" on this machine")
    );
    server.wait_ready().await;
}

#[tokio::test]
async fn deployments_of_one_model_share_it() {
    let server = TestServer::empty(config(), Duration::ZERO);
    put_endpoint(&server, json!({})).await;
    for name in ["a", "b", "c"] {
        let body = json!({"properties": {"model": "slow"}});
        manage(&server, Method::PUT, &format!("/e/deployments/{name}"), body).await;
    }
    put_endpoint(&server, json!({"a": 30, "b": 30, "c": 40})).await;
    server.wait_ready().await;
    assert_eq!(server.loader.loaded.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn mirrored_requests_are_asked_of_the_mirror_and_answered_by_the_other() {
    let server = TestServer::empty(config(), Duration::ZERO);
    put_endpoint(&server, json!({})).await;
    deploy(&server, "live", json!({"model": "bundled"})).await;
    deploy(&server, "mirror", json!({"model": "second"})).await;
    let properties = json!({"traffic": {"live": 100}, "mirrorTraffic": {"mirror": 50}});
    let reply = manage(&server, Method::PUT, "/e", json!({"properties": properties})).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    for _ in 0..40 {
        assert!(!is_second(&score(&server).await));
    }
    let mirror = server.loader.loaded.lock().unwrap()[1].clone();
    let mut asked = 0;
    for _ in 0..200 {
        asked = mirror.answered.load(std::sync::atomic::Ordering::SeqCst);
        if asked >= 18 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!((18..=22).contains(&asked), "{asked} of 40");
}

#[tokio::test]
async fn a_deployment_ends_with_its_time() {
    let server = TestServer::empty(config(), Duration::ZERO);
    put_endpoint(&server, json!({})).await;
    let properties =
        json!({"model": "second", "environmentVariables": {"MEDPARSE_EXPIRES_IN": "PT1S"}});
    deploy(&server, "brief", properties).await;
    deploy(&server, "long", json!({"model": "bundled"})).await;
    put_endpoint(&server, json!({"brief": 100})).await;
    let shown = manage(&server, Method::GET, "/e/deployments/brief", Value::Null).await.json();
    assert!(shown["properties"]["properties"]["medparse.expires"].is_string());
    assert!(is_second(&score(&server).await));
    let follower = tokio::spawn(server.state.clone().follow());
    for _ in 0..600 {
        if manage(&server, Method::GET, "/e/deployments/brief", Value::Null).await.status == 404 {
            follower.abort();
            assert_eq!(score(&server).await.status, 404, "no deployment is left that gets traffic");
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the deployment outlived its time");
}

#[tokio::test]
async fn a_row_has_the_time_that_its_deployment_gives_it() {
    let server = TestServer::empty(config(), Duration::from_millis(400));
    put_endpoint(&server, json!({})).await;
    let settings = json!({"model": "bundled", "requestSettings": {"requestTimeout": "PT0.05S"}});
    deploy(&server, "d", settings).await;
    put_endpoint(&server, json!({"d": 100})).await;
    let reply = score(&server).await;
    assert_eq!(reply.sentence(504, "DeadlineExceeded"), "row 0 was not answered within 50ms");
}

#[tokio::test]
async fn refusals_of_the_management_api_are_sentences() {
    let server = TestServer::open().await;
    put_endpoint(&server, json!({})).await;
    let cases = [
        (Method::PUT, "/a%2Fb", json!({}), 400, "InvalidName"),
        (
            Method::PUT,
            "/e",
            json!({"properties": {"authMode": "password"}}),
            400,
            "InvalidAuthMode",
        ),
        (Method::PUT, "/e", json!({"properties": {"traffic": {"x": 100}}}), 400, "InvalidTraffic"),
        (
            Method::PUT,
            "/e",
            json!({"properties": {"traffic": {"x": "all"}}}),
            400,
            "InvalidRequest",
        ),
        (Method::PUT, "/e", json!([]), 400, "InvalidRequest"),
        (Method::PUT, "/e/deployments/d", json!({"properties": {}}), 400, "InvalidDeployment"),
        (
            Method::PUT,
            "/absent/deployments/d",
            json!({"properties": {"model": "m"}}),
            404,
            "EndpointNotFound",
        ),
        (
            Method::PUT,
            "/e/deployments/d",
            json!({"properties": {"model": "m", "environmentVariables": {"MEDPARSE_THREADS": "0"}}}),
            400,
            "InvalidDeployment",
        ),
        (
            Method::PUT,
            "/e/deployments/d",
            json!({"properties": {"model": "m", "environmentVariables": {"MEDPARSE_PRECISION": "f8"}}}),
            400,
            "InvalidDeployment",
        ),
        (
            Method::PUT,
            "/e/deployments/d",
            json!({"properties": {"model": "m", "requestSettings": {"requestTimeout": "1 parsec"}}}),
            400,
            "InvalidRequest",
        ),
        (Method::GET, "/absent", json!(null), 404, "EndpointNotFound"),
        (Method::GET, "/e/deployments/absent", json!(null), 404, "DeploymentNotFound"),
        (Method::POST, "/absent/listKeys", json!(null), 404, "EndpointNotFound"),
        (Method::POST, "/e/regenerateKeys", json!({"keyType": "Third"}), 400, "InvalidRequest"),
        (Method::POST, "/e/token", json!(null), 400, "InvalidRequest"),
    ];
    for (method, path, body, status, code) in cases {
        manage(&server, method, path, body).await.sentence(status, code);
    }
    let path = format!("{WORKSPACE}/datastores/workspaceblobstore");
    let sentence = server.get(&path).await.sentence(501, "NotAvailableOffline");
    assert!(
        sentence.starts_with("\"datastores\" are not served by medparse on this machine"),
        "{sentence}"
    );
    let other = WORKSPACE.replace("workspaces/medparse", "workspaces/other");
    let sentence = server.get(&other).await.sentence(404, "NotFound");
    assert_eq!(sentence, "this server's workspace is \"medparse\"; config.json names it");
}

#[tokio::test]
async fn a_patch_changes_what_it_names() {
    let server = TestServer::empty(config(), Duration::ZERO);
    let body =
        json!({"tags": {"a": "1"}, "properties": {"description": "first", "authMode": "Key"}});
    manage(&server, Method::PUT, "/e", body).await;
    deploy(&server, "d", json!({"model": "bundled"})).await;
    let patched =
        manage(&server, Method::PATCH, "/e", json!({"properties": {"traffic": {"d": 100}}}))
            .await
            .json();
    assert_eq!(
        (&patched["tags"], &patched["properties"]["description"]),
        (&json!({"a": "1"}), &json!("first"))
    );
    assert_eq!(score(&server).await.status, 200);
}

#[tokio::test]
async fn a_change_by_another_process_is_followed() {
    let server = TestServer::open().await;
    let other = medparse_server::Store::open(server.folder.path()).unwrap();
    let follower = tokio::spawn(server.state.clone().follow());
    other
        .update::<_, medparse_server::AdminError>(|document| {
            let spec = medparse_server::admin::DeploymentSpec {
                model: "second".into(),
                ..Default::default()
            };
            medparse_server::admin::put_deployment(document, "medparse", "late", spec)
        })
        .unwrap();
    let (_, png) = picture(16, 16, 3);
    let body = score_body(&[(&png, "cell")]).to_string().into_bytes();
    for _ in 0..300 {
        let reply = server
            .call(Method::POST, "/score", &[("azureml-model-deployment", "late")], body.clone())
            .await;
        if reply.status == 200 {
            assert!(is_second(&reply));
            follower.abort();
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the new deployment never answered");
}
