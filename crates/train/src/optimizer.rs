//! AdamW on plain numbers, with clipping, a schedule and an average of the weights.

use std::collections::HashMap;
use std::f64::consts::PI;

use medparse_network::{Network, NetworkConfig, ParameterGradient, expected_tensors};
use rayon::prelude::*;

use crate::config::OptimizerConfig;

/// torch's defaults.
const MEAN_DECAY: f32 = 0.9;
const SQUARE_DECAY: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// What AdamW remembers of one parameter, in the parameter's memory layout.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Moments {
    /// Running mean of the gradient.
    pub mean: Vec<f32>,
    /// Running mean of its square.
    pub square: Vec<f32>,
    /// Average of the weights; empty where none is kept.
    pub average: Vec<f32>,
}

/// AdamW (Loshchilov and Hutter 2019) as torch computes it.
///
/// A value that no gradient ever reached keeps its value, so that the rows of words that training
/// never saw stay as they were; torch would let them decay.
#[derive(Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    /// Steps of the whole run, for the schedule.
    total_steps: u64,
    rates: HashMap<String, Rates>,
    moments: HashMap<String, Moments>,
}

#[derive(Debug, Clone, Copy)]
struct Rates {
    factor: f64,
    decay: f64,
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepSummary {
    /// The learning rate.
    pub learning_rate: f64,
    /// The gradient's length before clipping.
    pub gradient_norm: f64,
}

impl Optimizer {
    /// An optimiser for a network of these sizes that has made no step yet.
    pub fn new(config: &OptimizerConfig, network: &NetworkConfig, total_steps: u64) -> Self {
        let rates = expected_tensors(network).into_iter().map(|tensor| {
            let factors = config.learning_rate_factors.iter();
            let longest = factors
                .filter(|(prefix, _)| tensor.key.starts_with(prefix.as_str()))
                .max_by_key(|(prefix, _)| prefix.len());
            let decay = if decays(&tensor.key, &tensor.shape) { config.weight_decay } else { 0.0 };
            (tensor.key, Rates { factor: longest.map_or(1.0, |(_, &factor)| factor), decay })
        });
        Self {
            rates: rates.collect(),
            config: config.clone(),
            total_steps,
            moments: HashMap::new(),
        }
    }

    /// What is remembered, by key.
    pub fn moments(&self) -> &HashMap<String, Moments> {
        &self.moments
    }

    /// Goes on from what another optimiser remembered.
    pub fn restore(&mut self, moments: HashMap<String, Moments>) {
        self.moments = moments;
    }

    /// The learning rate of step `step` (0-based).
    pub fn learning_rate(&self, step: u64) -> f64 {
        let OptimizerConfig { learning_rate, warmup_steps, final_learning_rate, .. } = self.config;
        if step < warmup_steps {
            return learning_rate * (step + 1) as f64 / warmup_steps as f64;
        }
        let length = self.total_steps.saturating_sub(warmup_steps).max(1);
        let progress = ((step - warmup_steps) as f64 / length as f64).min(1.0);
        let cosine = 0.5 * (1.0 + (PI * progress).cos());
        learning_rate * (final_learning_rate + (1.0 - final_learning_rate) * cosine)
    }

    /// Follows the gradients (clipped together) from `network` in step `step` (0-based).
    pub fn step(
        &mut self,
        network: Network,
        gradients: Vec<ParameterGradient>,
        step: u64,
    ) -> (Network, StepSummary) {
        let norm = gradients.iter().map(|gradient| squared_length(&gradient.values)).sum::<f64>();
        let norm = norm.sqrt();
        // torch adds 1e-6 to the norm as well.
        let clip = (self.config.gradient_clip / (norm + 1e-6)).min(1.0) as f32;
        let learning_rate = self.learning_rate(step);
        let count = step as i32 + 1;
        let mean_correction = 1.0 - f64::from(MEAN_DECAY).powi(count);
        let square_correction = (1.0 - f64::from(SQUARE_DECAY).powi(count)).sqrt();
        // The average follows faster at first, so that it forgets the random beginning.
        let average_decay =
            self.config.average_decay.min((1.0 + step as f64) / (10.0 + step as f64)) as f32;
        let keeps_average = self.config.average_decay > 0.0;

        let mut gradients: HashMap<String, Vec<f32>> =
            gradients.into_iter().map(|gradient| (gradient.key, gradient.values)).collect();
        let network = network.updated(|key, values| {
            let Some(gradient) = gradients.remove(key) else {
                return;
            };
            let rates = self.rates.get(key).copied().unwrap_or(Rates { factor: 1.0, decay: 0.0 });
            let rate = learning_rate * rates.factor;
            let moments = self.moments.entry(key.to_owned()).or_insert_with(|| Moments {
                mean: vec![0.0; values.len()],
                square: vec![0.0; values.len()],
                average: if keeps_average { values.to_vec() } else { Vec::new() },
            });
            let update = Update {
                clip,
                step_size: (rate / mean_correction) as f32,
                root_correction: square_correction as f32,
                keep: (1.0 - rate * rates.decay) as f32,
            };
            update.apply(values, &gradient, moments);
            moments.average.par_iter_mut().zip(&*values).for_each(|(average, value)| {
                *average = value + (*average - value) * average_decay;
            });
        });
        (network, StepSummary { learning_rate, gradient_norm: norm })
    }

    /// The network with its averaged weights, or as it is where no average is kept.
    pub fn averaged(&self, network: Network) -> Network {
        network.updated(|key, values| {
            if let Some(moments) = self.moments.get(key)
                && moments.average.len() == values.len()
            {
                values.copy_from_slice(&moments.average);
            }
        })
    }
}

/// One parameter's update.
struct Update {
    clip: f32,
    step_size: f32,
    root_correction: f32,
    keep: f32,
}

impl Update {
    fn apply(&self, values: &mut [f32], gradient: &[f32], moments: &mut Moments) {
        const CHUNK: usize = 1 << 14;
        values
            .par_chunks_mut(CHUNK)
            .zip(gradient.par_chunks(CHUNK))
            .zip(moments.mean.par_chunks_mut(CHUNK))
            .zip(moments.square.par_chunks_mut(CHUNK))
            .for_each(|(((values, gradient), mean), square)| {
                for (((value, &gradient), mean), square) in
                    values.iter_mut().zip(gradient).zip(mean).zip(square)
                {
                    let gradient = gradient * self.clip;
                    *mean += (gradient - *mean) * (1.0 - MEAN_DECAY);
                    *square = *square * SQUARE_DECAY + gradient * gradient * (1.0 - SQUARE_DECAY);
                    let touched = *square != 0.0 || *mean != 0.0;
                    let root = square.sqrt() / self.root_correction + EPSILON;
                    let moved = *value * self.keep - self.step_size * *mean / root;
                    *value = if touched { moved } else { *value };
                }
            });
    }
}

/// Matrices and kernels decay; biases, norms, scales and embeddings don't.
fn decays(key: &str, shape: &[usize]) -> bool {
    const EMBEDDINGS: [&str; 5] =
        ["token_embedding", "positional_embedding", "query_feat", "query_embed", "level_embed"];
    shape.len() >= 2 && !EMBEDDINGS.iter().any(|name| key.contains(name))
}

/// In f64 and in fixed chunks, so that the sum does not depend on how work is shared out.
fn squared_length(values: &[f32]) -> f64 {
    let parts: Vec<f64> = values
        .par_chunks(1 << 14)
        .map(|chunk| chunk.iter().map(|&value| f64::from(value) * f64::from(value)).sum())
        .collect();
    parts.iter().sum()
}
