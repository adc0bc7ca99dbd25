//! `POST /infer/{model}`: every slice of a scan asked, a label map out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use medparse_imaging::write::{ExportOptions, Findings, OutputFormat, Target as Found};
use medparse_imaging::{PALETTE, Tone, View};
use medparse_wire::{Column, Fit, Place, Together, split_sentences};
use serde::Deserialize;
use serde_json::{Value, json};

use super::chosen;
use super::session::{Scan, Sessions};
use crate::AppState;
use crate::auth::random_bytes;
use crate::errors::ApiError;
use crate::export::attachment;
use crate::hex::hex;
use crate::packed::PackedMask;
use crate::queue::Charge;
use crate::routing::Target;
use crate::rows::{Within, encode};
use crate::scan::{FILE, Sent, receive};
use crate::segmenter::{CancelToken, Probabilities, Question};
use crate::telemetry::{RequestLog, Stage};

#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    session_id: String,
    output: Option<Output>,
}

/// What the reply holds.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Output {
    /// The parameters and the label map, as `multipart/form-data`.
    All,
    /// The label map.
    Image,
    /// The parameters.
    Json,
    /// A DICOM segmentation.
    DicomSeg,
}

impl Output {
    fn format(self) -> OutputFormat {
        if self == Self::DicomSeg { OutputFormat::DicomSeg } else { OutputFormat::Nifti }
    }
}

/// What is said in the part `params`; clients put more there, which is theirs.
#[derive(Deserialize)]
struct Params {
    prompts: Option<Prompts>,
}

/// Phrases as one text, separated by `&`, or as a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Prompts {
    Text(String),
    List(Vec<String>),
}

/// A question about every slice.
struct Job {
    state: AppState,
    target: Target,
    scan: Arc<Scan>,
    view: View,
    prompts: Vec<String>,
    log: RequestLog,
    _charge: Charge,
}

/// What a form asks.
struct Read {
    prompts: Vec<String>,
    scan: Arc<Scan>,
    /// For what will be found.
    charge: Charge,
}

