//! What a pickle may import and how large it may be, checked opcode by opcode before anything interprets it.
//!
//! A pickle is a program for a stack machine; its power to harm lies in the opcodes that import a name (`GLOBAL`, `INST`,
//! `STACK_GLOBAL`, `EXT*`) and call it. The reader behind this crate never calls anything, but it passes over what it does
//! not know; a file that asks for `os.system` is refused here instead, by name, as is a program too long to be tensor
//! metadata. Opcodes: Python's `Lib/pickletools.py`.

use std::collections::HashMap;
use std::io::{self, BufRead, Read};

/// Largest pickle accepted, in bytes; 1131 tensors need 0.2 MB, an optimizer state beside them under 1 MB.
pub(crate) const MAX_BYTES: u64 = 64 << 20;

/// Most opcodes accepted: each may occupy some 100 bytes once interpreted, so they bound memory better than bytes do.
const MAX_OPCODES: usize = 4_000_000;

/// Longest string kept while scanning; tensor names and imports are far shorter.
const MAX_KEPT_STRING: u64 = 4096;

/// Why a pickle is refused.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It imports, or may import, something that is not plain data.
    Forbidden { what: &'static str, name: String },
    /// It breaks the format or a limit.
    Malformed(String),
    /// It could not be read.
    Io(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                Self::Malformed("its pickle ends before its STOP".into())
            }
            _ => Self::Io(error),
        }
    }
}

/// The imports that build or describe plain data, by module.
///
/// The tensors of `torch.save`, and what training checkpoints keep beside them: NumPy scalars and arrays, sets, and the
/// arguments of a command line. The list follows what `torch.load(weights_only=True)` accepts.
const PLAIN_DATA: &[(&str, &[&str])] = &[
    ("collections", &["OrderedDict", "Counter"]),
    ("torch", TORCH_TYPES),
    ("torch.storage", &["UntypedStorage", "TypedStorage"]),
    (
        "torch._utils",
        &[
            "_rebuild_tensor",
            "_rebuild_tensor_v2",
            "_rebuild_tensor_v3",
            "_rebuild_parameter",
            "_rebuild_parameter_with_state",
        ],
    ),
    ("torch._tensor", &["_rebuild_from_type_v2"]),
    ("torch.nn.parameter", &["Parameter", "Buffer"]),
    ("numpy", &["dtype", "ndarray"]),
    ("numpy.core.multiarray", &["scalar", "_reconstruct"]),
    ("numpy._core.multiarray", &["scalar", "_reconstruct"]),
    ("_codecs", &["encode"]),
    ("argparse", &["Namespace"]),
    ("builtins", &["set", "frozenset"]),
    ("__builtin__", &["set", "frozenset"]),
];

/// Storages, element types and the like in the `torch` module; those no tensor here can have are refused by the reader.
#[rustfmt::skip]
const TORCH_TYPES: &[&str] = &[
    "DoubleStorage", "FloatStorage", "HalfStorage", "BFloat16Storage", "LongStorage", "IntStorage", "ShortStorage",
    "CharStorage", "ByteStorage", "BoolStorage", "ComplexFloatStorage", "ComplexDoubleStorage",
    "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16",
    "uint8", "bool", "complex64", "complex128", "float8_e4m3fn", "float8_e5m2",
    "Size", "Tensor", "device",
];

/// Whether importing `module.name` builds or describes plain data.
fn is_plain_data(module: &str, name: &str) -> bool {
    PLAIN_DATA.iter().any(|(allowed, names)| *allowed == module && names.contains(&name))
}

/// What a sound pickle told on the way.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Each string of the pickle, with its rank of first appearance.
    order: HashMap<String, usize>,
}

impl Scan {
    /// When `text` first appeared among the pickle's strings, for putting dictionary keys in file order.
    pub(crate) fn rank(&self, text: &str) -> Option<usize> {
        self.order.get(text).copied()
    }
}

