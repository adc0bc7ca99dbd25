"""Holds every SNOMED CT code that segments are given against the concepts that pydicom's dictionary has of PS3.16.

    python check_codes.py

Needs pydicom from PyPI. A code that is not there, or whose meaning shares no word with ours, is named.
"""

import pathlib
import re
import sys

from pydicom.sr._concepts_dict import concepts

# Ours beside the dictionary's where no word is shared: the same concept in SNOMED CT's own synonyms.
SYNONYMS = {
    "123037004": "Body structure",
    "108369006": "Tumor",
    "61853006": "Vertebral canal",
    "59820001": "Endo-vascular",
}


def main():
    known = {code: meaning for entries in concepts["SCT"].values() for code, (meaning, _) in entries.items()}
    source = pathlib.Path(__file__).parent.parent / "src/dicom/codes.rs"
    used = sorted(set(re.findall(r'code\("(\d+)", "([^"]+)"\)', source.read_text())))
    wrong = []
    for value, meaning in used:
        found = known.get(value)
        if found is None:
            wrong.append(f"{value} {meaning}: not in the dictionary")
            continue
        stems = {word[:4] for word in re.findall(r"[a-z]{3,}", meaning.lower())}
        theirs = {word[:4] for word in re.findall(r"[a-z]{3,}", found.lower())}
        if not stems & theirs and not found.startswith(SYNONYMS.get(value, "?")):
            wrong.append(f"{value}: {meaning!r} here, {found!r} in the dictionary")
    print(f"{len(used)} codes, {len(wrong)} wrong")
    print("\n".join(wrong))
    sys.exit(bool(wrong))


main()
