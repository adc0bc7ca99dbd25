//! `parity`: holds the network, in burn and as the engine's plan, against golden runs of the reference and writes the verdicts.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use medparse::device::Processor;
use medparse::runtime::{BurnRuntime, Runtime};
use medparse_engine::{Engine, EngineOptions, Precision};
use medparse_imaging::Picture;
use medparse_network::{Network, NetworkConfig};
use medparse_parity::compare::Outcome;
use medparse_parity::golden::{GoldenCase, read_floors};
use medparse_parity::report::CaseReport;
use medparse_parity::suite::Subject;
use medparse_weights::deterministic;

/// Compares the full-size network with golden runs of the reference, stage by stage.
///
/// The network is filled with the deterministic weights that the golden runs were made with.
#[derive(Parser)]
struct Arguments {
    /// Folder with `case_*.json`, `case_*.safetensors` and the pictures.
    #[arg(long, env = "MEDPARSE_GOLDEN_DIR", default_value = "../shared/golden/full")]
    golden: PathBuf,
    /// Cases to run.
    #[arg(long, value_delimiter = ',', default_value = "a,a1,b,c,d")]
    cases: Vec<String>,
    /// What computes the network: the engine, burn, or both.
    #[arg(long, value_delimiter = ',', default_value = "engine,burn")]
    runtimes: Vec<RuntimeKind>,
    /// What burn computes on: cpu, or a graphics processor that this program was built with.
    #[arg(long, default_value_t)]
    device: Processor,
    /// Write the verdicts to this page.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Compute in this precision on the engine instead, and write each stage's error to the JSON of --errors: no
    /// verdict, since less than f32 is not meant to be equal.
    #[arg(long, requires = "errors")]
    precision: Option<Precision>,
    /// Where the errors of --precision go.
    #[arg(long, value_name = "FILE", requires = "precision")]
    errors: Option<PathBuf>,
}

/// A way to compute the network.
#[derive(Clone, Copy, ValueEnum)]
enum RuntimeKind {
    /// The fused plan for processors.
    Engine,
    /// The network in burn.
    Burn,
}

impl std::fmt::Display for RuntimeKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Engine => "engine",
            Self::Burn => "burn",
        })
    }
}

impl RuntimeKind {
    /// The network, filled with deterministic weights; burn computes in f32 whatever the precision, the engine on the
    /// processor whatever the device.
    fn filled(
        self,
        config: &NetworkConfig,
        precision: Precision,
        device: Processor,
    ) -> Result<Runtime> {
        let values = |key: &str, shape: &[usize]| {
            Ok::<_, std::convert::Infallible>(deterministic::values(key, shape))
        };
        let runtime = match self {
            Self::Engine => {
                let options = EngineOptions { precision, ..EngineOptions::default() };
                Engine::filled(config, &options, values).map(Runtime::from)
            }
            Self::Burn => {
                let device = device.device()?;
                Network::filled(config, &device, values)
                    .map(|network| BurnRuntime::new(network, device).into())
            }
        };
        let Ok(runtime) = runtime;
        Ok(runtime)
    }
}

/// The picture of each golden case, and those that share one.
const PICTURES: [(&str, &str); 5] = [
    ("a", "Part_1_516_pathology_breast.png"),
    ("a1", "Part_1_516_pathology_breast.png"),
    ("b", "Part_1_516_pathology_breast.png"),
    ("c", "06_CT_abdomen.png"),
    ("d", "covid_1585.png"),
];

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let floors = read_floors(&arguments.golden)?;
    let config = NetworkConfig::biomedparse_v1();
    let mut reports = Vec::new();
    let precision = arguments.precision.unwrap_or_default();
    let runtimes = match arguments.precision {
        Some(_) => &[RuntimeKind::Engine][..],
        None => &arguments.runtimes,
    };
    for kind in runtimes {
        say(&format!("{kind}: filling the network with deterministic weights"))?;
        let runtime = kind.filled(&config, precision, arguments.device)?;
        say(&format!("{kind}: computing the class bank"))?;
        let subject = Subject::new(runtime, config.clone());
        for case in &arguments.cases {
            let Some((_, picture)) = PICTURES.iter().find(|(name, _)| name == case) else {
                bail!("no golden case {case:?}; there are {:?}", PICTURES.map(|(name, _)| name));
            };
            let golden = GoldenCase::read(&arguments.golden, &format!("case_{case}"))?;
            let path = arguments.golden.join(picture);
            let picture =
                Picture::open(&path).with_context(|| format!("reading {}", path.display()))?;
            let seen = subject.see(&picture, &golden, &floors);
            let rows = subject.ask(&seen, &golden, &floors)?;
            let name = format!("full {case}, {kind}");
            let report = CaseReport { name, prompts: golden.prompts, rows };
            say(&report.summary())?;
            for row in report.failures() {
                say(&format!("  {}: {:?}", row.stage, row.outcome))?;
            }
            reports.push(report);
        }
    }
    if let Some(path) = &arguments.errors {
        let errors =
            serde_json::json!({ "precision": precision.name(), "cases": errors(&reports) });
        medparse_imaging::write_atomic(path, errors.to_string().as_bytes())?;
        return say(&format!("wrote {}", path.display()));
    }
    if let Some(path) = &arguments.write {
        write_page(path, &reports)?;
        say(&format!("wrote {}", path.display()))?;
    }
    if reports.iter().any(|report| report.failures().next().is_some()) {
        bail!("some stages differ");
    }
    Ok(())
}

/// Each stage's error of each case: root mean square, relative, and the largest.
fn errors(reports: &[CaseReport]) -> Vec<serde_json::Value> {
    let case = |report: &CaseReport| {
        let stages = report.rows.iter().filter_map(|row| match &row.outcome {
            Outcome::Close { rms_rel, max_abs, .. } => {
                Some((row.stage.clone(), serde_json::json!([rms_rel, max_abs])))
            }
            Outcome::Exact { different, count }
            | Outcome::Bits { flipped: different, count, .. } => Some((
                row.stage.clone(),
                serde_json::json!({ "different": different, "of": count }),
            )),
            Outcome::Misshapen { .. } | Outcome::Absent => None,
        });
        let stages: serde_json::Map<_, _> = stages.collect();
        serde_json::json!({ "case": report.name, "stages": stages })
    };
    reports.iter().map(case).collect()
}

fn say(line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{line}").context("writing to standard output")
}

fn write_page(path: &Path, reports: &[CaseReport]) -> Result<()> {
    let mut page = String::from(
        "# Parity with the reference\n\n\
         Written by `cargo run --release -p medparse-parity -- --write docs/parity.md`; do not edit.\n\n\
         Each stage of the network, filled with deterministic weights, beside the reference's own \
         run of the same weights. A *floor* is the reference's rounding: its f32 run against its \
         f64 run. Up to 10 floors count as equal: another order of summation rounds differently by \
         the same amount, and rounding adds up along the network. A bit of an attention mask may \
         flip where its logit lies within that distance of the threshold; the reference's mask is \
         then fed on, so that what follows is compared for itself. Masks may differ on pixels \
         whose probability lies within 1e-4 of one half.\n\n",
    );
    for report in reports {
        page.push_str(&format!("- {}\n", report.summary()));
    }
    for report in reports {
        page.push_str(&report.markdown());
    }
    medparse_imaging::write_atomic(path, page.as_bytes())?;
    Ok(())
}
