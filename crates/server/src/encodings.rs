//! Encoded pictures, kept for the next question: one encoding per picture, however many ask and at whatever time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use medparse_imaging::Picture;
use medparse_wire::Fit;
use sha2::{Digest, Sha256};

use crate::runtime::LoadedModel;
use crate::segmenter::{CancelToken, EncodedPicture, SegmentError};

/// The encodings at hand, the least recently used ones dropped first.
#[derive(Debug)]
pub(crate) struct Encodings {
    /// Bytes that may be kept.
    limit: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    places: HashMap<Key, Place>,
    /// Counts the uses; a place remembers its last.
    clock: u64,
}

/// What an encoding follows from: the model, how the picture was fitted, and every pixel of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    model: u64,
    fit: Fit,
    picture: Fingerprint,
}

/// Size and SHA-256 of a picture's pixels: two pictures with one fingerprint are the same picture.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint {
    size: (u32, u32),
    pixels: [u8; 32],
}

impl Fingerprint {
    pub(crate) fn of(picture: &Picture) -> Self {
        Self { size: picture.dimensions(), pixels: Sha256::digest(picture.pixels()).into() }
    }
}

/// A picture, and how it is to be encoded.
pub(crate) struct Wanted<'a> {
    pub(crate) model: &'a LoadedModel,
    pub(crate) picture: &'a Picture,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) fit: Fit,
}

#[derive(Debug)]
struct Place {
    slot: Slot,
    bytes: usize,
    used: u64,
}

/// Locked by whoever encodes, so that others who want the same picture wait for it instead of repeating it.
type Slot = Arc<Mutex<Option<Arc<EncodedPicture>>>>;

/// Where the encoding of a picture came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It was kept from an earlier question.
    Kept,
    /// It was computed for this question.
    Computed,
}

