//! The page's files and the routes made for it.

mod common;

use axum::http::Method;
use common::{Reply, TestServer, picture};
use serde_json::{Value, json};

#[tokio::test]
async fn every_file_that_the_page_asks_for_is_there() {
    let server = TestServer::open().await;
    assert_eq!(server.get("/ui").await.header("location"), Some("/ui/"));
    let index = server.get("/ui/").await;
    assert_eq!(index.header("content-type"), Some("text/html; charset=utf-8"));
    let mut wanted: Vec<String> = quoted(&index.body, &["src=\"", "href=\""]);
    wanted.retain(|path| !path.starts_with('#'));
    wanted.push("example.png".to_owned());
    let mut at = 0;
    while let Some(path) = wanted.get(at).cloned() {
        let reply = server.get(&format!("/ui/{path}")).await;
        assert_eq!(reply.status, 200, "{path}");
        let policy = reply.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        if path.ends_with(".js") {
            for module in quoted(&reply.body, &["from \"./"]) {
                let module = format!("js/{module}");
                if !wanted.contains(&module) {
                    wanted.push(module);
                }
            }
        }
        at += 1;
    }
    assert!(wanted.len() > 15, "{wanted:?}");
    server.get("/ui/js/nothing.js").await.sentence(404, "NotFound");
    server.get("/ui/../Cargo.toml").await.sentence(404, "NotFound");
}

/// The texts that stand between one of the marks and the next quotation mark.
fn quoted(file: &[u8], marks: &[&str]) -> Vec<String> {
    let text = std::str::from_utf8(file).unwrap();
    let after = marks.iter().flat_map(|mark| text.split(mark).skip(1));
    after.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_file_that_has_not_changed_is_not_sent_again() {
    let server = TestServer::open().await;
    let first = server.get("/ui/js/main.js").await;
    let known = [("if-none-match", first.header("etag").unwrap())];
    let second = server.call(Method::GET, "/ui/js/main.js", &known, Vec::new()).await;
    assert_eq!((second.status.as_u16(), second.body.len()), (304, 0));
}

#[tokio::test]
async fn a_page_learns_who_answers() {
    let server = TestServer::open().await;
    let seen = server.get("/api/v1/server").await.json();
    assert_eq!(seen["keys"], false);
    assert!(seen["workspace"].as_str().unwrap().ends_with("/workspaces/medparse"), "{seen}");
    let model = server.get("/api/v1/model").await.json();
    assert_eq!((&model["model"], &model["deployment"]), (&json!("bundled"), &json!("default")));
    assert_eq!(
        model["targets"][1],
        json!({"modality": "CT-Abdomen", "targets": ["liver", "spleen"]})
    );
    server.get("/api/v1/endpoints/nothing/model").await.sentence(404, "EndpointNotFound");
}

/// A NIfTI-1 of so many 16-bit values, with 1, 2 and 3 mm between them: right, front and up.
fn nifti(dimensions: [i16; 3]) -> Vec<u8> {
    let mut file = vec![0; 352];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &348i32.to_le_bytes());
    for (at, size) in
        [3, dimensions[0], dimensions[1], dimensions[2], 1, 1, 1, 1].into_iter().enumerate()
    {
        put(40 + 2 * at, &size.to_le_bytes());
    }
    put(70, &4i16.to_le_bytes());
    put(72, &16i16.to_le_bytes());
    for (at, value) in [(76, 1.0f32), (80, 1.0), (84, 2.0), (88, 3.0), (108, 352.0)] {
        put(at, &value.to_le_bytes());
    }
    put(123, &[2]);
    put(254, &2i16.to_le_bytes());
    for (at, value) in [(280, 1.0f32), (300, 2.0), (320, 3.0)] {
        put(at, &value.to_le_bytes());
    }
    put(344, b"n+1\0");
    let voxels = dimensions.iter().map(|&side| i32::from(side)).product::<i32>();
    file.extend((0..voxels).flat_map(|value| (value as i16 - 5).to_le_bytes()));
    file
}

