//! Which tensors a network reads, under which keys of the checkpoint.

use crate::sizes::{BackboneConfig, NetworkConfig};

/// The class bank that medparse stores beside a network's own weights.
pub const CLASS_BANK_KEY: &str = "medparse.class_bank";

/// Levels of the picture that the query decoder's layers look at in turn.
pub const LEVELS: usize = 3;

/// Side of the stem's kernels, in pixels.
const STEM_KERNEL: usize = 7;

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

/// Every tensor that a network of this configuration reads, in the order of its modules.
pub fn expected_tensors(config: &NetworkConfig) -> Vec<ExpectedTensor> {
    let mut list = List::default();
    list.backbone(&config.backbone);
    list.pixel_decoder(config);
    list.text_encoder(config);
    list.query_decoder(config);
    list.0
}

#[derive(Default)]
struct List(Vec<ExpectedTensor>);

impl List {
    fn add(&mut self, key: impl Into<String>, shape: &[usize]) {
        self.0.push(ExpectedTensor { key: key.into(), shape: shape.to_vec() });
    }

    /// A weight `[output, …]` and a bias `[output]`: a linear map, a convolution.
    fn map(&mut self, key: &str, weight: &[usize]) {
        self.add(format!("{key}.weight"), weight);
        self.add(format!("{key}.bias"), &weight[..1]);
    }

    fn norm(&mut self, key: &str, width: usize) {
        self.map(key, &[width]);
    }

    fn attention(&mut self, key: &str, width: usize) {
        self.add(format!("{key}.in_proj_weight"), &[3 * width, width]);
        self.add(format!("{key}.in_proj_bias"), &[3 * width]);
        self.map(&format!("{key}.out_proj"), &[width, width]);
    }

    /// A convolution or linear map, and the norm of what it gives.
    fn embedding(&mut self, key: &str, weight: &[usize]) {
        self.map(&format!("{key}.proj"), weight);
        self.norm(&format!("{key}.norm"), weight[0]);
    }

    fn perceptron(&mut self, key: &str, outputs: [usize; 3]) {
        for (layer, output) in outputs.into_iter().enumerate() {
            self.map(&format!("{key}.layers.{layer}"), &[output, outputs[0]]);
        }
    }

    fn backbone(&mut self, config: &BackboneConfig) {
        let kernel = STEM_KERNEL;
        self.embedding("backbone.patch_embed", &[config.embed_dim, 3, kernel, kernel]);
        for stage in 0..4 {
            let width = config.stage_width(stage);
            for block in 0..config.depths[stage] {
                self.block(&format!("backbone.layers.{stage}.blocks.{block}"), config, stage);
            }
            if stage < 3 {
                let key = format!("backbone.layers.{stage}.downsample");
                self.embedding(&key, &[2 * width, width, 3, 3]);
            }
        }
        for stage in 0..4 {
            self.norm(&format!("backbone.norm{stage}"), config.stage_width(stage));
        }
    }

    fn block(&mut self, key: &str, config: &BackboneConfig, stage: usize) {
        let (width, levels) = (config.stage_width(stage), config.focal_levels[stage]);
        let hidden = config.hidden_width(stage);
        self.map(&format!("{key}.modulation.f"), &[2 * width + levels + 1, width]);
        for level in 0..levels {
            let kernel = config.focal_windows[stage] + 2 * level;
            let name = format!("{key}.modulation.focal_layers.{level}.0.weight");
            self.add(name, &[width, 1, kernel, kernel]);
        }
        self.map(&format!("{key}.modulation.h"), &[width, width, 1, 1]);
        self.map(&format!("{key}.modulation.proj"), &[width, width]);
        self.norm(&format!("{key}.norm1"), width);
        self.add(format!("{key}.gamma_1"), &[width]);
        self.map(&format!("{key}.mlp.fc1"), &[hidden, width]);
        self.map(&format!("{key}.mlp.fc2"), &[width, hidden]);
        self.norm(&format!("{key}.norm2"), width);
        self.add(format!("{key}.gamma_2"), &[width]);
    }

