//! The routes of a MONAI Label server, as its own client calls them.

mod common;

use std::time::Duration;

use axum::http::Method;
use common::{Reply, TestServer};
use medparse_imaging::{Limits, Samples, decode};
use medparse_server::admin::{KeyGrant, grant_key};
use medparse_server::store::Scope;
use medparse_server::{Access, ServerConfig};
use serde_json::json;

/// A NIfTI file of 8-bit values: the position of each voxel.
fn nifti([columns, rows, slices]: [u8; 3]) -> Vec<u8> {
    let mut file = vec![0; 352];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &348i32.to_le_bytes());
    for (at, size) in [3, columns, rows, slices, 1, 1, 1, 1].into_iter().enumerate() {
        put(40 + 2 * at, &i16::from(size).to_le_bytes());
    }
    put(70, &2i16.to_le_bytes());
    put(72, &8i16.to_le_bytes());
    for (at, value) in [(76, 1.0f32), (80, 1.0), (84, 1.0), (88, 1.0), (108, 352.0)] {
        put(at, &value.to_le_bytes());
    }
    put(254, &2i16.to_le_bytes());
    for at in [280, 300, 320] {
        put(at, &1.0f32.to_le_bytes());
    }
    put(344, b"n+1\0");
    file.extend(0..columns * rows * slices);
    file
}

async fn form(
    server: &TestServer,
    method: Method,
    path: &str,
    parts: &[(&str, &[u8])],
    key: Option<&str>,
) -> Reply {
    let bearer = key.map(|key| format!("Bearer {key}"));
    let headers: Vec<_> = bearer.iter().map(|bearer| ("authorization", &**bearer)).collect();
    server.form(method, path, parts, &headers).await
}

/// The labels of a label map, by voxel.
fn labels(file: &[u8]) -> Vec<f32> {
    match decode(file, &Limits::default()).unwrap().samples() {
        Samples::Gray(values) => values.clone(),
        Samples::Rgb(_) => panic!("a label map is gray"),
    }
}

const PARAMS: &[u8] = br#"{"prompts": "liver & spleen", "client_id": null}"#;

/// The parts of a form: names and contents.
type Parts<'a> = &'a [(&'a str, &'a [u8])];

