//! The pixel decoder: a DETR encoder on the coarsest map, then a feature pyramid.
//!
//! Legend: C the pyramid's channels, N pixels of the map at hand.

use std::time::Instant;

use medparse_config::NetworkConfig;
use medparse_kernels::gemm::{Rows, RowsMut};
use medparse_kernels::resample::Resize;
use medparse_kernels::{Activation, Arena, Cpu};

use crate::backbone::stage_side;
use crate::linear::Linear;
use crate::loader::Loader;
use crate::norm::{EPSILON, Norm};
use crate::position::Position;
use crate::precision::Precision;
use crate::stored::Vector;
use crate::trace::Trace;

mod convolution;
mod encoder;

use convolution::{ConvNorm, Convolution};
use encoder::EncoderLayer;

/// How these parts are called when they are measured.
const CONVOLUTIONS: &str = "pyramid: 3x3 convolutions";

/// Turns the backbone's four maps into mask features and the decoder's three levels.
#[derive(Debug)]
pub(crate) struct PixelDecoder {
    width: usize,
    side: usize,
    input_proj: Linear,
    position: Position,
    encoder: Vec<EncoderLayer>,
    layer_4: ConvNorm,
    /// Of the levels 3, 2 and 1.
    rungs: Vec<Rung>,
    mask_features: Convolution,
    mask_bias: Vector,
}

/// One step of the pyramid: a backbone map joins the upsampled coarser one.
#[derive(Debug)]
struct Rung {
    level: usize,
    adapter: Linear,
    norm: Norm,
    layer: ConvNorm,
}

impl PixelDecoder {
    pub fn load<E>(
        loader: &mut Loader<'_, E>,
        config: &NetworkConfig,
        precision: Precision,
    ) -> Result<Self, E> {
        let sizes = &config.pixel_decoder;
        let (width, side) = (sizes.conv_width, config.image_size);
        let root = "sem_seg_head.pixel_decoder";
        let stage_width = |stage| config.backbone.stage_width(stage);
        let key = format!("{root}.input_proj");
        let input_proj = loader.pointwise(&key, [width, stage_width(3)], precision)?;
        let encoder = (0..sizes.encoder_layers)
            .map(|layer| {
                let key = format!("{root}.transformer.encoder.layers.{layer}");
                EncoderLayer::load(loader, &key, config, precision)
            })
            .collect::<Result<_, E>>()?;
        let layer_4 =
            ConvNorm::load(loader, &format!("{root}.layer_4"), width, (side / 32, precision))?;
        let rungs = [3, 2, 1].into_iter().map(|level| {
            let (key, input) = (format!("{root}.adapter_{level}"), stage_width(level - 1));
            let adapter = loader.pointwise_without_bias(&key, [width, input], precision)?;
            let norm = Norm::load(loader, &format!("{key}.norm"), width, EPSILON)?;
            let shape = (stage_side(side, level - 1), precision);
            let layer = ConvNorm::load(loader, &format!("{root}.layer_{level}"), width, shape)?;
            Ok(Rung { level, adapter, norm, layer })
        });
        let rungs = rungs.collect::<Result<_, E>>()?;
        let key = format!("{root}.mask_features");
        let features = [sizes.mask_width, width];
        Ok(Self {
            width,
            side,
            input_proj,
            position: Position::new(width, [side / 32; 2]),
            encoder,
            layer_4,
            rungs,
            mask_features: Convolution::load(
                loader,
                &key,
                features,
                (stage_side(side, 0), precision),
            )?,
            mask_bias: loader.vector(&format!("{key}.bias"), &[sizes.mask_width])?,
        })
    }

    /// Values of the map of a level, 4 the coarsest and 1 the finest.
    pub fn level_len(&self, level: usize) -> usize {
        stage_side(self.side, level - 1).pow(2) * self.width
    }

    fn pixels(&self, level: usize) -> usize {
        stage_side(self.side, level - 1).pow(2)
    }

    /// Bytes that [`PixelDecoder::pyramid`] takes of an arena.
    pub fn pyramid_bytes(&self, cpu: &Cpu) -> usize {
        let map = |level: usize| Arena::bytes::<f32>(self.level_len(level));
        let encoder = self.encoder.iter().map(|layer| layer.bytes(cpu, self.pixels(4)));
        let encoder = encoder.fold(self.input_proj.scratch(self.pixels(4)), usize::max);
        let rungs = self.rungs.iter().map(|rung| {
            let sum = if rung.level > 1 { map(rung.level) } else { 0 };
            let pixels = self.pixels(rung.level);
            let adapter = rung.adapter.scratch(pixels).max(rung.norm_bytes(pixels));
            sum + adapter.max(rung.layer.bytes(cpu))
        });
        // The encoder's tokens, and with them the tokens with their places.
        map(4) + rungs.fold((map(4) + encoder).max(self.layer_4.bytes(cpu)), usize::max)
    }

    /// Bytes that [`PixelDecoder::features`] takes of an arena.
    pub fn features_bytes(&self, cpu: &Cpu) -> usize {
        let layer = self.rungs.last().map_or(0, |rung| rung.layer.bytes(cpu));
        Arena::bytes::<f32>(self.level_len(1)) + layer.max(self.mask_features.bytes(cpu))
    }

