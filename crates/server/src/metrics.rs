//! Counters for Prometheus, in a registry of their own: two servers in one process do not share them.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::AppState;
use crate::auth::authorize_metrics;
use crate::encodings::Origin;
use crate::errors::{ApiError, Rejection};
use crate::telemetry::Stage;

/// Seconds; from a cached answer to a picture on a slow machine.
const SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0];

type Seconds = Family<Labels, Histogram, fn() -> Histogram>;

/// One label, whose name is fixed by the family that uses it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabel {
    stage: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: Rejection,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Seconds,
    stages: Family<StageLabel, Histogram, fn() -> Histogram>,
    rejections: Family<ReasonLabel, Counter>,
    encodings: Family<OutcomeLabel, Counter>,
    mirrored: Family<OutcomeLabel, Counter>,
    rows: Counter,
    prompts: Counter,
    reply_bytes: Counter,
    queue_depth: Gauge,
    ready: Gauge<f64, AtomicU64>,
}

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("medparse");
        let metrics = Self {
            requests: Family::new_with_constructor(seconds as fn() -> Histogram),
            stages: Family::new_with_constructor(seconds as fn() -> Histogram),
            rejections: Family::default(),
            encodings: Family::default(),
            mirrored: Family::default(),
            rows: Counter::default(),
            prompts: Counter::default(),
            reply_bytes: Counter::default(),
            queue_depth: Gauge::default(),
            ready: Gauge::default(),
            registry: Registry::default(),
        };
        let time = "Time of a request from its head to the end of its reply, by route and status";
        registry.register_with_unit("request", time, Unit::Seconds, metrics.requests.clone());
        let stage = "Time of a request by stage: body, parse, decode, wait, encode, ask, write";
        registry.register_with_unit("stage", stage, Unit::Seconds, metrics.stages.clone());
        registry.register(
            "rejections",
            "Requests turned away, by reason",
            metrics.rejections.clone(),
        );
        let encodings = "Pictures by where their encoding came from: kept or computed";
        registry.register("encodings", encodings, metrics.encodings.clone());
        let mirrored = "Copies of requests for mirrored traffic, by outcome";
        registry.register("mirrored", mirrored, metrics.mirrored.clone());
        registry.register("rows", "Rows of accepted requests", metrics.rows.clone());
        registry.register("prompts", "Sentences of accepted requests", metrics.prompts.clone());
        registry.register_with_unit(
            "reply",
            "Bytes of replies, as sent",
            Unit::Bytes,
            metrics.reply_bytes.clone(),
        );
        registry.register(
            "queue_depth",
            "Requests that hold a place in the queue",
            metrics.queue_depth.clone(),
        );
        registry.register("ready", "Whether the server is ready", metrics.ready.clone());
        Self { registry, ..metrics }
    }
}

impl Metrics {
    pub(crate) fn observe_request(&self, route: &str, status: u16, time: Duration) {
        self.requests
            .get_or_create(&Labels { route: route.to_owned(), status })
            .observe(time.as_secs_f64());
    }

    pub(crate) fn observe_stage(&self, stage: Stage, time: Duration) {
        self.stages.get_or_create(&StageLabel { stage: stage.name() }).observe(time.as_secs_f64());
    }

    pub(crate) fn count_rejection(&self, reason: Rejection) {
        self.rejections.get_or_create(&ReasonLabel { reason }).inc();
    }

    pub(crate) fn count_encoding(&self, origin: Origin) {
        let outcome = match origin {
            Origin::Kept => "kept",
            Origin::Computed => "computed",
        };
        self.encodings.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    pub(crate) fn count_mirrored(&self, outcome: &'static str) {
        self.mirrored.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    pub(crate) fn count_rows(&self, rows: usize, prompts: usize) {
        self.rows.inc_by(rows as u64);
        self.prompts.inc_by(prompts as u64);
    }

    pub(crate) fn count_reply(&self, bytes: u64) {
        self.reply_bytes.inc_by(bytes);
    }
}

/// `GET /metrics`, in the text format of OpenMetrics.
pub(crate) async fn metrics(
    State(state): State<AppState>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    authorize_metrics(&state, &headers)?;
    let metrics = state.metrics();
    metrics.queue_depth.set(i64::try_from(state.queue().depth()).unwrap_or(i64::MAX));
    metrics.ready.set(if state.readiness() == crate::Readiness::Ready { 1.0 } else { 0.0 });
    let mut text = String::new();
    encode(&mut text, &metrics.registry).map_err(|_| ApiError::Internal)?;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, content_type)], text).into_response())
}
