//! The query decoder: object queries look at the picture, then talk with the words.
//!
//! Legend: Q object queries, T grounding tokens, C width, N pixels of a level, S the picture's side.

use std::time::Instant;

use half::bf16;
use medparse_config::{LEVELS, NetworkConfig};
use medparse_kernels::attention::{Attention, AttentionOutput};
use medparse_kernels::gemm::{Epilogue, Panels, Rows, RowsMut, gemm_f32, pack_f32};
use medparse_kernels::{Arena, Cpu, Matrix};

use crate::attention::Formats;
use crate::backbone::stage_side;
use crate::image::EncodedImage;
use crate::linear::Linear;
use crate::loader::Loader;
use crate::norm::{EPSILON, Norm};
use crate::position::Position;
use crate::precision::Precision;
use crate::rows::pitch;
use crate::stored::Vector;
use crate::trace::Trace;

mod layer;
mod look;
mod perceptron;

use layer::Layer;
use perceptron::Perceptron;

/// The query decoder.
#[derive(Debug)]
pub(crate) struct QueryDecoder {
    width: usize,
    queries: usize,
    mask_width: usize,
    /// The format that keys and values of the picture are kept in: f32 or bfloat16.
    seen: Precision,
    /// Side of the mask features, in pixels.
    side: usize,
    query_feat: Vector,
    query_embed: Vector,
    level_embed: Vector,
    positions: [Position; LEVELS],
    layers: Vec<Layer>,
    decoder_norm: Norm,
    mask_embed: Perceptron,
    class_embed: Linear,
    presence_head: Option<Perceptron>,
}

/// What the object queries say in the end.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// Components of a row of `class_embed`.
    pub width: usize,
    /// `[Q, projection]`: each query in the space of the phrases, not normalised.
    pub class_embed: Vec<f32>,
    /// `[Q]`: how sure each query is that what it speaks for is there, as logits; none where the
    /// network has no such head.
    pub presence: Option<Vec<f32>>,
    /// `[Q, mask width]`: the factors of each query's mask on the mask features.
    pub(crate) mask_embed: Vec<f32>,
}

impl QueryDecoder {
    pub fn load<E>(
        loader: &mut Loader<'_, E>,
        config: &NetworkConfig,
        formats: Formats,
    ) -> Result<Self, E> {
        let sizes = &config.query_decoder;
        let (width, queries) = (sizes.hidden_width, sizes.queries);
        let (mask_width, projection) = (config.pixel_decoder.mask_width, config.projection_width);
        let root = "sem_seg_head.predictor";
        let mut embedding = |name: &str, rows: usize| {
            loader.vector(&format!("{root}.{name}.weight"), &[rows, width])
        };
        let query_feat = embedding("query_feat", queries)?;
        let query_embed = embedding("query_embed", queries)?;
        let level_embed = embedding("level_embed", LEVELS)?;
        let layers = (0..sizes.layers)
            .map(|layer| Layer::load(loader, config, layer, formats))
            .collect::<Result<_, E>>()?;
        let class_embed = loader.projection(&format!("{root}.class_embed"), [width, projection])?;
        let presence = config
            .presence_head
            .then(|| Perceptron::load(loader, &format!("{root}.presence_head"), [width, width, 1]));
        let masks = [width, width, mask_width];
        Ok(Self {
            width,
            queries,
            mask_width,
            seen: formats.seen.of_words(),
            side: stage_side(config.image_size, 0),
            query_feat,
            query_embed,
            level_embed,
            positions: std::array::from_fn(|level| {
                Position::new(width, [stage_side(config.image_size, LEVELS - level); 2])
            }),
            layers,
            decoder_norm: Norm::load(loader, &format!("{root}.decoder_norm"), width, EPSILON)?,
            mask_embed: Perceptron::load(loader, &format!("{root}.mask_embed"), masks)?,
            class_embed,
            presence_head: presence.transpose()?,
        })
    }

    /// Components of a query or token.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Side of a level in pixels, 0 the coarsest.
    fn level_side(&self, level: usize) -> usize {
        self.side >> (LEVELS - level)
    }

    /// Pixels of a level, 0 the coarsest.
    fn pixels(&self, level: usize) -> usize {
        self.level_side(level).pow(2)
    }

    /// Values of scratch space of an attention to the picture.
    fn packed_scratch(&self, cpu: &Cpu, problem: &Attention) -> usize {
        match self.seen {
            Precision::F32 => problem.packed_scratch::<f32>(cpu),
            Precision::Bf16 | Precision::Int8 => problem.packed_scratch::<bf16>(cpu),
        }
    }

    /// The attention of a layer to its level.
    fn cross(&self, layer: usize) -> Attention {
        self.layers[layer].cross.problem(1, self.queries, self.pixels(layer % LEVELS))
    }

