//! The log holds what an operator needs and nothing of what was sent: no pixel, prompt, key, body or file name.

mod common;

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::Method;
use common::{TestServer, picture, score_body};
use medparse_server::{SecretText, ServerConfig};
use serde_json::{Value, json};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn one_line_a_request_and_nothing_of_what_was_sent() {
    let lines = Lines::default();
    let writer = lines.clone();
    // Everything is logged that any crate would log, for the whole process.
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let key = "the-primary-key-of-this-test";
    let config = ServerConfig { given_keys: vec![SecretText::new(key)], ..ServerConfig::default() };
    let server = TestServer::with(config, Duration::ZERO).await;
    let (_, png) = picture(32, 32, 1);
    let prompt = "Mrs Miller's left kidney";
    let bearer = format!("Bearer {key}");
    let good = score_body(&[(&png, prompt), (&png, &format!("{prompt} & b"))]).to_string();
    let bodies = [
        good.clone(),
        score_body(&[(&png, &format!("{prompt} & & {prompt}"))]).to_string(),
        score_body(&[(&png[..png.len() / 2], prompt)]).to_string(),
        score_body(&[(&format!("{png}*"), prompt)]).to_string(),
        json!({prompt: prompt, "input_data": {"columns": [prompt], "data": prompt}}).to_string(),
        good[..good.len() / 2].to_owned(),
    ];
    let mut sent = 0;
    for path in ["/score", "/invocations", "/v2/models/default/infer", "/api/v1/segment"] {
        for body in &bodies {
            for token in [&*bearer, "Bearer wrong-key-of-somebody"] {
                let headers = [("authorization", token), ("x-request-id", "the-request")];
                server.call(Method::POST, path, &headers, body.clone().into_bytes()).await;
                sent += 1;
            }
        }
    }
    for path in ["/score?input_data=Miller", "/patients/Miller.png"] {
        server.call(Method::GET, path, &[("authorization", &bearer)], Vec::new()).await;
        sent += 1;
    }
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    for secret in ["Miller", key, "wrong-key-of-somebody", &png[40..80]] {
        assert!(!text.contains(secret), "{secret:?} is logged:\n{text}");
    }
    let requests: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| line["message"] == "request")
        .collect();
    assert_eq!(requests.len(), sent, "one line a request");
    let first = &requests[0];
    assert_eq!(
        [&first["id"], &first["status"], &first["rows"], &first["prompts"], &first["deployment"]],
        [&json!("the-request"), &json!(200), &json!(2), &json!(3), &json!("default")]
    );
    for stage in [
        "total_ms",
        "body_ms",
        "parse_ms",
        "decode_ms",
        "wait_ms",
        "encode_ms",
        "ask_ms",
        "write_ms",
    ] {
        assert!(first[stage].is_number(), "{stage}");
    }
}
