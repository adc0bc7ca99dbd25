//! The scoring routes against the contract, with every tolerance and every refusal.

mod common;

use std::io::Read;

use axum::http::Method;
use common::{TestServer, expected_mask, picture, score_body};
use medparse_wire::{ScoreRow, read_score_reply};
use serde_json::{Value, json};

/// The request example of the endpoint's documentation, byte for byte.
const DOCUMENTED: &str = r#"{
  "input_data": {
    "columns": [
      "image",
      "text"
    ],
    "index":[0],
    "data": [
      ["iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAYAAABytg0kAAAAAXNSR0IArs4c6QAAAARnQU1BAACx\njwv8YQUAAAAJcEhZcwAAFiUAABYlAUlSJPAAAAAbSURBVBhXY/gUoPS/fhfDfwaGJe///9/J8B8A\nVGwJ5VDvPeYAAAAASUVORK5CYII=\n",
      "neoplastic & inflammatory cells "]
    ]
  }
}"#;

#[tokio::test]
async fn the_documented_request_gets_its_answer() {
    let server = TestServer::open().await;
    let reply = server.post("/score", DOCUMENTED).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("azureml-model-deployment"), Some("default"));
    let rows = read_score_reply(&reply.body).unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].text_features.len(), 2);
    let masks = rows[0].masks().unwrap();
    assert_eq!(masks.shape, [2, 2, 2]);
    assert!(masks.values.iter().all(|&value| value == 0 || value == 255));
    assert!(rows[0].image_features.starts_with("{\"data\": \""));
}

#[tokio::test]
async fn masks_have_the_size_of_each_picture_and_come_in_row_order() {
    let server = TestServer::open().await;
    let pictures = [picture(31, 17, 1), picture(64, 48, 2), picture(300, 211, 3)];
    let rows: Vec<_> = pictures.iter().map(|(_, png)| (png.as_str(), "a & bb & ccc")).collect();
    let reply = server.post("/score", score_body(&rows)).await;
    let rows = read_score_reply(&reply.body).unwrap();
    assert_eq!(rows.len(), 3);
    for (row, (picture, _)) in rows.iter().zip(&pictures) {
        let masks = row.masks().unwrap();
        assert_eq!(masks.shape, [3, picture.height() as usize, picture.width() as usize]);
        for prompt in 0..3 {
            assert_eq!(masks.prompt(prompt).unwrap(), expected_mask(picture, prompt));
        }
        assert_eq!(row.text_features, ["lung", "kidney", "pancreas"]);
    }
}

#[tokio::test]
async fn no_rows_answer_an_empty_list() {
    let server = TestServer::open().await;
    let reply = server.post("/score", score_body(&[])).await;
    assert_eq!((reply.status.as_u16(), &*reply.body), (200, &b"[]"[..]));
}

#[tokio::test]
async fn two_hundred_and_fifty_six_rows_are_answered() {
    let server = TestServer::open().await;
    let (first, png) = picture(8, 8, 1);
    let reply = server.post("/score", score_body(&[(png.as_str(), "cell"); 256])).await;
    let rows = read_score_reply(&reply.body).unwrap();
    assert_eq!(rows.len(), 256);
    assert!(rows.iter().all(|row| row.masks().unwrap().values == expected_mask(&first, 0)));
}

