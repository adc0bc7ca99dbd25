//! Which query answers which prompt: the assignment of least cost, a query answering at most one
//! prompt of its picture.
//!
//! Two departures from the published recipe keep a small batch from teaching a single query
//! everything. While a run is young, each target is led to a query of its own
//! ([`LossConfig::spread`]): else the first query that learns anything is the cheapest for all, and
//! the others never learn. And an absent thing is matched by likeness alone, to the query that
//! would answer in use: by its mask it would go to whichever query is empty anyway.

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::Answers;
use crate::batch::{Batch, values};
use crate::config::LossConfig;

/// The matched query of every prompt, layer by layer.
///
/// Costs are those of the losses themselves, compared at every cell of the mask; `spread` is what is
/// left of [`LossConfig::spread`].
pub(super) fn matched(
    answers: &Answers,
    batch: &Batch,
    log_shares: Tensor<2>,
    config: &LossConfig,
    spread: f64,
) -> Vec<usize> {
    let [_, queries, height, width] = answers.masks.dims();
    let masks = values(answers.masks.clone().detach());
    let log_shares = values(log_shares.detach());
    let cells = height * width;
    let truths: Vec<Vec<f32>> =
        batch.asks.par_iter().map(|ask| shrunk(&ask.mask, batch.side, [height, width])).collect();
    let asks = batch.asks.len();
    let groups: Vec<(usize, usize)> = (0..answers.layers)
        .flat_map(|layer| (0..answers.pictures).map(move |picture| (layer, picture)))
        .collect();
    let found: Vec<Vec<(usize, usize)>> = groups
        .into_par_iter()
        .map(|(layer, picture)| {
            let of_picture: Vec<usize> =
                (0..asks).filter(|&ask| batch.asks[ask].picture == picture).collect();
            let first = (layer * answers.pictures + picture) * queries * cells;
            let logits = &masks[first..first + queries * cells];
            let mut costs = mask_costs(logits, cells, &of_picture, &truths, config);
            for (row, &ask) in of_picture.iter().enumerate() {
                let shares = &log_shares[(layer * asks + ask) * queries..][..queries];
                for (cost, share) in costs[row * queries..].iter_mut().zip(shares) {
                    if !batch.asks[ask].is_present() {
                        *cost = 0.0;
                    }
                    *cost -= config.similarity * f64::from(*share);
                }
                if let Some(word) = batch.asks[ask].word {
                    costs[row * queries + word % queries] -= spread;
                }
            }
            let assigned = assign(&costs, queries);
            of_picture
                .iter()
                .zip(assigned)
                .map(|(&ask, query)| (layer * asks + ask, query))
                .collect()
        })
        .collect();
    let mut matched = vec![0; answers.layers * asks];
    for (ask, query) in found.into_iter().flatten() {
        matched[ask] = query;
    }
    matched
}

/// `[prompts, Q]`: what it would cost to answer each prompt by each query's mask.
fn mask_costs(
    logits: &[f32],
    cells: usize,
    asks: &[usize],
    truths: &[Vec<f32>],
    config: &LossConfig,
) -> Vec<f64> {
    let queries = logits.len() / cells;
    let mut costs = vec![0.0; asks.len() * queries];
    let mut open = vec![0.0f32; cells];
    for (query, logits) in logits.chunks_exact(cells).enumerate() {
        let (mut opened, mut softplus) = (0.0f32, 0.0f32);
        for (open, &logit) in open.iter_mut().zip(logits) {
            let small = (-logit.abs()).exp();
            let share = 1.0 / (1.0 + small);
            *open = if logit >= 0.0 { share } else { 1.0 - share };
            opened += *open;
            softplus += logit.max(0.0) + small.ln_1p();
        }
        for (row, &ask) in asks.iter().enumerate() {
            let (mut covered, mut overlap, mut truth) = (0.0f32, 0.0f32, 0.0f32);
            for ((&target, &logit), &open) in truths[ask].iter().zip(logits).zip(&open) {
                covered += logit * target;
                overlap += open * target;
                truth += target;
            }
            let entropy = (softplus - covered) / cells as f32;
            let dice = 1.0 - (2.0 * overlap + 1.0) / (opened + truth + 1.0);
            costs[row * queries + query] =
                config.mask * f64::from(entropy) + config.dice * f64::from(dice);
        }
    }
    costs
}

/// The mean of a mask's pixels in each cell of a coarser grid; all zero for an empty mask.
fn shrunk(mask: &[f32], side: usize, [height, width]: [usize; 2]) -> Vec<f32> {
    let mut cells = vec![0.0; height * width];
    if mask.is_empty() {
        return cells;
    }
    let share = (height * width) as f32 / (side * side) as f32;
    for (y, row) in mask.chunks_exact(side).enumerate() {
        let cells = &mut cells[(y * height / side) * width..][..width];
        for (x, value) in row.iter().enumerate() {
            cells[x * width / side] += value * share;
        }
    }
    cells
}

