# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the fake API serves: resource types, and the discovery documents made from them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True)
class ResourceType:
    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    #: kinds whose spec is counted by metadata.generation
    counted: bool = False
    #: from a CustomResourceDefinition: no strategic merge, lists atomic
    custom: bool = False
    #: answers a POST and stores nothing
    virtual: bool = False
    #: where the objects are kept, when that is another type (events.k8s.io)
    stored_as: tuple[str, str] | None = field(default=None)

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def singular(self) -> str:
        return self.kind.lower()

    @property
    def key(self) -> tuple[str, str]:
        return self.stored_as or (self.group, self.plural)

    @property
    def has_status(self) -> bool:
        return "status" in self.subresources


def _t(group_version: str, plural: str, kind: str, *short: str, namespaced: bool = True, sub: str = "", counted: bool = False) -> ResourceType:
    group, _slash, version = group_version.rpartition("/")
    return ResourceType(group, version, plural, kind, namespaced, short, tuple(sub.split()), counted)


def _kb(group_version: str, plural: str, kind: str, *short: str, namespaced: bool = True) -> ResourceType:
    group, _slash, version = group_version.rpartition("/")
    return ResourceType(group, version, plural, kind, namespaced, short, ("status",), counted=True, custom=True)


BUILT_IN: tuple[ResourceType, ...] = (
    _t("v1", "namespaces", "Namespace", "ns", namespaced=False, sub="status finalize"),
    _t("v1", "pods", "Pod", "po", sub="status log exec attach portforward eviction ephemeralcontainers", counted=True),
    _t("v1", "services", "Service", "svc", sub="status"),
    _t("v1", "endpoints", "Endpoints", "ep"),
    _t("v1", "events", "Event", "ev"),
    _t("v1", "configmaps", "ConfigMap", "cm"),
    _t("v1", "secrets", "Secret"),
    _t("v1", "serviceaccounts", "ServiceAccount", "sa"),
    _t("v1", "persistentvolumeclaims", "PersistentVolumeClaim", "pvc", sub="status"),
    _t("v1", "persistentvolumes", "PersistentVolume", "pv", namespaced=False, sub="status"),
    _t("v1", "resourcequotas", "ResourceQuota", "quota", sub="status"),
    _t("v1", "limitranges", "LimitRange", "limits"),
    _t("v1", "nodes", "Node", "no", namespaced=False, sub="status"),
    _t("apps/v1", "deployments", "Deployment", "deploy", sub="status scale", counted=True),
    _t("apps/v1", "statefulsets", "StatefulSet", "sts", sub="status scale", counted=True),
    _t("apps/v1", "daemonsets", "DaemonSet", "ds", sub="status", counted=True),
    _t("apps/v1", "replicasets", "ReplicaSet", "rs", sub="status scale", counted=True),
    _t("apps/v1", "controllerrevisions", "ControllerRevision"),
    _t("batch/v1", "jobs", "Job", sub="status", counted=True),
    _t("batch/v1", "cronjobs", "CronJob", "cj", sub="status", counted=True),
    _t("networking.k8s.io/v1", "ingresses", "Ingress", "ing", sub="status", counted=True),
    _t("networking.k8s.io/v1", "ingressclasses", "IngressClass", namespaced=False, counted=True),
    _t("networking.k8s.io/v1", "networkpolicies", "NetworkPolicy", "netpol", counted=True),
    _t("rbac.authorization.k8s.io/v1", "roles", "Role"),
    _t("rbac.authorization.k8s.io/v1", "rolebindings", "RoleBinding"),
    _t("rbac.authorization.k8s.io/v1", "clusterroles", "ClusterRole", namespaced=False),
    _t("rbac.authorization.k8s.io/v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False),
    _t("storage.k8s.io/v1", "storageclasses", "StorageClass", "sc", namespaced=False),
    _t("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget", "pdb", sub="status", counted=True),
    _t("autoscaling/v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", "hpa", sub="status"),
    _t("autoscaling/v1", "horizontalpodautoscalers", "HorizontalPodAutoscaler", "hpa", sub="status"),
    ResourceType("events.k8s.io", "v1", "events", "Event", True, ("ev",), stored_as=("", "events")),
    _t("discovery.k8s.io/v1", "endpointslices", "EndpointSlice", counted=True),
    _t("coordination.k8s.io/v1", "leases", "Lease"),
    _t("scheduling.k8s.io/v1", "priorityclasses", "PriorityClass", "pc", namespaced=False, counted=True),
    _t("admissionregistration.k8s.io/v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", namespaced=False, counted=True),
    _t("admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", namespaced=False, counted=True),
    _t("apiextensions.k8s.io/v1", "customresourcedefinitions", "CustomResourceDefinition", "crd", "crds", namespaced=False, sub="status", counted=True),
    ResourceType("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", False, virtual=True),
    ResourceType("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", False, virtual=True),
)

KUBEBLOCKS: tuple[ResourceType, ...] = (
    _kb("apps.kubeblocks.io/v1", "clusters", "Cluster"),
    _kb("apps.kubeblocks.io/v1", "components", "Component", "cmp"),
    _kb("apps.kubeblocks.io/v1", "componentdefinitions", "ComponentDefinition", "cmpd", namespaced=False),
    _kb("apps.kubeblocks.io/v1", "componentversions", "ComponentVersion", "cmpv", namespaced=False),
    _kb("apps.kubeblocks.io/v1", "clusterdefinitions", "ClusterDefinition", "cd", namespaced=False),
    _kb("workloads.kubeblocks.io/v1", "instancesets", "InstanceSet", "its"),
    _kb("operations.kubeblocks.io/v1alpha1", "opsrequests", "OpsRequest", "ops"),
    _kb("dataprotection.kubeblocks.io/v1alpha1", "backups", "Backup"),
    _kb("dataprotection.kubeblocks.io/v1alpha1", "backuppolicies", "BackupPolicy", "bp"),
    _kb("dataprotection.kubeblocks.io/v1alpha1", "backupschedules", "BackupSchedule", "bs"),
    _kb("dataprotection.kubeblocks.io/v1alpha1", "backuprepos", "BackupRepo", namespaced=False),
    _kb("dataprotection.kubeblocks.io/v1alpha1", "actionsets", "ActionSet", "as", namespaced=False),
    _kb("dataprotection.kubeblocks.io/v1alpha1", "restores", "Restore"),
)


def crd_for(rtype: ResourceType) -> Json:
    """A CustomResourceDefinition that stands for a type we serve from the start."""
    version: Json = {
        "name": rtype.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    if rtype.has_status:
        version["subresources"] = {"status": {}}
    names: Json = {"kind": rtype.kind, "listKind": f"{rtype.kind}List", "plural": rtype.plural, "singular": rtype.singular}
    if rtype.short_names:
        names["shortNames"] = list(rtype.short_names)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{rtype.plural}.{rtype.group}", "labels": {"app.kubernetes.io/name": "kubeblocks"}},
        "spec": {"group": rtype.group, "names": names, "scope": "Namespaced" if rtype.namespaced else "Cluster", "versions": [version]},
    }


def types_of_crd(crd: Json) -> list[ResourceType]:
    spec = crd["spec"]
    names = spec["names"]
    return [
        ResourceType(
            spec["group"],
            version["name"],
            names["plural"],
            names["kind"],
            spec.get("scope") == "Namespaced",
            tuple(names.get("shortNames") or ()),
            ("status",) if (version.get("subresources") or {}).get("status") is not None else (),
            counted=True,
            custom=True,
        )
        for version in spec.get("versions", [])
        if version.get("served", True)
    ]


class Registry:
    """The types served now; CRDs add to it and take from it."""

    def __init__(self, types: tuple[ResourceType, ...] = BUILT_IN) -> None:
        self._lock = threading.Lock()
        self._types: dict[tuple[str, str, str], ResourceType] = {}
        for rtype in types:
            self.add(rtype)

    def add(self, rtype: ResourceType) -> None:
        with self._lock:
            self._types[(rtype.group, rtype.version, rtype.plural)] = rtype

    def remove(self, group: str, plural: str) -> None:
        with self._lock:
            for known in [key for key in self._types if (key[0], key[2]) == (group, plural)]:
                del self._types[known]

    def __iter__(self) -> Iterator[ResourceType]:
        with self._lock:
            return iter(list(self._types.values()))

    def by_path(self, group: str, version: str, plural: str) -> ResourceType | None:
        with self._lock:
            return self._types.get((group, version, plural))

    def by_key(self, key: tuple[str, str]) -> ResourceType | None:
        return next((t for t in self if t.key == key and t.stored_as is None), None)

    def by_kind(self, kind: str, api_version: str | None = None) -> ResourceType:
        """By kind, plural or short name; api_version only where the kind is not unique."""
        wanted = kind.lower()
        for rtype in self:
            if api_version and rtype.api_version != api_version:
                continue
            if wanted in (rtype.singular, rtype.plural, *rtype.short_names):
                return rtype
        raise KeyError(f"no kind {kind!r}" + (f" in {api_version}" if api_version else "") + " is served")

    # discovery ------------------------------------------------------------------------------

    def groups(self) -> Json:
        groups: dict[str, list[str]] = {}
        for rtype in self:
            if rtype.group and rtype.version not in groups.setdefault(rtype.group, []):
                groups[rtype.group].append(rtype.version)
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [self._group(name, versions) for name, versions in groups.items()]}

    @staticmethod
    def _group(name: str, versions: list[str]) -> Json:
        listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
        return {"name": name, "versions": listed, "preferredVersion": listed[0]}

    def group(self, name: str) -> Json | None:
        found = next((group for group in self.groups()["groups"] if group["name"] == name), None)
        return {"kind": "APIGroup", "apiVersion": "v1", **found} if found else None

    def resources(self, group: str, version: str) -> Json | None:
        found = [rtype for rtype in self if (rtype.group, rtype.version) == (group, version)]
        if not found:
            return None
        listed: list[Json] = []
        for rtype in found:
            entry: Json = {
                "name": rtype.plural,
                "singularName": rtype.singular,
                "namespaced": rtype.namespaced,
                "kind": rtype.kind,
                "verbs": ["create"] if rtype.virtual else list(VERBS),
            }
            if rtype.short_names:
                entry["shortNames"] = list(rtype.short_names)
            listed.append(entry)
            listed.extend(self._subresource(rtype, name) for name in rtype.subresources)
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{group}/{version}" if group else version, "resources": listed}

    @staticmethod
    def _subresource(rtype: ResourceType, name: str) -> Json:
        verbs = {
            "log": ["get"],
            "exec": ["create", "get"],
            "attach": ["create", "get"],
            "portforward": ["create", "get"],
            "eviction": ["create"],
            "finalize": ["update"],
        }.get(name, ["get", "patch", "update"])
        kinds = {"exec": "PodExecOptions", "attach": "PodAttachOptions", "portforward": "PodPortForwardOptions", "scale": "Scale", "eviction": "Eviction"}
        return {"name": f"{rtype.plural}/{name}", "singularName": "", "namespaced": rtype.namespaced, "kind": kinds.get(name, rtype.kind), "verbs": verbs}
