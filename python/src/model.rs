//! Models: loaded, asked.

use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Instant;

use medparse::modalities::Kind;
use medparse::parts::Work;
use medparse::preprocess::Fit;
use medparse::recognition::{RecognitionOptions, recognise_until};
use medparse::volume::{Keep, Smoothing, VolumeOptions, segment_volume};
use medparse::{
    EncodedPicture, Interaction, LoadOptions, ModelSource, Precision, Prompt, SegmentError,
    SegmentOptions, Segmentation,
};
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::answer::{Answer, VolumeAnswer};
use crate::error::{refused, unusable};
use crate::interrupt::{EVERY, Interrupt};
use crate::picture::Picture;
use crate::volume::{Volume, tone_of, view_of};

/// A loaded model.
#[pyclass(frozen, module = "medparse._medparse")]
pub struct Model {
    pub model: medparse::Model,
    /// Threads of its own, where a number of them was asked for.
    threads: Option<ThreadPool>,
}

/// A picture as a model sees it.
#[pyclass(frozen, module = "medparse._medparse")]
pub struct Encoded(EncodedPicture);

/// How a question is asked: the keyword arguments of every question.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Asking {
    threshold: f32,
    presence_threshold: Option<f32>,
    independent: bool,
}

impl Asking {
    fn options(&self) -> PyResult<SegmentOptions> {
        let probability = |name: &str, value: f32| {
            let is_one = (0.0..=1.0).contains(&value);
            let sentence = || format!("{name}: expected a probability from 0 to 1, found {value}");
            if is_one { Ok(value) } else { Err(unusable(sentence())) }
        };
        let present = self.presence_threshold;
        Ok(SegmentOptions {
            interaction: if self.independent {
                Interaction::Independent
            } else {
                Interaction::Joint
            },
            threshold: probability("threshold", self.threshold)?,
            presence_threshold: present
                .map(|value| probability("presence_threshold", value))
                .transpose()?,
        })
    }
}

/// One prompt a sentence.
fn prompts_of(sentences: &[String]) -> PyResult<Vec<Prompt>> {
    sentences
        .iter()
        .map(|sentence| Prompt::new(sentence))
        .collect::<Result<_, _>>()
        .map_err(unusable)
}

fn fit_of(name: &str) -> PyResult<Fit> {
    match name {
        "stretch" => Ok(Fit::Stretch),
        "pad" => Ok(Fit::Pad),
        _ => Err(unusable(format!("fit: expected \"stretch\" or \"pad\", found {name:?}"))),
    }
}

impl Model {
    /// Computes on the model's own threads, where it has such, while other Python threads run. The work is told how to
    /// find out that it should stop; if it should, the result is the exception that says why.
    pub fn compute<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&(dyn Fn() -> bool + Sync)) -> T + Send,
    ) -> PyResult<T> {
        let interrupt = Interrupt::new();
        let made = py.detach(|| match &self.threads {
            None => Some(work(&|| interrupt.look())),
            // Signals are heard on the calling thread only, which waits.
            Some(threads) => threads.in_place_scope(|scope| {
                let (done, made) = mpsc::channel();
                let interrupt = &interrupt;
                scope.spawn(move |_| {
                    let _ = done.send(work(&|| interrupt.is_raised()));
                });
                loop {
                    match made.recv_timeout(EVERY) {
                        Ok(made) => break Some(made),
                        Err(mpsc::RecvTimeoutError::Disconnected) => break None,
                        Err(mpsc::RecvTimeoutError::Timeout) => interrupt.look(),
                    };
                }
            }),
        });
        interrupt.into_result()?;
        made.ok_or_else(|| refused("the computation ended without a result"))
    }

    /// Answers for Python, and the seconds that the library took for them.
    fn timed(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&(dyn Fn() -> bool + Sync)) -> Result<Vec<Segmentation>, SegmentError> + Send,
    ) -> PyResult<(Vec<Answer>, f64)> {
        let (answers, took) = self.compute(py, |stop| {
            let began = Instant::now();
            (work(stop), began.elapsed())
        })?;
        let answers = answers.map_err(refused)?.into_iter().map(|answer| Answer::new(py, answer));
        Ok((answers.collect::<PyResult<_>>()?, took.as_secs_f64()))
    }
}

#[pymethods]
impl Model {
    /// Loads `bundled`, a file or `hub:owner/name`.
    #[staticmethod]
    #[pyo3(signature = (source, *, config=None, image_size=None, fit=None, precision=None, threads=None))]
    fn load(
        py: Python<'_>,
        source: &str,
        config: Option<PathBuf>,
        image_size: Option<usize>,
        fit: Option<&str>,
        precision: Option<&str>,
        threads: Option<usize>,
    ) -> PyResult<Self> {
        let source: ModelSource = source.parse().map_err(unusable)?;
        if let ModelSource::File(path) = &source
            && let Err(error) = std::fs::metadata(path)
        {
            return Err(crate::error::of_system(path, &error));
        }
        let options = LoadOptions {
            config,
            image_size,
            fit: fit.map(fit_of).transpose()?,
            precision: precision.map(str::parse::<Precision>).transpose().map_err(unusable)?,
            ..LoadOptions::default()
        };
        let pool = |count| match count {
            0 => Err(unusable("threads: expected 1 or more, found 0")),
            _ => ThreadPoolBuilder::new().num_threads(count).build().map_err(refused),
        };
        let threads = threads.map(pool).transpose()?;
        let load = || medparse::Model::load(&source, &options, &mut |_| ());
        let model = py.detach(|| match &threads {
            Some(threads) => threads.install(load),
            None => load(),
        });
        Ok(Self { model: model.map_err(refused)?, threads })
    }

