//! From single answers to the numbers of a report.

use std::collections::{BTreeMap, BTreeSet};

use medparse::ModelCard;
use medparse::postprocess::MASK_THRESHOLD;

use super::interval::Bootstrap;
use super::ranking::Scored;
use super::report::{
    Distance, ModalityReport, PresenceReport, PresenceScore, Rate, Report, TargetReport, Unit,
    WordsReport,
};
use super::{
    Auroc, Estimate, EvaluateOptions, Kind, Missing, Overlap, ReliabilityCounter, Seen, Subject,
    SurfaceDistances, Tally,
};

pub(super) fn report(tally: &Tally, subject: &Subject<'_>, options: &EvaluateOptions) -> Report {
    let bootstrap = options.bootstrap;
    let card = subject.model.card();
    let mut rows: BTreeMap<(&str, &str), Vec<&Seen>> = BTreeMap::new();
    let mut by_target: BTreeMap<&str, Vec<&Seen>> = BTreeMap::new();
    for seen in &tally.seen {
        let (target, modality) = (seen.key.0.as_str(), seen.key.1.as_str());
        rows.entry((target, modality)).or_default().push(seen);
        by_target.entry(target).or_default().push(seen);
    }
    let targets: Vec<TargetReport> = rows
        .iter()
        .map(|((target, modality), seen)| {
            let mut row = target_report(target, seen, bootstrap);
            row.modality = Some((*modality).to_owned());
            row.volume_dice = volume_dice(seen, &tally.missing, bootstrap);
            row.in_scope = scope(card, Some(target), modality);
            row.presence = presence_of(target, modality, seen, &tally.missing, bootstrap);
            row
        })
        .collect();
    let across = by_target
        .iter()
        .filter(|(target, _)| targets.iter().filter(|row| row.target == **target).count() > 1);
    let counted: Vec<f64> =
        targets.iter().filter(|row| row.in_scope != Some(false)).map(|row| row.dice.mean).collect();
    Report {
        model: card.name.clone(),
        pictures: subject.pictures.len(),
        interaction: options.interaction,
        threshold: MASK_THRESHOLD,
        presence_threshold: options.presence_threshold,
        resamples: bootstrap.resamples,
        mean_dice: (!counted.is_empty())
            .then(|| counted.iter().sum::<f64>() / counted.len() as f64),
        across_modalities: across
            .map(|(target, seen)| target_report(target, seen, bootstrap))
            .collect(),
        targets,
        words: words(tally, bootstrap),
        presence: presence(tally, card, bootstrap),
        pixels: tally.pixels.finish(),
    }
}

/// Whether a target (or any, where none is named) of a modality is among those the model names.
pub(super) fn scope(card: &ModelCard, target: Option<&str>, modality: &str) -> Option<bool> {
    let is_named = |known: &medparse::card::KnownTarget| {
        known.modality == modality && target.is_none_or(|target| known.target == target)
    };
    (!card.targets.is_empty()).then(|| card.targets.iter().any(is_named))
}

fn target_report(target: &str, seen: &[&Seen], bootstrap: Bootstrap) -> TargetReport {
    let mean = |value: &dyn Fn(&Seen) -> f64| {
        let values = seen.iter().map(|one| (one.group, value(one)));
        bootstrap.mean(values).expect("a row has at least one picture")
    };
    let unit =
        if seen.iter().all(|one| one.in_millimetres) { Unit::Millimetres } else { Unit::Pixels };
    let distance = |of: fn(SurfaceDistances) -> f64| {
        let values: Vec<(usize, f64)> =
            seen.iter().filter_map(|one| Some((one.group, of(one.surface?)))).collect();
        let n = values.len();
        bootstrap.mean(values).map(|estimate| Distance { estimate, n, unit })
    };
    let known: Vec<bool> = seen.iter().filter_map(|one| one.right_category).collect();
    TargetReport {
        target: target.to_owned(),
        modality: None,
        sites: seen
            .iter()
            .map(|one| one.site.clone())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect(),
        in_scope: None,
        n: seen.len(),
        groups: seen.iter().map(|one| one.group).collect::<BTreeSet<_>>().len(),
        dice: mean(&|one| one.overlap.dice()),
        volume_dice: None,
        iou: mean(&|one| one.overlap.iou()),
        hd95: distance(|surface| surface.hd95),
        assd: distance(|surface| surface.assd),
        empty: seen.iter().filter(|one| one.surface.is_none()).count(),
        baseline_dice: bootstrap
            .mean(seen.iter().filter_map(|one| Some((one.group, one.baseline?)))),
        category: rate(known.into_iter()),
        presence: None,
    }
}

