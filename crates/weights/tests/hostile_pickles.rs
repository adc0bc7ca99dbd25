//! Pickles made to harm: nothing runs, nothing is allocated, and the error names the offending thing.

mod common;

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{folder, one_tensor_pickle, torch_with_pickle};
use medparse_weights::{Checkpoint, WeightsError};

fn open(path: &Path, pickle: &[u8]) -> Result<Checkpoint, WeightsError> {
    torch_with_pickle(path, pickle);
    Checkpoint::open(path)
}

#[test]
fn imports_of_anything_but_plain_data_are_refused_by_name() {
    let folder = folder();
    let (path, canary) = (folder.path().join("x.pt"), folder.path().join("canary"));
    let touch = format!("touch {}", canary.display());
    let length = touch.len() as u8;
    let command: Vec<u8> = [b"U".as_slice(), &[length], touch.as_bytes()].concat();
    let call = |opening: &[u8]| [opening, &command, b"\x85R."].concat();
    let within = |opening: &[u8]| {
        // The call stands where a tensor's value would, in an otherwise sound file.
        let mut pickle = one_tensor_pickle(1024, 0, &[2], &[1]);
        pickle.pop();
        [&pickle, b"X\x01\0\0\0v".as_slice(), opening, &command, b"\x85Rs."].concat()
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("imports `os.system`", call(b"\x80\x02cos\nsystem\n")),
        ("imports `posix.system`", call(b"\x80\x02cposix\nsystem\n")),
        ("imports `posix.system`", within(b"cposix\nsystem\n")),
        ("imports `builtins.eval`", call(b"\x80\x02cbuiltins\neval\n")),
        ("imports `__builtin__.exec`", call(b"\x80\x02c__builtin__\nexec\n")),
        ("imports `subprocess.Popen`", call(b"\x80\x02csubprocess\nPopen\n")),
        ("imports `torch.hub.load`", call(b"\x80\x02ctorch.hub\nload\n")),
        ("imports `torch.load`", call(b"\x80\x02ctorch\nload\n")),
        (
            "imports `torch._utils._rebuild_qtensor`",
            call(b"\x80\x02ctorch._utils\n_rebuild_qtensor\n"),
        ),
        (
            "imports `collections.OrderedDict.__init__`",
            call(b"\x80\x02ccollections\nOrderedDict.__init__\n"),
        ),
        ("imports `collections.OrderedDict\\r`", call(b"\x80\x02ccollections\nOrderedDict\r\n")),
        // Protocol 4 takes the names from the stack: pushed, memoized, or recalled.
        ("imports `os.system`", call(b"\x80\x04\x8c\x02os\x8c\x06system\x93")),
        ("imports `os.system`", call(b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x93")),
        ("imports `os.system`", call(b"\x80\x04\x8c\x06systemq\x070\x8c\x02osh\x07\x93")),
        ("imports `os.system`", call(b"\x80\x04Vos\nVsystem\n\x93")),
        // A name hidden by a POP, a DUP or an escape, and one recalled from a memo slot that was overwritten.
        ("STACK_GLOBAL", call(b"\x80\x04\x8c\x02os\x8c\x06systemN0\x93")),
        ("STACK_GLOBAL", call(b"\x80\x04\x8c\x02os2\x93")),
        ("STACK_GLOBAL", call(b"\x80\x04Vo\\u0073\nVsystem\n\x93")),
        (
            "imports `os.system`",
            call(b"\x80\x04\x8c\x0bcollections\x94\x8c\x02osr\0\0\0\x0000h\0\x8c\x06system\x93"),
        ),
        // Opcodes that import without GLOBAL.
        ("instantiates `os.system`", [b"(".as_slice(), &command, b"ios\nsystem\n."].concat()),
        ("EXT1", b"\x80\x02\x82\x01.".to_vec()),
        ("EXT4", b"\x80\x02\x84\x01\0\0\0.".to_vec()),
        ("OBJ", b"(N(o.".to_vec()),
    ];
    for (what, pickle) in cases {
        let error = open(&path, &pickle).expect_err(what);
        assert!(matches!(error, WeightsError::Forbidden { .. }), "{what}: {error}");
        assert!(error.to_string().contains(what), "{what}: {error}");
        assert!(error.to_string().contains("nothing was run"), "{error}");
    }
    assert!(!canary.exists(), "the command of a pickle was run");
}

#[test]
fn the_same_import_in_a_legacy_file_is_refused() {
    let folder = folder();
    let path = folder.path().join("x.pt");
    let mut bytes = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.".to_vec();
    bytes.extend(b"\x80\x02M\xe9\x03.");
    bytes.extend(b"\x80\x02}X\x0d\0\0\0little_endian\x88s.");
    bytes.extend(b"\x80\x02cos\nsystem\nU\x04true\x85R.");
    bytes.extend(b"\x80\x02].");
    std::fs::write(&path, bytes).unwrap();
    let error = Checkpoint::open(&path).unwrap_err().to_string();
    assert!(error.contains("imports `os.system`"), "{error}");
}

#[test]
fn bombs_are_refused_before_they_go_off() {
    let folder = folder();
    let path = folder.path().join("x.pt");
    let deep = |open: &[u8], n: usize, close: &[u8]| {
        [&open.repeat(n), &close.repeat(n), b".".as_slice()].concat()
    };
    let mut laughs = b"\x80\x02]q\x00".to_vec();
    for _ in 0..64 {
        laughs.extend(b"h\x00h\x00\x86q\x00");
    }
    laughs.push(b'.');
    let mut doubling = b"\x80\x02K\x01".to_vec();
    for _ in 0..64 {
        doubling.extend(b"2\x86");
    }
    doubling.push(b'.');
    let cases: Vec<(&str, &str, Vec<u8>)> = vec![
        ("lists in lists", "nesting", deep(b"]", 200_000, b"a")),
        (
            "tuples in tuples",
            "nesting",
            [b"\x80\x02N".as_slice(), &b"\x85".repeat(200_000), b"."].concat(),
        ),
        ("marks", "damaged", [b"(".repeat(200_000), b"t".repeat(200_000), b".".to_vec()].concat()),
        ("billion laughs", "memo bomb", laughs),
        ("doubling", "memo bomb", doubling),
        ("too many opcodes", "4000000 opcodes", [b"N".repeat(4_100_000), b".".to_vec()].concat()),
        (
            "a string of 4 GiB",
            "in the middle of an argument",
            b"\x80\x02X\xff\xff\xff\xffab".to_vec(),
        ),
        (
            "a string of 2^63",
            "in the middle of an argument",
            b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fab".to_vec(),
        ),
        (
            "bytes of 2^64",
            "in the middle of an argument",
            b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
        ),
        (
            "a number of 4 GiB",
            "in the middle of an argument",
            b"\x80\x02\x8b\xff\xff\xff\xff".to_vec(),
        ),
        ("an endless line", "text argument", [b"V".as_slice(), &b"a".repeat(100_000)].concat()),
        ("no STOP", "ends before its STOP", b"\x80\x02}".to_vec()),
        ("nothing", "ends before its STOP", Vec::new()),
        ("an unknown opcode", "opcode 0xff", b"\x80\x02\xff.".to_vec()),
        ("an out-of-band buffer", "opcode 0x97", b"\x80\x05\x97.".to_vec()),
        ("an underflow", "underflow", b"\x80\x02R.".to_vec()),
        ("an unset memo slot", "memo", b"\x80\x02h\x05.".to_vec()),
    ];
    for (name, what, pickle) in cases {
        let started = Instant::now();
        let error = open(&path, &pickle).expect_err(name).to_string();
        assert!(error.contains(what), "{name}: {error}");
        assert!(started.elapsed() < Duration::from_secs(20), "{name} kept the reader busy");
    }
}

#[test]
fn a_pickle_that_unpacks_far_beyond_its_file_is_refused() {
    let folder = folder();
    let path = folder.path().join("x.pt");
    // An entry that claims 4 GB uncompressed while 10 bytes stand in the file.
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file(
        "x/data.pkl",
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored),
    )
    .unwrap();
    zip.write_all(b"\x80\x02}.123456").unwrap();
    let mut bytes = zip.finish().unwrap().into_inner();
    let central = bytes.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    // Uncompressed size: 4 bytes at 22 of the local header, at 24 of the central one.
    for at in [22, central + 24] {
        bytes[at..at + 4].copy_from_slice(&0xf000_0000u32.to_le_bytes());
    }
    std::fs::write(&path, bytes).unwrap();
    let error = Checkpoint::open(&path).unwrap_err().to_string();
    assert!(error.contains("x/data.pkl") && error.contains("4026531840"), "{error}");
}

#[test]
fn tensors_larger_than_their_storage_are_refused() {
    let folder = folder();
    let path = folder.path().join("x.pt");
    const HUGE: u64 = i64::MAX as u64;
    type Case<'a> = (&'a str, &'a str, [u64; 2], &'a [u64], &'a [u64]);
    let cases: &[Case<'_>] = &[
        ("a shape beyond the storage", "declares 1024", [1024, 0], &[1025], &[1]),
        ("an offset beyond the storage", "declares 1024", [1024, 1023], &[2], &[1]),
        ("a stride beyond the storage", "declares 1024", [1024, 0], &[2, 2], &[1, 1024]),
        ("a shape that overflows", "overflow", [1024, 0], &[HUGE, HUGE], &[0, 0]),
        ("an offset that overflows", "overflow", [1024, HUGE], &[HUGE], &[HUGE]),
        ("a storage that overflows", "overflow", [HUGE, 0], &[2], &[1]),
        ("a stride of another rank", "rank", [1024, 0], &[2, 2], &[1]),
        ("an exabyte by repetition", "limit", [1024, 0], &[1 << 50], &[0]),
    ];
    for (name, what, [numel, offset], shape, stride) in cases {
        let error = open(&path, &one_tensor_pickle(*numel, *offset, shape, stride))
            .expect_err(name)
            .to_string();
        assert!(error.contains(what), "{name}: {error}");
    }
}

#[test]
fn lies_about_storages_show_when_the_tensor_is_read() {
    let folder = folder();
    let path = folder.path().join("x.pt");
    // One value repeated to 4 GB: the file has 4 KB.
    let entry = open(&path, &one_tensor_pickle(1024, 0, &[1_000_000_000], &[0])).unwrap();
    let error = entry.require("w").unwrap().read_f32().unwrap_err();
    assert!(matches!(error, WeightsError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("repeats a small storage to 4000000000 bytes"), "{error}");
    // A storage declared longer than its entry.
    let entry = open(&path, &one_tensor_pickle(2048, 0, &[2048], &[1])).unwrap();
    let error = entry.require("w").unwrap().read_f32().unwrap_err().to_string();
    assert!(
        error.contains("tensor `w`") && error.contains("2048") && error.contains("1024"),
        "{error}"
    );
    // A moderate repetition is what `expand` makes.
    let entry = open(&path, &one_tensor_pickle(1024, 0, &[3, 1000], &[0, 1])).unwrap();
    assert_eq!(entry.require("w").unwrap().read_f32().unwrap(), [1.0; 3000]);
}

#[test]
fn a_key_that_leaves_the_archive_finds_nothing() {
    let folder = folder();
    let path = folder.path().join("x.pt");
    let pickle = one_tensor_pickle(1024, 0, &[2], &[1]);
    let escape = [b"X\x12\0\0\0".as_slice(), b"../../../etc/passwd"[..18].as_ref()].concat();
    let at = pickle.windows(6).position(|w| w == b"X\x01\0\0\x000").unwrap();
    let pickle = [&pickle[..at], &escape, &pickle[at + 6..]].concat();
    let error =
        open(&path, &pickle).unwrap().require("w").unwrap().read_f32().unwrap_err().to_string();
    assert!(error.contains("not found in archive"), "{error}");
}
