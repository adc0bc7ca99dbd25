"""The scoring route on a Ray cluster, by Ray Serve: serve run deploy.ray.serving:app   (in the project's folder)

    serve run deploy.ray.serving:app model=bundled precision=bf16 threads=4

Replicas come and go with the requests that wait; a request beyond the queue is refused with 429 and `Retry-After`, which
clients of MedImageParse obey. Keys, quotas and TLS are the business of what stands before the cluster.
"""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import medparse
import numpy as np
from ray import serve
from ray.serve.exceptions import BackPressureError
from ray.serve.handle import DeploymentHandle
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

QUEUE = 32
"""Requests that wait for a replica, of each proxy."""

SCALING = {"min_replicas": 1, "max_replicas": 8, "target_ongoing_requests": 1}
"""How many replicas, and how many requests each should have in hand before another is started."""


class Refused(Exception):
    """A request that is not of the contract's form."""


@serve.deployment(
    max_ongoing_requests=2,
    max_queued_requests=QUEUE,
    autoscaling_config=SCALING,
    ray_actor_options={"num_cpus": 2},
)
class Replica:
    """One model. Two requests at a time: one is read and written while the other is computed."""

    def __init__(self, model: str = "bundled", precision: str = "f32", threads: int = 2) -> None:
        self._model = medparse.load(model, precision=precision, threads=int(threads))

    async def rows(self, asked: list[tuple[bytes, str]]) -> list[dict[str, Any]]:
        """One answer per picture and phrases, as the reply has them; a sentence in place of the list where one is wrong."""
        return await asyncio.to_thread(lambda: [self._row(at, *row) for at, row in enumerate(asked)])

    def _row(self, at: int, picture: bytes, text: str) -> dict[str, Any]:
        try:
            answers = self._model.segment(picture, text)
        except (medparse.MedparseError, ValueError) as error:
            return {"refused": f"row {at}: {error}"}
        masks = answers.masks.astype(np.uint8) * 255
        features = {"data": base64.b64encode(masks.tobytes()).decode(), "shape": masks.shape, "dtype": "uint8"}
        return {"image_features": json.dumps(features), "text_features": [answer.category for answer in answers]}


@serve.deployment(max_ongoing_requests=1000)
class Door:
    """Reads requests and writes replies."""

    def __init__(self, replicas: DeploymentHandle) -> None:
        self._replicas = replicas

    async def __call__(self, request: Request) -> Response:
        if request.url.path == "/":
            return Response("Healthy", media_type="text/plain")
        if request.url.path != "/score" or request.method != "POST":
            return refusal(404, "NotFound", "expected POST /score")
        try:
            asked = rows_of(await request.body())
        except Refused as error:
            return refusal(400, "BadRequest", str(error))
        try:
            answered = await self._replicas.rows.remote(asked)
        except BackPressureError:
            return refusal(429, "TooManyRequests", "all replicas are busy; ask again", {"Retry-After": "2"})
        for row in answered:
            if "refused" in row:
                return refusal(400, "BadRequest", row["refused"])
        return JSONResponse(answered)


def rows_of(body: bytes) -> list[tuple[bytes, str]]:
    """The pictures and phrases of a request."""
    try:
        table = json.loads(body)["input_data"]
        columns, data = table["columns"], table["data"]
        if sorted(columns) != ["image", "text"]:
            raise Refused(f'columns: expected "image" and "text", found {columns}')
        image, text = columns.index("image"), columns.index("text")
        return [(base64.b64decode(row[image]), str(row[text])) for row in data]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise Refused(f'expected {{"input_data": {{"columns", "index", "data"}}}}: {error!r}') from error


def refusal(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Response:
    """An error as the hosted service has it."""
    content = {"error": {"code": code, "message": message}, "message": message}
    return JSONResponse(content, status, headers)


def app(arguments: dict[str, str]) -> serve.Application:
    """What `serve run` starts."""
    return Door.bind(Replica.bind(**arguments))
