"""What both clients share: bodies, replies, and when to ask again."""

from __future__ import annotations

import base64
import email.utils
import json
import os
import random
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import httpx
import numpy as np

from ._medparse import MedparseError, Picture
from .results import Segmentation, Segmentations

# Of these a further attempt can do better; 501 and the 4xx say the same again.
_PASSING = frozenset({429, 500, 502, 503, 504})

# Waits double from the first to the last where the endpoint does not say, in seconds.
_FIRST_WAIT, _LAST_WAIT = 0.5, 30.0


class EndpointError(MedparseError):
    """What an endpoint refused or failed to do."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        """HTTP's status; none where there was no reply."""
        self.code = code
        """The endpoint's stable code, such as ``"InvalidImage"``, where it gave one."""
        self.request_id = request_id
        """What the endpoint's log calls the request."""


@dataclass(frozen=True)
class Target:
    """Where an endpoint is, and what every request says."""

    root: str
    score: str
    headers: dict[str, str]

    @classmethod
    def of(cls, url: str, key: str | None, deployment: str | None) -> Target:
        address = httpx.URL(url)
        if address.scheme not in ("http", "https") or not address.host:
            raise ValueError(f"expected an address such as http://127.0.0.1:5001, found {url!r}")
        path = address.path.rstrip("/")
        path = path if path.endswith("/score") else f"{path}/score"
        key = key or os.environ.get("MEDPARSE_KEY")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        if deployment:
            headers["azureml-model-deployment"] = deployment
        return cls(
            root=str(address.copy_with(raw_path=(path[: -len("score")] or "/").encode())),
            score=str(address.copy_with(raw_path=path.encode())),
            headers=headers,
        )


def _explained(response: httpx.Response) -> tuple[str | None, str]:
    """The code and the sentence of an error body, in whichever form it came."""
    try:
        body = response.json()
    except ValueError:
        text = response.text.strip()
        return None, text[:300] or response.reason_phrase
    detail = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(detail, dict):
        message = detail.get("message") or body.get("message") or response.reason_phrase
        return detail.get("code"), str(message)
    return None, str(detail)[:300]


def _told(said: Said) -> float | None:
    """``Retry-After``: seconds, or a date (RFC 9110, section 10.2.3)."""
    header = said.headers.get("retry-after") if isinstance(said, httpx.Response) else None
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        at = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=timezone.utc)
    return max(0.0, (at - datetime.now(timezone.utc)).total_seconds())


Said = httpx.Response | httpx.TransportError
"""What came of one attempt: a reply, or the reason why there is none."""


@dataclass(frozen=True)
class Retries:
    """How often and when an attempt is repeated."""

    count: int
    longest_wait: float

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError(f"retries: expected 0 or more, found {self.count}")

    def judge(self, number: int, url: str, said: Said) -> httpx.Response | float:
        """The wanted reply, or the seconds until the attempt after this one, which is counted from
        0; raises where there is neither."""
        if isinstance(said, httpx.Response) and said.is_success:
            return said
        if number >= self.count or not _may_pass(said):
            raise _error(url, said)
        told = _told(said)
        if told is None:
            # Clients that were refused together come back apart.
            longest = min(_FIRST_WAIT * 2.0**number, _LAST_WAIT, self.longest_wait)
            return longest * random.uniform(0.5, 1.0)
        if told > self.longest_wait:
            raise _error(url, said)
        return told


def _may_pass(said: Said) -> bool:
    return not isinstance(said, httpx.Response) or said.status_code in _PASSING


def _error(url: str, said: Said) -> EndpointError:
    if not isinstance(said, httpx.Response):
        return EndpointError(f"no reply from {url}: {str(said) or type(said).__name__}")
    code, message = _explained(said)
    return EndpointError(
        f"the endpoint answered {said.status_code}: {message}",
        status=said.status_code,
        code=code,
        request_id=said.headers.get("x-request-id"),
    )


def json_of(response: httpx.Response) -> Any:
    """The reply's JSON."""
    try:
        return response.json()
    except ValueError as error:
        kind = response.headers.get("content-type", "nothing that says what it is")
        raise EndpointError(
            f"expected JSON from {response.url}, found {kind}", status=response.status_code
        ) from error


Asked = tuple[Picture, list[str]]
"""A picture and its phrases, as they are sent."""


def body_of(asked: list[Asked]) -> dict[str, Any]:
    """The body of a request: pictures as PNG in base64, phrases joined by ``&``."""
    data = [
        [base64.b64encode(picture.encode_png()).decode(), " & ".join(sentences)]
        for picture, sentences in asked
    ]
    columns = ["image", "text"]
    return {"input_data": {"columns": columns, "index": list(range(len(data))), "data": data}}


def rows_of(reply: Any, asked: list[Asked]) -> list[Segmentations]:
    """The rows of a reply as answers."""
    if not isinstance(reply, list) or len(reply) != len(asked):
        found = f"{len(reply)} rows" if isinstance(reply, list) else type(reply).__name__
        raise EndpointError(f"expected a list of {len(asked)} rows, found {found}")
    answers = zip(reply, asked, strict=True)
    return [_row(at, row, *question) for at, (row, question) in enumerate(answers)]


def _row(at: int, row: Any, picture: Picture, sentences: list[str]) -> Segmentations:
    try:
        features = json.loads(row["image_features"])
        data, shape, kind = features["data"], tuple(features["shape"]), features["dtype"]
        labels = list(row["text_features"])
        masks = np.frombuffer(base64.b64decode(data), np.dtype(kind)).reshape(shape) > 0
    except (KeyError, TypeError, ValueError) as error:
        raise EndpointError(
            f"row {at} of the reply is not of the contract's form: {error}"
        ) from error
    width, height = picture.size
    if masks.shape != (len(sentences), height, width) or len(labels) != len(sentences):
        raise EndpointError(
            f"row {at}: expected masks of shape {(len(sentences), height, width)} and "
            f"{len(sentences)} labels, found {masks.shape} and {len(labels)}"
        )
    return Segmentations(
        Segmentation(sentence, mask, str(label), picture=picture)
        for sentence, mask, label in zip(sentences, masks, labels, strict=True)
    )
