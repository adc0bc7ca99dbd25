"""Opens every output format in the programs that people use.

    python check_outputs.py EXPORT_EXAMPLE

Makes an oblique, anisotropic CT series in no order, lets the example `export` mark bodies in it, and reads what it wrote with
highdicom, pydicom, rt-utils, nibabel, SimpleITK, pynrrd, pycocotools, shapely and NumPy; `dciodvfy` (Debian's dicom3tools)
must find no error, and dcmqi, where it is installed, must find the same voxels. Needs those packages from PyPI.
"""

import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile

import highdicom
import nibabel
import nrrd
import numpy as np
import pydicom
import shapely.geometry
import SimpleITK as sitk
from pycocotools import mask as coco_mask
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from rt_utils import RTStructBuilder

# rt-utils reads square pictures of square pixels only; the Rust tests have others.
COLUMNS, ROWS, SLICES = 48, 48, 12
SPACING = (0.75, 0.75, 4.0)


def write_series(folder):
    angle = 0.3
    row = np.array([np.cos(angle), np.sin(angle), 0])
    column = np.array([-np.sin(angle), np.cos(angle), 0])
    normal = np.cross(row, column)
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    order = np.random.default_rng(3).permutation(SLICES)
    for name, slice_index in enumerate(order):
        dataset = Dataset()
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, generate_uid()
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = study, series, frame
        dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate, dataset.PatientSex = "Made^Up", "0", "", "O"
        dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20260101", "120000", "1"
        dataset.AccessionNumber, dataset.ReferringPhysicianName, dataset.PositionReferenceIndicator = "", "", ""
        dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = "CT", 1, int(name) + 1
        dataset.ImagePositionPatient = [float(v) for v in np.array([-20.0, 7.5, 100.0]) + normal * SPACING[2] * slice_index]
        dataset.ImageOrientationPatient = [float(v) for v in [*row, *column]]
        dataset.PixelSpacing, dataset.SliceThickness = [SPACING[1], SPACING[0]], SPACING[2]
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.Rows, dataset.Columns = ROWS, COLUMNS
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
        pixels = (np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS) + 100 * slice_index).astype(np.int16)
        dataset.PixelData = pixels.tobytes()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.save_as(os.path.join(folder, f"file{name}.dcm"), enforce_file_format=True)


