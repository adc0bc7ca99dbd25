//! A scan that a client sends: forms with files, read within the limits of the server.

use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use medparse_imaging::{Limits, OpenOptions, Volume, decode, open};
use tokio::time::{Instant, timeout_at};

use crate::AppState;
use crate::errors::ApiError;
use crate::queue::Charge;
use crate::routing::admit;

/// The name of the parts that hold the files of a scan, on the page's routes.
pub(crate) const FILE: &str = "file";

/// What a form held.
pub(crate) struct Sent {
    parts: Vec<Part>,
    state: AppState,
    charge: Charge,
}

/// A field of the form.
struct Part {
    name: String,
    bytes: Bytes,
}

/// Reads a form from a caller who may ask the model, within the size, the memory and the time for a body.
pub(crate) async fn receive(state: &AppState, request: Request) -> Result<Sent, ApiError> {
    admit(state, request.headers())?;
    let mut form = Multipart::from_request(request, state)
        .await
        .map_err(|error| ApiError::MediaType(error.body_text()))?;
    let config = state.config();
    let deadline = Instant::now() + config.timeouts.body;
    let late = |_| ApiError::BodyTooSlow("its time is up");
    let mut charge = state.queue().charge();
    let mut parts = Vec::new();
    let mut left = config.limits.volume_bytes;
    while let Some(field) =
        timeout_at(deadline, form.next_field()).await.map_err(late)?.map_err(broken)?
    {
        let name = field.name().unwrap_or_default().to_owned();
        let collected = collect(state, field, &mut charge, left);
        let bytes = timeout_at(deadline, collected).await.map_err(late)??;
        left -= bytes.len();
        parts.push(Part { name, bytes });
    }
    Ok(Sent { parts, state: state.clone(), charge })
}

async fn collect(
    state: &AppState,
    mut field: Field<'_>,
    charge: &mut Charge,
    left: usize,
) -> Result<Bytes, ApiError> {
    let mut bytes = Vec::new();
    while let Some(piece) = field.chunk().await.map_err(broken)? {
        if bytes.len() + piece.len() > left {
            return Err(ApiError::BodyTooLarge { limit: state.config().limits.volume_bytes });
        }
        if !charge.grow(piece.len()) {
            return Err(state.queue().memory_full());
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.into())
}

fn broken(_: MultipartError) -> ApiError {
    ApiError::BodyBroken("multipart/form-data")
}

impl Sent {
    /// Works on the form on a thread that may block, one of as many as decode at once.
    pub(crate) async fn work<T: Send + 'static>(
        mut self,
        work: impl FnOnce(&mut Self) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let decoder = self.state.queue().decoder().await?;
        let worked = tokio::task::spawn_blocking(move || {
            let _decoder = decoder;
            work(&mut self)
        });
        worked.await.unwrap_or(Err(ApiError::Internal))
    }

    /// Sets memory for so many bytes aside, beside what the form takes, for as long as the charge lives.
    pub(crate) fn hold(&mut self, bytes: usize) -> Result<Charge, ApiError> {
        if !self.charge.grow(bytes) {
            return Err(self.state.queue().memory_full());
        }
        Ok(self.charge.take())
    }

    /// The parts of that name, in their order.
    pub(crate) fn named(&self, name: &str) -> Vec<Bytes> {
        let wanted = self.parts.iter().filter(|part| part.name == name);
        wanted.map(|part| part.bytes.clone()).collect()
    }

    /// The first part of that name; empty where there is none.
    pub(crate) fn first(&self, name: &str) -> Bytes {
        let wanted = self.parts.iter().find(|part| part.name == name);
        wanted.map(|part| part.bytes.clone()).unwrap_or_default()
    }

    /// What a scan may hold.
    fn limits(&self) -> Limits {
        let limits = &self.state.config().limits;
        Limits {
            max_encoded_bytes: limits.volume_bytes as u64,
            max_decoded_bytes: limits.memory_bytes as u64,
            ..limits.picture
        }
    }

    /// The form's charge on the memory for requests in flight, for what outlives the form.
    pub(crate) fn take_charge(&mut self) -> Charge {
        self.charge.take()
    }

    /// The scan in the files of the form, which are the parts of that name.
    pub(crate) fn volume(&mut self, name: &str) -> Result<Volume, ApiError> {
        let files = self.named(name);
        let volume = match &files[..] {
            [] => {
                let sentence = format!("the form holds no part named {name:?}");
                return Err(ApiError::BadRequest(sentence));
            }
            [file] => decode(file, &self.limits()).map_err(ApiError::scan)?,
            files => series(files, &self.limits())?,
        };
        // The values, and as much again for what is made of them.
        if !self.charge.grow(volume.voxels().saturating_mul(8)) {
            return Err(self.state.queue().memory_full());
        }
        Ok(volume)
    }
}

/// A series is read from a folder, which is gone when it has been read.
fn series(files: &[Bytes], limits: &Limits) -> Result<Volume, ApiError> {
    let failed = |_| ApiError::Internal;
    let folder = tempfile::tempdir().map_err(failed)?;
    for (at, file) in files.iter().enumerate() {
        std::fs::write(folder.path().join(format!("{at:06}.dcm")), file).map_err(failed)?;
    }
    let options = OpenOptions { limits: *limits, ..OpenOptions::default() };
    open(folder.path(), &options).map_err(ApiError::scan)
}
