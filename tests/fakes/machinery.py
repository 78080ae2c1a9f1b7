# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an API server does with objects, without HTTP: create, change, delete, list, and the controllers beside it."""

from __future__ import annotations

import base64
import copy
import datetime
import json
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import errors, managed_fields, patching
from .defaults import prepare
from .errors import ApiError
from .managed_fields import Manager
from .resources import BUILT_IN, KUBEBLOCKS, Registry, ResourceType, crd_for, types_of_crd
from .scheduler import Scheduler
from .selectors import Predicate
from .store import Change, Store
from .validation import check, check_types

Json = dict[str, Any]
#: (operation CREATE|UPDATE|DELETE, type, object, stored object or None); may change the object or raise ApiError
Admission = Callable[[str, ResourceType, Json, "Json | None"], None]
Hook = Callable[[Change], object]

CRDS = ("apiextensions.k8s.io", "customresourcedefinitions")
NAMESPACES = ("", "namespaces")
PODS = ("", "pods")
CLAIMS = ("", "persistentvolumeclaims")
POLICIES = ("networking.k8s.io", "networkpolicies")
_SYSTEM_META = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "resourceVersion", "selfLink", "managedFields")

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


def now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Write:
    """Who writes, and how."""

    manager: str = "fake"
    dry_run: bool = False
    subresource: str = ""
    #: scripts of the cluster itself (operator, kubelet) may set status and spec together
    trusted: bool = False


