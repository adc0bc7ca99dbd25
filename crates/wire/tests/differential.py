"""The wire against a plain decoder in Python, on requests that are right, nearly right and broken.

    cargo build --release -p medparse-wire --example decode
    differential.py target/release/examples/decode [CASES] [SEED]

Both must accept the same requests and read the same pictures and sentences from them; where rows are wrong, the sentence
must name one of them. Python is the judge because the reference and its clients are written in it.
"""

import base64
import json
import random
import re
import struct
import subprocess
import sys

BLANKS = ["", " ", "\n", "\t", "\u00a0", "\u2003", "\x1c", "\x1d", "\x1e", "\x1f", "\x85", "\u200b"]
WORDS = ["liver", "tumor core", "näher", "肝", "\U0001f9e0", "a\"b", "c\\d", "e/f", "x" * 40]


class Refused(Exception):
    """A request that breaks the contract, or rows of it that do."""

    def __init__(self, rows=()):
        self.rows = rows


# The plain decoder.


def pairs(found):
    for key, _ in found:
        key.encode()
    return dict(found)


def number(text):
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise Refused
    return value


def whole(text):
    if abs(int(text)) >= 2**1024 - 2**970:
        raise Refused
    # JSON has a minus zero, and it is no count.
    return float(text) if text == "-0" else int(text)


def constant(_):
    raise Refused


def unicode_of(value):
    """Halves of surrogate pairs are no text, wherever they stand."""
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, list):
        for item in value:
            unicode_of(item)
    elif isinstance(value, dict):
        for item in value.values():
            unicode_of(item)


def read(body, form):
    hooks = {"object_pairs_hook": pairs, "parse_float": number, "parse_int": whole, "parse_constant": constant}
    try:
        request = json.loads(body.removeprefix(b"\xef\xbb\xbf").decode(), **hooks)
        unicode_of(request)
    except (UnicodeError, ValueError, RecursionError):
        raise Refused from None
    if not isinstance(request, dict):
        raise Refused
    names = ["input_data"]
    if form == "m":
        names += ["dataframe_split", "dataframe_records", "instances", "inputs"]
    present = [name for name in names if name in request]
    if len(present) != 1:
        raise Refused
    found = request[present[0]]
    if present[0] in ("input_data", "dataframe_split"):
        return rows(table(found))
    if isinstance(found, dict):
        if set(found) != {"image", "text"} or not all(isinstance(part, list) for part in found.values()):
            raise Refused
        if len(found["image"]) != len(found["text"]) or len(found["image"]) > 256:
            raise Refused
        return rows(zip(found["image"], found["text"]))
    if not isinstance(found, list) or len(found) > 256:
        raise Refused
    cells = []
    for at, record in enumerate(found):
        if not isinstance(record, dict) or set(record) != {"image", "text"}:
            raise Refused
        cells.append((record["image"], record["text"]))
    return rows(cells)


def table(found):
    if not isinstance(found, dict) or not isinstance(found.get("columns"), list) or not isinstance(found.get("data"), list):
        raise Refused
    columns, data, index = found["columns"], found["data"], found.get("index")
    if not all(isinstance(name, str) for name in columns) or sorted(columns) != ["image", "text"]:
        raise Refused
    if isinstance(index, list):
        index = len(index)
    if index is not None and (type(index) is not int or index != len(data)):
        raise Refused
    if len(data) > 256:
        raise Refused
    for cells in data:
        if not isinstance(cells, list) or len(cells) != 2:
            raise Refused
    return [dict(zip(columns, cells)).values() if columns[0] == "image" else reversed(cells) for cells in data]


def rows(cells):
    read = [row(*pair) for pair in cells]
    if None in read:
        raise Refused([at for at, found in enumerate(read) if found is None])
    return read


def row(image, text):
    """A picture and its sentences, or nothing where they break the contract."""
    if not isinstance(image, str) or not isinstance(text, str) or len(text.encode()) > 65536:
        return None
    sentences = [sentence.strip() for sentence in text.split("&")]
    if not all(sentences) or len(sentences) > 100:
        return None
    symbols = re.sub("[\t\n\f\r ]", "", image)
    if len(symbols) % 4 == 0:
        symbols = re.sub("={1,2}$", "", symbols)
    if not re.fullmatch("[A-Za-z0-9+/]+", symbols) or len(symbols) % 4 == 1:
        return None
    return [base64.b64encode(base64.b64decode(symbols + "=" * (-len(symbols) % 4))).decode(), sentences]


# Requests.


def picture(chance):
    data = chance.randbytes(chance.choice([1, 2, 3, 20, 90]))
    text = chance.choice([base64.b64encode, base64.encodebytes])(data).decode()
    return chance.choice([text, text, text, text.rstrip("=\n"), " " + text, text + "=", "", text.replace("A", "-")])


