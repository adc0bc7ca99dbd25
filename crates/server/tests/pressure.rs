//! Under load: places, slots, deadlines, clients that go away.

mod common;

use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use common::{StubLoader, TestServer, picture, score_body};
use http_body_util::BodyExt;
use medparse_server::{Access, Capacity, Limits, ServerConfig, Timeouts};
use serde_json::json;
use tower::ServiceExt;

fn config(slots: usize, waiting: usize) -> ServerConfig {
    ServerConfig {
        access: Access::Open,
        capacity: Capacity { slots, waiting, decoders: 2 },
        ..ServerConfig::default()
    }
}

fn request(rows: usize) -> Request<Body> {
    let (_, png) = picture(8, 8, 1);
    let body = score_body(&vec![(png.as_str(), "cell"); rows]).to_string();
    Request::post("/score")
        .header("content-type", "application/json")
        .body(Body::from(body))
        .unwrap()
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_than_places_are_told_when_to_come_back() {
    let server = TestServer::with(config(1, 2), Duration::from_millis(300)).await;
    let sent = (0..10).map(|_| {
        let router = server.router.clone();
        tokio::spawn(async move { common::send(&router, request(1)).await })
    });
    let mut statuses = Vec::new();
    for reply in sent.collect::<Vec<_>>() {
        let reply = reply.await.unwrap();
        if reply.status == 429 {
            assert_eq!(reply.header("retry-after"), Some("1"));
            assert_eq!(
                reply.sentence(429, "TooManyRequests"),
                "every place in the queue is taken; try again in 1 s"
            );
        }
        statuses.push(reply.status.as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [[200; 3].as_slice(), &[429; 7]].concat());
    assert_eq!(server.send(request(1)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_frees_its_place_and_the_model() {
    let server = TestServer::with(config(1, 0), Duration::from_secs(30)).await;
    let stub = server.stub();
    let router = server.router.clone();
    let waiting = tokio::spawn(async move { router.oneshot(request(1)).await });
    eventually("the model is busy", || stub.encodings.load(SeqCst) == 1).await;
    assert_eq!(server.send(request(1)).await.status, 429);
    let started = Instant::now();
    waiting.abort();
    eventually("the model is asked to stop", || stub.cancelled.load(SeqCst) == 1).await;
    assert!(started.elapsed() < Duration::from_secs(5), "long before the model would have ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_while_its_picture_is_encoded_is_asked_for_no_more() {
    let encode_delay = Duration::from_millis(300);
    let loader = StubLoader { encode_delay, delay: Duration::from_secs(30), ..Default::default() };
    let server = TestServer::over_model(config(1, 0), loader).await;
    let stub = server.stub();
    let router = server.router.clone();
    let waiting = tokio::spawn(async move { router.oneshot(request(8)).await });
    eventually("the picture is being encoded", || stub.encodings.load(SeqCst) == 1).await;
    waiting.abort();
    let left = Instant::now();
    let is_empty = |metrics: &[u8]| {
        std::str::from_utf8(metrics).unwrap().contains("\nmedparse_queue_depth 0\n")
    };
    while !is_empty(&server.get("/metrics").await.body) {
        assert!(left.elapsed() < Duration::from_secs(5), "the place is held for nobody");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(stub.cancelled.load(SeqCst), 0, "the question was not begun");
    assert_eq!(stub.encodings.load(SeqCst), 1, "what was encoded is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_nobody_reads_stops_the_rows_behind_it() {
    let server = TestServer::with(config(1, 0), Duration::from_millis(20)).await;
    let stub = server.stub();
    let reply = server.router.clone().oneshot(request(200)).await.unwrap();
    assert_eq!(reply.status(), 200, "the first row is there");
    let mut body = reply.into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let answered = stub.answered.load(SeqCst);
    assert!(answered < 10, "{answered} rows were computed for nobody");
    assert_eq!(server.send(request(1)).await.status, 200, "the place is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_takes_too_long_is_given_up() {
    let timeouts = Timeouts { row: Duration::from_millis(100), ..Timeouts::default() };
    let server =
        TestServer::with(ServerConfig { timeouts, ..config(1, 4) }, Duration::from_secs(30)).await;
    let stub = server.stub();
    let started = Instant::now();
    let reply = server.send(request(1)).await;
    assert_eq!(reply.sentence(504, "DeadlineExceeded"), "row 0 was not answered within 100ms");
    assert!(started.elapsed() < Duration::from_secs(5));
    eventually("the model is asked to stop", || stub.cancelled.load(SeqCst) == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_picture_is_encoded_once_however_many_ask() {
    let server = TestServer::with(config(1, 64), Duration::from_millis(5)).await;
    let asked: Vec<_> = (0..40)
        .map(|_| {
            let router = server.router.clone();
            tokio::spawn(async move { common::send(&router, request(1)).await.status })
        })
        .collect();
    for status in asked {
        assert_eq!(status.await.unwrap(), 200);
    }
    assert_eq!(server.stub().encodings.load(SeqCst), 1);
}

#[tokio::test]
async fn memory_for_requests_in_flight_is_bounded() {
    let limits = Limits { memory_bytes: 64 << 10, ..Limits::default() };
    let server = TestServer::with(ServerConfig { limits, ..config(1, 4) }, Duration::ZERO).await;
    let reply = server.post("/score", json!({"params": "x".repeat(100 << 10)})).await;
    let sentence = reply.sentence(429, "TooManyRequests");
    assert_eq!(sentence, "the memory for requests in flight is used up; try again in 1 s");
    // A picture that does not fit beside its body is decoded again when its turn comes.
    let (_, png) = picture(100, 100, 4);
    let reply = server.post("/score", score_body(&[(&png, "cell"), (&png, "cell")])).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[tokio::test]
async fn masks_beyond_the_limit_are_refused_before_the_model_is_asked() {
    let limits = Limits { mask_pixels: 10_000, ..Limits::default() };
    let server = TestServer::with(ServerConfig { limits, ..config(1, 4) }, Duration::ZERO).await;
    let (_, png) = picture(80, 60, 4);
    assert_eq!(server.post("/score", score_body(&[(&png, "a & b")])).await.status, 200);
    let sentence = server
        .post("/score", score_body(&[(&png, "a & b & c")]))
        .await
        .sentence(413, "MasksTooLarge");
    let expected = "row 0, column \"image\" (input_data.data[0][0]): 3 masks of 80×60 pixels are more than the 10000 \
                    pixels accepted for one row";
    assert_eq!(sentence, expected);
}
