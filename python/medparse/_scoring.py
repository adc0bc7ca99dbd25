"""What both clients share: bodies, replies, and when to ask again."""

from __future__ import annotations

import base64
import email.utils
import json
import os
import random
from collections.abc import Iterator
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


@dataclass(frozen=True)
class Reply:
    """A reply that is not the wanted one, or none at all."""

    error: EndpointError
    may_pass: bool
    retry_after: float | None = None

    @classmethod
    def lost(cls, url: str, error: httpx.TransportError) -> Reply:
        reason = str(error) or type(error).__name__
        return cls(EndpointError(f"no reply from {url}: {reason}"), may_pass=True)

    @classmethod
    def of(cls, response: httpx.Response) -> Reply:
        code, message = _explained(response)
        sentence = f"the endpoint answered {response.status_code}: {message}"
        error = EndpointError(
            sentence,
            status=response.status_code,
            code=code,
            request_id=response.headers.get("x-request-id"),
        )
        return cls(
            error, response.status_code in _PASSING, _seconds(response.headers.get("retry-after"))
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


def _seconds(header: str | None) -> float | None:
    """``Retry-After``: seconds, or a date (RFC 9110, section 10.2.3)."""
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


@dataclass(frozen=True)
class Retries:
    """How often and when an attempt is repeated."""

    count: int
    longest_wait: float

    def attempts(self) -> Iterator[Attempt]:
        for number in range(self.count + 1):
            yield Attempt(number, self)


@dataclass(frozen=True)
class Attempt:
    """One attempt, counted from 0."""

    number: int
    retries: Retries

    def after(self, reply: Reply) -> float:
        """Seconds until the next attempt; raises where there is none."""
        if not reply.may_pass or self.number >= self.retries.count:
            raise reply.error
        if reply.retry_after is not None:
            if reply.retry_after > self.retries.longest_wait:
                raise reply.error
            return reply.retry_after
        # Clients that were refused together come back apart.
        longest = min(_FIRST_WAIT * 2.0**self.number, _LAST_WAIT, self.retries.longest_wait)
        return longest * random.uniform(0.5, 1.0)


def body_of(asked: list[tuple[Picture, list[str]]]) -> dict[str, Any]:
    """The body of a request: pictures as PNG in base64, phrases joined by ``&``."""
    for _, sentences in asked:
        for sentence in sentences:
            if "&" in sentence:
                raise ValueError('"&" separates phrases on the wire: it cannot stand inside one')
    data = [
        [base64.b64encode(picture.encode_png()).decode(), " & ".join(sentences)]
        for picture, sentences in asked
    ]
    columns = ["image", "text"]
    return {"input_data": {"columns": columns, "index": list(range(len(data))), "data": data}}


def rows_of(reply: Any, asked: list[tuple[Picture, list[str]]]) -> list[Segmentations]:
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