/// What was found in one slice, by phrase.
type Slice = Vec<(PackedMask, &'static str)>;

/// `POST /infer/{model}?session_id=…&output=…`: phrases in `params`, the scan as `file` or in a session.
pub(super) async fn infer(
    State(state): State<AppState>,
    Extension(sessions): Extension<Arc<Sessions>>,
    Path(model): Path<String>,
    Query(asked): Query<Asked>,
    request: Request,
) -> Result<Response, ApiError> {
    let log = RequestLog::of(&request);
    let target = chosen(&state, &model, request.headers())?;
    log.target(&target);
    let output = asked.output.unwrap_or(Output::All);
    let kept = match &*asked.session_id {
        "" => None,
        id => Some(sessions.find(id)?),
    };
    let started = Instant::now();
    let sent = receive(&state, request).await?;
    log.add(Stage::Body, started.elapsed());
    let _place = state.queue().enter()?;
    let server = state.clone();
    let read = sent.work(move |sent| read(sent, &server, kept, output));
    let Read { prompts, scan, charge } = read.await?;
    let volume = &scan.volume;
    let view = View::new(volume.usual_plane(), volume.grid(), volume.dimensions());
    let [.., slices] = view.dimensions();
    log.rows(slices, prompts.len());
    let job = Arc::new(Job { state, target, scan, view, prompts, log, _charge: charge });
    let mut found = Vec::with_capacity(slices);
    for slice in 0..slices {
        found.push(job.answer(slice).await?);
    }
    tokio::task::spawn_blocking(move || reply(&job, &found, output))
        .await
        .unwrap_or(Err(ApiError::Internal))
}

fn read(
    sent: &mut Sent,
    state: &AppState,
    kept: Option<Arc<Scan>>,
    output: Output,
) -> Result<Read, ApiError> {
    let params = sent.first("params");
    let prompts = phrases(&params, state)?;
    let scan = match kept {
        Some(scan) => scan,
        None => {
            let volume = sent.volume(FILE)?;
            Arc::new(Scan { volume, _charge: sent.take_charge() })
        }
    };
    // Said before an hour of computing.
    output.format().check(&scan.volume).map_err(ApiError::scan)?;
    let charge = sent.hold(scan.volume.voxels().saturating_mul(prompts.len()))?;
    Ok(Read { prompts, scan, charge })
}

/// The phrases of the part `params`, under the same rules as those of a row.
fn phrases(params: &[u8], state: &AppState) -> Result<Vec<String>, ApiError> {
    let expected = r#"params must hold the phrases, as in {"prompts": "liver & spleen"}"#;
    let params: Params = serde_json::from_slice(params)
        .map_err(|error| ApiError::BadRequest(format!("{expected}: {error}")))?;
    let text = match params.prompts {
        None => return Err(ApiError::BadRequest(format!("{expected}; there are none"))),
        Some(Prompts::Text(text)) => text,
        Some(Prompts::List(list)) => list.join("&"),
    };
    let place = Place { row: 0, column: Column::Text, path: "params.prompts".to_owned() };
    Ok(split_sentences(&text, &state.config().limits.wire, &place)?)
}

impl Job {
    /// Asks one slice, within the deployment's time for a row.
    async fn answer(self: &Arc<Self>, slice: usize) -> Result<Slice, ApiError> {
        let limit = self.target.row;
        let within = Within { state: &self.state, log: &self.log, limit, row: slice };
        let job = self.clone();
        within.compute(move |cancel| job.ask(slice, cancel)).await
    }

    fn ask(&self, slice: usize, cancel: &CancelToken) -> Result<Slice, ApiError> {
        let shown = self.scan.volume.picture(&self.view, slice, &Tone::Auto);
        let picture =
            shown.map_err(|error| ApiError::Unusable { row: slice, reason: error.to_string() })?;
        let failed = |error| self.log.model_error(slice, error);
        let fit = self.target.model.fit(Fit::Model);
        let (encoded, _) =
            encode(&self.state, &self.target, &picture, fit, &self.log, cancel).map_err(failed)?;
        let question = Question {
            picture: &encoded,
            prompts: &self.prompts,
            together: Together::Joint,
            probabilities: Probabilities::Omit,
            cancel,
        };
        let mut found = Vec::with_capacity(self.prompts.len());
        let started = Instant::now();
        let outcome = self.target.model.segmenter.ask(&question, &mut |answer| {
            found.push((PackedMask::pack(&answer.mask), answer.category));
        });
        self.log.add(Stage::Ask, started.elapsed());
        outcome.map_err(failed)?;
        Ok(found)
    }
}

fn reply(job: &Job, slices: &[Slice], output: Output) -> Result<Response, ApiError> {
    let started = Instant::now();
    let labels: BTreeMap<&str, usize> =
        job.prompts.iter().enumerate().map(|(at, prompt)| (&**prompt, at + 1)).collect();
    let card = job.target.card();
    let params = json!({
        "label_names": labels,
        "model": card.name,
        "precision": card.precision,
        "slices": slices.len(),
    });
    if output == Output::Json {
        return Ok(Json(params).into_response());
    }
    let targets = (0..job.prompts.len()).map(|prompt| target_of(job, slices, prompt)).collect();
    let findings = Findings::new(&job.scan.volume, targets).map_err(ApiError::scan)?;
    let format = output.format();
    let file = format.encode(&findings, &ExportOptions::default()).map_err(ApiError::scan)?;
    job.log.add(Stage::Write, started.elapsed());
    let name = format!("labels{}", format.ending());
    if output == Output::All {
        return both(&params, &name, &file);
    }
    attachment(&name, file)
}

/// One phrase in all slices, in the file's order of voxels.
fn target_of(job: &Job, slices: &[Slice], prompt: usize) -> Found {
    let mut voxels = vec![0; job.scan.volume.voxels()];
    let mut category = None;
    let mut plane = Vec::new();
    for (slice, found) in slices.iter().enumerate() {
        let Some((mask, named)) = found.get(prompt) else { continue };
        plane.clear();
        mask.unpack(0, mask.pixels(), &mut plane);
        if category.is_none() && plane.iter().any(|&pixel| pixel != 0) {
            category = Some((*named).to_owned());
        }
        job.view.put_plane(&plane, slice, &mut voxels);
    }
    Found {
        label: job.prompts[prompt].clone(),
        category,
        color: PALETTE[prompt % PALETTE.len()],
        voxels,
        probabilities: None,
    }
}

/// The parameters and a file as one form (RFC 7578), as MONAI Label sends them.
fn both(params: &Value, name: &str, file: &[u8]) -> Result<Response, ApiError> {
    // Random, so that no file holds it.
    let mark = hex(&random_bytes::<16>());
    let mut body = format!(
        "--{mark}\r\nContent-Disposition: form-data; name=\"params\"\r\nContent-Type: application/json\r\n\r\n\
         {params}\r\n--{mark}\r\nContent-Disposition: form-data; name=\"image\"; filename=\"{name}\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(file);
    body.extend_from_slice(format!("\r\n--{mark}--\r\n").as_bytes());
    let kind = HeaderValue::from_str(&format!("multipart/form-data; boundary={mark}"))
        .map_err(|_| ApiError::Internal)?;
    Ok(([(header::CONTENT_TYPE, kind)], body).into_response())
}
