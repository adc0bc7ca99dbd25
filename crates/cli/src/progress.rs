//! What is going on, on standard error and only on a terminal.

use std::fmt::Write;
use std::time::Duration;

use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use medparse::LoadStep;
use medparse::sources::hub;

/// How often a line moves while nothing is counted.
const TICK: Duration = Duration::from_millis(120);

/// A line that says what is being waited for.
pub fn spinner(message: impl Into<String>) -> ProgressBar {
    let bar = still_spinner(message);
    bar.enable_steady_tick(TICK);
    bar
}

/// A line that is not drawn yet.
fn still_spinner(message: impl Into<String>) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_style(style("{spinner} {wide_msg} {elapsed}"));
    bar.set_message(message.into());
    bar
}

/// A bar over the `count` parts of one input, such as slices, under the bar over the inputs.
pub fn parts(pictures: &Pictures, name: &str, count: usize) -> ProgressBar {
    let template = format!("{{spinner}} {{bar:30}} {name} {{pos}}/{{len}} {{elapsed}}{{left}}");
    let bar = ProgressBar::new(count as u64).with_style(with_time_left(&template));
    let bar = pictures.lines.add(bar);
    bar.enable_steady_tick(TICK);
    bar
}

/// A bar over pictures, and the lines under it.
pub struct Pictures {
    /// The bar itself.
    pub bar: ProgressBar,
    lines: MultiProgress,
}

impl Pictures {
    /// A bar over `count` pictures.
    pub fn new(count: usize) -> Self {
        let lines = MultiProgress::new();
        let bar = lines.add(ProgressBar::new(count as u64).with_style(with_time_left(PICTURES)));
        bar.enable_steady_tick(TICK);
        Self { bar, lines }
    }

    /// Takes the lines away while something else is written.
    pub fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.lines.suspend(write)
    }
}

/// A bar over `count` pictures.
pub fn pictures(count: usize) -> ProgressBar {
    let bar = ProgressBar::new(count as u64).with_style(with_time_left(PICTURES));
    bar.enable_steady_tick(TICK);
    bar
}

const PICTURES: &str = "{spinner} {bar:30} {pos}/{len} {wide_msg} {elapsed}{left}";

fn with_time_left(template: &str) -> ProgressStyle {
    style(template).with_key("left", |state: &ProgressState, out: &mut dyn Write| {
        // Before the first one is done nobody knows.
        if state.pos() > 0 {
            let _ = write!(out, ", {} left", HumanDuration(state.eta()));
        }
    })
}

/// A bar over the steps of a training, of which `made` are made already.
pub fn steps(made: u64, count: u64) -> ProgressBar {
    let bar = pictures(count as usize);
    bar.set_position(made);
    bar.reset_eta();
    bar
}

/// A bar over bytes.
pub fn transfer() -> ProgressBar {
    let template = "{spinner} {wide_msg} {bar:30} {decimal_bytes}/{decimal_total_bytes} {eta} left";
    ProgressBar::new(0).with_style(style(template))
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("a valid template")
}

/// Shows the loading of a model and takes the lines away when dropped.
pub struct Loading {
    line: ProgressBar,
    download: Option<ProgressBar>,
    lines: MultiProgress,
}

impl Loading {
    /// Shows that `what` is being loaded.
    pub fn new(what: &str) -> Self {
        let lines = MultiProgress::new();
        let line = lines.add(still_spinner(format!("loading {what}")));
        line.enable_steady_tick(TICK);
        Self { line, download: None, lines }
    }

    /// Shows one step.
    pub fn show(&mut self, step: LoadStep<'_>) {
        match step {
            LoadStep::ClassBank(done, total) => {
                self.line.set_message(format!("computing the class bank, {done} of {total}"));
            }
            LoadStep::Fetching(step) => self.fetching(step),
            _ => {}
        }
    }

    /// Shows a step of a download.
    pub fn fetching(&mut self, step: hub::Progress<'_>) {
        let bar = self.download.get_or_insert_with(|| self.lines.add(transfer()));
        match step {
            hub::Progress::Started { file, size, resumed } => {
                bar.set_message(file.to_owned());
                bar.set_length(size);
                bar.set_position(resumed);
            }
            hub::Progress::Received { received, .. } => bar.set_position(received),
            hub::Progress::Retrying { reason, .. } => bar.set_message(format!("again: {reason}")),
            hub::Progress::Waiting { file } => {
                bar.set_message(format!("another program fetches {file}"));
            }
            _ => bar.finish_and_clear(),
        }
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        if let Some(bar) = &self.download {
            bar.finish_and_clear();
        }
        self.line.finish_and_clear();
    }
}
