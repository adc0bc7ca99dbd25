//! Prints what a file or folder holds as JSON, and writes its voxels as plain numbers beside: for comparisons with other
//! readers.
//!
//! ```text
//! cargo run --release -p medparse-imaging --example voxels -- OUT_FOLDER FILE...
//! ```

use std::path::Path;

use medparse_imaging::{OpenOptions, Samples, Volume, open, write_atomic};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let folder = arguments.next().ok_or("expected a folder for the voxels, then files")?;
    for (index, path) in arguments.enumerate() {
        let line = match open(&path, &OpenOptions::default()) {
            Ok(volume) => describe(&volume, &Path::new(&folder).join(format!("{index}.raw")))?,
            Err(error) => serde_json::json!({ "error": error.to_string() }),
        };
        #[expect(clippy::print_stdout, reason = "printing is what this example is for")]
        {
            println!("{line}");
        }
    }
    Ok(())
}

fn describe(volume: &Volume, raw: &Path) -> Result<serde_json::Value, Box<dyn std::error::Error>> {
    let (kind, bytes) = match volume.samples() {
        Samples::Gray(values) => {
            ("gray", values.iter().flat_map(|value| value.to_le_bytes()).collect())
        }
        Samples::Rgb(bytes) => ("rgb", bytes.clone()),
    };
    write_atomic(raw, &bytes)?;
    Ok(serde_json::json!({
        "raw": raw,
        "kind": kind,
        "dimensions": volume.dimensions(),
        "affine": volume.grid().map(|grid| grid.affine()),
        "modality": volume.modality(),
        "warnings": volume.warnings(),
    }))
}
