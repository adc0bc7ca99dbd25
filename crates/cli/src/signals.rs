//! The signals that end a server or a long run.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use crate::output::complain;

/// The exit status of a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Completes on the first signal to stop; the second ends the program at once.
///
/// # Errors
/// When the system does not let signals be waited for.
pub fn stop() -> Result<impl Future<Output = ()>> {
    let mut signals = Signals::new().context("cannot wait for signals")?;
    Ok(async move {
        signals.next().await;
        tokio::spawn(async move {
            signals.next().await;
            std::process::exit(INTERRUPTED);
        });
    })
}

/// What turns true on the first signal to stop, with `word` to people; the second ends the program at once.
///
/// # Errors
/// When the system does not let signals be waited for.
pub fn stop_switch(word: &'static str) -> Result<Arc<AtomicBool>> {
    let switch = Arc::new(AtomicBool::new(false));
    let turned = switch.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stop = runtime.block_on(async { stop() })?;
    let wait = move || {
        runtime.block_on(async {
            stop.await;
            complain(word);
            turned.store(true, Ordering::Relaxed);
            std::future::pending::<()>().await;
        });
    };
    std::thread::Builder::new().name("signals".into()).spawn(wait)?;
    Ok(switch)
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn new() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) {
        let _ = self.0.recv().await;
    }
}