#[tokio::test]
async fn a_get_scores_and_says_how_when_it_cannot() {
    let server = TestServer::open().await;
    let (_, png) = picture(4, 4, 1);
    let body = score_body(&[(&png, "cell")]);
    let encode = |text: String| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    for query in [encode(body.to_string()), encode(body["input_data"].to_string())] {
        let reply = server.get(&format!("/score?input_data={query}")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    let reply = server.call(Method::GET, "/score", &[], body.to_string().into_bytes()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let sentence = server.call(Method::GET, "/score", &[("host", "localhost:7")], Vec::new()).await;
    let sentence = sentence.sentence(400, "InvalidRequest");
    // The line must work as it stands: what it sends is sent here.
    let sent = sentence.split("-d '").nth(1).unwrap().strip_suffix('\'').unwrap();
    assert!(sentence.contains("curl http://localhost:7/score"), "{sentence}");
    assert_eq!(server.post("/score", sent).await.status, 200);
}

#[tokio::test]
async fn every_endpoint_is_scored_by_its_name() {
    let server = TestServer::open().await;
    let (_, png) = picture(4, 4, 1);
    let body = score_body(&[(&png, "cell")]);
    assert_eq!(server.post("/endpoints/medparse/score", &body).await.status, 200);
    let sentence =
        server.post("/endpoints/other/score", &body).await.sentence(404, "EndpointNotFound");
    assert_eq!(sentence, "there is no endpoint named \"other\"");
}

#[tokio::test]
async fn a_header_picks_the_deployment() {
    let server = TestServer::open().await;
    let (_, png) = picture(4, 4, 1);
    let body = score_body(&[(&png, "cell")]).to_string().into_bytes();
    let header = |name| [("azureml-model-deployment", name)];
    assert_eq!(
        server.call(Method::POST, "/score", &header("default"), body.clone()).await.status,
        200
    );
    let reply = server.call(Method::POST, "/score", &header("blue"), body).await;
    let sentence = reply.sentence(404, "DeploymentNotFound");
    assert_eq!(sentence, "the endpoint \"medparse\" has no deployment named \"blue\"");
}

#[tokio::test]
async fn refusals_have_a_status_and_name_row_and_column() {
    let server = TestServer::open().await;
    let (_, png) = picture(4, 4, 1);
    let ok = png.as_str();
    let truncated = base64_simd::STANDARD
        .encode_to_string(&base64_simd::STANDARD.decode_to_vec(&png).unwrap()[..60]);
    let dicom = base64_simd::STANDARD.encode_to_string([&[0u8; 128][..], b"DICM"].concat());
    let cases: [(Value, u16, &str, &str); 9] = [
        (json!([]), 400, "InvalidRequest", "the body must be a JSON object"),
        (
            score_body(&[(ok, "a"), ("a*b", "a")]),
            422,
            "InvalidBase64",
            "row 1, column \"image\" (input_data.data[1][0]): the picture is not base64: character 1",
        ),
        (
            score_body(&[(ok, "a"), (ok, "a & & b")]),
            422,
            "InvalidText",
            "row 1, column \"text\" (input_data.data[1][1]): sentence 2 of 3 is empty",
        ),
        (
            score_body(&[(ok, "a"), (&truncated, "a")]),
            422,
            "InvalidImage",
            "row 1, column \"image\" (input_data.data[1][0]): the PNG is truncated",
        ),
        (
            score_body(&[("aGVsbG8=", "a")]),
            422,
            "InvalidImage",
            "row 0, column \"image\" (input_data.data[0][0]): not a picture that can be read",
        ),
        (
            score_body(&[(&dicom, "a")]),
            422,
            "InvalidImage",
            "row 0, column \"image\" (input_data.data[0][0])",
        ),
        (
            score_body(&[(ok, &vec!["a"; 10_000].join("&"))]),
            413,
            "TextTooLong",
            "row 0, column \"text\" (input_data.data[0][1]): the text has 10000 sentences",
        ),
        (score_body(&vec![(ok, "a"); 257]), 413, "TooManyRows", "the request has 257 rows"),
        (
            json!({"input_data": {"columns": ["image", "prompt"], "data": []}}),
            400,
            "InvalidColumns",
            "input_data.columns must name",
        ),
    ];
    for (body, status, code, start) in cases {
        let reply = server.post("/score", &body).await;
        let sentence = reply.sentence(status, code);
        assert!(sentence.starts_with(start), "{sentence}");
    }
}

#[tokio::test]
async fn a_bad_row_among_good_ones_costs_no_computation() {
    let server = TestServer::open().await;
    let (_, png) = picture(4, 4, 1);
    let mut rows = vec![(png.as_str(), "a"); 200];
    rows.push(("????", "a"));
    assert_eq!(server.post("/score", score_body(&rows)).await.status, 422);
    assert_eq!(server.stub().answered.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test]
async fn failures_of_the_model_are_not_shown() {
    let server = TestServer::open().await;
    let (_, png) = picture(4, 4, 1);
    for prompt in ["fail", "panic"] {
        let sentence =
            server.post("/score", score_body(&[(&png, prompt)])).await.sentence(500, "ModelFailed");
        assert_eq!(
            sentence,
            "the model failed on row 0; the server's log says why under this request's id"
        );
    }
    let sentence =
        server.post("/score", score_body(&[(&png, "unusable")])).await.sentence(422, "InvalidRow");
    assert_eq!(sentence, "row 0: the picture is no use");
    // A later row that fails breaks the transfer off; the rows before it have been sent.
    let reply = server.post("/score", score_body(&[(&png, "a"), (&png, "fail")])).await;
    assert_eq!(
        (reply.status.as_u16(), reply.body.len()),
        (200, 0),
        "the collected body is an error"
    );
    assert_eq!(server.post("/score", score_body(&[(&png, "a")])).await.status, 200);
}

#[tokio::test]
async fn a_sentence_that_is_cut_is_answered_with_a_warning() {
    let server = TestServer::open().await;
    let (_, png) = picture(4, 4, 1);
    let long = format!("cell & {}", vec!["word"; 100].join(" "));
    let reply = server.post("/score", score_body(&[(&png, "a"), (&png, &long)])).await;
    assert_eq!(reply.status, 200);
    let warning =
        "TextTruncated: row 1, sentence 2: longer than 77 tokens and cut as the reference cuts it";
    assert_eq!(reply.header("x-medparse-warning"), Some(warning));
    assert_eq!(server.post("/score", DOCUMENTED).await.header("x-medparse-warning"), None);
}

#[tokio::test]
async fn ids_are_echoed_or_made_and_bounded() {
    let server = TestServer::open().await;
    let reply =
        server.call(Method::GET, "/", &[("x-ms-client-request-id", "mine")], Vec::new()).await;
    for name in ["x-request-id", "x-ms-request-id", "x-ms-client-request-id"] {
        assert_eq!(reply.header(name), Some("mine"), "{name}");
    }
    let made = server.get("/").await;
    assert_eq!(made.header("x-request-id").unwrap().len(), 36);
    assert_eq!(made.header("x-request-id"), made.header("x-ms-request-id"));
    assert_ne!(made.header("x-request-id"), server.get("/").await.header("x-request-id"));
    for name in ["x-request-id", "x-ms-request-id", "x-ms-client-request-id"] {
        let long = "a".repeat(101);
        let reply = server.call(Method::GET, "/", &[(name, &long)], Vec::new()).await;
        let sentence = reply.sentence(431, "RequestIdTooLong");
        assert_eq!(
            sentence,
            format!("the header {name} has 101 characters; at most 100 are accepted")
        );
        let reply = server.call(Method::GET, "/", &[(name, &long[..100])], Vec::new()).await;
        assert_eq!(reply.status, 200);
    }
}

fn unzip(encoding: &str, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match encoding {
        "gzip" => flate2::read::MultiGzDecoder::new(body).read_to_end(&mut out).map(|_| ()),
        "br" => brotli::BrotliDecompress(&mut &body[..], &mut out),
        "zstd" => zstd::stream::copy_decode(body, &mut out),
        other => panic!("{other}"),
    }
    .unwrap();
    out
}

#[tokio::test]
async fn replies_are_compressed_when_asked() {
    let server = TestServer::open().await;
    let (_, png) = picture(512, 512, 5);
    let body = score_body(&[(&png, "cell & nucleus")]).to_string().into_bytes();
    let plain = server.call(Method::POST, "/score", &[], body.clone()).await;
    assert_eq!(plain.header("content-encoding"), None);
    for (accepted, encoding) in
        [("gzip", "gzip"), ("br", "br"), ("zstd", "zstd"), ("gzip;q=0.5, zstd;q=0.1", "gzip")]
    {
        let reply = server
            .call(Method::POST, "/score", &[("accept-encoding", accepted)], body.clone())
            .await;
        assert_eq!(reply.header("content-encoding"), Some(encoding));
        assert!(
            reply.body.len() * 10 < plain.body.len(),
            "{encoding}: {} of {}",
            reply.body.len(),
            plain.body.len()
        );
        assert_eq!(unzip(encoding, &reply.body), plain.body);
    }
    let reply = server
        .call(Method::POST, "/score", &[("accept-encoding", "gzip, deflate, br")], body)
        .await;
    assert!(reply.header("content-encoding").is_some());
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn gzip_bodies_are_read_within_the_limit_of_what_they_unfold_to() {
    let server = TestServer::open().await;
    let headers = [("content-encoding", "gzip")];
    let reply = server.call(Method::POST, "/score", &headers, gzip(DOCUMENTED.as_bytes())).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let bomb = gzip(&vec![b' '; 40 << 20]);
    // How small it gets depends on the compressor; far below any limit on what is sent.
    assert!(bomb.len() < 2 << 20, "{}", bomb.len());
    let sentence =
        server.call(Method::POST, "/score", &headers, bomb).await.sentence(413, "BodyTooLarge");
    assert!(sentence.starts_with("the body is larger than 33554432 bytes"), "{sentence}");
    let broken = &gzip(DOCUMENTED.as_bytes())[..100];
    let sentence = server
        .call(Method::POST, "/score", &headers, broken.into())
        .await
        .sentence(400, "InvalidBody");
    assert_eq!(sentence, "the body broke off or is not valid gzip");
    let reply =
        server.call(Method::POST, "/score", &[("content-encoding", "br")], vec![0; 9]).await;
    assert_eq!(reply.header("accept-encoding"), Some("gzip"));
    reply.sentence(415, "UnsupportedMediaType");
}

#[tokio::test]
async fn other_content_types_are_refused() {
    let server = TestServer::open().await;
    for (content_type, status) in [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("application/vnd.api+json", 200),
        ("text/plain", 415),
        ("multipart/form-data; boundary=x", 415),
        ("image/png", 415),
    ] {
        let reply = server
            .call(Method::POST, "/score", &[("content-type", content_type)], DOCUMENTED.into())
            .await;
        assert_eq!(reply.status.as_u16(), status, "{content_type}");
    }
}

#[tokio::test]
async fn unknown_routes_and_methods_answer_in_the_contract_s_shape() {
    let server = TestServer::open().await;
    let sentence = server.get("/nothing").await.sentence(404, "RouteNotFound");
    assert_eq!(sentence, "/nothing is not served here; the routes are listed at /swagger.json");
    let sentence = server
        .call(Method::DELETE, "/score", &[], Vec::new())
        .await
        .sentence(405, "MethodNotAllowed");
    assert_eq!(sentence, "this path does not answer DELETE");
}

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
        assert_eq!(values, expected.iter().map(|value| value / 2).collect::<Vec<_>>());
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
