//! From a module's path to the checkpoint's key, and which keys of a checkpoint are dead.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};

use crate::config::NetworkConfig;
use crate::network::Network;

/// The class bank that medparse stores beside a network's own weights.
pub const CLASS_BANK_KEY: &str = "medparse.class_bank";

/// Whether a checkpoint of the published format may hold `key` though text prompting never reads
/// it: weights of other tasks (spatial prompts), of training, and a whole unused BiomedBERT.
pub fn is_unused(key: &str) -> bool {
    const EXACT: [&str; 8] = [
        "dilation_kernel",
        "criterion.empty_weight",
        "sem_seg_head.predictor.mask_sptial_embed.0",
        "sem_seg_head.predictor.mask_sptial_embed.1",
        "sem_seg_head.predictor.mask_sptial_embed.2",
        "sem_seg_head.predictor.spatial_embed.weight",
        "sem_seg_head.predictor.spatial_featured.weight",
        "sem_seg_head.predictor.pn_indicator.weight",
    ];
    EXACT.contains(&key) || key.starts_with("sem_seg_head.predictor.lang_encoder.biomed_encoder.")
}

/// A tensor that a network of some configuration reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedTensor {
    /// The checkpoint's key.
    pub key: String,
    /// The checkpoint's shape: linear weights are `[output, input]`, the logit scale is a scalar.
    pub shape: Vec<usize>,
}

/// Every tensor that a network of this configuration reads, in module order.
pub fn expected_tensors(config: &NetworkConfig) -> Vec<ExpectedTensor> {
    let mut list = ExpectedList { path: ModulePath::default(), tensors: Vec::new() };
    // Fresh weights are drawn when first used, so this allocates none of them.
    Network::new(config, &Device::flex()).visit(&mut list);
    list.tensors
}

struct ExpectedList {
    path: ModulePath,
    tensors: Vec<ExpectedTensor>,
}

impl ModuleVisitor for ExpectedList {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let place = self.path.place();
        let shape = place.layout.stored_shape(param.lazy_shape().as_slice());
        self.tensors.push(ExpectedTensor { key: place.key, shape });
    }
}

/// How a parameter is laid out in the checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// As in memory.
    Same,
    /// A linear weight: `[output, input]` in the checkpoint, `[input, output]` in burn.
    Transposed,
    /// A scalar in the checkpoint, `[1]` in burn.
    Scalar,
}

impl Layout {
    /// The checkpoint's shape of a parameter that has `shape` in memory.
    pub(crate) fn stored_shape(self, shape: &[usize]) -> Vec<usize> {
        match self {
            Layout::Same => shape.to_vec(),
            Layout::Transposed => shape.iter().rev().copied().collect(),
            Layout::Scalar => Vec::new(),
        }
    }
}

/// Where a parameter stands in the checkpoint.
pub(crate) struct Place {
    pub key: String,
    pub layout: Layout,
}

/// The names of the modules around the parameter at hand.
#[derive(Default)]
pub(crate) struct ModulePath {
    /// Each module's name, and the type of the module that holds it.
    names: Vec<(String, String)>,
}

impl ModulePath {
    pub(crate) fn enter(&mut self, name: &str, container: &str) {
        self.names.push((name.into(), container.into()));
    }

    pub(crate) fn exit(&mut self) {
        self.names.pop();
    }

    /// The place of the parameter whose own name was entered last.
    pub(crate) fn place(&self) -> Place {
        let names: Vec<&str> = self.names.iter().map(|(name, _)| name.as_str()).collect();
        let container = self.names.last().map_or("", |(_, container)| container.as_str());
        let mut key = names.join(".");
        // burn calls a norm's weight and bias gamma and beta.
        for (burn, torch) in [(".gamma", ".weight"), (".beta", ".bias")] {
            if container.ends_with("Norm")
                && let Some(stem) = key.strip_suffix(burn)
            {
                key = format!("{stem}{torch}");
            }
        }
        let layout = match names.last() {
            Some(&"weight") if container == "Struct:Linear" => Layout::Transposed,
            Some(&"logit_scale") => Layout::Scalar,
            _ => Layout::Same,
        };
        Place { key, layout }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every key of the published checkpoint is either read or known to be dead.
    #[test]
    fn the_published_keys_are_all_accounted_for() {
        let expected = expected_tensors(&NetworkConfig::biomedparse_v1());
        let values: usize = expected.iter().map(|t| t.shape.iter().product::<usize>()).sum();
        assert_eq!(values, 340_360_953, "the values that text prompting reads");
        assert!(expected.iter().all(|tensor| !is_unused(&tensor.key)));
        let find = |key: &str| {
            expected.iter().find(|tensor| tensor.key == key).map(|tensor| tensor.shape.as_slice())
        };
        for (key, shape) in [
            ("backbone.layers.2.blocks.17.modulation.focal_layers.3.0.weight", &[768, 1, 9, 9][..]),
            ("backbone.layers.0.blocks.0.modulation.f.weight", &[389, 192]),
            ("backbone.norm3.bias", &[1536]),
            ("sem_seg_head.pixel_decoder.adapter_1.norm.weight", &[512]),
            ("sem_seg_head.predictor.lang_encoder.logit_scale", &[]),
            ("sem_seg_head.predictor.mask_embed.layers.2.weight", &[512, 512]),
        ] {
            assert_eq!(find(key), Some(shape), "{key}");
        }
    }
}
