//! One item: its picture through the model, and what was found into files or a row.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use medparse::preprocess::Fit;
use medparse::{Model, Prompt, SegmentOptions};
use medparse_batch::{Image, Item};
use medparse_imaging::{Limits, Mask, OpenOptions, Volume, decode, open};

use super::rows::Predictions;
use super::{Arguments, Form};
use crate::commands::segment::inputs::Input;
use crate::commands::segment::options::WorkOptions;
use crate::commands::segment::outputs::Outputs;
use crate::commands::segment::run::{Run, turned_back};
use crate::model_options::ModelOptions;
use crate::progress::Pictures;

/// What all workers share.
pub struct Workshop<'a> {
    output: &'a Path,
    work: &'a WorkOptions,
    loaded: &'a ModelOptions,
    model: &'a Model,
    identity: &'a str,
    default_text: &'a str,
    form: Form,
    lines: &'a Pictures,
    options: SegmentOptions,
}

/// What came of an item.
pub enum Made {
    /// Files, which are there.
    Files,
    /// The masks, to be written as a row.
    Masks(Predictions),
}

/// The file of an item that is written last.
pub fn report_of(output: &Path, name: &str) -> PathBuf {
    output.join(format!("{name}.json"))
}

impl<'a> Workshop<'a> {
    pub fn new(
        arguments: &'a Arguments,
        model: &'a Model,
        identity: &'a str,
        default_text: &'a str,
        form: Form,
        lines: &'a Pictures,
    ) -> Self {
        Self {
            output: &arguments.output,
            work: &arguments.work,
            loaded: &arguments.model,
            model,
            identity,
            default_text,
            form,
            lines,
            options: arguments.work.segment_options(),
        }
    }

    /// Asks what the item asks.
    pub fn make(&self, item: &Item) -> Result<Made> {
        let prompts = Prompt::split(item.text.as_deref().unwrap_or(self.default_text))?;
        match self.form {
            Form::Files => self.files(item, &prompts).map(|()| Made::Files),
            Form::Predictions => self.masks(item, &prompts).map(Made::Masks),
        }
    }

    fn files(&self, item: &Item, prompts: &[Prompt]) -> Result<()> {
        let outputs = Outputs::within(self.output, prompts);
        let warnings = crate::commands::segment::phrase_warnings(self.model, prompts);
        let run = Run {
            work: self.work,
            model: self.model,
            identity: self.identity,
            prompts,
            options: self.options,
            settings: self.work.settings(self.model, self.loaded),
            outputs: &outputs,
            warnings,
            lines: self.lines,
        };
        let (path, inline) = match &item.image {
            Image::File(path) => (path.clone(), None),
            image => (PathBuf::from(&item.name), image.inline()?),
        };
        let input = Input { path, name: PathBuf::from(&item.name) };
        match inline {
            Some(bytes) => run.opened(&input, &decode(&bytes, &Limits::default())?)?,
            None => run.input(&input)?,
        };
        Ok(())
    }

    fn masks(&self, item: &Item, prompts: &[Prompt]) -> Result<Predictions> {
        let volume = self.volume(item)?;
        let [_, _, slices] = volume.dimensions();
        anyhow::ensure!(
            slices == 1,
            "it has {slices} slices, and a row of predictions holds one picture; give --results files"
        );
        let view = self.work.scan.view(&volume);
        let picture = volume.picture(&view, 0, &self.work.scan.window)?;
        // As the hosted service does, whatever the model's own way is.
        let encoded = self.model.encode_as(&picture, Fit::Stretch)?;
        let answers = self.model.ask(&encoded, prompts, &self.options)?;
        let masks: Result<Vec<Mask>, _> =
            answers.iter().map(|answer| turned_back(&answer.mask, &view, &volume)).collect();
        let categories = answers.iter().map(|answer| answer.category.name()).collect();
        Ok(Predictions { masks: masks?, categories })
    }

    fn volume(&self, item: &Item) -> Result<Volume> {
        match (&item.image, item.image.inline()?) {
            (_, Some(bytes)) => Ok(decode(&bytes, &Limits::default())?),
            (Image::File(path), None) => {
                let series = self.work.scan.series.clone();
                Ok(open(path, &OpenOptions { series, ..OpenOptions::default() })?)
            }
            (_, None) => Err(anyhow::anyhow!("it has no picture")),
        }
        .context("its picture can't be used")
    }
}
