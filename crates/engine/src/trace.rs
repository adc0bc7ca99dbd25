//! Windows into a run of the network: its stages for comparison, its times for measurement.

use std::time::{Duration, Instant};

use medparse_kernels::gemm::{Rows, RowsMut};

use crate::precision::Precision;

/// Receives the stages of a run, as the reference names them.
pub trait StageSink {
    /// Sees the values of the stage `name`, in the order of the reference's tensor.
    fn stage(&mut self, name: &str, values: &[f32]);

    /// Sees the attention mask of decoder layer `layer`, `[queries, positions]` with true for
    /// blocked, and may change it before it is used.
    fn cross_mask(&mut self, layer: usize, blocked: &mut [bool]) {
        let _ = (layer, blocked);
    }
}

/// What one part of the network took.
#[derive(Debug, Clone, PartialEq)]
pub struct PartTime {
    /// The part, as in `stage 3: depthwise context`.
    pub name: &'static str,
    /// From its start to its end.
    pub time: Duration,
    /// Multiplications and additions that were done.
    pub flop: u64,
    /// The format of its matrix products, where nearly all of it are such.
    pub products: Option<Precision>,
}

/// What a run shows of itself.
#[derive(Default)]
pub struct Trace<'a> {
    sink: Option<&'a mut dyn StageSink>,
    times: Option<&'a mut Vec<PartTime>>,
    /// Says whether nobody waits for the answer any more.
    stop: Option<&'a dyn Fn() -> bool>,
}

impl<'a> Trace<'a> {
    /// Shows nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// Hands every stage to `sink`; slower, since stages are computed that are not needed.
    pub fn stages(sink: &'a mut dyn StageSink) -> Self {
        Self { sink: Some(sink), ..Self::default() }
    }

    /// Adds up the times of the parts.
    pub fn times(times: &'a mut Vec<PartTime>) -> Self {
        Self { times: Some(times), ..Self::default() }
    }

    /// Shows nothing, and asks `stop` before each block of the backbone and each level of the pyramid
    /// whether the run is to end there.
    pub fn until(stop: &'a dyn Fn() -> bool) -> Self {
        Self { stop: Some(stop), ..Self::default() }
    }

    /// Whether the run is to end, what it has computed being of no use.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_some_and(|stop| stop())
    }

    /// Whether somebody looks at the stages.
    pub(crate) fn is_watched(&self) -> bool {
        self.sink.is_some()
    }

    /// A stage whose values lie as the reference's.
    pub(crate) fn stage(&mut self, name: impl FnOnce() -> String, values: &[f32]) {
        if let Some(sink) = &mut self.sink {
            sink.stage(&name(), values);
        }
    }

    /// A map of pixels with channels, which the reference has as channels of pixels.
    pub(crate) fn map(&mut self, name: impl FnOnce() -> String, rows: Rows<'_, f32>) {
        if let Some(sink) = &mut self.sink {
            let (pixels, channels) = (rows.rows(), rows.columns());
            let mut dense = vec![0.0; pixels * channels];
            rows.copy_to(RowsMut::row_major(&mut dense, pixels, channels));
            let turned: Vec<f32> =
                (0..dense.len()).map(|i| dense[i % pixels * channels + i / pixels]).collect();
            sink.stage(&name(), &turned);
        }
    }

    /// The attention mask of a layer of the decoder, which whoever watches may change.
    pub(crate) fn cross_mask(&mut self, layer: usize, blocked: &mut [bool]) {
        if let Some(sink) = &mut self.sink {
            sink.cross_mask(layer, blocked);
        }
    }

    /// Adds the time since `start`, and what was multiplied and added, to a part.
    pub fn took(&mut self, name: &'static str, start: Instant, flop: u64) {
        self.add(PartTime { name, time: start.elapsed(), flop, products: None });
    }

    /// As [`Trace::took`], of a part that is made of matrix products in a format.
    pub(crate) fn multiplied(
        &mut self,
        name: &'static str,
        start: Instant,
        flop: u64,
        format: Precision,
    ) {
        self.add(PartTime { name, time: start.elapsed(), flop, products: Some(format) });
    }

    fn add(&mut self, part: PartTime) {
        let Some(times) = &mut self.times else { return };
        match times.iter_mut().find(|known| known.name == part.name) {
            Some(known) => {
                known.time += part.time;
                known.flop += part.flop;
            }
            None => times.push(part),
        }
    }
}
