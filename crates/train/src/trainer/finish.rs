//! What a run leaves behind: the model with its card, and pictures of its answers.

use std::path::PathBuf;

use medparse::bank::ClassBank;
use medparse::card::Description;
use medparse::convert::{ModelFormat, write_model};
use medparse::{LoadOptions, Model, ModelSource};
use medparse_weights::FloatType;

use super::{Control, Event, MODEL_FILE, PICTURE_FOLDER, TrainError, Trainer};
use crate::card::{Measured, card};
use crate::evaluate::{Baseline, EvaluateOptions, Report, Subject, evaluate, fit_presence};
use crate::sheet::{Tile, contact_sheet};

impl Trainer {
    /// Writes the averaged model, with its card.
    pub(super) fn write_model(
        &self,
        measured: Measured<'_>,
        bank: Option<&ClassBank>,
    ) -> Result<PathBuf, TrainError> {
        let path = self.config.output.join(MODEL_FILE);
        let description = Description {
            network: self.network_config.clone(),
            card: card(&self.config, &self.dataset, &self.split, measured),
        };
        let tensors = self.averaged_network().tensor_sources(FloatType::F32);
        let format = ModelFormat::Safetensors;
        write_model(&path, format, tensors, &description, bank, &mut |_| {})?;
        Ok(path)
    }

    /// Measures the finished model on the validation pictures, at their own size, and writes it
    /// with its class bank and a card that tells of it: Dice of each target, and how its presence
    /// head is to be read.
    pub(super) fn finish(
        &self,
        listener: &mut dyn FnMut(Event<'_>) -> Control,
    ) -> Result<Option<Report>, TrainError> {
        let path = self.write_model(Measured::default(), None)?;
        let options = LoadOptions::default();
        let model = Model::load(&ModelSource::File(path), &options, &mut |_| ())?;
        let most = self.config.checks.validation_pictures;
        let pictures = self.dataset.spread(&self.split.validation, most);
        let bank = Some(model.class_bank());
        if pictures.is_empty() {
            self.write_model(Measured::default(), bank)?;
            return Ok(None);
        }
        let subject = Subject {
            model: &model,
            dataset: &self.dataset,
            pictures: &pictures,
            baseline: &Baseline::of(&self.dataset, &self.split.training)?,
        };
        let is_exhaustive =
            |set: &str| self.config.sets.get(set).is_some_and(|config| config.exhaustive);
        let partial = self.dataset.sets().into_iter().filter(|set| !is_exhaustive(set));
        let options = EvaluateOptions {
            partial: partial.map(str::to_owned).collect(),
            ..EvaluateOptions::default()
        };
        let found = evaluate(&subject, &options, &mut |done, all| {
            listener(Event::Measuring(done, all));
        })?;
        let presence = fit_presence(&found.presence);
        self.write_model(Measured { report: Some(&found.report), presence }, bank)?;
        Ok(Some(found.report))
    }

    /// Draws some answers of an evaluation.
    pub(super) fn draw(&self, examples: &[Tile]) -> Result<PathBuf, TrainError> {
        let folder = self.config.output.join(PICTURE_FOLDER);
        std::fs::create_dir_all(&folder)
            .map_err(|source| TrainError::Write { path: folder.clone(), source })?;
        let path = folder.join(format!("step-{:06}.png", self.step));
        contact_sheet(examples)?.save_png(&path)?;
        Ok(path)
    }
}
