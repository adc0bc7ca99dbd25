//! The scoring routes against the contract, with every tolerance and every refusal.

mod common;

use axum::http::Method;
use common::{StubLoader, TestServer, expected_mask, picture, score_body};
use medparse_server::{Access, ServerConfig};
use medparse_wire::read_score_reply;
use serde_json::{Value, json};

/// The request example of the endpoint's documentation, byte for byte.
const DOCUMENTED: &str = include_str!("../../../testdata/documented_request.json");

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
async fn a_get_says_how_under_the_public_address() {
    let server = TestServer::over_model(
        ServerConfig {
            access: Access::Open,
            public_url: Some("https://rack7:5001/".to_owned()),
            ..ServerConfig::default()
        },
        StubLoader::default(),
    )
    .await;
    let sentence = server.get("/score").await.sentence(400, "InvalidRequest");
    assert!(sentence.contains("curl https://rack7:5001/score "), "{sentence}");
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
