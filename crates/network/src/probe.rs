//! A window into the forward pass: every named stage, as the reference names it.

use burn::tensor::{Bool, Tensor, TensorData};

/// Receives the stages of a forward pass.
pub trait StageSink {
    /// Sees the values of the stage `name`, in C order.
    fn stage(&mut self, name: &str, values: TensorData);

    /// Sees the attention mask of decoder layer `layer`, `[batch, queries, positions]` with true
    /// for blocked, and answers the mask to go on with.
    fn cross_mask(&mut self, layer: usize, blocked: Tensor<3, Bool>) -> Tensor<3, Bool> {
        let _ = layer;
        blocked
    }
}

/// A [`StageSink`], or nothing; passed down the forward pass.
pub struct Probe<'a> {
    sink: Option<&'a mut dyn StageSink>,
}

impl<'a> Probe<'a> {
    /// A probe that sees nothing and costs nothing.
    pub fn none() -> Self {
        Self { sink: None }
    }

    /// A probe that hands every stage to `sink`.
    pub fn new(sink: &'a mut dyn StageSink) -> Self {
        Self { sink: Some(sink) }
    }

    pub(crate) fn stage<const D: usize>(
        &mut self,
        name: impl FnOnce() -> String,
        tensor: &Tensor<D>,
    ) {
        if let Some(sink) = &mut self.sink {
            sink.stage(&name(), tensor.to_data());
        }
    }

    pub(crate) fn cross_mask(&mut self, layer: usize, blocked: Tensor<3, Bool>) -> Tensor<3, Bool> {
        match &mut self.sink {
            Some(sink) => sink.cross_mask(layer, blocked),
            None => blocked,
        }
    }
}
