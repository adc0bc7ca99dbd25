//! How good a model is on labelled pictures.

use std::path::PathBuf;

use medparse::Interaction;
use medparse_train::dataset::{Choice, Dataset, Part, Split};
use medparse_train::evaluate::{
    AbsentCounts, Baseline, Bootstrap, EvaluateOptions, Subject, evaluate as measure,
};
use pyo3::prelude::*;

use crate::error::{refused, unusable};
use crate::model::Model;

/// What is measured and how; `None` for the part is the test part, or everything where there is none.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Measuring {
    split: Option<String>,
    together: bool,
    presence_threshold: Option<f32>,
    absent: usize,
    resamples: usize,
    seed: u64,
}

fn choice_of(split: Option<&str>, dataset: &Dataset) -> PyResult<Choice> {
    let has_test = dataset.samples.iter().any(|sample| sample.part == Part::Test);
    match split {
        Some("all") => Ok(Choice::All),
        Some("train") => Ok(Choice::Training),
        Some("validation") => Ok(Choice::Validation),
        Some("test") => Ok(Choice::Test),
        None if has_test => Ok(Choice::Test),
        None => Ok(Choice::All),
        Some(other) => Err(unusable(format!(
            "{other:?} is no part: expected \"all\", \"train\", \"validation\" or \"test\""
        ))),
    }
}

/// The report of `medparse evaluate --json`, as JSON.
#[pyfunction]
pub fn evaluate(
    py: Python<'_>,
    model: &Model,
    dataset: PathBuf,
    measuring: Measuring,
) -> PyResult<String> {
    let dataset = py.detach(|| Dataset::open(&dataset)).map_err(refused)?;
    let choice = choice_of(measuring.split.as_deref(), &dataset)?;
    // The share that `medparse train` sets aside for validation.
    let parts = Split::new(&dataset, 0.1, measuring.seed);
    let pictures = parts.pictures(&dataset, choice);
    let options = EvaluateOptions {
        interaction: if measuring.together { Interaction::Joint } else { Interaction::Independent },
        absent: AbsentCounts {
            same_modality: measuring.absent,
            ..EvaluateOptions::default().absent
        },
        bootstrap: Bootstrap { resamples: measuring.resamples, seed: measuring.seed },
        presence_threshold: measuring.presence_threshold,
        ..EvaluateOptions::default()
    };
    let found = model.compute(py, |_| {
        let baseline = match choice {
            Choice::Validation | Choice::Test => {
                Baseline::of(&dataset, &parts.training).map_err(|error| error.to_string())?
            }
            _ => Baseline::default(),
        };
        let subject = Subject {
            model: &model.model,
            dataset: &dataset,
            pictures: &pictures,
            baseline: &baseline,
        };
        measure(&subject, &options, &mut |_, _| ()).map_err(|error| error.to_string())
    })?;
    serde_json::to_string(&found.map_err(refused)?.report).map_err(refused)
}
