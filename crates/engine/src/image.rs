//! What the query decoder needs of a picture.

use std::sync::Arc;

use medparse_config::LEVELS;
use medparse_kernels::Arena;
use medparse_kernels::attention::KeyValues;

use crate::stored::Number;
use crate::workspace::Block;

/// A picture as the query decoder sees it: mask features, attention keys and values of every
/// layer. It depends on no prompt, and is wiped when it is dropped.
#[derive(Debug)]
pub struct EncodedImage {
    block: Block,
    layout: Arc<ImageLayout>,
}

/// Where the parts of an encoded picture lie, one after the other.
#[derive(Debug)]
pub(crate) struct ImageLayout {
    /// Values of the mask features.
    pub features: usize,
    /// Values of the panels of each level's shrunken mask features.
    pub panels: [usize; LEVELS],
    /// Bytes of the packed keys and values of each layer.
    pub seen: Vec<[usize; 2]>,
}

/// The parts of an encoded picture, to be written.
pub(crate) struct ImageParts<'a> {
    pub features: &'a mut [f32],
    pub panels: [&'a mut [f32]; LEVELS],
    pub seen: Vec<[&'a mut [u8]; 2]>,
}

impl ImageLayout {
    /// Bytes of all parts.
    pub fn bytes(&self) -> usize {
        let seen = self.seen.iter().flatten().copied().map(Arena::bytes::<u8>);
        self.seen_start() + seen.sum::<usize>()
    }

    /// Where the keys and values begin.
    fn seen_start(&self) -> usize {
        let panels = self.panels.map(Arena::bytes::<f32>);
        Arena::bytes::<f32>(self.features) + panels.iter().sum::<usize>()
    }

    /// Cuts the parts from a block of [`ImageLayout::bytes`].
    pub fn parts<'a>(&self, block: &'a mut [u8]) -> ImageParts<'a> {
        let mut arena = Arena::new(block);
        ImageParts {
            features: arena.take(self.features),
            panels: self.panels.map(|len| arena.take(len)),
            seen: self.seen.iter().map(|lens| lens.map(|len| arena.take(len))).collect(),
        }
    }
}

impl EncodedImage {
    /// A picture in `block`, which has been filled as `layout` says.
    pub(crate) fn new(block: Block, layout: Arc<ImageLayout>) -> Self {
        Self { block, layout }
    }

    /// What it takes in memory.
    pub fn bytes(&self) -> usize {
        self.block.len()
    }

    /// Which engine's pictures it is like.
    pub(crate) fn layout(&self) -> &Arc<ImageLayout> {
        &self.layout
    }

    /// `[pixels, mask width]`, and perhaps more.
    pub(crate) fn features(&self) -> &[f32] {
        self.part(0, self.layout.features)
    }

    /// The shrunken mask features of a level as panels, `[mask width, pixels]`.
    pub(crate) fn panels(&self, level: usize) -> &[f32] {
        let before = self.layout.panels[..level].iter().map(|&len| Arena::bytes::<f32>(len));
        let start = Arena::bytes::<f32>(self.layout.features) + before.sum::<usize>();
        self.part(start, self.layout.panels[level])
    }

    /// The keys and values of a layer.
    pub(crate) fn seen<T: Number>(&self, layer: usize) -> KeyValues<'_, T> {
        let seen = &self.layout.seen;
        let before = seen[..layer].iter().flatten().copied().map(Arena::bytes::<u8>);
        let start = self.layout.seen_start() + before.sum::<usize>();
        let [keys, values] = seen[layer];
        let part = |start: usize, len: usize| bytemuck::cast_slice(&self.block[start..start + len]);
        KeyValues {
            keys: part(start, keys),
            values: part(start + Arena::bytes::<u8>(keys), values),
        }
    }

    fn part(&self, start: usize, len: usize) -> &[f32] {
        bytemuck::cast_slice(&self.block[start..start + len * size_of::<f32>()])
    }
}

impl Drop for EncodedImage {
    /// What is kept for questions about a picture is gone with it, though its memory is used again.
    fn drop(&mut self) {
        self.block.fill(0);
    }
}