fn rate(truths: impl Iterator<Item = bool>) -> Option<Rate> {
    let (hits, n) =
        truths.fold((0usize, 0usize), |(hits, n), is_true| (hits + usize::from(is_true), n + 1));
    (n > 0).then(|| Rate { share: hits as f64 / n as f64, n })
}

/// Each volume's slices taken together; none where no picture is a slice.
fn volume_dice(seen: &[&Seen], missing: &[Missing], bootstrap: Bootstrap) -> Option<Estimate> {
    let mut volumes: BTreeMap<usize, Overlap> = BTreeMap::new();
    for one in seen.iter().filter(|one| one.is_slice) {
        let overlap = volumes.entry(one.group).or_insert(Overlap::missed(0));
        *overlap = overlap.and(one.overlap);
    }
    for one in missing {
        let is_same = seen.first().is_some_and(|seen| {
            seen.key == (one.name.target.clone(), one.modality.clone())
                && seen.site == one.name.site
        });
        if let Some(overlap) = volumes.get_mut(&one.group).filter(|_| is_same) {
            *overlap = overlap.and(Overlap::missed(one.area));
        }
    }
    bootstrap.mean(volumes.into_iter().map(|(group, overlap)| (group, overlap.dice())))
}

/// One target where it is, against the same one asked for in vain.
fn presence_of(
    target: &str,
    modality: &str,
    seen: &[&Seen],
    missing: &[Missing],
    bootstrap: Bootstrap,
) -> Option<Auroc> {
    let absent = missing.iter().filter(|one| {
        one.kind == Kind::SameModality && one.name.target == target && one.modality == modality
    });
    let scored: Vec<Scored> = seen
        .iter()
        .map(|one| Scored { stratum: 0, group: one.group, score: one.score, is_present: true })
        .chain(absent.map(|one| Scored {
            stratum: 0,
            group: one.group,
            score: one.score,
            is_present: false,
        }))
        .collect();
    Auroc::of(&scored, bootstrap)
}

fn words(tally: &Tally, bootstrap: Bootstrap) -> Option<WordsReport> {
    let n = tally.pairs.len();
    let follows = tally.pairs.iter().filter(|pair| pair.right > pair.wrong).count();
    Some(WordsReport {
        n,
        right_dice: bootstrap.mean(tally.pairs.iter().map(|pair| (pair.group, pair.right)))?,
        wrong_dice: bootstrap.mean(tally.pairs.iter().map(|pair| (pair.group, pair.wrong)))?,
        follows_words: follows as f64 / n as f64,
    })
}

