//! Descriptions of runs from YAML files: this program's, and the hosted service's.

use std::path::{Path, PathBuf};

use medparse::ModelSource;
use serde::Deserialize;

use super::TrainConfig;

/// The parameters of the hosted service's fine-tuning, as its sample notebook writes them.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct HostedParameters {
    datamodule: HostedData,
    optimizer: HostedOptimizer,
    trainer: HostedTrainer,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct HostedData {
    dataloaders: HostedLoaders,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct HostedLoaders {
    train: HostedLoader,
    /// Of no consequence here: validation does not depend on it.
    #[serde(rename = "validate")]
    _validate: HostedLoader,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct HostedLoader {
    batch_size: Option<usize>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct HostedOptimizer {
    lr: Option<f64>,
    weight_decay: Option<f64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct HostedTrainer {
    max_epochs: Option<f64>,
    devices: Option<u64>,
    num_nodes: Option<u64>,
}

/// What is said beside a file, and counts more than it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// The dataset's folder.
    pub data: Option<PathBuf>,
    /// The output folder.
    pub output: Option<PathBuf>,
    /// The weights to start from.
    pub from: Option<ModelSource>,
    /// What computes.
    pub device: Option<medparse::device::Processor>,
}

/// Why a run can't begin as it was described.
#[derive(Debug, thiserror::Error)]
pub enum TrainConfigError {
    /// The file can't be read.
    #[error("can't read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The text is not such a YAML.
    #[error("{path} does not describe a training run: {source}")]
    Yaml {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: Box<serde_saphyr::Error>,
    },
    /// The text is such a YAML of the hosted service, with a value that can't work here.
    #[error("{path}: {key} is {found}; expected 1, since a run here has one device")]
    Devices {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// What it holds.
        found: u64,
    },
    /// A key has a value that can't work.
    #[error("{key} is {found}; expected {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// What it may hold.
        expected: &'static str,
        /// What it holds.
        found: String,
    },
}

impl TrainConfig {
    /// Reads a YAML file; relative paths in it are relative to the current folder.
    ///
    /// # Errors
    /// When the file can't be read, is no such YAML, or holds a value that can't work.
    pub fn read(path: &Path) -> Result<Self, TrainConfigError> {
        Self::read_with(path, Overrides::default())
    }

    /// As [`TrainConfig::read`], with some values said elsewhere. The hosted service's
    /// `parameters.yaml` works, too; it names neither data nor output.
    ///
    /// # Errors
    /// As [`TrainConfig::read`].
    pub fn read_with(path: &Path, overrides: Overrides) -> Result<Self, TrainConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| TrainConfigError::Read { path: path.to_owned(), source })?;
        let yaml =
            |source| TrainConfigError::Yaml { path: path.to_owned(), source: Box::new(source) };
        let mut config: Self = if is_hosted(&text) {
            let hosted: HostedParameters = serde_saphyr::from_str(&text).map_err(yaml)?;
            hosted.translate(path)?
        } else {
            serde_saphyr::from_str(&text).map_err(yaml)?
        };
        config.data = overrides.data.unwrap_or(config.data);
        config.output = overrides.output.unwrap_or(config.output);
        config.from = overrides.from.or(config.from);
        config.device = overrides.device.unwrap_or(config.device);
        config.check()?;
        Ok(config)
    }

    /// Checks that every value can work.
    ///
    /// # Errors
    /// Names the first key whose value can't.
    pub fn check(&self) -> Result<(), TrainConfigError> {
        let share = |key, value: f64| {
            let expected = "a number from 0 to 1";
            let wrong = TrainConfigError::Value { key, expected, found: value.to_string() };
            if (0.0..=1.0).contains(&value) { Ok(()) } else { Err(wrong) }
        };
        let positive = |key, value: f64| {
            let expected = "a number above 0";
            let wrong = TrainConfigError::Value { key, expected, found: value.to_string() };
            if value > 0.0 && value.is_finite() { Ok(()) } else { Err(wrong) }
        };
        let path = |key, expected, path: &Path| {
            let wrong = TrainConfigError::Value { key, expected, found: "nothing".into() };
            if path.as_os_str().is_empty() { Err(wrong) } else { Ok(()) }
        };
        path("data", "the folder of the labelled pictures, here or with --data", &self.data)?;
        path("output", "a folder for the run's files, here or with --output", &self.output)?;
        positive("batch_size", self.batch_size as f64)?;
        positive("accumulate", self.accumulate as f64)?;
        positive("epochs", self.epochs)?;
        positive("learning_rate", self.optimizer.learning_rate)?;
        positive("gradient_clip", self.optimizer.gradient_clip)?;
        positive("loss.points", self.loss.points as f64)?;
        positive("loss.oversampling", self.loss.oversampling)?;
        for zoom in self.augmentation.scale {
            positive("augmentation.scale", zoom.into())?;
        }
        positive("augmentation.aspect", self.augmentation.aspect.into())?;
        positive("checks.evaluate_every", self.checks.evaluate_every as f64)?;
        positive("checks.save_every", self.checks.save_every as f64)?;
        share("loss.importance", self.loss.importance)?;
        share("prompts.absent_share", self.prompts.absent_share)?;
        share("prompts.hard_share", self.prompts.hard_share)?;
        share("average_decay", self.optimizer.average_decay)?;
        share("checks.validation_fraction", self.checks.validation_fraction)?;
        if self.augmentation.scale[0] > self.augmentation.scale[1] {
            return Err(TrainConfigError::Value {
                key: "augmentation.scale",
                expected: "the least zoom before the greatest",
                found: format!("{:?}", self.augmentation.scale),
            });
        }
        Ok(())
    }
}

