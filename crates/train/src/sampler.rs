//! Which picture comes when.

use std::collections::BTreeMap;
use std::sync::Mutex;

use rand::seq::SliceRandom;

use crate::config::SetConfig;
use crate::dataset::{Dataset, Split};
use crate::random::{Purpose, place_of, stream};

/// An endless order of training pictures: epochs in which every picture of a collection comes as
/// often as the collection's weight says, shuffled anew each time.
pub struct Sampler {
    seed: u64,
    /// Each collection's pictures and how many of them an epoch shows.
    sets: BTreeMap<String, (Vec<usize>, usize)>,
    /// The epoch last asked for, and its order.
    current: Mutex<Option<(u64, Vec<usize>)>>,
}

impl Sampler {
    /// An order of the training pictures of `split`.
    pub fn new(
        dataset: &Dataset,
        split: &Split,
        sets: &BTreeMap<String, SetConfig>,
        seed: u64,
    ) -> Self {
        let mut pictures: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for &index in &split.training {
            let sample = &dataset.samples[index];
            pictures.entry(sample.set.clone()).or_default().push(index);
        }
        let weighted = pictures.into_iter().map(|(set, pictures)| {
            let weight = sets.get(&set).map_or(1.0, |config| config.weight);
            let count = (pictures.len() as f64 * weight).round() as usize;
            (set, (pictures, count))
        });
        Self { seed, sets: weighted.collect(), current: Mutex::new(None) }
    }

    /// Pictures in an epoch.
    pub fn epoch_length(&self) -> usize {
        self.sets.values().map(|(_, count)| count).sum()
    }

    /// The picture at `position` of the endless order.
    pub fn picture(&self, position: u64) -> usize {
        let length = self.epoch_length().max(1) as u64;
        let (epoch, place) = (position / length, (position % length) as usize);
        let mut current = self.current.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match &*current {
            Some((known, order)) if *known == epoch => order[place],
            _ => {
                let order = self.order(epoch);
                let picture = order[place];
                *current = Some((epoch, order));
                picture
            }
        }
    }

    fn order(&self, epoch: u64) -> Vec<usize> {
        let mut order = Vec::with_capacity(self.epoch_length());
        for (set, (pictures, count)) in &self.sets {
            let mut random = stream(self.seed, Purpose::Order, &[place_of(set), epoch]);
            let whole = count / pictures.len().max(1);
            order.extend((0..whole).flat_map(|_| pictures.iter().copied()));
            let mut rest = pictures.clone();
            rest.shuffle(&mut random);
            order.extend(rest.into_iter().take(count - whole * pictures.len()));
        }
        order.shuffle(&mut stream(self.seed, Purpose::Order, &[epoch]));
        order
    }
}
