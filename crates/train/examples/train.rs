//! Runs a training that a YAML file describes: `train CONFIG.yaml [STEPS]`.

use std::path::Path;

use medparse_train::{Control, Event, TrainConfig, Trainer};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[expect(clippy::print_stdout, reason = "a program for the terminal")]
fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path =
        arguments.next().ok_or_else(|| anyhow::anyhow!("usage: train CONFIG.yaml [STEPS]"))?;
    let most: u64 = arguments.next().map_or(Ok(u64::MAX), |steps| steps.parse())?;
    let mut trainer = Trainer::new(TrainConfig::read(Path::new(&path))?)?;
    println!("step {} of {}", trainer.next_step(), trainer.total_steps());
    let mut made = 0;
    trainer.run(&mut |event| {
        match event {
            Event::Step(report) => {
                made += 1;
                let terms = report.terms;
                println!(
                    "{:6} loss {:.4} mask {:.4} dice {:.4} similarity {:.4} category {:.4} presence {:.4} found {:.2} norm {:.2} lr {:.2e} times {:.2?}",
                    report.step, terms.total, terms.mask, terms.dice, terms.similarity,
                    terms.category, terms.presence, terms.found, report.gradient_norm,
                    report.learning_rate, report.times
                );
            }
            Event::Evaluated(validation, _) => {
                println!("validation dice {:.4}", validation.dice);
                for (target, seen) in &validation.targets {
                    println!("  {target}: n {} dice {:.4} presence {:?}", seen.n, seen.dice, seen.presence);
                }
            }
            Event::Saved(path) => println!("saved {}", path.display()),
            Event::Measuring(..) => {}
            Event::Finished(report) => report.iter().for_each(|report| println!("{report}")),
        }
        if made >= most { Control::Stop } else { Control::Continue }
    })?;
    Ok(())
}
