//! One item: its picture through the model, and what was found into files or a row.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use medparse::preprocess::Fit;
use medparse::{Model, Prompt};
use medparse_batch::{Image, Item};
use medparse_imaging::{Limits, Mask, Volume, decode};

use super::rows::Predictions;
use super::{Arguments, Form};
use crate::commands::segment::inputs::Input;
use crate::commands::segment::outputs::Outputs;
use crate::commands::segment::phrase_warnings;
use crate::commands::segment::run::{Run, turned_back};
use crate::progress::Pictures;

/// What all workers share.
pub struct Workshop<'a> {
    pub arguments: &'a Arguments,
    pub model: &'a Model,
    /// Tells the model from another of the same name.
    pub identity: &'a str,
    /// What is asked of items that do not say it themselves.
    pub default_text: &'a str,
    pub form: Form,
    pub lines: &'a Pictures,
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

impl Workshop<'_> {
    /// Asks what the item asks.
    pub fn make(&self, item: &Item) -> Result<Made> {
        let prompts = Prompt::split(item.text.as_deref().unwrap_or(self.default_text))?;
        match self.form {
            Form::Files => self.files(item, &prompts).map(|()| Made::Files),
            Form::Predictions => self.masks(item, &prompts).map(Made::Masks),
        }
    }

    fn files(&self, item: &Item, prompts: &[Prompt]) -> Result<()> {
        let work = &self.arguments.work;
        let outputs = Outputs::within(&self.arguments.output, prompts);
        let run = Run {
            work,
            model: self.model,
            identity: self.identity,
            prompts,
            options: work.segment_options(),
            settings: work.settings(self.model, &self.arguments.model),
            outputs: &outputs,
            warnings: phrase_warnings(self.model, prompts),
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
        ensure!(
            slices == 1,
            "it has {slices} slices, and a row of predictions holds one picture; give --results files"
        );
        let work = &self.arguments.work;
        let view = work.scan.view(&volume);
        let picture = volume.picture(&view, 0, &work.scan.window)?;
        // As the hosted service does, whatever the model's own way is.
        let encoded = self.model.encode_as(&picture, Fit::Stretch)?;
        let answers = self.model.ask(&encoded, prompts, &work.segment_options())?;
        let masks: Result<Vec<Mask>, _> =
            answers.iter().map(|answer| turned_back(&answer.mask, &view, &volume)).collect();
        let categories = answers.iter().map(|answer| answer.category.name()).collect();
        Ok(Predictions { masks: masks?, categories })
    }

    fn volume(&self, item: &Item) -> Result<Volume> {
        match (&item.image, item.image.inline()?) {
            (_, Some(bytes)) => Ok(decode(&bytes, &Limits::default())?),
            (Image::File(path), None) => Ok(self.arguments.work.scan.open(path)?),
            (_, None) => Err(anyhow!("it has no picture")),
        }
        .context("its picture can't be used")
    }
}
