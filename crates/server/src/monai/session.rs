//! Scans that clients leave here to ask about them more than once, as 3D Slicer does with what it has open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::{Extension, Json};
use medparse_imaging::Volume;
use serde_json::{Value, json};

use crate::AppState;
use crate::errors::ApiError;
use crate::ids::new_id;
use crate::queue::Charge;
use crate::routing::admit;
use crate::scan::receive;

/// How long a session that nobody asks about is kept, as MONAI Label keeps them.
const LIFETIME: Duration = Duration::from_secs(3600);
/// Sessions kept; a further one takes the place of the one that was not asked about for the longest time.
const KEPT: usize = 4;
/// The name of the parts that hold the files.
const FILES: &str = "files";

/// A scan, and its charge on the memory for requests in flight.
pub(super) struct Scan {
    pub(super) volume: Volume,
    pub(super) _charge: Charge,
}

/// The scans by the ids of their sessions.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<String, (Arc<Scan>, Instant)>>);

impl Sessions {
    fn live(&self) -> MutexGuard<'_, HashMap<String, (Arc<Scan>, Instant)>> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, (_, used)| used.elapsed() < LIFETIME);
        sessions
    }

    fn keep(&self, scan: Arc<Scan>) -> String {
        let mut sessions = self.live();
        if sessions.len() >= KEPT {
            let eldest = sessions.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(id) = eldest.map(|(id, _)| id.clone()) {
                sessions.remove(&id);
            }
        }
        let id = new_id();
        sessions.insert(id.clone(), (scan, Instant::now()));
        id
    }

    /// The scan of a session, which lives on from now.
    pub(super) fn find(&self, id: &str) -> Result<Arc<Scan>, ApiError> {
        let mut sessions = self.live();
        let (scan, used) = sessions.get_mut(id).ok_or_else(none)?;
        *used = Instant::now();
        Ok(scan.clone())
    }
}

fn none() -> ApiError {
    ApiError::NotFound("there is no such session; it may have ended".to_owned())
}

/// `PUT /session/`: the files of a scan as `files`; the reply names the session.
pub(super) async fn create(
    State(state): State<AppState>,
    Extension(sessions): Extension<Arc<Sessions>>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let sent = receive(&state, request).await?;
    let scan = sent.work(|sent| {
        let volume = sent.volume(FILES)?;
        Ok(Scan { volume, _charge: sent.take_charge() })
    });
    let scan = Arc::new(scan.await?);
    let about = about(&scan);
    Ok(Json(json!({"session_id": sessions.keep(scan), "session_info": about})))
}

fn about(scan: &Scan) -> Value {
    json!({"dimensions": scan.volume.dimensions(), "expiry": LIFETIME.as_secs()})
}

/// `GET /session/{id}`.
pub(super) async fn show(
    State(state): State<AppState>,
    Extension(sessions): Extension<Arc<Sessions>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, ApiError> {
    admit(&state, &headers)?;
    Ok(Json(about(&*sessions.find(&id)?)))
}

/// `DELETE /session/{id}`.
pub(super) async fn remove(
    State(state): State<AppState>,
    Extension(sessions): Extension<Arc<Sessions>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, ApiError> {
    admit(&state, &headers)?;
    sessions.live().remove(&id).ok_or_else(none)?;
    Ok(Json(json!({})))
}