def main():
    example = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        series, out = os.path.join(folder, "series"), os.path.join(folder, "out")
        os.makedirs(series)
        write_series(series)
        subprocess.run([example, series, out], check=True)
        arrays = np.load(os.path.join(out, "bodies.npz"))
        masks, affine = arrays["masks"] > 0, arrays["affine"]
        assert masks.shape == (3, SLICES, ROWS, COLUMNS) and list(arrays["labels"]) == ["left kidney", "liver tumor", "nowhere"]

        image = nibabel.load(os.path.join(out, "bodies.nii.gz"))
        assert np.allclose(image.affine, np.diag([-1, -1, 1, 1]) @ affine, atol=1e-4)
        assert np.allclose(image.get_sform(), image.get_qform(), atol=1e-4)
        labels = np.asarray(image.dataobj).transpose(2, 1, 0)
        assert ((labels > 0) == masks.any(0)).all()

        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(series))
        source = reader.Execute()
        for name in ("bodies.nii.gz", "bodies.seg.nrrd"):
            other = sitk.ReadImage(os.path.join(out, name))
            assert np.allclose(other.GetOrigin(), source.GetOrigin(), atol=1e-3), name
            assert np.allclose(other.GetDirection(), source.GetDirection(), atol=1e-5), name
            assert np.allclose(other.GetSpacing(), source.GetSpacing(), atol=1e-5), name
            assert (sitk.GetArrayFromImage(other) == labels).all(), name
        _, header = nrrd.read(os.path.join(out, "bodies.seg.nrrd"))
        assert header["Segment0_Name"] == "left kidney" and header["Segment1_LabelValue"] == "2"

        source_files = [pydicom.dcmread(path) for path in glob.glob(os.path.join(series, "*"))]
        source_files.sort(key=lambda dataset: dataset.ImagePositionPatient[2])
        uids = [dataset.SOPInstanceUID for dataset in source_files]
        for name, scale in (("bodies.seg.dcm", 1), ("bodies.prob.dcm", 255)):
            segmentation = highdicom.seg.segread(os.path.join(out, name))
            assert segmentation.number_of_segments == 3
            found = segmentation.get_pixels_by_source_instance(uids, segment_numbers=[1, 2], ignore_spatial_locations=True, assert_missing_frames_are_empty=True, rescale_fractional=False)
            expected = masks[:2].transpose(1, 2, 3, 0) if scale == 1 else arrays["probabilities"][:2].transpose(1, 2, 3, 0)
            assert (found == expected).all(), name
            kind = segmentation.get_segment_description(1).segmented_property_type
            assert (kind.value, kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeValue) == ("64033007", "7771000")
            volume = segmentation.get_volume(segment_numbers=[1], combine_segments=False)
            print(name, "highdicom volume", volume.spatial_shape)

        if shutil.which("segimage2itkimage"):
            back = os.path.join(folder, "dcmqi")
            os.makedirs(back)
            command = ["segimage2itkimage", "--inputDICOM", os.path.join(out, "bodies.seg.dcm"), "--outputDirectory", back, "--outputType", "nii"]
            subprocess.run(command, check=True, capture_output=True)
            counts = [int((np.asarray(nibabel.load(os.path.join(back, f"{number}.nii.gz")).dataobj) > 0).sum()) for number in (1, 2, 3)]
            print("dcmqi voxels", counts)
            assert counts == masks.sum((1, 2, 3)).tolist()
        else:
            print("skipped: dcmqi is not installed")

        structures = pydicom.dcmread(os.path.join(out, "bodies.rtstruct.dcm"))
        to_index = np.linalg.inv(affine)
        for region, mask in zip(structures.ROIContourSequence, masks):
            area = np.zeros(SLICES)
            for contour in region.get("ContourSequence", []):
                points = np.array(contour.ContourData, float).reshape(-1, 3)
                indices = (to_index @ np.c_[points, np.ones(len(points))].T)[:3].T
                z = int(round(indices[0, 2]))
                assert np.allclose(indices[:, 2], z, atol=1e-3), "a contour leaves its slice"
                assert contour.ContourImageSequence[0].ReferencedSOPInstanceUID == uids[z]
                x, y = indices[:, 0], indices[:, 1]
                area[z] += abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
            assert np.allclose(area, mask.sum((1, 2)), atol=0.05), "contours enclose other areas than the mask"

        rtstruct = RTStructBuilder.create_from(series, os.path.join(out, "bodies.rtstruct.dcm"))
        assert rtstruct.get_roi_names() == ["left kidney", "liver tumor", "nowhere"]
        for index, name in enumerate(["left kidney", "liver tumor"]):
            found = rtstruct.get_roi_mask_by_name(name).transpose(2, 0, 1)
            dice = 2 * (found & masks[index]).sum() / (found.sum() + masks[index].sum())
            print("rt-utils", name, f"Dice {dice:.3f}")
            # It fills the outline's own pixels too.
            assert dice > 0.85

        coco = json.load(open(os.path.join(out, "bodies.coco.json")))
        for entry in coco["annotations"]:
            decoded = coco_mask.decode(entry["segmentation"]) > 0
            assert (decoded == masks[entry["category_id"] - 1, entry["image_id"] - 1]).all()
            assert entry["area"] == coco_mask.area(entry["segmentation"])
        areas = {}
        for feature in json.load(open(os.path.join(out, "bodies.geojson")))["features"]:
            shape = shapely.geometry.shape(feature["geometry"])
            assert shape.is_valid, shapely.is_valid_reason(shape)
            key = (feature["properties"]["classification"]["name"], feature["geometry"]["plane"]["z"])
            areas[key] = areas.get(key, 0) + shape.area
        for index, name in enumerate(["left kidney", "liver tumor"]):
            for z in range(SLICES):
                assert areas.get((name, z), 0) == masks[index, z].sum(), (name, z)
        html = open(os.path.join(out, "bodies.html")).read()
        assert "left kidney" in html and "Made^Up" not in html and "http" not in html

        errors = 0
        for name in ("bodies.seg.dcm", "bodies.prob.dcm", "bodies.rtstruct.dcm"):
            checked = subprocess.run(["dciodvfy", "-new", os.path.join(out, name)], capture_output=True, text=True)
            lines = [line for line in checked.stderr.splitlines() if line.startswith("Error")]
            print("dciodvfy", name, f"{len(lines)} errors", *lines)
            errors += len(lines)
        sys.exit(1 if errors else 0)


if __name__ == "__main__":
    main()
