"""A client of the scoring contract in plain Python, for the differential tests of this crate.

encode  prints one request per line: as the documentation's code builds them, in every variation of it
decode  reads a reply from standard input and prints shape, foreground counts and categories of every row
"""

import base64
import json
import sys

try:
    import numpy
except ImportError:
    numpy = None

TEXT = 'tumeur à droite & œdème 🫀 & "quoted" \\ text '


def sequence(length, seed):
    state, out = seed, bytearray()
    for _ in range(length):
        state = (state * 1664525 + 1013904223) % 2**32
        out.append(state >> 24)
    return bytes(out)


def encode():
    for case in range(8):
        write = base64.encodebytes if case % 2 else base64.b64encode
        rows = [[write(sequence(50 + 37 * at, case)).decode("utf-8"), TEXT] for at in range(case)]
        columns = ["image", "text"]
        if case % 3 == 2:
            columns, rows = columns[::-1], [row[::-1] for row in rows]
        data = {"input_data": {"columns": columns, "index": list(range(case)), "data": rows}}
        if case == 5:
            data["params"] = "sitk"
        print(json.dumps(data, ensure_ascii=case % 4 < 2))


def array(features):
    raw = base64.b64decode(features["data"], validate=True)
    prompts, height, width = features["shape"]
    if numpy is not None:
        masks = numpy.frombuffer(raw, dtype=features["dtype"]).reshape(features["shape"])
        assert set(numpy.unique(masks)) <= {0, 255}
        return tuple(masks.shape), [int((mask > 128).sum()) for mask in masks]
    assert features["dtype"] == "uint8" and len(raw) == prompts * height * width and set(raw) <= {0, 255}
    size = height * width
    return tuple(features["shape"]), [raw[p * size : (p + 1) * size].count(255) for p in range(prompts)]


def decode():
    for row in json.load(sys.stdin):
        shape, foreground = array(json.loads(row["image_features"]))
        print(shape, foreground, ",".join(row["text_features"]))


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    {"encode": encode, "decode": decode}[sys.argv[1]]()
