//! What a run begins with: sizes and first weights.

use std::collections::HashMap;

use burn::tensor::Device;
use medparse::LoadOptions;
use medparse::load::{describe, open};
use medparse_network::{Network, NetworkConfig};
use medparse_weights::{Checkpoint, FloatType, WeightsError};

use crate::config::{NetworkChoice, TrainConfig};
use crate::error::TrainError;
use crate::init;

/// A network's sizes and where its first weights come from.
pub(crate) struct Beginning {
    pub network: NetworkConfig,
    checkpoint: Option<Source>,
}

/// A checkpoint and the sizes of the network in it.
struct Source {
    checkpoint: Checkpoint,
    network: NetworkConfig,
}

impl Beginning {
    /// The sizes that a description asks for: those of the weights to start from (in the file, in a
    /// YAML beside it, or the published ones), where it names such weights and no sizes.
    pub fn of(config: &TrainConfig) -> Result<Self, TrainError> {
        let mut beginning = match &config.from {
            None => Self { network: config.network.config(), checkpoint: None },
            Some(source) => {
                let options = LoadOptions::default();
                let (checkpoint, sidecar) = open(source, &options, &mut |_| ())?;
                let network = if config.network == NetworkChoice::default() {
                    describe(&checkpoint, sidecar.as_deref(), &options)?.description.network
                } else {
                    config.network.config()
                };
                let source = Source { checkpoint, network: network.clone() };
                Self { network, checkpoint: Some(source) }
            }
        };
        if let Some(side) = config.image_size {
            beginning.network.image_size = side;
        }
        if let Some(presence_head) = config.presence_head {
            beginning.network.presence_head = presence_head;
        }
        beginning.network.check()?;
        Ok(beginning)
    }

    /// The first weights; a presence head that the checkpoint lacks is fresh.
    pub fn weights(&self, seed: u64, device: &Device) -> Result<Network, TrainError> {
        let Some(Source { checkpoint, network }) = &self.checkpoint else {
            return Ok(init::fresh(&self.network, seed, device));
        };
        if network.presence_head == self.network.presence_head {
            return Ok(Network::load(&self.network, checkpoint, device)?);
        }
        let loaded = Network::load(network, checkpoint, &Device::flex())?;
        let sources = loaded.tensor_sources(FloatType::F32);
        let by_key: HashMap<&str, _> =
            sources.iter().map(|source| (source.name(), source)).collect();
        let filled = Network::filled(&self.network, device, |key, shape| match by_key.get(key) {
            Some(source) => source.read_f32(),
            None => Ok::<_, WeightsError>(init::fresh_values(key, shape, seed)),
        });
        Ok(filled?)
    }
}
