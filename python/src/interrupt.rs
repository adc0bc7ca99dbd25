//! Ctrl-C while the model computes.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

/// How often Python's signal handlers get their turn: each needs the interpreter for a moment.
pub const EVERY: Duration = Duration::from_millis(50);

/// Whether a signal's handler raised an exception, such as `KeyboardInterrupt`.
pub struct Interrupt {
    is_raised: AtomicBool,
    raised: Mutex<Option<PyErr>>,
    looked: Mutex<Instant>,
}

impl Interrupt {
    pub fn new() -> Self {
        Self {
            is_raised: AtomicBool::new(false),
            raised: Mutex::new(None),
            looked: Mutex::new(Instant::now()),
        }
    }

    /// What the handlers said so far.
    pub fn is_raised(&self) -> bool {
        self.is_raised.load(Ordering::Relaxed)
    }

    /// Lets the handlers run, unless they just did. Python runs them on its main thread alone: on another this does
    /// nothing.
    pub fn look(&self) -> bool {
        if let Ok(mut looked) = self.looked.try_lock()
            && looked.elapsed() >= EVERY
            && !self.is_raised()
        {
            if let Err(error) = Python::attach(|py| py.check_signals()) {
                self.is_raised.store(true, Ordering::Relaxed);
                if let Ok(mut raised) = self.raised.lock() {
                    *raised = Some(error);
                }
            }
            *looked = Instant::now();
        }
        self.is_raised()
    }

    /// The exception, if there was one.
    pub fn into_result(self) -> PyResult<()> {
        match self.raised.into_inner() {
            Ok(Some(error)) => Err(error),
            _ => Ok(()),
        }
    }
}