/// The column of each row in the assignment of least total cost, no column twice while there are
/// enough of them (Jonker and Volgenant's shortest augmenting paths, 1987).
///
/// `costs` is row-major with `columns` columns; rows beyond the number of columns repeat the
/// cheapest column of their own.
fn assign(costs: &[f64], columns: usize) -> Vec<usize> {
    let rows = costs.len() / columns.max(1);
    let assigned_rows = rows.min(columns);
    // Row and column potentials; index 0 stands for "none" in what follows.
    let mut row_potential = vec![0.0; assigned_rows + 1];
    let mut column_potential = vec![0.0; columns + 1];
    let mut row_of = vec![0usize; columns + 1];
    let mut previous = vec![0usize; columns + 1];
    for row in 1..=assigned_rows {
        row_of[0] = row;
        let mut column = 0;
        let mut least = vec![f64::INFINITY; columns + 1];
        let mut visited = vec![false; columns + 1];
        while row_of[column] != 0 {
            visited[column] = true;
            let from = row_of[column];
            let (mut step, mut next) = (f64::INFINITY, 0);
            for to in 1..=columns {
                if visited[to] {
                    continue;
                }
                let reduced = costs[(from - 1) * columns + to - 1]
                    - row_potential[from]
                    - column_potential[to];
                if reduced < least[to] {
                    least[to] = reduced;
                    previous[to] = column;
                }
                if least[to] < step {
                    (step, next) = (least[to], to);
                }
            }
            if next == 0 {
                break;
            }
            for to in 0..=columns {
                if visited[to] {
                    row_potential[row_of[to]] += step;
                    column_potential[to] -= step;
                } else {
                    least[to] -= step;
                }
            }
            column = next;
        }
        while column != 0 {
            row_of[column] = row_of[previous[column]];
            column = previous[column];
        }
    }
    let cheapest = |row: &[f64]| {
        let best = row.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1));
        best.map_or(0, |(column, _)| column)
    };
    let mut columns_of: Vec<usize> = costs.chunks_exact(columns.max(1)).map(cheapest).collect();
    for (column, &row) in row_of.iter().enumerate().skip(1) {
        if row > 0 {
            columns_of[row - 1] = column - 1;
        }
    }
    columns_of
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::prompts::Prompt;

    /// The least total by trying everything.
    fn exhaustive(costs: &[f64], columns: usize, row: usize, used: &mut Vec<usize>) -> f64 {
        if row * columns == costs.len() {
            return 0.0;
        }
        let mut best = f64::INFINITY;
        for column in 0..columns {
            if used.contains(&column) {
                continue;
            }
            used.push(column);
            let rest = exhaustive(costs, columns, row + 1, used);
            used.pop();
            best = best.min(costs[row * columns + column] + rest);
        }
        best
    }

    #[test]
    fn finds_the_least_total() {
        use rand::RngExt;
        let mut random = crate::random::stream(3, crate::random::Purpose::Points, &[]);
        for (rows, columns) in [(1, 1), (1, 5), (2, 3), (3, 3), (4, 6)] {
            for _ in 0..50 {
                let costs: Vec<f64> =
                    (0..rows * columns).map(|_| random.random_range(-5.0..5.0)).collect();
                let assigned = assign(&costs, columns);
                let mut distinct = assigned.clone();
                distinct.sort_unstable();
                distinct.dedup();
                assert_eq!(distinct.len(), rows, "no query answers twice");
                let total: f64 = assigned
                    .iter()
                    .enumerate()
                    .map(|(row, &column)| costs[row * columns + column])
                    .sum();
                let least = exhaustive(&costs, columns, 0, &mut Vec::new());
                assert!((total - least).abs() < 1e-9, "{total} is not the least, {least}");
            }
        }
    }

    /// Three queries, of which the last marks the left column and the others nothing; phrases are
    /// most like the middle one.
    fn three_queries() -> (Answers, Tensor<2>) {
        let device = Device::flex();
        let masks = [[-9.0f32; 4], [-9.0; 4], [9.0, -9.0, 9.0, -9.0]].concat();
        let masks = Tensor::from_data(TensorData::new(masks, [1, 3, 2, 2]), &device);
        let queries = Tensor::zeros([1, 3, 4], &device);
        let answers =
            Answers { queries, masks, presence: None, layers: 1, pictures: 1, rows: vec![0] };
        let shares = TensorData::new(vec![-2.0f32, -0.5, -1.5], [1, 3]);
        (answers, Tensor::from_data(shares, &device))
    }

    fn asked(mask: Vec<f32>, word: Option<usize>) -> Batch {
        let mut batch = Batch::new(2, "{}.");
        let prompt = Prompt { phrase: "nuclei".into(), target: Some(0), category: None, word };
        batch.push(&[0.0; 12], [(prompt, mask)]);
        batch
    }

    #[test]
    fn a_young_run_leads_each_target_to_a_query_of_its_own() {
        let (answers, shares) = three_queries();
        let config = LossConfig::default();
        let left_column = vec![1.0, 0.0, 1.0, 0.0];
        let word = Some(3); // of three queries the first
        let batch = asked(left_column, word);
        assert_eq!(matched(&answers, &batch, shares.clone(), &config, 50.0), [0]);
        assert_eq!(matched(&answers, &batch, shares, &config, 0.0), [2]);
    }

    #[test]
    fn an_absent_thing_goes_to_the_query_that_would_answer() {
        let (answers, shares) = three_queries();
        let batch = asked(Vec::new(), None);
        assert_eq!(matched(&answers, &batch, shares, &LossConfig::default(), 1.0), [1]);
    }

    #[test]
    fn more_prompts_than_queries_share() {
        assert_eq!(assign(&[1.0, 2.0, 3.0], 1), [0, 0, 0]);
    }
}