    /// The levels 4, 3 and 2, `[N, C]` each, and the sum that level 1 is made of; `maps` are `res2`
    /// to `res5`.
    pub fn pyramid(
        &self,
        cpu: &Cpu,
        maps: [&[f32]; 4],
        (levels, finest): ([&mut [f32]; 3], &mut [f32]),
        mut arena: Arena<'_>,
        trace: &mut Trace<'_>,
    ) {
        let tokens = arena.take::<f32>(self.level_len(4));
        if trace.is_stopped() {
            return;
        }
        self.encode(cpu, maps[3], tokens, arena.rest(), trace);
        let [level_4, level_3, level_2] = levels;
        let [rung_3, rung_2, rung_1] = &self.rungs[..] else { unreachable!("three are made") };
        self.layer_4.forward(cpu, tokens, level_4, arena.rest(), trace);
        self.trace_level(4, level_4, trace);
        self.climb(cpu, rung_3, [maps[2], level_4], level_3, (arena.rest(), trace));
        self.climb(cpu, rung_2, [maps[1], level_3], level_2, (arena.rest(), trace));
        rung_1.join(cpu, [maps[0], level_2], finest, arena, trace);
    }

    /// A level from a map of the backbone and the level below.
    fn climb(
        &self,
        cpu: &Cpu,
        rung: &Rung,
        maps: [&[f32]; 2],
        to: &mut [f32],
        (mut arena, trace): (Arena<'_>, &mut Trace<'_>),
    ) {
        if trace.is_stopped() {
            return;
        }
        let sum = arena.take::<f32>(self.level_len(rung.level));
        rung.join(cpu, maps, sum, arena.rest(), trace);
        rung.layer.forward(cpu, sum, to, arena, trace);
        self.trace_level(rung.level, to, trace);
    }

    /// The mask features `[N, mask width]`, in place of the sum that the finest level is made of;
    /// `map` has room for either.
    pub fn features(
        &self,
        cpu: &Cpu,
        map: &mut [f32],
        mut arena: Arena<'_>,
        trace: &mut Trace<'_>,
    ) {
        let (level_1, sum) = (arena.take::<f32>(self.level_len(1)), self.level_len(1));
        let Some(rung) = self.rungs.last() else { unreachable!("three are made") };
        rung.layer.forward(cpu, &map[..sum], level_1, arena.rest(), trace);
        self.trace_level(1, level_1, trace);
        let start = Instant::now();
        let (pixels, width) = (self.pixels(1), self.mask_features.conv.out_channels);
        let features = &mut map[..pixels * width];
        self.mask_features.forward(cpu, level_1, Some(&self.mask_bias), features, arena);
        trace.multiplied(
            CONVOLUTIONS,
            start,
            self.mask_features.flop(),
            self.mask_features.precision,
        );
        trace.map(|| "pixdec.mask_features".into(), Rows::row_major(features, pixels, width));
    }

    fn trace_level(&self, level: usize, map: &[f32], trace: &mut Trace<'_>) {
        let rows = Rows::row_major(map, self.pixels(level), self.width);
        trace.map(|| format!("pixdec.layer_{level}"), rows);
    }

    /// The DETR encoder: `tokens` takes the coarsest map after it, `[N, C]`.
    fn encode(
        &self,
        cpu: &Cpu,
        map: &[f32],
        tokens: &mut [f32],
        mut arena: Arena<'_>,
        trace: &mut Trace<'_>,
    ) {
        let start = Instant::now();
        let pixels = self.pixels(4);
        self.input_proj.rows(cpu, map, tokens, arena.rest());
        trace.map(|| "pixdec.input_proj".into(), Rows::row_major(tokens, pixels, self.width));
        let placed = arena.take::<f32>(tokens.len());
        if trace.is_watched() {
            self.position.write(placed);
            let rows = Rows::row_major(placed, pixels, self.width);
            trace.map(|| "pixdec.pos_res5".into(), rows);
        }
        for (index, layer) in self.encoder.iter().enumerate() {
            self.position.add_to(cpu, tokens, placed);
            layer.forward(cpu, placed, tokens, arena.rest());
            trace.stage(|| format!("pixdec.encoder.layers.{index}"), tokens);
        }
        let flop: u64 = self.encoder.iter().map(|layer| layer.flop(pixels)).sum();
        trace.took("transformer encoder", start, flop + self.input_proj.flop(pixels));
    }
}

impl Rung {
    fn norm_bytes(&self, pixels: usize) -> usize {
        Arena::bytes::<f32>(self.norm.group().rows_scratch(pixels))
    }

    /// `sum = norm(adapter(map)) + upsampled(coarser)`.
    fn join(
        &self,
        cpu: &Cpu,
        [map, coarser]: [&[f32]; 2],
        sum: &mut [f32],
        mut arena: Arena<'_>,
        trace: &mut Trace<'_>,
    ) {
        let start = Instant::now();
        let width = self.adapter.columns();
        let pixels = sum.len() / width;
        self.adapter.rows(cpu, map, sum, arena.rest());
        {
            let mut arena = arena.rest();
            let norm = self.norm.group();
            let scratch = arena.take(norm.rows_scratch(pixels));
            let rows = RowsMut::row_major(&mut *sum, pixels, width);
            norm.forward_rows(cpu, rows, Activation::Identity, scratch);
        }
        let name = || format!("pixdec.adapter_{}", self.level);
        trace.map(name, Rows::row_major(sum, pixels, width));
        let side = pixels.isqrt();
        let resize = Resize { from: [side / 2; 2], to: [side; 2] };
        let coarser = Rows::row_major(coarser, pixels / 4, width);
        resize.add_nearest_rows(cpu, coarser, RowsMut::row_major(sum, pixels, width));
        trace.took("pyramid: lateral maps", start, self.adapter.flop(pixels));
    }
}
