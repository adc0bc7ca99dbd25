//! Listening to the end of a body that nobody wants any more.
//!
//! A client that is refused early (no key, no place) is usually still sending. Were its connection closed now, the
//! operating system would throw the refusal away with it, and the client would see a broken connection instead of the
//! sentence. So the rest of the body is read and dropped, up to a limit, while the reply is on its way.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::timeout;

use crate::AppState;

/// How long a refused client may pause.
const PATIENCE: Duration = Duration::from_secs(2);

/// Puts a lingering body in the place of the request's own.
pub(crate) async fn linger(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Response {
    // A body somewhat too large is read to its end, so that its sender reads the refusal; one beyond that is not.
    let limit = state.config().limits.body_bytes.saturating_mul(2);
    let request =
        request.map(|body| match body.is_end_stream() || body.size_hint().lower() > limit as u64 {
            true => body,
            false => Body::new(Lingering { body: Some(body), limit }),
        });
    next.run(request).await
}

struct Lingering {
    /// Taken when it has been read to its end.
    body: Option<Body>,
    limit: usize,
}

impl http_body::Body for Lingering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let Some(mut body) = self.body.take().filter(|body| !body.is_end_stream()) else { return };
        // Without a runtime the process is ending, and nobody listens any more.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let mut left = self.limit;
        runtime.spawn(async move {
            while let Ok(Some(Ok(frame))) = timeout(PATIENCE, body.frame()).await {
                match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                    Some(rest) => left = rest,
                    None => return,
                }
            }
        });
    }
}