async fn upload(server: &TestServer, files: &[&[u8]]) -> Reply {
    let parts: Vec<_> = files.iter().map(|&file| ("file", file)).collect();
    server.form(Method::POST, "/api/v1/volume", &parts, &[]).await
}

#[tokio::test]
async fn the_voxels_of_a_scan_come_with_their_planes() {
    let server = TestServer::open().await;
    let reply = upload(&server, &[&nifti([4, 3, 2])]).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let length = u32::from_le_bytes(reply.body[..4].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&reply.body[4..4 + length]).unwrap();
    assert_eq!((&header["dimensions"], &header["kind"]), (&json!([4, 3, 2]), &json!("i16")));
    assert_eq!(header["range"], json!([-5.0, 18.0]));
    assert_eq!(header["affine"][2], json!([0.0, 0.0, 3.0, 0.0]));
    let axial = &header["planes"][0];
    assert_eq!((&axial["id"], &axial["slices"]), (&json!("axial"), &json!(2)));
    assert_eq!(axial["spacing"], json!([2.0, 1.0]));
    // The patient's right on the left, front on top: the last column and the last row come first.
    assert_eq!(
        (&axial["start"], &axial["across"], &axial["down"]),
        (&json!(11), &json!(-1), &json!(-4))
    );
    let values: Vec<i16> = reply.body[4 + length..]
        .chunks_exact(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    assert_eq!(values, (-5..19).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_no_scan_is_refused_with_a_sentence() {
    let server = TestServer::open().await;
    upload(&server, &[b"no scan"]).await.sentence(422, "InvalidScan");
    upload(&server, &[&nifti([4, 3, 2])[..360]]).await.sentence(422, "InvalidScan");
    let several = upload(&server, &[b"no scan", b"either"]).await.sentence(422, "InvalidScan");
    assert!(!several.contains("/tmp"), "{several}");
    upload(&server, &[]).await.sentence(400, "InvalidRequest");
    server.post("/api/v1/volume", "{}").await.sentence(415, "UnsupportedMediaType");
    let metrics = String::from_utf8(server.get("/metrics").await.body).unwrap();
    let counted = "medparse_rejections_total{reason=\"BadRequest\"} 5";
    assert!(metrics.contains(counted), "{metrics}");
    let (_, png) = picture(8, 8, 1);
    let png = base64_simd::STANDARD.decode_to_vec(png).unwrap();
    assert_eq!(
        upload(&server, &[&png]).await.status,
        200,
        "a plain picture is a scan of one slice"
    );
}

#[tokio::test]
async fn findings_are_written_as_the_command_line_writes_them() {
    let server = TestServer::open().await;
    let scan = nifti([4, 3, 2]);
    let values: Vec<u8> = (0..24).map(|voxel| if voxel < 6 { 200 } else { 100 }).collect();
    let export = async |format: &str, values: &[u8]| {
        let finding = json!({"label": "liver", "category": null});
        let request =
            json!({"format": format, "threshold": 0.5, "findings": [finding]}).to_string();
        let parts = [("file", &scan[..]), ("request", request.as_bytes()), ("values", values)];
        server.form(Method::POST, "/api/v1/export", &parts, &[]).await
    };
    let reply = export("nifti", &values).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let name = reply.header("content-disposition");
    assert_eq!(name, Some("attachment; filename=\"findings.nii.gz\""));
    let written = upload(&server, &[&reply.body]).await;
    let length = u32::from_le_bytes(written.body[..4].try_into().unwrap()) as usize;
    let labels: Vec<u8> = written.body[4 + length..].chunks_exact(2).map(|pair| pair[0]).collect();
    assert_eq!(labels, (0..24).map(|voxel| u8::from(voxel < 6)).collect::<Vec<_>>());
    assert_eq!(export("geojson", &values).await.json()["type"], "FeatureCollection");
    for (format, values, status, code) in [
        ("bmp", &values[..], 400, "InvalidRequest"),
        ("nifti", &values[1..], 400, "InvalidRequest"),
        ("dicom-seg", &values[..], 422, "InvalidScan"),
    ] {
        let sentence = export(format, values).await.sentence(status, code);
        assert!(!sentence.is_empty(), "{format}");
    }
}
