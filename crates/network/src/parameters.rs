//! A network's parameters as plain numbers under their keys: what an optimiser works on.
//!
//! Values and gradients are in memory layout, the same for both; the checkpoint's layout is the
//! affair of [`Network::filled`] and [`Network::tensor_sources`].

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor, TensorData};

use crate::keys::ModulePath;
use crate::network::Network;

/// One parameter's gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterGradient {
    /// The checkpoint's key.
    pub key: String,
    /// In memory layout, as many values as the parameter has.
    pub values: Vec<f32>,
}

impl Network {
    /// Takes the gradient of every parameter that has one, in module order.
    pub fn take_gradients(&self, gradients: &mut Gradients) -> Vec<ParameterGradient> {
        let mut taker = GradientTaker { gradients, path: ModulePath::default(), taken: Vec::new() };
        self.visit(&mut taker);
        taker.taken
    }

    /// Lets `update` change every parameter's values in place, in module order.
    ///
    /// The network must be the only holder of its weights for this to happen without a copy.
    pub fn updated(self, update: impl FnMut(&str, &mut [f32])) -> Self {
        self.map(&mut Updater { update, path: ModulePath::default() })
    }

    /// Stops gradients at the parameters whose keys `is_frozen` answers true for.
    pub fn frozen(self, is_frozen: impl FnMut(&str) -> bool) -> Self {
        self.map(&mut Freezer { is_frozen, path: ModulePath::default() })
    }
}

/// A tensor's values, moved out where nobody else holds them.
fn into_values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().expect("just converted to f32")
}

struct GradientTaker<'a> {
    gradients: &'a mut Gradients,
    path: ModulePath,
    taken: Vec<ParameterGradient>,
}

impl ModuleVisitor for GradientTaker<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad_remove(self.gradients) {
            let key = self.path.place().key;
            self.taken.push(ParameterGradient { key, values: into_values(gradient) });
        }
    }
}

struct Updater<F> {
    update: F,
    path: ModulePath,
}

impl<F: FnMut(&str, &mut [f32])> ModuleMapper for Updater<F> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let key = self.path.place().key;
        let tracked = param.val().is_require_grad();
        let (id, tensor, mapper) = param.consume();
        let (shape, device) = (tensor.shape(), tensor.device());
        let mut values = into_values(tensor);
        (self.update)(&key, &mut values);
        let tensor = Tensor::from_data(TensorData::new(values, shape), &device);
        Param::from_mapped_value(id, tensor.set_require_grad(tracked), mapper)
    }
}

struct Freezer<F> {
    is_frozen: F,
    path: ModulePath,
}

impl<F: FnMut(&str) -> bool> ModuleMapper for Freezer<F> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let frozen = (self.is_frozen)(&self.path.place().key);
        if frozen { param.set_require_grad(false) } else { param }
    }
}
