//! The other ways to ask and to look: health, MLflow, the inference protocol, the page's question, metrics.

mod common;

use common::{TestServer, expected_mask, picture, score_body, stub};
use medparse_wire::{ScoreRow, read_score_reply};
use serde_json::{Value, json};

#[tokio::test]
async fn health_follows_the_model() {
    let server = TestServer::empty(
        medparse_server::ServerConfig {
            access: medparse_server::Access::Open,
            ..Default::default()
        },
        std::time::Duration::ZERO,
    );
    assert_eq!(server.get("/").await.text(), "Healthy");
    for path in ["/ready", "/ping", "/health"] {
        assert_eq!(
            server.get(path).await.sentence(503, "NotReady"),
            "no endpoint has been made yet"
        );
    }
    assert_eq!(server.get("/v2/health/live").await.json(), json!({"live": true}));
    let reply = server.get("/v2/health/ready").await;
    assert_eq!((reply.status.as_u16(), reply.json()), (503, json!({"ready": false})));
    let server = TestServer::open().await;
    for path in ["/ready", "/ping", "/health"] {
        assert_eq!(server.get(path).await.text(), "Ready");
    }
    assert_eq!(server.get("/v2/health/ready").await.json(), json!({"ready": true}));
    server.state.start_draining();
    let reply = server.get("/ready").await;
    assert_eq!(reply.header("connection"), Some("close"));
    assert_eq!(reply.sentence(503, "NotReady"), "the server is shutting down");
}

#[tokio::test]
async fn mlflow_clients_are_answered() {
    let server = TestServer::open().await;
    let (_, png) = picture(16, 16, 1);
    let record = json!({"image": png, "text": "a & b"});
    let bare: Vec<ScoreRow> =
        read_score_reply(&server.post("/score", score_body(&[(&png, "a & b")])).await.body)
            .unwrap();
    for body in [
        json!({"dataframe_split": {"columns": ["text", "image"], "data": [["a & b", png]]}}),
        json!({"dataframe_records": [record]}),
        json!({"instances": [record], "params": {}}),
        json!({"inputs": {"image": [png], "text": ["a & b"]}}),
    ] {
        let reply = server.post("/invocations", &body).await;
        let predictions: Vec<ScoreRow> =
            serde_json::from_value(reply.json()["predictions"].clone()).unwrap();
        assert_eq!(predictions, bare);
    }
    assert_eq!(server.get("/version").await.text(), env!("CARGO_PKG_VERSION"));
    server.post("/invocations", json!({"inputs": 3})).await.sentence(400, "InvalidRequest");
}

#[tokio::test]
async fn the_inference_protocol_is_answered() {
    let server = TestServer::open().await;
    let (_, png) = picture(16, 16, 1);
    let body = json!({"id": "42", "inputs": [
        {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["a & b", "cell"]},
        {"name": "image", "shape": [2], "datatype": "BYTES", "data": [png, png]},
    ]});
    let bare = server.post("/score", score_body(&[(&png, "a & b"), (&png, "cell")])).await.json();
    for path in [
        "/v2/models/default/infer",
        "/v2/models/medparse/infer",
        "/v2/models/default/versions/1/infer",
    ] {
        let reply = server.post(path, &body).await.json();
        assert_eq!(reply["id"], "42");
        assert_eq!(reply["model_version"], "1");
        let [masks, labels] = [&reply["outputs"][0], &reply["outputs"][1]];
        assert_eq!(
            (&masks["name"], &labels["name"]),
            (&json!("image_features"), &json!("text_features"))
        );
        assert_eq!((&masks["shape"], &labels["datatype"]), (&json!([2]), &json!("BYTES")));
        for row in 0..2 {
            assert_eq!(masks["data"][row], bare[row]["image_features"]);
            let list: Value = serde_json::from_str(labels["data"][row].as_str().unwrap()).unwrap();
            assert_eq!(list, bare[row]["text_features"]);
        }
    }
    assert_eq!(server.get("/v2").await.json()["name"], "medparse");
    let metadata = server.get("/v2/models/default").await.json();
    assert_eq!(metadata["inputs"][0], json!({"name": "image", "datatype": "BYTES", "shape": [-1]}));
    assert_eq!(server.get("/v2/models/default/ready").await.json(), json!({"ready": true}));
    server.get("/v2/models/nothing").await.sentence(404, "NotFound");
    server.get("/v2/models/default/versions/9").await.sentence(404, "NotFound");
    server.post("/v2/models/nothing/infer", &body).await.sentence(404, "NotFound");
}

