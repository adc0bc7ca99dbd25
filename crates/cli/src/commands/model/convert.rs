//! `medparse model convert`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use medparse::card::Description;
use medparse::convert::{ModelFormat, live_tensors, write_model, write_packed};
use medparse::load::describe;
use medparse::{LoadOptions, Model, ModelSource};
use medparse_weights::{Checkpoint, FloatType, Progress};

use super::{format_of, written};
use crate::output::say;
use crate::progress::{self, Loading};

/// Convert a model file: to safetensors with everything inside, or to a PyTorch state dict.
///
/// A safetensors file carries the configuration and the class bank, so that it needs no YAML and
/// loads at once, and leaves out the quarter of the published checkpoint that is never read.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  medparse model convert biomedparse_v1.pt biomedparse.safetensors --precision bf16\n  medparse model convert biomedparse_v1.pt biomedparse-int8.safetensors --packed int8"
)]
pub struct Arguments {
    /// A .pt or .safetensors file.
    input: PathBuf,
    /// The new file; its ending (.safetensors, .pt) chooses the format.
    output: PathBuf,
    /// How each weight is stored; computing is in f32 all the same.
    #[arg(long, value_enum, default_value_t = Precision::F32)]
    precision: Precision,
    /// Pack the weights for this program's cpu engine in a precision: f32, bf16 or int8. Such a
    /// file is mapped rather than read, ready at once, and computes in that precision alone.
    #[arg(long, value_name = "PRECISION", conflicts_with = "precision")]
    packed: Option<medparse::Precision>,
    /// The network's YAML, where it is neither in the file nor beside it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Side of the square the network sees, in pixels, instead of the configuration's.
    #[arg(long, value_name = "PIXELS")]
    image_size: Option<usize>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Precision {
    /// 32 bits, as trained.
    F32,
    /// 16 bits, of small range.
    F16,
    /// 16 bits, of small precision.
    Bf16,
}

impl Precision {
    fn float(self) -> FloatType {
        match self {
            Self::F32 => FloatType::F32,
            Self::F16 => FloatType::F16,
            Self::Bf16 => FloatType::BF16,
        }
    }
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let output = &arguments.output;
    let format = format_of(output)?;
    let options = LoadOptions {
        config: arguments.config.clone(),
        image_size: arguments.image_size,
        precision: arguments.packed,
        ..LoadOptions::default()
    };
    if arguments.packed.is_some() && format != ModelFormat::Safetensors {
        bail!("{}: packed weights need a name ending in .safetensors", output.display());
    }
    let checkpoint = Checkpoint::open(&arguments.input)?;
    let card = describe(&checkpoint, None, &options)?.description.card;
    // Loading checks every key, and gives the class bank.
    let source = ModelSource::File(arguments.input.clone());
    let mut loading = Loading::new(&source.to_string());
    let model = Model::load(&source, &options, &mut |step| loading.show(step))?;
    drop(loading);
    let bar = progress::transfer();
    bar.set_message(format!("writing {}", output.display()));
    let mut show = |step: Progress| {
        bar.set_length(step.total_bytes);
        bar.set_position(step.bytes);
    };
    if arguments.packed.is_some() {
        write_packed(output, &model, &mut show)?;
    } else {
        let tensors = live_tensors(&checkpoint, model.network(), arguments.precision.float())?;
        let description = Description { network: model.network().clone(), card };
        let bank = Some(model.class_bank());
        write_model(output, format, tensors, &description, bank, &mut show)?;
    }
    bar.finish_and_clear();
    say(&written(output)?)?;
    Ok(ExitCode::SUCCESS)
}
