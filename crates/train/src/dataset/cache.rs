//! Decoded pictures kept in memory, no larger than training needs them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use medparse::picture::{RgbView, Size};
use medparse::preprocess::resize_bicubic;

use super::{Dataset, DatasetError, Loaded};

/// A picture and its masks at the size that training draws from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `[height, width, 3]`.
    pub rgb: Vec<u8>,
    /// One for each target, `[height, width]`: how much of each pixel is foreground, of 255.
    pub masks: Vec<Vec<u8>>,
}

/// How much a [`Cache`] holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLimits {
    /// Longest side of a prepared picture, in pixels; larger ones are shrunk, smaller ones kept.
    pub longest_side: usize,
    /// Memory for pixels; what comes after is decoded anew each time.
    pub bytes: usize,
}

/// The pictures of a dataset, decoded when first asked for.
pub struct Cache {
    slots: Vec<OnceLock<Arc<Prepared>>>,
    used: AtomicUsize,
    limits: CacheLimits,
}

impl Cache {
    /// An empty cache for `dataset`.
    pub fn new(dataset: &Dataset, limits: CacheLimits) -> Self {
        let slots = dataset.samples.iter().map(|_| OnceLock::new()).collect();
        Self { slots, used: AtomicUsize::new(0), limits }
    }

    /// The picture `index` of the dataset this cache was made for.
    ///
    /// # Errors
    /// When a file can't be read or does not fit.
    pub fn get(&self, dataset: &Dataset, index: usize) -> Result<Arc<Prepared>, DatasetError> {
        if let Some(kept) = self.slots[index].get() {
            return Ok(kept.clone());
        }
        let loaded = dataset.samples[index].load()?;
        let prepared = Arc::new(Prepared::new(loaded, self.limits.longest_side));
        let bytes = prepared.bytes();
        if self.used.fetch_add(bytes, Ordering::Relaxed) + bytes <= self.limits.bytes {
            return Ok(self.slots[index].get_or_init(|| prepared).clone());
        }
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        Ok(prepared)
    }
}

impl Prepared {
    fn new(loaded: Loaded, longest_side: usize) -> Self {
        let Loaded { picture, masks, .. } = loaded;
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let masks: Vec<Vec<u8>> = masks.into_iter().map(|mask| mask.into_pixels()).collect();
        let original = Self { width, height, rgb: picture.into_pixels(), masks };
        let longest = width.max(height);
        if longest <= longest_side {
            return original;
        }
        let shrunk = |side: usize| (side * longest_side).div_ceil(longest).max(1);
        original.resized(Size { width: shrunk(width), height: shrunk(height) })
    }

    /// The same scaled to `size`; masks become soft at their edges.
    pub(crate) fn resized(&self, size: Size) -> Self {
        let from = Size { width: self.width, height: self.height };
        let resize = |pixels: &[u8]| {
            let view = RgbView::new(from, pixels).expect("a picture of its own size");
            resize_bicubic(&view, size)
        };
        // Three masks at a time pass for the channels of one picture.
        let masks = self.masks.chunks(3).flat_map(|masks| {
            let pixels: Vec<u8> = (0..self.width * self.height)
                .flat_map(|at| [0, 1, 2].map(|mask| masks.get(mask).map_or(0, |mask| mask[at])))
                .collect();
            let resized = resize(&pixels);
            let channel = move |channel| resized[channel..].iter().step_by(3).copied().collect();
            (0..masks.len()).map(channel).collect::<Vec<Vec<u8>>>()
        });
        Self {
            width: size.width,
            height: size.height,
            rgb: resize(&self.rgb),
            masks: masks.collect(),
        }
    }

    fn bytes(&self) -> usize {
        self.rgb.len() + self.masks.iter().map(Vec::len).sum::<usize>()
    }
}