impl Encodings {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, kept: Mutex::default() }
    }

    /// The encoding of a picture: the one at hand, or a new one. Waits when another thread is making it.
    pub(crate) fn of(
        &self,
        wanted: Wanted<'_>,
        cancel: &CancelToken,
    ) -> Result<(Arc<EncodedPicture>, Origin), SegmentError> {
        let Wanted { model, picture, fingerprint, fit } = wanted;
        let key = Key { model: model.id, fit, picture: fingerprint };
        let slot = self.slot(&key);
        let mut encoding = lock(&slot);
        if let Some(encoded) = &*encoding {
            return Ok((encoded.clone(), Origin::Kept));
        }
        // Whoever waited here for another's encoding may have been left by its client meanwhile.
        match cancel.check().and_then(|()| model.segmenter.encode(picture, fit, cancel)) {
            Ok(encoded) => {
                let encoded = Arc::new(encoded);
                *encoding = Some(encoded.clone());
                drop(encoding);
                self.keep(&key, encoded.bytes);
                Ok((encoded, Origin::Computed))
            }
            Err(error) => {
                drop(encoding);
                self.forget(&key, &slot);
                Err(error)
            }
        }
    }

    fn slot(&self, key: &Key) -> Slot {
        let mut kept = lock(&self.kept);
        kept.clock += 1;
        let used = kept.clock;
        let place = kept.places.entry(key.clone()).or_insert_with(|| Place {
            slot: Slot::default(),
            bytes: 0,
            used,
        });
        place.used = used;
        place.slot.clone()
    }

    /// Counts an encoding, and drops others until all fit; one that is too large by itself goes at once.
    fn keep(&self, key: &Key, bytes: usize) {
        let mut kept = lock(&self.kept);
        if let Some(place) = kept.places.get_mut(key) {
            place.bytes = bytes;
        }
        if bytes > self.limit {
            kept.places.remove(key);
        }
        let mut total: usize = kept.places.values().map(|place| place.bytes).sum();
        while total > self.limit {
            // Places without bytes are being filled, and are not dropped.
            let filled = kept.places.iter().filter(|(_, place)| place.bytes > 0);
            let Some(oldest) =
                filled.min_by_key(|(_, place)| place.used).map(|(key, _)| key.clone())
            else {
                return;
            };
            total -= kept.places.remove(&oldest).map_or(0, |place| place.bytes);
        }
    }

    /// Drops a place that was not filled, unless somebody else waits to fill it.
    fn forget(&self, key: &Key, slot: &Slot) {
        let mut kept = lock(&self.kept);
        // The map and the caller hold one reference each.
        if Arc::strong_count(slot) == 2 {
            kept.places.remove(key);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A model that panics leaves an empty place behind, which the next question fills.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::segmenter::{Answer, ModelCard, PromptWarning, Question, Segmenter};

    /// Counts its encodings, each of 100 bytes; fails for pictures that are all black.
    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Segmenter for Counter {
        fn card(&self) -> &ModelCard {
            unreachable!("nobody asks")
        }

        fn review(&self, _: &[String]) -> Vec<PromptWarning> {
            unreachable!("nobody asks")
        }

        fn encode(
            &self,
            picture: &Picture,
            _: Fit,
            _: &CancelToken,
        ) -> Result<EncodedPicture, SegmentError> {
            std::thread::sleep(Duration::from_millis(20));
            self.0.fetch_add(1, Ordering::SeqCst);
            if picture.pixels()[0] == 0 {
                return Err(SegmentError::Cancelled);
            }
            Ok(EncodedPicture { value: Box::new(()), bytes: 100 })
        }

        fn ask(&self, _: &Question<'_>, _: &mut dyn FnMut(Answer)) -> Result<(), SegmentError> {
            unreachable!("nobody asks")
        }
    }

    fn model() -> (LoadedModel, Arc<Counter>) {
        let counter = Arc::new(Counter::default());
        (LoadedModel { id: 1, segmenter: counter.clone() }, counter)
    }

    fn ask(
        encodings: &Encodings,
        model: &LoadedModel,
        value: u8,
        fit: Fit,
    ) -> Result<Origin, SegmentError> {
        let picture = Picture::from_rgb(1, 1, vec![value; 3]).unwrap();
        let fingerprint = Fingerprint::of(&picture);
        let wanted = Wanted { model, picture: &picture, fingerprint, fit };
        encodings.of(wanted, &CancelToken::default()).map(|(_, origin)| origin)
    }

    #[test]
    fn threads_that_want_one_picture_share_its_encoding() {
        let (encodings, (model, counter)) = (Encodings::new(1000), model());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| ask(&encodings, &model, 1, Fit::Stretch).unwrap());
            }
        });
        assert_eq!(counter.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn the_least_recently_used_is_dropped_first() {
        let (encodings, (model, counter)) = (Encodings::new(250), model());
        let origin = |value, fit| ask(&encodings, &model, value, fit).unwrap();
        use Origin::{Computed, Kept};
        for (value, fit, expected) in [
            (1, Fit::Stretch, Computed),
            (2, Fit::Stretch, Computed),
            (1, Fit::Stretch, Kept),
            (1, Fit::Pad, Computed),
            (1, Fit::Stretch, Kept),
            (2, Fit::Stretch, Computed),
            (1, Fit::Pad, Computed),
        ] {
            assert_eq!(origin(value, fit), expected, "{value} {fit:?}");
        }
        assert_eq!(counter.0.load(Ordering::SeqCst), 5);
    }

    #[test]
    fn nothing_is_kept_of_a_failure_or_of_what_is_too_large() {
        let (encodings, (model, counter)) = (Encodings::new(99), model());
        for value in [0, 0, 1, 1] {
            let _ = ask(&encodings, &model, value, Fit::Stretch);
        }
        assert_eq!(counter.0.load(Ordering::SeqCst), 4);
        assert!(lock(&encodings.kept).places.is_empty());
    }
}
