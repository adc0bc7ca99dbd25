//! How much two replies agree.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use medparse_wire::ScoreRow;
use serde::Serialize;

/// Two replies to one request.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Comparison {
    /// Dice of every mask, in the order of rows and phrases.
    pub dice: Vec<f64>,
    /// Categories that are equal.
    pub equal_labels: usize,
}

impl Comparison {
    /// Compares mask by mask.
    ///
    /// # Errors
    /// When the replies answer different questions, or one is not the contract's.
    pub fn of(before: &[ScoreRow], after: &[ScoreRow]) -> Result<Self> {
        ensure!(
            before.len() == after.len(),
            "the old endpoint answered {} rows, the new one {}",
            before.len(),
            after.len()
        );
        let mut found = Self::default();
        for (row, (before, after)) in before.iter().zip(after).enumerate() {
            let masks = before.masks().with_context(|| format!("the old endpoint, row {row}"))?;
            let others = after.masks().with_context(|| format!("the new endpoint, row {row}"))?;
            ensure!(
                masks.shape == others.shape,
                "row {row}: the old endpoint's masks have the shape {:?}, the new one's {:?}",
                masks.shape,
                others.shape
            );
            for prompt in 0..masks.shape[0] {
                let pair = masks.prompt(prompt).zip(others.prompt(prompt));
                let (mask, other) = pair.context("the shape was checked")?;
                found.dice.push(dice(mask, other));
                let labels = (before.text_features.get(prompt), after.text_features.get(prompt));
                found.equal_labels += usize::from(labels.0.is_some() && labels.0 == labels.1);
            }
        }
        Ok(found)
    }

    fn mean(&self) -> f64 {
        self.dice.iter().sum::<f64>() / self.dice.len().max(1) as f64
    }
}

/// 1 for two empty masks.
fn dice(first: &[u8], second: &[u8]) -> f64 {
    let (mut both, mut sum) = (0u64, 0u64);
    for (first, second) in first.iter().zip(second) {
        both += u64::from(*first > 0 && *second > 0);
        sum += u64::from(*first > 0) + u64::from(*second > 0);
    }
    if sum == 0 { 1.0 } else { 2.0 * both as f64 / sum as f64 }
}

/// Everything that was compared.
#[derive(Debug, Default)]
pub struct Summary {
    /// Requests that could not be compared.
    pub failed: usize,
    requests: Vec<(String, Comparison)>,
}

/// The summary for machines.
#[derive(Serialize)]
pub struct SummaryReport<'a> {
    alike: bool,
    requests: usize,
    failed: usize,
    masks: usize,
    mean_dice: f64,
    least_dice: f64,
    /// Share of masks without a different pixel.
    identical: f64,
    equal_categories: f64,
    /// The least alike first.
    by_request: Vec<RequestReport<'a>>,
}

#[derive(Serialize)]
struct RequestReport<'a> {
    name: &'a str,
    masks: usize,
    mean_dice: f64,
    equal_categories: usize,
}

impl Summary {
    /// Adds a request.
    pub fn add(&mut self, name: &str, comparison: &Comparison) {
        self.requests.push((name.to_owned(), comparison.clone()));
    }

    /// Whether the endpoints agree as much as is asked for.
    pub fn is_alike(&self, least_dice: f64, least_labels: f64) -> bool {
        let report = self.report(false);
        self.failed == 0
            && report.masks > 0
            && report.mean_dice >= least_dice
            && report.equal_categories >= least_labels
    }

    /// The summary for machines.
    pub fn report(&self, alike: bool) -> SummaryReport<'_> {
        let dice: Vec<f64> = self
            .requests
            .iter()
            .flat_map(|(_, comparison)| comparison.dice.iter().copied())
            .collect();
        let masks = dice.len();
        let share = |count: usize| count as f64 / masks.max(1) as f64;
        let labels = self.requests.iter().map(|(_, comparison)| comparison.equal_labels).sum();
        let mut by_request: Vec<_> = self
            .requests
            .iter()
            .map(|(name, comparison)| RequestReport {
                name,
                masks: comparison.dice.len(),
                mean_dice: comparison.mean(),
                equal_categories: comparison.equal_labels,
            })
            .collect();
        by_request.sort_by(|a, b| a.mean_dice.total_cmp(&b.mean_dice));
        SummaryReport {
            alike,
            requests: self.requests.len(),
            failed: self.failed,
            masks,
            mean_dice: dice.iter().sum::<f64>() / masks.max(1) as f64,
            least_dice: dice.iter().copied().fold(1.0, f64::min),
            identical: share(dice.iter().filter(|dice| **dice == 1.0).count()),
            equal_categories: share(labels),
            by_request,
        }
    }

    /// The lines for a person.
    pub fn table(&self, named: usize) -> String {
        let report = self.report(false);
        let mut text = format!(
            "{} requests, {} failed, {} masks\n  Dice        mean {:.4}, least {:.4}\n  identical   {:.1} %\n  categories  {:.1} % equal",
            report.requests + report.failed,
            report.failed,
            report.masks,
            report.mean_dice,
            report.least_dice,
            100.0 * report.identical,
            100.0 * report.equal_categories
        );
        let differing = report.by_request.iter().filter(|request| request.mean_dice < 1.0);
        for request in differing.take(named) {
            let _ = write!(text, "\n  {:.4}  {}", request.mean_dice, request.name);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(masks: &[[u8; 4]], labels: &[&str]) -> ScoreRow {
        let data = base64_simd::STANDARD.encode_to_string(masks.concat());
        ScoreRow {
            image_features: format!(
                "{{\"data\": \"{data}\", \"shape\": [{}, 2, 2], \"dtype\": \"uint8\"}}",
                masks.len()
            ),
            text_features: labels.iter().map(|&label| label.to_owned()).collect(),
        }
    }

    #[test]
    fn masks_and_labels_are_compared() {
        let before = [row(&[[255, 255, 0, 0], [0; 4]], &["tumor", "liver"])];
        let after = [row(&[[255, 0, 0, 0], [0; 4]], &["tumor", "lung"])];
        let comparison = Comparison::of(&before, &after).unwrap();
        assert_eq!(comparison.dice, [2.0 / 3.0, 1.0]);
        assert_eq!(comparison.equal_labels, 1);
        let mut summary = Summary::default();
        summary.add("a.json", &comparison);
        assert!(summary.is_alike(0.8, 0.5));
        assert!(!summary.is_alike(0.9, 0.5) && !summary.is_alike(0.8, 0.6));
        summary.failed = 1;
        assert!(!summary.is_alike(0.0, 0.0));
    }

    #[test]
    fn replies_to_different_questions_are_named() {
        let one = [row(&[[0; 4]], &["liver"])];
        let two = [row(&[[0; 4], [0; 4]], &["liver", "lung"])];
        let error = Comparison::of(&one, &two).unwrap_err().to_string();
        assert!(error.contains("[1, 2, 2]") && error.contains("[2, 2, 2]"), "{error}");
    }
}
