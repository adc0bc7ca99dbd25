//! A server in memory: state in a temporary folder, a stub for a model, requests without a socket.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod stub;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use medparse_imaging::{Picture, procedural};
use medparse_server::admin::{DeploymentSpec, EndpointSpec, put_deployment, put_endpoint};
use medparse_server::{Access, AdminError, AppState, Readiness, ServerConfig, Store, app};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

pub use stub::{Stub, StubLoader};

/// Where the management routes of a server with the usual workspace begin.
pub const WORKSPACE: &str = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/medparse/providers/\
    Microsoft.MachineLearningServices/workspaces/medparse";

/// A server with the endpoint "medparse" and its deployment "default" on the model "bundled".
pub struct TestServer {
    pub state: AppState,
    pub router: Router,
    pub loader: Arc<StubLoader>,
    pub folder: TempDir,
}

/// A reply, read to its end.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl TestServer {
    /// A server that asks for no keys.
    pub async fn open() -> Self {
        Self::with(ServerConfig { access: Access::Open, ..ServerConfig::default() }, Duration::ZERO)
            .await
    }

    /// A server with one deployment that is ready, and a model that takes so long for a question.
    pub async fn with(config: ServerConfig, delay: Duration) -> Self {
        Self::over_model(config, StubLoader { delay, ..StubLoader::default() }).await
    }

    /// A server with one deployment that is ready.
    pub async fn over_model(config: ServerConfig, loader: StubLoader) -> Self {
        let server = Self::over(tempfile::tempdir().unwrap(), config, loader);
        server
            .state
            .store()
            .update::<_, AdminError>(|document| {
                put_endpoint(document, "medparse", EndpointSpec::default())?;
                let spec = DeploymentSpec { model: "bundled".into(), ..Default::default() };
                put_deployment(document, "medparse", "default", spec)?;
                let traffic = [("default".to_owned(), 100)].into();
                put_endpoint(
                    document,
                    "medparse",
                    EndpointSpec { traffic: Some(traffic), ..Default::default() },
                )
            })
            .unwrap();
        let server = server.restart();
        server.wait_ready().await;
        server
    }

    /// A server without endpoints.
    pub fn empty(config: ServerConfig, delay: Duration) -> Self {
        let loader = StubLoader { delay, ..StubLoader::default() };
        Self::over(tempfile::tempdir().unwrap(), config, loader)
    }

    fn over(folder: TempDir, config: ServerConfig, loader: StubLoader) -> Self {
        let loader = Arc::new(loader);
        let store = Store::open(folder.path()).unwrap();
        let state = AppState::new(config, store, loader.clone()).unwrap();
        Self { router: app(state.clone()), state, loader, folder }
    }

    /// Another server over the same state.
    pub fn restart(self) -> Self {
        let StubLoader { delay, encode_delay, .. } = *self.loader;
        let loader = StubLoader { delay, encode_delay, ..StubLoader::default() };
        Self::over(self.folder, self.state.config().clone(), loader)
    }

    pub async fn wait_ready(&self) {
        for _ in 0..500 {
            if self.state.readiness() == Readiness::Ready {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("not ready: {:?}", self.state.readiness());
    }

    pub async fn send(&self, request: Request<Body>) -> Reply {
        send(&self.router, request).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.call(Method::GET, path, &[], Vec::new()).await
    }

    pub async fn post(&self, path: &str, body: impl ToString) -> Reply {
        self.call(Method::POST, path, &[], body.to_string().into_bytes()).await
    }

    pub async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        if !body.is_empty() && !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    /// Sends a form with files (RFC 7578); parts are names and contents.
    pub async fn form(
        &self,
        method: Method,
        path: &str,
        parts: &[(&str, &[u8])],
        headers: &[(&str, &str)],
    ) -> Reply {
        let mut body = Vec::new();
        for (name, bytes) in parts {
            let head =
                format!("Content-Disposition: form-data; name=\"{name}\"; filename=\"/a/b\"");
            body.extend_from_slice(format!("--mark\r\n{head}\r\n\r\n").as_bytes());
            body.extend_from_slice(bytes);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--mark--\r\n");
        let kind = [("content-type", "multipart/form-data; boundary=mark")];
        self.call(method, path, &[&kind[..], headers].concat(), body).await
    }

    /// The first model that was loaded.
    pub fn stub(&self) -> Arc<Stub> {
        self.loader.loaded.lock().unwrap()[0].clone()
    }
}

pub async fn send(router: &Router, request: Request<Body>) -> Reply {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
    Reply { status: parts.status, headers: parts.headers, body }
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).chars().take(2000).collect()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The sentence of an error reply, after checking that its body has the shape that azure-ai-ml needs.
    #[track_caller]
    pub fn sentence(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        let body = self.json();
        assert_eq!(body["error"]["code"], code, "{body}");
        assert_eq!(body["error"]["message"], body["message"]);
        body["message"].as_str().unwrap().to_owned()
    }
}

/// A picture and its PNG as base64.
pub fn picture(width: u32, height: u32, seed: u64) -> (Picture, String) {
    let picture = procedural::cells(width, height, seed).unwrap().picture;
    let base64 = base64_simd::STANDARD.encode_to_string(picture.encode_png().unwrap());
    (picture, base64)
}

/// A request of these rows.
pub fn score_body(rows: &[(&str, &str)]) -> Value {
    let data: Vec<_> = rows.iter().map(|(image, text)| json!([image, text])).collect();
    json!({"input_data": {"columns": ["image", "text"], "index": (0..rows.len()).collect::<Vec<_>>(), "data": data}})
}

/// What the stub answers to the sentence at `prompt`.
pub fn expected_mask(picture: &Picture, prompt: usize) -> Vec<u8> {
    let threshold = 32 * (prompt + 1);
    picture
        .pixels()
        .chunks_exact(3)
        .map(|rgb| if usize::from(rgb[1]) >= threshold { 255 } else { 0 })
        .collect()
}
