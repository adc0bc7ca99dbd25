//! What is too large for one question, asked part by part: the slices of a volume, the tiles of a slide.

mod journal;
mod scale;
mod votes;

pub use journal::{Journal, JournalError};
pub(crate) use scale::Scale;
pub(crate) use votes::Votes;

use std::num::NonZeroUsize;

use medparse_imaging::Picture;
use medparse_imaging::write::Target;
use sha2::{Digest, Sha256};

use crate::classes::Category;
use crate::model::{Model, SegmentError};
use crate::prompts::Prompt;
use crate::segmentation::{SegmentOptions, Segmentation};

/// How parts are worked through.
pub struct Work<'a> {
    /// Parts that are asked at the same time; each takes the memory of one request. Answers do not depend on it.
    pub at_once: NonZeroUsize,
    /// Where answers are kept, so that work that was killed goes on; nowhere where not given.
    pub journal: Option<&'a mut Journal>,
    /// Hears of every part that is done.
    pub progress: &'a mut dyn FnMut(Progress),
    /// Asked again and again whether to end early: the parts at hand then fail with [`SegmentError::Stopped`].
    pub stop: &'a (dyn Fn() -> bool + Sync),
}

impl<'a> Work<'a> {
    /// One part after the other to the end, nothing kept.
    pub fn new(progress: &'a mut dyn FnMut(Progress)) -> Self {
        Self { at_once: NonZeroUsize::MIN, journal: None, progress, stop: &|| false }
    }
}

/// How far the work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Parts that are done.
    pub done: usize,
    /// Parts in all.
    pub of: usize,
    /// Whether the last one was asked now, rather than found in the journal.
    pub asked: bool,
}

/// What was found of one prompt in all parts.
#[derive(Clone, Debug)]
pub struct Found {
    /// Mask and probabilities, in the file's order.
    pub target: Target,
    /// How probable it is that the object is in the part where that is most probable, 0..=1; none of models that do not
    /// say.
    pub presence: Option<f64>,
}

/// What came of one part for one phrase.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PartAnswer {
    /// Probabilities on the scale of a byte, one a pixel.
    pub values: Vec<u8>,
    pub category: Category,
    /// Pixels of its mask.
    pub area: u64,
    pub presence: Option<f64>,
}

impl PartAnswer {
    /// Nothing in `pixels` pixels, known without asking.
    pub fn nothing(pixels: usize) -> Self {
        Self {
            values: vec![0; pixels],
            category: Category::at(usize::MAX),
            area: 0,
            presence: None,
        }
    }

    pub fn of(answer: &Segmentation, scale: Scale) -> Self {
        let values = answer.probability.values().iter();
        // A presence below the threshold empties the mask, and so the part.
        let values = if answer.mask.is_empty() {
            values.map(|probability| scale.outside(*probability)).collect()
        } else {
            values.map(|probability| scale.byte(*probability)).collect()
        };
        let Segmentation { category, area, presence, .. } = *answer;
        Self { values, category, area, presence }
    }
}

/// Asks the model about one part: an answer a prompt.
pub(crate) fn ask(
    model: &Model,
    part: &Picture,
    prompts: &[Prompt],
    options: &SegmentOptions,
    stop: &dyn Fn() -> bool,
) -> Result<Vec<PartAnswer>, SegmentError> {
    let scale = Scale::new(options.threshold);
    let answers = model.segment_until(part, prompts, options, stop)?;
    Ok(answers.iter().map(|answer| PartAnswer::of(answer, scale)).collect())
}

