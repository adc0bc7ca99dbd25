//! Where the results of a run go, and their writing.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use medparse::Prompt;
use medparse_imaging::write::{OutputFormat, Target};
use medparse_imaging::{
    Layer, Mask, OverlayStyle, Picture, discard_unfinished, overlay, write_atomic,
};

use super::inputs::Input;

/// Longest part of a phrase that goes into a file's name, in characters.
const LONGEST_PHRASE: usize = 60;

/// The ending of a picture with its masks drawn in.
const OVERLAY: &str = ".overlay.png";

/// The ending of the numbers.
const REPORT: &str = ".json";

/// The output folder, and the names of the masks in it.
pub struct Outputs {
    folder: PathBuf,
    /// One per phrase, fit for a file's name and different from each other.
    phrases: Vec<String>,
    /// What no result may be written over, without links.
    inputs: HashSet<PathBuf>,
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
        let inputs = inputs.iter().filter_map(|input| input.path.canonicalize().ok()).collect();
        Ok(Self { folder: folder.into(), phrases: names_of(prompts), inputs })
    }

    /// A folder that is there; names are somebody else's care.
    pub fn within(folder: &Path, prompts: &[Prompt]) -> Self {
        Self { folder: folder.into(), phrases: names_of(prompts), inputs: HashSet::new() }
    }

    /// Writes one mask per phrase, in their order, and tells where.
    pub fn write_masks(&self, input: &Input, masks: &[Mask]) -> Result<Vec<PathBuf>> {
        masks.iter().enumerate().map(|(index, mask)| self.write_mask(input, index, mask)).collect()
    }

    /// Refuses a result that would be written over an input.
    ///
    /// Writing does that too; this is to be asked before minutes of computing.
    pub fn spare(&self, input: &Input, ending: &str) -> Result<()> {
        self.place(input, ending).map(drop)
    }

    /// The same of masks, overlay and numbers.
    pub fn spare_others(&self, input: &Input) -> Result<()> {
        let masks = self.phrases.iter().map(|phrase| format!("__{phrase}.png"));
        let mut endings = masks.chain([OVERLAY, REPORT].map(str::to_owned));
        endings.try_for_each(|ending| self.spare(input, &ending))
    }

    /// Writes the mask of a phrase and tells where.
    pub fn write_mask(&self, input: &Input, phrase: usize, mask: &Mask) -> Result<PathBuf> {
        let path = self.place(input, &format!("__{}.png", self.phrases[phrase]))?;
        mask.save_png(&path)?;
        Ok(path)
    }

    /// Writes the mask of a phrase slice by slice, in the file's order, into a folder, and tells where.
    pub fn write_slices(
        &self,
        input: &Input,
        phrase: usize,
        target: &Target,
        [columns, rows, _]: [usize; 3],
    ) -> Result<PathBuf> {
        let folder = format!("__{}", self.phrases[phrase]);
        for (slice, voxels) in target.voxels.chunks_exact(columns * rows).enumerate() {
            let path = self.place(input, &format!("{folder}/{slice:04}.png"))?;
            discard_unfinished(&path);
            Mask::from_pixels(columns as u32, rows as u32, voxels.to_vec())?.save_png(&path)?;
        }
        self.place(input, &folder)
    }

    /// Writes the numbers of a phrase's single objects, a PNG already, and tells where.
    pub fn write_labels(&self, input: &Input, phrase: usize, png: &[u8]) -> Result<PathBuf> {
        let path = self.place(input, &format!("__{}.instances.png", self.phrases[phrase]))?;
        write_atomic(&path, png)?;
        Ok(path)
    }

    /// Draws masks over the picture and tells where.
    pub fn write_overlay(
        &self,
        input: &Input,
        picture: &Picture,
        layers: &[Layer<'_>],
    ) -> Result<PathBuf> {
        self.write_sheet(input, &overlay(picture, layers, &OverlayStyle::default())?)
    }

    /// Writes a picture with masks drawn in and tells where.
    pub fn write_sheet(&self, input: &Input, sheet: &Picture) -> Result<PathBuf> {
        let path = self.place(input, OVERLAY)?;
        sheet.save_png(&path)?;
        Ok(path)
    }

    /// Where what is done of an input is kept until its results are written.
    pub fn partial(&self, input: &Input) -> Result<PathBuf> {
        self.place(input, ".partial")
    }

    /// Takes away what a run that was killed while it wrote this input's results left behind.
    ///
    /// To be called by who holds the input's journal: nobody else writes these results then.
    pub fn discard_unfinished(&self, input: &Input) {
        let masks = self.phrases.iter().map(|phrase| format!("__{phrase}.png"));
        let formats = OutputFormat::ALL.iter().map(|format| format.ending().to_owned());
        let others = [OVERLAY, REPORT].map(str::to_owned);
        for ending in masks.chain(formats).chain(others) {
            if let Ok(path) = self.place(input, &ending) {
                discard_unfinished(&path);
            }
        }
    }

    /// Writes findings in one format and tells where.
    pub fn write_format(
        &self,
        input: &Input,
        format: OutputFormat,
        bytes: &[u8],
    ) -> Result<PathBuf> {
        let path = self.place(input, format.ending())?;
        write_atomic(&path, bytes)?;
        Ok(path)
    }

    /// Writes the numbers.
    pub fn write_report(&self, input: &Input, report: &impl serde::Serialize) -> Result<()> {
        let path = self.place(input, REPORT)?;
        let mut text = serde_json::to_vec_pretty(report)?;
        text.push(b'\n');
        write_atomic(&path, &text)?;
        Ok(())
    }

    /// A result's path, where no input lies; its folder is made.
    fn place(&self, input: &Input, ending: &str) -> Result<PathBuf> {
        let mut path = self.folder.join(&input.name).into_os_string();
        path.push(ending);
        let path = PathBuf::from(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
        // What is not there yet has no canonical path, and is nobody's input.
        if let Ok(there) = path.canonicalize() {
            let own = input.path.canonicalize().is_ok_and(|own| own == there);
            ensure!(
                !own && !self.inputs.contains(&there),
                "{}: a result would be written over {}, which is an input; give another folder with --output",
                input.path.display(),
                path.display()
            );
        }
        Ok(path)
    }
}

/// Phrases as parts of file names, in the field's manner: `+` for blanks.
pub fn names_of(prompts: &[Prompt]) -> Vec<String> {
    // Some file systems take upper and lower case for the same.
    let mut taken: HashSet<String> = HashSet::new();
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
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        let mut names = std::iter::once(name.clone()).chain(numbered);
        names.find(|name| taken.insert(name.to_lowercase())).unwrap_or_default()
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
        let prompts = Prompt::split("a & A & a-2 & a").unwrap();
        assert_eq!(names_of(&prompts), ["a", "A-2", "a-2-2", "a-3"]);
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
