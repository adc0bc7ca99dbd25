//! From a module's path to the checkpoint's key.

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
    use burn::module::{Module, ModuleVisitor, Param};
    use burn::tensor::{Device, Tensor};

    use super::*;
    use crate::config::{ExpectedTensor, NetworkConfig, expected_tensors};
    use crate::network::Network;

    struct Visited {
        path: ModulePath,
        tensors: Vec<ExpectedTensor>,
    }

    impl ModuleVisitor for Visited {
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

    /// The list that loading is strict about is the network's own.
    #[test]
    fn the_modules_hold_the_tensors_that_the_configuration_lists() {
        let mut config = NetworkConfig::biomedparse_v1();
        for presence_head in [false, true] {
            config.presence_head = presence_head;
            let mut visited = Visited { path: ModulePath::default(), tensors: Vec::new() };
            // Fresh weights are drawn when first used, so this allocates none of them.
            Network::new(&config, &Device::flex()).visit(&mut visited);
            assert_eq!(visited.tensors, expected_tensors(&config));
        }
    }
}