    /// Encodes a picture for any number of questions.
    fn encode(&self, py: Python<'_>, picture: &Picture) -> PyResult<Encoded> {
        let fit = self.model.fit();
        self.compute(py, |stop| self.model.encode_until(&picture.0, fit, stop))?
            .map(Encoded)
            .map_err(refused)
    }

    /// Asks about a picture: the answers, and the seconds that they took.
    fn segment(
        &self,
        py: Python<'_>,
        picture: &Picture,
        prompts: Vec<String>,
        asking: Asking,
    ) -> PyResult<(Vec<Answer>, f64)> {
        let (prompts, options) = (prompts_of(&prompts)?, asking.options()?);
        self.timed(py, |stop| self.model.segment_until(&picture.0, &prompts, &options, stop))
    }

    /// Asks about an encoded picture: the answers, and the seconds that they took.
    fn ask(
        &self,
        py: Python<'_>,
        encoded: &Encoded,
        prompts: Vec<String>,
        asking: Asking,
    ) -> PyResult<(Vec<Answer>, f64)> {
        let (prompts, options) = (prompts_of(&prompts)?, asking.options()?);
        self.timed(py, |_| self.model.ask(&encoded.0, &prompts, &options))
    }

    /// Asks every slice of a volume.
    #[expect(clippy::too_many_arguments, reason = "Python gives each by its name")]
    #[pyo3(signature = (volume, prompts, asking, *, plane=None, window="auto", smooth=false, largest=false))]
    fn segment_volume(
        &self,
        py: Python<'_>,
        volume: &Volume,
        prompts: Vec<String>,
        asking: Asking,
        plane: Option<&str>,
        window: &str,
        smooth: bool,
        largest: bool,
    ) -> PyResult<Vec<VolumeAnswer>> {
        let prompts = prompts_of(&prompts)?;
        let options = VolumeOptions {
            tone: tone_of(window)?,
            segment: asking.options()?,
            smoothing: if smooth { Smoothing::Neighbours } else { Smoothing::None },
            keep: if largest { Keep::Largest } else { Keep::All },
            ..VolumeOptions::of(view_of(&volume.0, plane)?)
        };
        let found = self.compute(py, |stop| {
            let mut heard = |_| ();
            let mut work = Work { stop, ..Work::new(&mut heard) };
            segment_volume(&self.model, &volume.0, &prompts, &options, &mut work)
        })?;
        let dimensions = volume.0.dimensions();
        let found = found.map_err(refused)?.into_iter();
        found.map(|found| VolumeAnswer::new(py, dimensions, found)).collect()
    }

    /// Everything that a kind of picture can hold.
    #[pyo3(signature = (picture, kind, presence_threshold=None))]
    fn recognize(
        &self,
        py: Python<'_>,
        picture: &Picture,
        kind: &str,
        presence_threshold: Option<f32>,
    ) -> PyResult<Vec<Answer>> {
        let known = Kind::named(kind, self.model.card()).ok_or_else(|| {
            let known = Kind::all(self.model.card());
            let names: Vec<&str> = known.iter().map(|known| known.name.as_str()).collect();
            unusable(format!(
                "no kind of picture is called {kind:?}; expected one of {}",
                names.join(", ")
            ))
        })?;
        let options = RecognitionOptions {
            least_presence: presence_threshold,
            ..RecognitionOptions::default()
        };
        let found = self
            .compute(py, |stop| recognise_until(&self.model, &picture.0, &known, &options, stop))?;
        let answers = found.map_err(refused)?.into_iter().map(|found| Segmentation {
            area: found.own.area(),
            bounding_box: found.own.bounding_box(),
            mask: found.own,
            ..found.answer
        });
        answers.map(|answer| Answer::new(py, answer)).collect()
    }

    /// What the model says of itself, as JSON.
    #[getter]
    fn card(&self) -> PyResult<String> {
        serde_json::to_string(self.model.card()).map_err(refused)
    }

    /// The arithmetic it computes in.
    #[getter]
    fn precision(&self) -> &'static str {
        self.model.precision().name()
    }

    /// Side of its square, in pixels.
    #[getter]
    fn image_size(&self) -> usize {
        self.model.network().image_size
    }

    /// How it is shown pictures that are not square.
    #[getter]
    fn fit(&self) -> &'static str {
        match self.model.fit() {
            Fit::Stretch => "stretch",
            Fit::Pad => "pad",
        }
    }

    /// Why a phrase is outside what it was trained to find, where it is.
    fn outside(&self, phrase: &str) -> Option<String> {
        self.model.card().outside(phrase).map(|outside| outside.to_string())
    }
}

#[pymethods]
impl Encoded {
    /// Width and height of the picture.
    #[getter]
    fn size(&self) -> (usize, usize) {
        let size = self.0.size();
        (size.width, size.height)
    }

    /// What it takes in memory, in bytes.
    #[getter]
    fn nbytes(&self) -> usize {
        self.0.bytes()
    }
}
