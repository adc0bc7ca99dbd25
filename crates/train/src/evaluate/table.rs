//! A report for people.

use std::fmt;

use super::interval::Estimate;
use super::report::{Distance, Rate, Report, TargetReport, Unit};
use super::{Auroc, PresenceScore};
use medparse::Interaction;

const HEADINGS: [&str; 10] =
    ["target", "modality", "n", "Dice", "95 %", "IoU", "HD95", "ASSD", "trivial", "category"];

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked = match self.interaction {
            Interaction::Independent => "each phrase for itself",
            Interaction::Joint => "the phrases of a picture together",
        };
        writeln!(f, "{}: {} pictures, {asked}\n", self.model, self.pictures)?;
        let all = self.targets.iter().chain(&self.across_modalities);
        let (within, beyond): (Vec<&TargetReport>, Vec<&TargetReport>) =
            all.partition(|row| row.in_scope != Some(false));
        table(f, &within)?;
        if !beyond.is_empty() {
            writeln!(f, "\noutside what the model was trained to find:")?;
            table(f, &beyond)?;
        }
        for row in &within {
            if let Some(volumes) = &row.volume_dice {
                let (name, n) = (&row.target, row.groups);
                write!(f, "\n{name}, whole volumes: Dice {} of {n}", short(volumes))?;
            }
        }
        if within.iter().any(|row| row.volume_dice.is_some()) {
            writeln!(f)?;
        }
        if let Some(dice) = self.mean_dice {
            writeln!(f, "\nmean Dice of the targets  {dice:.3}")?;
        }
        let right: Vec<&Rate> = within
            .iter()
            .filter(|row| row.modality.is_some())
            .filter_map(|row| row.category.as_ref())
            .collect();
        let n: usize = right.iter().map(|rate| rate.n).sum();
        if n > 0 {
            let hits: f64 = right.iter().map(|rate| rate.share * rate.n as f64).sum();
            writeln!(f, "right category            {:.1} % of {n}", 100.0 * hits / n as f64)?;
        }
        if let Some(words) = &self.words {
            writeln!(
                f,
                "words                     Dice {} with the thing asked for, {} with the other; \
                 {:.1} % of {} pairs follow them",
                short(&words.right_dice),
                short(&words.wrong_dice),
                100.0 * words.follows_words,
                words.n
            )?;
        }
        let told_by = match self.presence.score {
            PresenceScore::Head => "by the presence head",
            PresenceScore::MaskProbability => "by the mask's mean probability",
        };
        for (name, auroc, rate) in [
            (
                "same modality",
                &self.presence.same_modality,
                &self.presence.false_masks_same_modality,
            ),
            (
                "other modality",
                &self.presence.other_modality,
                &self.presence.false_masks_other_modality,
            ),
        ] {
            if let (Some(auroc), Some(rate)) = (auroc, rate) {
                writeln!(
                    f,
                    "presence, {name:14}  AUROC {} {told_by}; {:.1} % of {} absent things got a mask",
                    ranked(auroc),
                    100.0 * rate.share,
                    rate.n
                )?;
            }
        }
        for row in &self.presence.modalities {
            if let Some(auroc) = &row.same_modality {
                writeln!(f, "  {:24}{}", row.modality, ranked(auroc))?;
            }
        }
        if let Some(reliability) = &self.presence.reliability {
            writeln!(f, "presence, calibration     ECE {:.3}", reliability.ece)?;
        }
        if let Some(pixels) = &self.pixels {
            writeln!(f, "pixels, calibration       ECE {:.3}", pixels.ece)?;
        }
        Ok(())
    }
}

fn ranked(auroc: &Auroc) -> String {
    format!(
        "{:.3} [{:.3}, {:.3}] ({} present, {} absent)",
        auroc.auroc, auroc.low, auroc.high, auroc.present, auroc.absent
    )
}

fn short(estimate: &Estimate) -> String {
    format!("{:.3}", estimate.mean)
}

fn table(f: &mut fmt::Formatter<'_>, rows: &[&TargetReport]) -> fmt::Result {
    let mut lines: Vec<[String; 10]> = vec![HEADINGS.map(str::to_owned)];
    lines.extend(rows.iter().map(|row| cells(row)));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: Vec<usize> = (0..HEADINGS.len()).map(|column| width(column).unwrap_or(0)).collect();
    for line in &lines {
        let mut text = String::new();
        for (column, (cell, &width)) in line.iter().zip(&widths).enumerate() {
            // Words stand left, numbers right.
            text +=
                &if column < 2 { format!("{cell:width$}  ") } else { format!("{cell:>width$}  ") };
        }
        writeln!(f, "{}", text.trim_end())?;
    }
    Ok(())
}

fn cells(row: &TargetReport) -> [String; 10] {
    let none = || "–".to_owned();
    let distance = |distance: &Option<Distance>| {
        let unit = |unit| match unit {
            Unit::Millimetres => "mm",
            Unit::Pixels => "px",
        };
        distance
            .as_ref()
            .map_or_else(none, |one| format!("{:.1} {}", one.estimate.mean, unit(one.unit)))
    };
    [
        row.target.clone(),
        row.modality.clone().unwrap_or_else(|| "all together".to_owned()),
        row.n.to_string(),
        short(&row.dice),
        format!("[{:.3}, {:.3}]", row.dice.low, row.dice.high),
        short(&row.iou),
        distance(&row.hd95),
        distance(&row.assd),
        row.baseline_dice.as_ref().map_or_else(none, short),
        row.category.map_or_else(none, |rate| format!("{:.0} %", 100.0 * rate.share)),
    ]
}
