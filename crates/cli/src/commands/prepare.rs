//! `medparse prepare`: the square PNG that an endpoint's clients send, and the way back.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Args;
use medparse::prepare::{PrepareOptions, Prepared, WayBack, prepare};
use medparse_imaging::{Limits, Mask, write_atomic};

use super::segment::scan::{ScanOptions, Turn};
use crate::model_options::FitArgument;
use crate::output::{complain, say};

/// Make the square PNG that clients of an endpoint send: windowed, padded with black, resized.
///
/// Beside it goes a JSON file that says where the picture lies on the square; with --undo, a mask
/// of the square is cut, resized and turned back to the picture's own pixels by it.
#[derive(Args)]
#[command(
    after_long_help = "Examples:\n  medparse prepare ct.dcm -o ct.square.png --window abdomen\n  medparse prepare volume.nii.gz --slice 40 --plane coronal -o slice.png\n  medparse prepare answer.png --undo ct.square.json -o mask.png"
)]
pub struct Arguments {
    /// A picture, a DICOM file or series folder, a NIfTI or NRRD volume; with --undo, a mask PNG.
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// Where the PNG goes; the JSON goes beside it under the same name.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Side of the square in pixels.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=8192))]
    side: u32,
    /// What is done about pictures that are not square.
    #[arg(long, default_value = "pad", value_name = "HOW")]
    fit: FitArgument,
    /// Of a volume, which slice, from 0; the middle one where not given.
    #[arg(long, value_name = "N")]
    slice: Option<usize>,
    /// Bring a mask of the square back by this JSON file of an earlier run.
    #[arg(long, value_name = "JSON")]
    undo: Option<PathBuf>,
    #[command(flatten)]
    scan: ScanOptions,
}

/// The JSON beside the square: the way back to the slice's own pixels.
#[derive(serde::Serialize, serde::Deserialize)]
struct Mapping {
    #[serde(flatten)]
    way_back: WayBack,
    /// How the slice was turned before.
    #[serde(flatten)]
    turn: Turn,
    /// Of a volume, the slice and its plane.
    slice: Option<usize>,
    plane: Option<String>,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let there = arguments.output.canonicalize();
    ensure!(
        there.is_err() || there.ok() != arguments.image.canonicalize().ok(),
        "--output: {} is the input; give another name",
        arguments.output.display()
    );
    match &arguments.undo {
        Some(mapping) => undo(arguments, mapping)?,
        None => square(arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn square(arguments: &Arguments) -> Result<()> {
    let beside = arguments.output.with_extension("json");
    ensure!(
        beside != arguments.output,
        "--output: {} is where the JSON goes; name a PNG",
        beside.display()
    );
    let volume = arguments.scan.open(&arguments.image)?;
    for warning in volume.warnings() {
        complain(&format!("warning: {}: {warning}", arguments.image.display()));
    }
    let view = arguments.scan.view(&volume);
    let slice = arguments.slice.unwrap_or(view.dimensions()[2] / 2);
    let picture = volume.picture(&view, slice, &arguments.scan.window)?;
    let options = PrepareOptions { side: arguments.side, fit: arguments.fit.into() };
    let Prepared { picture, way_back } = prepare(&picture, options)?;
    picture.save_png(&arguments.output)?;
    let is_volume = !volume.is_flat();
    let mapping = Mapping {
        way_back,
        turn: arguments.scan.turn(),
        slice: is_volume.then_some(slice),
        plane: is_volume.then(|| arguments.scan.plane(&volume).to_string()),
    };
    write_atomic(&beside, &serde_json::to_vec_pretty(&mapping)?)?;
    let side = arguments.side;
    say(&format!("{}  {side} × {side}  way back: {}", arguments.output.display(), beside.display()))
}

fn undo(arguments: &Arguments, mapping: &Path) -> Result<()> {
    let reading = || format!("cannot read {}", mapping.display());
    let text = std::fs::read(mapping).with_context(reading)?;
    let Mapping { way_back, turn, .. } = serde_json::from_slice(&text).with_context(|| {
        format!("{} is no JSON that `medparse prepare` wrote", mapping.display())
    })?;
    let bytes = std::fs::read(&arguments.image)
        .with_context(|| format!("cannot read {}", arguments.image.display()))?;
    let at_image = || arguments.image.display().to_string();
    let mask = Mask::decode(&bytes, &Limits::default()).with_context(at_image)?;
    let mask = way_back.undo(&mask).with_context(at_image)?;
    let mask = turn.back(&mask)?;
    mask.save_png(&arguments.output)?;
    let (width, height) = mask.dimensions();
    say(&format!("{}  {width} × {height}", arguments.output.display()))
}
