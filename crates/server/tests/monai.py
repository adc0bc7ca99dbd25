"""MONAI Label's own client, unpatched, against the program: `monai.py PROGRAM`, with monailabel in the environment."""

import gzip
import os
import re
import struct
import subprocess
import sys
import tempfile

from monailabel.client import MONAILabelClient
from monailabel.client.client import MONAILabelClientException

SHAPE = (64, 48, 3)


def nifti(values):
    """A NIfTI file of 8-bit values, columns fastest, with voxels of 1 x 1 x 2 mm."""
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, 3, *SHAPE, 1, 1, 1, 1)
    struct.pack_into("<2h", head, 70, 2, 8)
    struct.pack_into("<4f", head, 76, 1, 1, 1, 2)
    struct.pack_into("<f", head, 108, 352)
    struct.pack_into("<h", head, 254, 2)
    for at, size in ((280, 1), (300, 1), (320, 2)):
        struct.pack_into("<f", head, at, size)
    head[344:348] = b"n+1\0"
    return bytes(head) + bytes(values)


def disc(x, y, z):
    return 200 if (x - 30) ** 2 + (y - 20) ** 2 < (60 if z == 1 else 150) else (x * 7 + y * 13) % 40


def shape_of(path):
    """The size of a label map, and its values."""
    data = gzip.open(path).read()
    size = struct.unpack_from("<8h", data, 40)
    start = int(struct.unpack_from("<f", data, 108)[0])
    return size[1:4], set(data[start:])


def client_of(url, folder, key):
    """A client, with its key. After infer() one with a key keeps that request's length and boundary among its headers
    and sends them with everything that follows (0.8.5), so each call has its own."""
    client = MONAILabelClient(url, tmpdir=folder)
    if key:
        client.update_auth({"token_type": "Bearer", "access_token": key})
    return client


def check(url, folder, key):
    client = MONAILabelClient(url, tmpdir=folder)
    assert client.auth_enabled() is False
    if key:
        try:
            client.info()
            raise AssertionError("a stranger is told of the models")
        except MONAILabelClientException as error:
            assert error.status_code == 401, error.msg
        client.update_auth({"token_type": "Bearer", "access_token": key})
    info = client.info()
    (model,) = info["models"]
    assert info["models"][model]["type"] == "segmentation" and info["labels"], info
    scan = os.path.join(folder, "scan.nii")
    with open(scan, "wb") as file:
        file.write(nifti([disc(x, y, z) for z in range(SHAPE[2]) for y in range(SHAPE[1]) for x in range(SHAPE[0])]))

    image, params = client.infer(model, "", {"prompts": "nuclei & skin lesion"}, file=scan)
    assert params["label_names"] == {"nuclei": 1, "skin lesion": 2}, params
    size, values = shape_of(image)
    assert size == SHAPE and values <= {0, 1, 2}, (size, values)
    once = open(image, "rb").read()

    session = client_of(url, folder, key).create_session(scan)
    again, _ = client_of(url, folder, key).infer(model, "", {"prompts": ["nuclei", "skin lesion"]}, session_id=session["session_id"])
    assert open(again, "rb").read() == once, "a session answers otherwise"
    client_of(url, folder, key).get_session(session["session_id"])
    client_of(url, folder, key).remove_session(session["session_id"])
    for call, said in [
        (lambda client: client.get_session(session["session_id"]), "no such session"),
        (lambda client: client.infer(model, "", {}, file=scan), "phrases"),
        (lambda client: client.infer("unknown", "", {"prompts": "a"}, file=scan), "unknown"),
    ]:
        try:
            call(client_of(url, folder, key))
            raise AssertionError(f"expected a refusal that says {said!r}")
        except MONAILabelClientException as error:
            assert said in error.msg, error.msg
    print(f"{url}: model {model}, {len(info['labels'])} labels, label map {size} with the values {sorted(values)}")


def main():
    program = sys.argv[1]
    for flags in ([], ["--auth"]):
        with tempfile.TemporaryDirectory() as folder:
            state = ["--state", os.path.join(folder, "state")]
            server = subprocess.Popen(
                [program, "serve", "--port", "0", *flags, *state], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
            try:
                url = re.search(r"http://[^/\s]+", server.stdout.readline())[0]
                subprocess.run(
                    ["curl", "-sf", "--retry", "60", "--retry-delay", "1", "--retry-all-errors", f"{url}/ready"],
                    check=True, stdout=subprocess.DEVNULL,
                )
                grant = [program, "keys", "create", "--scope", "score", *state]
                key = subprocess.run(grant, check=True, capture_output=True, text=True).stdout.strip() if flags else None
                check(url, folder, key)
            finally:
                server.terminate()
                server.wait()


if __name__ == "__main__":
    main()
