//! Times the kernels against the machine's own peak: `cargo bench -p medparse-kernels [-- NAME...]`.
//!
//! Every kernel runs many times for a short while; the median and the fastest run are shown, the latter as a share of
//! the peak measured just after. One thread is timed by its own clock, which other programs do not disturb; several
//! threads by the wall's. `MEDPARSE_ISA` picks the instruction set, `THREADS` (default 1) the threads.

mod attention;
mod context;
mod convolution;
mod elementwise;
mod products;

use std::time::{Duration, Instant};

use medparse_kernels::peak::{self, Format};
use medparse_kernels::{Cpu, Isa, Threads};
use rustix::time::{ClockId, clock_gettime};

/// What a kernel's time is compared with.
enum Work {
    /// Multiplications and additions, against the peak of this format.
    Flops(f64, Format),
    /// Bytes read and written, against the memory's bandwidth.
    Bytes(f64),
}

struct Bench {
    cpu: Cpu,
    filters: Vec<String>,
}

impl Bench {
    fn wants(&self, group: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| group.contains(filter.as_str()))
    }

    fn seconds(&self) -> f64 {
        let clock = if self.cpu.threads().count() == 1 {
            ClockId::ThreadCPUTime
        } else {
            ClockId::Monotonic
        };
        let time = clock_gettime(clock);
        time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
    }

    /// Times a kernel for about half a second.
    fn time(&self, name: &str, work: Work, mut run: impl FnMut()) {
        run();
        let mut times = Vec::new();
        let start = Instant::now();
        while times.len() < 5 || start.elapsed() < Duration::from_millis(500) && times.len() < 200 {
            let start = self.seconds();
            run();
            times.push(self.seconds() - start);
        }
        times.sort_by(f64::total_cmp);
        let (fastest, median) = (times[0], times[times.len() / 2]);
        let (speed, peak, unit) = match work {
            Work::Flops(flops, format) => {
                (flops / fastest / 1e9, peak::gflops(&self.cpu, format), "GFLOP/s")
            }
            Work::Bytes(bytes) => (bytes / fastest / 1e9, peak::memory_gbytes(&self.cpu), "GB/s"),
        };
        println!(
            "{name:<44} {:>9.3} ms (median {:>9.3})  {speed:>7.1} {unit:<7} {:>5.1} % of {peak:.0}",
            fastest * 1e3,
            median * 1e3,
            100.0 * speed / peak
        );
    }
}

fn main() {
    let filters = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let threads = std::env::var("THREADS").ok().and_then(|count| count.parse().ok()).unwrap_or(1);
    let bench = Bench { cpu: Cpu::new(Isa::chosen(), Threads::new(threads)), filters };
    println!("{} on {threads} thread(s)", bench.cpu.isa());
    attention::run(&bench);
    convolution::run(&bench);
    context::run(&bench);
    elementwise::run(&bench);
    products::run(&bench);
}

/// Numbers in -1..1.
fn numbers(len: usize) -> Vec<f32> {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}
