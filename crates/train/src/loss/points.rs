//! Masks compared at points rather than everywhere, most of them where the mask is uncertain
//! (PointRend, Kirillov et al. 2020; Mask2Former, Cheng et al. 2022).

use burn::tensor::{Int, Tensor, TensorData};
use rand::RngExt;
use rayon::prelude::*;

use super::{Answers, Draw};
use crate::batch::{Batch, values};
use crate::config::LossConfig;
use crate::random::{Purpose, stream};

/// The matched masks and the truth at the same points.
pub(super) struct PointSamples {
    /// `[LM, N]`, differentiable.
    pub logits: Tensor<2>,
    /// `[LM, N]`, 0..=1.
    pub targets: Tensor<2>,
}

/// A point between four cells of a grid: their indices and shares.
struct Corners {
    cells: [i64; 4],
    shares: [f32; 4],
}

pub(super) fn sample(
    answers: &Answers,
    batch: &Batch,
    matched: &[usize],
    config: &LossConfig,
    draw: Draw,
) -> PointSamples {
    let device = answers.masks.device();
    let [rows, queries, height, width] = answers.masks.dims();
    let cells = height * width;
    let maps = answers
        .masks
        .clone()
        .reshape([rows * queries, cells])
        .select(0, answers.matched_rows(matched, &device)); // [LM, hw]
    let values = values(maps.clone().detach());
    let grid = Grid { height, width };
    let chosen: Vec<Vec<[f32; 2]>> = values
        .par_chunks_exact(cells)
        .enumerate()
        .map(|(mask, logits)| choose(logits, grid, config, draw, mask))
        .collect();

    let masks = chosen.len();
    let points = chosen.first().map_or(0, Vec::len);
    let asks = batch.asks.len();
    let mut cells_of = vec![0i64; masks * 4 * points];
    let mut shares_of = vec![0f32; masks * 4 * points];
    let mut targets = vec![0f32; masks * points];
    let pixels = Grid { height: batch.side, width: batch.side };
    cells_of
        .par_chunks_exact_mut(4 * points)
        .zip(shares_of.par_chunks_exact_mut(4 * points))
        .zip(targets.par_chunks_exact_mut(points))
        .zip(&chosen)
        .enumerate()
        .for_each(|(mask, (((cells, shares), targets), chosen))| {
            let truth = &batch.asks[mask % asks].mask;
            for (at, &point) in chosen.iter().enumerate() {
                let corners = grid.corners(point);
                for corner in 0..4 {
                    cells[corner * points + at] = corners.cells[corner];
                    shares[corner * points + at] = corners.shares[corner];
                }
                if !truth.is_empty() {
                    targets[at] = pixels.value(truth, point);
                }
            }
        });
    let cells_of = TensorData::new(cells_of, [masks, 4 * points]);
    let shares_of = TensorData::new(shares_of, [masks, 4 * points]);
    let corners = maps.gather(1, Tensor::<2, Int>::from_data(cells_of, &device))
        * Tensor::<2>::from_data(shares_of, &device);
    let logits = corners.reshape([masks, 4, points]).sum_dim(1).squeeze_dim::<2>(1);
    let targets = Tensor::from_data(TensorData::new(targets, [masks, points]), &device);
    PointSamples { logits, targets }
}

/// Chooses points in `[0, 1)²`: those of the candidates where the mask is least certain, and some
/// anywhere.
fn choose(
    logits: &[f32],
    grid: Grid,
    config: &LossConfig,
    draw: Draw,
    mask: usize,
) -> Vec<[f32; 2]> {
    let mut random = stream(draw.seed, Purpose::Points, &[draw.step, mask as u64]);
    let uncertain = (config.points as f64 * config.importance) as usize;
    let candidates = (config.points as f64 * config.oversampling) as usize;
    let mut ranked: Vec<(f32, [f32; 2])> = (0..candidates.max(uncertain))
        .map(|_| {
            let point = [random.random(), random.random()];
            (grid.value(logits, point).abs(), point)
        })
        .collect();
    if uncertain > 0 && uncertain < ranked.len() {
        ranked.select_nth_unstable_by(uncertain - 1, |a, b| a.0.total_cmp(&b.0));
    }
    let mut points: Vec<[f32; 2]> =
        ranked.into_iter().take(uncertain).map(|(_, point)| point).collect();
    points.extend((uncertain..config.points).map(|_| [random.random(), random.random()]));
    points
}

/// Values at the centres of a grid's cells.
#[derive(Clone, Copy)]
struct Grid {
    height: usize,
    width: usize,
}

impl Grid {
    /// The four cells around a point of `[0, 1)²` (x to the right, y down); beyond the outermost
    /// centres the border's value goes on.
    fn corners(self, [x, y]: [f32; 2]) -> Corners {
        let axis = |position: f32, cells: usize| {
            let position = (position * cells as f32 - 0.5).clamp(0.0, (cells - 1) as f32);
            let low = (position as usize).min(cells - 1);
            (low, (low + 1).min(cells - 1), position - low as f32)
        };
        let (left, right, across) = axis(x, self.width);
        let (top, bottom, down) = axis(y, self.height);
        let cell = |row: usize, column: usize| (row * self.width + column) as i64;
        Corners {
            cells: [cell(top, left), cell(top, right), cell(bottom, left), cell(bottom, right)],
            shares: [
                (1.0 - down) * (1.0 - across),
                (1.0 - down) * across,
                down * (1.0 - across),
                down * across,
            ],
        }
    }

    /// The bilinear value at a point.
    fn value(self, values: &[f32], point: [f32; 2]) -> f32 {
        let corners = self.corners(point);
        let pairs = corners.cells.iter().zip(corners.shares);
        pairs.map(|(&cell, share)| values[cell as usize] * share).sum()
    }
}
