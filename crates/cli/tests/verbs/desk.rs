//! A folder to work in, and the program run there.

use std::path::{Path, PathBuf};
use std::process::Command;

use medparse_imaging::{Limits, Mask, procedural};
use serde_json::Value;
use tempfile::TempDir;

/// A folder with a picture, and the command run in it.
pub struct Desk {
    folder: TempDir,
}

/// What a command left behind.
pub struct Outcome {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Desk {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let scene = procedural::cells(150, 101, 3).unwrap();
        scene.picture.save_png(folder.path().join("cells.png")).unwrap();
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program with everything that it keeps in this folder, saying all it can.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_medparse"));
        command
            .current_dir(self.folder.path())
            .env("MEDPARSE_CACHE", self.path("cache"))
            .env("HF_HOME", self.path("hub"))
            .env("RUST_LOG", "trace")
            .env_remove("MEDPARSE_MODEL")
            .env_remove("MEDPARSE_DEVICE")
            .args(arguments);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Outcome {
        let output = self.command(arguments).output().unwrap();
        Outcome {
            status: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// With a network that marks something for any phrase.
    pub fn run_tiny(&self, arguments: &[&str]) -> Outcome {
        self.run(&with_tiny(arguments).iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The names of what lies in a folder, sorted.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A mask that was written.
    pub fn mask(&self, name: &str) -> Mask {
        Mask::decode(&std::fs::read(self.path(name)).unwrap(), &Limits::default()).unwrap()
    }

    /// A JSON file that was written.
    pub fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&std::fs::read(self.path(name)).unwrap()).unwrap()
    }
}

/// A file of the project's fixtures.
pub fn fixture(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(name).display().to_string()
}

/// Arguments with a network that marks something for any phrase.
pub fn with_tiny(arguments: &[&str]) -> Vec<String> {
    let model = fixture("tiny/tiny.pt");
    [arguments, &["--model", &model, "--image-size", "64"]]
        .concat()
        .into_iter()
        .map(str::to_owned)
        .collect()
}