/// Asks `count` parts, several at once, and hands on their answers in the parts' order.
///
/// `ask` gives a part's answers, one a prompt; `take` puts them where they belong.
pub(crate) fn answer<E: Send + From<JournalError>>(
    count: usize,
    work: &mut Work<'_>,
    ask: &(dyn Fn(usize) -> Result<Vec<PartAnswer>, E> + Sync),
    take: &mut dyn FnMut(usize, Vec<PartAnswer>) -> Result<(), E>,
) -> Result<(), E> {
    let mut next = 0;
    while next < count {
        let recalled = match &mut work.journal {
            Some(journal) => journal.recall()?,
            None => None,
        };
        if let Some(answers) = recalled {
            take(next, answers)?;
            next += 1;
            (work.progress)(Progress { done: next, of: count, asked: false });
            continue;
        }
        let wave: Vec<usize> = (next..count).take(work.at_once.get()).collect();
        let answered: Vec<Result<Vec<PartAnswer>, E>> = std::thread::scope(|scope| {
            let (first, others) = wave.split_at(1);
            let others: Vec<_> =
                others.iter().map(|part| scope.spawn(move || ask(*part))).collect();
            let mut answered: Vec<_> = first.iter().map(|part| ask(*part)).collect();
            for other in others {
                answered
                    .push(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            answered
        });
        for answers in answered {
            let answers = answers?;
            if let Some(journal) = &mut work.journal {
                journal.keep(&answers)?;
            }
            take(next, answers)?;
            next += 1;
            (work.progress)(Progress { done: next, of: count, asked: true });
        }
    }
    Ok(())
}

/// What the answers to parts depend on, gathered into the name of a journal's contents.
pub struct JournalKey(Sha256);

impl JournalKey {
    /// What `model` is asked, and how; `salt` says what the model's card does not, such as when its file was written.
    pub fn new(model: &Model, prompts: &[Prompt], options: &SegmentOptions, salt: &str) -> Self {
        let mut key = Self(Sha256::new());
        key.add(env!("CARGO_PKG_VERSION"));
        key.add(&format!("{:?} {:?} {:?}", model.card(), model.network(), model.fit()));
        key.add(model.precision().name());
        key.add(salt);
        key.add(&format!("{options:?}"));
        prompts.iter().for_each(|prompt| key.add(prompt.as_str()));
        key
    }

    pub(crate) fn add(&mut self, text: &str) {
        self.0.update((text.len() as u64).to_le_bytes());
        self.0.update(text);
    }

    pub(crate) fn add_bytes(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(value: u8) -> Vec<PartAnswer> {
        let values = vec![value; 3];
        vec![PartAnswer { values, area: 1, presence: Some(0.5), ..PartAnswer::nothing(0) }]
    }

    fn all(
        at_once: usize,
        journal: Option<&mut Journal>,
        dies_at: usize,
    ) -> (Vec<u8>, usize, bool) {
        let (mut taken, mut asked) = (Vec::new(), 0);
        let progress = &mut |progress: Progress| asked += usize::from(progress.asked);
        let at_once = NonZeroUsize::new(at_once).unwrap();
        let mut work = Work { at_once, journal, ..Work::new(progress) };
        let done = answer::<JournalError>(
            10,
            &mut work,
            &|part| if part == dies_at { Err(JournalError::InUse) } else { Ok(one(part as u8)) },
            &mut |part, answers| {
                assert_eq!(part, taken.len());
                taken.push(answers[0].values[0]);
                Ok(())
            },
        );
        (taken, asked, done.is_ok())
    }

    #[test]
    fn answers_come_in_order_however_many_are_asked_at_once() {
        for at_once in [1, 2, 3, 10, 99] {
            let (taken, asked, done) = all(at_once, None, 99);
            assert_eq!(taken, (0..10).collect::<Vec<u8>>(), "{at_once}");
            assert!(asked == 10 && done);
            assert_eq!(all(at_once, None, 4).0, [0, 1, 2, 3], "before the one that failed");
        }
    }

    #[test]
    fn work_that_stopped_goes_on_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.partial");
        let mut journal = Journal::open(&path, [7; 32]).unwrap();
        assert_eq!(all(2, Some(&mut journal), 7), ((0..7).collect(), 7, false));
        drop(journal);
        // As if the machine had stopped in the middle of writing.
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.truncate(bytes.len() - 3);
        std::fs::write(&path, bytes).unwrap();
        let mut journal = Journal::open(&path, [7; 32]).unwrap();
        assert_eq!(all(3, Some(&mut journal), 99), ((0..10).collect(), 4, true));
        journal.remove().unwrap();
        assert!(!path.exists());
    }
}
