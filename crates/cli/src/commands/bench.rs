//! `medparse bench`: how long each part of a request takes on this machine, and what part of the
//! machine's own peak that is.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use medparse::measure::{Machine, Measurement};
use medparse::{Model, Precision, Prompt};
use medparse_imaging::{Picture, procedural};
use serde::Serialize;

use crate::model_options::ModelOptions;
use crate::output::{bytes, say, say_json};

/// Measure each part of a request on this machine.
///
/// One request warms up; then each part's median over the repeats is told: how long it took, how
/// much it multiplied and added, how fast that was, and what share of this machine's own peak, which
/// is measured first. Nothing else should run meanwhile. Fails where a part would run on plain code
/// instead of this processor's instructions.
#[derive(Args)]
#[command(
    after_help = "Example:\n  medparse bench --model biomedparse_v1.pt --precision bf16 --threads 2"
)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelOptions,
    /// What to look for, `&` between phrases.
    #[arg(short, long, default_value = "neoplastic cells & inflammatory cells")]
    prompt: String,
    /// A picture to measure with; by default a procedural one of the model's own size.
    #[arg(long, value_name = "FILE")]
    image: Option<std::path::PathBuf>,
    /// Requests that are measured.
    #[arg(long, default_value = "3", value_name = "N")]
    repeats: std::num::NonZeroUsize,
    /// One line of JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    model: String,
    precision: &'static str,
    instructions: &'static str,
    threads: usize,
    image_size: usize,
    prompts: usize,
    repeats: usize,
    peak_gflops: Peak,
    memory_gbytes: f64,
    parts: Vec<Part>,
    /// From the pixels to the encoded picture.
    encoding_ms: f64,
    /// From the phrases to their masks, the picture encoded already.
    asking_ms: f64,
    request_ms: f64,
    /// The most memory that the process has held; null where the system does not say.
    peak_memory_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Peak {
    f32: f64,
    bf16: f64,
    int8: f64,
}

/// A part of a request.
#[derive(Debug, Serialize)]
struct Part {
    name: &'static str,
    ms: f64,
    gflop: f64,
    gflops: f64,
    /// The format of its products; null where products are not most of it.
    products: Option<&'static str>,
    /// Of the peak of that format, 0..=1.
    share_of_peak: Option<f64>,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let prompts = Prompt::split(&arguments.prompt).context("--prompt")?;
    let model = arguments.model.load()?;
    let side = model.network().image_size;
    let picture = match &arguments.image {
        Some(path) => Picture::open(path)?,
        None => procedural::cells(side as u32, side as u32, 1)?.picture,
    };
    let machine = model.measure_machine()?;
    model.measure(&picture, &prompts)?;
    let runs = (0..arguments.repeats.get()).map(|_| Ok(model.measure(&picture, &prompts)?));
    let runs = runs.collect::<Result<Vec<_>>>()?;
    let report = Report::new(&model, &machine, &runs, prompts.len());
    if arguments.json {
        say_json(&report)?
    } else {
        say(&report.table())?
    }
    Ok(ExitCode::SUCCESS)
}

impl Report {
    fn new(model: &Model, machine: &Machine, runs: &[Measurement], prompts: usize) -> Self {
        let first = runs.first().map_or(&[][..], |run| &run.parts[..]);
        let parts = first.iter().enumerate().map(|(index, part)| {
            let ms = median(runs.iter().filter_map(|run| Some(run.parts.get(index)?.time)));
            let gflop = part.flop as f64 / 1e9;
            let gflops = gflop / (ms / 1e3);
            Part {
                name: part.name,
                ms,
                gflop,
                gflops,
                products: part.products.map(Precision::name),
                share_of_peak: part.products.map(|format| gflops / machine.gflops(format)),
            }
        });
        Self {
            model: model.card().name.clone(),
            precision: model.precision().name(),
            instructions: machine.instructions,
            threads: machine.threads,
            image_size: model.network().image_size,
            prompts,
            repeats: runs.len(),
            peak_gflops: Peak {
                f32: machine.f32_gflops,
                bf16: machine.bf16_gflops,
                int8: machine.int8_gflops,
            },
            memory_gbytes: machine.memory_gbytes,
            parts: parts.collect(),
            encoding_ms: median(runs.iter().map(|run| run.encoding)),
            asking_ms: median(runs.iter().map(|run| run.asking)),
            request_ms: median(runs.iter().map(|run| run.encoding + run.asking)),
            peak_memory_bytes: peak_memory(),
        }
    }

    fn table(&self) -> String {
        let mut text = format!(
            "{}, {} px, {} phrases, in {} on {} threads ({})\n",
            self.model,
            self.image_size,
            self.prompts,
            self.precision,
            self.threads,
            self.instructions
        );
        let Peak { f32, bf16, int8 } = &self.peak_gflops;
        let _ = writeln!(
            text,
            "peak: {f32:.0} GFLOP/s f32, {bf16:.0} bf16, {int8:.0} int8; memory {:.1} GB/s\n",
            self.memory_gbytes
        );
        let _ = writeln!(
            text,
            "{:<38} {:>10} {:>9} {:>9} {:>8}",
            "part", "ms", "GFLOP", "GFLOP/s", "of peak"
        );
        for part in &self.parts {
            let share = part.share_of_peak.map(|share| format!("{:.0} %", 100.0 * share));
            let [gflop, gflops] = match part.gflop {
                0.0 => ["".into(), "".into()],
                _ => [format!("{:.2}", part.gflop), format!("{:.1}", part.gflops)],
            };
            let _ = writeln!(
                text,
                "{:<38} {:>10.2} {gflop:>9} {gflops:>9} {:>8}",
                part.name,
                part.ms,
                share.unwrap_or_default()
            );
        }
        for (name, ms) in [
            ("the picture, once", self.encoding_ms),
            ("a question", self.asking_ms),
            ("the whole request", self.request_ms),
        ] {
            let _ = write!(text, "\n{name:<38} {ms:>10.2}");
        }
        if let Some(memory) = self.peak_memory_bytes {
            let _ = write!(text, "\n{:<38} {:>10}", "the most memory", bytes(memory));
        }
        text
    }
}

/// The middle one in milliseconds, or the mean of the middle two.
fn median(times: impl Iterator<Item = Duration>) -> f64 {
    let mut times: Vec<f64> = times.map(|time| time.as_secs_f64() * 1e3).collect();
    times.sort_by(f64::total_cmp);
    let middle = times.len() / 2;
    match times.len() {
        0 => 0.0,
        count if count % 2 == 1 => times[middle],
        _ => (times[middle - 1] + times[middle]) / 2.0,
    }
}

/// What Linux says of this process's peak.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        let of = |times: &[u64]| median(times.iter().map(|&ms| Duration::from_millis(ms)));
        assert_eq!([of(&[]), of(&[3]), of(&[9, 1, 5]), of(&[4, 1, 2, 9])], [0.0, 3.0, 5.0, 3.0]);
    }
}
