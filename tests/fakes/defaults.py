# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API server does to an object before it keeps it: empty values dropped, defaults set, quantities canonical."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

from . import quantities
from .resources import ResourceType

Json = dict[str, Any]

# omitempty, as far as manifests in the wild meet it.
_DROP_FALSE = {
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "readOnly",
    "stdin",
    "stdinOnce",
    "tty",
    "publishNotReadyAddresses",
    "paused",
}
_DROP_ZERO = {"minReadySeconds", "initialDelaySeconds", "hostPort", "nodePort"}
_DROP_EMPTY_TEXT = {
    "subPath",
    "workingDir",
    "clusterIP",
    "nodeName",
    "serviceAccountName",
    "priorityClassName",
    "schedulerName",
    "hostname",
    "subdomain",
    "loadBalancerIP",
    "volumeName",
    "generateName",
}
_DROP_EMPTY_MAP = {"labels", "annotations", "nodeSelector", "matchLabels", "data", "stringData", "binaryData", "parameters"}
_KEEP_EMPTY_LIST = {"rules"}


def pod_spec(obj: Json) -> Json | None:
    """The pod spec inside an object of any workload kind."""
    spec: Any = obj.get("spec")
    if obj.get("kind") == "Pod":
        return spec if isinstance(spec, dict) else None
    if obj.get("kind") == "CronJob":
        spec = ((spec or {}).get("jobTemplate") or {}).get("spec")
    if obj.get("kind") in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob"):
        spec = ((spec or {}).get("template") or {}).get("spec")
        return spec if isinstance(spec, dict) else None
    return None


def containers(spec: Json) -> Iterator[Json]:
    for name in ("initContainers", "containers"):
        yield from spec.get(name) or []


def clean(value: Any, key: str = "", *, parent: str = "") -> Any:
    """Without nulls and without what Go's omitempty leaves out."""
    if isinstance(value, dict):
        result: Json = {}
        for name, item in value.items():
            item = clean(item, name, parent=key)
            if item is None or (item == [] and name not in _KEEP_EMPTY_LIST) or (item == {} and name in _DROP_EMPTY_MAP):
                continue
            if (item is False and name in _DROP_FALSE) or (item == "" and (name in _DROP_EMPTY_TEXT or (name == "value" and key in ("env", "tolerations")))):
                continue
            if item == 0 and not isinstance(item, bool) and name in _DROP_ZERO:
                continue
            result[name] = item
        return result
    if isinstance(value, list):
        return [clean(item, key, parent=parent) for item in value]
    return value


def _quantity_map(holder: Any, *names: str) -> None:
    for name in names:
        amounts = holder.get(name) if isinstance(holder, dict) else None
        if isinstance(amounts, dict):
            for key, value in amounts.items():
                amounts[key] = quantities.canonical(value)


def _probe(probe: Json) -> None:
    for name, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)):
        probe.setdefault(name, value)
    if "httpGet" in probe:
        probe["httpGet"].setdefault("path", "/")
        probe["httpGet"].setdefault("scheme", "HTTP")


def _container(container: Json) -> None:
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    image = str(container.get("image", ""))
    tag = image.rpartition("/")[2].partition(":")[2] if "@" not in image else "digest"
    container.setdefault("imagePullPolicy", "Always" if tag in ("", "latest") else "IfNotPresent")
    container.setdefault("resources", {})
    _quantity_map(container["resources"], "limits", "requests")
    for port in container.get("ports") or []:
        port.setdefault("protocol", "TCP")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if name in container:
            _probe(container[name])
    for item in container.get("env") or []:
        if "fieldRef" in (item.get("valueFrom") or {}):
            item["valueFrom"]["fieldRef"].setdefault("apiVersion", "v1")


def _volume(volume: Json) -> None:
    for name in ("secret", "configMap", "projected", "downwardAPI"):
        if isinstance(volume.get(name), dict):
            volume[name].setdefault("defaultMode", 420)
    if isinstance(volume.get("hostPath"), dict):
        volume["hostPath"].setdefault("type", "")
    if isinstance(volume.get("emptyDir"), dict) and "sizeLimit" in volume["emptyDir"]:
        volume["emptyDir"]["sizeLimit"] = quantities.canonical(volume["emptyDir"]["sizeLimit"])
    if isinstance(volume.get("ephemeral"), dict):
        volume["ephemeral"].get("volumeClaimTemplate", {}).get("spec", {}).setdefault("volumeMode", "Filesystem")


