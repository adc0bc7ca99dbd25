//! Strict loading of a network's weights, and their way back into a checkpoint.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor, TensorData};
use medparse_config::{LoadError, Mismatch, NetworkConfig};
use medparse_weights::{Checkpoint, FloatType, TensorSource};

use crate::keys::{Layout, ModulePath};
use crate::network::Network;

impl Network {
    /// Fills a network of this configuration from a checkpoint, reading no tensor it does not
    /// need.
    ///
    /// # Errors
    /// When a key is missing, misshapen or unknown, or when the file can't be read.
    pub fn load(
        config: &NetworkConfig,
        checkpoint: &Checkpoint,
        device: &Device,
    ) -> Result<Self, LoadError> {
        let report = Mismatch::between(config, checkpoint);
        if !report.is_empty() {
            let path = checkpoint.path().display().to_string();
            return Err(LoadError::Mismatch { path, report });
        }
        let network = Self::filled(config, device, |key, _| checkpoint.require(key)?.read_f32())?;
        Ok(network)
    }

    /// Fills a network of this configuration with what `values` answers for each key and shape
    /// of the checkpoint, in C order.
    ///
    /// # Errors
    /// The first error of `values`.
    ///
    /// # Panics
    /// When `values` answers another number of values than the shape holds.
    pub fn filled<E>(
        config: &NetworkConfig,
        device: &Device,
        values: impl FnMut(&str, &[usize]) -> Result<Vec<f32>, E>,
    ) -> Result<Self, E> {
        let mut filler = Filler { values, path: ModulePath::default(), failed: None };
        let network = Self::new(config, device).map(&mut filler);
        match filler.failed {
            None => Ok(network),
            Some(error) => Err(error),
        }
    }

    /// The network's weights under the checkpoint's keys, shapes and layouts, for a writer.
    pub fn tensor_sources(&self, float: FloatType) -> Vec<TensorSource<'static>> {
        let mut collector = Collector { float, path: ModulePath::default(), sources: Vec::new() };
        self.visit(&mut collector);
        collector.sources
    }
}

/// Puts values into each parameter.
struct Filler<F, E> {
    values: F,
    path: ModulePath,
    failed: Option<E>,
}

impl<E, F: FnMut(&str, &[usize]) -> Result<Vec<f32>, E>> ModuleMapper for Filler<F, E> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.failed.is_some() {
            return param;
        }
        let place = self.path.place();
        let shape = param.lazy_shape();
        let stored = place.layout.stored_shape(shape.as_slice());
        let values = match (self.values)(&place.key, &stored) {
            Ok(values) => values,
            Err(error) => {
                self.failed = Some(error);
                return param;
            }
        };
        let values = match place.layout {
            Layout::Transposed => transposed(&values, shape[1], shape[0]),
            Layout::Same | Layout::Scalar => values,
        };
        let id = param.id;
        let tensor = Tensor::from_data(TensorData::new(values, shape), &param.lazy_device());
        param.transform_for_load(tensor, id)
    }
}

/// Takes each parameter's values out under its key.
struct Collector {
    float: FloatType,
    path: ModulePath,
    sources: Vec<TensorSource<'static>>,
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let place = self.path.place();
        let tensor = param.val();
        let dims = tensor.dims();
        let stored = place.layout.stored_shape(&dims);
        let layout = place.layout;
        let produce = move || -> Result<Vec<f32>, String> {
            let values =
                tensor.to_data().try_into_vec::<f32>().map_err(|error| format!("{error:?}"))?;
            Ok(match layout {
                Layout::Transposed => transposed(&values, dims[0], dims[1]),
                Layout::Same | Layout::Scalar => values,
            })
        };
        self.sources.push(TensorSource::lazy(place.key, stored, self.float, produce));
    }
}

/// `[rows, columns]` → `[columns, rows]`, in blocks that stay in the cache.
fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    const BLOCK: usize = 32;
    let mut out = vec![0.0; values.len()];
    for row_block in (0..rows).step_by(BLOCK) {
        for column_block in (0..columns).step_by(BLOCK) {
            for row in row_block..(row_block + BLOCK).min(rows) {
                for column in column_block..(column_block + BLOCK).min(columns) {
                    out[column * rows + row] = values[row * columns + column];
                }
            }
        }
    }
    out
}
