//! BiomedParse's folders: `train/`, `train_mask/`, `test/`, `test_mask/` and the lists
//! `train.json` and `test.json`.
//!
//! Pictures are called `<name>_<modality>_<site>.png`, masks `<name>_<modality>_<site>_<target>.png`
//! with `+` for blanks (upstream `biomedparse_datasets/create-customer-datasets.py`). Where a list
//! is absent, the masks' names are enough.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{DatasetError, Listing, MaskSource, Part, PictureSource, Sample, Target};

/// The part of a COCO-like list that says what is where.
#[derive(Deserialize)]
struct List {
    annotations: Vec<Annotation>,
    /// Pictures without an annotation show nothing that is marked.
    #[serde(default)]
    images: Vec<Image>,
}

#[derive(Deserialize)]
struct Annotation {
    file_name: String,
    mask_file: String,
    /// `target in site modality`.
    #[serde(default)]
    sentences: Vec<Sentence>,
}

#[derive(Deserialize)]
struct Sentence {
    raw: String,
}

#[derive(Deserialize)]
struct Image {
    file_name: String,
}

/// A picture's masks: file and the prompt that goes with it, where the list has one.
type Masks = BTreeMap<String, Vec<(String, Option<String>)>>;

/// Whether a folder is of this layout.
pub(super) fn is_here(root: &Path) -> bool {
    root.join("train_mask").is_dir() || root.join("test_mask").is_dir()
}

pub(super) fn read(root: &Path) -> Result<Listing, DatasetError> {
    let (mut samples, mut problems) = (Vec::new(), Vec::new());
    for (name, part) in [("train", Part::Training), ("test", Part::Test)] {
        if !root.join(format!("{name}_mask")).is_dir() {
            continue;
        }
        let list = root.join(format!("{name}.json"));
        let pictures =
            if list.exists() { listed(&list)? } else { found(root, name, &mut problems)? };
        for (picture, masks) in pictures {
            match sample(root, (name, part), &picture, masks) {
                Ok(sample) => samples.push(sample),
                Err(problem) => problems.push(problem),
            }
        }
    }
    Listing::new(root, root, samples, problems)
}

