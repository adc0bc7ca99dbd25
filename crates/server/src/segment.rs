//! `POST /api/v1/segment`: one picture and its sentences, with probabilities, presence and geometry.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use base64_simd::STANDARD;
use medparse_imaging::Picture;
use medparse_wire::{
    BoundingBox, Fit, PictureReport, PromptReport, SegmentReply, SegmentRequest, SegmentTiming,
    Together, WarningReport,
};

use crate::AppState;
use crate::body::{Held, parse_object, read_json};
use crate::encodings::Origin;
use crate::errors::ApiError;
use crate::queue::{Charge, Place};
use crate::routing::{DEPLOYMENT, Target, route};
use crate::rows::{Within, encode};
use crate::segmenter::{Answer, CancelToken, Probabilities, Question, SegmentError};
use crate::telemetry::{RequestLog, Stage};

/// A question whose picture has been read.
struct Asked {
    picture: Picture,
    prompts: Vec<String>,
    together: Together,
    fit: Fit,
    probabilities: Probabilities,
    _charge: Charge,
    _place: Place,
}

/// What the model answered.
struct Asking {
    prompts: Vec<PromptReport>,
    fit: Fit,
    origin: Origin,
}

/// `POST /api/v1/segment`, `POST /api/v1/endpoints/{endpoint}/segment`.
pub(crate) async fn segment(
    State(state): State<AppState>,
    endpoint: Option<Path<String>>,
    request: Request,
) -> Result<Response, ApiError> {
    let log = RequestLog::of(&request);
    let endpoint = endpoint.map(|Path(name)| name);
    let target = route(&state, endpoint.as_deref(), request.headers())?.target;
    log.target(&target);
    let started = Instant::now();
    let held = read_json(&state, request).await?;
    log.add(Stage::Body, started.elapsed());
    let place = state.queue().enter()?;
    let asked = Arc::new(read(&state, held, place, &log).await?);
    let asking = ask(&state, &asked, &target, &log).await?;
    let deployment = HeaderValue::from_str(&target.deployment).map_err(|_| ApiError::Internal)?;
    let reply = tokio::task::spawn_blocking(move || reply(&asked, &target, asking, &log)).await;
    let mut response = Json(reply.map_err(|_| ApiError::Internal)?).into_response();
    response.headers_mut().insert(DEPLOYMENT, deployment);
    Ok(response)
}

async fn read(
    state: &AppState,
    held: Held,
    place: Place,
    log: &RequestLog,
) -> Result<Asked, ApiError> {
    let decoder = state.queue().decoder().await?;
    let (state, log) = (state.clone(), log.clone());
    let read = tokio::task::spawn_blocking(move || {
        let _decoder = decoder;
        check(&state, held, place, &log)
    });
    read.await.unwrap_or(Err(ApiError::Internal))
}

fn check(state: &AppState, held: Held, place: Place, log: &RequestLog) -> Result<Asked, ApiError> {
    let Held { bytes, mut charge } = held;
    let started = Instant::now();
    let request: SegmentRequest = parse_object(&bytes)?;
    log.add(Stage::Parse, started.elapsed());
    let limits = &state.config().limits;
    if request.prompts.is_empty() || request.prompts.len() > limits.wire.prompts {
        let (found, limit) = (request.prompts.len(), limits.wire.prompts);
        return Err(ApiError::BadRequest(format!(
            "prompts holds {found} sentences; expected 1 to {limit}"
        )));
    }
    let prompts: Vec<String> =
        request.prompts.iter().map(|prompt| prompt.trim().to_owned()).collect();
    if let Some(at) = prompts.iter().position(String::is_empty) {
        return Err(ApiError::Unusable { row: 0, reason: format!("prompts[{at}] is empty") });
    }
    if prompts.iter().map(String::len).sum::<usize>() > limits.wire.text_bytes {
        let limit = limits.wire.text_bytes;
        return Err(ApiError::BadRequest(format!(
            "prompts hold more than the {limit} bytes that are accepted"
        )));
    }
    log.rows(1, prompts.len());
    let started = Instant::now();
    let picture = decode(&request.image, state)?;
    log.add(Stage::Decode, started.elapsed());
    let pixels = u64::from(picture.width()) * u64::from(picture.height());
    // Probabilities are kept at a byte a pixel, masks at a bit.
    let limit = if request.probabilities { limits.mask_pixels / 8 } else { limits.mask_pixels };
    let wanted = pixels * prompts.len() as u64;
    if wanted > limit {
        let reason = format!(
            "{} answers of {pixels} pixels are more than the {limit} accepted",
            prompts.len()
        );
        return Err(ApiError::Unusable { row: 0, reason });
    }
    if !charge.grow(picture.pixels().len()) {
        return Err(state.queue().memory_full());
    }
    let probabilities =
        if request.probabilities { Probabilities::Include } else { Probabilities::Omit };
    let SegmentRequest { together, fit, .. } = request;
    Ok(Asked { picture, prompts, together, fit, probabilities, _charge: charge, _place: place })
}

