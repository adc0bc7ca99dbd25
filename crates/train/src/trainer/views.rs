//! What a step is shown: pictures as they come in the run's order, changed a little, and what is
//! asked of them.

use std::sync::Arc;

use rand::RngExt;
use rayon::prelude::*;

use super::{TrainError, Trainer};
use crate::augment::{Augmented, Pose, augment};
use crate::batch::Batch;
use crate::config::{Orientation, SetConfig};
use crate::dataset::{DatasetError, Prepared};
use crate::ontology::is_sided;
use crate::prompts::Prompt;
use crate::random::{Purpose, stream};

/// Pixels of a target that must be in view for it to count as present.
const VISIBLE_PIXELS: f32 = 12.0;

/// Sentences for the classes of the bank, one of which is drawn each step; the bank that models answer
/// with is the mean over 81 such sentences.
const CLASS_TEMPLATES: [&str; 8] = [
    "{}.",
    "a photo of a {}.",
    "a photo of the {}.",
    "a cropped photo of a {}.",
    "a close-up photo of a {}.",
    "a bright photo of the {}.",
    "a photo of one {}.",
    "a rendering of a {}.",
];

impl Trainer {
    /// The pictures and prompts of a batch; they follow from the seed and its number alone.
    pub(super) fn batch(&self, micro_step: u64) -> Result<Batch, TrainError> {
        let first = micro_step * self.config.batch_size as u64;
        let slots: Vec<u64> = (0..self.config.batch_size as u64).collect();
        let views: Result<Vec<(Augmented, Vec<Prompt>)>, DatasetError> = slots
            .into_par_iter()
            .map(|slot| self.view(self.sampler.picture(first + slot), first + slot))
            .collect();
        let mut random = stream(self.config.seed, Purpose::Sample, &[u64::MAX, micro_step]);
        let template = CLASS_TEMPLATES[random.random_range(0..CLASS_TEMPLATES.len())];
        let mut batch = Batch::new(self.network_config.image_size, template);
        for (view, prompts) in views? {
            let asked = prompts.into_iter().map(|prompt| {
                let mask = prompt.target.map_or(Vec::new(), |target| view.masks[target].clone());
                (prompt, mask)
            });
            batch.push(&view.planes, asked);
        }
        Ok(batch)
    }

    /// One picture as it comes at `position` of the endless order, and what is asked of it.
    fn view(&self, index: usize, position: u64) -> Result<(Augmented, Vec<Prompt>), DatasetError> {
        let sample = &self.dataset.samples[index];
        let prepared: Arc<Prepared> = self.cache.get(&self.dataset, index)?;
        let default = SetConfig::default();
        let set = self.config.sets.get(&sample.set).unwrap_or(&default);
        let is_sided = sample.targets.iter().any(|target| is_sided(&target.name));
        let pose = Pose {
            orientation: if is_sided { Orientation::Upright } else { set.orientation },
            side: self.network_config.image_size,
        };
        let mut random = stream(self.config.seed, Purpose::Sample, &[position]);
        let normalization = self.normalization();
        let view = augment(&prepared, pose, &self.config.augmentation, &normalization, &mut random);
        let visible: Vec<usize> = view
            .masks
            .iter()
            .enumerate()
            .filter(|(_, mask)| mask.iter().sum::<f32>() >= VISIBLE_PIXELS)
            .map(|(target, _)| target)
            .collect();
        let prompts = self.vocabulary.draw(sample, &visible, &self.config.prompts, &mut random);
        Ok((view, prompts))
    }
}
