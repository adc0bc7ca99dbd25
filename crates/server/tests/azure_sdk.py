"""Drives a running server with the unpatched azure-ai-ml and azure-identity, as the deployment notebook does.

Run by tests/azure.rs over a stub, and by the program's own tests over real networks, with the environment that the
server prints. Every step changes what the scoring route does, and the script checks that it does, with a plain HTTP
client beside the SDK.
"""

import base64
import json
import os
import ssl
import struct
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zlib

from azure.ai.ml import MLClient
from azure.ai.ml.entities import (
    ManagedOnlineDeployment,
    ManagedOnlineEndpoint,
    OnlineRequestSettings,
    ProbeSettings,
)
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import DefaultAzureCredential

ENDPOINT = "parse-rack7"
# Percentages of foreground that the models "bundled" and "second" answer with; the defaults are the stub's.
BUNDLED, SECOND = json.loads(os.environ.get("MEDPARSE_EXPECTED", "[[86, 73], [14, 27]]"))
TLS = ssl.create_default_context(cafile=os.environ["REQUESTS_CA_BUNDLE"])


def png(width, height):
    """A gray ramp; the stub takes the brighter part for the object."""
    rows = b"".join(b"\0" + bytes((x * 255 // width) for x in range(width)) for _ in range(height))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def request_of(picture, text):
    return {
        "input_data": {
            "columns": ["image", "text"],
            "index": [0],
            "data": [[base64.encodebytes(picture).decode("utf-8"), text]],
        }
    }


def foreground(reply):
    """How much of each mask is set, in percent, as the notebooks decode it."""
    (row,) = json.loads(reply) if isinstance(reply, str) else reply
    features = json.loads(row["image_features"])
    raw = base64.b64decode(features["data"])
    prompts, height, width = features["shape"]
    assert features["dtype"] == "uint8" and len(raw) == prompts * height * width and set(raw) <= {0, 255}
    size = height * width
    return [round(100 * raw[p * size : (p + 1) * size].count(255) / size) for p in range(prompts)]


def post(url, body, key, deployment=None):
    """Status, body and answering deployment of a request without the SDK."""
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    if deployment:
        headers["azureml-model-deployment"] = deployment
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, context=TLS) as reply:
            return reply.status, json.load(reply), reply.headers["azureml-model-deployment"]
    except urllib.error.HTTPError as error:
        return error.code, json.load(error), None


def step(text):
    print(f"{time.monotonic() - START:6.2f} s  {text}", flush=True)


def refused(action, kind, part):
    try:
        action()
    except kind as error:
        assert part in str(error), f"expected {part!r} in {error}"
        return
    raise AssertionError(f"nothing was raised; expected {part!r}")


def main():
    client = MLClient.from_config(DefaultAzureCredential(), path=os.environ["MEDPARSE_CONFIG"])
    body = request_of(png(64, 32), "tumor core & enhancing tumor ")
    with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as file:
        json.dump(body, file)
    endpoints, deployments = client.online_endpoints, client.online_deployments

    assert list(endpoints.list()) == []
    refused(lambda: endpoints.get("nothing"), ResourceNotFoundError, "there is no endpoint named")
    assert [model.name for model in client.models.list()][0] == "bundled"
    assert client.models.get("bundled", version="1").name == "bundled"
    step("nothing is deployed; the catalog is listed")

    endpoint = ManagedOnlineEndpoint(name=ENDPOINT, auth_mode="key", description="A rack", tags={"ward": "7"})
    endpoint = endpoints.begin_create_or_update(endpoint).result()
    assert endpoint.provisioning_state == "Succeeded" and endpoint.tags == {"ward": "7"}
    assert endpoint.description == "A rack" and endpoint.auth_mode == "key"
    url = endpoint.scoring_uri
    key = endpoints.get_keys(ENDPOINT).primary_key
    status, reply, _ = post(url, body, key)
    assert status == 404 and "gives no deployment any traffic" in reply["message"], reply
    step(f"an endpoint without deployments: {url} answers {status}")

    blue = ManagedOnlineDeployment(
        name="blue",
        endpoint_name=ENDPOINT,
        model="azureml://registries/azureml/models/MedImageParse/versions/5"
        if "--registry" in sys.argv
        else client.models.get("bundled", version="1").id,
        instance_type="Standard_NC40ads_H100_v5",
        instance_count=1,
        request_settings=OnlineRequestSettings(max_concurrent_requests_per_instance=1, request_timeout_ms=90000),
        liveness_probe=ProbeSettings(initial_delay=300),
        environment_variables={"MEDPARSE_THREADS": "2"},
    )
    blue = deployments.begin_create_or_update(blue).result()
    assert blue.provisioning_state == "Succeeded" and blue.instance_type == "Standard_NC40ads_H100_v5"
    assert blue.request_settings.request_timeout_ms == 90000
    assert post(url, body, key)[0] == 404
    assert post(url, body, key, "blue")[0] == 200
    step("the deployment blue answers when it is named, and gets no traffic")

    endpoint.traffic = {"blue": 100}
    endpoints.begin_create_or_update(endpoint).result()
    status, reply, answered = post(url, body, key)
    assert (status, answered, foreground(reply)) == (200, "blue", BUNDLED), (status, answered, reply)
    reply = endpoints.invoke(endpoint_name=ENDPOINT, request_file=file.name)
    assert foreground(reply) == BUNDLED
    reply = endpoints.invoke(endpoint_name=ENDPOINT, deployment_name="blue", request_file=file.name)
    assert foreground(reply) == BUNDLED
    step("all traffic to blue: the SDK's invoke scores")

    green = ManagedOnlineDeployment(
        name="green", endpoint_name=ENDPOINT, model="azureml:second:1", instance_type="local", instance_count=1
    )
    deployments.begin_create_or_update(green).result()
    reply = endpoints.invoke(endpoint_name=ENDPOINT, deployment_name="green", request_file=file.name)
    assert foreground(reply) == SECOND, foreground(reply)
    assert {post(url, body, key)[2] for _ in range(20)} == {"blue"}
    assert sorted(d.name for d in deployments.list(ENDPOINT)) == ["blue", "green"]
    assert endpoints.get(ENDPOINT).traffic == {"blue": 100, "green": 0}
    step("green answers when it is named, with its other model")

    endpoint.traffic = {"blue": 70, "green": 30}
    endpoints.begin_create_or_update(endpoint).result()
    answered = [post(url, body, key)[2] for _ in range(100)]
    assert 25 <= answered.count("green") <= 35, answered.count("green")
    step(f"traffic 70/30: {answered.count('blue')} and {answered.count('green')} of 100")

    endpoint.traffic, endpoint.mirror_traffic = {"blue": 100}, {"green": 50}
    endpoints.begin_create_or_update(endpoint).result()
    before = deployments.get_logs("green", ENDPOINT, lines=200)
    assert {post(url, body, key)[2] for _ in range(20)} == {"blue"}
    assert endpoints.get(ENDPOINT).mirror_traffic == {"green": 50}
    assert "is ready" in before
    step("mirrored traffic leaves the answers to blue")

    refused(lambda: deployments.begin_delete("blue", ENDPOINT).result(), HttpResponseError, "set it to 0")
    endpoint.traffic, endpoint.mirror_traffic = {"green": 100}, {}
    endpoints.begin_create_or_update(endpoint).result()
    deployments.begin_delete("blue", ENDPOINT).result()
    assert post(url, body, key, "blue")[0] == 404
    assert foreground(post(url, body, key)[1]) == SECOND
    step("all traffic to green, blue deleted")

    secondary = endpoints.get_keys(ENDPOINT).secondary_key
    endpoints.begin_regenerate_keys(ENDPOINT, key_type="primary").result()
    rotated = endpoints.get_keys(ENDPOINT)
    assert rotated.primary_key != key and rotated.secondary_key == secondary
    statuses = [post(url, body, k)[0] for k in (key, rotated.primary_key, secondary, "wrong", None)]
    assert statuses == [401, 200, 200, 401, 401], statuses
    assert foreground(endpoints.invoke(endpoint_name=ENDPOINT, request_file=file.name)) == SECOND
    step("the primary key rotated: the old one answers 401, the secondary and the new one score")

    for mode in ("aml_token", "aad_token"):
        tokens = ManagedOnlineEndpoint(name=f"{ENDPOINT}-{mode[:3]}", auth_mode=mode)
        tokens = endpoints.begin_create_or_update(tokens).result()
        other = ManagedOnlineDeployment(
            name="only", endpoint_name=tokens.name, model="azureml:bundled:1", instance_type="local", instance_count=1
        )
        deployments.begin_create_or_update(other).result()
        tokens.traffic = {"only": 100}
        endpoints.begin_create_or_update(tokens).result()
        assert post(tokens.scoring_uri, body, rotated.primary_key)[0] == 401
        token = endpoints.get_keys(tokens.name).access_token
        assert post(tokens.scoring_uri, body, token if isinstance(token, str) else token.token)[0] == 200
        # The SDK keeps its headers from call to call: a call without a name would ask for the deployment of the last.
        reply = endpoints.invoke(endpoint_name=tokens.name, deployment_name="only", request_file=file.name)
        assert foreground(reply) == BUNDLED
        refused(lambda: endpoints.begin_regenerate_keys(tokens.name), Exception, "does not use keys")
        step(f"an endpoint with auth_mode {mode} takes its tokens and no keys")
        endpoints.begin_delete(tokens.name).result()

    broken = ManagedOnlineDeployment(
        name="broken", endpoint_name=ENDPOINT, model="azureml:absent:1", instance_type="local", instance_count=1
    )
    refused(lambda: deployments.begin_create_or_update(broken).result(), HttpResponseError, "there is no model")
    assert deployments.get("broken", ENDPOINT).provisioning_state == "Failed"
    assert post(url, body, secondary)[0] == 200
    step("a deployment whose model is missing fails with a sentence, and green goes on")

    refused(lambda: list(client.environments.list()), HttpResponseError, "are not served by medparse")
    endpoints.begin_delete(ENDPOINT).result()
    status, reply, _ = post(url, body, secondary)
    assert status == 404, status
    assert list(endpoints.list()) == []
    step(f"the endpoint deleted: {url} answers {status}")


START = time.monotonic()
if __name__ == "__main__":
    main()
