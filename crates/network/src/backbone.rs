//! The FocalNet backbone (Yang et al., "Focal Modulation Networks", 2022; upstream
//! `modeling/vision/backbone/focal.py`).
//!
//! Legend: B batch, H and W the map of the stage, C its channels, L focal levels.

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Initializer, LayerNorm, LayerNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::{Device, Tensor};

use crate::config::BackboneConfig;
use crate::ops::{
    Modulation, Window, add_layer_norm, convolution, gelu, layer_norm, linear, modulate,
};
use crate::probe::Probe;

/// The layer scale a fresh network starts with, as the reference initialises it.
const INITIAL_LAYER_SCALE: f64 = 1e-4;

/// Four stages of focal modulation blocks, at strides 4, 8, 16 and 32.
#[derive(Module, Debug)]
pub struct Backbone {
    patch_embed: PatchEmbed,
    layers: Vec<Stage>,
    norm0: LayerNorm,
    norm1: LayerNorm,
    norm2: LayerNorm,
    norm3: LayerNorm,
}

/// The maps of the four stages, `[B, C·2ˢ, H/2ˢ, W/2ˢ]`, finest first (`res2` to `res5`).
pub(crate) type Pyramid = [Tensor<4>; 4];

impl Backbone {
    pub(crate) fn new(config: &BackboneConfig, device: &Device) -> Self {
        let norm = |stage| LayerNormConfig::new(config.stage_width(stage)).init(device);
        Self {
            patch_embed: PatchEmbed::new(config, device),
            layers: (0..4).map(|stage| Stage::new(config, stage, device)).collect(),
            norm0: norm(0),
            norm1: norm(1),
            norm2: norm(2),
            norm3: norm(3),
        }
    }

    /// `image` is `[B, 3, S, S]`, normalised.
    pub(crate) fn forward(&self, image: Tensor<4>, probe: &mut Probe) -> Pyramid {
        let mut x = self.patch_embed.forward(image);
        probe.stage(|| "backbone.patch_embed".into(), &channels_first(x.clone()));
        let norms = [&self.norm0, &self.norm1, &self.norm2, &self.norm3];
        std::array::from_fn(|stage| {
            let layer = &self.layers[stage];
            for (index, block) in layer.blocks.iter().enumerate() {
                x = block.forward(
                    x.clone(),
                    &format!("backbone.layers.{stage}.blocks.{index}"),
                    probe,
                );
            }
            // The output is normalised; what flows on to the next stage is not.
            let output = channels_first(layer_norm(norms[stage], x.clone()));
            probe.stage(|| format!("backbone.res{}", stage + 2), &output);
            if let Some(downsample) = &layer.downsample {
                x = downsample.forward(channels_first(x.clone()));
                let name = || format!("backbone.layers.{stage}.downsample");
                probe.stage(name, &channels_first(x.clone()));
            }
            output
        })
    }
}

/// `[B, H, W, C]` → `[B, C, H, W]`.
fn channels_first(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 3, 1, 2])
}

/// `[B, C, H, W]` → `[B, H, W, C]`.
fn channels_last(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 2, 3, 1])
}

fn padding(side: usize) -> PaddingConfig2d {
    PaddingConfig2d::Explicit(side, side, side, side)
}

/// A strided convolution followed by a LayerNorm over channels.
#[derive(Module, Debug)]
pub struct PatchEmbed {
    proj: Conv2d,
    norm: LayerNorm,
}

impl PatchEmbed {
    /// The stem: 7×7, stride 4, and a padding of 2 (not 3).
    fn new(config: &BackboneConfig, device: &Device) -> Self {
        let stride = config.patch_size;
        let proj = Conv2dConfig::new([3, config.embed_dim], [7, 7])
            .with_stride([stride, stride])
            .with_padding(padding(2))
            .init(device);
        Self { proj, norm: LayerNormConfig::new(config.embed_dim).init(device) }
    }

    /// Between stages: 3×3, stride 2, twice the channels.
    fn downsample(width: usize, device: &Device) -> Self {
        let proj = Conv2dConfig::new([width, 2 * width], [3, 3])
            .with_stride([2, 2])
            .with_padding(padding(1))
            .init(device);
        Self { proj, norm: LayerNormConfig::new(2 * width).init(device) }
    }

    /// `[B, C, H, W]` → `[B, H/s, W/s, C']`.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let stride = self.proj.stride[0];
        let window = Window { stride, padding: stride / 2 };
        let bias = self.proj.bias.as_ref().map(|bias| bias.val());
        let projected = convolution(x, self.proj.weight.val(), bias, window);
        layer_norm(&self.norm, channels_last(projected))
    }
}

