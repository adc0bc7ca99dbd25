//! The verdicts as a page for people.

use std::fmt::Write as _;

use crate::compare::{Outcome, Row};
use crate::gradients::GradientReport;

/// The verdicts on one golden case.
pub struct CaseReport {
    /// The golden folder and case, as in "tiny a".
    pub name: String,
    /// What the case asks for.
    pub prompts: Vec<String>,
    /// Every stage.
    pub rows: Vec<Row>,
}

impl CaseReport {
    /// Stages that are not equal.
    pub fn failures(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| !row.passes())
    }

    /// The largest `rms / floor` and `max / floor` of all stages.
    pub fn worst(&self) -> [f64; 2] {
        let ratios = self.rows.iter().filter_map(|row| match &row.outcome {
            Outcome::Close { rms_rel, max_abs, floor } => {
                Some([rms_rel / floor.rms_rel, max_abs / floor.max_abs])
            }
            _ => None,
        });
        ratios.fold([0.0, 0.0], |[a, b], [rms, max]| [a.max(rms), b.max(max)])
    }

    /// Bits of attention masks that differ, and bits compared.
    pub fn flipped_bits(&self) -> [usize; 2] {
        let masks = self.rows.iter().filter(|row| row.stage.ends_with("cross_mask"));
        masks.fold([0, 0], |[flipped, count], row| match row.outcome {
            Outcome::Bits { flipped: f, count: c, .. } => [flipped + f, count + c],
            _ => [flipped, count],
        })
    }

    /// One line for a terminal.
    pub fn summary(&self) -> String {
        let [rms, max] = self.worst();
        let [flipped, bits] = self.flipped_bits();
        let failed = self.failures().count();
        let verdict = if failed == 0 { "equal".into() } else { format!("{failed} stages differ") };
        format!(
            "{}: {} stages, {verdict}; worst rms {rms:.1} floors, worst value {max:.1} floors, \
             {flipped} of {bits} attention mask bits flipped",
            self.name,
            self.rows.len(),
        )
    }

    /// The case's section of the page.
    pub fn markdown(&self) -> String {
        let mut page = format!("\n## {}\n\nPrompts: {}.\n\n", self.name, self.prompts.join(" & "));
        page.push_str("| stage | relative rms | floors | largest difference | floors | |\n");
        page.push_str("|---|---:|---:|---:|---:|---|\n");
        for row in &self.rows {
            let verdict = if row.passes() { "" } else { "**differs**" };
            let cells = match &row.outcome {
                Outcome::Close { rms_rel, max_abs, floor } => format!(
                    "{rms_rel:.2e} | {:.2} | {max_abs:.2e} | {:.2}",
                    rms_rel / floor.rms_rel,
                    max_abs / floor.max_abs
                ),
                Outcome::Exact { different, count } => {
                    format!("{different} of {count} differ | | | ")
                }
                Outcome::Bits { flipped, unexplained, count } => {
                    format!("{flipped} of {count} bits differ, {unexplained} unexplained | | | ")
                }
                Outcome::Misshapen { found, expected } => {
                    format!("{found} values, expected {expected} | | | ")
                }
                Outcome::Absent => "never computed | | | ".into(),
            };
            let _ = writeln!(page, "| `{}` | {cells} | {verdict} |", row.stage);
        }
        page
    }
}

impl GradientReport {
    /// The largest relative error of all gradients.
    pub fn worst(&self) -> f64 {
        let known = self.rows.iter().filter(|row| row.expected.is_some());
        known.fold(0.0, |worst, row| worst.max(row.error))
    }

    /// One line for a terminal.
    pub fn summary(&self) -> String {
        let failed = self.rows.iter().filter(|row| !row.passes()).count();
        let verdict =
            if failed == 0 { "equal".into() } else { format!("{failed} gradients differ") };
        format!(
            "gradients: {} tensors, {verdict}; loss {:.6} (reference {:.6}), worst relative error {:.1e}",
            self.rows.len(),
            self.loss[0],
            self.loss[1],
            self.worst()
        )
    }
}
