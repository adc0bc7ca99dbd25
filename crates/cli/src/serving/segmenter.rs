//! A loaded model as the server asks it.

use std::ops::ControlFlow;
use std::sync::mpsc;

use medparse::preprocess::Fit as ModelFit;
use medparse::tokenizer::{CONTEXT_LENGTH, Tokenizer};
use medparse::{
    EncodedPicture as ModelEncoding, Interaction, Model, Prompt, Provenance, SegmentOptions,
    Segmentation,
};
use medparse_imaging::Picture;
use medparse_server::{
    Answer, CancelToken, EncodedPicture, ModelCard, Probabilities, PromptWarning, Question,
    SegmentError, Segmenter, TargetGroup,
};
use medparse_wire::{Fit, Together};
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

/// The version of every model: files and commits have none of Azure's numbers.
pub(super) const VERSION: &str = "1";

/// A model behind the server's [`Segmenter`].
pub struct ModelSegmenter {
    model: Model,
    card: ModelCard,
    /// Threads of its own, where a deployment asks for a number of them.
    threads: Option<ThreadPool>,
}

impl ModelSegmenter {
    /// A loaded model, computed by so many threads of its own, or by the program's.
    ///
    /// # Errors
    /// When the threads cannot be started.
    pub fn new(model: Model, threads: Option<usize>) -> Result<Self, ThreadPoolBuildError> {
        let pool = |count| ThreadPoolBuilder::new().num_threads(count).build();
        let threads = threads.map(pool).transpose()?;
        let card = ModelCard {
            name: model.card().name.clone(),
            version: VERSION.to_owned(),
            precision: model.precision().to_string(),
            description: description(&model),
            targets: targets(&model),
            fit: match model.fit() {
                ModelFit::Stretch => Fit::Stretch,
                ModelFit::Pad => Fit::Pad,
            },
        };
        Ok(Self { model, card, threads })
    }

    /// Where the weights come from.
    pub fn provenance(&self) -> Provenance {
        self.model.card().weights
    }

    /// Computes on the model's own threads, where it has such.
    fn compute<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.threads {
            Some(threads) => threads.install(work),
            None => work(),
        }
    }
}

fn description(model: &Model) -> String {
    let card = model.card();
    let warning = match card.weights {
        Provenance::Trained => "",
        Provenance::Untrained | Provenance::Deterministic => "Untrained: its masks mean nothing.",
    };
    [card.summary.as_str(), warning].join(" ").trim().to_owned()
}

/// What the model says it was trained to find, by kind of picture.
fn targets(model: &Model) -> Vec<TargetGroup> {
    let mut groups: Vec<TargetGroup> = Vec::new();
    for known in &model.card().targets {
        let modality = match known.site.as_str() {
            "" => known.modality.clone(),
            site => format!("{}, {site}", known.modality),
        };
        let target = known.target.clone();
        match groups.iter_mut().find(|group| group.modality == modality) {
            Some(group) => group.targets.push(target),
            None => groups.push(TargetGroup { modality, targets: vec![target] }),
        }
    }
    groups
}

impl Segmenter for ModelSegmenter {
    fn card(&self) -> &ModelCard {
        &self.card
    }

    fn review(&self, prompts: &[String]) -> Vec<PromptWarning> {
        let tokenizer = Tokenizer::new();
        let mut warnings = Vec::new();
        for (prompt, text) in prompts.iter().enumerate() {
            if tokenizer.encode(text).is_truncated() {
                let message =
                    format!("longer than {CONTEXT_LENGTH} tokens and cut as the reference cuts it");
                warnings.push(PromptWarning { prompt, code: "TextTruncated", message });
            }
            if let Some(outside) = self.model.card().outside(text) {
                let message = outside.to_string();
                warnings.push(PromptWarning { prompt, code: "TextOutsideTargets", message });
            }
        }
        warnings
    }

