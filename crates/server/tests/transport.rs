//! What every route does with a request's head and body: ids, compression, content types, paths that are not there.

mod common;

use std::io::Read;

use axum::http::Method;
use common::{TestServer, picture, score_body};
use medparse_server::SAMPLE_REQUEST;

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
    let reply =
        server.call(Method::POST, "/score", &headers, gzip(SAMPLE_REQUEST.as_bytes())).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let bomb = gzip(&vec![b' '; 40 << 20]);
    // How small it gets depends on the compressor; far below any limit on what is sent.
    assert!(bomb.len() < 2 << 20, "{}", bomb.len());
    let sentence =
        server.call(Method::POST, "/score", &headers, bomb).await.sentence(413, "BodyTooLarge");
    assert!(sentence.starts_with("the body is larger than 33554432 bytes"), "{sentence}");
    let broken = &gzip(SAMPLE_REQUEST.as_bytes())[..100];
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
            .call(Method::POST, "/score", &[("content-type", content_type)], SAMPLE_REQUEST.into())
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
