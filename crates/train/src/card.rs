//! What a trained model says of itself.

use std::collections::{BTreeMap, BTreeSet};

use medparse::card::KnownTarget;
use medparse::preprocess::Fit;
use medparse::{ModelCard, PresenceCalibration, Provenance};

use crate::config::TrainConfig;
use crate::dataset::{Dataset, Split};
use crate::evaluate::Report;
use crate::ontology::synonyms;

/// What was measured of a finished model.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Measured<'a> {
    pub report: Option<&'a Report>,
    pub presence: Option<PresenceCalibration>,
}

/// The card of the run's model: what it was shown, and what is known of how well it learnt.
pub(crate) fn card(
    config: &TrainConfig,
    dataset: &Dataset,
    split: &Split,
    measured: Measured<'_>,
) -> ModelCard {
    let mut dice: BTreeMap<(&str, &str), f64> = BTreeMap::new();
    for row in measured.report.iter().flat_map(|report| &report.targets) {
        if let Some(modality) = &row.modality {
            dice.insert((&row.target, modality), row.dice.mean);
        }
    }
    let shown = split.training.iter().map(|&index| &dataset.samples[index]);
    let targets: BTreeSet<(&str, &str, &str)> = shown
        .flat_map(|sample| {
            let names = sample.targets.iter().map(|target| target.name.as_str());
            names.map(|name| (name, sample.modality.as_str(), sample.site.as_str()))
        })
        .collect();
    let folder = config.output.file_name().unwrap_or_default().to_string_lossy();
    let summary = config.summary.clone().unwrap_or_else(|| {
        let pictures = split.training.len();
        format!("Trained with medparse on {pictures} pictures of {}.", dataset.sets().join(", "))
    });
    ModelCard {
        name: config.name.clone().unwrap_or_else(|| folder.into_owned()),
        summary,
        weights: Provenance::Trained,
        // Training stretches every picture to the network's square.
        fit: Fit::Stretch,
        targets: targets
            .into_iter()
            .map(|(target, modality, site)| KnownTarget {
                target: target.to_owned(),
                also: synonyms(target)[1..].iter().map(|&name| name.to_owned()).collect(),
                modality: modality.to_owned(),
                site: site.to_owned(),
                dice: dice.get(&(target, modality)).copied(),
            })
            .collect(),
        presence: measured.presence,
    }
}
