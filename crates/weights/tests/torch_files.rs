//! Files that PyTorch wrote, read to the byte. `testdata/weights/make_fixtures.py` made them.

mod common;

use std::collections::BTreeMap;

use common::{testdata, torch_with_pickle, zip};
use medparse_weights::{Checkpoint, ElementType, Format, WeightsError};
use serde::Deserialize;

#[derive(Deserialize)]
struct Stored {
    shape: Vec<usize>,
    r#type: String,
    bytes: String,
}

fn open(name: &str) -> Checkpoint {
    Checkpoint::open(testdata("weights").join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn refusal(name: &str) -> String {
    Checkpoint::open(testdata("weights").join(name)).expect_err(name).to_string()
}

fn torch_name(element_type: ElementType) -> &'static str {
    match element_type {
        ElementType::F64 => "float64",
        ElementType::F32 => "float32",
        ElementType::F16 => "float16",
        ElementType::BF16 => "bfloat16",
        ElementType::I64 => "int64",
        ElementType::I32 => "int32",
        ElementType::I16 => "int16",
        ElementType::I8 => "int8",
        ElementType::U64 => "uint64",
        ElementType::U32 => "uint32",
        ElementType::U16 => "uint16",
        ElementType::U8 => "uint8",
        ElementType::Bool => "bool",
    }
}

/// Shared, offset, transposed, strided, expanded and 0-D views; every element type; every container and nesting.
#[test]
fn every_tensor_of_every_file_reads_as_torch_sees_it() {
    let expected = std::fs::read_to_string(testdata("weights/expected.json")).unwrap();
    let expected: BTreeMap<String, Vec<(String, Stored)>> =
        serde_json::from_str(&expected).unwrap();
    assert_eq!(expected.len(), 10, "files in expected.json");
    for (file, tensors) in expected {
        let checkpoint = open(&file);
        let legacy = file == "legacy.pt";
        let format = if legacy { Format::TorchLegacy } else { Format::TorchZip };
        assert_eq!(checkpoint.format(), format, "{file}");
        let names: Vec<&str> = tensors.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(checkpoint.names().collect::<Vec<_>>(), names, "{file}: names in file order");
        for (name, stored) in &tensors {
            let entry = checkpoint.require(name).unwrap();
            assert_eq!(entry.name(), name);
            assert_eq!(entry.shape(), stored.shape, "{file} {name}");
            assert_eq!(torch_name(entry.element_type()), stored.r#type, "{file} {name}");
            let bytes = entry.read_bytes().unwrap();
            assert_eq!(bytes.len(), entry.byte_len(), "{file} {name}");
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, stored.bytes, "{file} {name}");
        }
    }
}

#[test]
fn floating_types_convert_to_f32_and_others_do_not() {
    let types = open("types.pt");
    let ramp: Vec<f32> = (0..24).map(|i| (i as f32 / 8.0 - 1.0) * 3.0).collect();
    for name in ["float64", "float32", "float16", "bfloat16"] {
        // The ramp's values are multiples of 3/8 below 6: exact in every one of the types.
        assert_eq!(types.require(name).unwrap().read_f32().unwrap(), ramp, "{name}");
    }
    assert_eq!(
        types.require("special_half").unwrap().read_f32().unwrap(),
        [f32::INFINITY, -0.0, 5.9604645e-8, 65504.0]
    );
    let error = types.require("int64").unwrap().read_f32().unwrap_err();
    assert!(matches!(error, WeightsError::NotFloat { found: ElementType::I64, .. }), "{error}");
    assert!(error.to_string().contains("`int64`"), "{error}");
}

#[test]
fn a_root_that_is_no_state_dict_is_named() {
    let cases = [
        ("one_tensor.pt", "found a `torch.Tensor`"),
        ("list.pt", "found a list of 2 items"),
        (
            "other_key.pt",
            "found a dictionary with the 2 keys `ema`, `epoch`, with tensors under `ema`",
        ),
        (
            "two_levels.pt",
            "found a dictionary with the 1 key `model`, with tensors under `model.backbone`",
        ),
        ("numpy_weights.pt", "found among its tensors `b`, which is a `numpy."),
    ];
    for (file, what) in cases {
        let error = refusal(file);
        assert!(error.contains(what) && error.contains(file), "{file}: {error}");
    }
}

#[test]
fn a_whole_module_is_refused_with_the_way_out() {
    let error = refusal("whole_module.pt");
    assert!(error.contains("imports `torch.nn.modules.container.Sequential`"), "{error}");
    assert!(error.contains("save `model.state_dict()` instead"), "{error}");
}

#[test]
fn a_sparse_tensor_is_refused_by_name() {
    let error = refusal("sparse.pt");
    assert!(error.contains("torch._utils._rebuild_sparse_tensor"), "{error}");
}

#[test]
fn any_top_folder_is_accepted_and_two_pickles_are_not() {
    let folder = common::folder();
    let path = folder.path().join("renamed.bin");
    let pickle = common::one_tensor_pickle(1024, 3, &[2, 3], &[3, 1]);
    let storage = 1.0f32.to_le_bytes().repeat(1024);
    for root in ["", "archive/", "renamed/", "a/deeper folder/"] {
        zip(&path, &[(&format!("{root}data.pkl"), &pickle), (&format!("{root}data/0"), &storage)]);
        let checkpoint = Checkpoint::open(&path).unwrap_or_else(|e| panic!("`{root}`: {e}"));
        assert_eq!(checkpoint.require("w").unwrap().read_f32().unwrap(), [1.0; 6], "`{root}`");
    }
    zip(&path, &[("a/data.pkl", &pickle), ("b/data.pkl", &pickle), ("a/data/0", &storage)]);
    let error = Checkpoint::open(&path).unwrap_err().to_string();
    assert!(error.contains("two pickles, `a/data.pkl` and `b/data.pkl`"), "{error}");
    zip(&path, &[("readme.txt", b"hello")]);
    let error = Checkpoint::open(&path).unwrap_err().to_string();
    assert!(error.contains("a zip archive of 1 files without a `data.pkl`"), "{error}");
}

#[test]
fn a_big_endian_file_is_refused() {
    let folder = common::folder();
    let path = folder.path().join("x.pt");
    let pickle = common::one_tensor_pickle(1024, 0, &[2], &[1]);
    zip(&path, &[("x/data.pkl", &pickle), ("x/byteorder", b"big"), ("x/data/0", &[0; 4096])]);
    let error = Checkpoint::open(&path).unwrap_err().to_string();
    assert!(error.to_lowercase().contains("big-endian"), "{error}");
}

#[test]
fn a_missing_tensor_suggests_the_nearest_names() {
    let checkpoint = open("state_dict.pt");
    let error = checkpoint.require("1.runing_mean").unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("has no tensor `1.runing_mean`; did you mean `1.running_mean`?"),
        "{error}"
    );
    let error = checkpoint.require("nothing like it").unwrap_err();
    assert!(error.to_string().ends_with("has no tensor `nothing like it`"), "{error}");
}

#[test]
fn an_entry_outlives_its_checkpoint_and_reads_on_many_threads() {
    let entry = open("views.pt").require("transposed").unwrap().clone();
    let reads: Vec<Vec<f32>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(|| entry.read_f32().unwrap())).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    assert!(reads.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(reads[0][..5], [-1.0, -0.25, 0.5, 1.25, -0.875]);
}

/// The pickle is data: a value beside the weights that no tensor needs does not stop them from being read.
#[test]
fn plain_values_beside_the_tensors_are_passed_over() {
    let folder = common::folder();
    let path = folder.path().join("x.pt");
    let mut pickle = common::one_tensor_pickle(1024, 0, &[2], &[1]);
    // {'w': tensor} then 'epoch': 3, 'note': None set on the same dictionary.
    pickle.pop();
    pickle.extend(b"X\x05\0\0\0epochK\x03sX\x04\0\0\0noteNs.");
    torch_with_pickle(&path, &pickle);
    assert_eq!(Checkpoint::open(&path).unwrap().names().collect::<Vec<_>>(), ["w"]);
}
