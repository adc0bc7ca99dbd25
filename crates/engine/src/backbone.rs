//! The FocalNet backbone: four stages of focal blocks, at strides 4, 8, 16 and 32.
//!
//! Maps are pixels with channels, `[N, C]`, row by row.

use std::time::Instant;

use medparse_config::BackboneConfig;
use medparse_kernels::conv::Conv;
use medparse_kernels::gemm::{Rows, RowsMut};
use medparse_kernels::{Arena, Cpu};

use crate::focal::{FocalBlock, Map, PartNames};
use crate::linear::Packed;
use crate::loader::Loader;
use crate::norm::{EPSILON, Norm};
use crate::precision::Precision;
use crate::stored::Vector;
use crate::trace::Trace;

const PARTS: [PartNames; 4] = [
    PartNames {
        projections: "stage 1: query, context, gates",
        context: "stage 1: depthwise context",
        products: "stage 1: modulation and perceptron",
    },
    PartNames {
        projections: "stage 2: query, context, gates",
        context: "stage 2: depthwise context",
        products: "stage 2: modulation and perceptron",
    },
    PartNames {
        projections: "stage 3: query, context, gates",
        context: "stage 3: depthwise context",
        products: "stage 3: modulation and perceptron",
    },
    PartNames {
        projections: "stage 4: query, context, gates",
        context: "stage 4: depthwise context",
        products: "stage 4: modulation and perceptron",
    },
];

/// The backbone.
#[derive(Debug)]
pub(crate) struct Backbone {
    side: usize,
    patch_embed: PatchEmbed,
    stages: Vec<Stage>,
}

#[derive(Debug)]
struct Stage {
    blocks: Vec<FocalBlock>,
    norm: Norm,
    downsample: Option<PatchEmbed>,
}

impl Backbone {
    pub fn load<E>(
        loader: &mut Loader<'_, E>,
        config: &BackboneConfig,
        side: usize,
        precision: Precision,
    ) -> Result<Self, E> {
        let stem = Conv {
            batch: 1,
            in_channels: 3,
            out_channels: config.embed_dim,
            height: side,
            width: side,
            kernel: 7,
            stride: config.patch_size,
            // As the reference: not the 3 that would centre the kernel.
            padding: 2,
        };
        // Three channels are no work for narrow formats.
        let patch_embed = PatchEmbed::load(loader, "backbone.patch_embed", stem, Precision::F32)?;
        let stages = (0..4).map(|index| {
            let width = config.stage_width(index);
            let blocks = (0..config.depths[index]).map(|block| {
                let key = format!("backbone.layers.{index}.blocks.{block}");
                FocalBlock::load(loader, &key, config, index, precision)
            });
            let blocks = blocks.collect::<Result<_, E>>()?;
            let norm = Norm::load(loader, &format!("backbone.norm{index}"), width, EPSILON)?;
            let downsample = (index < 3).then(|| {
                let side = stage_side(side, index);
                let conv = Conv {
                    batch: 1,
                    in_channels: width,
                    out_channels: 2 * width,
                    height: side,
                    width: side,
                    kernel: 3,
                    stride: 2,
                    padding: 1,
                };
                let key = format!("backbone.layers.{index}.downsample");
                PatchEmbed::load(loader, &key, conv, precision)
            });
            Ok(Stage { blocks, norm, downsample: downsample.transpose()? })
        });
        Ok(Self { side, patch_embed, stages: stages.collect::<Result<_, E>>()? })
    }

    /// Values of a stage's map.
    pub fn map_len(&self, stage: usize) -> usize {
        stage_side(self.side, stage).pow(2) * (self.patch_embed.conv.out_channels << stage)
    }

    /// Bytes that [`Backbone::forward`] takes of an arena, beside so many that are to spare.
    pub fn bytes(&self, cpu: &Cpu, spare: usize) -> usize {
        let stem = Arena::bytes::<f32>(3 * self.side * self.side) + self.patch_embed.bytes(cpu);
        let stages = self.stages.iter().enumerate().map(|(index, stage)| {
            let side = stage_side(self.side, index);
            let block = stage.blocks.first().map_or(0, |block| block.bytes(cpu, [side; 2], spare));
            block.max(stage.downsample.as_ref().map_or(0, |layer| layer.bytes(cpu)))
        });
        stages.fold(stem, usize::max)
    }

