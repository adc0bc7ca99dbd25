//! The whole network, under the checkpoint's names.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};

use crate::backbone::Backbone;
use crate::config::NetworkConfig;
use crate::pixel_decoder::{EncodedImage, PixelDecoder};
use crate::probe::Probe;
use crate::query_decoder::{GroundingTokens, Heads, Keep, QueryDecoder};
use crate::text_encoder::EncodedText;

/// The network: everything before the decoder depends on the picture alone, so that one
/// [`EncodedImage`] serves many questions.
#[derive(Module, Debug)]
pub struct Network {
    backbone: Backbone,
    sem_seg_head: SemSegHead,
}

/// The pixel decoder and the query decoder.
#[derive(Module, Debug)]
pub struct SemSegHead {
    pixel_decoder: PixelDecoder,
    predictor: QueryDecoder,
}

impl Network {
    /// A network with fresh weights, drawn when they are first used.
    pub fn new(config: &NetworkConfig, device: &Device) -> Self {
        Self {
            backbone: Backbone::new(&config.backbone, device),
            sem_seg_head: SemSegHead {
                pixel_decoder: PixelDecoder::new(config, device),
                predictor: QueryDecoder::new(config, device),
            },
        }
    }

    /// Encodes normalised pictures `[B, 3, S, S]`.
    pub fn encode_image(&self, image: Tensor<4>, probe: &mut Probe) -> EncodedImage {
        let pyramid = self.backbone.forward(image, probe);
        self.sem_seg_head.pixel_decoder.forward(pyramid, probe)
    }

    /// Encodes sentences of `[n, T]` token ids; `lengths` counts each sentence's own tokens,
    /// start and end included.
    pub fn encode_text(
        &self,
        ids: Tensor<2, Int>,
        lengths: &[usize],
        probe: &mut Probe,
    ) -> EncodedText {
        self.sem_seg_head.predictor.lang_encoder.forward(ids, lengths, probe)
    }

    /// Asks an encoded picture; the answers come in layer order.
    pub fn decode(
        &self,
        image: &EncodedImage,
        words: GroundingTokens,
        keep: Keep,
        probe: &mut Probe,
    ) -> Vec<Heads> {
        self.sem_seg_head.predictor.forward(image, words, keep, probe)
    }

    /// `[1]`: the logarithm of the factor on similarities.
    pub fn logit_scale(&self) -> Tensor<1> {
        self.sem_seg_head.predictor.lang_encoder.logit_scale()
    }
}
