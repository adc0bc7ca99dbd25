//! `POST /api/v1/export`: a scan and what was found in it, as a file of any format that `medparse segment` writes.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use medparse_imaging::write::{ExportOptions, Findings, OutputFormat, Target};
use medparse_imaging::{PALETTE, Volume};
use serde::Deserialize;

use crate::AppState;
use crate::errors::ApiError;
use crate::scan::{FILE, Sent, receive};

/// What the form says beside its files.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// As `medparse segment --format` names it.
    format: String,
    /// Probability above which a voxel is inside, 0 to 1.
    threshold: f32,
    /// One for each part `values`, in their order.
    findings: Vec<Finding>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Finding {
    label: String,
    category: Option<String>,
}

/// `POST /api/v1/export`: the files of the scan as `file`, [`Wanted`] as `request`, and one `values` for each finding:
/// probabilities times 255, one byte a voxel, in the file's order.
pub(crate) async fn export(
    State(state): State<AppState>,
    request: Request,
) -> Result<Response, ApiError> {
    let sent = receive(&state, request).await?;
    let (format, file) = sent.work(encoded).await?;
    attachment(&format!("findings{}", format.ending()), file)
}

/// A file as a reply, under a name to save it by.
pub(crate) fn attachment(name: &str, file: Vec<u8>) -> Result<Response, ApiError> {
    let name = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""))
        .map_err(|_| ApiError::Internal)?;
    let kind = HeaderValue::from_static("application/octet-stream");
    Ok(([(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, name)], file).into_response())
}

fn encoded(sent: &mut Sent) -> Result<(OutputFormat, Vec<u8>), ApiError> {
    let request = sent.first("request");
    let wanted: Wanted = serde_json::from_slice(&request).map_err(|error| {
        ApiError::BadRequest(format!("the part \"request\" cannot be read: {error}"))
    })?;
    let format: OutputFormat =
        wanted.format.parse().map_err(|error| ApiError::BadRequest(format!("{error}")))?;
    let values = sent.named("values");
    if values.len() != wanted.findings.len() {
        let (found, expected) = (values.len(), wanted.findings.len());
        let sentence = format!(
            "the form has {found} parts \"values\"; expected {expected}, one for each finding"
        );
        return Err(ApiError::BadRequest(sentence));
    }
    let volume = sent.volume(FILE)?;
    let targets = targets(&volume, wanted, values)?;
    let findings = Findings::new(&volume, targets).map_err(ApiError::scan)?;
    let file = format.encode(&findings, &ExportOptions::default()).map_err(ApiError::scan)?;
    Ok((format, file))
}

fn targets(volume: &Volume, wanted: Wanted, values: Vec<Bytes>) -> Result<Vec<Target>, ApiError> {
    let limit = wanted.threshold * 255.0;
    let pairs = wanted.findings.into_iter().zip(values).enumerate();
    pairs
        .map(|(at, (finding, values))| {
            if values.len() != volume.voxels() {
                let (found, expected) = (values.len(), volume.voxels());
                let sentence =
                    format!("findings[{at}] has {found} values; the scan has {expected} voxels");
                return Err(ApiError::BadRequest(sentence));
            }
            let inside = |&value: &u8| if f32::from(value) > limit { 255 } else { 0 };
            Ok(Target {
                label: finding.label,
                category: finding.category,
                color: PALETTE[at % PALETTE.len()],
                voxels: values.iter().map(inside).collect(),
                probabilities: Some(values.to_vec()),
            })
        })
        .collect()
}
