"""deploy/ray/serving.py on a real Ray Serve, asked by the package's own client."""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

import medparse

from ..conftest import PROJECT, TINY
from .boot import boot

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'ray[data,serve]'")
serve = pytest.importorskip("ray.serve")

URL = "http://127.0.0.1:8123"


@pytest.fixture(scope="module")
def serving():
    """The example with one replica of the small network, a queue of one."""
    spec = importlib.util.spec_from_file_location("serving", PROJECT / "deploy/ray/serving.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["serving"] = module
    # A proxy that a busy machine takes longer to start is started again, and again.
    os.environ.setdefault("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "120")
    spec.loader.exec_module(module)
    boot(8)
    try:
        # The replicas' processes have no such module to import.
        ray.cloudpickle.register_pickle_by_value(module)
        serve.start(http_options={"host": "127.0.0.1", "port": 8123})
        run(module, autoscaling_config=None, num_replicas=1)
        yield module
        serve.shutdown()
    finally:
        ray.shutdown()


def run(module, **options):
    replica = module.Replica.options(max_queued_requests=1, max_ongoing_requests=1, **options)
    serve.run(module.Door.bind(replica.bind(model=str(TINY), threads=1)))


def replicas():
    """How many replicas answer now."""
    (application,) = serve.status().applications.values()
    return application.deployments["Replica"].replica_states.get("RUNNING", 0)


def until(wanted, seconds):
    """Waits for so many replicas."""
    deadline = time.monotonic() + seconds
    while replicas() != wanted and time.monotonic() < deadline:
        time.sleep(0.2)
    return replicas() == wanted


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


def test_replicas_come_with_the_crowd_and_go_after_it(serving, discs):
    # The example's own numbers, with delays for a test's patience.
    shape = {**serving.SCALING, "max_replicas": 2, "upscale_delay_s": 0.5, "downscale_delay_s": 1}
    run(serving, autoscaling_config={**shape, "metrics_interval_s": 0.5, "look_back_period_s": 1})
    assert until(1, 120)
    over = threading.Event()

    def ask() -> None:
        with medparse.Endpoint(URL, retries=30, longest_wait=0.05) as endpoint:
            while not over.is_set():
                try:
                    endpoint.segment(discs, "liver")
                except medparse.EndpointError as error:
                    assert error.status == 429

    with ThreadPoolExecutor(4) as threads:
        asking = [threads.submit(ask) for _ in range(4)]
        came = until(2, 120)
        over.set()
        for asked in asking:
            asked.result()
    assert came, "a second replica came"
    assert until(1, 180), "and went"