fn decode(image: &str, state: &AppState) -> Result<Picture, ApiError> {
    let file = base64_simd::forgiving_decode_to_vec(image.as_bytes())
        .map_err(|_| ApiError::Unusable { row: 0, reason: "image is not base64".to_owned() })?;
    Picture::decode(&file, &state.config().limits.picture).map_err(|error| {
        let place = medparse_wire::Place {
            row: 0,
            column: medparse_wire::Column::Image,
            path: "image".to_owned(),
        };
        ApiError::Picture { place, error: Box::new(error) }
    })
}

async fn ask(
    state: &AppState,
    asked: &Arc<Asked>,
    target: &Target,
    log: &RequestLog,
) -> Result<Asking, ApiError> {
    let within = Within { state, log, limit: target.row, row: 0 };
    let (state, asked, target, log) = (state.clone(), asked.clone(), target.clone(), log.clone());
    within
        .compute(move |cancel| {
            let answered = ask_model(&state, &asked, &target, &log, cancel);
            answered.map_err(|error| log.model_error(0, error))
        })
        .await
}

fn ask_model(
    state: &AppState,
    asked: &Asked,
    target: &Target,
    log: &RequestLog,
    cancel: &CancelToken,
) -> Result<Asking, SegmentError> {
    let fit = target.model.fit(asked.fit);
    let (encoded, origin) = encode(state, target, &asked.picture, fit, log, cancel)?;
    let groups: Vec<&[String]> = match asked.together {
        Together::Joint => vec![&asked.prompts[..]],
        Together::Alone => asked.prompts.chunks(1).collect(),
    };
    let mut prompts = Vec::with_capacity(asked.prompts.len());
    let mut describing = Duration::ZERO;
    let started = Instant::now();
    for group in groups {
        let question = Question {
            picture: &encoded,
            prompts: group,
            together: asked.together,
            probabilities: asked.probabilities,
            cancel,
        };
        target.model.segmenter.ask(&question, &mut |answer| {
            let started = Instant::now();
            let prompt = asked.prompts.get(prompts.len()).cloned().unwrap_or_default();
            prompts.push(describe(prompt, answer, &asked.picture));
            describing += started.elapsed();
        })?;
    }
    log.add(Stage::Ask, started.elapsed().saturating_sub(describing));
    log.add(Stage::Write, describing);
    Ok(Asking { prompts, fit, origin })
}

fn describe(prompt: String, answer: Answer, picture: &Picture) -> PromptReport {
    let area_px = answer.mask.area();
    let bounding_box = answer.mask.bounding_box().map(|found| BoundingBox {
        x0: found.x as usize,
        y0: found.y as usize,
        x1: (found.x + found.width) as usize,
        y1: (found.y + found.height) as usize,
    });
    PromptReport {
        prompt,
        category: answer.category.to_owned(),
        similarity: answer.similarity,
        presence: answer.presence,
        area_px,
        area_mm2: picture.geometry().map(|geometry| geometry.pixel_area() * area_px as f64),
        bounding_box,
        truncated: answer.truncated,
        probabilities: answer.probabilities.map(|values| STANDARD.encode_to_string(values)),
    }
}

fn reply(asked: &Asked, target: &Target, asking: Asking, log: &RequestLog) -> SegmentReply {
    let ms = |stage| log.spent(stage).as_secs_f64() * 1e3;
    let card = target.card();
    SegmentReply {
        model: card.name.clone(),
        deployment: target.deployment.clone(),
        together: asked.together,
        fit: asking.fit,
        precision: card.precision.clone(),
        picture: PictureReport {
            width: asked.picture.width() as usize,
            height: asked.picture.height() as usize,
            spacing_mm: asked.picture.geometry().map(|geometry| geometry.spacing),
        },
        prompts: asking.prompts,
        warnings: target
            .model
            .segmenter
            .review(&asked.prompts)
            .into_iter()
            .map(|warning| WarningReport {
                code: warning.code.to_owned(),
                message: format!("sentence {}: {}", warning.prompt + 1, warning.message),
            })
            .collect(),
        timing: SegmentTiming {
            decode_ms: ms(Stage::Decode),
            wait_ms: ms(Stage::Wait),
            encode_ms: ms(Stage::Encode),
            ask_ms: ms(Stage::Ask),
            cached: asking.origin == Origin::Kept,
        },
    }
}