    fn encode(
        &self,
        picture: &Picture,
        fit: Fit,
        cancel: &CancelToken,
    ) -> Result<EncodedPicture, SegmentError> {
        let model_fit = match fit {
            Fit::Model => self.model.fit(),
            Fit::Stretch => ModelFit::Stretch,
            Fit::Pad => ModelFit::Pad,
        };
        let stop = || cancel.is_cancelled();
        let encoding = self.compute(|| self.model.encode_until(picture, model_fit, &stop));
        let encoding = encoding.map_err(refused)?;
        Ok(EncodedPicture { bytes: encoding.bytes(), value: Box::new(encoding) })
    }

    fn ask(
        &self,
        question: &Question<'_>,
        answer: &mut dyn FnMut(Answer),
    ) -> Result<(), SegmentError> {
        let encoding: &ModelEncoding = question.picture.value.downcast_ref().ok_or_else(|| {
            SegmentError::Failed("the encoding was made by another kind of model".to_owned())
        })?;
        let prompts: Result<Vec<_>, _> =
            question.prompts.iter().map(|prompt| Prompt::new(prompt)).collect();
        let prompts = prompts.map_err(|error| SegmentError::Unusable(error.to_string()))?;
        let Some(threads) = &self.threads else {
            return self.answer(encoding, &prompts, question, answer);
        };
        // What takes the answers stays on this thread: they come over one at a time.
        let mut outcome = Ok(());
        threads.in_place_scope(|scope| {
            let (sender, receiver) = mpsc::sync_channel(0);
            let outcome = &mut outcome;
            scope.spawn(move |_| {
                *outcome = self.answer(encoding, &prompts, question, &mut |answer| {
                    // A receiver that has gone takes the panic of the other side with it.
                    let _ = sender.send(answer);
                });
            });
            receiver.into_iter().for_each(answer);
        });
        outcome
    }
}

