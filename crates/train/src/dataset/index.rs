//! The `index.json` layout: a list of pictures with their targets, or of volumes with labels.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::volume::Volume;
use super::{DatasetError, Listing, MaskSource, Part, PictureSource, Sample, Slice, Target};

#[derive(Deserialize)]
struct Entry {
    image: String,
    modality: String,
    site: String,
    set: String,
    group: Option<String>,
    #[serde(default)]
    targets: Vec<TargetEntry>,
    /// A label volume, in place of `targets`.
    labels: Option<String>,
    /// The labels' names: `"1"`, or `"1|2"` for several together.
    #[serde(default)]
    classes: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct TargetEntry {
    target: String,
    mask: String,
}

pub(super) fn read(root: &Path) -> Result<Listing, DatasetError> {
    let path = root.join("index.json");
    let text = std::fs::read_to_string(&path)
        .map_err(|source| DatasetError::Read { path: path.clone(), source })?;
    let entries: Vec<Entry> = serde_json::from_str(&text)
        .map_err(|error| DatasetError::Index { path: path.clone(), reason: error.to_string() })?;
    let (mut samples, mut problems) = (Vec::new(), Vec::new());
    for entry in entries {
        if entry.labels.is_none() {
            samples.push(picture(root, entry));
            continue;
        }
        match slices(root, &path, entry) {
            Ok(slices) => samples.extend(slices),
            Err(problem) => problems.push(problem),
        }
    }
    Listing::new(root, &path, samples, problems)
}

fn picture(root: &Path, entry: Entry) -> Sample {
    let target = |target: TargetEntry| Target {
        name: target.target,
        mask: MaskSource::File(root.join(target.mask)),
    };
    Sample {
        picture: PictureSource::File(root.join(&entry.image)),
        part: Part::Training,
        group: group(&entry),
        modality: modality(entry.modality),
        set: entry.set,
        site: entry.site,
        targets: entry.targets.into_iter().map(target).collect(),
    }
}

/// One sample for each slice of a volume, those without any label included.
fn slices(root: &Path, index: &Path, entry: Entry) -> Result<Vec<Sample>, DatasetError> {
    let image = root.join(&entry.image);
    let labels = root.join(entry.labels.as_deref().unwrap_or_default());
    let mut classes = Vec::new();
    for (values, name) in &entry.classes {
        let values: Result<Vec<u8>, _> = values.split('|').map(str::parse).collect();
        let values = values.map_err(|_| DatasetError::Index {
            path: index.to_owned(),
            reason: format!("{}: a class is a number or numbers with | between", entry.image),
        })?;
        classes.push((values, name));
    }
    let volume = Volume::read(&labels)?;
    let samples = (0..volume.slices()).map(|index| {
        let plane = volume.labels(index, &labels)?;
        let present = |values: &[u8]| {
            plane.values.iter().any(|&value| values.iter().any(|&label| value == f32::from(label)))
        };
        let targets = classes.iter().filter(|(values, _)| present(values));
        Ok(Sample {
            picture: PictureSource::Slice(Slice { volume: image.clone(), index }),
            set: entry.set.clone(),
            modality: modality(entry.modality.clone()),
            site: entry.site.clone(),
            part: Part::Training,
            group: group(&entry),
            targets: targets
                .map(|(values, name)| Target {
                    name: (*name).clone(),
                    mask: MaskSource::Labels {
                        slice: Slice { volume: labels.clone(), index },
                        labels: values.clone(),
                    },
                })
                .collect(),
        })
    });
    samples.collect()
}

/// The group of an entry; one without is its own.
fn group(entry: &Entry) -> String {
    let name = entry.group.as_ref().unwrap_or(&entry.image);
    format!("{}/{name}", entry.set)
}

/// One name for what different lists call differently.
fn modality(name: String) -> String {
    if name == "endoscope" { "endoscopy".into() } else { name }
}
