"""Holds this crate's readers against pydicom, nibabel, SimpleITK and Pillow.

    python compare_readers.py VOXELS_EXAMPLE [REFERENCE_IMAGES]

Needs pydicom, pylibjpeg (with libjpeg, openjpeg, rle), pyjpegls, nibabel, SimpleITK, tifffile and Pillow from PyPI. Decodes every
file that PyPI's pydicom ships, and every DICOM and NIfTI file of the reference images, with both, and prints the counts.
The tolerances: none for lossless codecs, 1 of 255 where chroma is converted, 2 levels for 8-bit lossy JPEG and JPEG 2000
(rounding of the inverse transform is left open by both standards), 2 of 4095 for 12-bit JPEG.
"""

import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections import Counter

import nibabel
import numpy as np
import pydicom
import SimpleITK as sitk
import tifffile
from PIL import Image
from pydicom.pixels import apply_color_lut, convert_color_space, pixel_array

warnings.simplefilter("ignore")

LOSSY = {"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.81"}


def ours(example, paths, folder):
    lines = []
    for start in range(0, len(paths), 50):
        chunk = paths[start : start + 50]
        sub = os.path.join(folder, str(start))
        os.makedirs(sub)
        out = subprocess.run([example, sub, *chunk], capture_output=True, text=True, check=True)
        lines += [json.loads(line) for line in out.stdout.splitlines()]
    return lines


def voxels(line):
    raw = np.fromfile(line["raw"], np.float32 if line["kind"] == "gray" else np.uint8)
    columns, rows, slices = line["dimensions"]
    return raw.reshape((slices, rows, columns) + ((3,) if line["kind"] == "rgb" else ()))


def modality_values(dataset, array):
    if "ModalityLUTSequence" in dataset:
        from pydicom.pixels import apply_modality_lut

        return apply_modality_lut(array, dataset).astype(np.float64)
    return array * float(dataset.get("RescaleSlope", 1) or 1) + float(dataset.get("RescaleIntercept", 0) or 0)