/// Reads one pickle up to and with its `STOP`.
pub(crate) fn scan(reader: &mut impl BufRead) -> Result<Scan, Refusal> {
    Scanner {
        reader: reader.take(MAX_BYTES),
        top: None,
        below: None,
        memo: HashMap::new(),
        scan: Scan::default(),
    }
    .run()
}

/// The scanner's knowledge of the stack: its two topmost values where the last opcodes pushed them as strings.
///
/// `STACK_GLOBAL` takes its names from there. Every opcode that does not push forgets both, so what is known is true.
struct Scanner<R> {
    reader: R,
    top: Option<String>,
    below: Option<String>,
    memo: HashMap<u32, Option<String>>,
    scan: Scan,
}

impl<R: BufRead> Scanner<R> {
    fn run(mut self) -> Result<Scan, Refusal> {
        for _ in 0..MAX_OPCODES {
            let opcode = self.byte()?;
            match opcode {
                b'.' => return Ok(self.scan),

                // Imports.
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.import("imports", &module, &name)?;
                    self.push(None);
                }
                0x93 => match (self.below.take(), self.top.take()) {
                    (Some(module), Some(name)) => {
                        self.import("imports", &module, &name)?;
                        self.push(None);
                    }
                    _ => {
                        return Err(Refusal::Forbidden {
                            what: "imports a name it computes, by",
                            name: "STACK_GLOBAL".into(),
                        });
                    }
                },
                b'i' => {
                    let (module, name) = (self.line()?, self.line()?);
                    let name = format!("{module}.{name}");
                    return Err(Refusal::Forbidden { what: "instantiates", name });
                }
                b'o' => {
                    return Err(Refusal::Forbidden {
                        what: "instantiates a class, by",
                        name: "OBJ".into(),
                    });
                }
                0x82..=0x84 => {
                    return Err(Refusal::Forbidden {
                        what: "imports from the extension registry, by",
                        name: format!("EXT{}", 1 << (opcode - 0x82)),
                    });
                }

                // Strings.
                b'X' | b'T' => {
                    let length = u64::from(u32::from_le_bytes(self.array()?));
                    self.string(length)?;
                }
                0x8c | b'U' => {
                    let length = u64::from(self.byte()?);
                    self.string(length)?;
                }
                0x8d => {
                    let length = u64::from_le_bytes(self.array()?);
                    self.string(length)?;
                }
                b'V' => {
                    let text = self.line()?;
                    // Text with escapes stays unknown: nothing this crate needs is written so.
                    let plain = text.is_ascii() && !text.contains('\\');
                    self.push(plain.then_some(text));
                }

                // The memo.
                b'p' => {
                    let slot = self.line()?;
                    let slot = slot.parse().map_err(|_| {
                        Refusal::Malformed(format!(
                            "its pickle has the memo slot `{}`",
                            slot.escape_debug()
                        ))
                    })?;
                    self.memo.insert(slot, self.top.clone());
                }
                b'q' => {
                    let slot = u32::from(self.byte()?);
                    self.memo.insert(slot, self.top.clone());
                }
                b'r' => {
                    let slot = u32::from_le_bytes(self.array()?);
                    self.memo.insert(slot, self.top.clone());
                }
                0x94 => {
                    let slot = self.memo.len() as u32;
                    self.memo.insert(slot, self.top.clone());
                }
                b'g' => {
                    let slot = self.line()?.parse().ok();
                    self.recall(slot);
                }
                b'h' => {
                    let slot = u32::from(self.byte()?);
                    self.recall(Some(slot));
                }
                b'j' => {
                    let slot = u32::from_le_bytes(self.array()?);
                    self.recall(Some(slot));
                }

                // Values without an interest here; what they push is not a string.
                b'N' | b')' | b']' | b'}' | 0x88 | 0x89 | 0x8f => self.push(None),
                b'K' => self.pushed(1)?,
                b'M' => self.pushed(2)?,
                b'J' => self.pushed(4)?,
                b'G' => self.pushed(8)?,
                b'I' | b'L' | b'F' | b'P' => {
                    self.line()?;
                    self.push(None);
                }
                0x8a | b'C' => {
                    let length = u64::from(self.byte()?);
                    self.pushed(length)?;
                }
                0x8b | b'B' => {
                    let length = u64::from(u32::from_le_bytes(self.array()?));
                    self.pushed(length)?;
                }
                0x8e | 0x96 => {
                    let length = u64::from_le_bytes(self.array()?);
                    self.pushed(length)?;
                }

                // Framing, which the stack does not see.
                0x80 => self.skip(1)?,
                0x95 => self.skip(8)?,

                // Operations on the stack.
                b'('
                | b'0'
                | b'1'
                | b'2'
                | b'R'
                | b'b'
                | b'd'
                | b'l'
                | b't'
                | b's'
                | b'a'
                | b'e'
                | b'u'
                | b'Q'
                | 0x81
                | 0x85..=0x87
                | 0x90..=0x92 => self.forget(),

                other => {
                    return Err(Refusal::Malformed(format!(
                        "its pickle has the opcode 0x{other:02x}, which no tensor file uses"
                    )));
                }
            }
        }
        Err(Refusal::Malformed(format!(
            "its pickle has more than {MAX_OPCODES} opcodes, too many for the description of tensors"
        )))
    }

    fn import(&self, what: &'static str, module: &str, name: &str) -> Result<(), Refusal> {
        if is_plain_data(module, name) {
            return Ok(());
        }
        Err(Refusal::Forbidden {
            what,
            name: format!("{module}.{name}").escape_debug().to_string(),
        })
    }

    fn push(&mut self, value: Option<String>) {
        self.below = std::mem::replace(&mut self.top, value);
    }

    fn forget(&mut self) {
        self.top = None;
        self.below = None;
    }

    /// Passes over the `length` bytes of a value that is not a string.
    fn pushed(&mut self, length: u64) -> Result<(), Refusal> {
        self.skip(length)?;
        self.push(None);
        Ok(())
    }

    fn recall(&mut self, slot: Option<u32>) {
        let value = slot.and_then(|slot| self.memo.get(&slot).cloned().flatten());
        self.push(value);
    }

    fn string(&mut self, length: u64) -> Result<(), Refusal> {
        if length > MAX_KEPT_STRING {
            return self.pushed(length);
        }
        let mut bytes = Vec::new();
        self.reader.by_ref().take(length).read_to_end(&mut bytes)?;
        if (bytes.len() as u64) < length {
            return Err(ended());
        }
        let text = String::from_utf8(bytes).ok();
        if let Some(text) = &text {
            let rank = self.scan.order.len();
            self.scan.order.entry(text.clone()).or_insert(rank);
        }
        self.push(text);
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, Refusal> {
        Ok(self.array::<1>()?[0])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn skip(&mut self, length: u64) -> Result<(), Refusal> {
        let skipped = io::copy(&mut self.reader.by_ref().take(length), &mut io::sink())?;
        if skipped < length { Err(ended()) } else { Ok(()) }
    }

    /// A text argument, without its newline.
    fn line(&mut self) -> Result<String, Refusal> {
        let mut bytes = Vec::new();
        self.reader.by_ref().take(MAX_KEPT_STRING).read_until(b'\n', &mut bytes)?;
        match bytes.pop() {
            Some(b'\n') => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Some(_) if bytes.len() as u64 + 1 == MAX_KEPT_STRING => Err(Refusal::Malformed(
                format!("its pickle has a text argument of more than {MAX_KEPT_STRING} bytes"),
            )),
            _ => Err(ended()),
        }
    }
}

fn ended() -> Refusal {
    Refusal::Malformed(format!(
        "its pickle ends, or passes {MAX_BYTES} bytes, in the middle of an argument"
    ))
}
