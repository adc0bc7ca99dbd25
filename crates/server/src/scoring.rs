//! What `/score`, `/invocations` and the V2 protocol share: from an authorized request to a streamed reply.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use medparse_wire::Framing;

use crate::AppState;
use crate::body::{Held, read_json};
use crate::errors::ApiError;
use crate::prepare::{Form, Prepared, prepare};
use crate::reply::stream;
use crate::routing::{DEPLOYMENT, Route, Target, route};
use crate::rows::Job;
use crate::telemetry::{RequestLog, Stage};

pub(crate) const WARNING: HeaderName = HeaderName::from_static("x-medparse-warning");

/// What a route asks of the pipeline.
pub(crate) struct Exchange {
    pub(crate) endpoint: Option<String>,
    pub(crate) form: Form,
    pub(crate) reply: Reply,
}

/// Which envelope the reply wears; V2's needs the rows before it can be written.
pub(crate) enum Reply {
    Score,
    Mlflow,
    V2 { model: String },
}

/// Answers a request whose rows are in its body.
pub(crate) async fn answer(
    state: AppState,
    request: Request,
    exchange: Exchange,
) -> Result<Response, ApiError> {
    let log = RequestLog::of(&request);
    // Before the body is read: a caller without a key sends no megabytes.
    let route = route(&state, exchange.endpoint.as_deref(), request.headers())?;
    log.target(&route.target);
    let started = Instant::now();
    let held = read_json(&state, request).await?;
    log.add(Stage::Body, started.elapsed());
    answer_held(state, route, held, exchange, log).await
}

/// Answers a request whose rows have been read.
pub(crate) async fn answer_held(
    state: AppState,
    route: Route,
    held: Held,
    exchange: Exchange,
    log: RequestLog,
) -> Result<Response, ApiError> {
    let Route { target, mirror } = route;
    let place = Arc::new(state.queue().enter()?);
    let prepared = Arc::new(prepare(&state, held, exchange.form, &target, &log).await?);
    let framing = framing(exchange.reply, &target, &prepared);
    let warning = prepared.warning.clone();
    let job = Job { state: state.clone(), target, prepared, log, _place: place };
    if let Some(mirror) = mirror {
        copy_to(mirror, &job);
    }
    // The first row decides the status: only what comes after it can break a transfer off.
    let first = if job.prepared.rows.is_empty() { None } else { Some(job.answer(0).await?) };
    let deployment = HeaderValue::from_str(&job.target.deployment).ok();
    let mut response = stream(job, first, framing).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(deployment) = deployment {
        headers.insert(DEPLOYMENT, deployment);
    }
    if let Some(warning) = warning {
        headers.insert(WARNING, warning);
    }
    Ok(response)
}

fn framing(reply: Reply, target: &Target, prepared: &Prepared) -> Framing {
    match reply {
        Reply::Score => Framing::Score,
        Reply::Mlflow => Framing::Mlflow,
        Reply::V2 { model } => Framing::V2 {
            model,
            version: target.card().version.clone(),
            id: prepared.id.clone(),
            rows: prepared.rows.len(),
        },
    }
}

/// Sends a copy of the request to another deployment and drops the answers; when no place is free there is no copy,
/// because a copy must never push a live request out.
fn copy_to(target: Target, job: &Job) {
    let state = job.state.clone();
    let Ok(place) = state.queue().enter() else {
        state.metrics().count_mirrored("skipped");
        return;
    };
    let log = RequestLog::unlisted(&job.log);
    let copy = Job { target, log, _place: Arc::new(place), ..job.clone() };
    tokio::spawn(async move {
        let mut outcome = "answered";
        for at in 0..copy.prepared.rows.len() {
            if copy.answer(at).await.is_err() {
                outcome = "failed";
                break;
            }
        }
        state.metrics().count_mirrored(outcome);
    });
}