class Machinery:
    def __init__(self, *, kubeblocks: bool = True) -> None:
        self.registry = Registry(BUILT_IN)
        self.store = Store()
        self.scheduler = Scheduler()
        self.admissions: list[Admission] = []
        self._hooks: list[tuple[str | None, tuple[str, str] | None, Hook]] = []
        #: what a pod takes to end
        self.pod_stop_seconds = 0.02
        self._addresses = 0
        self._seed(kubeblocks)

    def _seed(self, kubeblocks: bool) -> None:
        system = Write("kube-apiserver", trusted=True)
        for name in ("kube-system", "default"):
            self.create(self.type("Namespace"), "", {"metadata": {"name": name}}, system)
        self.create(
            self.type("Node"),
            "",
            {
                "metadata": {"name": "node-1", "labels": {"kubernetes.io/hostname": "node-1", "kubernetes.io/arch": "amd64"}},
                "spec": {},
                "status": {
                    "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110", "ephemeral-storage": "100Gi"},
                    "capacity": {"cpu": "4", "memory": "8Gi", "pods": "110", "ephemeral-storage": "100Gi"},
                    "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
                    "nodeInfo": {"kubeletVersion": "v1.34.4", "architecture": "amd64"},
                },
            },
            system,
        )
        self.create(
            self.type("StorageClass"),
            "",
            {
                "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
                "provisioner": "rancher.io/local-path",
                "volumeBindingMode": "WaitForFirstConsumer",
            },
            system,
        )
        if kubeblocks:
            for rtype in KUBEBLOCKS:
                self.create(self.type("CustomResourceDefinition"), "", crd_for(rtype), system)

    def type(self, kind: str, api_version: str | None = None) -> ResourceType:
        return self.registry.by_kind(kind, api_version)

    # reading --------------------------------------------------------------------------------

    def stored(self, rtype: ResourceType, namespace: str, name: str) -> Json:
        obj = self.store.get(rtype.key, namespace if rtype.namespaced else "", name)
        if obj is None:
            raise errors.not_found(rtype, name)
        return obj

    def listing(self, rtype: ResourceType, namespace: str | None, holds: Predicate, limit: int = 0, token: str = "") -> tuple[list[Json], Json]:
        """(objects, metadata of the list)."""
        with self.store.lock:
            found = [obj for obj in self.store.items(rtype.key, namespace) if holds(obj)]
            version = self.store.version
        if token:
            try:
                last, version = json.loads(base64.urlsafe_b64decode(token))
            except ValueError as error:
                raise errors.bad_request("continue key is not valid") from error
            if version < self.store.oldest:
                raise ApiError(410, "The provided continue parameter is too old to display a consistent list result.", "Expired")
            found = [obj for obj in found if [obj["metadata"].get("namespace") or "", obj["metadata"]["name"]] > last]
        meta: Json = {"resourceVersion": str(version)}
        if limit and len(found) > limit:
            edge = found[limit - 1]["metadata"]
            meta["continue"] = base64.urlsafe_b64encode(json.dumps([[edge.get("namespace") or "", edge["name"]], version]).encode()).decode()
            meta["remainingItemCount"] = len(found) - limit
            found = found[:limit]
        return found, meta

    # writing --------------------------------------------------------------------------------

    def _check_namespace(self, rtype: ResourceType, namespace: str, name: str) -> None:
        if not rtype.namespaced:
            return
        found = self.store.get(NAMESPACES, "", namespace)
        if found is None:
            raise errors.not_found(self.type("Namespace"), namespace)
        if found["metadata"].get("deletionTimestamp"):
            raise errors.forbidden(
                rtype,
                name,
                f"unable to create new content in namespace {namespace} because it is being terminated",
                [{"reason": "NamespaceTerminating", "message": f"namespace {namespace} is being terminated", "field": "metadata.namespace"}],
            )

    def _admit(self, operation: str, rtype: ResourceType, obj: Json, old: Json | None) -> None:
        for admission in list(self.admissions):
            admission(operation, rtype, obj, old)

    def create(self, rtype: ResourceType, namespace: str, body: Json, write: Write) -> Json:
        return self._create(rtype, namespace, body, write, None)

    def _create(self, rtype: ResourceType, namespace: str, body: Json, write: Write, owners: managed_fields.Managed | None) -> Json:
        obj: Json = copy.deepcopy(body)
        meta: Json = obj.get("metadata") or {}
        obj["metadata"] = meta
        obj["apiVersion"], obj["kind"] = rtype.api_version, rtype.kind
        if rtype.namespaced:
            if meta.setdefault("namespace", namespace) != namespace:
                raise errors.bad_request(
                    f"the namespace of the provided object does not match the namespace sent on the request: {meta['namespace']!r} vs {namespace!r}"
                )
        else:
            meta.pop("namespace", None)
        if not write.trusted and meta.get("resourceVersion"):
            raise errors.bad_request("resourceVersion should not be set on objects to be created")
        check_types(rtype, obj)
        for name in _SYSTEM_META:
            if not (write.trusted and name in ("uid", "creationTimestamp", "generation")):
                meta.pop(name, None)
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"] + "".join(random.choices("bcdfghjklmnpqrstvwxz2456789", k=5))
        if rtype.has_status and not write.trusted:
            obj.pop("status", None)
        meta.setdefault("uid", str(uuid.uuid4()))
        meta.setdefault("creationTimestamp", now())
        if rtype.counted:
            meta.setdefault("generation", 1)
        raw = copy.deepcopy(obj)
        obj = prepare(rtype, obj)
        with self.store.lock:
            self._check_namespace(rtype, namespace, obj["metadata"].get("name") or "")
            self._on_create(rtype, obj)
            self._admit("CREATE", rtype, obj, None)
            check(rtype, obj)
            if self.store.get(rtype.key, obj["metadata"].get("namespace") or "", obj["metadata"]["name"]) is not None:
                raise errors.already_exists(rtype, obj["metadata"]["name"])
            if owners is None:
                said = _without_admitted(rtype, prepare(rtype, raw)) if not write.trusted else prepare(rtype, raw)
                owners = managed_fields.update(rtype, None, said, Manager(write.manager, "Update", rtype.api_version))
            entries = managed_fields.encode(owners, None, now())
            if entries:
                obj["metadata"]["managedFields"] = entries
            if write.dry_run:
                return obj
            return self._keep(rtype, obj)

    def _on_create(self, rtype: ResourceType, obj: Json) -> None:
        """Built-in admission: claims get the default class and their finalizer, Services an address."""
        if rtype.key == CLAIMS:
            obj["metadata"].setdefault("finalizers", []).append("kubernetes.io/pvc-protection")
            if "storageClassName" not in obj["spec"]:
                default = next(
                    (
                        sc
                        for sc in self.store.items(("storage.k8s.io", "storageclasses"))
                        if ((sc["metadata"].get("annotations") or {}).get("storageclass.kubernetes.io/is-default-class") == "true")
                    ),
                    None,
                )
                if default:
                    obj["spec"]["storageClassName"] = default["metadata"]["name"]
        if rtype.key == ("", "services") and obj["spec"].get("type") != "ExternalName" and not obj["spec"].get("clusterIP"):
            self._addresses += 1
            obj["spec"]["clusterIP"] = f"10.96.{self._addresses // 250}.{self._addresses % 250 + 1}"
            obj["spec"]["clusterIPs"] = [obj["spec"]["clusterIP"]]

    def _keep(self, rtype: ResourceType, obj: Json) -> Json:
        if rtype.key == CRDS:
            stamp = now()
            obj.setdefault("status", {}).update(
                {
                    "acceptedNames": obj["spec"]["names"],
                    "storedVersions": [v["name"] for v in obj["spec"].get("versions", []) if v.get("storage")],
                    "conditions": [
                        {"type": "NamesAccepted", "status": "True", "reason": "NoConflicts", "message": "no conflicts found", "lastTransitionTime": stamp},
                        {
                            "type": "Established",
                            "status": "True",
                            "reason": "InitialNamesAccepted",
                            "message": "the initial names have been accepted",
                            "lastTransitionTime": stamp,
                        },
                    ],
                }
            )
            self.registry.remove(obj["spec"]["group"], obj["spec"]["names"]["plural"])
            for served in types_of_crd(obj):
                self.registry.add(served)
        kept = self.store.put(rtype.key, obj)
        if rtype.key == NAMESPACES and kept["metadata"].get("generation") is None and not kept["metadata"].get("deletionTimestamp"):
            self._furnish(kept["metadata"]["name"])
        if kept["metadata"].get("ownerReferences"):
            self.scheduler.later(0.02, lambda: self._collect_ownerless(rtype.key, kept))
        self._tell(self.store.log[-1])
        return kept

    def _furnish(self, namespace: str) -> None:
        system = Write("kube-controller-manager", trusted=True)
        if self.store.get(("", "serviceaccounts"), namespace, "default") is None:
            self.create(self.type("ServiceAccount"), namespace, {"metadata": {"name": "default"}}, system)
            self.create(
                self.type("ConfigMap"),
                namespace,
                {
                    "metadata": {
                        "name": "kube-root-ca.crt",
                        "annotations": {
                            "kubernetes.io/description": "Contains a CA bundle that can be used to verify "
                            "the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc."
                        },
                    },
                    "data": {"ca.crt": "-----BEGIN CERTIFICATE-----\nfake\n-----END CERTIFICATE-----\n"},
                },
                system,
            )

    def update(self, rtype: ResourceType, namespace: str, name: str, body: Json, write: Write) -> Json:
        """PUT."""
        given = (body.get("metadata") or {}).get("name")
        if given and given != name:
            raise errors.bad_request(f"the name of the object ({given}) does not match the name on the URL ({name})")
        with self.store.lock:
            old = self.stored(rtype, namespace, name)
            asked = (body.get("metadata") or {}).get("resourceVersion")
            if rtype.custom and not asked and not write.trusted:
                error = errors.invalid(rtype, name, [("metadata.resourceVersion", "Invalid value: 0: must be specified for an update", "FieldValueInvalid")])
                error.message = error.message.replace(rtype.kind, rtype.plural, 1)
                error.details = {**(error.details or {}), "kind": rtype.plural}
                raise error
            new = copy.deepcopy(body)
            if rtype.key == ("", "services") and new.get("spec", {}).get("type") == old["spec"].get("type", "ClusterIP"):
                for field in ("clusterIP", "clusterIPs"):
                    if field in old["spec"]:
                        new.setdefault("spec", {}).setdefault(field, old["spec"][field])
            return self._change(rtype, old, new, write, None)

    def patch(self, rtype: ResourceType, namespace: str, name: str, content_type: str, body: Any, write: Write, *, force: bool = False) -> tuple[Json, bool]:
        """(object, created)."""
        if content_type == APPLY_PATCH:
            return self._apply(rtype, namespace, name, body, write, force)
        accepted = [JSON_PATCH, MERGE_PATCH] + ([] if rtype.custom else [STRATEGIC_PATCH]) + [APPLY_PATCH]
        if content_type not in accepted:
            raise errors.unsupported_media(accepted)
        with self.store.lock:
            old = self.stored(rtype, namespace, name)
            shown = {**copy.deepcopy(old), "apiVersion": rtype.api_version}
            if content_type == JSON_PATCH:
                new = patching.json_patch(shown, body)
            elif content_type == MERGE_PATCH:
                new = patching.merge_patch(shown, body)
            else:
                new = patching.strategic_merge(rtype, shown, body)
            if (new.get("metadata") or {}).get("name") != name:
                raise errors.bad_request(f"the name of the object ({(new.get('metadata') or {}).get('name')}) does not match the name on the URL ({name})")
            return self._change(rtype, old, new, write, None), False

    def _apply(self, rtype: ResourceType, namespace: str, name: str, config: Any, write: Write, force: bool) -> tuple[Json, bool]:
        if not isinstance(config, dict) or not config.get("apiVersion") or not config.get("kind"):
            raise errors.bad_request("invalid object type: /, Kind=")
        if (config["apiVersion"], config["kind"]) != (rtype.api_version, rtype.kind):
            raise errors.bad_request(
                f"the API version or kind in the data ({config['apiVersion']}, Kind={config['kind']}) does not match the expected "
                f"API version or kind ({rtype.api_version}, Kind={rtype.kind})"
            )
        config = copy.deepcopy(config)
        meta: Json = config.get("metadata") or {}
        config["metadata"] = meta
        if meta.get("managedFields"):
            raise errors.bad_request("metadata.managedFields must be nil")
        meta.pop("managedFields", None)
        check_types(rtype, config, applying=True)
        if meta.setdefault("name", name) != name:
            raise errors.bad_request(f"the name of the object ({meta['name']}) does not match the name on the URL ({name})")
        if rtype.namespaced and meta.setdefault("namespace", namespace) != namespace:
            raise errors.bad_request("the namespace of the provided object does not match the namespace sent on the request")
        if rtype.has_status and write.subresource != "status":
            config.pop("status", None)
        if meta.get("creationTimestamp", "") is None:
            meta.pop("creationTimestamp")
        manager = Manager(write.manager, "Apply", rtype.api_version, write.subresource)
        with self.store.lock:
            old = self.store.get(rtype.key, namespace if rtype.namespaced else "", name)
            if old is None and write.subresource:
                raise errors.not_found(rtype, name)
            if old is None and meta.get("uid"):
                raise errors.stale(rtype, name)
            merged, owners = managed_fields.apply(rtype, old, config, manager, force=force)
            if old is None:
                return self._create(rtype, namespace, merged, write, owners), True
            return self._change(rtype, old, merged, write, owners), False

    def _change(self, rtype: ResourceType, old: Json, new: Json, write: Write, owners: managed_fields.Managed | None) -> Json:
        """Common end of PUT, PATCH and apply."""
        name = old["metadata"]["name"]
        new = copy.deepcopy(new)
        new["apiVersion"], new["kind"] = rtype.api_version, rtype.kind
        meta: Json = new.get("metadata") or {}
        new["metadata"] = meta
        asked = meta.get("resourceVersion")
        if asked and asked != old["metadata"]["resourceVersion"]:
            raise errors.stale(rtype, name)
        if meta.get("uid") and meta["uid"] != old["metadata"]["uid"]:
            raise errors.precondition_failed(rtype, name, "UID", meta["uid"], old["metadata"]["uid"])
        check_types(rtype, new)
        self._restrict(rtype, old, new, write)
        for field in _SYSTEM_META:
            meta.pop(field, None)
            if field in old["metadata"]:
                meta[field] = copy.deepcopy(old["metadata"][field])
        meta["name"] = name
        if rtype.namespaced:
            meta["namespace"] = old["metadata"].get("namespace")
        quirk = rtype.key == POLICIES and any((new.get("spec") or {}).get(side) == [] for side in ("ingress", "egress"))
        new = prepare(rtype, new)
        self._admit("UPDATE", rtype, new, old)
        if write.subresource != "status" and not (write.trusted and _same_but_status(old, new)):
            check(rtype, new, old)
        # A NetworkPolicy with an empty list is compared before the list is dropped: every write counts as a change.
        if rtype.counted and (quirk or _counted_part(rtype, new) != _counted_part(rtype, old)):
            new["metadata"]["generation"] = old["metadata"].get("generation", 1) + 1
        if owners is None:
            manager = Manager(write.manager, "Update", rtype.api_version, write.subresource)
            owners = managed_fields.update(rtype, old, new, manager)
        entries = managed_fields.encode(owners, old, now())
        new["metadata"].pop("managedFields", None)
        if entries:
            new["metadata"]["managedFields"] = entries
        if _same(new, old):
            return old
        if write.dry_run:
            return new
        if new["metadata"].get("deletionTimestamp") and not new["metadata"].get("finalizers"):
            self.store.put(rtype.key, new)
            self._tell(self.store.log[-1])
            self._remove(rtype, new)
            return new
        return self._keep(rtype, new)

    @staticmethod
    def _restrict(rtype: ResourceType, old: Json, new: Json, write: Write) -> None:
        """A write to the object leaves status alone; one to /status leaves the rest alone."""
        if write.trusted or not rtype.has_status:
            return
        if write.subresource == "status":
            for key in [key for key in new if key not in ("status", "metadata", "apiVersion", "kind")]:
                del new[key]
            for key, value in old.items():
                if key not in ("status", "metadata", "apiVersion", "kind"):
                    new[key] = copy.deepcopy(value)
            if rtype.custom:
                new["metadata"] = copy.deepcopy(old["metadata"])
        else:
            new.pop("status", None)
            if "status" in old:
                new["status"] = copy.deepcopy(old["status"])

    # deleting -------------------------------------------------------------------------------

    def delete(self, rtype: ResourceType, namespace: str, name: str, options: Json, write: Write) -> tuple[Json, bool]:
        """(object, gone at once)."""
        with self.store.lock:
            obj = self.stored(rtype, namespace, name)
            conditions = options.get("preconditions") or {}
            if conditions.get("uid") and conditions["uid"] != obj["metadata"]["uid"]:
                raise errors.precondition_failed(rtype, name, "UID", conditions["uid"], obj["metadata"]["uid"])
            if conditions.get("resourceVersion") and conditions["resourceVersion"] != obj["metadata"]["resourceVersion"]:
                raise errors.precondition_failed(rtype, name, "ResourceVersion", conditions["resourceVersion"], obj["metadata"]["resourceVersion"])
            self._admit("DELETE", rtype, obj, obj)
            policy = options.get("propagationPolicy")
            if policy is None and options.get("orphanDependents") is not None:
                policy = "Orphan" if options["orphanDependents"] else "Background"
            if policy is None:  # batch/v1 keeps its pods for compatibility's sake
                policy = "Orphan" if rtype.key == ("batch", "jobs") else "Background"
            if policy not in ("Orphan", "Background", "Foreground"):
                raise errors.invalid(rtype, "", [("propagationPolicy", f'Unsupported value: "{policy}"', "FieldValueNotSupported")])
            if write.dry_run:
                return obj, True
            if policy == "Orphan":
                self._orphan(obj)
            return self._delete(rtype, obj, policy, options.get("gracePeriodSeconds"))

    def _delete(self, rtype: ResourceType, obj: Json, policy: str, grace: int | None) -> tuple[Json, bool]:
        finalizers = list(obj["metadata"].get("finalizers") or [])
        if policy == "Foreground" and "foregroundDeletion" not in finalizers and self._dependents(obj["metadata"]["uid"]):
            finalizers.append("foregroundDeletion")
        graceful = rtype.key == PODS and grace != 0 and bool((obj.get("spec") or {}).get("nodeName"))
        if not finalizers and not graceful and rtype.key not in (NAMESPACES, CRDS):
            return self._remove(rtype, obj), True
        if not obj["metadata"].get("deletionTimestamp"):
            marked = copy.deepcopy(obj)
            meta = marked["metadata"]
            seconds = (grace if grace is not None else marked["spec"].get("terminationGracePeriodSeconds", 30)) if graceful else 0
            meta["deletionTimestamp"] = now()
            if rtype.key not in (NAMESPACES, CRDS):
                meta["deletionGracePeriodSeconds"] = seconds
            if "generation" in meta:
                meta["generation"] += 1
            if finalizers:
                meta["finalizers"] = finalizers
            if rtype.key == NAMESPACES:
                marked["status"] = {**marked.get("status", {}), "phase": "Terminating"}
            obj = self.store.put(rtype.key, marked)
            self._tell(self.store.log[-1])
        slot = (obj["metadata"].get("namespace") or "", obj["metadata"]["name"])
        if graceful:
            self.scheduler.later(self.pod_stop_seconds, lambda: self._pod_ended(rtype, slot, obj["metadata"]["uid"]))
        if rtype.key == NAMESPACES:
            self.scheduler.later(0.01, lambda: self._empty_namespace(slot[1]))
        if rtype.key == CRDS:
            self.scheduler.later(0.01, lambda: self._retire(slot[1]))
        if rtype.key == CLAIMS:
            self.scheduler.later(0.01, lambda: self._release_claim(slot))
        if "foregroundDeletion" in finalizers:
            self.scheduler.later(0.01, lambda: self._foreground(rtype.key, slot))
        return obj, False

    def _remove(self, rtype: ResourceType, obj: Json) -> Json:
        meta = obj["metadata"]
        last = self.store.erase(rtype.key, meta.get("namespace") or "", meta["name"])
        if last is None:
            return obj
        self._tell(self.store.log[-1])
        if rtype.key == CRDS:
            self.registry.remove(obj["spec"]["group"], obj["spec"]["names"]["plural"])
        self.scheduler.later(0.01, lambda: self._collect(meta["uid"]))
        if rtype.key == PODS:
            for volume in (obj.get("spec") or {}).get("volumes") or []:
                claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
                if claim:
                    self.scheduler.later(0.01, lambda claim=claim: self._release_claim((meta.get("namespace") or "", claim)))  # type: ignore[misc]
        return last

    def _pod_ended(self, rtype: ResourceType, slot: tuple[str, str], uid: str) -> None:
        with self.store.lock:
            pod = self.store.get(rtype.key, *slot)
            if pod and pod["metadata"]["uid"] == uid and not pod["metadata"].get("finalizers"):
                self._remove(rtype, pod)

    # controllers ----------------------------------------------------------------------------

    def _dependents(self, uid: str) -> list[tuple[ResourceType, Json]]:
        found: list[tuple[ResourceType, Json]] = []
        for key, obj in self.store.everything():
            if any(ref.get("uid") == uid for ref in obj["metadata"].get("ownerReferences") or []):
                rtype = self.registry.by_key(key)
                if rtype:
                    found.append((rtype, obj))
        return found

    def _orphan(self, owner: Json) -> None:
        for rtype, obj in self._dependents(owner["metadata"]["uid"]):
            freed = copy.deepcopy(obj)
            refs = [ref for ref in freed["metadata"]["ownerReferences"] if ref.get("uid") != owner["metadata"]["uid"]]
            if refs:
                freed["metadata"]["ownerReferences"] = refs
            else:
                del freed["metadata"]["ownerReferences"]
            self.store.put(rtype.key, freed)
            self._tell(self.store.log[-1])

    def _alive(self, uid: str) -> bool:
        return any(obj["metadata"]["uid"] == uid for _key, obj in self.store.everything())

    def _collect(self, uid: str) -> None:
        """An owner went: its dependents go when no owner is left."""
        with self.store.lock:
            for rtype, obj in self._dependents(uid):
                if not any(self._alive(ref["uid"]) for ref in obj["metadata"]["ownerReferences"]):
                    self._delete(rtype, obj, "Background", None)

    def _collect_ownerless(self, key: tuple[str, str], obj: Json) -> None:
        with self.store.lock:
            rtype, current = self.registry.by_key(key), self.store.get(key, obj["metadata"].get("namespace") or "", obj["metadata"]["name"])
            refs = current["metadata"].get("ownerReferences") if current else None
            if rtype and current and refs and not current["metadata"].get("deletionTimestamp") and not any(self._alive(ref["uid"]) for ref in refs):
                self._delete(rtype, current, "Background", None)

    def _foreground(self, key: tuple[str, str], slot: tuple[str, str]) -> None:
        with self.store.lock:
            rtype, obj = self.registry.by_key(key), self.store.get(key, *slot)
            if not rtype or obj is None or "foregroundDeletion" not in (obj["metadata"].get("finalizers") or []):
                return
            left = self._dependents(obj["metadata"]["uid"])
            for child, dependent in left:
                if not dependent["metadata"].get("deletionTimestamp"):
                    self._delete(child, dependent, "Foreground", None)
            if left:
                self.scheduler.later(0.02, lambda: self._foreground(key, slot))
            else:
                self.drop_finalizer(rtype, slot, "foregroundDeletion")

    def drop_finalizer(self, rtype: ResourceType, slot: tuple[str, str], finalizer: str) -> None:
        with self.store.lock:
            obj = self.store.get(rtype.key, *slot)
            if obj is None or finalizer not in (obj["metadata"].get("finalizers") or []):
                return
            freed = copy.deepcopy(obj)
            freed["metadata"]["finalizers"] = [name for name in freed["metadata"]["finalizers"] if name != finalizer]
            if not freed["metadata"]["finalizers"]:
                del freed["metadata"]["finalizers"]
            self.store.put(rtype.key, freed)
            self._tell(self.store.log[-1])
            if freed["metadata"].get("deletionTimestamp") and not freed["metadata"].get("finalizers") and rtype.key not in (NAMESPACES, PODS):
                self._remove(rtype, freed)

    def _release_claim(self, slot: tuple[str, str]) -> None:
        with self.store.lock:
            claim = self.store.get(CLAIMS, *slot)
            if claim is None or not claim["metadata"].get("deletionTimestamp"):
                return
            used = any(
                (volume.get("persistentVolumeClaim") or {}).get("claimName") == slot[1]
                for pod in self.store.items(PODS, slot[0])
                for volume in pod["spec"].get("volumes") or []
            )
            if not used:
                self.drop_finalizer(self.type("PersistentVolumeClaim"), slot, "kubernetes.io/pvc-protection")

    def _empty_namespace(self, name: str) -> None:
        with self.store.lock:
            space = self.store.get(NAMESPACES, "", name)
            if space is None or not space["metadata"].get("deletionTimestamp"):
                return
            for key, obj in self.store.everything(name):
                rtype = self.registry.by_key(key)
                if rtype and not obj["metadata"].get("deletionTimestamp"):
                    self._delete(rtype, obj, "Background", None)
            left = self.store.everything(name)
            if not left and not space["metadata"].get("finalizers"):
                self._remove(self.type("Namespace"), space)
                return
            self._say_what_remains(space, left)
            self.scheduler.later(0.05, lambda: self._empty_namespace(name))

    def _say_what_remains(self, space: Json, left: list[tuple[tuple[str, str], Json]]) -> None:
        kinds: dict[str, int] = {}
        finalizers: dict[str, int] = {}
        for (group, plural), obj in left:
            resource = f"{plural}.{group}" if group else f"{plural}."
            kinds[resource] = kinds.get(resource, 0) + 1
            for finalizer in obj["metadata"].get("finalizers") or []:
                finalizers[finalizer] = finalizers.get(finalizer, 0) + 1
        conditions = [
            {
                "type": "NamespaceContentRemaining",
                "status": "True",
                "reason": "SomeResourcesRemain",
                "lastTransitionTime": now(),
                "message": "Some resources are remaining: " + ", ".join(f"{kind} has {count} resource instances" for kind, count in sorted(kinds.items())),
            }
        ]
        if finalizers:
            conditions.append(
                {
                    "type": "NamespaceFinalizersRemaining",
                    "status": "True",
                    "reason": "SomeFinalizersRemain",
                    "lastTransitionTime": now(),
                    "message": "Some content in the namespace has finalizers remaining: "
                    + ", ".join(f"{name} in {count} resource instances" for name, count in sorted(finalizers.items())),
                }
            )
        before = [(item["type"], item["message"]) for item in space["status"].get("conditions") or []]
        if finalizers and before != [(item["type"], item["message"]) for item in conditions]:
            self.store.put(NAMESPACES, {**copy.deepcopy(space), "status": {"phase": "Terminating", "conditions": conditions}})
            self._tell(self.store.log[-1])

    def _retire(self, name: str) -> None:
        """A CRD is deleted: its objects first."""
        with self.store.lock:
            crd = self.store.get(CRDS, "", name)
            if crd is None or not crd["metadata"].get("deletionTimestamp"):
                return
            key = (crd["spec"]["group"], crd["spec"]["names"]["plural"])
            rtype = self.registry.by_key(key)
            for obj in self.store.items(key):
                if rtype and not obj["metadata"].get("deletionTimestamp"):
                    self._delete(rtype, obj, "Background", None)
            if self.store.items(key):
                self.scheduler.later(0.05, lambda: self._retire(name))
            else:
                self._remove(self.type("CustomResourceDefinition"), crd)

    # hooks ----------------------------------------------------------------------------------

    def on(self, hook: Hook, event: str | None = None, kind: str | None = None) -> None:
        """Call hook after each change (ADDED, MODIFIED, DELETED) of a kind, in the controllers' thread."""
        self._hooks.append((event, self.type(kind).key if kind else None, hook))

    def _tell(self, change: Change) -> None:
        for event, key, hook in self._hooks:
            if event in (None, change.type) and key in (None, change.key):
                self.scheduler.later(0, lambda hook=hook: hook(change))  # type: ignore[misc]


