//! Real PyTorch reads our files and we read its own: `torch_interop.py` holds the other half.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use common::{folder, testdata};
use medparse_weights::{Checkpoint, TensorSource, write_safetensors, write_torch};

fn python(step: &str, folder: &Path) -> String {
    let python = std::env::var_os("MEDPARSE_TORCH_PYTHON")
        .expect("MEDPARSE_TORCH_PYTHON names a Python with torch and safetensors");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torch_interop.py");
    let output = Command::new(python).arg(script).arg(step).arg(folder).output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{report}{}", String::from_utf8_lossy(&output.stderr));
    report
}

#[test]
#[ignore = "needs PyTorch; run with MEDPARSE_TORCH_PYTHON=… cargo test -- --ignored"]
fn files_pass_between_torch_and_us_without_a_changed_bit() {
    let folder = folder();
    python("write", folder.path());
    let expected = Checkpoint::open(folder.path().join("from_torch.safetensors")).unwrap();
    for (i, file) in
        ["from_torch.pt", "from_torch_legacy.pt", "from_torch_nested.pt"].iter().enumerate()
    {
        let checkpoint = Checkpoint::open(folder.path().join(file)).unwrap();
        assert_eq!(checkpoint.len(), 22, "{file}");
        for entry in checkpoint.entries() {
            let same = expected.require(entry.name()).unwrap();
            assert_eq!(entry.shape(), same.shape(), "{file} {}", entry.name());
            assert_eq!(entry.element_type(), same.element_type(), "{file} {}", entry.name());
            assert!(
                entry.read_bytes().unwrap() == same.read_bytes().unwrap(),
                "{file} {}",
                entry.name()
            );
        }
        let tensors: Vec<_> = checkpoint.entries().map(TensorSource::copy).collect();
        let ours = ["ours.pt", "ours_legacy.pt", "ours_nested.pt"][i];
        write_torch(folder.path().join(ours), &tensors, &mut |_| {}).unwrap();
        if i < 2 {
            let ours = folder.path().join(ours).with_extension("safetensors");
            let metadata = BTreeMap::from([("config".into(), "a: \"b\"\n".into())]);
            write_safetensors(ours, &tensors, &metadata, &mut |_| {}).unwrap();
        }
    }
    let report = python("check", folder.path());
    assert_eq!(report.lines().count(), 6, "{report}");
}

/// What stands in `testdata` and is written again here keeps PyTorch's own layout: nothing needs torch to see that.
#[test]
fn our_archive_has_the_entries_of_torch_save() {
    let folder = folder();
    let path = folder.path().join("tiny.pt");
    let tiny = Checkpoint::open(testdata("tiny/tiny.pt")).unwrap();
    let tensors: Vec<_> = tiny.entries().map(TensorSource::copy).collect();
    write_torch(&path, &tensors, &mut |_| {}).unwrap();
    let names = |path: &Path| -> BTreeSet<String> {
        let archive = zip::ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
        archive.file_names().map(|name| name.unwrap().into_owned()).collect()
    };
    let mut theirs = names(&testdata("tiny/tiny.pt"));
    // A random number, which a reproducible file has no use for and the loader none either.
    assert!(theirs.remove("tiny/.data/serialization_id"));
    assert!(names(&path) == theirs, "{:?}", names(&path).symmetric_difference(&theirs));
}
