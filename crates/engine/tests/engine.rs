//! The engine by itself: threads, formats and packed files. Its numbers are held against the
//! reference's, and against the network's at odd sizes, by `medparse-parity`.

use std::cell::Cell;
use std::convert::Infallible;

use medparse_config::NetworkConfig;
use medparse_engine::{
    Decoded, Engine, EngineError, EngineOptions, Isa, Precision, StageSink, Threads, Trace,
    packed_precision,
};
use medparse_weights::{Checkpoint, deterministic, write_safetensors};

const TINY: &str = include_str!("../../../testdata/tiny/tiny_config.yaml");

fn config() -> NetworkConfig {
    let mut config = NetworkConfig::from_yaml(TINY).unwrap();
    config.image_size = 96;
    config.presence_head = true;
    // No whole vectors anywhere.
    config.backbone.embed_dim = 9;
    config
}

fn engine(precision: Precision, isa: Isa, threads: usize) -> Engine {
    let options = EngineOptions { precision, isa, threads: Threads::new(threads) };
    let values =
        |key: &str, shape: &[usize]| Ok::<_, Infallible>(deterministic::values(key, shape));
    let Ok(engine) = Engine::filled(&config(), &options, values);
    engine
}

/// What a picture of waves and three sentences give, two of one length.
fn answer(engine: &Engine) -> (Decoded, Vec<f32>) {
    let side = engine.image_side();
    let planes: Vec<f32> = (0..3 * side * side).map(|i| (i as f32 * 0.37).sin()).collect();
    let image = engine.encode_image(&planes, &mut Trace::none());
    let sentences: [&[u32]; 3] =
        [&[49406, 518, 49407], &[49406, 1002, 49407], &[49406, 7, 300, 41, 49407]];
    let text = engine.encode_text(&sentences, &mut Trace::none());
    let decoded = engine.decode(&image, &text.tokens, &mut Trace::none());
    let masks = engine.masks(&image, &decoded, &[2, 0, 2]);
    (decoded, masks)
}

/// Root mean square of the difference over that of the second.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    let square = |x: f64| x * x;
    let difference: f64 = a.iter().zip(b).map(|(a, b)| square(f64::from(a - b))).sum();
    (difference / b.iter().map(|&b| square(b.into())).sum::<f64>()).sqrt()
}

#[test]
fn the_bytes_depend_neither_on_threads_nor_on_what_ran_before() {
    let presence = answer(&engine(Precision::F32, Isa::best(), 1)).0.presence;
    assert_eq!(presence.map(|presence| presence.len()), Some(11));
    for precision in Precision::ALL {
        for isa in Isa::available() {
            let one = engine(precision, isa, 1);
            let first = answer(&one);
            assert!(first == answer(&one), "the second picture in {precision} on {isa}");
            for threads in [2, 5] {
                let many = answer(&engine(precision, isa, threads));
                assert!(first == many, "{threads} threads in {precision} on {isa}");
            }
        }
    }
}

/// The mask features and sentences of a run, before any threshold.
#[derive(Default)]
struct Features {
    picture: Vec<f32>,
    sentences: Vec<f32>,
}

impl StageSink for Features {
    fn stage(&mut self, name: &str, values: &[f32]) {
        match name {
            "pixdec.mask_features" => self.picture = values.to_vec(),
            "text.class_emb" => self.sentences = values.to_vec(),
            _ => {}
        }
    }
}

fn features(precision: Precision) -> Features {
    let engine = engine(precision, Isa::best(), 2);
    let side = engine.image_side();
    let planes: Vec<f32> = (0..3 * side * side).map(|i| (i as f32 * 0.37).sin()).collect();
    let mut features = Features::default();
    engine.encode_image(&planes, &mut Trace::stages(&mut features));
    engine.encode_text(&[&[49406, 518, 49407]], &mut Trace::stages(&mut features));
    features
}

/// bfloat16 keeps 8 bits of each factor and bytes 7 of the largest of a row: after some twenty
/// layers of random weights that is a few parts in a hundred. Behind them lie thresholds, so that
/// a comparison of masks says something of trained networks alone.
#[test]
fn narrow_formats_stay_near_the_wide_one() {
    let exact = features(Precision::F32);
    for (precision, bound) in [(Precision::Bf16, 0.02), (Precision::Int8, 0.06)] {
        let rough = features(precision);
        let picture = distance(&rough.picture, &exact.picture);
        let sentences = distance(&rough.sentences, &exact.sentences);
        assert!((1e-4..bound).contains(&picture), "{precision}: {picture} of the picture");
        assert!((1e-4..0.03).contains(&sentences), "{precision}: {sentences} of the sentences");
    }
}

#[test]
fn packed_files_give_the_same_bytes_in_their_own_precision_alone() {
    let folder = tempfile::tempdir().unwrap();
    for precision in Precision::ALL {
        let made = engine(precision, Isa::best(), 2);
        let path = folder.path().join(format!("{precision}.safetensors"));
        let metadata = made.packed_metadata();
        write_safetensors(&path, &made.packed_tensors(), &metadata, &mut |_| ()).unwrap();

        let file = Checkpoint::open(&path).unwrap();
        assert_eq!(packed_precision(&file).unwrap(), Some(precision));
        let options = EngineOptions { precision, ..EngineOptions::default() };
        let mapped = Engine::load(&config(), &file, &options).unwrap();
        assert!(answer(&mapped) == answer(&made), "{precision}");

        let other = Precision::ALL.into_iter().find(|&other| other != precision).unwrap();
        let options = EngineOptions { precision: other, ..EngineOptions::default() };
        let error = Engine::load(&config(), &file, &options).unwrap_err();
        assert!(matches!(error, EngineError::OtherPrecision { .. }), "{error}");

        let wider = NetworkConfig { projection_width: 128, ..config() };
        let options = EngineOptions { precision, ..EngineOptions::default() };
        let error = Engine::load(&wider, &file, &options).unwrap_err();
        assert!(error.to_string().contains("lang_proj"), "{error}");
    }
    let plain =
        Checkpoint::open(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/tiny/tiny.pt"));
    assert_eq!(packed_precision(&plain.unwrap()).unwrap(), None);
}

#[test]
fn a_checkpoint_of_other_sizes_is_refused_by_its_keys() {
    let file =
        Checkpoint::open(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/tiny/tiny.pt"));
    let error = Engine::load(&config(), &file.unwrap(), &EngineOptions::default()).unwrap_err();
    assert!(error.to_string().contains("presence_head"), "{error}");
}

#[test]
fn a_stopped_run_computes_no_further_block() {
    let engine = engine(Precision::F32, Isa::best(), 1);
    let planes = vec![0.5; 3 * engine.image_side().pow(2)];
    let asked = Cell::new(0);
    let count_until = |limit: usize| {
        asked.set(0);
        let stop = || {
            asked.set(asked.get() + 1);
            asked.get() >= limit
        };
        engine.encode_image(&planes, &mut Trace::until(&stop));
        asked.get()
    };
    let blocks: usize = config().backbone.depths.iter().sum();
    let all = count_until(usize::MAX);
    assert!(all > blocks, "asked {all} times, before {blocks} blocks and what follows them");
    // What follows the backbone asks once more each, and does nothing.
    assert!(count_until(1) <= 1 + (all - blocks));
    assert!(count_until(blocks / 2) <= blocks / 2 + (all - blocks));
}
