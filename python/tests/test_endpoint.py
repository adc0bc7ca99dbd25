"""The client: what it sends, what it takes, when it asks again; and against the real server."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import time

import httpx
import numpy as np
import pytest

import medparse
from medparse import AsyncEndpoint, Endpoint, EndpointError

from .conftest import TINY


def reply(body):
    """A reply that marks the left column for each phrase."""
    rows = []
    for _, text in body["input_data"]["data"]:
        masks = np.zeros((text.count("&") + 1, 60, 80), np.uint8)
        masks[:, :, 0] = 255
        features = {
            "data": base64.b64encode(masks.tobytes()).decode(),
            "shape": masks.shape,
            "dtype": "uint8",
        }
        rows.append(
            {"image_features": json.dumps(features), "text_features": ["tumor"] * len(masks)}
        )
    return rows


class Endpoint503:
    """Refuses the first requests, then answers."""

    def __init__(self, refusals, **headers):
        self.refusals, self.headers, self.asked = refusals, headers, []

    def __call__(self, request):
        self.asked.append(request)
        if len(self.asked) <= self.refusals:
            error = {"error": {"code": "Overloaded", "message": "too busy"}, "message": "too busy"}
            return httpx.Response(429, json=error, headers=self.headers)
        return httpx.Response(200, json=reply(json.loads(request.content)))


def test_the_contract_is_kept(discs):
    server = Endpoint503(0)
    with Endpoint(
        "http://example.test", "secret", deployment="blue", transport=httpx.MockTransport(server)
    ) as endpoint:
        answers = endpoint.segment(discs, ["tumor core", "edema"])
    assert [answer.area for answer in answers] == [60, 60] and answers[1].category == "tumor"
    (request,) = server.asked
    assert str(request.url) == "http://example.test/score"
    assert request.headers["authorization"] == "Bearer secret"
    assert request.headers["azureml-model-deployment"] == "blue"
    table = json.loads(request.content)["input_data"]
    assert table["columns"] == ["image", "text"] and table["index"] == [0]
    assert table["data"][0][1] == "tumor core & edema"
    assert base64.b64decode(table["data"][0][0]).startswith(b"\x89PNG")


def test_an_overload_is_waited_for_as_told(discs):
    server = Endpoint503(2, **{"retry-after": "0"})
    endpoint = Endpoint("http://example.test/score", transport=httpx.MockTransport(server))
    assert endpoint.segment(discs, "tumor")[0].area == 60
    assert len(server.asked) == 3


def test_too_long_a_wait_is_an_error_at_once(discs):
    server = Endpoint503(9, **{"retry-after": "900"})
    endpoint = Endpoint("http://example.test", transport=httpx.MockTransport(server))
    with pytest.raises(EndpointError, match="429: too busy") as caught:
        endpoint.segment(discs, "tumor")
    assert (caught.value.status, caught.value.code) == (429, "Overloaded")
    assert len(server.asked) == 1


def test_bad_requests_are_not_repeated(discs):
    asked = []

    def refuse(request):
        asked.append(request)
        return httpx.Response(400, json={"error": {"code": "InvalidImage", "message": "row 0"}})

    endpoint = Endpoint("http://example.test", transport=httpx.MockTransport(refuse))
    with pytest.raises(EndpointError, match="row 0"):
        endpoint.segment(discs, "tumor")
    assert len(asked) == 1


def test_replies_of_another_form_are_refused(discs):
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=[{"a": 1}]))
    with pytest.raises(EndpointError, match="row 0 of the reply"):
        Endpoint("http://example.test", transport=transport).segment(discs, "tumor")
    page = httpx.MockTransport(lambda request: httpx.Response(200, html="<p>sign in</p>"))
    with pytest.raises(EndpointError, match="expected JSON .* found text/html"):
        Endpoint("http://example.test", transport=page).segment(discs, "tumor")


def test_settings_that_cannot_be_meant_are_refused(discs):
    with pytest.raises(ValueError, match="expected an address"):
        Endpoint("example.test")
    with pytest.raises(ValueError, match="retries: expected 0 or more, found -1"):
        Endpoint("http://example.test", retries=-1)
    with pytest.raises(ValueError, match="rows: expected 1 to 256, found 0"):
        Endpoint("http://example.test").segment_many([(discs, "a")], rows=0)
    with pytest.raises(ValueError, match="at_once: expected 1 or more, found 0"):
        Endpoint("http://example.test").segment_many([(discs, "a")], at_once=0)


def test_after_a_failure_nothing_more_is_sent(discs):
    asked = []

    def refuse(request):
        asked.append(request)
        return httpx.Response(401, json={"error": {"code": "Unauthorized", "message": "no key"}})

    transport = httpx.MockTransport(refuse)
    questions = [(discs, "tumor")] * 60
    with pytest.raises(EndpointError, match="401: no key"):
        Endpoint("http://example.test", transport=transport).segment_many(questions, at_once=2)
    assert len(asked) < 60

    async def ask():
        async with AsyncEndpoint("http://example.test", transport=transport) as endpoint:
            await endpoint.segment_many(questions, at_once=2)

    asked.clear()
    with pytest.raises(EndpointError, match="401: no key"):
        asyncio.run(ask())
    assert len(asked) < 60


def test_many_questions_keep_their_order_sync_and_async(discs):
    server = Endpoint503(0)
    questions = [(discs, "a"), (discs, "a & b"), (discs, "a & b & c")]
    transport = httpx.MockTransport(server)
    found = Endpoint("http://example.test", transport=transport).segment_many(questions, rows=2)
    assert [len(answers) for answers in found] == [1, 2, 3] and len(server.asked) == 2

    async def ask():
        async with AsyncEndpoint("http://example.test", transport=transport) as endpoint:
            return await endpoint.segment_many(questions)

    assert [len(answers) for answers in asyncio.run(ask())] == [1, 2, 3]


def test_the_real_server_answers_as_the_model_does(model, discs, command, tmp_path):
    serve = [
        command,
        "serve",
        "--port",
        "0",
        "--model",
        str(TINY),
        "--state",
        str(tmp_path / "state"),
    ]
    with subprocess.Popen(
        serve, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            line = next(line for line in server.stdout if "/score" in line)
            url = next(word for word in line.split() if word.startswith("http"))
            with Endpoint(url) as endpoint:
                deadline = time.monotonic() + 60
                while not endpoint.health() and time.monotonic() < deadline:
                    time.sleep(0.1)
                answers = endpoint.segment(discs, "liver & spleen")
            whole = medparse.load(TINY, fit="stretch").segment(discs, "liver & spleen")
            for answer, expected in zip(answers, whole, strict=True):
                assert np.array_equal(answer.mask, expected.mask)
                assert answer.category == expected.category
        finally:
            server.terminate()
            server.wait()
