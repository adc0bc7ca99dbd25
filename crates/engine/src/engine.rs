//! The whole network as one plan.

use std::sync::Arc;

use medparse_config::NetworkConfig;
use medparse_kernels::{Arena, Cpu, Isa, Threads};

use crate::attention::Formats;
use crate::backbone::Backbone;
use crate::image::{EncodedImage, ImageLayout};
use crate::loader::{Lacks, Loader, Origin, Values};
use crate::pixel_decoder::PixelDecoder;
use crate::precision::Precision;
use crate::query_decoder::{Decoded, QueryDecoder};
use crate::stored::Stored;
use crate::text_encoder::{EncodedText, TextEncoder};
use crate::trace::Trace;
use crate::workspace::Workspaces;

/// How an engine computes.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// The format of the products.
    pub precision: Precision,
    /// The instructions.
    pub isa: Isa,
    /// The threads. The answers do not depend on them.
    pub threads: Threads,
}

impl Default for EngineOptions {
    /// In f32, with the best instructions of this processor, on the threads that the process
    /// shares.
    fn default() -> Self {
        Self { precision: Precision::F32, isa: Isa::chosen(), threads: Threads::SHARED }
    }
}

/// A network, ready to run; shared by reference between threads.
#[derive(Debug)]
pub struct Engine {
    cpu: Cpu,
    precision: Precision,
    side: usize,
    backbone: Backbone,
    pixel_decoder: PixelDecoder,
    text_encoder: TextEncoder,
    query_decoder: QueryDecoder,
    layout: Arc<ImageLayout>,
    workspaces: Arc<Workspaces>,
    images: Arc<Workspaces>,
    stored: Vec<Arc<Stored>>,
}

impl Engine {
    /// Fills a network of this configuration with what `values` answers for each key and shape of
    /// the checkpoint, in C order.
    ///
    /// # Errors
    /// The first error of `values`.
    ///
    /// # Panics
    /// When `values` answers another number of values than the shape holds.
    pub fn filled<E>(
        config: &NetworkConfig,
        options: &EngineOptions,
        mut values: impl FnMut(&str, &[usize]) -> Result<Vec<f32>, E>,
    ) -> Result<Self, E> {
        let values: &mut Values<'_, E> = &mut values;
        Self::build(config, options, Origin::Values(values)).map(|(engine, _)| engine)
    }

    /// Makes the plan of weights from `origin`, and says what it did not give.
    pub(crate) fn build<E>(
        config: &NetworkConfig,
        options: &EngineOptions,
        origin: Origin<'_, E>,
    ) -> Result<(Self, Lacks), E> {
        let cpu = Cpu::new(options.isa, options.threads.clone());
        let (side, precision) = (config.image_size, options.precision);
        let formats = Formats { seen: precision, asked: precision.of_words() };
        let loader =
            &mut Loader { origin, cpu: cpu.clone(), stored: Vec::new(), lacks: Lacks::default() };
        let backbone = Backbone::load(loader, &config.backbone, side, precision)?;
        let pixel_decoder = PixelDecoder::load(loader, config, precision)?;
        let text_encoder = TextEncoder::load(loader, config, formats.asked)?;
        let query_decoder = QueryDecoder::load(loader, config, formats)?;
        let layout = Arc::new(query_decoder.layout(pixel_decoder.level_len(1)));
        let (stored, lacks) =
            (std::mem::take(&mut loader.stored), std::mem::take(&mut loader.lacks));
        let engine = Self {
            precision,
            side,
            backbone,
            pixel_decoder,
            text_encoder,
            query_decoder,
            layout,
            workspaces: Arc::default(),
            images: Arc::default(),
            stored,
            cpu,
        };
        Ok((engine, lacks))
    }

    /// The format of the products.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The instructions and threads.
    pub fn cpu(&self) -> &Cpu {
        &self.cpu
    }

    /// Side of the square picture, in pixels; masks have a quarter of it.
    pub fn image_side(&self) -> usize {
        self.side
    }

    /// The logarithm of the factor on similarities.
    pub fn logit_scale(&self) -> f32 {
        self.text_encoder.logit_scale()
    }

    /// All weights.
    pub(crate) fn stored(&self) -> &[Arc<Stored>] {
        &self.stored
    }

