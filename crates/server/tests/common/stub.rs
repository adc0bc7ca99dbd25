//! A model that costs nothing: its answers follow from picture and sentence by arithmetic that a test can repeat.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use medparse_imaging::Mask;
use medparse_server::{
    Answer, CatalogEntry, Encoding, LoadError, ModelCard, ModelLoader, ModelSpec, Probabilities,
    PromptWarning, Question, Report, SegmentError, Segmenter,
};
use medparse_wire::{CATEGORIES, Fit};

/// The model: sentence `p` is the foreground where the green channel of a pixel is at least `32 × (p + 1)`; the model
/// "second" answers the opposite. A picture is "encoded" when it is first seen.
#[derive(Debug)]
pub struct Stub {
    card: ModelCard,
    inverted: bool,
    delay: Duration,
    encoded: Mutex<HashSet<u64>>,
    /// Pictures encoded.
    pub encodings: AtomicUsize,
    /// Questions that were asked to end early.
    pub cancelled: AtomicUsize,
    /// Questions that were answered.
    pub answered: AtomicUsize,
}

impl Stub {
    pub fn new(name: &str, delay: Duration) -> Self {
        Self {
            card: ModelCard {
                name: name.to_owned(),
                version: "1".to_owned(),
                precision: "f32".to_owned(),
                description: "Arithmetic for tests".to_owned(),
            },
            inverted: name == "second",
            delay,
            encoded: Mutex::default(),
            encodings: AtomicUsize::new(0),
            cancelled: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
        }
    }

    fn encode(&self, question: &Question<'_>) -> Encoding {
        let mut hasher = DefaultHasher::new();
        question
            .picture
            .pixels()
            .get(..4096.min(question.picture.pixels().len()))
            .hash(&mut hasher);
        question.picture.dimensions().hash(&mut hasher);
        if self.encoded.lock().unwrap().insert(hasher.finish()) {
            self.encodings.fetch_add(1, Ordering::SeqCst);
            return Encoding::Computed;
        }
        Encoding::Kept
    }

    fn work(&self, question: &Question<'_>) -> Result<(), SegmentError> {
        let end = Instant::now() + self.delay;
        while Instant::now() < end {
            if question.cancel.is_cancelled() {
                self.cancelled.fetch_add(1, Ordering::SeqCst);
                return Err(SegmentError::Cancelled);
            }
            std::thread::sleep(
                Duration::from_millis(2).min(end.saturating_duration_since(Instant::now())),
            );
        }
        Ok(())
    }

    fn mask(&self, question: &Question<'_>, prompt: usize) -> Mask {
        let threshold = 32 * (prompt + 1);
        let values = question.picture.pixels().chunks_exact(3);
        let values = values
            .map(|rgb| if (usize::from(rgb[1]) >= threshold) != self.inverted { 255 } else { 0 });
        Mask::from_pixels(question.picture.width(), question.picture.height(), values.collect())
            .unwrap()
    }
}

impl Segmenter for Stub {
    fn card(&self) -> &ModelCard {
        &self.card
    }

    fn review(&self, prompts: &[String]) -> Vec<PromptWarning> {
        let cut = |prompt: &String| prompt.split_whitespace().count() > 75;
        let warning = |(prompt, _)| PromptWarning {
            prompt,
            code: "TextTruncated",
            message: "longer than 77 tokens and cut as the reference cuts it".to_owned(),
        };
        prompts.iter().enumerate().filter(|(_, prompt)| cut(prompt)).map(warning).collect()
    }

    fn segment(
        &self,
        question: &Question<'_>,
        answer: &mut dyn FnMut(Answer),
    ) -> Result<Report, SegmentError> {
        let encoding = self.encode(question);
        self.work(question)?;
        for (at, prompt) in question.prompts.iter().enumerate() {
            match prompt.as_str() {
                "fail" => {
                    return Err(SegmentError::Failed("a secret of the machine room".to_owned()));
                }
                "panic" => panic!("the model panics as it was asked to"),
                "unusable" => {
                    return Err(SegmentError::Unusable("the picture is no use".to_owned()));
                }
                _ => {}
            }
            let mask = self.mask(question, at);
            let probabilities = match question.probabilities {
                Probabilities::Include => {
                    Some(mask.pixels().iter().map(|value| value / 2).collect())
                }
                Probabilities::Omit => None,
            };
            answer(Answer {
                mask,
                category: CATEGORIES[prompt.len() % CATEGORIES.len()],
                similarity: 0.25,
                presence: None,
                truncated: prompt.split_whitespace().count() > 75,
                probabilities,
            });
        }
        self.answered.fetch_add(1, Ordering::SeqCst);
        let fit = if question.fit == Fit::Pad { Fit::Pad } else { Fit::Stretch };
        Ok(Report { encoding, fit, encode: Duration::ZERO, decode: self.delay })
    }
}

/// Loads stubs: "bundled" and "second" at once, "slow" after half a second, anything else never.
#[derive(Debug, Default)]
pub struct StubLoader {
    /// How long a question takes.
    pub delay: Duration,
    /// The models loaded, in order.
    pub loaded: Mutex<Vec<Arc<Stub>>>,
}

impl ModelLoader for StubLoader {
    fn load(&self, spec: &ModelSpec) -> Result<Arc<dyn Segmenter>, LoadError> {
        match spec.model.as_str() {
            "bundled" | "second" => {}
            "slow" => std::thread::sleep(Duration::from_millis(500)),
            other => return Err(LoadError(format!("there is no model {other:?} on this machine"))),
        }
        let stub = Arc::new(Stub::new(&spec.model, self.delay));
        self.loaded.lock().unwrap().push(stub.clone());
        Ok(stub)
    }

    fn catalog(&self) -> Vec<CatalogEntry> {
        ["bundled", "second", "slow"]
            .map(|name| CatalogEntry {
                name: name.to_owned(),
                version: "1".to_owned(),
                description: format!("The stub {name}"),
            })
            .into()
    }
}
