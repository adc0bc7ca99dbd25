//! `medparse train --check`: is everything there and whole?

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Result;
use medparse_imaging::grouped;
use medparse_train::TrainConfig;
use medparse_train::dataset::{Dataset, DatasetError, Listing, Part, Sample, Split};
use medparse_train::ontology::category;
use rayon::prelude::*;

use crate::output::{complain, say};
use crate::progress;

/// Looks at every file, names each bad one, and says what training would learn from.
pub fn run(config: &TrainConfig) -> Result<ExitCode> {
    let Listing { dataset, problems } = Dataset::list(&config.data)?;
    let bar = progress::pictures(dataset.samples.len());
    let found: Vec<DatasetError> = dataset
        .samples
        .par_iter()
        .flat_map_iter(|sample| {
            let problems = sample.problems();
            bar.inc(1);
            problems
        })
        .collect();
    bar.finish_and_clear();
    let problems: Vec<DatasetError> = problems.into_iter().chain(found).collect();
    for problem in &problems {
        complain(&format!("error: {problem}"));
    }
    say(&summary(config, &dataset))?;
    if problems.is_empty() {
        say("every file can be used")?;
        return Ok(ExitCode::SUCCESS);
    }
    complain(&format!("{} files can't be used", problems.len()));
    Ok(ExitCode::FAILURE)
}

fn summary(config: &TrainConfig, dataset: &Dataset) -> String {
    let split = Split::new(dataset, config.checks.validation_fraction, config.seed);
    let is_test = |sample: &&Sample| sample.part == Part::Test;
    let mut text = format!(
        "{}: {} pictures to learn from, {} for validation, {} for the test",
        config.data.display(),
        grouped(split.training.len() as u64),
        grouped(split.validation.len() as u64),
        grouped(dataset.samples.iter().filter(is_test).count() as u64),
    );
    let mut counts: BTreeMap<(&str, &str, &str), usize> = BTreeMap::new();
    for sample in &dataset.samples {
        for target in &sample.targets {
            *counts.entry((&sample.modality, &sample.site, &target.name)).or_default() += 1;
        }
    }
    for ((modality, site, target), count) in counts {
        let unknown = match category(target) {
            Some(_) => "",
            None => "  (no category is known: the model will not learn one)",
        };
        text += &format!("\n  {target} in {site} {modality}: {count} pictures{unknown}");
    }
    text
}
