//! Class banks computed once per text encoder and precision, kept in the user's cache folder.

use std::path::PathBuf;

use medparse_engine::Precision;
use medparse_network::CLASS_BANK_KEY;
use medparse_weights::{Checkpoint, FloatType, TensorSource, write_safetensors};
use sha2::{Digest, Sha256};

use crate::bank::ClassBank;
use crate::selection::Embeddings;

/// What the bank depends on: the text encoder and its projection.
const TEXT_ENCODER: &str = "sem_seg_head.predictor.lang_encoder.lang_";

/// Where the bank of one checkpoint is kept; nowhere if there is no cache folder.
pub(crate) struct BankCache {
    path: Option<PathBuf>,
}

impl BankCache {
    /// The place of the bank that a checkpoint has in a precision, named by the checksum of both.
    pub(crate) fn of(checkpoint: &Checkpoint, precision: Precision) -> Self {
        let folder = cache_folder().map(|folder| folder.join("class-banks"));
        let checksum = checksum(checkpoint, precision);
        Self {
            path: folder
                .zip(checksum)
                .map(|(folder, sum)| folder.join(format!("{sum}.safetensors"))),
        }
    }

    /// The bank, if it is there and whole.
    pub(crate) fn read(&self) -> Option<ClassBank> {
        let checkpoint = Checkpoint::open(self.path.as_ref()?).ok()?;
        let entry = checkpoint.get(CLASS_BANK_KEY)?;
        let width = *entry.shape().last().filter(|&&width| width > 0)?;
        ClassBank::from_rows(Embeddings::new(entry.read_f32().ok()?, width))
    }

    /// Keeps the bank; without a cache folder it is computed again the next time.
    pub(crate) fn write(&self, bank: &ClassBank) {
        let Some(path) = &self.path else { return };
        if path.parent().is_none_or(|folder| std::fs::create_dir_all(folder).is_err()) {
            return;
        }
        let rows = bank.rows();
        let shape = [rows.count(), rows.width()];
        let tensor = TensorSource::values(CLASS_BANK_KEY, shape, FloatType::F32, rows.values());
        // A cache that can't be written is no error: the model is loaded all the same.
        let _ = write_safetensors(path, &[tensor], &Default::default(), &mut |_| ());
    }
}

/// Where things computed once are kept: `$MEDPARSE_CACHE`, or `medparse` in the user's cache folder; none where this
/// user has no such folder.
pub fn cache_folder() -> Option<PathBuf> {
    match std::env::var_os("MEDPARSE_CACHE") {
        Some(folder) => Some(folder.into()),
        None => dirs::cache_dir().map(|folder| folder.join("medparse")),
    }
}

/// The checksum of all that the bank depends on; none where a weight can't be read.
fn checksum(checkpoint: &Checkpoint, precision: Precision) -> Option<String> {
    let mut names: Vec<&str> =
        checkpoint.names().filter(|name| name.starts_with(TEXT_ENCODER)).collect();
    names.sort_unstable();
    let mut hasher = Sha256::new();
    hasher.update(crate::classes::bank_recipe().as_bytes());
    hasher.update(precision.name().as_bytes());
    for name in names {
        hasher.update(name.as_bytes());
        hasher.update(checkpoint.get(name)?.read_bytes().ok()?);
    }
    let bytes = hasher.finalize();
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_precision_has_a_bank_of_its_own() {
        let tiny = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/tiny/tiny.pt");
        let checkpoint = Checkpoint::open(tiny).unwrap();
        let exact = checksum(&checkpoint, Precision::F32).unwrap();
        assert_eq!(exact, checksum(&checkpoint, Precision::F32).unwrap());
        for precision in [Precision::Bf16, Precision::Int8] {
            assert_ne!(exact, checksum(&checkpoint, precision).unwrap(), "{precision}");
        }
    }
}
