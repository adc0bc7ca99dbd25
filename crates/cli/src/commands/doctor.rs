//! `medparse doctor`: what this machine can do, what a picture will take on it, and what to change.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use medparse::device::Processor;
use medparse::{Model, Precision, Prompt, Provenance};
use medparse_imaging::procedural;
use medparse_kernels::Isa;
use serde::Serialize;
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

use crate::model_options::ModelOptions;
use crate::output::{bytes, say, say_json};
use crate::progress;

/// Memory that one request of a model takes beside its weights, in bytes for each pixel of its square:
/// measured with the published sizes at 1024 × 1024 (docs/benchmarks.md).
const REQUEST_BYTES_A_PIXEL: u64 = 1_000;

/// A picture that takes longer than this is worth advice, in seconds.
const SLOW_SECONDS: f64 = 1.0;

/// How much faster products must be for a narrower format to be worth it.
const WORTHWHILE: f64 = 1.5;

/// Say what this machine can do, what a picture will take, and what to change.
///
/// Loads the model as every other verb would, asks it about a procedural picture of its own size, and
/// looks at the processor, the memory and the settings. The status is 1 where something would keep
/// medparse from working well.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  medparse doctor\n  medparse doctor --model biomedparse_v1.pt --precision bf16 --json"
)]
pub struct Arguments {
    #[command(flatten)]
    model: ModelOptions,
    /// One line of JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    version: &'static str,
    system: String,
    processor: String,
    /// Physical cores, where the system tells them.
    cores: Option<usize>,
    /// Threads that compute.
    threads: usize,
    /// Instruction sets, the best first.
    instructions: Vec<&'static str>,
    /// Products on all threads, in thousand millions of multiplications and additions a second; absent where something
    /// else than this machine's processor computes.
    gflops: Option<Gflops>,
    /// What computes, as `--device` names it.
    device: &'static str,
    /// What this program was built to compute on.
    devices: Vec<&'static str>,
    memory_bytes: u64,
    memory_free_bytes: u64,
    model: String,
    precision: &'static str,
    image_size: usize,
    /// Until the model could be asked.
    loading_seconds: f64,
    /// One picture of the model's size with one phrase.
    picture_seconds: f64,
    /// A further phrase for the same picture.
    question_seconds: f64,
    findings: Vec<Finding>,
}

/// The measured peak of each format.
#[derive(Debug, Serialize)]
struct Gflops {
    f32: f64,
    bf16: f64,
    int8: f64,
}

impl Gflops {
    fn of(model: &Model) -> Result<Self> {
        let machine = model.measure_machine()?;
        Ok(Self { f32: machine.f32_gflops, bf16: machine.bf16_gflops, int8: machine.int8_gflops })
    }
}

/// Something to know or to change.
#[derive(Debug, Serialize)]
struct Finding {
    /// Whether it keeps medparse from working well.
    serious: bool,
    text: String,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let kinds = RefreshKind::nothing()
        .with_cpu(CpuRefreshKind::nothing())
        .with_memory(MemoryRefreshKind::everything());
    let system = System::new_with_specifics(kinds);
    let started = Instant::now();
    let model = arguments.model.load()?;
    let loading = started.elapsed().as_secs_f64();
    let line = progress::spinner("asking about a picture");
    let times = Times::of(&model)?;
    let device = arguments.model.device();
    let gflops = (device == Processor::Cpu).then(|| Gflops::of(&model)).transpose()?;
    line.finish_and_clear();
    let isa = Isa::chosen();
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION"),
        system: System::long_os_version().unwrap_or_else(|| std::env::consts::OS.into()),
        processor: processor(&system),
        cores: System::physical_core_count(),
        threads: rayon::current_num_threads(),
        instructions: Isa::available().into_iter().rev().map(Isa::name).collect(),
        gflops,
        device: device.name(),
        devices: Processor::ALL
            .into_iter()
            .filter(|processor| processor.is_built())
            .map(Processor::name)
            .collect(),
        memory_bytes: system.total_memory(),
        memory_free_bytes: system.available_memory(),
        model: model.card().name.clone(),
        precision: model.precision().name(),
        image_size: model.network().image_size,
        loading_seconds: loading,
        picture_seconds: times.picture,
        question_seconds: times.question,
        findings: Vec::new(),
    };
    report.findings = findings(&report, &model, isa);
    if arguments.json {
        say_json(&report)?
    } else {
        say(&report.table())?
    }
    let well = report.findings.iter().all(|finding| !finding.serious);
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Seconds of a picture, and of a further question.
struct Times {
    picture: f64,
    question: f64,
}