def theirs(path):
    dataset = pydicom.dcmread(path)
    if not any(name in dataset for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        return None, None, 0
    array = pixel_array(dataset, raw=True) if dataset.get("SamplesPerPixel", 1) == 3 else dataset.pixel_array
    uid = str(dataset.file_meta.TransferSyntaxUID)
    tolerance = 2 * float(dataset.get("RescaleSlope", 1) or 1) if uid in LOSSY else 0
    photometric = dataset.PhotometricInterpretation
    if photometric == "PALETTE COLOR":
        array = (apply_color_lut(array, dataset) >> (8 if dataset.RedPaletteColorLookupTableDescriptor[2] == 16 else 0)).astype(np.uint8)
    elif dataset.get("SamplesPerPixel", 1) == 3:
        array = pixel_array(dataset)
        if array.dtype != np.uint8:
            array = (array >> (dataset.BitsStored - 8)).astype(np.uint8)
        tolerance = max(tolerance, 1 if photometric.startswith("YBR") else 0)
        tolerance = 3 if uid in LOSSY else tolerance
    else:
        array = modality_values(dataset, array.astype(np.float64))
    if array.ndim == (3 if dataset.get("SamplesPerPixel", 1) == 3 or photometric == "PALETTE COLOR" else 2):
        array = array[None]
    return dataset, array, tolerance


def compare_dicom(example, paths, folder):
    alike, refused, differing, both, alone = [], [], [], [], []
    for path, line in zip(paths, ours(example, paths, folder)):
        name = os.path.basename(path)
        try:
            dataset, expected, tolerance = theirs(path)
        except Exception as error:
            dataset, expected, tolerance = None, f"{type(error).__name__}: {error}", 0
        if "error" in line:
            (refused if isinstance(expected, np.ndarray) else both).append((name, line["error"].split(": ", 1)[1]))
            continue
        if not isinstance(expected, np.ndarray):
            # What pydicom's plugins refuse, ITK (by GDCM) may read; two levels are the tolerance of 12-bit lossy JPEG.
            try:
                expected, tolerance = sitk.GetArrayFromImage(sitk.ReadImage(path)), 2
            except RuntimeError:
                alone.append((name, str(expected).splitlines()[0]))
                continue
            if expected.ndim == 2:
                expected = expected[None]
        found = voxels(line)
        if found.shape != expected.shape:
            differing.append((name, f"shape {found.shape}, expected {expected.shape}"))
            continue
        # Frames are sorted by place.
        distance = np.abs(found.astype(np.float64) - expected.astype(np.float32)).max()
        if distance > tolerance:
            flipped = np.abs(found[::-1].astype(np.float64) - expected.astype(np.float32)).max()
            distance = min(distance, flipped)
        if distance > tolerance:
            differing.append((name, f"by {distance}, allowed {tolerance}"))
        else:
            alike.append((name, distance))
    return alike, refused, both, alone, differing


def compare_tiff(example, folder):
    """TIFF as Pillow and tifffile write it, read by Pillow and by us: alike, or refused by us."""
    os.makedirs(folder)
    y, x = np.mgrid[0:75, 0:99]
    gray = ((x * 9 + y * 5) % 256).astype(np.uint8)
    rgb = np.stack([gray, 255 - gray, gray // 2], -1)
    cases = {f"rgb_{way}": (Image.fromarray(rgb), way) for way in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")}
    cases["gray"] = (Image.fromarray(gray), "raw")
    cases["gray_16"] = (Image.fromarray(gray.astype(np.uint16) * 200), "tiff_lzw")
    cases["bilevel"] = (Image.fromarray(rgb).convert("1"), "group4")
    cases["palette"] = (Image.fromarray(rgb).convert("P"), "raw")
    cases["cmyk"] = (Image.fromarray(rgb).convert("CMYK"), "raw")
    paths = []
    for name, (picture, way) in cases.items():
        paths.append(os.path.join(folder, name + ".tif"))
        picture.save(paths[-1], compression=way)
    for name, options in (("tiles", {"tile": (32, 48), "compression": "zlib"}), ("big", {"bigtiff": True})):
        paths.append(os.path.join(folder, name + ".tif"))
        tifffile.imwrite(paths[-1], rgb, photometric="rgb", **options)
    wrong = []
    sub = os.path.join(folder, "voxels")
    os.makedirs(sub)
    for path, line in zip(paths, ours(example, paths, sub)):
        name = os.path.basename(path)
        if "error" in line:
            print(f"  TIFF refused: {name}: {line['error'].split(': ', 1)[1]}")
            continue
        picture = Image.open(path)
        expected = np.asarray(picture.convert("L") if picture.mode == "1" else picture).astype(np.float64)
        distance = np.abs(voxels(line)[0] - expected).max()
        if distance > (2 if "jpeg" in name else 0):
            wrong.append((name, distance))
    print(f"TIFF: {len(paths)} files, {len(wrong)} wrong {wrong}")
    return len(wrong)


def compare_nifti(example, paths, folder):
    wrong = []
    for path, line in zip(paths, ours(example, paths, folder)):
        if "error" in line:
            wrong.append((path, line["error"]))
            continue
        image = nibabel.load(path)
        expected = np.asarray(image.get_fdata()).transpose(2, 1, 0)
        lps = np.diag([-1, -1, 1, 1]) @ image.affine
        if np.abs(voxels(line) - expected.astype(np.float32)).max() > 0:
            wrong.append((path, "voxels differ"))
        if not np.allclose(np.array(line["affine"]), lps[:3], atol=1e-4):
            wrong.append((path, "affine differs"))
        other = sitk.ReadImage(path)
        centre = [size / 2 for size in other.GetSize()]
        if not np.allclose(other.TransformContinuousIndexToPhysicalPoint(centre), (np.array(line["affine"]) @ [*centre, 1]), atol=1e-2):
            wrong.append((path, "SimpleITK places it elsewhere"))
    return wrong


def compare_series(example, folder_path, folder):
    line = ours(example, [folder_path], folder)[0]
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(folder_path))
    image = reader.Execute()
    expected = sitk.GetArrayFromImage(image)
    assert np.array_equal(voxels(line), expected), "series voxels differ"
    corner = [size - 1 for size in image.GetSize()]
    assert np.allclose(image.TransformIndexToPhysicalPoint(corner), np.array(line["affine"]) @ [*corner, 1], atol=1e-3)


def main():
    example = sys.argv[1]
    images = sys.argv[2] if len(sys.argv) > 2 else None
    root = os.path.join(os.path.dirname(pydicom.__file__), "data")
    shipped = sorted(os.path.join(d, f) for d, _, names in os.walk(root) for f in names)
    shipped = [path for path in shipped if is_dicom(path)]
    with tempfile.TemporaryDirectory() as folder:
        failures = compare_tiff(example, os.path.join(folder, "tiff"))
        sets = {"pydicom's own": shipped}
        if images:
            dicom = os.path.join(images, "dicom")
            sets["reference"] = sorted(os.path.join(d, f) for d, _, names in os.walk(dicom) for f in names)
        for name, paths in sets.items():
            sub = os.path.join(folder, name)
            os.makedirs(sub)
            alike, refused, both, alone, differing = compare_dicom(example, paths, sub)
            print(f"{name}: {len(paths)} files, {len(alike)} alike, {len(refused)} refused by us alone, {len(both)} refused by both, {len(alone)} read by us alone, {len(differing)} differ")
            for reason, count in Counter(reason for _, reason in both).most_common():
                print(f"  both refuse {count}: {reason}")
            for title, entries in (("refused", refused), ("alone", alone), ("DIFFERS", differing)):
                for entry in entries:
                    print(f"  {title}: {entry[0]}: {entry[1]}")
            failures += len(differing)
        if images:
            paths = sorted(os.path.join(d, f) for d, _, names in os.walk(images) for f in names if ".nii" in f)
            wrong = compare_nifti(example, paths, os.path.join(folder, "nifti"))
            print(f"NIfTI: {len(paths)} files, {len(wrong)} wrong {wrong}")
            failures += len(wrong)
            compare_series(example, os.path.join(images, "dicom", "totalseg_ct_series"), os.path.join(folder, "series"))
            print("series: alike")
    sys.exit(1 if failures else 0)


def is_dicom(path):
    try:
        pydicom.dcmread(path, stop_before_pixels=True)
        return True
    except Exception:
        return False


if __name__ == "__main__":
    main()