_ADMITTED = {"preemptionPolicy", "priority", "tolerations", "serviceAccount", "serviceAccountName"}


def _without_admitted(rtype: ResourceType, obj: Json) -> Json:
    """Without what admission plugins set: nobody owns that."""
    if rtype.key == NAMESPACES:
        return {key: value for key, value in obj.items() if key not in ("spec", "status")}
    if rtype.has_status:
        obj = {key: value for key, value in obj.items() if key != "status"}
    if rtype.key == PODS:
        return {**obj, "spec": {key: value for key, value in obj["spec"].items() if key not in _ADMITTED}}
    return obj


def _counted_part(rtype: ResourceType, obj: Json) -> Json:
    skipped = {"metadata", "apiVersion", "kind"} | ({"status"} if rtype.has_status else set())
    if not rtype.custom:
        return {"spec": obj.get("spec")} if "spec" in obj else {key: value for key, value in obj.items() if key not in skipped}
    return {key: value for key, value in obj.items() if key not in skipped}


def _comparable(obj: Json) -> Json:
    meta = {key: value for key, value in obj["metadata"].items() if key != "resourceVersion"}
    return {**obj, "metadata": meta, "apiVersion": ""}


def _same(new: Json, old: Json) -> bool:
    return _comparable(new) == _comparable(old)


def _same_but_status(old: Json, new: Json) -> bool:
    return {**_comparable(new), "status": None, "metadata": None} == {**_comparable(old), "status": None, "metadata": None}
