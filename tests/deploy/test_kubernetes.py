"""The Kubernetes manifests, and what they say about files beside them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from hivellm_lite.toml_text import parse_toml

from ..support.paths import ROOT

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")

DEPLOY = ROOT / "examples" / "deploy"
VERSIONS = ("1.31", "1.35")

KUSTOMIZATION = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text("utf-8"))
OBJECTS = {
    (document["kind"], document["metadata"]["name"]): document
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text("utf-8"))
}
WORKLOADS = [OBJECTS["StatefulSet", "experts"], OBJECTS["Deployment", "proxy"]]
SERVE = parse_toml((DEPLOY / "serve.toml").read_bytes())


def pod(workload: dict[str, Any]) -> dict[str, Any]:
    return workload["spec"]["template"]["spec"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("key", OBJECTS, ids=" ".join)
def test_every_object_follows_the_schema_of_kubernetes(key, version):
    validator = pytest.importorskip(
        "kubernetes_validate", reason="kubernetes-validate is not installed"
    )
    validator.validate(OBJECTS[key], version, strict=True)


def test_a_wrong_field_would_be_found():
    validator = pytest.importorskip(
        "kubernetes_validate", reason="kubernetes-validate is not installed"
    )
    wrong = {**OBJECTS["Service", "proxy"], "spec": {"selectors": {"app": "proxy"}}}
    with pytest.raises(validator.ValidationError, match="selectors"):
        validator.validate(wrong, VERSIONS[0], strict=True)


def test_kustomize_finds_every_file():
    named = set(KUSTOMIZATION["resources"])
    assert named == {f"kubernetes/{path.name}" for path in (DEPLOY / "kubernetes").iterdir()}
    generated = [file for one in KUSTOMIZATION["configMapGenerator"] for file in one["files"]]
    assert all((DEPLOY / file).is_file() for file in generated)


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda one: one["metadata"]["name"])
class TestPods:
    def test_have_limits_and_probes_and_may_do_nothing_that_they_need_not(self, workload):
        assert pod(workload)["securityContext"]["runAsNonRoot"] is True
        assert pod(workload)["automountServiceAccountToken"] is False
        for container in pod(workload)["containers"]:
            assert {"livenessProbe", "readinessProbe"} <= container.keys()
            assert container["livenessProbe"]["httpGet"]["path"] == "/health"
            assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
            assert "memory" in container["resources"]["limits"]
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}

    def test_mount_only_volumes_that_exist(self, workload):
        claims = workload["spec"].get("volumeClaimTemplates", [])
        volumes = {one["name"] for one in pod(workload)["volumes"]}
        volumes |= {claim["metadata"]["name"] for claim in claims}
        (container,) = pod(workload)["containers"]
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes

    def test_read_configurations_and_claims_that_exist(self, workload):
        maps = {one["name"] for one in KUSTOMIZATION["configMapGenerator"]}
        for volume in pod(workload)["volumes"]:
            if "configMap" in volume:
                assert volume["configMap"]["name"] in maps
            if "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                assert ("PersistentVolumeClaim", claim) in OBJECTS

    def test_are_what_their_services_and_budgets_select(self, workload):
        name, labels = workload["metadata"]["name"], workload["spec"]["template"]["metadata"]
        assert OBJECTS["Service", name]["spec"]["selector"] == labels["labels"]
        budget = OBJECTS["PodDisruptionBudget", name]
        assert budget["spec"]["selector"]["matchLabels"] == labels["labels"]


def test_the_proxy_is_told_every_server_by_its_name():
    (proxy,) = pod(OBJECTS["Deployment", "proxy"])["containers"]
    given = {one["name"]: one["value"] for one in proxy["env"]}
    known = re.findall(r"presetenv (\w+)", (DEPLOY / "haproxy.cfg").read_text("utf-8"))
    assert given.keys() <= set(known)
    experts = OBJECTS["StatefulSet", "experts"]["spec"]
    domain = f"{experts['serviceName']}.{KUSTOMIZATION['namespace']}.svc.cluster.local"
    names = [f"experts-{n}.{domain}:{SERVE['port']}" for n in range(experts["replicas"])]
    assert [given[one] for one in known if one.startswith("SERVER_")] == names


def test_kubernetes_waits_longer_than_a_drain():
    experts = pod(OBJECTS["StatefulSet", "experts"])
    assert experts["terminationGracePeriodSeconds"] > SERVE["drain"] + 5


def test_the_server_is_told_of_the_cores_it_may_use():
    (server,) = pod(OBJECTS["StatefulSet", "experts"])["containers"]
    assert server["resources"]["limits"]["cpu"] == str(SERVE["n-threads"])
    paths = [SERVE["base"], *SERVE["packages"].values()]
    mounts = [mount["mountPath"] for mount in server["volumeMounts"]]
    assert {str(Path(path).parent) for path in paths} == {"/srv/experts"} <= {*mounts}