#[tokio::test]
async fn a_scan_comes_back_as_a_label_map() {
    let server = TestServer::open().await;
    let file = nifti([6, 5, 4]);
    let parts = [("params", PARAMS), ("file", &*file)];
    let image =
        form(&server, Method::POST, "/infer/default?image=&output=image", &parts, None).await;
    assert_eq!(image.status, 200, "{}", image.text());
    let map = labels(&image.body);
    assert_eq!(map.len(), 120);
    // The stub marks bright pixels, fewer for the second phrase: where both are, the label is one of them.
    for label in [0.0, 1.0] {
        assert!(map.contains(&label), "no voxel has the label {label}");
    }
    assert!(map.iter().all(|label| [0.0, 1.0, 2.0].contains(label)), "{map:?}");

    // A session gives the same answer, and both come as one form by default.
    let session = form(&server, Method::PUT, "/session/", &[("files", &file)], None).await.json();
    assert_eq!(session["session_info"]["dimensions"], json!([6, 5, 4]));
    let id = session["session_id"].as_str().unwrap();
    let path = format!("/infer/default?image=&session_id={id}");
    let both = form(&server, Method::POST, &path, &[("params", PARAMS)], None).await;
    let kind = both.header("content-type").unwrap();
    let mark = kind.strip_prefix("multipart/form-data; boundary=").unwrap();
    let text = String::from_utf8_lossy(&both.body).into_owned();
    assert_eq!(text.matches(mark).count(), 3);
    assert!(text.contains(r#""label_names":{"liver":1,"spleen":2}"#), "{text}");
    assert!(both.body.windows(image.body.len()).any(|part| part == image.body));
    let path = format!("/session/{id}");
    assert_eq!(server.get(&path).await.json()["dimensions"], json!([6, 5, 4]));
    assert_eq!(server.call(Method::DELETE, &path, &[], Vec::new()).await.status, 200);
    server.get(&path).await.sentence(404, "NotFound");
}

#[tokio::test]
async fn the_eldest_session_makes_room() {
    let server = TestServer::open().await;
    let file = nifti([2, 2, 1]);
    let mut ids = Vec::new();
    for _ in 0..5 {
        let made = form(&server, Method::PUT, "/session/", &[("files", &file)], None).await.json();
        ids.push(made["session_id"].as_str().unwrap().to_owned());
    }
    assert_eq!(server.get(&format!("/session/{}", ids[0])).await.status, 404);
    assert_eq!(server.get(&format!("/session/{}", ids[1])).await.status, 200);
}

#[tokio::test]
async fn what_cannot_be_answered_is_a_sentence() {
    let server = TestServer::open().await;
    let file = nifti([2, 2, 1]);
    let (_, png) = common::picture(8, 8, 1);
    let png = base64_simd::STANDARD.decode_to_vec(png).unwrap();
    let scan = ("file", &*file);
    let cases: [(&str, Parts<'_>, u16, &str); 7] = [
        ("/infer/default", &[("params", b"{}"), scan], 400, "there are none"),
        ("/infer/default", &[("params", b"["), scan], 400, "params must hold the phrases"),
        ("/infer/default", &[("params", br#"{"prompts": "a & & b"}"#), scan], 422, "sentence 2"),
        ("/infer/default", &[("params", PARAMS)], 400, "no part named \"file\""),
        ("/infer/default", &[("params", PARAMS), ("file", &png)], 422, "where its voxels lie"),
        ("/infer/unknown", &[("params", PARAMS), scan], 404, "unknown"),
        ("/infer/default?session_id=gone", &[("params", PARAMS)], 404, "no such session"),
    ];
    for (path, parts, status, said) in cases {
        let reply = form(&server, Method::POST, path, parts, None).await;
        assert_eq!(reply.status, status, "{path}: {}", reply.text());
        assert!(reply.text().contains(said) || reply.text().contains(&said.replace('"', "\\\"")));
    }
}

#[tokio::test]
async fn a_model_is_a_deployment_and_a_key_is_asked_for() {
    let open = TestServer::open().await;
    let info = open.get("/info/").await.json();
    assert_eq!(info["models"]["default"]["type"], "segmentation");
    assert_eq!(
        info["models"]["default"]["config"]["prompts"],
        "neoplastic cells & inflammatory cells"
    );
    assert_eq!(info["labels"].as_array().unwrap().len(), 4);
    assert_eq!(open.get("/auth/").await.json(), json!({"enabled": false}));

    let config = ServerConfig { access: Access::Keys, ..Default::default() };
    let server = TestServer::with(config, Duration::ZERO).await;
    let parts = [("params", PARAMS), ("file", &*nifti([2, 2, 1]))];
    server.get("/info/").await.sentence(401, "Unauthorized");
    for path in ["/infer/default", "/session/"] {
        let method = if path == "/session/" { Method::PUT } else { Method::POST };
        form(&server, method, path, &parts, None).await.sentence(401, "Unauthorized");
    }
    let only = KeyGrant {
        scopes: [Scope::Score].into(),
        endpoint: Some("medparse".to_owned()),
        deployment: Some("other".to_owned()),
        ..KeyGrant::default()
    };
    let grants = [KeyGrant { scopes: [Scope::Score].into(), ..KeyGrant::default() }, only];
    for (grant, status) in grants.into_iter().zip([200, 403]) {
        let granted = server.state.store().update(|document: &mut _| grant_key(document, grant));
        let key = granted.map(|(_, key)| key.expose().to_owned());
        let Ok(key) = key else {
            // A key for a deployment that does not exist is not granted at all.
            assert_eq!(status, 403);
            continue;
        };
        let reply = form(&server, Method::POST, "/infer/default", &parts, Some(&key)).await;
        assert_eq!(reply.status, status, "{}", reply.text());
    }
}
