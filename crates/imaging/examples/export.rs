//! Marks three bodies in a file or series and writes them in every format: for looking at them in other programs.
//!
//! ```text
//! cargo run --release -p medparse-imaging --example export -- INPUT OUT_FOLDER
//! ```

use std::path::PathBuf;

use medparse_imaging::write::{ExportOptions, Findings, OutputFormat, Target};
use medparse_imaging::{OpenOptions, PALETTE, open, write_atomic};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (input, folder) =
        arguments.next().zip(arguments.next()).ok_or("expected an input and a folder")?;
    let volume = open(&input, &OpenOptions::default())?;
    let dimensions = volume.dimensions();
    let targets = [("left kidney", 0.3, 0.0), ("liver tumor", 0.6, 0.5), ("nowhere", -1.0, 0.0)]
        .into_iter()
        .zip(PALETTE)
        .map(|((label, place, hollow), color)| {
            let inside: Vec<f64> = body(dimensions, place, hollow);
            Target {
                label: label.into(),
                category: None,
                color,
                voxels: inside.iter().map(|depth| if *depth > 0.0 { 255 } else { 0 }).collect(),
                probabilities: Some(
                    inside
                        .iter()
                        .map(|depth| (128.0 + depth * 500.0).clamp(0.0, 255.0) as u8)
                        .collect(),
                ),
            }
        })
        .collect();
    let findings = Findings::new(&volume, targets)?;
    std::fs::create_dir_all(&folder)?;
    for format in OutputFormat::ALL {
        let path = folder.join(format!("bodies{}", format.ending()));
        match format
            .encode(&findings, &ExportOptions { name: "bodies".into(), ..ExportOptions::default() })
        {
            Ok(bytes) => write_atomic(path, &bytes)?,
            #[expect(
                clippy::print_stderr,
                reason = "a format that does not fit the input is said and skipped"
            )]
            Err(error) => eprintln!("{format}: {error}"),
        }
    }
    Ok(())
}

/// How deep each voxel lies in a ball with a hollow core, in shares of the volume's size.
fn body([columns, rows, slices]: [usize; 3], place: f64, hollow: f64) -> Vec<f64> {
    let share = |at: usize, of: usize| (at as f64 + 0.5) / of as f64;
    let mut depths = Vec::with_capacity(columns * rows * slices);
    for z in 0..slices {
        for y in 0..rows {
            for x in 0..columns {
                let offsets =
                    [share(x, columns) - place, share(y, rows) - 0.5, share(z, slices) - 0.5];
                let distance = offsets.iter().map(|offset| offset * offset).sum::<f64>().sqrt();
                depths.push((0.22 - distance).min(distance - 0.22 * hollow));
            }
        }
    }
    depths
}
