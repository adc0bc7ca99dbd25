//! The models that are on this machine already.

use std::fs;
use std::path::{Path, PathBuf};

use medparse_weights::{Checkpoint, Format};
use serde::Serialize;

use super::hub::{HubError, HubOptions};
use crate::card::{CARD_KEY, ModelCard, NETWORK_KEY};

/// A key that every model of the family has, and hardly any other file of a hub cache.
const FAMILY_KEY: &str = "sem_seg_head.predictor.query_feat.weight";

/// A model that can be named at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InstalledModel {
    /// How to name it, as in `hub:owner/name/file.pt`.
    pub source: String,
    /// The file; none for the bundled one.
    pub path: Option<PathBuf>,
    /// Its size; none for the bundled one.
    pub bytes: Option<u64>,
    /// A sentence about it.
    pub summary: String,
}

/// The bundled model and those in the hub's cache, sorted by name.
///
/// # Errors
/// When the environment's settings of the hub can't be used.
pub fn installed() -> Result<Vec<InstalledModel>, HubError> {
    let mut models = vec![InstalledModel {
        source: "bundled".into(),
        path: None,
        bytes: None,
        summary: "comes with the program: medparse-small; `medparse targets` lists what it knows"
            .into(),
    }];
    models.extend(in_cache(&HubOptions::from_env()?.cache));
    Ok(models)
}

/// Every model file of the family under `models--OWNER--NAME/snapshots/COMMIT/`, sorted by name; a commit that is not
/// what `main` meant when it was last pulled is a part of the name.
fn in_cache(cache: &Path) -> Vec<InstalledModel> {
    let mut models = Vec::new();
    for repository in folders(cache) {
        let name = repository.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(name) = name.strip_prefix("models--") else { continue };
        let name = name.replace("--", "/");
        let main = fs::read_to_string(repository.join("refs/main")).unwrap_or_default();
        for commit in folders(&repository.join("snapshots")) {
            let revision = commit.file_name().unwrap_or_default().to_string_lossy();
            let revision =
                if revision == main.trim() { String::new() } else { format!("@{revision}") };
            let mut files = Vec::new();
            files_below(&commit, &mut files);
            for file in files {
                let Some(summary) = summary(&file) else { continue };
                let inside = file.strip_prefix(&commit).unwrap_or(&file).display().to_string();
                models.push(InstalledModel {
                    source: format!("hub:{name}{revision}/{inside}"),
                    bytes: fs::metadata(&file).ok().map(|metadata| metadata.len()),
                    path: Some(file),
                    summary,
                });
            }
        }
    }
    models.sort_by(|a, b| a.source.cmp(&b.source));
    models
}

/// What a file says of itself; none where it is no model of the family.
fn summary(file: &Path) -> Option<String> {
    let ending = file.extension()?.to_str()?;
    if !["safetensors", "pt", "pth"].contains(&ending) {
        return None;
    }
    let checkpoint = Checkpoint::open(file).ok()?;
    let metadata = checkpoint.metadata();
    if !metadata.contains_key(NETWORK_KEY) && checkpoint.get(FAMILY_KEY).is_none() {
        return None;
    }
    let card = metadata.get(CARD_KEY).and_then(|json| serde_json::from_str::<ModelCard>(json).ok());
    Some(match card {
        Some(card) if !card.summary.is_empty() => card.summary,
        _ if checkpoint.format() == Format::Safetensors => "a model of the family".into(),
        _ => "a checkpoint of the family".into(),
    })
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        // The cache links each file to its bytes; links to folders are not followed.
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files_below(&path, files),
            Ok(_) if path.is_file() => files.push(path),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_of_the_family_are_found_and_others_are_not() {
        let cache = tempfile::tempdir().unwrap();
        let repository = cache.path().join("models--owner--name");
        let [snapshot, older] = ["4567", "0123"].map(|commit| {
            let snapshot = repository.join("snapshots").join(commit);
            fs::create_dir_all(&snapshot).unwrap();
            let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/tiny/tiny.pt");
            fs::copy(tiny, snapshot.join("tiny.pt")).unwrap();
            snapshot
        });
        fs::create_dir_all(repository.join("refs")).unwrap();
        fs::write(repository.join("refs/main"), "4567").unwrap();
        fs::write(snapshot.join("other.safetensors"), b"no model").unwrap();
        fs::write(snapshot.join("README.md"), b"words").unwrap();
        let found = in_cache(cache.path());
        let names: Vec<_> = found.iter().map(|model| model.source.as_str()).collect();
        assert_eq!(names, ["hub:owner/name/tiny.pt", "hub:owner/name@0123/tiny.pt"]);
        assert_eq!(found[1].path, Some(older.join("tiny.pt")));
        assert!(found[0].bytes.unwrap() > 4_000_000);
    }
}
