//! Writing: what comes back, what stays when it fails, and that memory holds one tensor at a time.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{folder, testdata};
use medparse_weights::{
    Checkpoint, ElementType, FloatType, Format, Progress, TensorSource, WeightsError,
    deterministic, write_safetensors, write_torch,
};

type Writer = fn(&Path, &[TensorSource<'_>], &mut dyn FnMut(Progress)) -> Result<(), WeightsError>;

fn writers() -> [(&'static str, Writer); 2] {
    [
        ("x.pt", |path, tensors, progress| write_torch(path, tensors, progress)),
        ("x.safetensors", |path, tensors, progress| {
            write_safetensors(path, tensors, &BTreeMap::new(), progress)
        }),
    ]
}

fn names_in(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_written_file_reads_back_to_the_bit() {
    let folder = folder();
    let special = [f32::NAN, f32::INFINITY, -0.0, f32::MIN_POSITIVE, 1e-45, 65504.0];
    for (file, write) in writers() {
        let path = folder.path().join(file);
        let tensors = [
            TensorSource::values("z.weight", [2, 3], FloatType::F32, special.as_slice()),
            TensorSource::values("half", [6], FloatType::F16, special.as_slice()),
            TensorSource::values("brain", [1, 6, 1], FloatType::BF16, special.as_slice()),
            TensorSource::values("scalar", [], FloatType::F32, vec![4.0]),
            TensorSource::values("empty", [0, 2], FloatType::F32, vec![]),
            TensorSource::values("naïve \"quoted\"\n名", [1], FloatType::F32, vec![5.0]),
            TensorSource::lazy("computed", [300, 7], FloatType::F32, || {
                Ok::<_, WeightsError>(deterministic::values("computed", &[300, 7]))
            }),
        ];
        let mut reports = Vec::new();
        write(&path, &tensors, &mut |progress| reports.push(progress)).unwrap();
        let total_bytes = 24 + 12 + 12 + 4 + 4 + 8400;
        assert_eq!(reports.len(), 7);
        assert_eq!(
            reports[6],
            Progress { tensors: 7, total_tensors: 7, bytes: total_bytes, total_bytes }
        );

        let read = Checkpoint::open(&path).unwrap();
        assert_eq!(read.len(), 7);
        let bits = |name: &str| -> Vec<u32> {
            read.require(name).unwrap().read_f32().unwrap().iter().map(|v| v.to_bits()).collect()
        };
        assert_eq!(bits("z.weight"), special.map(f32::to_bits), "{file}");
        let half = read.require("half").unwrap();
        assert_eq!(half.element_type(), ElementType::F16);
        let halves = half.read_f32().unwrap();
        assert!(halves[0].is_nan());
        assert_eq!(halves[1..], [f32::INFINITY, -0.0, 0.0, 0.0, 65504.0]);
        assert_eq!(read.require("brain").unwrap().shape(), [1, 6, 1]);
        assert_eq!(read.require("scalar").unwrap().shape(), [0usize; 0]);
        assert_eq!(read.require("empty").unwrap().shape(), [0, 2]);
        assert_eq!(bits("naïve \"quoted\"\n名"), [5.0f32.to_bits()]);
        assert_eq!(
            read.require("computed").unwrap().read_f32().unwrap(),
            deterministic::values("computed", &[300, 7])
        );
        if read.format() == Format::TorchZip {
            let order: Vec<&str> = tensors.iter().map(TensorSource::name).collect();
            assert_eq!(read.names().collect::<Vec<_>>(), order);
        }
    }
}

#[test]
fn a_file_converts_to_the_other_format_and_back_without_a_changed_bit() {
    let folder = folder();
    for fixture in ["tiny/tiny.pt", "weights/types.pt", "weights/views.pt"] {
        let (safe, torch) = (folder.path().join("s.safetensors"), folder.path().join("t.pt"));
        let original = Checkpoint::open(testdata(fixture)).unwrap();
        let tensors: Vec<_> = original.entries().map(TensorSource::copy).collect();
        write_safetensors(&safe, &tensors, &BTreeMap::new(), &mut |_| {}).unwrap();
        let mapped = Checkpoint::open(&safe).unwrap();
        let tensors: Vec<_> = mapped.entries().map(TensorSource::copy).collect();
        write_torch(&torch, &tensors, &mut |_| {}).unwrap();
        let back = Checkpoint::open(&torch).unwrap();
        assert_eq!(back.len(), original.len());
        for entry in original.entries() {
            let copy = back.require(entry.name()).unwrap();
            assert_eq!(copy.element_type(), entry.element_type(), "{}", entry.name());
            assert_eq!(copy.shape(), entry.shape(), "{}", entry.name());
            assert_eq!(copy.read_bytes().unwrap(), entry.read_bytes().unwrap(), "{}", entry.name());
        }
    }
}

#[test]
fn conversion_touches_floating_types_only() {
    let folder = folder();
    let path = folder.path().join("x.safetensors");
    let types = Checkpoint::open(testdata("weights/types.pt")).unwrap();
    let tensors: Vec<_> =
        types.entries().map(|entry| TensorSource::convert(entry, FloatType::BF16)).collect();
    write_safetensors(&path, &tensors, &BTreeMap::new(), &mut |_| {}).unwrap();
    let converted = Checkpoint::open(&path).unwrap();
    for entry in types.entries() {
        let copy = converted.require(entry.name()).unwrap();
        let expected =
            if entry.element_type().is_float() { ElementType::BF16 } else { entry.element_type() };
        assert_eq!(copy.element_type(), expected, "{}", entry.name());
    }
    let exact = types.require("float32").unwrap().read_f32().unwrap();
    assert_eq!(converted.require("float64").unwrap().read_f32().unwrap(), exact);
}

#[test]
fn a_value_beyond_half_precision_is_an_error_not_an_infinity() {
    let folder = folder();
    let path = folder.path().join("x.safetensors");
    for (float, value) in
        [(FloatType::F16, 65520.0), (FloatType::F16, -1e9), (FloatType::BF16, f32::MAX)]
    {
        let tensors = [TensorSource::values("w", [3], float, vec![1.0, value, f32::INFINITY])];
        let error = write_safetensors(&path, &tensors, &BTreeMap::new(), &mut |_| {}).unwrap_err();
        assert!(
            matches!(&error, WeightsError::OutOfRange { index: 1, value: v, .. } if *v == value),
            "{error}"
        );
    }
    assert_eq!(names_in(folder.path()), [""; 0]);
}

#[test]
fn a_failing_source_leaves_the_folder_as_it_was() {
    let folder = folder();
    for (file, write) in writers() {
        let path = folder.path().join(file);
        fs::write(&path, b"the older file").unwrap();
        let good = || TensorSource::values("good", [4096], FloatType::F32, vec![1.0; 4096]);
        let cases: Vec<(&str, Vec<TensorSource<'_>>)> = vec![
            (
                "`bad` could not be produced: the card is full",
                vec![
                    good(),
                    TensorSource::lazy("bad", [2], FloatType::F32, || Err("the card is full")),
                ],
            ),
            (
                "shape [3] of F32 needs 12 bytes, its source gave 8",
                vec![good(), TensorSource::values("short", [3], FloatType::F32, vec![0.0; 2])],
            ),
            ("two tensors have the name `good`", vec![good(), good()]),
            (
                "is beyond every size",
                vec![good(), TensorSource::values("huge", [usize::MAX, 2], FloatType::F32, vec![])],
            ),
        ];
        for (what, tensors) in cases {
            let error = write(&path, &tensors, &mut |_| {}).expect_err(what).to_string();
            assert!(error.contains(what), "{error}");
            assert_eq!(fs::read(&path).unwrap(), b"the older file", "{what}");
            assert_eq!(names_in(folder.path()), [file], "{what}");
        }
        fs::remove_file(&path).unwrap();
    }
    let reserved = [TensorSource::values("__metadata__", [1], FloatType::F32, vec![0.0])];
    let error =
        write_safetensors(folder.path().join("x"), &reserved, &BTreeMap::new(), &mut |_| {})
            .unwrap_err();
    assert!(error.to_string().contains("`__metadata__`"), "{error}");
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let folder = folder();
    let path = folder.path().join("absent/x.pt");
    let error = write_torch(&path, &[], &mut |_| {}).unwrap_err().to_string();
    assert!(error.starts_with("cannot create a file in ") && error.contains("absent"), "{error}");
}

#[test]
fn an_older_file_is_replaced_whole_and_open_readers_keep_theirs() {
    let folder = folder();
    let path = folder.path().join("x.safetensors");
    let one = |value: f32| [TensorSource::values("w", [2], FloatType::F32, vec![value; 2])];
    write_safetensors(&path, &one(1.0), &BTreeMap::new(), &mut |_| {}).unwrap();
    let old = Checkpoint::open(&path).unwrap();
    write_safetensors(&path, &one(2.0), &BTreeMap::new(), &mut |_| {}).unwrap();
    assert_eq!(old.require("w").unwrap().read_f32().unwrap(), [1.0, 1.0]);
    assert_eq!(
        Checkpoint::open(&path).unwrap().require("w").unwrap().read_f32().unwrap(),
        [2.0, 2.0]
    );
    assert_eq!(names_in(folder.path()), ["x.safetensors"]);
}

#[test]
fn the_same_tensors_give_the_same_bytes() {
    let folder = folder();
    let metadata: BTreeMap<String, String> =
        (0..50).map(|i| (format!("k{i}"), "v".into())).collect();
    let files: Vec<(Vec<u8>, Vec<u8>)> = (0..2)
        .map(|_| {
            let tiny = Checkpoint::open(testdata("tiny/tiny.pt")).unwrap();
            let tensors: Vec<_> = tiny.entries().map(TensorSource::copy).collect();
            let (torch, safe) = (folder.path().join("x.pt"), folder.path().join("x.safetensors"));
            write_torch(&torch, &tensors, &mut |_| {}).unwrap();
            write_safetensors(&safe, &tensors, &metadata, &mut |_| {}).unwrap();
            (fs::read(torch).unwrap(), fs::read(safe).unwrap())
        })
        .collect();
    assert!(files[0] == files[1]);
}

#[test]
fn tensors_begin_aligned() {
    let folder = folder();
    let path = folder.path().join("x.safetensors");
    let tensors = [
        TensorSource::values("odd half", [3], FloatType::F16, vec![1.0; 3]),
        TensorSource::values("single", [3], FloatType::F32, vec![2.0; 3]),
    ];
    for length in 0..70 {
        let metadata = [("k".to_string(), "v".repeat(length))].into();
        write_safetensors(&path, &tensors, &metadata, &mut |_| {}).unwrap();
        let header = u64::from_le_bytes(fs::read(&path).unwrap()[..8].try_into().unwrap());
        assert_eq!((8 + header) % 64, 0);
        let read = Checkpoint::open(&path).unwrap();
        let single = read.require("single").unwrap();
        assert_eq!(single.read_bytes().unwrap().as_ptr().align_offset(align_of::<f32>()), 0);
        assert_eq!(single.read_f32().unwrap(), [2.0; 3]);
        assert_eq!(read.metadata(), &metadata);
    }

    let path = folder.path().join("x.pt");
    write_torch(&path, &tensors, &mut |_| {}).unwrap();
    let mut archive = zip::ZipArchive::new(fs::File::open(&path).unwrap()).unwrap();
    for i in 0..archive.len() {
        let entry = archive.by_index(i).unwrap();
        assert_eq!(entry.compression(), zip::CompressionMethod::Stored);
        assert_eq!(entry.data_start().unwrap() % 64, 0, "{}", entry.name().unwrap());
    }
}

/// A file may be larger than memory: the values of one tensor are dropped before the next are asked for.
#[test]
fn one_tensor_at_a_time_is_held() {
    static ALIVE: AtomicUsize = AtomicUsize::new(0);
    let folder = folder();
    for (file, write) in writers() {
        ALIVE.store(0, Ordering::SeqCst);
        let tensors: Vec<_> = (0..5)
            .map(|i| {
                TensorSource::lazy(format!("w{i}"), [8], FloatType::F32, || {
                    assert_eq!(
                        ALIVE.fetch_add(1, Ordering::SeqCst),
                        0,
                        "two tensors were asked for at once"
                    );
                    Ok::<_, WeightsError>(vec![0.0; 8])
                })
            })
            .collect();
        // The report comes after a tensor is written and before the next is asked for.
        write(&folder.path().join(file), &tensors, &mut |_| {
            ALIVE.fetch_sub(1, Ordering::SeqCst);
        })
        .unwrap();
    }
}

#[cfg(unix)]
#[test]
fn the_new_file_has_the_rights_of_any_new_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let (plain, ours) = (folder.path().join("plain"), folder.path().join("x.pt"));
    fs::write(&plain, b"").unwrap();
    write_torch(&ours, &[], &mut |_| {}).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&ours), mode(&plain));
}

const FULL_DISK_FOLDER: &str = "MEDPARSE_TEST_FULL_DISK_FOLDER";

/// Run by the next test, in a process that may write 64 KiB a file.
#[test]
fn write_where_it_does_not_fit() {
    let Some(folder) = std::env::var_os(FULL_DISK_FOLDER) else {
        return;
    };
    for (file, write) in writers() {
        let tensors = [TensorSource::values("w", [1 << 20], FloatType::F32, vec![1.0; 1 << 20])];
        let error = write(&Path::new(&folder).join(file), &tensors, &mut |_| {}).unwrap_err();
        assert!(matches!(error, WeightsError::Io { action: "write", .. }), "{error}");
        assert!(error.to_string().contains(file), "{error}");
    }
}

/// A disk that takes no more bytes, played by the shell's limit on file sizes.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_nothing_behind() {
    let folder = folder();
    let run = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" --nocapture --exact write_where_it_does_not_fit"])
        .arg(std::env::current_exe().unwrap())
        .env(FULL_DISK_FOLDER, folder.path())
        .output()
        .unwrap();
    let report = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && report.contains("1 passed"), "{report}");
    assert_eq!(String::from_utf8_lossy(&run.stderr), "");
    assert_eq!(names_in(folder.path()), [""; 0]);
}

#[test]
fn a_source_reads_as_its_file_will() {
    let folder = folder();
    let path = folder.path().join("x.safetensors");
    let types = Checkpoint::open(testdata("weights/types.pt")).unwrap();
    let tensors = [
        TensorSource::values("half", [3], FloatType::F16, vec![0.1, -1.0, 65519.0]),
        TensorSource::lazy("lazy", [2], FloatType::BF16, || Ok::<_, WeightsError>(vec![0.1, 3.0])),
        TensorSource::copy(types.require("float64").unwrap()),
        TensorSource::convert(types.require("transposed_half").unwrap(), FloatType::F32),
    ];
    write_safetensors(&path, &tensors, &BTreeMap::new(), &mut |_| {}).unwrap();
    let file = Checkpoint::open(&path).unwrap();
    for tensor in &tensors {
        let stored = file.require(tensor.name()).unwrap().read_f32().unwrap();
        assert_eq!(tensor.read_f32().unwrap(), stored, "{}", tensor.name());
    }
    let error = TensorSource::copy(types.require("int64").unwrap()).read_f32().unwrap_err();
    assert!(error.to_string().contains("I64 holds no floating-point numbers"), "{error}");
}