    /// Encodes a normalised picture, `[3, S, S]`; what comes of a run that was stopped
    /// ([`Trace::until`]) means nothing.
    ///
    /// # Panics
    /// If `planes` has another length.
    pub fn encode_image(&self, planes: &[f32], trace: &mut Trace<'_>) -> EncodedImage {
        assert_eq!(planes.len(), 3 * self.side.pow(2), "a picture of {} pixels a side", self.side);
        let cpu = &self.cpu;
        let level = |level| self.pixel_decoder.level_len(level);
        let maps: [usize; 4] = std::array::from_fn(|stage| self.backbone.map_len(stage));
        let levels = [level(4), level(3), level(2)];
        let spare = size_of::<f32>() * self.layout.features;
        let encoding = maps.map(Arena::bytes::<f32>).iter().sum::<usize>()
            + self.backbone.bytes(cpu, spare).max(self.pixel_decoder.pyramid_bytes(cpu));
        let rest = self.pixel_decoder.features_bytes(cpu).max(self.query_decoder.look_bytes());
        let bytes = levels.map(Arena::bytes::<f32>).iter().sum::<usize>() + encoding.max(rest);
        let mut workspace = self.workspaces.take(bytes);
        let mut arena = Arena::new(&mut workspace);
        let mut image = self.images.take(self.layout.bytes());
        let mut parts = self.layout.parts(&mut image);

        let [level_4, level_3, level_2]: [&mut [f32]; 3] = levels.map(|len| arena.take(len));
        {
            let mut arena = arena.rest();
            let mut maps: [&mut [f32]; 4] = maps.map(|len| arena.take(len));
            // The mask features come after the backbone, which uses their memory.
            let spare = Arena::new(bytemuck::cast_slice_mut(&mut *parts.features));
            self.backbone.forward(cpu, planes, &mut maps, (arena.rest(), spare), trace);
            let maps = maps.map(|map| &*map);
            let levels = [&mut *level_4, &mut *level_3, &mut *level_2];
            let finest = &mut parts.features[..level(1)];
            self.pixel_decoder.pyramid(cpu, maps, (levels, finest), arena, trace);
        }
        if !trace.is_stopped() {
            self.pixel_decoder.features(cpu, parts.features, arena.rest(), trace);
        }
        if !trace.is_stopped() {
            let levels = [level_4, level_3, level_2];
            self.query_decoder.look(cpu, levels, &mut parts, arena, trace);
        }
        EncodedImage::new(image, self.layout.clone())
    }

    /// Encodes sentences of token ids, start and end included.
    ///
    /// # Panics
    /// If a sentence is empty or longer than the context, or an id is outside the vocabulary.
    pub fn encode_text(&self, sentences: &[&[u32]], trace: &mut Trace<'_>) -> EncodedText {
        let [vocabulary, context] = self.text_encoder.limits();
        for ids in sentences {
            assert!((1..=context).contains(&ids.len()), "a sentence of 1 to {context} tokens");
            assert!(ids.iter().all(|&id| (id as usize) < vocabulary), "ids below {vocabulary}");
        }
        let mut workspace = self.workspaces.take(self.text_encoder.bytes(&self.cpu, sentences));
        self.text_encoder.forward(&self.cpu, sentences, Arena::new(&mut workspace), trace)
    }

    /// Asks an encoded picture with the tokens of all phrases, `[T, C]`.
    ///
    /// # Panics
    /// If another engine encoded the picture, or `tokens` are no whole rows.
    pub fn decode(&self, image: &EncodedImage, tokens: &[f32], trace: &mut Trace<'_>) -> Decoded {
        self.check(image);
        let width = self.query_decoder.width();
        assert!(tokens.len().is_multiple_of(width), "rows of {width} components");
        let bytes = self.query_decoder.ask_bytes(&self.cpu, tokens.len() / width);
        let mut workspace = self.workspaces.take(bytes);
        self.query_decoder.ask(&self.cpu, image, tokens, Arena::new(&mut workspace), trace)
    }

    /// The masks of some queries as logits, `[queries.len(), S/4, S/4]`.
    ///
    /// # Panics
    /// If another engine encoded the picture, or there is no such query.
    pub fn masks(&self, image: &EncodedImage, decoded: &Decoded, queries: &[usize]) -> Vec<f32> {
        self.check(image);
        self.query_decoder.masks(&self.cpu, image, &decoded.mask_embed, queries)
    }

    /// Whether this engine encoded the picture.
    pub fn has_encoded(&self, image: &EncodedImage) -> bool {
        Arc::ptr_eq(image.layout(), &self.layout)
    }

    #[track_caller]
    fn check(&self, image: &EncodedImage) {
        let own = self.has_encoded(image);
        assert!(own, "a picture must be asked through the engine that encoded it");
    }
}
