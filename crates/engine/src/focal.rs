//! A block of focal modulation and a perceptron (Yang et al., "Focal Modulation Networks", 2022).
//!
//! Two passes over the pixels, in chunks whose rows stay in the cache, with the context between
//! them. The second pass takes a chunk through everything that is left:
//!
//! ```text
//! m  =  (context · W_h + b_h + gate · (W_h global)) * query
//! x  =  x + gamma_1 * norm1(proj(m))
//! x  =  x + gamma_2 * norm2(fc2(GELU(fc1(x))))
//! ```
//!
//! The global context enters as a product of two vectors, since `h` is linear.
//!
//! Legend: N pixels, C channels, L levels.

use std::time::Instant;

use medparse_config::BackboneConfig;
use medparse_kernels::depthwise::{FocalContext, FocalLevel};
use medparse_kernels::gemm::{Context, Epilogue, Output, Rows, RowsMut};
use medparse_kernels::{Activation, Arena, Cpu, Matrix};

use crate::linear::Linear;
use crate::loader::Loader;
use crate::norm::{EPSILON, Norm};
use crate::precision::Precision;
use crate::rows::{Planes, Room, pitch};
use crate::stored::Vector;
use crate::threads::{chunk_rows, worker_bytes, workers};
use crate::trace::Trace;

/// The pixels that are worked on together.
pub(crate) struct Map {
    /// Rows and columns of pixels.
    pub size: [usize; 2],
    /// How a stage calls its parts when they are measured.
    pub parts: &'static PartNames,
}

/// The parts of a stage.
pub(crate) struct PartNames {
    pub projections: &'static str,
    pub context: &'static str,
    pub products: &'static str,
}

/// A focal block: post-norm with layer scale, so the residual stream itself is never normalised.
#[derive(Debug)]
pub(crate) struct FocalBlock {
    width: usize,
    hidden: usize,
    precision: Precision,
    /// The parts of `modulation.f`: what is modulated, what the context is made of, the gates.
    query: Linear,
    context: Linear,
    gates: Linear,
    /// Side and weights of each level's depthwise filters.
    levels: Vec<(usize, Vector)>,
    h: Linear,
    proj: Linear,
    norm1: Norm,
    gamma_1: Vector,
    fc1: Linear,
    fc2: Linear,
    norm2: Norm,
    gamma_2: Vector,
}

impl FocalBlock {
    pub fn load<E>(
        loader: &mut Loader<'_, E>,
        key: &str,
        config: &BackboneConfig,
        stage: usize,
        precision: Precision,
    ) -> Result<Self, E> {
        let (width, hidden) = (config.stage_width(stage), config.hidden_width(stage));
        let count = config.focal_levels[stage];
        let f = format!("{key}.modulation.f");
        let rows = 2 * width + count + 1;
        let weight = loader.raw(&format!("{f}.weight"), &[rows, width])?;
        let bias = loader.raw(&format!("{f}.bias"), &[rows])?;
        let mut part = |name: &str, first: usize, columns: usize| {
            let matrix = weight.as_deref().map(|weight| {
                Matrix::row_major(&weight[first * width..], columns, width).transposed()
            });
            let name = format!("{f}.{name}");
            let bias = bias.as_deref().map(|bias| &bias[first..first + columns]);
            Linear {
                packed: loader.panels(&name, matrix, [width, columns], precision),
                bias: Some(loader.part_of(&format!("{name}.bias"), bias, &[columns])),
            }
        };
        let query = part("query", 0, width);
        let context = part("context", width, width);
        let gates = part("gates", 2 * width, count + 1);
        let levels = (0..count).map(|level| {
            let kernel = config.focal_windows[stage] + 2 * level;
            let key = format!("{key}.modulation.focal_layers.{level}.0.weight");
            Ok((kernel, loader.depthwise(&key, width, kernel)?))
        });
        let levels = levels.collect::<Result<_, E>>()?;
        Ok(Self {
            width,
            hidden,
            precision,
            query,
            context,
            gates,
            levels,
            h: loader.pointwise(&format!("{key}.modulation.h"), [width, width], precision)?,
            proj: loader.linear(&format!("{key}.modulation.proj"), [width, width], precision)?,
            norm1: Norm::load(loader, &format!("{key}.norm1"), width, EPSILON)?,
            gamma_1: loader.vector(&format!("{key}.gamma_1"), &[width])?,
            fc1: loader.linear(&format!("{key}.mlp.fc1"), [hidden, width], precision)?,
            fc2: loader.linear(&format!("{key}.mlp.fc2"), [width, hidden], precision)?,
            norm2: Norm::load(loader, &format!("{key}.norm2"), width, EPSILON)?,
            gamma_2: loader.vector(&format!("{key}.gamma_2"), &[width])?,
        })
    }

    /// Bytes of what is modulated and what the context is made of.
    fn projected_bytes(&self, pixels: usize) -> usize {
        2 * Planes::bytes(Precision::F32, [pixels, self.width])
    }

