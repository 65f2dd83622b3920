"""elastix as a peer of `benchmarks/location.py`; run by it, with an interpreter that has itk-elastix.

Reads from standard input, a line of JSON each, the name of an npz file, one scan with all its atlases, and which of
`VARIANTS` to register them with. Atlases are registered some at a time, one thread each: a pair takes two threads as
long as one, and `SetNumberOfThreads` above one ends the process when there are several metrics (ITKElastix issue 160).
Everything is in (x, y, z) and millimetres. Needs nothing of calcscore-ml.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from multiprocessing import get_context
from typing import Any

import itk
import numpy as np

MAPS = ("affine", "bspline")
"""elastix's default parameter maps, in this order; no result image is written."""

VARIANTS: dict[str, dict[str, tuple[str, ...]]] = {
    "default": {},
    "plain": {"Registration": ("MultiResolutionRegistration",), "Metric": ("AdvancedMattesMutualInformation",)},
}
"""What is changed in the B-spline's map: nothing, or its penalty on bending left out, which costs most of the time."""


def image_of(values: np.ndarray, lower_mm: np.ndarray, step_mm: float) -> Any:  # noqa: ANN401
    image = itk.image_from_array(np.ascontiguousarray(values))
    image.SetSpacing([float(step_mm)] * 3)
    image.SetOrigin([float(v) for v in lower_mm])
    return image


def parameters_of(variant: str) -> Any:  # noqa: ANN401
    parameters = itk.ParameterObject.New()
    for name in MAPS:
        own = parameters.GetDefaultParameterMap(name)
        own["WriteResultImage"] = ("false",)
        for key, values in VARIANTS[variant].items() if name == "bspline" else ():
            own[key] = values
        parameters.AddParameterMap(own)
    return parameters


def register(path: str, atlas: int, variant: str) -> tuple[np.ndarray | None, str]:
    """Register the scan to one atlas: a field (nz, ny, nx, 3) from scan to atlas, or why there is none."""
    with np.load(path) as file:
        case = {k: file[k] for k in ("hu", "known", "lower_mm", "step_mm")}
        moving = image_of(file[f"atlas_{atlas}"], np.zeros(3), case["step_mm"])
        matrix, offset = file[f"matrix_{atlas}"], file[f"offset_{atlas}"]
    start = itk.AffineTransform[itk.D, 3].New()
    start.SetMatrix(itk.matrix_from_array(np.ascontiguousarray(matrix)))
    start.SetOffset([float(v) for v in offset])
    method = itk.ElastixRegistrationMethod.New(image_of(case["hu"], case["lower_mm"], case["step_mm"]), moving)
    method.SetParameterObject(parameters_of(variant))
    method.SetInitialTransform(start)
    method.LogToConsoleOff()
    if not case["known"].all():
        method.SetFixedMask(image_of(case["known"].astype(np.uint8), case["lower_mm"], case["step_mm"]))
    try:
        method.UpdateLargestPossibleRegion()
        field = itk.transformix_deformation_field(moving, method.GetTransformParameterObject())
    except RuntimeError as error:  # what ITK raises
        return None, str(error).strip().splitlines()[-1]
    return np.asarray(itk.array_from_image(field), dtype=np.float32), ""


def warm_up(folder: str) -> None:
    """Load what is loaded lazily, in a folder of its own: transformix writes the field where it is run."""
    os.chdir(tempfile.mkdtemp(dir=folder))
    itk.MultiThreaderBase.SetGlobalDefaultNumberOfThreads(1)
    parameters_of("default")
    _ = itk.ElastixRegistrationMethod[itk.Image[itk.F, 3], itk.Image[itk.F, 3]].New(), itk.TransformixFilter
    _ = itk.image_from_array(np.zeros((2, 2, 2), np.uint8)), itk.AffineTransform[itk.D, 3].New()


def nothing(_: int) -> None:
    time.sleep(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(options.threads, get_context("spawn"), warm_up, (folder,)) as pool,
    ):
        list(pool.map(nothing, range(options.threads)))  # starts all of them
        print(json.dumps({"version": version("itk-elastix")}), flush=True)
        for line in sys.stdin:
            case = json.loads(line)
            began = time.perf_counter()
            tasks = [pool.submit(register, case["path"], k, case["variant"]) for k in range(case["atlases"])]
            found = [t.result() for t in tasks]
            seconds = time.perf_counter() - began
            np.savez(case["path"], **{str(k): field for k, (field, _) in enumerate(found) if field is not None})
            print(json.dumps({"seconds": seconds, "failures": [why for _, why in found]}), flush=True)


if __name__ == "__main__":
    main()
