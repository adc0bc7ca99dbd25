"""A client of any MedImageParse online endpoint: medparse's own, or one in Azure."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Any

import httpx

from ._medparse import MedparseError
from ._scoring import EndpointError, Reply, Retries, Target, body_of, rows_of
from .model import sentences_of
from .pictures import ImageLike, picture_of
from .results import Segmentations

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["AsyncEndpoint", "Endpoint", "EndpointError"]

Question = tuple[ImageLike, "str | Sequence[str]"]
"""A picture and its phrases."""


class Endpoint:
    """An endpoint, asked from ordinary code. It may be shared by threads.

    >>> endpoint = medparse.Endpoint("http://127.0.0.1:5001", key="…")
    >>> endpoint.segment("slide.png", ["nuclei"])[0].mask

    :param url: the scoring URI, or the address it is under.
    :param key: a key of the endpoint; ``MEDPARSE_KEY`` of the environment where not given.
    :param deployment: which of its deployments; the endpoint's traffic decides where not given.
    :param timeout: seconds for one attempt.
    :param retries: further attempts after an overload, a gateway's error or a lost connection.
        The wait doubles from half a second, or is what ``Retry-After`` says.
    :param longest_wait: a ``Retry-After`` above this many seconds is an error at once.
    :param transport: how requests travel, for tests and proxies.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        deployment: str | None = None,
        timeout: float = 120.0,
        retries: int = 5,
        longest_wait: float = 120.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._target = Target.of(url, key, deployment)
        self._retries = Retries(retries, longest_wait)
        self._client = httpx.Client(
            timeout=timeout, headers=self._target.headers, transport=transport
        )

    def segment(
        self, image: ImageLike, prompts: str | Sequence[str], *, window: str = "auto"
    ) -> Segmentations:
        """One mask and one category per phrase, of the picture's own size."""
        return self.segment_many([(image, prompts)], window=window)[0]

    def segment_many(
        self,
        questions: Iterable[Question],
        *,
        rows: int = 1,
        at_once: int = 4,
        window: str = "auto",
    ) -> list[Segmentations]:
        """Answers to many questions, in their order.

        :param rows: questions of one request, at most 256.
        :param at_once: requests that are under way at the same time.
        """
        batches = _batches(questions, rows)
        with ThreadPoolExecutor(max_workers=max(1, at_once)) as threads:
            answered = threads.map(lambda batch: self._ask(batch, window), batches)
            return [answers for batch in answered for answers in batch]

    def _ask(self, batch: list[Question], window: str) -> list[Segmentations]:
        asked = [
            (picture_of(image, window=window), sentences_of(prompts)) for image, prompts in batch
        ]
        return rows_of(self.score(body_of(asked)), asked)

    def score(self, body: dict[str, Any]) -> Any:
        """Sends a body as the contract has it and gives the reply's JSON."""
        return self._request("POST", self._target.score, json=body).json()

    def health(self) -> bool:
        """Whether the endpoint answers that it is healthy; asked once."""
        try:
            return self._client.get(self._target.root).status_code == 200
        except httpx.TransportError:
            return False

    def _request(self, method: str, url: str, **arguments: Any) -> httpx.Response:
        for attempt in self._retries.attempts():
            try:
                response = self._client.request(method, url, **arguments)
            except httpx.TransportError as error:
                wait = attempt.after(Reply.lost(url, error))
            else:
                if response.is_success:
                    return response
                wait = attempt.after(Reply.of(response))
            time.sleep(wait)
        raise MedparseError("no attempt was made")

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Endpoint({self._target.score!r})"


class AsyncEndpoint:
    """As :class:`Endpoint`, asked from asynchronous code."""

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        deployment: str | None = None,
        timeout: float = 120.0,
        retries: int = 5,
        longest_wait: float = 120.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._target = Target.of(url, key, deployment)
        self._retries = Retries(retries, longest_wait)
        self._client = httpx.AsyncClient(
            timeout=timeout, headers=self._target.headers, transport=transport
        )

    async def segment(
        self, image: ImageLike, prompts: str | Sequence[str], *, window: str = "auto"
    ) -> Segmentations:
        """One mask and one category per phrase, of the picture's own size."""
        return (await self.segment_many([(image, prompts)], window=window))[0]

    async def segment_many(
        self,
        questions: Iterable[Question],
        *,
        rows: int = 1,
        at_once: int = 4,
        window: str = "auto",
    ) -> list[Segmentations]:
        """As :meth:`Endpoint.segment_many`."""
        permits = asyncio.Semaphore(max(1, at_once))

        async def ask(batch: list[Question]) -> list[Segmentations]:
            async with permits:
                return await self._ask(batch, window)

        answered = await asyncio.gather(*[ask(batch) for batch in _batches(questions, rows)])
        return [answers for batch in answered for answers in batch]

    async def _ask(self, batch: list[Question], window: str) -> list[Segmentations]:
        # Files are read and masks unpacked beside the event loop.
        asked = await asyncio.to_thread(
            lambda: [
                (picture_of(image, window=window), sentences_of(prompts))
                for image, prompts in batch
            ]
        )
        body = await asyncio.to_thread(body_of, asked)
        return await asyncio.to_thread(rows_of, await self.score(body), asked)

    async def score(self, body: dict[str, Any]) -> Any:
        """Sends a body as the contract has it and gives the reply's JSON."""
        return (await self._request("POST", self._target.score, json=body)).json()

    async def health(self) -> bool:
        """Whether the endpoint answers that it is healthy; asked once."""
        try:
            return (await self._client.get(self._target.root)).status_code == 200
        except httpx.TransportError:
            return False

    async def _request(self, method: str, url: str, **arguments: Any) -> httpx.Response:
        for attempt in self._retries.attempts():
            try:
                response = await self._client.request(method, url, **arguments)
            except httpx.TransportError as error:
                wait = attempt.after(Reply.lost(url, error))
            else:
                if response.is_success:
                    return response
                wait = attempt.after(Reply.of(response))
            await asyncio.sleep(wait)
        raise MedparseError("no attempt was made")

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncEndpoint({self._target.score!r})"


def _batches(questions: Iterable[Question], rows: int) -> list[list[Question]]:
    if not 1 <= rows <= 256:
        raise ValueError(f"rows: expected 1 to 256, found {rows}")
    listed = list(questions)
    return [listed[at : at + rows] for at in range(0, len(listed), rows)]
