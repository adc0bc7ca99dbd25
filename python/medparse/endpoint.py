"""A client of any MedImageParse online endpoint: medparse's own, or one in Azure."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import httpx

from ._scoring import Asked, EndpointError, Retries, Said, Target, body_of, json_of, rows_of
from .model import sentences_of
from .pictures import ImageLike, picture_of
from .results import Segmentations

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["AsyncEndpoint", "Endpoint", "EndpointError"]

Question = tuple[ImageLike, "str | Sequence[str]"]
"""A picture and its phrases."""

Transport = TypeVar("Transport")


class _Client(Generic[Transport]):
    """What both clients are, apart from how they wait."""

    _connect: ClassVar[Callable[..., Any]]

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        deployment: str | None = None,
        timeout: float = 120.0,
        retries: int = 5,
        longest_wait: float = 120.0,
        transport: Transport | None = None,
    ) -> None:
        self._target = Target.of(url, key, deployment)
        self._retries = Retries(retries, longest_wait)
        self._client = type(self)._connect(
            timeout=timeout, headers=self._target.headers, transport=transport
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._target.score!r})"


class Endpoint(_Client[httpx.BaseTransport]):
    """An endpoint, asked from ordinary code. It may be shared by threads.

    >>> endpoint = medparse.Endpoint("http://127.0.0.1:5001", key="…")
    >>> endpoint.segment("slide.png", ["nuclei"])[0].mask

    :param url: the scoring URI, or the address it is under.
    :param key: a key of the endpoint; ``MEDPARSE_KEY`` of the environment where not given.
    :param deployment: which of its deployments; the endpoint's traffic decides where not given.
    :param timeout: seconds for one attempt.
    :param retries: further attempts after an overload, a gateway's error, a time-out or a lost
        connection. The wait doubles from half a second, or is what ``Retry-After`` says.
    :param longest_wait: a ``Retry-After`` above this many seconds is an error at once.
    :param transport: how requests travel, for tests and proxies.
    """

    _connect = httpx.Client
    _client: httpx.Client

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
        """Answers to many questions, in their order. The first that fails ends it: what has not
        been sent by then is not sent any more.

        :param rows: questions of one request, at most 256.
        :param at_once: requests that are under way at the same time.
        """

        def ask(batch: list[Question]) -> list[Segmentations]:
            asked = _asked(batch, window)
            return rows_of(self.score(body_of(asked)), asked)

        batches = _batches(questions, rows, at_once)
        threads = ThreadPoolExecutor(max_workers=at_once)
        try:
            return [answers for batch in threads.map(ask, batches) for answers in batch]
        finally:
            threads.shutdown(cancel_futures=True)

    def score(self, body: dict[str, Any]) -> Any:
        """Sends a body as the contract has it and gives the reply's JSON."""
        number = 0
        while True:
            said: Said
            try:
                said = self._client.post(self._target.score, json=body)
            except httpx.TransportError as error:
                said = error
            judged = self._retries.judge(number, self._target.score, said)
            if isinstance(judged, httpx.Response):
                return json_of(judged)
            time.sleep(judged)
            number += 1

    def health(self) -> bool:
        """Whether the endpoint answers that it is healthy; asked once."""
        try:
            return self._client.get(self._target.root).status_code == 200
        except httpx.TransportError:
            return False

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


class AsyncEndpoint(_Client[httpx.AsyncBaseTransport]):
    """As :class:`Endpoint`, asked from asynchronous code."""

    _connect = httpx.AsyncClient
    _client: httpx.AsyncClient

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
        permits = asyncio.Semaphore(at_once)

        async def ask(batch: list[Question]) -> list[Segmentations]:
            async with permits:
                # Files are read and masks unpacked beside the event loop.
                asked = await asyncio.to_thread(_asked, batch, window)
                body = await asyncio.to_thread(body_of, asked)
                return await asyncio.to_thread(rows_of, await self.score(body), asked)

        tasks = [asyncio.ensure_future(ask(batch)) for batch in _batches(questions, rows, at_once)]
        try:
            return [answers for batch in await asyncio.gather(*tasks) for answers in batch]
        finally:
            for task in tasks:
                task.cancel()

    async def score(self, body: dict[str, Any]) -> Any:
        """Sends a body as the contract has it and gives the reply's JSON."""
        number = 0
        while True:
            said: Said
            try:
                said = await self._client.post(self._target.score, json=body)
            except httpx.TransportError as error:
                said = error
            judged = self._retries.judge(number, self._target.score, said)
            if isinstance(judged, httpx.Response):
                return json_of(judged)
            await asyncio.sleep(judged)
            number += 1

    async def health(self) -> bool:
        """Whether the endpoint answers that it is healthy; asked once."""
        try:
            return (await self._client.get(self._target.root)).status_code == 200
        except httpx.TransportError:
            return False

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


def _asked(batch: list[Question], window: str) -> list[Asked]:
    return [(picture_of(image, window=window), sentences_of(prompts)) for image, prompts in batch]


def _batches(questions: Iterable[Question], rows: int, at_once: int) -> list[list[Question]]:
    if not 1 <= rows <= 256:
        raise ValueError(f"rows: expected 1 to 256, found {rows}")
    if at_once < 1:
        raise ValueError(f"at_once: expected 1 or more, found {at_once}")
    listed = list(questions)
    return [listed[at : at + rows] for at in range(0, len(listed), rows)]
