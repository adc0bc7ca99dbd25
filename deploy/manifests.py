"""Holds manifests against the schemas of Kubernetes, strictly, and those of KServe against its own client's models."""

import sys

import kserve.models
import kubernetes_validate
import yaml

NEWEST = kubernetes_validate.latest_version()


PLAIN = {"str": str, "int": int, "bool": bool}


def known(value, kind, place):
    """Refuses members that KServe's client does not know, and plain values of another type than it has.

    Which words a string may be, it does not say. What is Kubernetes' own is left to `pod`.
    """
    if kind in PLAIN and type(value) is not PLAIN[kind]:
        raise SystemExit(f"{place}: expected {kind}, found {value!r}")
    model = getattr(kserve.models, kind, None)
    if model is None or not hasattr(model, "attribute_map"):
        return
    members = {name: attribute for attribute, name in model.attribute_map.items()}
    for name, inner in value.items():
        if name not in members:
            raise SystemExit(f"{place}.{name}: {kind} has {', '.join(sorted(members))}")
        known(inner, model.openapi_types[members[name]], f"{place}.{name}")


def pod(resource):
    """The part of an InferenceService that becomes a pod, as a pod."""
    predictor = resource["spec"]["predictor"]
    spec = {name: predictor[name] for name in ("containers", "volumes")}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": resource["metadata"], "spec": spec}


def main(paths):
    """Checks every resource of the files."""
    for path in paths:
        with open(path) as file:
            resources = [resource for resource in yaml.safe_load_all(file) if resource]
        if not resources:
            raise SystemExit(f"{path} holds no resource")
        for resource in resources:
            checked = resource
            if resource["apiVersion"] == "serving.kserve.io/v1beta1":
                known(resource, "V1beta1InferenceService", resource["kind"])
                checked = pod(resource)
            kubernetes_validate.validate(checked, NEWEST, strict=True)
            print(f"{resource['kind']} {resource['metadata']['name']}: as its schema says")


main(sys.argv[1:])
