//! One line a request: id, route, status, rows, milliseconds by stage. Never a pixel, a prompt, a key or a body.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use jiff::Timestamp;

use crate::AppState;
use crate::app::is_public;
use crate::audit::Entry;
use crate::auth::identify;
use crate::errors::{ApiError, ErrorMark};
use crate::ids::RequestId;
use crate::routing::Target;
use crate::segmenter::SegmentError;

/// Where the time of a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Reading the body from the network.
    Body,
    /// Reading the JSON.
    Parse,
    /// Base64 and picture file to pixels.
    Decode,
    /// Waiting for the model.
    Wait,
    /// The model: the picture.
    Encode,
    /// The model: the sentences.
    Ask,
    /// Masks to base64 and JSON.
    Write,
}

impl Stage {
    const ALL: [Self; 7] =
        [Self::Body, Self::Parse, Self::Decode, Self::Wait, Self::Encode, Self::Ask, Self::Write];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Parse => "parse",
            Self::Decode => "decode",
            Self::Wait => "wait",
            Self::Encode => "encode",
            Self::Ask => "ask",
            Self::Write => "write",
        }
    }
}

/// What is known of a request so far; clones are the same request.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestLog(Arc<Mutex<Facts>>);

#[derive(Debug, Clone, Default)]
struct Facts {
    id: String,
    endpoint: String,
    deployment: String,
    rows: usize,
    prompts: usize,
    stages: [Duration; Stage::ALL.len()],
    code: Option<&'static str>,
}

impl RequestLog {
    /// The log of a request, put there by [`record`].
    pub(crate) fn of(request: &Request) -> Self {
        request.extensions().get::<Self>().cloned().unwrap_or_default()
    }

    /// A log that becomes no line, under the same id: for a copy of a request.
    pub(crate) fn unlisted(of: &Self) -> Self {
        let facts = Facts { id: of.facts().id.clone(), ..Facts::default() };
        Self(Arc::new(Mutex::new(facts)))
    }

    pub(crate) fn add(&self, stage: Stage, time: Duration) {
        self.facts().stages[stage as usize] += time;
    }

    pub(crate) fn rows(&self, rows: usize, prompts: usize) {
        let mut facts = self.facts();
        (facts.rows, facts.prompts) = (rows, prompts);
    }

    pub(crate) fn target(&self, target: &Target) {
        let mut facts = self.facts();
        facts.endpoint.clone_from(&target.endpoint);
        facts.deployment.clone_from(&target.deployment);
    }

    /// The time spent in a stage so far.
    pub(crate) fn spent(&self, stage: Stage) -> Duration {
        self.facts().stages[stage as usize]
    }

    /// Logs why the model gave no answer, and turns it into what the client is told.
    pub(crate) fn model_error(&self, row: usize, error: SegmentError) -> ApiError {
        match error {
            SegmentError::Cancelled => ApiError::Cancelled,
            SegmentError::Unusable(reason) => ApiError::Unusable { row, reason },
            SegmentError::Failed(reason) => {
                let facts = self.facts();
                tracing::error!(id = facts.id, row, reason, "the model failed");
                ApiError::ModelFailed { row }
            }
        }
    }

    /// Notes that a reply was broken off.
    pub(crate) fn failed_midway(&self, error: &ApiError) {
        self.facts().code = Some(error.code());
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows a request to the end of its reply, then counts it and writes its line.
pub(crate) async fn record(
    State(state): State<AppState>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let log = RequestLog::default();
    log.facts().id =
        request.extensions().get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
    request.extensions_mut().insert(log.clone());
    let route =
        request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let method = request.method().as_str().to_owned();
    let audited = state.config().audit.is_some() && !is_public(request.uri().path());
    let audited = audited.then(|| Audited {
        who: identify(&state, request.headers()).to_string(),
        peer: request.extensions().get::<Peer>().map(|peer| peer.0.to_string()),
        path: request.uri().path().chars().take(200).collect(),
    });
    let mut line = Line {
        state,
        log,
        route,
        method,
        audited,
        started,
        status: 499,
        sent: 0,
        ending: Ending::Dropped,
    };
    let mut response = next.run(request).await;
    line.status = response.status().as_u16();
    if let Some(mark) = response.extensions().get::<ErrorMark>() {
        line.log.facts().code = Some(mark.code);
        if let Some(rejection) = mark.rejection {
            line.state.metrics().count_rejection(rejection);
        }
    }
    if line.state.is_draining() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response.map(|body| Body::new(Followed { body, line }))
}

/// How a reply ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// All of it was taken.
    Whole,
    /// A row failed after the head was sent.
    BrokenOff,
    /// The client went away.
    Dropped,
}

/// The address that a request came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// What only the audit log is told of a request.
struct Audited {
    who: String,
    peer: Option<String>,
    path: String,
}

/// The line of a request; written when it is dropped, whichever way the request ends.
struct Line {
    state: AppState,
    log: RequestLog,
    route: String,
    method: String,
    audited: Option<Audited>,
    started: Instant,
    status: u16,
    sent: u64,
    ending: Ending,
}

impl Drop for Line {
    fn drop(&mut self) {
        let total = self.started.elapsed();
        let facts = self.log.facts().clone();
        let metrics = self.state.metrics();
        metrics.observe_request(&self.route, self.status, total);
        metrics.count_rows(facts.rows, facts.prompts);
        metrics.count_reply(self.sent);
        for stage in Stage::ALL.into_iter().filter(|_| facts.rows > 0) {
            metrics.observe_stage(stage, facts.stages[stage as usize]);
        }
        let ms = |time: Duration| (time.as_secs_f64() * 1e5).round() / 1e2;
        let stage = |stage: Stage| ms(facts.stages[stage as usize]);
        tracing::info!(
            id = facts.id,
            method = self.method,
            route = self.route,
            status = self.status,
            code = facts.code.unwrap_or_default(),
            endpoint = facts.endpoint,
            deployment = facts.deployment,
            rows = facts.rows,
            prompts = facts.prompts,
            total_ms = ms(total),
            body_ms = stage(Stage::Body),
            parse_ms = stage(Stage::Parse),
            decode_ms = stage(Stage::Decode),
            wait_ms = stage(Stage::Wait),
            encode_ms = stage(Stage::Encode),
            ask_ms = stage(Stage::Ask),
            write_ms = stage(Stage::Write),
            bytes = self.sent,
            ending = ?self.ending,
            "request"
        );
        if let (Some(log), Some(audited)) = (&self.state.config().audit, &self.audited) {
            log.write(&Entry {
                time: Timestamp::now().to_string(),
                id: &facts.id,
                who: &audited.who,
                peer: audited.peer.clone(),
                method: &self.method,
                path: &audited.path,
                status: self.status,
                code: facts.code,
                endpoint: &facts.endpoint,
                deployment: &facts.deployment,
                rows: facts.rows,
                prompts: facts.prompts,
            });
        }
        if !facts.deployment.is_empty() {
            let note = format!(
                "request {} status {} rows {} in {} ms",
                facts.id,
                self.status,
                facts.rows,
                ms(total)
            );
            self.state.runtime().note(&facts.endpoint, &facts.deployment, &note);
        }
    }
}

/// A reply's body that tells its line how it went.
struct Followed {
    body: Body,
    line: Line,
}

impl http_body::Body for Followed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.line.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
                if self.body.is_end_stream() {
                    self.line.ending = Ending::Whole;
                }
            }
            Poll::Ready(Some(Err(_))) => self.line.ending = Ending::BrokenOff,
            Poll::Ready(None) => self.line.ending = Ending::Whole,
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