def default_pod_spec(spec: Json, restart_policy: str = "Always") -> None:
    spec.setdefault("restartPolicy", restart_policy)
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for container in containers(spec):
        _container(container)
    for volume in spec.get("volumes") or []:
        _volume(volume)


def _template(obj: Json) -> None:
    spec = pod_spec(obj)
    if spec is not None:
        default_pod_spec(spec)


def _deployment(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    strategy = spec.setdefault("strategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    _template(obj)


def _claim_spec(spec: Json) -> None:
    spec.setdefault("volumeMode", "Filesystem")
    _quantity_map(spec.get("resources"), "limits", "requests")


def _stateful_set(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    spec.setdefault("podManagementPolicy", "OrderedReady")
    spec.setdefault("revisionHistoryLimit", 10)
    strategy = spec.setdefault("updateStrategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        strategy.setdefault("rollingUpdate", {}).setdefault("partition", 0)
    retention = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
    retention.setdefault("whenDeleted", "Retain")
    retention.setdefault("whenScaled", "Retain")
    for claim in spec.get("volumeClaimTemplates") or []:
        claim.setdefault("apiVersion", "v1")
        claim.setdefault("kind", "PersistentVolumeClaim")
        _claim_spec(claim.setdefault("spec", {}))
        claim.setdefault("status", {"phase": "Pending"})
    _template(obj)


def _daemon_set(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("updateStrategy", {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}})
    _template(obj)


def _replica_set(obj: Json) -> None:
    obj.setdefault("spec", {}).setdefault("replicas", 1)
    _template(obj)


def _job_spec(spec: Json) -> None:
    for name, value in (
        ("parallelism", 1),
        ("completions", 1),
        ("backoffLimit", 6),
        ("completionMode", "NonIndexed"),
        ("suspend", False),
        ("manualSelector", False),
        ("podReplacementPolicy", "TerminatingOrFailed"),
    ):
        spec.setdefault(name, value)
    template = (spec.get("template") or {}).get("spec")
    if isinstance(template, dict):
        default_pod_spec(template)


def _job(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    _job_spec(spec)
    uid = obj.get("metadata", {}).get("uid")
    if uid and not spec.get("manualSelector"):
        labels = {"batch.kubernetes.io/controller-uid": uid}
        spec.setdefault("selector", {"matchLabels": dict(labels)})
        added = {**labels, "batch.kubernetes.io/job-name": obj["metadata"]["name"], "controller-uid": uid, "job-name": obj["metadata"]["name"]}
        template_meta = spec.setdefault("template", {}).setdefault("metadata", {})
        template_meta.setdefault("labels", {}).update(added)
        if not obj["metadata"].get("labels"):
            obj["metadata"]["labels"] = dict(template_meta["labels"])


def _cron_job(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    for name, value in (("concurrencyPolicy", "Allow"), ("suspend", False), ("successfulJobsHistoryLimit", 3), ("failedJobsHistoryLimit", 1)):
        spec.setdefault(name, value)
    job = spec.setdefault("jobTemplate", {})
    job.setdefault("metadata", {})
    template = (job.get("spec") or {}).get("template") or {}
    template.setdefault("metadata", {})
    if isinstance(template.get("spec"), dict):
        default_pod_spec(template["spec"])


def _pod(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("serviceAccountName", "default")
    spec.setdefault("enableServiceLinks", True)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    spec.setdefault("priority", 0)
    spec.setdefault(
        "tolerations",
        [
            {"key": f"node.kubernetes.io/{taint}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            for taint in ("not-ready", "unreachable")
        ],
    )
    default_pod_spec(spec)
    for container in containers(spec):
        for name, amount in (container["resources"].get("limits") or {}).items():
            container["resources"].setdefault("requests", {}).setdefault(name, amount)
    asked = any(container["resources"].get("requests") for container in containers(spec))
    obj.setdefault("status", {"phase": "Pending", "qosClass": "Burstable" if asked else "BestEffort"})


def _service(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    for port in spec.get("ports") or []:
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))
    if spec["type"] == "ExternalName":
        return
    spec.setdefault("internalTrafficPolicy", "Cluster")
    spec.setdefault("ipFamilies", ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "SingleStack")
    if spec["type"] in ("NodePort", "LoadBalancer"):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if spec.get("clusterIP"):
        spec.setdefault("clusterIPs", [spec["clusterIP"]])
    obj.setdefault("status", {"loadBalancer": {}})


def _claim(obj: Json) -> None:
    _claim_spec(obj.setdefault("spec", {}))
    obj.setdefault("status", {"phase": "Pending"})


def _secret(obj: Json) -> None:
    obj.setdefault("type", "Opaque")
    plain = obj.pop("stringData", None) or {}
    for key, value in plain.items():
        obj.setdefault("data", {})[key] = base64.b64encode(str(value).encode()).decode()


def _namespace(obj: Json) -> None:
    obj.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
    obj.setdefault("status", {}).setdefault("phase", "Active")
    obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"].get("name")


def _network_policy(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("podSelector", {})
    spec.setdefault("policyTypes", ["Ingress", "Egress"] if "egress" in spec else ["Ingress"])
    for rule in [*(spec.get("ingress") or []), *(spec.get("egress") or [])]:
        for port in rule.get("ports") or []:
            port.setdefault("protocol", "TCP")


def _storage_class(obj: Json) -> None:
    obj.setdefault("reclaimPolicy", "Delete")
    obj.setdefault("volumeBindingMode", "Immediate")


def _quota(obj: Json) -> None:
    _quantity_map(obj.setdefault("spec", {}), "hard")
    obj.setdefault("status", {})


def _limit_range(obj: Json) -> None:
    for limit in obj.get("spec", {}).get("limits") or []:
        _quantity_map(limit, "max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
        if limit.get("type") == "Container":
            for lower, upper in (("default", "max"), ("defaultRequest", "default"), ("defaultRequest", "min")):
                for name, amount in (limit.get(upper) or {}).items():
                    limit.setdefault(lower, {}).setdefault(name, amount)


def _role_binding(obj: Json) -> None:
    obj.get("roleRef", {}).setdefault("apiGroup", "rbac.authorization.k8s.io")
    for subject in obj.get("subjects") or []:
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", "rbac.authorization.k8s.io")


def _autoscaler(obj: Json) -> None:
    obj.setdefault("spec", {}).setdefault("minReplicas", 1)
    obj.setdefault("status", {"desiredReplicas": 0, "currentMetrics": None})


def _crd(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    names = spec.setdefault("names", {})
    names.setdefault("singular", str(names.get("kind", "")).lower())
    names.setdefault("listKind", f"{names.get('kind', '')}List")
    spec.setdefault("conversion", {"strategy": "None"})


def _kubeblocks_cluster(obj: Json) -> None:
    """Defaults of the CRD's schema (the operator's own write-back is another matter)."""
    for component in obj.get("spec", {}).get("componentSpecs") or []:
        component.setdefault("podUpdatePolicy", "PreferInPlace")
        for account in component.get("systemAccounts") or []:
            account.setdefault("disabled", False)
            if isinstance(account.get("secretRef"), dict):
                account["secretRef"].setdefault("password", "password")


def _ops_request(obj: Json) -> None:
    obj.get("spec", {}).setdefault("enqueueOnForce", False)
    obj.get("spec", {}).setdefault("preConditionDeadlineSeconds", 0)


_BY_KIND: dict[tuple[str, str], Callable[[Json], None]] = {
    ("", "pods"): _pod,
    ("", "services"): _service,
    ("", "persistentvolumeclaims"): _claim,
    ("", "secrets"): _secret,
    ("", "namespaces"): _namespace,
    ("", "resourcequotas"): _quota,
    ("", "limitranges"): _limit_range,
    ("apps", "deployments"): _deployment,
    ("apps", "statefulsets"): _stateful_set,
    ("apps", "daemonsets"): _daemon_set,
    ("apps", "replicasets"): _replica_set,
    ("batch", "jobs"): _job,
    ("batch", "cronjobs"): _cron_job,
    ("networking.k8s.io", "networkpolicies"): _network_policy,
    ("storage.k8s.io", "storageclasses"): _storage_class,
    ("rbac.authorization.k8s.io", "rolebindings"): _role_binding,
    ("rbac.authorization.k8s.io", "clusterrolebindings"): _role_binding,
    ("autoscaling", "horizontalpodautoscalers"): _autoscaler,
    ("apiextensions.k8s.io", "customresourcedefinitions"): _crd,
    ("apps.kubeblocks.io", "clusters"): _kubeblocks_cluster,
    ("operations.kubeblocks.io", "opsrequests"): _ops_request,
}


def prepare(rtype: ResourceType, obj: Json) -> Json:
    """A new object in the shape the server stores."""
    if rtype.custom:
        result: Json = {key: value for key, value in obj.items() if value is not None}
        meta: Any = clean(result.get("metadata") or {}, "metadata")
        result["metadata"] = meta
    else:
        result = clean(obj)
        result.setdefault("metadata", {})
    apply = _BY_KIND.get(rtype.key)
    if apply:
        apply(result)
    return result