fn presence(tally: &Tally, card: &ModelCard, bootstrap: Bootstrap) -> PresenceReport {
    let seen: Vec<&Seen> = tally
        .seen
        .iter()
        .filter(|one| scope(card, Some(&one.key.0), &one.key.1) != Some(false))
        .collect();
    let missing: Vec<&Missing> = tally
        .missing
        .iter()
        .filter(|one| scope(card, None, &one.modality) != Some(false))
        .collect();
    let modalities: BTreeSet<&str> = seen.iter().map(|one| one.key.1.as_str()).collect();
    let places: BTreeMap<&str, usize> =
        modalities.iter().enumerate().map(|(place, modality)| (*modality, place)).collect();
    let scored = |kind: Kind, only: Option<&str>| -> Vec<Scored> {
        let present = seen.iter().map(|one| (one.key.1.as_str(), one.group, one.score, true));
        let absent = missing
            .iter()
            .filter(|one| one.kind == kind)
            .map(|one| (one.modality.as_str(), one.group, one.score, false));
        present
            .chain(absent)
            .filter(|(modality, ..)| only.is_none_or(|only| only == *modality))
            .filter_map(|(modality, group, score, is_present)| {
                let stratum = *places.get(modality)?;
                Some(Scored { stratum, group, score, is_present })
            })
            .collect()
    };
    let auroc = |kind, only| Auroc::of(&scored(kind, only), bootstrap);
    let false_masks =
        |kind| rate(missing.iter().filter(|one| one.kind == kind).map(|one| one.area > 0));
    let mut reliability = ReliabilityCounter::default();
    if tally.score == PresenceScore::Head {
        for one in scored(Kind::SameModality, None) {
            reliability.add(one.score, one.is_present);
        }
    }
    PresenceReport {
        score: tally.score,
        same_modality: auroc(Kind::SameModality, None),
        other_modality: auroc(Kind::OtherModality, None),
        modalities: modalities
            .iter()
            .map(|modality| ModalityReport {
                modality: (*modality).to_owned(),
                same_modality: auroc(Kind::SameModality, Some(modality)),
                other_modality: auroc(Kind::OtherModality, Some(modality)),
            })
            .collect(),
        false_masks_same_modality: false_masks(Kind::SameModality),
        false_masks_other_modality: false_masks(Kind::OtherModality),
        reliability: reliability.finish(),
    }
}

#[cfg(test)]
mod tests {
    use medparse_imaging::Mask;

    use super::*;
    use crate::prompts::Named;

    fn seen(group: usize, answer: [u8; 4], truth: [u8; 4]) -> Seen {
        let mask = |pixels: [u8; 4]| Mask::from_pixels(2, 2, pixels.to_vec()).unwrap();
        Seen {
            key: ("hippocampus".into(), "MRI".into()),
            site: "brain".into(),
            group,
            overlap: Overlap::of(&mask(answer), &mask(truth)),
            surface: None,
            in_millimetres: true,
            is_slice: true,
            baseline: None,
            right_category: None,
            score: 1.0,
        }
    }

    fn missing(group: usize, target: &str, area: u64) -> Missing {
        let [site, modality] = ["brain", "MRI"].map(str::to_owned);
        Missing {
            kind: Kind::SameModality,
            name: Named { target: target.into(), site, modality: modality.clone() },
            modality,
            group,
            score: 0.5,
            area,
        }
    }

    #[test]
    fn a_volume_counts_the_slices_that_should_be_empty() {
        // Volume 0: 3 pixels in common of 3 and 7 over two slices, and 1 where nothing is.
        let seen = [
            seen(0, [1, 1, 0, 0], [1, 1, 1, 0]),
            seen(0, [1, 0, 0, 0], [1; 4]),
            seen(1, [1; 4], [1; 4]),
        ];
        let seen: Vec<&Seen> = seen.iter().collect();
        let missing =
            [missing(0, "hippocampus", 1), missing(0, "liver", 4), missing(2, "hippocampus", 4)];
        let bootstrap = Bootstrap { resamples: 10, seed: 1 };
        let found = volume_dice(&seen, &missing, bootstrap).unwrap();
        let first = 2.0 * 3.0 / (3.0 + 7.0 + 1.0);
        assert!((found.mean - (first + 1.0) / 2.0).abs() < 1e-12, "{found:?}");
        let row = target_report("hippocampus", &seen, bootstrap);
        let alone = (4.0 / 5.0 + 2.0 / 5.0 + 1.0) / 3.0;
        assert!((row.dice.mean - alone).abs() < 1e-12, "{row:?}");
        assert_eq!((row.n, row.groups, row.empty), (3, 2, 3));
        assert_eq!((row.hd95, row.category), (None, None));
    }
}
