"""The chart, rendered by helm for each values file, against Kubernetes' and KEDA's schemas."""

from __future__ import annotations

import copy
import json
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from rstar_policy.settings import PolicySettings
from rstar_ppm.main import PpmSettings
from rstar_sandbox.settings import SandboxSettings
from rstar_searcher.service_settings import SearcherSettings
from rstar_trainer.main import TrainerSettings
from tests.support.deployment import CHART, SERVICES, faults, rendered, run_tool, template

pytestmark = pytest.mark.timeout(600)  # the first test fetches the tools

VALUES = ("values-laptop.yaml", "values-one-gpu.yaml", "values-cluster-32-gpu.yaml")
SETTINGS = {
    "searcher": SearcherSettings,
    "policy": PolicySettings,
    "ppm": PpmSettings,
    "sandbox": SandboxSettings,
    "trainer": TrainerSettings,
}

CALLS = {
    "searcher": ["rstar-policy", "rstar-ppm", "rstar-sandbox"],
    "trainer": ["rstar-searcher", "rstar-policy", "rstar-ppm", "rstar-sandbox"],
}
"""Whom a service calls; the others call nobody."""

Documents = list[dict[str, Any]]


@pytest.fixture(scope="module", params=VALUES)
def resources(request: pytest.FixtureRequest) -> Documents:
    return rendered(request.param)


def named(resources: Documents, kind: str, service: str) -> dict[str, Any]:
    [found] = [
        resource
        for resource in resources
        if resource["kind"] == kind and resource["metadata"]["name"] == f"rstar-{service}"
    ]
    return found


def workloads(resources: Documents) -> Iterator[tuple[str, dict[str, Any]]]:
    for resource in resources:
        if resource["kind"] in ("Deployment", "StatefulSet"):
            yield resource["metadata"]["name"].removeprefix("rstar-"), resource


def pods(resources: Documents) -> Iterator[tuple[str, dict[str, Any]]]:
    for service, workload in workloads(resources):
        yield service, workload["spec"]["template"]["spec"]


def test_every_resource_passes_its_schema(resources: Documents) -> None:
    assert [fault for resource in resources for fault in faults(resource)] == []
    assert {service for service, _ in workloads(resources)} == set(SERVICES)


@pytest.mark.parametrize("kind", ["Deployment", "ScaledObject", "NetworkPolicy"])
def test_the_schemas_notice_a_misspelt_field(kind: str) -> None:
    resource = next(
        resource for resource in rendered("values-cluster-32-gpu.yaml") if resource["kind"] == kind
    )
    broken = copy.deepcopy(resource)
    broken["spec"]["pollingIntervall"] = 15
    assert faults(resource) == []
    assert faults(broken)


def test_no_pod_has_rights_it_does_not_need(resources: Documents) -> None:
    for service, pod in pods(resources):
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in (*pod["containers"], *pod.get("initContainers", [])):
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert ("seccompProfile" in context) == (container["name"] == "sandbox"), service
        assert not any("hostPath" in volume for volume in pod["volumes"])
        assert ("hostUsers" in pod) == (service == "sandbox")
    for resource in resources:
        if resource["kind"] == "ServiceAccount":
            assert resource["automountServiceAccountToken"] is False
        assert resource["kind"] not in ("Role", "ClusterRole", "Secret")


def test_sandboxes_get_no_credentials(resources: Documents) -> None:
    pod = named(resources, "StatefulSet", "sandbox")["spec"]["template"]["spec"]
    assert "secretKeyRef" not in json.dumps(pod)
    assert "NATS" not in json.dumps(pod)


def test_credentials_come_by_reference_and_only_so(resources: Documents) -> None:
    for _, pod in pods(resources):
        for container in pod["containers"]:
            for variable in container["env"]:
                words = ("PASSWORD", "SECRET", "ACCESS_KEY", "TOKEN", "USER")
                if any(word in variable["name"] for word in words):
                    assert "secretKeyRef" in variable["valueFrom"], variable["name"]


def test_a_pod_may_drain_before_it_is_killed(resources: Documents) -> None:
    for service, pod in pods(resources):
        [container] = pod["containers"]
        before = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        [drain] = [
            int(variable["value"])
            for variable in container["env"]
            if variable["name"].endswith("GRPC__DRAIN_SECONDS")
        ]
        # Services give their components five seconds more than calls get.
        assert pod["terminationGracePeriodSeconds"] > before + drain + 5, service


