//! What the query decoder needs of a picture.

use std::sync::Arc;

use medparse_kernels::Arena;
use medparse_kernels::attention::KeyValues;

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
    /// Values of the mask features; of the panels of each level's shrunken ones; of the packed keys
    /// and values of each layer.
    pub features: usize,
    pub panels: [usize; 3],
    pub seen: Vec<[usize; 2]>,
}

/// The parts of an encoded picture, to be written.
pub(crate) struct ImageParts<'a> {
    pub features: &'a mut [f32],
    pub panels: [&'a mut [f32]; 3],
    pub seen: Vec<[&'a mut [f32]; 2]>,
}

impl ImageLayout {
    /// Bytes of all parts.
    pub fn bytes(&self) -> usize {
        let lens = self.panels.into_iter().chain(self.seen.iter().flatten().copied());
        Arena::bytes::<f32>(self.features) + lens.map(Arena::bytes::<f32>).sum::<usize>()
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
    pub(crate) fn seen(&self, layer: usize) -> KeyValues<'_> {
        let ImageLayout { features, panels, seen } = &*self.layout;
        let before = panels.iter().chain(seen[..layer].iter().flatten());
        let before = before.map(|&len| Arena::bytes::<f32>(len)).sum::<usize>();
        let start = Arena::bytes::<f32>(*features) + before;
        let [keys, values] = seen[layer];
        KeyValues {
            keys: self.part(start, keys),
            values: self.part(start + Arena::bytes::<f32>(keys), values),
        }
    }

    fn part(&self, start: usize, len: usize) -> &[f32] {
        bytemuck::cast_slice(&self.block[start..start + len * size_of::<f32>()])
    }
}

impl Drop for EncodedImage {
    /// Nothing of a picture stays in memory that is used again.
    fn drop(&mut self) {
        self.block.fill(0);
    }
}