#[tokio::test]
async fn the_page_s_question_gets_probabilities_and_geometry() {
    let server = TestServer::open().await;
    let (sent, png) = picture(40, 30, 7);
    let reply = server
        .post("/api/v1/segment", json!({"image": png, "prompts": ["cell", " nucleus "]}))
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let body = reply.json();
    assert_eq!(body["picture"], json!({"width": 40, "height": 30, "spacing_mm": null}));
    assert_eq!(
        (&body["together"], &body["fit"], &body["precision"]),
        (&json!("alone"), &json!("stretch"), &json!("f32"))
    );
    let prompts = body["prompts"].as_array().unwrap();
    assert_eq!(prompts.len(), 2);
    // Alone: each sentence is the first of its question.
    for (prompt, name) in prompts.iter().zip(["cell", "nucleus"]) {
        let expected = expected_mask(&sent, 0);
        assert_eq!(prompt["prompt"], name);
        assert_eq!(prompt["presence"], Value::Null);
        assert_eq!(prompt["area_px"], expected.iter().filter(|&&value| value == 255).count());
        let values =
            base64_simd::STANDARD.decode_to_vec(prompt["probabilities"].as_str().unwrap()).unwrap();
        let greens = sent.pixels().chunks_exact(3).map(|rgb| rgb[1]);
        let pairs = expected.iter().zip(greens);
        let wanted: Vec<u8> =
            pairs.map(|(&inside, green)| stub::probability(inside, green)).collect();
        assert_eq!(values, wanted);
    }
    let second = expected_mask(&sent, 1).iter().filter(|&&value| value == 255).count();
    for (fit, cached) in [("stretch", true), ("pad", false), ("pad", true)] {
        let joint = json!({
            "image": png, "prompts": ["a", "b"], "together": "joint", "fit": fit, "probabilities": false
        });
        let body = server.post("/api/v1/segment", joint).await.json();
        assert_eq!((&body["fit"], &body["timing"]["cached"]), (&json!(fit), &json!(cached)));
        let answer = &body["prompts"][1];
        assert_eq!((&answer["area_px"], &answer["probabilities"]), (&json!(second), &Value::Null));
    }
    for (body, status, code) in [
        (json!({"image": png, "prompts": []}), 400, "InvalidRequest"),
        (json!({"image": png, "prompts": ["a", " "]}), 422, "InvalidRow"),
        (json!({"image": "*", "prompts": ["a"]}), 422, "InvalidRow"),
        (json!({"image": "aGk=", "prompts": ["a"]}), 422, "InvalidImage"),
        (json!({"image": png, "prompts": ["a"], "promts": 1}), 400, "InvalidRequest"),
        (json!({"image": png, "prompts": ["fail"]}), 500, "ModelFailed"),
    ] {
        server.post("/api/v1/segment", &body).await.sentence(status, code);
    }
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let server = TestServer::open().await;
    let (_, png) = picture(16, 16, 1);
    for _ in 0..3 {
        server.post("/score", score_body(&[(&png, "a & b")])).await;
    }
    server.post("/score", "[").await;
    let text = server.get("/metrics").await;
    assert!(text.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    let text = String::from_utf8(text.body).unwrap();
    for line in [
        "medparse_rows_total 3",
        "medparse_prompts_total 6",
        "medparse_encodings_total{outcome=\"computed\"} 1",
        "medparse_encodings_total{outcome=\"kept\"} 2",
        "medparse_rejections_total{reason=\"BadRequest\"} 1",
        "medparse_request_seconds_count{route=\"/score\",status=\"200\"} 3",
        "medparse_stage_seconds_count{stage=\"ask\"} 3",
        "medparse_queue_depth 0",
        "medparse_ready 1.0",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line} is missing in:\n{text}");
    }
}