impl ModelSegmenter {
    fn answer(
        &self,
        encoding: &ModelEncoding,
        prompts: &[Prompt],
        question: &Question<'_>,
        answer: &mut dyn FnMut(Answer),
    ) -> Result<(), SegmentError> {
        let group = match question.together {
            Together::Joint => prompts.len().max(1),
            Together::Alone => 1,
        };
        let options =
            SegmentOptions { interaction: Interaction::Joint, ..SegmentOptions::default() };
        for prompts in prompts.chunks(group) {
            if question.cancel.is_cancelled() {
                return Err(SegmentError::Cancelled);
            }
            let mut take = |segmentation| {
                answer(answer_of(segmentation, question.probabilities));
                match question.cancel.is_cancelled() {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            };
            self.model.ask_each(encoding, prompts, &options, &mut take).map_err(refused)?;
        }
        match question.cancel.is_cancelled() {
            true => Err(SegmentError::Cancelled),
            false => Ok(()),
        }
    }
}

fn answer_of(segmentation: Segmentation, probabilities: Probabilities) -> Answer {
    let probabilities = match probabilities {
        Probabilities::Omit => None,
        Probabilities::Include => Some(bytes_of(segmentation.probability.values())),
    };
    Answer {
        mask: segmentation.mask,
        category: segmentation.category.name(),
        similarity: segmentation.similarity,
        presence: segmentation.presence.map(|presence| presence as f32),
        truncated: segmentation.truncated,
        probabilities,
    }
}

/// Probabilities from 0 to 1 as whole numbers from 0 to 255.
fn bytes_of(probabilities: &[f32]) -> Vec<u8> {
    // The conversion saturates, and NaN becomes 0.
    probabilities.iter().map(|probability| (probability * 255.0).round() as u8).collect()
}

fn refused(error: medparse::SegmentError) -> SegmentError {
    match error {
        medparse::SegmentError::Stopped => SegmentError::Cancelled,
        error => SegmentError::Unusable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use medparse::{LoadOptions, ModelSource};
    use medparse_imaging::procedural;

    use super::*;

    /// A network that marks something for any phrase.
    const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/tiny/tiny.pt");

    fn segmenter(threads: Option<usize>) -> ModelSegmenter {
        let options = LoadOptions { image_size: Some(64), ..LoadOptions::default() };
        let model = Model::load(&ModelSource::File(TINY.into()), &options, &mut |_| ()).unwrap();
        ModelSegmenter::new(model, threads).unwrap()
    }

    #[test]
    fn the_wire_names_the_categories_that_models_answer_with() {
        assert_eq!(medparse_wire::CATEGORIES, medparse::classes::CATEGORIES);
    }

    fn ask(segmenter: &ModelSegmenter, together: Together) -> Vec<Answer> {
        let picture = procedural::cells(48, 40, 1).unwrap().picture;
        let cancel = CancelToken::default();
        let encoded = segmenter.encode(&picture, Fit::Model, &cancel).unwrap();
        let question = Question {
            picture: &encoded,
            prompts: &["liver".to_owned(), "very ".repeat(90)],
            together,
            probabilities: Probabilities::Include,
            cancel: &cancel,
        };
        let mut answers = Vec::new();
        segmenter.ask(&question, &mut |answer| answers.push(answer)).unwrap();
        answers
    }

    #[test]
    fn answers_are_those_of_the_library_whatever_computes() {
        let (own, shared) = (segmenter(Some(1)), segmenter(None));
        let picture = procedural::cells(48, 40, 1).unwrap().picture;
        let prompts = [Prompt::new("liver").unwrap(), Prompt::new(&"very ".repeat(90)).unwrap()];
        let expected = shared.model.segment(&picture, &prompts).unwrap();
        let joint = ask(&own, Together::Joint);
        assert_eq!(joint, ask(&shared, Together::Joint));
        for (answer, expected) in joint.iter().zip(&expected) {
            assert_eq!(answer.mask, expected.mask);
            assert_eq!(answer.category, expected.category.name());
            assert!((-1.0..=1.0).contains(&answer.similarity));
            let probabilities = answer.probabilities.as_ref().unwrap();
            // Above one half is inside the mask: rounded, that is 128 or the 127.5 that becomes it.
            for (&byte, &inside) in probabilities.iter().zip(answer.mask.pixels()) {
                assert!(if inside > 0 { byte >= 128 } else { byte <= 128 });
            }
        }
        assert_eq!([joint[0].truncated, joint[1].truncated], [false, true]);
        let alone = ask(&own, Together::Alone);
        assert_eq!(alone, ask(&shared, Together::Alone));
        assert_ne!(alone[0].probabilities, joint[0].probabilities);
    }

    #[test]
    fn a_cancelled_question_ends_before_the_next_answer() {
        let segmenter = segmenter(None);
        let picture = procedural::cells(48, 40, 1).unwrap().picture;
        let cancel = CancelToken::default();
        let encoded = segmenter.encode(&picture, Fit::Pad, &cancel).unwrap();
        let prompts = ["liver".to_owned(), "spleen".to_owned()];
        for together in [Together::Joint, Together::Alone] {
            let cancel = CancelToken::default();
            let question = Question {
                picture: &encoded,
                prompts: &prompts,
                together,
                probabilities: Probabilities::Omit,
                cancel: &cancel,
            };
            let mut count = 0;
            let outcome = segmenter.ask(&question, &mut |_| {
                count += 1;
                cancel.cancel();
            });
            assert!(matches!(outcome, Err(SegmentError::Cancelled)));
            assert_eq!(count, 1);
        }
        cancel.cancel();
        let outcome = segmenter.encode(&picture, Fit::Model, &cancel);
        assert!(matches!(outcome, Err(SegmentError::Cancelled)));
    }

    #[test]
    fn the_reader_is_told_of_long_and_foreign_sentences() {
        let segmenter = segmenter(None);
        let warnings = segmenter.review(&["liver".to_owned(), "very ".repeat(90)]);
        assert_eq!(warnings.len(), 1);
        assert_eq!((warnings[0].prompt, warnings[0].code), (1, "TextTruncated"));
        assert!(segmenter.card().description.contains("masks mean nothing"));
    }
}
