//! The log of a run: one line of JSON for each step and evaluation.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::loss::Terms;
use crate::validate::Validation;

/// A line of the log.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Record<'a> {
    Step(StepRecord),
    Evaluation(EvaluationRecord<'a>),
}

#[derive(Debug, Serialize)]
pub(crate) struct StepRecord {
    pub step: u64,
    #[serde(flatten)]
    pub terms: Terms,
    pub learning_rate: f64,
    pub gradient_norm: f64,
    /// Of all parts of the step.
    pub seconds: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct EvaluationRecord<'a> {
    /// Steps made before it.
    pub step: u64,
    #[serde(flatten)]
    pub validation: &'a Validation,
}

/// An open log.
pub(crate) struct Log {
    path: PathBuf,
    file: File,
}

type Failure = (PathBuf, std::io::Error);

impl Log {
    /// Opens the log to be continued at `step`: lines of steps that will be made again go.
    pub(crate) fn open(path: &Path, step: u64) -> Result<Self, Failure> {
        let failure = |source| (path.to_owned(), source);
        if path.exists() {
            let mut kept = String::new();
            for line in BufReader::new(File::open(path).map_err(failure)?).lines() {
                let line = line.map_err(failure)?;
                if is_before(&line, step) {
                    kept.push_str(&line);
                    kept.push('\n');
                }
            }
            medparse_imaging::write_atomic(path, kept.as_bytes())
                .map_err(|error| failure(std::io::Error::other(error)))?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(failure)?;
        Ok(Self { path: path.to_owned(), file })
    }

    pub(crate) fn write(&mut self, record: &Record<'_>) -> Result<(), Failure> {
        let mut line = serde_json::to_string(record)
            .map_err(|error| (self.path.clone(), std::io::Error::other(error)))?;
        line.push('\n');
        self.file.write_all(line.as_bytes()).map_err(|source| (self.path.clone(), source))
    }
}

/// Whether a line tells of something that happened before `step`; a torn line does not.
fn is_before(line: &str, step: u64) -> bool {
    let Ok(value) = serde_json::from_str::<serde_json::Value>(line) else {
        return false;
    };
    let at = value["step"].as_u64();
    let is_evaluation = value["kind"] == "evaluation";
    at.is_some_and(|at| at < step || (is_evaluation && at == step))
}
