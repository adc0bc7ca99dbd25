//! The OpenAPI document against the routes, both ways.

mod common;

use std::process::Command;

use axum::http::Method;
use common::{TestServer, picture, score_body};
use serde_json::{Value, json};

const WORKSPACE: &str = "/subscriptions/{subscription}/resourceGroups/{group}/providers/\
    Microsoft.MachineLearningServices/workspaces/{workspace}";

async fn document() -> Value {
    TestServer::open().await.get("/swagger.json").await.json()
}

#[tokio::test]
async fn every_documented_route_is_served() {
    let server = TestServer::open().await;
    for (path, operations) in document().await["paths"].as_object().unwrap() {
        let path = path
            .replace("{subscription}", "00000000-0000-0000-0000-000000000000")
            .replace("{group}", "medparse")
            .replace("{workspace}", "medparse");
        for method in operations.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let body = if method == Method::GET { Vec::new() } else { b"{}".to_vec() };
            let reply = server.call(method.clone(), &path, &[], body).await;
            let code = reply.text();
            let missing = ["RouteNotFound", "MethodNotAllowed", "NotAvailableOffline"];
            assert!(
                missing.iter().all(|missing| !code.contains(missing)),
                "{method} {path}: {code}"
            );
        }
    }
}

#[tokio::test]
async fn every_served_route_is_documented() {
    let document = document().await;
    let sources = [
        include_str!("../src/app.rs"),
        include_str!("../src/manage/mod.rs"),
        include_str!("../src/monai/mod.rs"),
    ]
    .concat();
    let mut found = 0;
    // A route stands in the source as `.route("path"`, `.route(&at("path")` or, over two lines, `&at("path")`.
    for start in sources.split(".route(").skip(1) {
        let start = start.trim_start();
        let path = match start.split_once('"') {
            Some(("", rest)) => rest.split('"').next().unwrap().to_owned(),
            Some(("&at(", rest)) => format!("{WORKSPACE}{}", rest.split('"').next().unwrap()),
            _ if start.starts_with("WORKSPACE") => WORKSPACE.to_owned(),
            _ => panic!("an unreadable route: {start:.60}"),
        };
        if path.ends_with("/{*rest}") {
            continue;
        }
        assert!(document["paths"].get(&path).is_some(), "{path} is not documented");
        found += 1;
    }
    assert_eq!(found, document["paths"].as_object().unwrap().len());
}

#[tokio::test]
async fn every_reference_leads_somewhere() {
    fn check(value: &Value, document: &Value) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    let pointer = reference.strip_prefix('#').expect(reference);
                    assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
                }
                members.values().for_each(|member| check(member, document));
            }
            Value::Array(items) => items.iter().for_each(|item| check(item, document)),
            _ => {}
        }
    }
    let document = document().await;
    check(&document, &document);
}

#[tokio::test]
async fn the_documented_example_and_members_are_real() {
    let server = TestServer::open().await;
    let document = document().await;
    let schemas = &document["components"]["schemas"];
    let reply = server.post("/score", &schemas["ScoreRequest"]["example"]).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let (_, png) = picture(8, 8, 1);
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let segmented =
        server.post("/api/v1/segment", json!({"image": png, "prompts": ["a"]})).await.json();
    let scored = server.post("/score", score_body(&[(&png, "a")])).await.json();
    for (value, schema) in [
        (&segmented, "SegmentReply"),
        (&segmented["prompts"][0], "PromptReply"),
        (&scored[0], "ScoreRow"),
        (&server.post("/score", "[").await.json(), "Error"),
    ] {
        let (mut found, mut documented) = (names(value), names(&schemas[schema]["properties"]));
        found.sort();
        documented.sort();
        assert_eq!(found, documented, "{schema}");
    }
    assert_eq!(
        schemas["PromptReply"]["properties"]["category"]["enum"],
        json!(medparse_wire::CATEGORIES)
    );
}

/// Needs a Python with openapi-spec-validator, named by `MEDPARSE_AZURE_PYTHON`.
#[test]
#[ignore = "needs openapi-spec-validator; run with MEDPARSE_AZURE_PYTHON=… cargo test -- --ignored"]
fn a_validator_accepts_the_document() {
    let python =
        std::env::var_os("MEDPARSE_AZURE_PYTHON").expect("MEDPARSE_AZURE_PYTHON names a Python");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/openapi.json");
    let status =
        Command::new(python).args(["-m", "openapi_spec_validator", file]).status().unwrap();
    assert!(status.success());
}
