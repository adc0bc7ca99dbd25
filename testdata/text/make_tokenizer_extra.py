"""Writes tokenizer_extra.json: procedural texts and the ids that the reference's tokenizer gives them.

    pip install transformers==4.46.3 ftfy==6.3.1 regex open_clip_torch --no-deps   (and transformers' own needs)
    python make_tokenizer_extra.py path/to/open_clip/bpe_simple_vocab_16e6.txt.gz

The tokenizer is Hugging Face's slow CLIPTokenizer with ftfy, as the reference uses it; its two vocabulary files
are written from OpenAI's list of merges. Texts with characters that Unicode had not assigned when Python's tables
were made are left out: the libraries' tables differ in age.
"""

import gzip
import html.entities
import json
import random
import sys
import tempfile
import unicodedata
from pathlib import Path

import ftfy
import ftfy.bad_codecs  # noqa: F401  registers the lenient code pages
from transformers import CLIPTokenizer

ROWS_OF_WORDS = 450
ROWS_OF_NOISE = 450

LATIN_LIKE = ["latin-1"] + [f"sloppy-windows-{page}" for page in (1252, 1251, 1250, 1253, 1254, 1257)]
CODE_PAGES = LATIN_LIKE + ["iso-8859-2", "macroman", "cp437"]

PLAIN = """neoplastic cells inflammatory breast pathology left kidney optic disc COVID-19 infection glioma T1-Gd
non-enhancing tumor core Whipple's adenocarcinoma peri-hilar 3.5mm 10% <5 ≥2 p<0.05 it's they'll Ki-67+ HER2/neu""".split()
WORLD = """naïve Übergröße façade édema Œdème lésion hépatique 肺結節 肝臓 опухоль печени λευκά κύτταρα ورم गुर्दा 간 “quoted”
‘x’ … – — ﬁbrosis ﬂuid ＦＵＬＬ ｶﾀｶﾅ ① ½ x² CO₂ 10⁻³ ŉ Ǆ İstanbul ΌΣΟΣ ß ſt 🫀 👩‍⚕️ e\u0301 \u212b \u0345 à às Å Â""".split()
ODD = [
    "<|endoftext|>", "<|STARTOFTEXT|>", "<start_of_text>", "<b>", "&", "&amp", "&#59;", "&#0;", "&#x9d;", "&#xD800;",
    "&EACUTE;", "&LTIMES;", "\x1b[31m", "'S", "'ſ", "'LL", "À\n", "Ã la", "Ã quele", "Â ", "â€œ", "â€\ufffd", "вЂ™", "Ø§Ù„",
]  # fmt: skip
BLANKS = ["", " ", " ", " ", "\u3000", "\xa0", "\t", "\n", "\r\n", "\u2028", "\u200b", "-"]
NAMED = ["&" + name for name in html.entities.html5 if name.endswith(";")]


def misread(text: str, rng: random.Random) -> str:
    """The text as a program shows it that takes its UTF-8 for a code page."""
    try:
        wrong = text.encode("utf-8").decode(rng.choice(CODE_PAGES + ["sloppy-windows-1252"] * 6))
    except UnicodeDecodeError:
        return text
    if rng.random() < 0.3:
        wrong = wrong.replace("\xa0", " ")
    if rng.random() < 0.15:
        wrong = "".join("\ufffd" if c in "\x81\x8d\x8f\x90\x9d" else c for c in wrong)
    return misread(wrong, rng) if rng.random() < 0.2 else wrong


def surrogates(rng: random.Random) -> str:
    """An emoji written as CESU-8 and read as Windows-1252 or Latin-1."""
    units = chr(rng.randrange(0x1F300, 0x1F600)).encode("utf-16-be")
    cesu = b"".join(chr(int.from_bytes(units[i : i + 2], "big")).encode("utf-8", "surrogatepass") for i in (0, 2))
    return cesu.decode(rng.choice(["latin-1", "sloppy-windows-1252"]))


def word(rng: random.Random) -> str:
    makers = [
        lambda: rng.choice(PLAIN),
        lambda: rng.choice(PLAIN).upper(),
        lambda: rng.choice(WORLD),
        lambda: rng.choice(ODD),
        lambda: rng.choice(NAMED),
        lambda: rng.choice(NAMED).upper(),
        lambda: f"&#{rng.randrange(0x3000)};",
        lambda: misread(rng.choice(WORLD), rng),
        lambda: surrogates(rng),
        lambda: "".join(rng.choice("!.,:;()[]{}-_/'\"#%*+<>=|~^`@$") for _ in range(rng.randrange(1, 6))),
    ]
    return rng.choices(makers, weights=[8, 2, 6, 3, 2, 1, 1, 5, 1, 1])[0]()


def sentence(rng: random.Random) -> str:
    text = "".join(word(rng) + rng.choice(BLANKS) for _ in range(rng.choice([1, 2, 2, 3, 4, 6, 30])))
    return misread(text, rng) if rng.random() < 0.15 else text


def noise(rng: random.Random) -> str:
    """A few neighbours from the upper half of a code page, where mojibake lives."""
    upper = bytes(range(0x80, 0x100)).decode(rng.choice(CODE_PAGES))
    return "".join(rng.choice(upper if rng.random() < 0.75 else "abzAZ  ?.\n_9²\ufffd") for _ in range(rng.randrange(2, 8)))


def tokenizer(merges_file: str) -> CLIPTokenizer:
    lines = gzip.open(merges_file).read().decode("utf-8").split("\n")
    merges = lines[1 : 49152 - 256 - 2 + 1]
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = len(set(range(256)) - set(printable))
    symbols = [chr(byte) for byte in printable] + [chr(256 + index) for index in range(others)]
    symbols += [symbol + "</w>" for symbol in symbols] + ["".join(merge.split()) for merge in merges]
    symbols += ["<|startoftext|>", "<|endoftext|>"]
    with tempfile.TemporaryDirectory() as folder:
        vocabulary, ranks = Path(folder, "vocab.json"), Path(folder, "merges.txt")
        vocabulary.write_text(json.dumps({symbol: index for index, symbol in enumerate(symbols)}))
        ranks.write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
        return CLIPTokenizer(str(vocabulary), str(ranks))


def main() -> None:
    rng = random.Random(20240607)
    clip = tokenizer(sys.argv[1])
    assert clip.fix_text is ftfy.fix_text
    rows, seen = [], set()
    for maker, count in [(sentence, ROWS_OF_WORDS), (noise, ROWS_OF_NOISE)]:
        goal = len(rows) + count
        while len(rows) < goal:
            text = maker(rng)
            assigned = all(unicodedata.category(c) != "Cn" for c in ftfy.fix_text(text))
            # Noise that nothing repairs teaches little; keep one in eight of it.
            telling = maker is sentence or ftfy.fix_encoding(text) != text or rng.random() < 0.125
            if text in seen or not assigned or not telling:
                continue
            seen.add(text)
            whole = clip(text)["input_ids"]
            cut = clip(text, truncation=True, max_length=77)["input_ids"]
            rows.append({"text": text, "ids": cut, "truncated": len(whole) > 77})
    lines = ",\n".join(json.dumps(row) for row in rows)
    Path(__file__).with_name("tokenizer_extra.json").write_text(f"[\n{lines}\n]\n")


main()
