//! `medparse model inspect`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use medparse::LoadOptions;
use medparse::load::describe;
use medparse_network::{Mismatch, NetworkConfig, is_unused};
use medparse_weights::Checkpoint;
use serde::Serialize;

use crate::output::{bytes, say, say_json};

/// Show what a model file holds; reads names and shapes, no weights.
#[derive(Args)]
pub struct Arguments {
    /// A .pt or .safetensors file.
    file: PathBuf,
    /// The network's YAML, where it is neither in the file nor beside it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// List every tensor.
    #[arg(long)]
    tensors: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    file: &'a PathBuf,
    format: String,
    bytes: u64,
    tensors: usize,
    unused_tensors: usize,
    types: BTreeMap<&'static str, usize>,
    metadata: &'a BTreeMap<String, String>,
    network: &'a NetworkConfig,
    fits: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    list: Option<Vec<TensorLine<'a>>>,
}

#[derive(Serialize)]
struct TensorLine<'a> {
    name: &'a str,
    shape: &'a [usize],
    #[serde(rename = "type")]
    element_type: &'static str,
    used: bool,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let checkpoint = Checkpoint::open(&arguments.file)?;
    let options = LoadOptions { config: arguments.config.clone(), ..LoadOptions::default() };
    let found = describe(&checkpoint, None, &options)?;
    let network = &found.description.network;
    let mismatch = Mismatch::between(network, &checkpoint);
    let mut types = BTreeMap::new();
    for entry in checkpoint.entries() {
        *types.entry(entry.element_type().name()).or_insert(0) += entry.element_count();
    }
    let list = arguments.tensors.then(|| {
        let lines = checkpoint.entries().map(|entry| TensorLine {
            name: entry.name(),
            shape: entry.shape(),
            element_type: entry.element_type().name(),
            used: !is_unused(entry.name()),
        });
        lines.collect()
    });
    let report = Report {
        file: &arguments.file,
        format: checkpoint.format().to_string(),
        bytes: std::fs::metadata(&arguments.file)?.len(),
        tensors: checkpoint.len(),
        unused_tensors: checkpoint.names().filter(|name| is_unused(name)).count(),
        types,
        metadata: checkpoint.metadata(),
        network,
        fits: mismatch.is_empty(),
        list,
    };
    if arguments.json {
        say_json(&report)?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&report, &found.description.card.name)?;
    if !mismatch.is_empty() {
        say(&format!("does not fit {}: {mismatch}", source(&found.assumed)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn source(assumed: &[PathBuf]) -> &'static str {
    if assumed.is_empty() { "its configuration" } else { "the published configuration" }
}

fn print(report: &Report<'_>, name: &str) -> Result<()> {
    let types: Vec<String> = report
        .types
        .iter()
        .map(|(name, count)| format!("{} {name}", medparse_imaging::grouped(*count as u64)))
        .collect();
    let network = report.network;
    say(&format!("{}", report.file.display()))?;
    say(&format!("  name      {name}"))?;
    say(&format!("  format    {}, {}", report.format, bytes(report.bytes)))?;
    say(&format!(
        "  tensors   {} ({} never read by text prompting): {}",
        report.tensors,
        report.unused_tensors,
        types.join(", ")
    ))?;
    say(&format!(
        "  network   {} px, backbone {} channels × {:?} blocks, pixel decoder {} × {} layers, \
         decoder {} queries × {} layers, text {} × {} layers",
        network.image_size,
        network.backbone.embed_dim,
        network.backbone.depths,
        network.pixel_decoder.conv_width,
        network.pixel_decoder.encoder_layers,
        network.query_decoder.queries,
        network.query_decoder.layers,
        network.text_encoder.width,
        network.text_encoder.layers,
    ))?;
    for line in report.list.iter().flatten() {
        let mark = if line.used { ' ' } else { '-' };
        say(&format!("  {mark} {} {:?} {}", line.name, line.shape, line.element_type))?;
    }
    Ok(())
}