    /// Bytes that [`FocalBlock::forward`] takes of an arena, beside so many that are to spare.
    pub fn bytes(&self, cpu: &Cpu, size: [usize; 2], spare: usize) -> usize {
        let pixels = size[0] * size[1];
        let shape = [pixels, self.width];
        let projected = Some(self.projected_bytes(pixels)).filter(|&bytes| bytes > spare);
        let gates = Arena::bytes::<f32>(pixels * (self.levels.len() + 1));
        let vectors = 2 * Arena::bytes::<f32>(self.width);
        let levels = self.focal_levels();
        let nothing = self.focal_context(&levels, size, (Rows::row_major(&[], 0, self.width), &[]));
        let scratch = Arena::bytes::<f32>(nothing.scratch(cpu))
            .max(worker_bytes(cpu, self.worker_bytes(chunk_rows(cpu, pixels))))
            .max(self.h.scratch(1));
        projected.unwrap_or(0) + Planes::bytes(self.precision, shape) + gates + vectors + scratch
    }

    /// Memory of one thread in either pass.
    fn worker_bytes(&self, chunk: usize) -> usize {
        let room = |columns| Room::bytes(self.precision, chunk, columns);
        let branch = Arena::bytes::<f32>(chunk * pitch(self.width));
        3 * room(self.width) + room(self.hidden) + branch
    }