/// The blocks of one resolution, and the way to the next.
#[derive(Module, Debug)]
pub struct Stage {
    blocks: Vec<Block>,
    downsample: Option<PatchEmbed>,
}

impl Stage {
    fn new(config: &BackboneConfig, stage: usize, device: &Device) -> Self {
        let width = config.stage_width(stage);
        Self {
            blocks: (0..config.depths[stage]).map(|_| Block::new(config, stage, device)).collect(),
            downsample: (stage < 3).then(|| PatchEmbed::downsample(width, device)),
        }
    }
}

/// A focal block: post-norm with layer scale, so the residual stream itself is never normalised.
#[derive(Module, Debug)]
pub struct Block {
    modulation: FocalModulation,
    norm1: LayerNorm,
    gamma_1: Param<Tensor<1>>,
    mlp: Mlp,
    norm2: LayerNorm,
    gamma_2: Param<Tensor<1>>,
}

impl Block {
    fn new(config: &BackboneConfig, stage: usize, device: &Device) -> Self {
        let width = config.stage_width(stage);
        let scale = || Initializer::Constant { value: INITIAL_LAYER_SCALE }.init([width], device);
        let hidden = config.hidden_width(stage);
        Self {
            modulation: FocalModulation::new(config, stage, device),
            norm1: LayerNormConfig::new(width).init(device),
            gamma_1: scale(),
            mlp: Mlp {
                fc1: LinearConfig::new(width, hidden).init(device),
                fc2: LinearConfig::new(hidden, width).init(device),
            },
            norm2: LayerNormConfig::new(width).init(device),
            gamma_2: scale(),
        }
    }

    /// `x` is `[B, H, W, C]`.
    fn forward(&self, x: Tensor<4>, name: &str, probe: &mut Probe) -> Tensor<4> {
        let [batch, height, width, channels] = x.dims();
        let modulated = self.modulation.forward(x.clone());
        probe.stage(|| format!("{name}.modulation"), &modulated);
        let x = add_layer_norm(&self.norm1, x, modulated, self.gamma_1.val());
        let mixed = self.mlp.forward(x.clone());
        let x = add_layer_norm(&self.norm2, x, mixed, self.gamma_2.val());
        probe.stage(|| name.into(), &x.clone().reshape([batch, height * width, channels]));
        x
    }
}

/// Two linear maps with a GELU (erf) between them.
#[derive(Module, Debug)]
pub struct Mlp {
    fc1: Linear,
    fc2: Linear,
}

impl Mlp {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        linear(&self.fc2, gelu(linear(&self.fc1, x)))
    }
}

/// Focal modulation: a query modulated by gated contexts of growing reach.
#[derive(Module, Debug)]
pub struct FocalModulation {
    f: Linear,
    focal_layers: Vec<FocalLevel>,
    h: Conv2d,
    proj: Linear,
}

/// One level of context: a depthwise convolution.
// A tuple of one, since the reference's `nn.Sequential` numbers it: `focal_layers.l.0.weight`.
type FocalLevel = Vec<Conv2d>;

impl FocalModulation {
    fn new(config: &BackboneConfig, stage: usize, device: &Device) -> Self {
        let width = config.stage_width(stage);
        let levels = config.focal_levels[stage];
        let level = |level| {
            let kernel = config.focal_windows[stage] + 2 * level;
            let conv = Conv2dConfig::new([width, width], [kernel, kernel])
                .with_groups(width)
                .with_padding(padding(kernel / 2))
                .with_bias(false)
                .init(device);
            vec![conv]
        };
        Self {
            f: LinearConfig::new(width, 2 * width + levels + 1).init(device),
            focal_layers: (0..levels).map(level).collect(),
            h: Conv2dConfig::new([width, width], [1, 1]).init(device),
            proj: LinearConfig::new(width, width).init(device),
        }
    }

    /// `x` is `[B, H, W, C]`, and so is the answer.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let projection = linear(&self.f, x); // [B, H, W, 2C + L + 1]
        let by = Modulation {
            filters: self.focal_layers.iter().map(|level| level[0].weight.val()).collect(),
            weight: self.h.weight.val(),
            bias: self.h.bias.as_ref().map(|bias| bias.val()),
        };
        linear(&self.proj, modulate(projection, by))
    }
}