impl Times {
    /// The second of two requests: the first one takes the memory that later ones use again.
    fn of(model: &Model) -> Result<Self> {
        let side = model.network().image_size as u32;
        let picture = procedural::cells(side, side, 1)?.picture;
        let prompts = [Prompt::new("nuclei")?];
        let options = medparse::SegmentOptions::default();
        model.segment(&picture, &prompts)?;
        let started = Instant::now();
        let encoded = model.encode(&picture)?;
        let encoding = started.elapsed().as_secs_f64();
        let started = Instant::now();
        model.ask(&encoded, &prompts, &options)?;
        let question = started.elapsed().as_secs_f64();
        Ok(Self { picture: encoding + question, question })
    }
}

fn processor(system: &System) -> String {
    let name = system.cpus().first().map(|cpu| cpu.brand().trim().to_owned());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| std::env::consts::ARCH.into())
}

/// What to know and to change.
fn findings(report: &Report, model: &Model, isa: Isa) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut add = |serious, text: String| found.push(Finding { serious, text });
    if model.card().weights != Provenance::Trained {
        add(
            true,
            "the model is untrained: its masks mean nothing; name a trained one with --model"
                .into(),
        );
    }
    if report.gflops.is_some() && isa == Isa::PORTABLE {
        add(
            false,
            "this processor has neither AVX2 nor AVX-512 (or MEDPARSE_ISA says portable): pictures take \
             many times as long as on one that has"
                .into(),
        );
    }
    if let Some(measured) = &report.gflops
        && model.precision() == Precision::F32
        && report.picture_seconds > SLOW_SECONDS
    {
        let faster = |gflops: f64| gflops / measured.f32;
        let formats = [("bf16", measured.bf16), ("int8", measured.int8)];
        let worthwhile = formats.iter().find(|(_, gflops)| faster(*gflops) >= WORTHWHILE);
        if let Some((name, gflops)) = worthwhile {
            add(
                false,
                format!(
                    "this processor multiplies {name} {:.1} times as fast as f32: --precision {name} answers \
                     sooner, with nearly the same masks (docs/engine.md)",
                    faster(*gflops)
                ),
            );
        }
    }
    let side = report.image_size as u64;
    let request = side * side * REQUEST_BYTES_A_PIXEL;
    if report.memory_free_bytes < request {
        add(
            true,
            format!(
                "{} of memory are free, and a request of this model takes about {}: close other programs, \
                 or use --precision int8",
                bytes(report.memory_free_bytes),
                bytes(request)
            ),
        );
    }
    if let Some(cores) = report.cores
        && report.threads > cores
    {
        add(
            false,
            format!(
                "{} threads share {cores} cores: --threads {cores} is usually faster",
                report.threads
            ),
        );
    }
    if cfg!(debug_assertions) {
        add(true, "this is a debug build, many times slower: build with --release".into());
    }
    found
}

impl Report {
    fn table(&self) -> String {
        let cores = self.cores.map_or_else(|| "?".to_owned(), |cores| cores.to_string());
        let products = self.gflops.as_ref().map_or_else(String::new, |gflops| {
            format!(
                "  products    {:.0} GFLOP/s in f32, {:.0} in bf16, {:.0} in int8\n",
                gflops.f32, gflops.bf16, gflops.int8
            )
        });
        let mut text = format!(
            "medparse {}, {}\n  processor   {}, {cores} cores, {} threads\n  instructions {}\n{products}  \
             device      {} (this build has {})\n  memory      {}, {} free\n  model       {}, {}, {} × {}\n  loading     {:.2} s\n  \
             a picture   {:.2} s; a further phrase {:.3} s",
            self.version,
            self.system,
            self.processor,
            self.threads,
            self.instructions.join(", "),
            self.device,
            self.devices.join(", "),
            bytes(self.memory_bytes),
            bytes(self.memory_free_bytes),
            self.model,
            self.precision,
            self.image_size,
            self.image_size,
            self.loading_seconds,
            self.picture_seconds,
            self.question_seconds,
        );
        if self.findings.is_empty() {
            text.push_str("\nnothing to change");
        }
        for finding in &self.findings {
            let _ = write!(
                text,
                "\n{}: {}",
                if finding.serious { "problem" } else { "advice" },
                finding.text
            );
        }
        text
    }
}