    /// Bytes that [`QueryDecoder::ask`] takes of an arena.
    pub fn ask_bytes(&self, cpu: &Cpu, tokens: usize) -> usize {
        let rows = self.queries + tokens;
        let all = Arena::bytes::<f32>(rows * self.width);
        let masks = Arena::bytes::<f32>(self.queries * self.mask_width);
        let layers = self.layers.iter().enumerate().map(|(index, layer)| {
            let cross = self.cross(index);
            let scratch = Arena::bytes::<f32>(self.packed_scratch(cpu, &cross))
                .max(layer.cross.query.scratch(self.queries))
                .max(layer.cross.output.scratch(self.queries));
            let logits = Arena::bytes::<f32>(self.queries * pitch(cross.keys));
            let looking = 2 * Arena::bytes::<f32>(self.queries * self.width) + scratch;
            let talking = (all + layer.talk.bytes(cpu, 1, rows)).max(layer.mlp.bytes(rows));
            looking.max(talking).max(logits)
        });
        let heads = Arena::bytes::<f32>(self.queries * self.width)
            + [Some(&self.mask_embed), self.presence_head.as_ref()]
                .into_iter()
                .flatten()
                .map(|head| head.bytes(self.queries))
                .fold(self.class_embed.scratch(self.queries), usize::max);
        3 * all + masks + layers.fold(heads, usize::max)
    }

    /// Asks a picture with the tokens `[T, C]` of all phrases.
    pub fn ask(
        &self,
        cpu: &Cpu,
        image: &EncodedImage,
        tokens: &[f32],
        mut arena: Arena<'_>,
        trace: &mut Trace<'_>,
    ) -> Decoded {
        let start = Instant::now();
        let objects = self.queries * self.width;
        let len = objects + tokens.len();
        // The objects first, then the tokens.
        let [x, place, copy]: [&mut [f32]; 3] = std::array::from_fn(|_| arena.take(len));
        let masks = arena.take::<f32>(self.queries * self.mask_width);
        x[..objects].copy_from_slice(&self.query_feat);
        x[objects..].copy_from_slice(tokens);
        place[..objects].copy_from_slice(&self.query_embed);
        // The tokens' place is their own first value.
        place[objects..].copy_from_slice(tokens);
        trace.stage(|| "dec.self_query_pos".into(), place);
        let most = (0..LEVELS).map(|level| self.pixels(level)).max().unwrap_or(0);
        let mut blocked = vec![false; self.queries * most];
        self.heads(cpu, (&x[..objects], masks), (image, 0), arena.rest(), trace);
        for (index, layer) in self.layers.iter().enumerate() {
            let blocked = &mut blocked[..self.queries * self.pixels(index % LEVELS)];
            self.close(cpu, image, masks, (index % LEVELS, &mut *blocked), arena.rest());
            trace.cross_mask(index, blocked);
            let objects = &mut x[..objects];
            self.look_again(cpu, (image, index), (&*place, &*blocked), objects, arena.rest());
            trace.stage(|| format!("dec.layers.{index}.cross_out"), objects);
            layer.talk(cpu, x, (&*place, &mut *copy), arena.rest());
            trace.stage(|| format!("dec.layers.{index}.self_out"), x);
            copy.copy_from_slice(x);
            layer.mlp.add(cpu, copy, x, arena.rest());
            layer.mlp_norm.in_place(cpu, x);
            trace.stage(|| format!("dec.layers.{index}.ffn_out"), x);
            let heads = (image, index + 1);
            self.heads(cpu, (&x[..self.queries * self.width], masks), heads, arena.rest(), trace);
        }
        let decoded = self.answer(cpu, &x[..objects], masks, arena);
        trace.took("query decoder", start, self.flop(len / self.width));
        decoded
    }

    /// Multiplications and additions of a question.
    fn flop(&self, rows: usize) -> u64 {
        let layers = self.layers.iter().enumerate().map(|(index, layer)| {
            let pixels = self.pixels(index % LEVELS);
            let masks = 2 * (self.queries * pixels * self.mask_width) as u64;
            let talk = layer.talk.flop(rows, rows) + 2 * layer.talk.key.flop(rows);
            masks + layer.cross.flop(self.queries, pixels) + talk + layer.mlp.flop(rows)
        });
        // Before the first layer, and after each.
        let heads = (self.layers.len() as u64 + 1) * self.mask_embed.flop(self.queries);
        let presence = self.presence_head.as_ref().map_or(0, |head| head.flop(self.queries));
        layers.sum::<u64>() + heads + self.class_embed.flop(self.queries) + presence
    }

    /// Where a query may not look, `[Q, N]`: the positions at which its shrunken mask is closed; a
    /// query whose mask is closed everywhere may look everywhere.
    fn close(
        &self,
        cpu: &Cpu,
        image: &EncodedImage,
        masks: &[f32],
        (level, blocked): (usize, &mut [bool]),
        mut arena: Arena<'_>,
    ) {
        let pixels = self.pixels(level);
        let pitch = pitch(pixels);
        let logits = arena.take::<f32>(self.queries * pitch);
        let panels = Panels::new(image.panels(level), self.mask_width, pixels);
        let rows = Rows::row_major(masks, self.queries, self.mask_width);
        let into = RowsMut::pitched(&mut *logits, self.queries, pixels, pitch);
        gemm_f32(cpu, rows, panels, &Epilogue::default(), into.into());
        let rows = blocked.chunks_mut(pixels).zip(logits.chunks(pitch));
        cpu.threads().each(rows, |(blocked, logits)| {
            // The sigmoid is below one half exactly where the logit is below zero.
            blocked.iter_mut().zip(logits).for_each(|(blocked, logit)| *blocked = *logit < 0.0);
            if blocked.iter().all(|&blocked| blocked) {
                blocked.fill(false);
            }
        });
    }