/// Whether a YAML speaks the hosted service's language.
fn is_hosted(text: &str) -> bool {
    let tops = text.lines().filter(|line| !line.starts_with([' ', '#', '\t']));
    let keys: Vec<&str> = tops.filter_map(|line| Some(line.split_once(':')?.0)).collect();
    keys.contains(&"trainer") || keys.contains(&"datamodule")
}

impl HostedParameters {
    fn translate(self, path: &Path) -> Result<TrainConfig, TrainConfigError> {
        for (key, found) in [
            ("trainer.devices", self.trainer.devices),
            ("trainer.num_nodes", self.trainer.num_nodes),
        ] {
            if let Some(found) = found.filter(|&found| found != 1) {
                return Err(TrainConfigError::Devices { path: path.to_owned(), key, found });
            }
        }
        let mut config = TrainConfig::default();
        config.batch_size =
            self.datamodule.dataloaders.train.batch_size.unwrap_or(config.batch_size);
        config.epochs = self.trainer.max_epochs.unwrap_or(config.epochs);
        let optimizer = &mut config.optimizer;
        optimizer.learning_rate = self.optimizer.lr.unwrap_or(optimizer.learning_rate);
        optimizer.weight_decay = self.optimizer.weight_decay.unwrap_or(optimizer.weight_decay);
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, overrides: Overrides) -> Result<TrainConfig, TrainConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.yaml");
        std::fs::write(&path, text).unwrap();
        TrainConfig::read_with(&path, overrides)
    }

    fn said() -> Overrides {
        Overrides { data: Some("d".into()), output: Some("o".into()), ..Overrides::default() }
    }

    #[test]
    fn the_hosted_services_parameters_work() {
        let text = "datamodule:\n  dataloaders:\n    train:\n      batch_size: 3\n    validate:\n      \
                    batch_size: 2\n\noptimizer:\n  lr: 0.00004\n  weight_decay: 0.02\n\ntrainer:\n  \
                    max_epochs: 7\n  devices: 1 # a comment\n  num_nodes: 1\n";
        let config = read(text, said()).unwrap();
        assert_eq!((config.batch_size, config.epochs), (3, 7.0));
        assert_eq!((config.optimizer.learning_rate, config.optimizer.weight_decay), (4e-5, 0.02));
        let error = read(&text.replace("devices: 1", "devices: 8"), said()).unwrap_err();
        assert!(error.to_string().contains("trainer.devices is 8; expected 1"), "{error}");
    }

    #[test]
    fn the_defaults_are_those_of_the_hosted_service() {
        let config = read("data: a\noutput: b\n", Overrides::default()).unwrap();
        assert_eq!((config.batch_size, config.epochs), (2, 10.0));
        assert_eq!((config.optimizer.learning_rate, config.optimizer.weight_decay), (2e-5, 0.01));
        assert_eq!((config.data, config.output), ("a".into(), "b".into()));
        assert_eq!(read("{}", said()).unwrap().data, PathBuf::from("d"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, reason) in [
            ("data: a", "output is nothing; expected a folder"),
            ("data: a\noutput: b\nbatch_sise: 2", "batch_sise"),
            ("data: a\noutput: b\nloss: { msk: 2 }", "msk"),
            ("data: a\noutput: b\nepochs: 0", "epochs is 0; expected a number above 0"),
            ("data: a\noutput: b\ndevice: tpu", "unknown device \"tpu\""),
            ("trainer: { max_epoch: 1 }", "max_epoch"),
        ] {
            let error = read(text, Overrides::default()).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