    /// `planes` is the normalised picture, `[3, S, S]`; `maps` take `res2` to `res5`, finest first;
    /// `spare` is memory that nobody needs before the end.
    pub fn forward(
        &self,
        cpu: &Cpu,
        planes: &[f32],
        maps: &mut [&mut [f32]; 4],
        (mut arena, mut spare): (Arena<'_>, Arena<'_>),
        trace: &mut Trace<'_>,
    ) {
        let start = Instant::now();
        {
            let mut arena = arena.rest();
            let pixels = arena.take::<f32>(planes.len());
            interleave(planes, pixels);
            self.patch_embed.forward(cpu, pixels, maps[0], arena);
        }
        trace.took("stem", start, self.patch_embed.flop());
        let width = self.patch_embed.conv.out_channels;
        let stem = Rows::row_major(maps[0], maps[0].len() / width, width);
        trace.map(|| "backbone.patch_embed".into(), stem);
        for (index, stage) in self.stages.iter().enumerate() {
            let side = stage_side(self.side, index);
            let map = Map { size: [side; 2], parts: &PARTS[index] };
            let (x, next) = neighbours(maps, index);
            for (block, layer) in stage.blocks.iter().enumerate() {
                if trace.is_stopped() {
                    return;
                }
                let name = if trace.is_watched() {
                    format!("backbone.layers.{index}.blocks.{block}")
                } else {
                    String::new()
                };
                layer.forward(cpu, &map, x, (arena.rest(), spare.rest()), (&name, trace));
            }
            let channels = width << index;
            if let (Some(downsample), Some(next)) = (&stage.downsample, next) {
                let start = Instant::now();
                downsample.forward(cpu, x, next, arena.rest());
                let format = downsample.weight.precision();
                trace.multiplied("downsampling", start, downsample.flop(), format);
                let name = || format!("backbone.layers.{index}.downsample");
                trace.map(name, Rows::row_major(next, side * side / 4, 2 * channels));
            }
            // The output is normalised; what flows on to the next stage was not.
            let start = Instant::now();
            stage.norm.in_place(cpu, x);
            trace.took("norms of the stages", start, 0);
            let name = || format!("backbone.res{}", index + 2);
            trace.map(name, Rows::row_major(x, side * side, channels));
        }
    }
}

/// Side of a stage's map, in pixels.
pub(crate) fn stage_side(side: usize, stage: usize) -> usize {
    side >> (stage + 2)
}

/// A stage's map and the next one's.
fn neighbours<'s>(
    maps: &'s mut [&mut [f32]; 4],
    index: usize,
) -> (&'s mut [f32], Option<&'s mut [f32]>) {
    let (map, rest) = maps[index..].split_first_mut().expect("there are four stages");
    (map, rest.first_mut().map(|map| &mut **map))
}

/// `[3, N]` to `[N, 3]`.
fn interleave(planes: &[f32], pixels: &mut [f32]) {
    let count = planes.len() / 3;
    let (red, rest) = planes.split_at(count);
    let (green, blue) = rest.split_at(count);
    let channels = red.iter().zip(green).zip(blue);
    for (pixel, ((red, green), blue)) in pixels.chunks_exact_mut(3).zip(channels) {
        pixel.copy_from_slice(&[*red, *green, *blue]);
    }
}

/// A strided convolution followed by a LayerNorm over channels.
#[derive(Debug)]
struct PatchEmbed {
    conv: Conv,
    weight: Packed,
    bias: Vector,
    norm: Norm,
}

impl PatchEmbed {
    fn load<E>(
        loader: &mut Loader<'_, E>,
        key: &str,
        conv: Conv,
        precision: Precision,
    ) -> Result<Self, E> {
        Ok(Self {
            weight: loader.convolution(&format!("{key}.proj.weight"), &conv, precision)?,
            bias: loader.vector(&format!("{key}.proj.bias"), &[conv.out_channels])?,
            norm: Norm::load(loader, &format!("{key}.norm"), conv.out_channels, EPSILON)?,
            conv,
        })
    }

    fn bytes(&self, cpu: &Cpu) -> usize {
        Arena::bytes::<f32>(self.conv.pixels_scratch(cpu, &self.weight.weights()))
    }

    fn flop(&self) -> u64 {
        let [height, width] = self.conv.output_size();
        let [depth, columns] = self.weight.shape();
        2 * (height * width * depth * columns) as u64
    }

    /// `[N, C]` to `[N', C']`.
    fn forward(&self, cpu: &Cpu, x: &[f32], y: &mut [f32], mut arena: Arena<'_>) {
        let Conv { in_channels, out_channels, height, width, .. } = self.conv;
        let weights = self.weight.weights();
        let scratch = arena.take(self.conv.pixels_scratch(cpu, &weights));
        let x = Rows::row_major(x, height * width, in_channels);
        let pixels = y.len() / out_channels;
        let into = RowsMut::row_major(&mut *y, pixels, out_channels);
        self.conv.forward_pixels(cpu, x, (&weights, Some(&self.bias)), into, scratch);
        self.norm.in_place(cpu, y);
    }
}