/// The pictures and masks that a list names.
fn listed(path: &Path) -> Result<Masks, DatasetError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| DatasetError::Read { path: path.to_owned(), source })?;
    let list: List = serde_json::from_str(&text).map_err(|error| DatasetError::Index {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    let mut masks: Masks =
        list.images.into_iter().map(|image| (image.file_name, Vec::new())).collect();
    for annotation in list.annotations {
        let prompt = annotation.sentences.into_iter().next().map(|sentence| sentence.raw);
        masks.entry(annotation.file_name).or_default().push((annotation.mask_file, prompt));
    }
    Ok(masks)
}

/// The pictures of a folder, with the masks whose names begin with theirs.
fn found(root: &Path, part: &str, problems: &mut Vec<DatasetError>) -> Result<Masks, DatasetError> {
    let pictures = pngs(&root.join(part))?;
    let mut masks: Masks = pictures.into_iter().map(|name| (name, Vec::new())).collect();
    for mask in pngs(&root.join(format!("{part}_mask")))? {
        let picture = mask.rsplit_once('_').map(|(picture, _)| format!("{picture}.png"));
        match picture.and_then(|picture| masks.get_mut(&picture)) {
            Some(masks) => masks.push((mask, None)),
            None => problems.push(DatasetError::Name {
                path: root.join(format!("{part}_mask")).join(mask),
                expected: "<name>_<modality>_<site>_<target>.png beside a picture \
                           <name>_<modality>_<site>.png",
            }),
        }
    }
    Ok(masks)
}

/// Names of a folder's PNGs, sorted.
fn pngs(folder: &Path) -> Result<Vec<String>, DatasetError> {
    let unreadable = |source| DatasetError::Read { path: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name().to_string_lossy().into_owned();
        if name.to_lowercase().ends_with(".png") {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn sample(
    root: &Path,
    (folder, part): (&str, Part),
    picture: &str,
    masks: Vec<(String, Option<String>)>,
) -> Result<Sample, DatasetError> {
    let path = root.join(folder).join(picture);
    let stem = Path::new(picture).file_stem().unwrap_or_default().to_string_lossy();
    let mut words = stem.rsplitn(3, '_');
    let (Some(site), Some(modality), Some(name)) = (words.next(), words.next(), words.next())
    else {
        return Err(DatasetError::Name { path, expected: "<name>_<modality>_<site>.png" });
    };
    let (site, modality) = (blanks(site), blanks(modality));
    let target = |(mask, prompt): (String, Option<String>)| {
        let place = format!(" in {site} {modality}");
        let name = prompt.and_then(|prompt| prompt.strip_suffix(&place).map(str::to_owned));
        let path: PathBuf = root.join(format!("{folder}_mask")).join(&mask);
        let name = name.or_else(|| target_of(&mask)).ok_or_else(|| DatasetError::Name {
            path: path.clone(),
            expected: "<name>_<modality>_<site>_<target>.png",
        })?;
        Ok(Target { name, mask: MaskSource::File(path) })
    };
    Ok(Sample {
        set: root.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        group: format!("{part:?}/{name}"),
        targets: masks.into_iter().map(target).collect::<Result<_, DatasetError>>()?,
        picture: PictureSource::File(path),
        part,
        modality,
        site,
    })
}

/// The last word of a mask's name.
fn target_of(mask: &str) -> Option<String> {
    let stem = Path::new(mask).file_stem()?.to_str()?;
    stem.rsplit_once('_').map(|(_, target)| blanks(target))
}

fn blanks(word: &str) -> String {
    word.replace('+', " ")
}

#[cfg(test)]
mod tests {
    use medparse_imaging::{Mask, Picture};

    use super::*;
    use crate::dataset::Dataset;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in ["train", "train_mask", "test", "test_mask"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let picture = Picture::from_rgb(4, 4, vec![9; 48]).unwrap();
        let mask = Mask::from_pixels(4, 4, [[1; 8], [0; 8]].concat()).unwrap();
        for (part, stem) in
            [("train", "a_1_CT_lung"), ("train", "b_CT_lung"), ("test", "c_CT_lung")]
        {
            picture.save_png(folder.path().join(part).join(format!("{stem}.png"))).unwrap();
            let masks = folder.path().join(format!("{part}_mask"));
            mask.save_png(masks.join(format!("{stem}_COVID-19+infection.png"))).unwrap();
        }
        folder
    }

    #[test]
    fn names_say_what_is_where() {
        let folder = folder();
        let dataset = Dataset::open(folder.path()).unwrap();
        let first = &dataset.samples[0];
        assert_eq!((first.modality.as_str(), first.site.as_str()), ("CT", "lung"));
        assert_eq!(first.targets[0].name, "COVID-19 infection");
        assert_eq!(first.phrase("x"), "x in lung CT");
        assert_eq!(first.group, "Training/a_1");
        let parts: Vec<Part> = dataset.samples.iter().map(|sample| sample.part).collect();
        assert_eq!(parts, [Part::Training, Part::Training, Part::Test]);
        assert_eq!(first.load().unwrap().masks[0].area(), 8);
        // Test pictures are on neither side of the split.
        let split = super::super::Split::new(&dataset, 0.5, 1);
        assert_eq!((split.training.len(), split.validation.len()), (1, 1));
        assert_eq!(split.pictures(&dataset, super::super::Choice::Test), [2]);
    }

    #[test]
    fn a_list_decides_where_there_is_one() {
        let folder = folder();
        let list = r#"{"images": [{"file_name": "a_1_CT_lung.png"}, {"file_name": "b_CT_lung.png"}],
            "annotations": [{"file_name": "a_1_CT_lung.png", "image_id": 0, "category_id": 3,
            "mask_file": "a_1_CT_lung_COVID-19+infection.png",
            "sentences": [{"raw": "viral infection in lung CT", "sent_id": 0}]}]}"#;
        std::fs::write(folder.path().join("train.json"), list).unwrap();
        let dataset = Dataset::open(folder.path()).unwrap();
        assert_eq!(dataset.samples[0].targets[0].name, "viral infection");
        assert_eq!(dataset.samples[1].targets, []);
        std::fs::write(folder.path().join("train.json"), "{").unwrap();
        let error = Dataset::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("train.json is not a list of labelled pictures"), "{error}");
    }

    #[test]
    fn every_bad_file_is_named() {
        let folder = folder();
        let masks = folder.path().join("train_mask");
        std::fs::write(masks.join("d_CT_lung_nodule.png"), b"").unwrap();
        std::fs::write(masks.join("b_CT_lung_nodule.png"), b"no picture").unwrap();
        let small = Mask::from_pixels(2, 2, vec![1; 4]).unwrap();
        small.save_png(masks.join("b_CT_lung_tumor.png")).unwrap();
        let Listing { dataset, problems } = Dataset::list(folder.path()).unwrap();
        let found = problems.into_iter().chain(dataset.samples.iter().flat_map(Sample::problems));
        let found: Vec<String> = found.map(|problem| problem.to_string()).collect();
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].contains("d_CT_lung_nodule.png: expected a name of the form"));
        assert!(found[1].contains("b_CT_lung_nodule.png"));
        assert!(found[2].contains("has 2×2 pixels; expected 4×4"));
        assert!(Dataset::open(folder.path()).is_err());
        // Where nothing can be used, all that is wrong is told nevertheless.
        let bare = tempfile::tempdir().unwrap();
        for (name, files) in [("train", &["x.png", "y.png"][..]), ("train_mask", &["z.png"])] {
            std::fs::create_dir(bare.path().join(name)).unwrap();
            for file in files {
                std::fs::write(bare.path().join(name).join(file), b"").unwrap();
            }
        }
        let Listing { dataset, problems } = Dataset::list(bare.path()).unwrap();
        assert_eq!((dataset.samples.len(), problems.len()), (0, 3), "{problems:?}");
        let error = Dataset::open(masks).unwrap_err().to_string();
        assert!(error.contains("is no dataset: expected an index.json"), "{error}");
    }
}
