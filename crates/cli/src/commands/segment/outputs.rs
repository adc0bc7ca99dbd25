//! Where the results of a run go, and their writing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use medparse::{Prompt, Segmentation};
use medparse_imaging::{Layer, OverlayStyle, Picture, overlay, write_atomic};

use super::inputs::Input;
use super::report::PictureReport;

/// Longest part of a phrase that goes into a file's name, in characters.
const LONGEST_PHRASE: usize = 60;

/// The output folder, and the names of the masks in it.
pub struct Outputs {
    folder: PathBuf,
    /// One per phrase, fit for a file's name and different from each other.
    phrases: Vec<String>,
}

impl Outputs {
    /// Makes the folder and checks that every picture gets names of its own.
    pub fn prepare(folder: &Path, inputs: &[Input], prompts: &[Prompt]) -> Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the output folder {}", folder.display()))?;
        // Said before minutes of computing, not after.
        tempfile::tempfile_in(folder)
            .with_context(|| format!("cannot write into the output folder {}", folder.display()))?;
        let mut taken: HashMap<&Path, &Path> = HashMap::new();
        for input in inputs {
            if let Some(other) = taken.insert(&input.name, &input.path) {
                bail!(
                    "{} and {} would both write {}.json; run them into different folders",
                    other.display(),
                    input.path.display(),
                    folder.join(&input.name).display()
                );
            }
        }
        Ok(Self { folder: folder.into(), phrases: names_of(prompts) })
    }

    /// Writes one mask per answer and tells where.
    pub fn write_masks(&self, input: &Input, answers: &[Segmentation]) -> Result<Vec<PathBuf>> {
        let mut paths = Vec::with_capacity(answers.len());
        for (answer, phrase) in answers.iter().zip(&self.phrases) {
            let path = self.place(input, &format!("__{phrase}.png"))?;
            answer.mask.save_png(&path)?;
            paths.push(path);
        }
        Ok(paths)
    }

    /// Draws the answers over the picture and tells where.
    pub fn write_overlay(
        &self,
        input: &Input,
        picture: &Picture,
        answers: &[Segmentation],
    ) -> Result<PathBuf> {
        let layers: Vec<Layer> = answers
            .iter()
            .map(|answer| {
                let layer = Layer::new(&answer.prompt, &answer.mask);
                match answer.mean_probability {
                    Some(p) => layer.with_note(format!("{} · p {p:.2}", answer.category)),
                    None => layer,
                }
            })
            .collect();
        let path = self.place(input, ".overlay.png")?;
        overlay(picture, &layers, &OverlayStyle::default())?.save_png(&path)?;
        Ok(path)
    }

    /// Writes the numbers.
    pub fn write_report(&self, input: &Input, report: &PictureReport) -> Result<()> {
        let path = self.place(input, ".json")?;
        let mut text = serde_json::to_vec_pretty(report)?;
        text.push(b'\n');
        write_atomic(&path, &text)?;
        Ok(())
    }

    /// A result's path; its folder is made.
    fn place(&self, input: &Input, ending: &str) -> Result<PathBuf> {
        let mut path = self.folder.join(&input.name).into_os_string();
        path.push(ending);
        let path = PathBuf::from(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
        Ok(path)
    }
}

/// Phrases as parts of file names, in the field's manner: `+` for blanks.
fn names_of(prompts: &[Prompt]) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let names = prompts.iter().map(|prompt| {
        let name: String = prompt
            .as_str()
            .chars()
            .take(LONGEST_PHRASE)
            .map(|c| match c {
                c if c.is_whitespace() => '+',
                c if c.is_alphanumeric() || matches!(c, '-' | '.' | '_' | '(' | ')') => c,
                _ => '_',
            })
            .collect();
        let count = seen.entry(name.to_lowercase()).or_insert(0);
        *count += 1;
        if *count == 1 { name } else { format!("{name}-{count}") }
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_become_names() {
        let prompts = Prompt::split("tumor core & a/b:c & Tumor core & ../etc").unwrap();
        assert_eq!(names_of(&prompts), ["tumor+core", "a_b_c", "Tumor+core-2", ".._etc"]);
    }

    #[test]
    fn two_pictures_never_share_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let input = |path: &str| Input { path: path.into(), name: "a".into() };
        let prompts = Prompt::split("liver").unwrap();
        let inputs = [input("x/a.png"), input("y/a.png")];
        let error = Outputs::prepare(folder.path(), &inputs, &prompts).err().unwrap();
        assert!(error.to_string().contains("x/a.png and y/a.png would both write"), "{error}");
    }
}