    fn pixel_decoder(&mut self, config: &NetworkConfig) {
        let sizes = &config.pixel_decoder;
        let (width, hidden) = (sizes.conv_width, sizes.feed_forward_width);
        let backbone = |stage| config.backbone.stage_width(stage);
        let root = "sem_seg_head.pixel_decoder";
        self.map(&format!("{root}.input_proj"), &[width, backbone(3), 1, 1]);
        for layer in 0..sizes.encoder_layers {
            let key = format!("{root}.transformer.encoder.layers.{layer}");
            self.attention(&format!("{key}.self_attn"), width);
            self.map(&format!("{key}.linear1"), &[hidden, width]);
            self.map(&format!("{key}.linear2"), &[width, hidden]);
            self.norm(&format!("{key}.norm1"), width);
            self.norm(&format!("{key}.norm2"), width);
        }
        let mut conv_norm = |name: String, input: usize, kernel: usize| {
            self.add(format!("{root}.{name}.weight"), &[width, input, kernel, kernel]);
            self.norm(&format!("{root}.{name}.norm"), width);
        };
        conv_norm("layer_4".into(), width, 3);
        for level in [3, 2, 1] {
            conv_norm(format!("adapter_{level}"), backbone(level - 1), 1);
            conv_norm(format!("layer_{level}"), width, 3);
        }
        self.map(&format!("{root}.mask_features"), &[sizes.mask_width, width, 3, 3]);
    }

    fn text_encoder(&mut self, config: &NetworkConfig) {
        let text = &config.text_encoder;
        let width = text.width;
        let root = "sem_seg_head.predictor.lang_encoder";
        let encoder = format!("{root}.lang_encoder");
        self.add(format!("{encoder}.token_embedding.weight"), &[text.vocabulary, width]);
        self.add(format!("{encoder}.positional_embedding"), &[text.context_length, width]);
        for layer in 0..text.layers {
            let key = format!("{encoder}.resblocks.{layer}");
            self.attention(&format!("{key}.attn"), width);
            self.norm(&format!("{key}.ln_1"), width);
            self.map(&format!("{key}.mlp.c_fc"), &[4 * width, width]);
            self.map(&format!("{key}.mlp.c_proj"), &[width, 4 * width]);
            self.norm(&format!("{key}.ln_2"), width);
        }
        self.norm(&format!("{encoder}.ln_final"), width);
        self.add(format!("{root}.lang_proj"), &[width, config.projection_width]);
        self.add(format!("{root}.logit_scale"), &[]);
    }

    fn query_decoder(&mut self, config: &NetworkConfig) {
        let sizes = &config.query_decoder;
        let (width, hidden) = (sizes.hidden_width, sizes.feed_forward_width);
        let root = "sem_seg_head.predictor";
        for (name, rows) in
            [("query_feat", sizes.queries), ("query_embed", sizes.queries), ("level_embed", LEVELS)]
        {
            self.add(format!("{root}.{name}.weight"), &[rows, width]);
        }
        for layer in 0..sizes.layers {
            let key = format!("{root}.transformer_cross_attention_layers.{layer}");
            self.attention(&format!("{key}.multihead_attn"), width);
            self.norm(&format!("{key}.norm"), width);
        }
        for layer in 0..sizes.layers {
            let key = format!("{root}.transformer_self_attention_layers.{layer}");
            self.attention(&format!("{key}.self_attn"), width);
            self.norm(&format!("{key}.norm"), width);
        }
        for layer in 0..sizes.layers {
            let key = format!("{root}.transformer_ffn_layers.{layer}");
            self.map(&format!("{key}.linear1"), &[hidden, width]);
            self.map(&format!("{key}.linear2"), &[width, hidden]);
            self.norm(&format!("{key}.norm"), width);
        }
        self.norm(&format!("{root}.decoder_norm"), width);
        let masks = [width, width, config.pixel_decoder.mask_width];
        self.perceptron(&format!("{root}.mask_embed"), masks);
        self.add(format!("{root}.class_embed"), &[width, config.projection_width]);
        if config.presence_head {
            self.perceptron(&format!("{root}.presence_head"), [width, width, 1]);
        }
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
