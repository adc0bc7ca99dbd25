//! A model that costs nothing: its answers follow from picture and sentence by arithmetic that a test can repeat.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use medparse_imaging::{Mask, Picture};
use medparse_server::{
    Answer, CancelToken, CatalogEntry, EncodedPicture, LoadError, ModelCard, ModelLoader,
    ModelSpec, Probabilities, PromptWarning, Question, SegmentError, Segmenter, TargetGroup,
};
use medparse_wire::{CATEGORIES, Fit};

/// The model: sentence `p` is the foreground where the green channel of a pixel is at least `32 × (p + 1)`; the model
/// "second" answers the opposite.
#[derive(Debug)]
pub struct Stub {
    card: ModelCard,
    inverted: bool,
    delay: Duration,
    encode_delay: Duration,
    /// Pictures encoded.
    pub encodings: AtomicUsize,
    /// Questions that were asked to end early.
    pub cancelled: AtomicUsize,
    /// Questions that were answered.
    pub answered: AtomicUsize,
}

fn targets(modality: &str, targets: &[&str]) -> TargetGroup {
    let targets = targets.iter().map(|&target| target.to_owned()).collect();
    TargetGroup { modality: modality.to_owned(), targets }
}

impl Stub {
    pub fn new(name: &str, delay: Duration, encode_delay: Duration) -> Self {
        Self {
            card: ModelCard {
                name: name.to_owned(),
                version: "1".to_owned(),
                precision: "f32".to_owned(),
                fit: Fit::Stretch,
                description: "Arithmetic for tests".to_owned(),
                targets: vec![
                    targets("Pathology", &["neoplastic cells", "inflammatory cells"]),
                    targets("CT-Abdomen", &["liver", "spleen"]),
                ],
            },
            inverted: name == "second",
            delay,
            encode_delay,
            encodings: AtomicUsize::new(0),
            cancelled: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
        }
    }

    fn work(&self, cancel: &CancelToken) -> Result<(), SegmentError> {
        let end = Instant::now() + self.delay;
        while Instant::now() < end {
            if cancel.is_cancelled() {
                self.cancelled.fetch_add(1, Ordering::SeqCst);
                return Err(SegmentError::Cancelled);
            }
            let rest = end.saturating_duration_since(Instant::now());
            std::thread::sleep(Duration::from_millis(2).min(rest));
        }
        Ok(())
    }

    fn mask(&self, picture: &Picture, prompt: usize) -> Mask {
        let threshold = 32 * (prompt + 1);
        let values = picture.pixels().chunks_exact(3);
        let values = values
            .map(|rgb| if (usize::from(rgb[1]) >= threshold) != self.inverted { 255 } else { 0 });
        Mask::from_pixels(picture.width(), picture.height(), values.collect()).unwrap()
    }
}

/// Above one half inside, below outside, and the more so the brighter the green.
pub fn probability(inside: u8, green: u8) -> u8 {
    if inside > 0 { 128 + green / 2 } else { green / 4 }
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

    fn encode(
        &self,
        picture: &Picture,
        fit: Fit,
        _: &CancelToken,
    ) -> Result<EncodedPicture, SegmentError> {
        self.encodings.fetch_add(1, Ordering::SeqCst);
        assert_ne!(fit, Fit::Model);
        // One stage: it ends when it ends, whoever has gone.
        std::thread::sleep(self.encode_delay);
        Ok(EncodedPicture { value: Box::new(picture.clone()), bytes: picture.pixels().len() })
    }

    fn ask(
        &self,
        question: &Question<'_>,
        answer: &mut dyn FnMut(Answer),
    ) -> Result<(), SegmentError> {
        let picture: &Picture = question.picture.value.downcast_ref().unwrap();
        self.work(question.cancel)?;
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
            let mask = self.mask(picture, at);
            let probabilities = match question.probabilities {
                Probabilities::Include => {
                    let greens = picture.pixels().chunks_exact(3).map(|rgb| rgb[1]);
                    let pairs = mask.pixels().iter().zip(greens);
                    Some(pairs.map(|(&inside, green)| probability(inside, green)).collect())
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
        Ok(())
    }
}

/// Loads stubs: "bundled" and "second" at once, "slow" after half a second, anything else never; panics over "panic".
#[derive(Debug, Default)]
pub struct StubLoader {
    /// How long a question takes.
    pub delay: Duration,
    /// How long a picture takes.
    pub encode_delay: Duration,
    /// The models loaded, in order.
    pub loaded: Mutex<Vec<Arc<Stub>>>,
}

impl ModelLoader for StubLoader {
    fn load(&self, spec: &ModelSpec) -> Result<Arc<dyn Segmenter>, LoadError> {
        match spec.model.as_str() {
            "bundled" | "second" => {}
            "slow" => std::thread::sleep(Duration::from_millis(500)),
            "panic" => panic!("the loader panics as it was asked to"),
            other => return Err(LoadError(format!("there is no model {other:?} on this machine"))),
        }
        let stub = Arc::new(Stub::new(&spec.model, self.delay, self.encode_delay));
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
