//! `medparse targets`: what a model can find.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use medparse::Provenance;
use medparse::card::{Description, KnownTarget};
use medparse::modalities::IMAGE_TYPES;
use medparse_network::NetworkConfig;
use serde::Serialize;

use crate::model_options::ModelOptions;
use crate::output::{complain, say, say_json};

/// List what a model was trained to find, and how well it does.
///
/// The Dice beside a target was measured on pictures that the model had not seen. Of a network of
/// the published sizes that does not say, the targets that BiomedParse asks for by itself are listed.
#[derive(Args)]
pub struct Arguments {
    /// Only this modality.
    #[arg(long, value_name = "NAME")]
    modality: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelOptions,
}

#[derive(Serialize)]
struct Output<'a> {
    model: &'a str,
    targets: Vec<&'a KnownTarget>,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let Description { network, mut card } = arguments.model.description()?;
    let is_published = card.targets.is_empty()
        && card.weights == Provenance::Trained
        && network == NetworkConfig::biomedparse_v1();
    if is_published {
        card.targets = published();
    }
    let is_asked = |known: &&KnownTarget| {
        let modality = arguments.modality.as_deref();
        modality.is_none_or(|modality| known.modality.eq_ignore_ascii_case(modality))
    };
    let targets: Vec<&KnownTarget> = card.targets.iter().filter(is_asked).collect();
    if arguments.json {
        say_json(&Output { model: &card.name, targets })?;
        return Ok(ExitCode::SUCCESS);
    }
    if targets.is_empty() {
        complain(&match &arguments.modality {
            Some(modality) if !card.targets.is_empty() => {
                let known: BTreeSet<_> =
                    card.targets.iter().map(|known| &*known.modality).collect();
                let known: Vec<_> = known.into_iter().collect();
                format!(
                    "{} was not trained on pictures of the modality {modality:?}; it knows {}",
                    card.name,
                    known.join(", ")
                )
            }
            _ => format!("{} does not say what it was trained to find", card.name),
        });
        return Ok(ExitCode::FAILURE);
    }
    let width = |of: fn(&KnownTarget) -> &str| {
        targets.iter().map(|known| of(known).chars().count()).max().unwrap_or(0)
    };
    let widths = [width(|k| &k.target), width(|k| &k.modality), width(|k| &k.site)];
    for KnownTarget { target, modality, site, dice, .. } in targets {
        let [first, second, third] = widths;
        let dice = dice.map_or("not measured".to_owned(), |dice| format!("Dice {dice:.2}"));
        say(&format!("{target:first$}  {modality:second$}  {site:third$}  {dice}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What BiomedParse looks for in each kind of picture when it is asked for nothing.
fn published() -> Vec<KnownTarget> {
    let of_kind = IMAGE_TYPES.iter().flat_map(|kind| {
        let (modality, site) = kind.name.rsplit_once('-').unwrap_or((kind.name, ""));
        kind.targets.iter().map(move |target| KnownTarget {
            target: (*target).to_owned(),
            modality: modality.to_owned(),
            also: Vec::new(),
            site: site.to_lowercase(),
            dice: None,
        })
    });
    of_kind.collect()
}
