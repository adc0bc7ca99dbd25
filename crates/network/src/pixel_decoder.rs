//! The pixel decoder: a DETR encoder on the coarsest map, then a feature pyramid (upstream
//! `modeling/vision/encoder/transformer_encoder_fpn.py`).
//!
//! Legend: B batch, C the pyramid's channels, H and W of the map at hand, N = H·W.

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{
    GroupNorm, GroupNormConfig, Initializer, LayerNorm, LayerNormConfig, Linear, LinearConfig,
    PaddingConfig2d,
};
use burn::tensor::{Device, Tensor};

use crate::attention::{AttentionInput, MultiheadAttention};
use crate::backbone::Pyramid;
use crate::config::NetworkConfig;
use crate::ops::{Window, convolution, group_norm, layer_norm, linear, nearest, relu};
use crate::position::sine_encoding;
use crate::probe::Probe;

const NORM_GROUPS: usize = 32;

/// Turns the backbone's four maps into mask features and the decoder's three levels.
#[derive(Module, Debug)]
pub struct PixelDecoder {
    input_proj: Conv2d,
    transformer: Transformer,
    layer_4: ConvNorm,
    adapter_3: ConvNorm,
    layer_3: ConvNorm,
    adapter_2: ConvNorm,
    layer_2: ConvNorm,
    adapter_1: ConvNorm,
    layer_1: ConvNorm,
    mask_features: Conv2d,
}

/// What the query decoder needs of a picture; it does not depend on any prompt.
#[derive(Debug, Clone)]
pub struct EncodedImage {
    /// `[B, mask width, S/4, S/4]`.
    pub mask_features: Tensor<4>,
    /// `[B, C, S/32, S/32]`, `[…, S/16, S/16]`, `[…, S/8, S/8]`: the decoder's order.
    pub levels: [Tensor<4>; 3],
}

impl PixelDecoder {
    pub(crate) fn new(config: &NetworkConfig, device: &Device) -> Self {
        let sizes = &config.pixel_decoder;
        let width = sizes.conv_width;
        let backbone = |stage| config.backbone.stage_width(stage);
        Self {
            input_proj: Conv2dConfig::new([backbone(3), width], [1, 1]).init(device),
            transformer: Transformer::new(config, device),
            layer_4: ConvNorm::new([width, width, 3], device),
            adapter_3: ConvNorm::new([backbone(2), width, 1], device),
            layer_3: ConvNorm::new([width, width, 3], device),
            adapter_2: ConvNorm::new([backbone(1), width, 1], device),
            layer_2: ConvNorm::new([width, width, 3], device),
            adapter_1: ConvNorm::new([backbone(0), width, 1], device),
            layer_1: ConvNorm::new([width, width, 3], device),
            mask_features: Conv2dConfig::new([width, sizes.mask_width], [3, 3])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .init(device),
        }
    }

    pub(crate) fn forward(&self, pyramid: Pyramid, probe: &mut Probe) -> EncodedImage {
        let [res2, res3, res4, res5] = pyramid;
        let x = self.transformer.forward(project(&self.input_proj, res5), probe);
        let y4 = relu(self.layer_4.forward(x));
        probe.stage(|| "pixdec.layer_4".into(), &y4);
        let y3 = Rung { adapter: &self.adapter_3, layer: &self.layer_3, level: 3 };
        let y3 = y3.forward(res4, y4.clone(), probe);
        let y2 = Rung { adapter: &self.adapter_2, layer: &self.layer_2, level: 2 };
        let y2 = y2.forward(res3, y3.clone(), probe);
        let y1 = Rung { adapter: &self.adapter_1, layer: &self.layer_1, level: 1 };
        let y1 = y1.forward(res2, y2.clone(), probe);
        let mask_features = project(&self.mask_features, y1);
        probe.stage(|| "pixdec.mask_features".into(), &mask_features);
        EncodedImage { mask_features, levels: [y4, y3, y2] }
    }
}

/// A convolution that keeps the size of the map.
fn project(layer: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    let (weight, bias) = (layer.weight.val(), layer.bias.as_ref().map(|bias| bias.val()));
    let window = Window::same(&weight);
    convolution(x, weight, bias, window)
}

/// One step of the pyramid: a backbone map joins the upsampled coarser one.
struct Rung<'a> {
    adapter: &'a ConvNorm,
    layer: &'a ConvNorm,
    level: usize,
}