    /// The cross-attention of a layer: `objects = norm(objects + attention)`.
    fn look_again(
        &self,
        cpu: &Cpu,
        (image, index): (&EncodedImage, usize),
        (place, blocked): (&[f32], &[bool]),
        objects: &mut [f32],
        mut arena: Arena<'_>,
    ) {
        let layer = &self.layers[index];
        let [placed, mixed]: [&mut [f32]; 2] =
            std::array::from_fn(|_| arena.take::<f32>(objects.len()));
        let sums = objects.iter().zip(place);
        mixed.iter_mut().zip(sums).for_each(|(to, (object, place))| *to = object + place);
        layer.cross.query.rows(cpu, mixed, placed, arena.rest());
        let problem = self.cross(index);
        {
            let mut arena = arena.rest();
            let scratch = arena.take(self.packed_scratch(cpu, &problem));
            let output = AttentionOutput { out: &mut *mixed, logsumexp: None };
            let blocked = Some(blocked);
            match self.seen {
                Precision::F32 => {
                    let seen = (image.seen::<f32>(index), blocked);
                    problem.forward_packed(cpu, placed, seen, output, scratch);
                }
                Precision::Bf16 | Precision::Int8 => {
                    let seen = (image.seen::<bf16>(index), blocked);
                    problem.forward_packed(cpu, placed, seen, output, scratch);
                }
            }
        }
        layer.cross.output.add(cpu, mixed, objects, arena);
        layer.cross_norm.in_place(cpu, objects);
    }

    /// The factors of each query's mask; whoever watches sees all that the queries say.
    fn heads(
        &self,
        cpu: &Cpu,
        (objects, masks): (&[f32], &mut [f32]),
        (image, index): (&EncodedImage, usize),
        mut arena: Arena<'_>,
        trace: &mut Trace<'_>,
    ) {
        let normal = arena.take::<f32>(objects.len());
        self.decoder_norm.rows(cpu, objects, normal);
        self.mask_embed.forward(cpu, normal, masks, arena.rest());
        if trace.is_watched() {
            let mut classes = vec![0.0; self.queries * self.class_embed.columns()];
            self.class_embed.rows(cpu, normal, &mut classes, arena.rest());
            trace.stage(|| format!("dec.heads.{index}.class_embed"), &classes);
            trace.stage(|| format!("dec.heads.{index}.mask_embed"), masks);
            let all: Vec<usize> = (0..self.queries).collect();
            let masks = self.masks(cpu, image, masks, &all);
            trace.stage(|| format!("dec.heads.{index}.pred_masks"), &masks);
        }
    }

    /// What the queries say after the last layer.
    fn answer(&self, cpu: &Cpu, objects: &[f32], masks: &[f32], mut arena: Arena<'_>) -> Decoded {
        let normal = arena.take::<f32>(objects.len());
        self.decoder_norm.rows(cpu, objects, normal);
        let width = self.class_embed.columns();
        let mut class_embed = vec![0.0; self.queries * width];
        self.class_embed.rows(cpu, normal, &mut class_embed, arena.rest());
        let presence = self.presence_head.as_ref().map(|head| {
            let mut presence = vec![0.0; self.queries];
            head.forward(cpu, normal, &mut presence, arena.rest());
            presence
        });
        Decoded { width, class_embed, presence, mask_embed: masks.to_vec() }
    }

    /// The masks of some queries as logits, `[queries.len(), S/4, S/4]`.
    pub fn masks(
        &self,
        cpu: &Cpu,
        image: &EncodedImage,
        mask_embed: &[f32],
        queries: &[usize],
    ) -> Vec<f32> {
        let (pixels, depth, count) = (self.side.pow(2), self.mask_width, queries.len());
        let factors = queries.iter().flat_map(|&query| &mask_embed[query * depth..][..depth]);
        let factors: Vec<f32> = factors.copied().collect();
        let mut panels = vec![0.0; Panels::<f32>::len(depth, count)];
        pack_f32(cpu, Matrix::row_major(&factors, count, depth).transposed(), &mut panels);
        let mut logits = vec![0.0; pixels * count];
        let features = Rows::row_major(image.features(), pixels, depth);
        let panels = Panels::new(&panels, depth, count);
        let into = RowsMut::row_major(&mut logits, pixels, count);
        gemm_f32(cpu, features, panels, &Epilogue::default(), into.into());
        let mut masks = vec![0.0; pixels * count];
        for (query, mask) in masks.chunks_mut(pixels).enumerate() {
            let values = logits[query..].iter().step_by(count);
            mask.iter_mut().zip(values).for_each(|(to, value)| *to = *value);
        }
        masks
    }
}
