//! `/ui/`: the page, embedded in the program. It asks this server only, and takes scripts and styles from it only.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

use crate::AppState;
use crate::errors::ApiError;
use crate::hex::hex;

/// Nothing from elsewhere, nothing inline; pictures that are chosen or drawn are `blob:` addresses.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file of the page.
struct Asset {
    path: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

macro_rules! assets {
    ($($path:literal: $file:literal, $kind:expr;)*) => {
        [$(Asset {
            path: $path,
            kind: $kind,
            bytes: include_bytes!(concat!("../../../", $file)),
        }),*]
    };
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

static ASSETS: &[Asset] = &assets! {
    "index.html": "web/index.html", HTML;
    "icon.svg": "web/icon.svg", "image/svg+xml";
    "example.png": "examples/cells.png", "image/png";
    "css/base.css": "web/css/base.css", CSS;
    "css/look.css": "web/css/look.css", CSS;
    "css/manage.css": "web/css/manage.css", CSS;
    "js/answerer.js": "web/js/answerer.js", JS;
    "js/api.js": "web/js/api.js", JS;
    "js/ask.js": "web/js/ask.js", JS;
    "js/bytes.js": "web/js/bytes.js", JS;
    "js/deploy.js": "web/js/deploy.js", JS;
    "js/display.js": "web/js/display.js", JS;
    "js/dom.js": "web/js/dom.js", JS;
    "js/drop.js": "web/js/drop.js", JS;
    "js/files.js": "web/js/files.js", JS;
    "js/forms.js": "web/js/forms.js", JS;
    "js/keys.js": "web/js/keys.js", JS;
    "js/layer-list.js": "web/js/layer-list.js", JS;
    "js/layers.js": "web/js/layers.js", JS;
    "js/look.js": "web/js/look.js", JS;
    "js/main.js": "web/js/main.js", JS;
    "js/mask.js": "web/js/mask.js", JS;
    "js/models.js": "web/js/models.js", JS;
    "js/scenes.js": "web/js/scenes.js", JS;
    "js/take.js": "web/js/take.js", JS;
    "js/viewer.js": "web/js/viewer.js", JS;
    "js/volumes.js": "web/js/volumes.js", JS;
};

/// The page's routes; they ask nobody for a key, for the page holds nothing of anybody's.
pub(crate) fn routes() -> Router<AppState> {
    Router::new()
        .route("/ui", get(redirect))
        .route("/ui/", get(index))
        .route("/ui/{*path}", get(file))
}

/// `GET /ui`.
async fn redirect() -> Redirect {
    Redirect::permanent("/ui/")
}

/// `GET /ui/`.
async fn index(headers: HeaderMap) -> Result<Response, ApiError> {
    file(Path("index.html".to_owned()), headers).await
}

/// `GET /ui/{path}`.
async fn file(Path(path): Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    let Some(asset) = ASSETS.iter().find(|asset| asset.path == path) else {
        return Err(ApiError::NotFound("the page has no such file".to_owned()));
    };
    let tag = format!("\"{}\"", hex(&Sha256::digest(asset.bytes)[..12]));
    let is_known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known == tag.as_str());
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, asset.kind)], asset.bytes).into_response()
    };
    let tag = HeaderValue::from_str(&tag).map_err(|_| ApiError::Internal)?;
    response.headers_mut().insert(header::ETAG, tag);
    for (name, value) in [
        // A new program brings a new page: the browser asks each time, and is told when nothing changed.
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}