impl Rung<'_> {
    fn forward(&self, lateral: Tensor<4>, coarser: Tensor<4>, probe: &mut Probe) -> Tensor<4> {
        let lateral = self.adapter.forward(lateral);
        probe.stage(|| format!("pixdec.adapter_{}", self.level), &lateral);
        let [_, _, height, width] = lateral.dims();
        let sum = lateral + nearest(coarser, [height, width]);
        let y = relu(self.layer.forward(sum));
        probe.stage(|| format!("pixdec.layer_{}", self.level), &y);
        y
    }
}

/// A convolution without bias, followed by a GroupNorm.
#[derive(Module, Debug)]
pub struct ConvNorm {
    weight: Param<Tensor<4>>,
    norm: GroupNorm,
}

impl ConvNorm {
    /// `[input channels, output channels, kernel]`.
    fn new([input, output, kernel]: [usize; 3], device: &Device) -> Self {
        let (fan_in, fan_out) = (input * kernel * kernel, output * kernel * kernel);
        Self {
            weight: Initializer::KaimingUniform { gain: 1.0, fan_out_only: false }.init_with(
                [output, input, kernel, kernel],
                Some(fan_in),
                Some(fan_out),
                device,
            ),
            norm: GroupNormConfig::new(NORM_GROUPS, output).init(device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let weight = self.weight.val();
        let window = Window::same(&weight);
        group_norm(&self.norm, convolution(x, weight, None, window))
    }
}

/// The DETR encoder, under the name the checkpoint gives it.
#[derive(Module, Debug)]
pub struct Transformer {
    encoder: Encoder,
}

/// A stack of encoder layers without a final norm.
#[derive(Module, Debug)]
pub struct Encoder {
    layers: Vec<EncoderLayer>,
}

impl Transformer {
    fn new(config: &NetworkConfig, device: &Device) -> Self {
        let layers = config.pixel_decoder.encoder_layers;
        let layers = (0..layers).map(|_| EncoderLayer::new(config, device)).collect();
        Self { encoder: Encoder { layers } }
    }

    /// `[B, C, H, W]` → `[B, C, H, W]`.
    fn forward(&self, x: Tensor<4>, probe: &mut Probe) -> Tensor<4> {
        probe.stage(|| "pixdec.input_proj".into(), &x);
        let [batch, channels, height, width] = x.dims();
        let position = sine_encoding(channels, height, width, &x.device());
        probe.stage(|| "pixdec.pos_res5".into(), &position);
        let position = tokens_of(position); // [1, N, C]
        let mut tokens = tokens_of(x); // [B, N, C]
        for (index, layer) in self.encoder.layers.iter().enumerate() {
            tokens = layer.forward(tokens, position.clone());
            probe.stage(|| format!("pixdec.encoder.layers.{index}"), &tokens);
        }
        tokens.swap_dims(1, 2).reshape([batch, channels, height, width])
    }
}

/// `[B, C, H, W]` → `[B, H·W, C]`, row by row.
pub(crate) fn tokens_of(x: Tensor<4>) -> Tensor<3> {
    x.flatten::<3>(2, 3).swap_dims(1, 2)
}

/// A post-norm encoder layer with ReLU.
#[derive(Module, Debug)]
pub struct EncoderLayer {
    self_attn: MultiheadAttention,
    linear1: Linear,
    linear2: Linear,
    norm1: LayerNorm,
    norm2: LayerNorm,
}

impl EncoderLayer {
    fn new(config: &NetworkConfig, device: &Device) -> Self {
        let sizes = &config.pixel_decoder;
        let width = sizes.conv_width;
        Self {
            self_attn: MultiheadAttention::new(width, sizes.heads, device),
            linear1: LinearConfig::new(width, sizes.feed_forward_width).init(device),
            linear2: LinearConfig::new(sizes.feed_forward_width, width).init(device),
            norm1: LayerNormConfig::new(width).init(device),
            norm2: LayerNormConfig::new(width).init(device),
        }
    }

    /// `x` `[B, N, C]`, `position` `[1, N, C]`.
    fn forward(&self, x: Tensor<3>, position: Tensor<3>) -> Tensor<3> {
        let placed = x.clone() + position;
        let attended = self.self_attn.forward(AttentionInput {
            query: placed.clone(),
            key: placed,
            value: x.clone(),
            blocked: None,
        });
        let x = layer_norm(&self.norm1, x + attended);
        let mixed = linear(&self.linear2, relu(linear(&self.linear1, x.clone())));
        layer_norm(&self.norm2, x + mixed)
    }
}