def sentence(chance):
    return chance.choice(BLANKS[:4] * 3 + BLANKS) + chance.choice(WORDS) + chance.choice(BLANKS)


def cell_text(chance):
    parts = [sentence(chance) for _ in range(chance.choice([1, 1, 2, 3, 3, 101] if chance.random() < 0.1 else [1, 2, 3]))]
    return "&".join(parts) + ("&" if chance.random() < 0.03 else "")


def value(chance, depth=2):
    plain = [None, True, False, 0, 1, 2, -1, 1.0, 1e300, "", "image", "text", "a & b", "aGk=", 10**30]
    if depth and chance.random() < 0.4:
        items = [value(chance, depth - 1) for _ in range(chance.randrange(3))]
        return items if chance.random() < 0.5 else {chance.choice(["image", "text", "data", "x"]): item for item in items}
    return chance.choice(plain)


def request(chance, form):
    count = chance.choice([0, 1, 1, 1, 2, 3, 256, 257] if chance.random() < 0.02 else [0, 1, 1, 2, 3])
    cells = [{"image": picture(chance), "text": cell_text(chance)} for _ in range(count)]
    shape = chance.choice(["table", "records", "lists"]) if form == "m" else "table"
    if shape == "table":
        columns = chance.choice([["image", "text"], ["text", "image"]])
        index = chance.choice([list(range(count)), count, None])
        data = [[cell[column] for column in columns] for cell in cells]
        parts = [("columns", columns), ("index", index), ("data", data)]
        chance.shuffle(parts)
        name, content = "input_data" if form == "s" else chance.choice(["input_data", "dataframe_split"]), dict(parts)
    else:
        name = chance.choice(["dataframe_records", "instances", "inputs"])
        content = cells if shape == "records" else {key: [cell[key] for cell in cells] for key in ("text", "image")}
    parts = [(name, content)]
    if chance.random() < 0.3:
        parts.append(("params", value(chance)))
    if chance.random() < 0.02:
        parts.append((chance.choice(["inputs", "instances", "input_data", "dataframe_records"]), value(chance)))
    chance.shuffle(parts)
    return dict(parts)


def disturb(chance, node):
    """Changes one place of a request."""
    spots = []

    def walk(node):
        keys = node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        for key in keys:
            spots.append((node, key))
            walk(node[key])

    walk(node)
    if not spots:
        return
    parent, key = chance.choice(spots)
    act = chance.randrange(4)
    if act == 0:
        parent[key] = value(chance)
    elif act == 1:
        del parent[key]
    elif act == 2 and isinstance(parent, dict):
        parent[chance.choice(["image", "text", "columns", "data", "x", "Image"])] = parent.pop(key)
    elif isinstance(parent, list):
        parent.insert(key, value(chance))


def case(chance):
    form = chance.choice("sm")
    asked = request(chance, form)
    for _ in range(chance.choice([0, 0, 0, 1, 1, 2])):
        disturb(chance, asked)
    body = json.dumps(asked, ensure_ascii=chance.random() < 0.5, indent=chance.choice([None, None, 1])).encode()
    if chance.random() < 0.2:
        token = chance.choice([b"NaN", b"-0", b"1e999", b"\\ud800", b"\\u0041", b"\\/", b"\x00", b"\xff", b'"', b"}", b",", b"null", b"\\b", b"\\n"])
        at = chance.randrange(len(body) + 1)
        body = body[:at] + token + body[at + chance.choice([0, 0, 1, 4]) :]
    if chance.random() < 0.02:
        body = b"\xef\xbb\xbf" + body
    return form, body


def main():
    program, cases, seed = [*sys.argv[1:], *["", "20000", "1"][len(sys.argv) - 1 :]]
    cases, seed = int(cases), int(seed)
    chance, differ, accepted = random.Random(seed), 0, 0
    for start in range(0, cases, 5000):
        batch = [case(chance) for _ in range(min(5000, cases - start))]
        framed = b"".join(form.encode() + struct.pack("<I", len(body)) + body for form, body in batch)
        output = subprocess.run([program], input=framed, stdout=subprocess.PIPE, check=True).stdout
        answers = output.decode().split("\n")[:-1]
        assert len(answers) == len(batch), "an answer is missing"
        for (form, body), answer in zip(batch, map(json.loads, answers)):
            try:
                expected, faulty = read(body, form), ()
                accepted += 1
            except Refused as refused:
                expected, faulty = None, refused.rows
            said = answer.get("error", "")
            if expected != answer.get("rows") or (faulty and not any(f"row {at}," in said for at in faulty)):
                differ += 1
                if differ <= 10:
                    print(f"{form} {body[:600]!r}\n  Python: {expected or faulty}\n  wire:   {str(answer)[:400]}")
    print(f"{cases} cases, {accepted} of them accepted: {differ} differ")
    sys.exit(differ > 0)


if __name__ == "__main__":
    main()
