//! Which of a repository's files is the model, and which is its configuration.

use super::reference::HubReference;

/// How many candidates or names an error lists.
const LISTED: usize = 12;

/// Why no model file could be chosen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChoiceError {
    /// The repository has several model files and the reference names none.
    #[error(
        "{repository} has {} model files; name one, as in hub:{repository}/{}: {}",
        candidates.len(), candidates.first().map_or("FILE", String::as_str), listed(candidates)
    )]
    Several {
        /// `owner/name`.
        repository: String,
        /// The model files.
        candidates: Vec<String>,
    },
    /// The repository has no model file.
    #[error("{repository} has no model file (.safetensors, .pt or .pth) among its {} files: {}", files.len(), listed(files))]
    NoModel {
        /// `owner/name`.
        repository: String,
        /// The files it has.
        files: Vec<String>,
    },
    /// The file named is not in the repository.
    #[error("{repository} has no file {file} at revision {revision}; it has: {}", listed(files))]
    NotThere {
        /// `owner/name`.
        repository: String,
        /// The revision looked at.
        revision: String,
        /// The file named.
        file: String,
        /// The files it has.
        files: Vec<String>,
    },
}

/// The file that the reference names, or else the repository's one safetensors file, or else its one `.pt` or `.pth`.
pub(super) fn weights_file<'a>(
    reference: &HubReference,
    files: &'a [String],
) -> Result<&'a str, ChoiceError> {
    let repository = reference.repository();
    if let Some(wanted) = &reference.file {
        return files.iter().find(|file| *file == wanted).map(String::as_str).ok_or_else(|| {
            ChoiceError::NotThere {
                repository,
                revision: reference.revision.clone(),
                file: wanted.clone(),
                files: files.to_vec(),
            }
        });
    }
    for endings in [&["safetensors"][..], &["pt", "pth"]] {
        let candidates: Vec<&String> =
            files.iter().filter(|file| has_ending(file, endings)).collect();
        match candidates.as_slice() {
            [] => {}
            [one] => return Ok(one),
            several => {
                let candidates = several.iter().map(|file| (*file).clone()).collect();
                return Err(ChoiceError::Several { repository, candidates });
            }
        }
    }
    Err(ChoiceError::NoModel { repository, files: files.to_vec() })
}

/// The YAML file in the model file's folder: the one of its name, else `config.yaml`, else the only one.
pub(super) fn config_beside<'a>(weights: &str, files: &'a [String]) -> Option<&'a str> {
    let (folder, name) = split_folder(weights);
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let beside: Vec<&str> = files
        .iter()
        .map(String::as_str)
        .filter(|file| {
            *file != weights && split_folder(file).0 == folder && has_ending(file, &["yaml", "yml"])
        })
        .collect();
    let called = |wanted: &str| {
        beside
            .iter()
            .find(|file| {
                split_folder(file).1.rsplit_once('.').is_some_and(|(stem, _)| stem == wanted)
            })
            .copied()
    };
    called(stem).or_else(|| called("config")).or(match beside.as_slice() {
        [only] => Some(only),
        _ => None,
    })
}

/// A path's folder (empty at the top) and file name.
fn split_folder(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn has_ending(path: &str, endings: &[&str]) -> bool {
    let (_, name) = split_folder(path);
    name.rsplit_once('.').is_some_and(|(stem, ending)| {
        !stem.is_empty() && endings.iter().any(|wanted| ending.eq_ignore_ascii_case(wanted))
    })
}

fn listed(files: &[String]) -> String {
    let mut text = files.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if files.len() > LISTED {
        text.push_str(&format!(" and {} more", files.len() - LISTED));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(files: &[&str]) -> Vec<String> {
        files.iter().map(|file| (*file).to_owned()).collect()
    }

    #[test]
    fn chooses_the_one_model_file() {
        let cases: [(&str, &[&str], Result<&str, &str>); 9] = [
            ("hub:a/b", &["README.md", "m.safetensors"], Ok("m.safetensors")),
            ("hub:a/b", &["m.pt", "m.safetensors"], Ok("m.safetensors")),
            ("hub:a/b", &["m.pt", "config.yaml"], Ok("m.pt")),
            ("hub:a/b", &["w/M.PTH", "script"], Ok("w/M.PTH")),
            (
                "hub:a/b",
                &["a.safetensors", "b.safetensors"],
                Err("hub:a/b/a.safetensors: a.safetensors, b.safetensors"),
            ),
            ("hub:a/b", &["a.pt", "b.pth"], Err("has 2 model files")),
            ("hub:a/b", &["README.md", ".pt"], Err("no model file")),
            ("hub:a/b/x.bin", &["x.bin", "m.pt"], Ok("x.bin")),
            ("hub:a/b@v2/x.pt", &["m.pt"], Err("no file x.pt at revision v2; it has: m.pt")),
        ];
        for (reference, files, expected) in cases {
            let files = names(files);
            let found = weights_file(&reference.parse().unwrap(), &files);
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
                (found, expected) => panic!("{files:?}: expected {expected:?}, found {found:?}"),
            }
        }
    }

    #[test]
    fn chooses_the_configuration_beside_it() {
        let cases: [(&str, &[&str], Option<&str>); 7] = [
            ("m.pt", &["m.pt", "config.yaml", "m.yaml"], Some("m.yaml")),
            ("m.pt", &["m.pt", "config.yml", "other.yaml"], Some("config.yml")),
            ("m.pt", &["m.pt", "biomed.yaml"], Some("biomed.yaml")),
            ("m.pt", &["m.pt", "one.yaml", "two.yaml"], None),
            ("w/m.pt", &["w/m.pt", "m.yaml"], None),
            ("w/m.pt", &["w/m.pt", "m.yaml", "w/c.yaml"], Some("w/c.yaml")),
            ("m.pt", &["m.pt", "config.json"], None),
        ];
        for (weights, files, expected) in cases {
            assert_eq!(config_beside(weights, &names(files)), expected, "{weights} in {files:?}");
        }
    }
}
