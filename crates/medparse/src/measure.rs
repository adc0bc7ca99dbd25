//! How long each part of a request takes on this machine.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use medparse_engine::peak::{self, Format};
use medparse_engine::{Engine, Isa, PartTime, Precision, Trace};
use medparse_imaging::Picture;

use crate::model::{Model, SegmentError};
use crate::prompts::Prompt;
use crate::runtime::Runtime;
use crate::segmentation::SegmentOptions;

/// One request, part by part.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// In the order in which they ran.
    pub parts: Vec<PartTime>,
    /// From the pixels to the encoded picture.
    pub encoding: Duration,
    /// From the phrases to their masks, the picture encoded already.
    pub asking: Duration,
}

/// What this machine can do at most, with the instructions and threads that the model uses.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    /// The instruction set.
    pub instructions: &'static str,
    /// The threads.
    pub threads: usize,
    /// Multiplications and additions a second, in units of 10^9.
    pub f32_gflops: f64,
    /// As `f32_gflops`, of bfloat16 products.
    pub bf16_gflops: f64,
    /// As `f32_gflops`, of byte products.
    pub int8_gflops: f64,
    /// Bytes read from main memory a second, in units of 10^9.
    pub memory_gbytes: f64,
}

/// Why there is nothing to measure.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// The engine does not compute it.
    #[error("only what this machine's processor computes can be measured part by part")]
    NotTheProcessor,
    /// The products ran on plain code.
    #[error(
        "the instructions in use ({instructions}) are the reference path, whose speed says nothing; this processor \
         has {}",
        Isa::best()
    )]
    ReferencePath {
        /// The instruction set.
        instructions: &'static str,
    },
    /// The picture or the phrases can't be used.
    #[error(transparent)]
    Segment(#[from] SegmentError),
}

impl Machine {
    /// The most it can do in a format.
    pub fn gflops(&self, format: Precision) -> f64 {
        match format {
            Precision::F32 => self.f32_gflops,
            Precision::Bf16 => self.bf16_gflops,
            Precision::Int8 => self.int8_gflops,
        }
    }
}

impl Model {
    fn engine(&self) -> Result<&Engine, MeasureError> {
        match self.runtime() {
            Runtime::Engine(engine) => Ok(engine),
            Runtime::Burn(_) => Err(MeasureError::NotTheProcessor),
        }
    }

    /// Measures the machine, as this model uses it; takes half a second.
    ///
    /// # Errors
    /// When another processor computes the model.
    pub fn measure_machine(&self) -> Result<Machine, MeasureError> {
        let cpu = self.engine()?.cpu();
        Ok(Machine {
            instructions: cpu.isa().name(),
            threads: cpu.threads().count(),
            f32_gflops: peak::gflops(cpu, Format::F32),
            bf16_gflops: peak::gflops(cpu, Format::Bf16),
            int8_gflops: peak::gflops(cpu, Format::Int8),
            memory_gbytes: peak::memory_gbytes(cpu),
        })
    }

    /// Answers one request and says what took how long.
    ///
    /// # Errors
    /// When another processor computes the model, when a part would run on plain code instead of
    /// this processor's instructions, or when the picture or the phrases can't be used.
    pub fn measure(
        &self,
        picture: &Picture,
        prompts: &[Prompt],
    ) -> Result<Measurement, MeasureError> {
        let isa = self.engine()?.cpu().isa();
        if isa == Isa::PORTABLE {
            return Err(MeasureError::ReferencePath { instructions: isa.name() });
        }
        if prompts.is_empty() {
            return Err(SegmentError::NoPrompt.into());
        }
        let mut parts = Vec::new();
        let start = Instant::now();
        let encoded = self.encode_traced(picture, self.fit(), &mut Trace::times(&mut parts))?;
        let encoding = start.elapsed();
        let start = Instant::now();
        let options = SegmentOptions::default();
        let answer = &mut |_| ControlFlow::Continue(());
        let _ = self.ask_together(
            &encoded,
            prompts,
            &options,
            (answer, &mut Trace::times(&mut parts)),
        )?;
        let asking = start.elapsed();
        Ok(Measurement { parts, encoding, asking })
    }
}
