"""Scans in, findings out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _medparse
from ._medparse import Volume
from .pictures import contiguous_mask
from .results import Segmentation, VolumeSegmentation, _replace

Found = VolumeSegmentation | Segmentation
"""An answer."""

Findings = Found | Sequence[Found] | Mapping[str, npt.ArrayLike]
"""Answers, or masks by name: ``[slices, rows, columns]``, or ``[rows, columns]`` of one slice."""

_Finding = tuple[str, "str | None", "npt.NDArray[np.bool_]", "npt.NDArray[np.uint8] | None"]


def read(path: str | os.PathLike[str], *, series: str | None = None) -> Volume:
    """Reads DICOM, NIfTI, NRRD, PNG, JPEG, TIFF or BMP, told by content, or the folder of a DICOM
    series; of a folder with several, ``series`` is the end of the wanted one's UID."""
    return Volume.open(os.fspath(path), series)


def read_dicom(path: str | os.PathLike[str], *, series: str | None = None) -> Volume:
    """Reads a DICOM file, or the folder of a series."""
    return _expect(read(path, series=series), "dicom", path)


def read_nifti(path: str | os.PathLike[str]) -> Volume:
    """Reads a NIfTI-1 or NIfTI-2 file, plain or in gzip."""
    return _expect(read(path), "nifti", path)


def _expect(volume: Volume, wanted: str, path: str | os.PathLike[str]) -> Volume:
    if volume.format != wanted:
        raise ValueError(f"{os.fspath(path)}: expected {wanted}, found {volume.format}")
    return volume


def write(
    path: str | os.PathLike[str], volume: Volume, findings: Findings, format: str | None = None
) -> None:
    """Writes findings on the voxels of the volume they were found in.

    :param format: ``"nifti"``, ``"nrrd"``, ``"dicom-seg"``, ``"dicom-seg-fractional"``,
        ``"rtstruct"``, ``"coco"``, ``"geojson"``, ``"npz"`` or ``"html"``; as the path's ending says
        where not given.
    """
    path = os.fspath(path)
    chosen = format or _format_of(path)
    found = [_finding(volume, *finding) for finding in _listed(findings)]
    name = os.path.basename(path).split(".")[0]
    _replace(path, _medparse.encode_findings(volume, found, chosen, name))


def write_nifti(path: str | os.PathLike[str], volume: Volume, findings: Findings) -> None:
    """Writes a NIfTI label map, gzipped."""
    write(path, volume, findings, "nifti")


def write_nrrd(path: str | os.PathLike[str], volume: Volume, findings: Findings) -> None:
    """Writes an NRRD label map that 3D Slicer opens as a segmentation."""
    write(path, volume, findings, "nrrd")


def write_dicom_seg(
    path: str | os.PathLike[str], volume: Volume, findings: Findings, *, fractional: bool = False
) -> None:
    """Writes a DICOM segmentation, binary or of probabilities, of a volume read from DICOM."""
    write(path, volume, findings, "dicom-seg-fractional" if fractional else "dicom-seg")


def write_rtstruct(path: str | os.PathLike[str], volume: Volume, findings: Findings) -> None:
    """Writes a DICOM RT structure set of a volume read from DICOM."""
    write(path, volume, findings, "rtstruct")


def _format_of(path: str) -> str:
    endings = _medparse.output_endings()
    for name, ending in endings:
        if path.lower().endswith(ending):
            return name
    known = ", ".join(ending for _, ending in endings)
    raise ValueError(f"{path}: expected a name that ends in one of {known}, or format=")


def _listed(findings: Findings) -> list[tuple[str, str | None, Any, Any]]:
    if isinstance(findings, Mapping):
        return [(name, None, mask, None) for name, mask in findings.items()]
    answers = [findings] if isinstance(findings, Found) else list(findings)
    for answer in answers:
        if not isinstance(answer, Found):
            raise TypeError(
                'findings: expected answers, or masks by name as in {"liver": mask}, '
                f"found {type(findings).__name__}"
            )
    return [(found.prompt, found.category, found.mask, found.probability) for found in answers]


def _finding(
    volume: Volume,
    label: str,
    category: str | None,
    mask: npt.ArrayLike,
    probability: npt.NDArray[Any] | None,
) -> _Finding:
    voxels = contiguous_mask(mask)
    voxels = voxels[np.newaxis] if voxels.ndim == 2 else voxels
    if voxels.shape != volume.shape:
        raise ValueError(f"{label}: expected a mask of shape {volume.shape}, found {voxels.shape}")
    if probability is not None:
        if np.issubdtype(probability.dtype, np.floating):
            probability = np.rint(probability * 255).astype(np.uint8)
        probability = np.ascontiguousarray(probability.reshape(volume.shape))
    return label, category, voxels, probability