def test_probes_are_grpc_and_wait_for_engines(resources: Documents) -> None:
    for service, pod in pods(resources):
        [container] = pod["containers"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["grpc"] == {"port": 50051}
        startup = container["startupProbe"]
        patience = startup["periodSeconds"] * startup["failureThreshold"]
        on_gpu = "nvidia.com/gpu" in container["resources"]["limits"]
        # A policy's engine may take 1,800 s on a GPU before the service itself gives up.
        assert patience >= (1800 if service == "policy" and on_gpu else 120)


def test_network_policies_allow_the_calls_of_the_architecture_and_no_others(
    resources: Documents,
) -> None:
    def peers(rules: list[dict[str, Any]], direction: str, port: int) -> list[Any]:
        return [
            peer.get("podSelector", {}).get("matchLabels", {}).get("app.kubernetes.io/name")
            for rule in rules
            for peer in rule[direction]
            if {"port": port} in rule["ports"]
        ]

    for service in SERVICES:
        spec = named(resources, "NetworkPolicy", service)["spec"]
        assert spec["policyTypes"] == ["Ingress", "Egress"]
        called_by = peers(spec["ingress"], "from", 50051)
        calls = peers(spec["egress"], "to", 50051)
        if service in ("policy", "ppm"):
            assert called_by == ["rstar-searcher", "rstar-trainer"]
        assert calls == CALLS.get(service, [])
        for rule in (*spec["ingress"], *spec["egress"]):
            # An empty peer list, or an empty peer, would mean everybody.
            assert rule.get("from") or rule.get("to")
            assert all(peer for peer in rule.get("from", rule.get("to")))
    sandbox = named(resources, "NetworkPolicy", "sandbox")["spec"]
    assert sandbox["egress"] == []
    assert peers(sandbox["ingress"], "from", 50051)[:2] == ["rstar-searcher", "rstar-trainer"]
    searcher = named(resources, "NetworkPolicy", "searcher")["spec"]
    assert peers(searcher["ingress"], "from", 50051)[0] == "rstar-trainer"


def test_services_accept_the_environment_and_the_file_they_are_given(
    resources: Documents, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    for service, pod in pods(resources):
        prefix = f"RSTAR_{service.upper()}_"
        toml = named(resources, "ConfigMap", service)["data"]["service.toml"]
        file = tmp_path / f"{service}.toml"
        file.write_text(toml)
        tomllib.loads(toml)
        with monkeypatch.context() as environment:
            environment.setenv("RSTAR_CONFIG", str(file))
            for variable in pod["containers"][0]["env"]:
                if variable["name"].startswith(prefix):
                    value = variable.get("value", "from-a-secret")
                    environment.setenv(variable["name"], value)
                else:
                    assert variable["name"] == "RSTAR_CONFIG"
            settings = SETTINGS[service]()
        assert settings.grpc.address == "0.0.0.0:50051"
        assert settings.telemetry.metrics_address.endswith(":9464")


def test_searchers_know_every_replica_that_scaling_may_make() -> None:
    resources = rendered("values-cluster-32-gpu.yaml")
    pod = named(resources, "Deployment", "searcher")["spec"]["template"]["spec"]
    environment = {v["name"]: v.get("value", "") for v in pod["containers"][0]["env"]}
    for tier in ("policy", "ppm", "sandbox"):
        scaled = named(resources, "ScaledObject", tier)["spec"]
        addresses = environment[f"RSTAR_SEARCHER_{tier.upper()}_ADDRESS"].split(",")
        assert len(set(addresses)) == scaled["maxReplicaCount"]
        assert addresses[0] == f"rstar-{tier}-0.rstar-{tier}:50051"
        service = named(resources, "Service", tier)["spec"]
        assert service["clusterIP"] == "None"
        assert scaled["scaleTargetRef"]["kind"] == "StatefulSet"


def test_runs_of_self_evolution_know_the_replicas_that_scaling_leaves() -> None:
    resources = rendered("values-cluster-32-gpu.yaml")
    pod = named(resources, "StatefulSet", "trainer")["spec"]["template"]["spec"]
    environment = {v["name"]: v.get("value", "") for v in pod["containers"][0]["env"]}
    for tier in ("policy", "ppm"):
        least = named(resources, "ScaledObject", tier)["spec"]["minReplicaCount"]
        addresses = environment[f"RSTAR_TRAINER_{tier.upper()}_ADDRESS"].split(",")
        assert addresses == [f"rstar-{tier}-{n}.rstar-{tier}:50051" for n in range(max(1, least))]
    for tier in ("searcher", "sandbox"):
        assert environment[f"RSTAR_TRAINER_{tier.upper()}_ADDRESS"] == f"rstar-{tier}:50051"


def test_searchers_are_scaled_by_the_queue_of_every_tenant() -> None:
    tenants = ("team-a.weight=2", "team-b.weight=1", "default.max_queued=9")
    resources = rendered(
        "values-cluster-32-gpu.yaml", *(f"searcher.config.tenants.{one}" for one in tenants)
    )
    assert [fault for resource in resources for fault in faults(resource)] == []
    triggers = named(resources, "ScaledObject", "searcher")["spec"]["triggers"]
    queues = [one["metadata"] for one in triggers if one["type"] == "nats-jetstream"]
    assert [queue["consumer"] for queue in queues] == [
        "searchers",
        "searchers-team-a",
        "searchers-team-b",
    ]
    assert len({queue["lagThreshold"] for queue in queues}) == 1


def test_one_order_can_be_carried_out_by_several_nodes() -> None:
    resources = rendered(
        "values-cluster-32-gpu.yaml",
        *("trainer.job.enabled=true", "trainer.job.nodes=4", "trainer.job.claim=shared"),
        "trainer.job.directory=orders/policy-1",
    )
    assert [fault for resource in resources for fault in faults(resource)] == []
    job = named(resources, "Job", "training")["spec"]
    assert (job["completionMode"], job["completions"], job["parallelism"]) == ("Indexed", 4, 4)
    pod = job["template"]["spec"]
    [worker] = pod["containers"]
    assert worker["command"][0] == "/opt/venv/bin/python"  # where the image has torch
    assert "--nnodes=4" in worker["command"]
    assert "--rdzv-endpoint=rstar-training-0.rstar-training:29400" in worker["command"]
    assert worker["command"][-2:] == ["rstar_trainer.worker", "/var/lib/rstar/orders/policy-1"]
    assert pod["subdomain"] == named(resources, "Service", "training")["metadata"]["name"]
    # It has no credentials, and speaks to its like alone.
    assert "env" not in worker
    assert pod["automountServiceAccountToken"] is False
    policy = named(resources, "NetworkPolicy", "training")["spec"]
    [come_from] = policy["ingress"]
    assert come_from["from"] == [{"podSelector": policy["podSelector"]}]
    trainer = named(resources, "Service", "trainer")["spec"]["selector"]
    assert trainer.items() - job["template"]["metadata"]["labels"].items(), "not the trainer's pods"
    assert template("--set", "trainer.job.enabled=true", "--set", "images.tag=v1").returncode


def test_the_cluster_asks_for_32_gpus_at_its_fullest() -> None:
    resources = rendered("values-cluster-32-gpu.yaml")
    total = 0
    for service, workload in workloads(resources):
        [container] = workload["spec"]["template"]["spec"]["containers"]
        replicas = workload["spec"].get("replicas")
        if replicas is None:
            replicas = named(resources, "ScaledObject", service)["spec"]["maxReplicaCount"]
        total += replicas * int(container["resources"]["limits"].get("nvidia.com/gpu", 0))
    assert total == 32


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("searcher.replica=2", "replica"),
        ("trainer.replicas=2", "trainer"),
        ("images.tag=latest", "tag"),
        ("policy.digest=sha256:12", "digest"),
        ("nats.servers={nats://user:password@nats:4222}", "servers"),
        ("sandbox.runtimeClassName=gvisor", "runsc"),
        ("sandbox.seccomp.type=Localhost", "localhostProfile"),
    ],
)
def test_values_that_cannot_work_are_refused(setting: str, complaint: str) -> None:
    values = str(CHART / "values-laptop.yaml")
    done = template("--values", values, "--set", setting)
    assert done.returncode != 0
    assert complaint in done.stderr


@pytest.mark.parametrize("values", VALUES)
def test_helm_lint_is_content(values: str) -> None:
    done = run_tool(
        "helm", "lint", "--strict", CHART, "--values", CHART / values, "--set", "images.tag=dev"
    )
    assert done.returncode == 0, done.stdout


def test_an_image_must_be_named() -> None:
    done = template()
    assert done.returncode != 0
    assert "digest or images.tag" in done.stderr


def test_spans_may_leave_for_the_collector_and_never_from_sandboxes() -> None:
    resources = rendered(
        "values-one-gpu.yaml",
        "traces.endpoint=http://collector:4318",
        "traces.peers[0].podSelector.matchLabels.app=collector",
    )
    told = {}
    for service, pod in pods(resources):
        [container] = pod["containers"]
        values = {one["name"]: one.get("value") for one in container["env"]}
        told[service] = values.get(f"RSTAR_{service.upper()}_TELEMETRY__TRACES_ENDPOINT")
        egress = named(resources, "NetworkPolicy", service)["spec"]["egress"]
        open_ports = [port["port"] for rule in egress for port in rule["ports"]]
        assert (4318 in open_ports) is (service != "sandbox")
    assert told.pop("sandbox") is None
    assert set(told.values()) == {"http://collector:4318"}