    fn focal_levels(&self) -> Vec<FocalLevel<'_>> {
        self.levels
            .iter()
            .map(|(kernel, weights)| FocalLevel { kernel: *kernel, weights })
            .collect()
    }

    /// The context's problem; without pixels only good for asking what memory it takes.
    fn focal_context<'a>(
        &self,
        levels: &'a [FocalLevel<'a>],
        [height, width]: [usize; 2],
        (input, gates): (Rows<'a, f32>, &'a [f32]),
    ) -> FocalContext<'a> {
        let gates = Rows::row_major(gates, input.rows(), levels.len() + 1);
        let scale = 1.0 / (levels.len() + 1) as f32;
        FocalContext { height, width, levels, scale, input, gates }
    }

    /// `x` is `[N, C]`, and so it is afterwards; `spare` is memory that is used if it is enough for
    /// what is largest; `name` is the block's for whoever watches.
    pub fn forward(
        &self,
        cpu: &Cpu,
        map: &Map,
        x: &mut [f32],
        (mut arena, mut spare): (Arena<'_>, Arena<'_>),
        (name, trace): (&str, &mut Trace<'_>),
    ) {
        let pixels = map.size[0] * map.size[1];
        let (width, shape) = (self.width, [pixels, self.width]);
        let is_spared = self.projected_bytes(pixels) <= spare.free();
        let home = if is_spared { &mut spare } else { &mut arena };
        let [mut query, mut input] = [(); 2].map(|()| Planes::new(home, Precision::F32, shape));
        let mut context = Planes::new(&mut arena, self.precision, shape);
        let gates = arena.take::<f32>(pixels * (self.levels.len() + 1));
        let global = arena.take::<f32>(width);
        let everywhere = arena.take::<f32>(width);

        let start = Instant::now();
        self.project(cpu, x, [query.rows_mut(), input.rows_mut()], gates, arena.rest());
        let flop = [&self.query, &self.context, &self.gates].map(|map| map.flop(pixels));
        trace.multiplied(map.parts.projections, start, flop.iter().sum(), self.precision);

        let start = Instant::now();
        let levels = self.focal_levels();
        let problem = self.focal_context(&levels, map.size, (input.rows(), gates));
        {
            let mut arena = arena.rest();
            let scratch = arena.take::<f32>(problem.scratch(cpu));
            problem.run(cpu, context.output(), global, scratch);
        }
        let taps: usize = self.levels.iter().map(|(kernel, _)| kernel * kernel).sum();
        trace.took(map.parts.context, start, 2 * (pixels * width * taps) as u64);

        let start = Instant::now();
        let into = RowsMut::row_major(&mut *everywhere, 1, width);
        let one = Rows::row_major(&*global, 1, width);
        self.h.apply(cpu, one, &Epilogue::default(), into, arena.rest());
        everywhere.iter_mut().for_each(|value| *value *= problem.scale);
        let second = Second { query: query.rows(), context: &context, gates, everywhere };
        self.mix(cpu, x, &second, arena.rest(), (name, trace));
        let flop = [&self.h, &self.proj, &self.fc1, &self.fc2].map(|map| map.flop(pixels));
        trace.multiplied(map.parts.products, start, flop.iter().sum(), self.precision);
    }

    /// The first pass: what is modulated, what the context is made of, and the gates.
    fn project(
        &self,
        cpu: &Cpu,
        x: &[f32],
        [query, context]: [RowsMut<'_, f32>; 2],
        gates: &mut [f32],
        mut arena: Arena<'_>,
    ) {
        let (width, gate_count) = (self.width, self.levels.len() + 1);
        let chunk = chunk_rows(cpu, x.len() / width);
        let mut workers = workers(cpu, &mut arena, self.worker_bytes(chunk));
        let tasks = x.chunks(chunk * width).zip(query.chunks(chunk));
        let tasks = tasks.zip(context.chunks(chunk)).zip(gates.chunks_mut(chunk * gate_count));
        let alone = &Cpu::single(cpu.isa());
        cpu.threads().each_with(&mut workers, tasks, |arena, (((x, query), context), gates)| {
            let mut arena = arena.rest();
            let mut room = Room::new(&mut arena, self.precision, chunk, width);
            let rows = x.len() / width;
            let x = room.hold(alone, Rows::row_major(x, rows, width));
            self.query.product(alone, x, &self.query.epilogue(), query.into());
            self.context.product(alone, x, &self.context.epilogue(), context.into());
            let gates = RowsMut::row_major(gates, rows, gate_count);
            self.gates.product(alone, x, &self.gates.epilogue(), gates.into());
        });
    }

    /// The second pass: all that follows the context.
    fn mix(
        &self,
        cpu: &Cpu,
        x: &mut [f32],
        second: &Second<'_>,
        mut arena: Arena<'_>,
        (name, trace): (&str, &mut Trace<'_>),
    ) {
        let (width, gate_count) = (self.width, self.levels.len() + 1);
        let chunk = chunk_rows(cpu, x.len() / width);
        let mut workers = workers(cpu, &mut arena, self.worker_bytes(chunk));
        let mut modulated = trace.is_watched().then(|| vec![0f32; x.len()]);
        let mut watched = modulated.iter_mut().flat_map(|all| all.chunks_mut(chunk * width));
        let tasks = x.chunks_mut(chunk * width).zip(second.gates.chunks(chunk * gate_count));
        let tasks = tasks.enumerate().map(|(index, (x, gates))| Chunk {
            first: index * chunk,
            x,
            gates,
            modulated: watched.next(),
        });
        cpu.threads().each_with(&mut workers, tasks, |arena, task| {
            self.mix_chunk(&Cpu::single(cpu.isa()), task, second, chunk, arena.rest());
        });
        if let Some(modulated) = modulated {
            trace.stage(|| format!("{name}.modulation"), &modulated);
            trace.stage(|| name.into(), x);
        }
    }

    fn mix_chunk(
        &self,
        cpu: &Cpu,
        task: Chunk<'_>,
        second: &Second<'_>,
        chunk: usize,
        mut arena: Arena<'_>,
    ) {
        let Chunk { first, x, gates, modulated } = task;
        let (width, hidden) = (self.width, self.hidden);
        let rows = x.len() / width;
        let range = first..first + rows;
        let mut room = |columns| Room::new(&mut arena, self.precision, chunk, columns);
        let [mut given, mut mixed, mut stream] = [width; 3].map(&mut room);
        let mut wide = room(hidden);
        let branch = arena.take::<f32>(chunk * pitch(width));
        let mut branch = RowsMut::pitched(branch, rows, width, pitch(width));

        let levels = self.levels.len();
        let epilogue = Epilogue {
            context: Some(Context {
                gates: &gates[levels..],
                gate_stride: levels + 1,
                values: second.everywhere,
            }),
            multiply: Some(second.query.slice_rows(range.clone())),
            ..self.h.epilogue()
        };
        let context = second.context.input(cpu, range, &mut given);
        let product = |output: Output<'_>| {
            self.h.product(cpu, context, &epilogue, output);
        };
        let mixed = mixed.fill(cpu, [rows, width], product);
        self.proj.product(cpu, mixed, &self.proj.epilogue(), branch.reborrow().into());
        if let Some(modulated) = modulated {
            branch.as_rows().copy_to(RowsMut::row_major(modulated, rows, width));
        }
        let into = RowsMut::row_major(&mut *x, rows, width);
        self.norm1.layer().add_scaled(cpu, branch.as_rows(), &self.gamma_1, into);

        let epilogue = Epilogue { activation: Activation::Gelu, ..self.fc1.epilogue() };
        let stream = stream.hold(cpu, Rows::row_major(x, rows, width));
        let wide = wide.fill(cpu, [rows, hidden], |output| {
            self.fc1.product(cpu, stream, &epilogue, output);
        });
        self.fc2.product(cpu, wide, &self.fc2.epilogue(), branch.reborrow().into());
        let into = RowsMut::row_major(x, rows, width);
        self.norm2.layer().add_scaled(cpu, branch.as_rows(), &self.gamma_2, into);
    }
}

/// What the second pass reads.
struct Second<'a> {
    query: Rows<'a, f32>,
    context: &'a Planes<'a>,
    /// `[N, L + 1]`; the last is the global context's.
    gates: &'a [f32],
    /// The global context after `h`, without its gate.
    everywhere: &'a [f32],
}

/// A chunk of the second pass.
struct Chunk<'a> {
    first: usize,
    x: &'a mut [f32],
    gates: &'a [f32],
    /// Takes the modulated rows, where somebody watches.
    modulated: Option<&'a mut [f32]>,
}
