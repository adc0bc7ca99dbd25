"""deploy/ray/serving.py on a real Ray Serve, asked by the package's own client."""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

import medparse

from ..conftest import PROJECT, TINY

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'ray[data,serve]'")
serve = pytest.importorskip("ray.serve")

URL = "http://127.0.0.1:8123"


@pytest.fixture(scope="module")
def serving():
    """The example with one replica of the small network, a queue of one."""
    spec = importlib.util.spec_from_file_location("serving", PROJECT / "deploy/ray/serving.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="error")
    ray.cloudpickle.register_pickle_by_value(module)
    replica = module.Replica.options(
        max_queued_requests=1, max_ongoing_requests=1, autoscaling_config=None, num_replicas=1
    )
    serve.start(http_options={"host": "127.0.0.1", "port": 8123})
    serve.run(module.Door.bind(replica.bind(model=str(TINY), threads=1)))
    yield module
    serve.shutdown()
    ray.shutdown()


def test_the_client_gets_the_masks_of_the_library(serving, discs):
    with medparse.Endpoint(URL) as endpoint:
        assert endpoint.health()
        answers = endpoint.segment(discs, ["liver", "spleen"])
    expected = medparse.load(TINY).segment(discs, ["liver", "spleen"])
    for answer, same in zip(answers, expected, strict=True):
        assert np.array_equal(answer.mask, same.mask)
        assert answer.category == same.category


def test_what_is_wrong_is_said(serving, discs):
    for body, sentence in [
        ({}, "expected"),
        ({"input_data": {"columns": ["image", "words"], "data": []}}, "columns"),
        ({"input_data": {"columns": ["image", "text"], "data": [["AAAA", "liver"]]}}, "row 0"),
    ]:
        reply = httpx.post(f"{URL}/score", json=body)
        assert reply.status_code == 400, reply.text
        assert sentence in reply.json()["error"]["message"]


def test_a_crowd_is_told_to_come_again_and_all_are_answered(serving, discs):
    with medparse.Endpoint(URL, retries=0) as impatient, ThreadPoolExecutor(12) as threads:

        def ask(_: int) -> int:
            try:
                impatient.segment(discs, "liver")
            except medparse.EndpointError as error:
                return error.status or 0
            return 200

        said = list(threads.map(ask, range(24)))
    assert set(said) == {200, 429}, said
    with medparse.Endpoint(URL, retries=30) as patient:
        answers = patient.segment_many([(discs, "liver")] * 12, at_once=6)
    assert len(answers) == 12
