"""Checks Kubernetes manifests: python3 manifests.py FILE...

Every document is checked strictly against the API's schemas, which kubernetes-validate brings along. Those of MPIJob are
not among them: its own fields are checked against mpijob.schema.json, its pod templates as pods.
"""

import json
import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml

API = "1.37"
MPI_JOB = json.loads(pathlib.Path(__file__).with_name("mpijob.schema.json").read_text())


def check(document):
    """Raises ValidationError, of either library."""
    if document.get("kind") != "MPIJob":
        kubernetes_validate.validate(document, API, strict=True)
        return
    jsonschema.validate(document, MPI_JOB)
    for name, replica in document["spec"]["mpiReplicaSpecs"].items():
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name.lower()}, **replica["template"]}
        kubernetes_validate.validate(pod, API, strict=True)


def main(files):
    failed = False
    for file in files:
        for document in yaml.safe_load_all(pathlib.Path(file).read_text()):
            kind = document.get("kind")
            try:
                check(document)
                print(f"{file}: {kind} is valid")
            except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as error:
                place = ".".join(str(part) for part in error.path)
                print(f"{file}: {kind}: {place}: {error.message}", file=sys.stderr)
                failed = True
    sys.exit(failed)


main(sys.argv[1:])
