//! Back-pressure as types: a request holds a [`Place`] or is told to come back, a row holds a [`Slot`] while it is
//! computed, and bytes in flight hold a [`Charge`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::errors::{ApiError, Rejection};
use crate::{Capacity, Limits};

/// The bounded queue in front of the compute.
#[derive(Debug)]
pub(crate) struct Queue {
    capacity: Capacity,
    places: Arc<Semaphore>,
    slots: Arc<Semaphore>,
    decoders: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    /// Mean time of a row, microseconds; what `Retry-After` is estimated from.
    row_micros: AtomicU64,
}

/// A request's right to be worked on.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

/// A row's right to the model.
#[derive(Debug)]
pub(crate) struct Slot {
    _permit: OwnedSemaphorePermit,
}

/// A thread's right to decode a picture.
#[derive(Debug)]
pub(crate) struct Decoder {
    _permit: OwnedSemaphorePermit,
}

/// The memory budget is counted in pieces of this many bytes, so that it fits a semaphore.
const PIECE: usize = 4096;

impl Queue {
    pub(crate) fn new(capacity: Capacity, limits: &Limits) -> Self {
        let pieces =
            (limits.memory_bytes / PIECE).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Self {
            places: Arc::new(Semaphore::new(capacity.slots.max(1) + capacity.waiting)),
            slots: Arc::new(Semaphore::new(capacity.slots.max(1))),
            decoders: Arc::new(Semaphore::new(capacity.decoders.max(1))),
            memory: Arc::new(Semaphore::new(pieces)),
            row_micros: AtomicU64::new(0),
            capacity,
        }
    }

    /// A place, or the answer to come back.
    pub(crate) fn enter(&self) -> Result<Place, ApiError> {
        match self.places.clone().try_acquire_owned() {
            Ok(permit) => Ok(Place { _permit: permit }),
            Err(_) => Err(ApiError::Overloaded {
                reason: "every place in the queue is taken",
                rejection: Rejection::QueueFull,
                seconds: self.retry_seconds(),
            }),
        }
    }

    /// Waits for the model.
    pub(crate) async fn slot(&self) -> Result<Slot, ApiError> {
        let permit = self.slots.clone().acquire_owned().await.map_err(|_| ApiError::Internal)?;
        Ok(Slot { _permit: permit })
    }

    /// Waits for a decoder.
    pub(crate) async fn decoder(&self) -> Result<Decoder, ApiError> {
        let permit = self.decoders.clone().acquire_owned().await.map_err(|_| ApiError::Internal)?;
        Ok(Decoder { _permit: permit })
    }

    /// A charge of nothing yet.
    pub(crate) fn charge(&self) -> Charge {
        Charge { memory: self.memory.clone(), permit: None, bytes: 0 }
    }

    pub(crate) fn memory_full(&self) -> ApiError {
        ApiError::Overloaded {
            reason: "the memory for requests in flight is used up",
            rejection: Rejection::MemoryFull,
            seconds: self.retry_seconds(),
        }
    }

    /// Requests that hold a place.
    pub(crate) fn depth(&self) -> usize {
        self.capacity.slots.max(1) + self.capacity.waiting - self.places.available_permits()
    }

    /// Remembers how long a row took.
    pub(crate) fn observe_row(&self, time: Duration) {
        let time = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let mean = self.row_micros.load(Ordering::Relaxed);
        let mean = if mean == 0 { time } else { (mean * 7).saturating_add(time) / 8 };
        self.row_micros.store(mean, Ordering::Relaxed);
    }

    /// Seconds until a place is likely to be free: a row's mean time, 1 to 60.
    fn retry_seconds(&self) -> u64 {
        let mean = Duration::from_micros(self.row_micros.load(Ordering::Relaxed));
        (mean / u32::try_from(self.capacity.slots.max(1)).unwrap_or(1)).as_secs().clamp(1, 60)
    }
}

/// Bytes counted against the memory set aside for requests in flight; given back when dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    memory: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

impl Charge {
    /// What is held so far, leaving nothing here.
    pub(crate) fn take(&mut self) -> Self {
        let memory = self.memory.clone();
        std::mem::replace(self, Self { memory, permit: None, bytes: 0 })
    }

    /// Counts `bytes` more, or changes nothing and says no.
    #[must_use]
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let held = self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let wanted = (self.bytes + bytes).div_ceil(PIECE);
        if let Some(more) = wanted.checked_sub(held).filter(|&more| more > 0) {
            let Ok(more) = u32::try_from(more) else { return false };
            let Ok(permit) = self.memory.clone().try_acquire_many_owned(more) else { return false };
            match &mut self.permit {
                Some(held) => held.merge(permit),
                empty => *empty = Some(permit),
            }
        }
        self.bytes += bytes;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Queue {
        let capacity = Capacity { slots: 1, waiting: 2, decoders: 1 };
        Queue::new(capacity, &Limits { memory_bytes: 10 * PIECE, ..Limits::default() })
    }

    #[test]
    fn the_fourth_of_three_is_told_to_come_back() {
        let queue = queue();
        let places: Vec<_> = (0..3).map(|_| queue.enter().unwrap()).collect();
        assert_eq!(queue.depth(), 3);
        queue.observe_row(Duration::from_secs(7));
        assert!(matches!(queue.enter(), Err(ApiError::Overloaded { seconds: 7, .. })));
        drop(places);
        assert_eq!(queue.depth(), 0);
        queue.enter().unwrap();
    }

    #[test]
    fn memory_is_counted_and_given_back() {
        let queue = queue();
        let mut charge = queue.charge();
        assert!(charge.grow(1) && charge.grow(PIECE - 1) && charge.grow(9 * PIECE));
        assert!(!charge.grow(1));
        drop(charge);
        assert!(queue.charge().grow(10 * PIECE));
    }
}
