//! From a body to rows that can be computed: every picture is decoded once before the first byte of the reply is
//! sent, so that a request that breaks a rule anywhere is answered with a 4xx.

use std::sync::Arc;
use std::time::Instant;

use axum::http::HeaderValue;
use bytes::Bytes;
use medparse_imaging::{Limits as PictureLimits, Picture};
use medparse_wire::{EncodedImage, ScoreInput, WireError, WireLimits};
use medparse_wire::{parse_infer, parse_invocations, parse_score, parse_score_query};

use crate::body::Held;
use crate::errors::ApiError;
use crate::queue::Charge;
use crate::routing::Target;
use crate::segmenter::CancelToken;
use crate::telemetry::{RequestLog, Stage};
use crate::{AppState, Limits};

/// How a body holds its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `POST /score`.
    Score,
    /// `GET /score?input_data=…`.
    Query,
    /// `POST /invocations`.
    Invocations,
    /// `POST /v2/models/{name}/infer`.
    Infer,
}

/// The rows of a request, all checked.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) rows: Vec<PreparedRow>,
    /// What the reader should know, for the reply's header.
    pub(crate) warning: Option<HeaderValue>,
    /// The id inside the body, of the forms that have one.
    pub(crate) id: Option<String>,
    _charge: Charge,
}

/// A picture and its sentences.
#[derive(Debug)]
pub(crate) struct PreparedRow {
    /// The picture as it stands in the body.
    token: Bytes,
    /// The picture, where there was memory to keep it.
    kept: Option<Arc<Picture>>,
    pub(crate) prompts: Vec<String>,
}

/// Reads and checks a body.
pub(crate) async fn prepare(
    state: &AppState,
    held: Held,
    form: Form,
    target: &Target,
    log: &RequestLog,
) -> Result<Prepared, ApiError> {
    let decoder = state.queue().decoder().await?;
    let cancel = CancelToken::default();
    let _guard = cancel.on_drop();
    let (limits, target, log) = (state.config().limits, target.clone(), log.clone());
    let prepared = tokio::task::spawn_blocking(move || {
        let _decoder = decoder;
        check(held, form, &limits, &target, &log, &cancel)
    });
    prepared.await.unwrap_or(Err(ApiError::Internal))
}

fn check(
    held: Held,
    form: Form,
    limits: &Limits,
    target: &Target,
    log: &RequestLog,
    cancel: &CancelToken,
) -> Result<Prepared, ApiError> {
    let Held { bytes, mut charge } = held;
    let started = Instant::now();
    let (input, id) = parse(&bytes, form, &limits.wire)?;
    log.add(Stage::Parse, started.elapsed());
    log.rows(input.rows.len(), input.rows.iter().map(|row| row.prompts.len()).sum());
    let mut warnings = Vec::new();
    let mut rows = Vec::with_capacity(input.rows.len());
    for at in 0..input.rows.len() {
        if cancel.is_cancelled() {
            return Err(ApiError::Cancelled);
        }
        let row = &input.rows[at];
        let started = Instant::now();
        let picture = decode(&input, at, &limits.picture)?;
        log.add(Stage::Decode, started.elapsed());
        check_masks(&input, at, &picture, limits.mask_pixels)?;
        warnings.extend(target.model.segmenter.review(&row.prompts).into_iter().map(|warning| {
            format!(
                "{}: row {at}, sentence {}: {}",
                warning.code,
                warning.prompt + 1,
                warning.message
            )
        }));
        let kept = charge.grow(picture.pixels().len()).then(|| Arc::new(picture));
        let token = bytes.slice_ref(row.image.token().as_bytes());
        rows.push(PreparedRow { token, kept, prompts: row.prompts.clone() });
    }
    Ok(Prepared { rows, warning: warning_header(&warnings), id, _charge: charge })
}

fn parse<'a>(
    bytes: &'a [u8],
    form: Form,
    limits: &WireLimits,
) -> Result<(ScoreInput<'a>, Option<String>), WireError> {
    match form {
        Form::Score => Ok((parse_score(bytes, limits)?, None)),
        Form::Invocations => Ok((parse_invocations(bytes, limits)?, None)),
        Form::Infer => parse_infer(bytes, limits).map(|infer| (infer.input, infer.id)),
        Form::Query => {
            let text =
                std::str::from_utf8(bytes).map_err(|error| WireError::not_utf8(bytes, error))?;
            Ok((parse_score_query(text, limits)?, None))
        }
    }
}

fn decode(input: &ScoreInput<'_>, at: usize, limits: &PictureLimits) -> Result<Picture, ApiError> {
    let file = input.rows[at].image.decode().map_err(|fault| input.base64_error(at, fault))?;
    Picture::decode(&file, limits)
        .map_err(|error| ApiError::Picture { place: input.image_place(at), error: Box::new(error) })
}

fn check_masks(
    input: &ScoreInput<'_>,
    at: usize,
    picture: &Picture,
    limit: u64,
) -> Result<(), ApiError> {
    let (width, height) = picture.dimensions();
    let prompts = input.rows[at].prompts.len();
    let pixels = u64::from(width) * u64::from(height) * prompts as u64;
    if pixels <= limit {
        return Ok(());
    }
    Err(ApiError::MasksTooLarge { place: input.image_place(at), prompts, width, height, limit })
}

/// At most eight warnings, without line breaks.
fn warning_header(warnings: &[String]) -> Option<HeaderValue> {
    let (shown, rest) = warnings.split_at(warnings.len().min(8));
    let mut text = shown.join("; ");
    if !rest.is_empty() {
        text += &format!("; and {} more", rest.len());
    }
    let text: String =
        text.chars().map(|c| if (' '..='~').contains(&c) { c } else { '?' }).collect();
    (!text.is_empty()).then(|| HeaderValue::from_str(&text).ok()).flatten()
}

impl PreparedRow {
    /// The picture: the one kept, or decoded once more. It has been decoded before, so it can be.
    pub(crate) fn picture(&self, limits: &PictureLimits) -> Result<Arc<Picture>, ApiError> {
        if let Some(picture) = &self.kept {
            return Ok(picture.clone());
        }
        let token = std::str::from_utf8(&self.token).map_err(|_| ApiError::Internal)?;
        let file = EncodedImage::from_token(token).decode().map_err(|_| ApiError::Internal)?;
        Ok(Arc::new(Picture::decode(&file, limits).map_err(|_| ApiError::Internal)?))
    }
}
