//! Computing one row: a slot, a deadline, and an early end when the client has gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use medparse_imaging::Picture;
use medparse_wire::{Fit, Together};
use tokio::time::timeout_at;

use crate::AppState;
use crate::encodings::{Fingerprint, Origin, Wanted};
use crate::errors::ApiError;
use crate::packed::PackedMask;
use crate::prepare::{Prepared, PreparedRow};
use crate::queue::Place;
use crate::routing::Target;
use crate::segmenter::{CancelToken, EncodedPicture, Probabilities, Question, SegmentError};
use crate::telemetry::{RequestLog, Stage};

/// A request that has been admitted.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) state: AppState,
    pub(crate) target: Target,
    pub(crate) prepared: Arc<Prepared>,
    pub(crate) log: RequestLog,
    /// Held until the last row is sent.
    pub(crate) _place: Arc<Place>,
}

/// The answer to one row.
pub(crate) struct AnsweredRow {
    pub(crate) masks: Vec<PackedMask>,
    pub(crate) categories: Vec<&'static str>,
    /// `[prompts, height, width]`.
    pub(crate) shape: [usize; 3],
}

impl Job {
    /// Computes row `at` within the deployment's time, the waiting included.
    pub(crate) async fn answer(&self, at: usize) -> Result<AnsweredRow, ApiError> {
        let job = self.clone();
        let within = Within { state: &self.state, log: &self.log, limit: self.target.row, row: at };
        let compute = move |cancel: &CancelToken| {
            let row = job.prepared.rows.get(at).ok_or(ApiError::Internal)?;
            answer_row(&job, row, at, cancel)
        };
        within.compute(compute).await
    }
}

fn answer_row(
    job: &Job,
    row: &PreparedRow,
    at: usize,
    cancel: &CancelToken,
) -> Result<AnsweredRow, ApiError> {
    let started = Instant::now();
    let picture = row.picture(&job.state.config().limits.picture)?;
    job.log.add(Stage::Decode, started.elapsed());
    // The reference asks all sentences of a row together, of the picture stretched to its square.
    let encoding = encode(&job.state, &job.target, &picture, Fit::Stretch, &job.log, cancel);
    let (encoded, _) = encoding.map_err(|error| job.log.model_error(at, error))?;
    let mut masks = Vec::with_capacity(row.prompts.len());
    let mut categories = Vec::with_capacity(row.prompts.len());
    let question = Question {
        picture: &encoded,
        prompts: &row.prompts,
        together: Together::Joint,
        probabilities: Probabilities::Omit,
        cancel,
    };
    let mut packing = Duration::ZERO;
    let started = Instant::now();
    let outcome = job.target.model.segmenter.ask(&question, &mut |answer| {
        let started = Instant::now();
        masks.push(PackedMask::pack(&answer.mask));
        packing += started.elapsed();
        categories.push(answer.category);
    });
    job.log.add(Stage::Ask, started.elapsed().saturating_sub(packing));
    job.log.add(Stage::Write, packing);
    outcome.map_err(|error| job.log.model_error(at, error))?;
    let pixels = picture.width() as usize * picture.height() as usize;
    if masks.len() != row.prompts.len() || masks.iter().any(|mask| mask.pixels() != pixels) {
        let misfit = SegmentError::Failed("the answers do not fit the question".to_owned());
        return Err(job.log.model_error(at, misfit));
    }
    let shape = [masks.len(), picture.height() as usize, picture.width() as usize];
    Ok(AnsweredRow { masks, categories, shape })
}

/// The encoding of a picture, counted and timed.
pub(crate) fn encode(
    state: &AppState,
    target: &Target,
    picture: &Picture,
    fit: Fit,
    log: &RequestLog,
    cancel: &CancelToken,
) -> Result<(Arc<EncodedPicture>, Origin), SegmentError> {
    cancel.check()?;
    let started = Instant::now();
    let fingerprint = Fingerprint::of(picture);
    log.add(Stage::Decode, started.elapsed());
    let started = Instant::now();
    let wanted = Wanted { model: &target.model, picture, fingerprint, fit };
    let encoding = state.encodings().of(wanted, cancel);
    log.add(Stage::Encode, started.elapsed());
    let encoding = encoding.inspect(|(_, origin)| state.metrics().count_encoding(*origin))?;
    // The picture stays encoded for whoever asks next; this question ends here.
    cancel.check()?;
    Ok(encoding)
}

/// Computation under a deadline.
pub(crate) struct Within<'a> {
    pub(crate) state: &'a AppState,
    pub(crate) log: &'a RequestLog,
    pub(crate) limit: Duration,
    pub(crate) row: usize,
}

impl Within<'_> {
    /// Waits for a slot and runs `work` on a thread that may block. When the time is up, or the caller is dropped
    /// because its client went away, `work` is asked for an early end; its slot is free when it has ended.
    pub(crate) async fn compute<T: Send + 'static>(
        self,
        work: impl FnOnce(&CancelToken) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let started = tokio::time::Instant::now();
        let deadline = started + self.limit;
        let late = || ApiError::Deadline { row: self.row, limit: self.limit };
        let slot = timeout_at(deadline, self.state.queue().slot()).await.map_err(|_| late())??;
        self.log.add(Stage::Wait, started.elapsed());
        let cancel = CancelToken::default();
        let _guard = cancel.on_drop();
        let state = self.state.clone();
        let task = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            let started = Instant::now();
            let outcome = work(&cancel);
            state.queue().observe_row(started.elapsed());
            outcome
        });
        match timeout_at(deadline, task).await {
            Err(_) => Err(late()),
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panicked)) => {
                let failed = SegmentError::Failed(format!("the model panicked: {panicked}"));
                Err(self.log.model_error(self.row, failed))
            }
        }
    }
}
