//! Four pictures are learnt by heart, and the file that training leaves is a model.

use crate::support;

use medparse::{LoadOptions, Model, ModelSource};
use medparse_train::MODEL_FILE;
use medparse_train::dataset::Dataset;
use medparse_train::evaluate::{Baseline, EvaluateOptions, Subject, evaluate};

/// Steps that must be enough.
const STEPS: f64 = 300.0;

#[test]
fn a_tiny_network_learns_four_pictures_by_heart() {
    let (data, output) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    support::draw(data.path());
    let losses = support::train(support::config(data.path(), output.path(), STEPS), |_| false);
    assert_eq!(losses.len(), STEPS as usize);

    let source = ModelSource::File(output.path().join(MODEL_FILE));
    let model = Model::load(&source, &LoadOptions::default(), &mut |_| ()).unwrap();
    assert_eq!(model.card().name, "tiny");
    let targets: Vec<&str> =
        model.card().targets.iter().map(|known| known.target.as_str()).collect();
    assert_eq!(targets, ["left kidney", "liver"]);

    let dataset = Dataset::open(data.path()).unwrap();
    let pictures: Vec<usize> = (0..dataset.samples.len()).collect();
    let subject = Subject {
        model: &model,
        dataset: &dataset,
        pictures: &pictures,
        baseline: &Baseline::of(&dataset, &pictures).unwrap(),
    };
    let report = evaluate(&subject, &EvaluateOptions::default(), &mut |_, _| ()).unwrap().report;
    for row in &report.targets {
        assert!(row.dice.mean > 0.95, "{report}");
        assert!(row.dice.mean > row.baseline_dice.unwrap().mean + 0.2, "{report}");
        assert_eq!((row.n, row.in_scope), (4, Some(true)));
        assert_eq!(row.category.unwrap().share, 1.0, "{report}");
    }
    let words = report.words.unwrap();
    assert_eq!((words.n, words.follows_words), (4, 1.0));
    assert!(words.wrong_dice.mean < 0.05, "{report}");
    assert!(report.presence.other_modality.unwrap().auroc > 0.9, "{report}");
}
