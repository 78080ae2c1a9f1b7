# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A scripted KubeBlocks operator 1.0.2: what it writes, in the order it writes it, as observed on a real one."""

from __future__ import annotations

import base64
import contextlib
import copy
import json
import random
import string
from typing import Any

from . import quantities
from .definitions import Definition, Definitions, PreCheckError
from .errors import ApiError
from .kube_api import FakeKubeApi
from .kubelet import Kubelet, Trouble, is_ready, owner_reference, pod_from
from .machinery import now
from .store import Change
from .timelines import Timeline, load

Json = dict[str, Any]

MANAGER = "kubeblocks"
FINALIZER = "cluster.kubeblocks.io/finalizer"
COMPONENT_FINALIZER = "component.kubeblocks.io/finalizer"
_API = "apps.kubeblocks.io/v1"
_TO_BE_CREATED = {"message": {"reason": "the component to be created"}}
_LATER = {"image": ("ImagePullBackOff", "InvalidImageName"), "crash": ("CrashLoopBackOff", "CreateContainerConfigError")}


class KubeBlocksOperator:
    """Plays Clusters from creation to deletion.

    operator = KubeBlocksOperator(api, delay=0.1)          # seconds from Cluster to Running, about
    operator.fail("pg1", "ImagePullBackOff")               # pods of this Cluster fail so
    operator.fail("pg1", "NoRole"); operator.refuse_pods("pg1", "exceeded quota: ...")
    operator.replay("t-badimg", speed=1000)                # a recorded sequence, without the play
    """

    def __init__(self, api: FakeKubeApi, delay: float = 0.1, *, answering: bool = True) -> None:
        self.api = api
        self.delay = delay
        #: False: nobody is at home, Clusters stay as they were written
        self.answering = answering
        self.definitions = Definitions(api)
        self.kubelet = Kubelet.of(api, delay * 0.5)
        self._refused: dict[str, str] = {}
        self._replayed: set[tuple[str, str]] = set()
        self._passwords: dict[str, str] = {}
        self._rolled: dict[tuple[str, str], int] = {}
        self._busy: set[tuple[str, str]] = set()
        for event in ("ADDED", "MODIFIED"):
            api.on(self._cluster_changed, event, "Cluster")
            api.on(self._secret_changed, event, "Secret")
        for kind in ("ComponentDefinition", "ComponentVersion", "ClusterDefinition"):
            for event in ("ADDED", "MODIFIED"):
                api.on(lambda change, kind=kind: self._definition_changed(kind, change), event, kind)  # type: ignore[misc]
        for event in ("ADDED", "MODIFIED", "DELETED"):
            api.on(self._pod_changed, event, "Pod")
        api.on(self._ops_changed, "ADDED", "OpsRequest")

    # what tests say -------------------------------------------------------------------------

    def define(self, definition: Definition) -> None:
        self.definitions.known[definition.name] = definition

    def fail(self, cluster: str, reason: str, **details: Any) -> None:
        """Reasons of kubelet.Trouble, or NoRole: the role probe never answers."""
        if reason == "NoRole":
            self.kubelet.troubles[f"{cluster}#norole"] = Trouble(reason)
        else:
            self.kubelet.fail(cluster, reason, **details)

    def heal(self, cluster: str) -> None:
        self._refused.pop(cluster, None)
        self.kubelet.troubles.pop(f"{cluster}#norole", None)
        self.kubelet.heal(cluster)
        for obj in self.api.objects("Cluster"):
            if obj["metadata"]["name"] == cluster:
                self._refresh(obj["metadata"]["namespace"], cluster)

    def refuse_pods(self, cluster: str, why: str) -> None:
        """Quota, LimitRange, pod security: no pod, an InstanceSet event, Creating for ever."""
        self._refused[cluster] = why

    def password(self, account_secret: str, value: str) -> None:
        """The password of an account Secret, so that tests may know it (and hunt for it)."""
        self._passwords[account_secret] = value

    def replay(self, recorded: str, namespace: str = "obs", name: str = "", *, speed: float = 1000.0, until_deleted: bool = False) -> Timeline:
        """Play a recorded timeline on a Cluster of that name; the rest of the operator keeps its hands off it."""
        timeline = load()[recorded]
        name = name or recorded
        self._replayed.add((namespace, name))
        if self.api.find("Namespace", namespace) is None:
            self.api.namespace(namespace)
        if self.api.find("Cluster", name, namespace) is None:
            self.api.put(
                {
                    "apiVersion": _API,
                    "kind": "Cluster",
                    "metadata": {"name": name, "namespace": namespace, "finalizers": [FINALIZER]},
                    "spec": {
                        "terminationPolicy": "Delete",
                        "componentSpecs": [
                            {"name": component, "componentDef": "minipg-17-0.1.0", "serviceVersion": "17.0.0", "replicas": 1}
                            for component in timeline.components
                        ],
                    },
                },
                manager="timeline",
            )
        for step in timeline.steps:
            if step.deleting and not until_deleted:
                break
            self.api.later(step.t / speed, lambda step=step: self._impose(namespace, name, step))  # type: ignore[misc]
        return timeline

    def _impose(self, namespace: str, name: str, step: Any) -> None:
        store, rtype = self.api.machinery.store, self.api.type("Cluster")
        with store.lock:
            found = store.get(rtype.key, namespace, name)
            if found is None:
                return
            if step.event == "DELETED":
                self.api.release("Cluster", name, namespace, FINALIZER)
                return
            if step.deleting and not found["metadata"].get("deletionTimestamp"):
                self.api.remove("Cluster", name, namespace)
                found = store.get(rtype.key, namespace, name) or found
            obj = copy.deepcopy(found)
            obj["metadata"]["generation"] = step.generation
            obj["status"] = step.status(name)
            store.put(rtype.key, obj)
            self.api.machinery._tell(store.log[-1])

    # definitions ----------------------------------------------------------------------------

    def _definition_changed(self, kind: str, change: Change) -> None:
        obj = change.obj
        # Without the annotation the real operator ignores the object silently.
        if not self.answering or "kubeblocks.io/crd-api-version" not in (obj["metadata"].get("annotations") or {}):
            return
        status = obj.get("status") or {}
        if status.get("observedGeneration") != obj["metadata"]["generation"]:
            with self._going():
                self.api.edit(kind, change.name, "", manager=MANAGER, status={"phase": "Available", "observedGeneration": obj["metadata"]["generation"]})

    @staticmethod
    def _going() -> contextlib.AbstractContextManager[Any]:
        """Objects may go while the operator works on them."""
        return _Tolerant()

    # clusters -------------------------------------------------------------------------------

    def _cluster_changed(self, change: Change) -> None:
        key = (change.namespace, change.name)
        if not self.answering or key in self._replayed:
            return
        obj = self.api.find("Cluster", change.name, change.namespace)
        if obj is None:
            return
        with self._going():
            if obj["metadata"].get("deletionTimestamp"):
                self._delete(obj)
            elif self._rolled.get(key) != obj["metadata"]["generation"] and key not in self._busy:
                self._busy.add(key)
                self.api.later(self.delay * 0.02, lambda: self._take(key))

    def _later(self, share: float, key: tuple[str, str], action: Any) -> None:
        def run() -> None:
            obj = self.api.find("Cluster", key[1], key[0])
            if obj and not obj["metadata"].get("deletionTimestamp"):
                with self._going():
                    action(obj)

        self.api.later(self.delay * share, run)

    def _take(self, key: tuple[str, str]) -> None:
        """A Cluster is new or its spec changed."""
        self._busy.discard(key)
        obj = self.api.find("Cluster", key[1], key[0])
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            return
        with self._going():
            if FINALIZER not in (obj["metadata"].get("finalizers") or []):
                finalizers = [*(obj["metadata"].get("finalizers") or []), FINALIZER]
                obj = self.api.edit("Cluster", key[1], key[0], manager=MANAGER, metadata={"finalizers": finalizers})
            generation = obj["metadata"]["generation"]
            try:
                resolved = self._resolve(obj)
            except PreCheckError as error:
                self._rolled[key] = generation
                self._condition(obj, "ProvisioningStarted", "False", "PreCheckFailed", str(error))
                return
            first = not (obj.get("status") or {}).get("phase")
            metadata: Json = {"annotations": {"kubeblocks.io/crd-api-version": _API}}
            if obj["spec"].get("clusterDef"):
                metadata["labels"] = {"clusterdefinition.kubeblocks.io/name": obj["spec"]["clusterDef"]}
            self._rolled[key] = generation + (resolved != obj["spec"])
            obj = self.api.edit("Cluster", key[1], key[0], manager=MANAGER, metadata=metadata, spec=resolved)
            if obj["spec"] != resolved:  # fields that went
                obj = self.api.change("Cluster", key[1], key[0], lambda current: current.update(spec=resolved), manager=MANAGER)
            self._rolled[key] = obj["metadata"]["generation"]
            (self._begin if first else self._roll)(key, obj)

    def _resolve(self, obj: Json) -> Json:
        """The spec as the operator writes it back."""
        spec: Json = copy.deepcopy(obj["spec"])
        topology: Json = {}
        if spec.get("clusterDef"):
            definition = self.api.find("ClusterDefinition", spec["clusterDef"])
            if definition is None and not any(name.startswith(spec["clusterDef"]) for name in self.definitions.all()):
                raise PreCheckError(f'ClusterDefinition.apps.kubeblocks.io "{spec["clusterDef"]}" not found')
            if definition is not None:
                offered = definition["spec"].get("topologies") or []
                if not spec.get("topology"):
                    default = next((item for item in offered if item.get("default")), None)
                    if default:
                        spec["topology"] = default["name"]
                topology = next((item for item in offered if item["name"] == spec.get("topology")), {})
                if not topology:
                    raise PreCheckError(f"specified cluster topology not found: {spec.get('topology', '')}")
        for component in spec.get("componentSpecs") or []:
            wanted = component.get("componentDef") or ""
            if topology:
                member = next((item for item in topology.get("components") or [] if item["name"] == component["name"]), None)
                if member is None:
                    raise PreCheckError(f"component {component['name']} not defined in topology {topology['name']}")
                wanted = wanted or member.get("compDef") or ""
            elif spec.get("clusterDef"):
                wanted = wanted or spec["clusterDef"]
            if not wanted:
                raise PreCheckError(f"cluster API validate error, clusterDef: , topology: , comps: {len(spec['componentSpecs'])}")
            definition_found, version = self.definitions.resolve(wanted, component.get("serviceVersion") or "")
            component["componentDef"], component["serviceVersion"] = definition_found.name, version
            self._normalise(component)
        return spec

    @staticmethod
    def _normalise(component: Json) -> None:
        if component.get("tls") is False:
            del component["tls"]
        component.setdefault("resources", {})
        holders = [component["resources"]] + [((claim.get("spec") or {}).get("resources") or {}) for claim in component.get("volumeClaimTemplates") or []]
        for holder in holders:
            for amounts in holder.values():
                for name, amount in amounts.items() if isinstance(amounts, dict) else ():
                    amounts[name] = quantities.canonical(amount)

    def _condition(self, obj: Json, kind: str, state: str, reason: str, message: str, **status: Any) -> None:
        def alter(current: Json) -> None:
            now_there = current.setdefault("status", {})
            now_there.update(status)
            conditions = now_there.setdefault("conditions", [])
            made = {"type": kind, "status": state, "reason": reason, "message": message, "lastTransitionTime": now()}
            if kind != "Ready" and reason != "PreCheckFailed":
                made["observedGeneration"] = current["metadata"]["generation"]
            old = next((item for item in conditions if item["type"] == kind), None)
            if old:
                if old["status"] == state:
                    made["lastTransitionTime"] = old["lastTransitionTime"]
                old.clear()
                old.update(made)
            else:
                conditions.append(made)

        self._write_status(obj, alter)

    def _write_status(self, obj: Json, alter: Any) -> None:
        self.api.change("Cluster", obj["metadata"]["name"], obj["metadata"]["namespace"], alter, manager=MANAGER, subresource="status")

    def _begin(self, key: tuple[str, str], obj: Json) -> None:
        """First sight: phases and objects in the observed order."""
        generation = obj["metadata"]["generation"]
        names = [component["name"] for component in obj["spec"]["componentSpecs"]]
        self._condition(obj, "ProvisioningStarted", "True", "PreCheckSucceed", f"The operator has started the provisioning of Cluster: {key[1]}")
        self._condition(
            obj,
            "ApplyResources",
            "True",
            "ApplyResourcesSucceed",
            "Successfully applied for resources",
            phase="Creating",
            observedGeneration=max(generation - 1, 1),
            components={name: copy.deepcopy(_TO_BE_CREATED) for name in names},
        )
        self._later(0.03, key, self._create_components)

    def _stages(self, obj: Json) -> list[list[str]]:
        """Components in the order of the topology; one stage when there is none."""
        names = [component["name"] for component in obj["spec"]["componentSpecs"]]
        definition = self.api.find("ClusterDefinition", obj["spec"].get("clusterDef") or "-")
        for topology in ((definition or {}).get("spec") or {}).get("topologies") or []:
            if topology["name"] == obj["spec"].get("topology"):
                order = (topology.get("orders") or {}).get("provision") or []
                staged = [[name for name in stage.split(",") if name in names] for stage in order]
                rest = [name for name in names if not any(name in stage for stage in staged)]
                return [stage for stage in (*staged, rest) if stage]
        return [names]

    def _create_components(self, obj: Json) -> None:
        """Components of the first stage that is not done yet."""
        status = obj.get("status") or {}
        states = status.get("components") or {}
        for stage in self._stages(obj):
            fresh = [name for name in stage if "message" in states.get(name, _TO_BE_CREATED) and "phase" not in states.get(name, {})]
            if fresh:

                def alter(current: Json, fresh: list[str] = fresh) -> None:
                    current["status"]["observedGeneration"] = current["metadata"]["generation"]
                    for name in fresh:
                        current["status"]["components"][name] = {"observedGeneration": current["metadata"]["generation"]}

                self._write_status(obj, alter)
                for name in fresh:
                    self._build(obj, next(item for item in obj["spec"]["componentSpecs"] if item["name"] == name))
            if any(states.get(name, {}).get("phase") != "Running" for name in stage):
                return

    def _labels(self, obj: Json, component: Json) -> Json:
        return {
            "app.kubernetes.io/instance": obj["metadata"]["name"],
            "app.kubernetes.io/managed-by": "kubeblocks",
            "apps.kubeblocks.io/component-name": component["name"],
        }

    def _put_new(self, manifest: Json) -> Json:
        """Create, or leave what is there."""
        meta = manifest["metadata"]
        found = self.api.find(manifest["kind"], meta["name"], meta.get("namespace", ""), manifest["apiVersion"])
        return found if found is not None else self.api.put(manifest, manager=MANAGER)

    def _build(self, obj: Json, component: Json) -> None:
        key = (obj["metadata"]["namespace"], obj["metadata"]["name"])
        cluster, namespace = key[1], key[0]
        definition, version = self.definitions.resolve(component["componentDef"], component["serviceVersion"])
        full, labels = f"{cluster}-{component['name']}", self._labels(obj, component)
        made = self._put_new(
            {
                "apiVersion": _API,
                "kind": "Component",
                "metadata": {
                    "name": full,
                    "namespace": namespace,
                    "finalizers": [COMPONENT_FINALIZER],
                    "ownerReferences": [owner_reference(obj)],
                    "labels": {"app.kubernetes.io/component": definition.name, **labels, "componentdefinition.kubeblocks.io/name": definition.name},
                    "annotations": {"kubeblocks.io/crd-api-version": _API, "apps.kubeblocks.io/cluster-uid": obj["metadata"]["uid"]},
                },
                "spec": {
                    "compDef": definition.name,
                    "serviceVersion": version,
                    "replicas": component.get("replicas", 1),
                    "resources": component.get("resources") or {},
                    "terminationPolicy": obj["spec"]["terminationPolicy"],
                },
            }
        )
        if not self._accounts(obj, component, definition, made):
            return
        self._services(obj, component, definition, made)
        self._put_new(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": f"{full}-env", "namespace": namespace, "labels": labels, "ownerReferences": [owner_reference(made)]},
            }
        )
        account = f"kb-{definition.name}"
        self._put_new({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account, "namespace": namespace}})
        self._put_new(
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": {"name": f"{account}-pod", "namespace": namespace},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "kubeblocks-cluster-pod-role"},
                "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
            }
        )
        self._later(0.08, key, lambda current: self._instance_set(current, component["name"], definition))

    def _accounts(self, obj: Json, component: Json, definition: Definition, owner: Json) -> bool:
        """Account Secrets; False when something named does not exist (then only Component events tell)."""
        namespace, full = obj["metadata"]["namespace"], f"{obj['metadata']['name']}-{component['name']}"
        asked = {item["name"]: item for item in component.get("systemAccounts") or []}
        for name in asked:
            if name not in definition.accounts:
                self._say_once(owner, f"system account {name} not defined in component definition")
                return False
        for account, user in definition.accounts.items():
            wanted = asked.get(account) or {}
            if wanted.get("disabled"):
                continue
            secret = f"{full}-account-{account.replace('_', '-')}"
            ref = wanted.get("secretRef")
            if ref:
                source = self.api.find("Secret", ref["name"], ref.get("namespace") or namespace)
                encoded = ((source or {}).get("data") or {}).get(ref.get("password") or "password")
                if encoded is None:
                    self._say_once(owner, f'secrets "{ref["name"]}" not found')
                    return False
            else:
                length = int((wanted.get("passwordConfig") or {}).get("length") or definition.password_length)
                plain = self._passwords.get(secret) or "".join(random.choices(string.ascii_letters + string.digits, k=length))
                encoded = base64.b64encode(plain.encode()).decode()
            self._put_new(
                {
                    "apiVersion": "v1",
                    "kind": "Secret",
                    "type": "Opaque",
                    "metadata": {
                        "name": secret,
                        "namespace": namespace,
                        "finalizers": [COMPONENT_FINALIZER],
                        "ownerReferences": [owner_reference(owner)],
                        "labels": {**self._labels(obj, component), "apps.kubeblocks.io/system-account": account},
                    },
                    "data": {"username": base64.b64encode(user.encode()).decode(), "password": encoded},
                }
            )
        return True

    def _say_once(self, about: Json, message: str) -> None:
        events = self.api.objects("Event", about["metadata"]["namespace"])
        if not any(event["message"] == message and event["involvedObject"].get("uid") == about["metadata"]["uid"] for event in events):
            self.api.event(about, "Warning", message, component="component-controller")

    def _services(self, obj: Json, component: Json, definition: Definition, owner: Json) -> None:
        full, labels = f"{obj['metadata']['name']}-{component['name']}", self._labels(obj, component)
        for suffix, ports, role, headless in definition.services:
            selector = {**labels, "apps.kubeblocks.io/release-phase": "stable", **({"kubeblocks.io/role": role} if role else {})}
            self._put_new(
                {
                    "apiVersion": "v1",
                    "kind": "Service",
                    "metadata": {
                        "name": f"{full}-{suffix}" if suffix else full,
                        "namespace": obj["metadata"]["namespace"],
                        "labels": labels,
                        "finalizers": [COMPONENT_FINALIZER],
                        "ownerReferences": [owner_reference(owner)],
                    },
                    "spec": {
                        "selector": selector,
                        "ports": [{"name": name, "port": port, "targetPort": name} for name, port in ports],
                        **({"clusterIP": "None"} if headless else {}),
                    },
                }
            )

    # instances ------------------------------------------------------------------------------

    def _template(self, obj: Json, component: Json, definition: Definition) -> Json:
        containers = copy.deepcopy(list(definition.containers)) or [{"name": component["name"], "image": "docker.io/local/none:0"}]
        for index, container in enumerate(containers):
            container["resources"] = (
                copy.deepcopy(component.get("resources") or {})
                if index == 0
                else {"limits": {"cpu": "0", "memory": "0"}, "requests": {"cpu": "0", "memory": "0"}}
            )
            for mount in [item for item in container.get("volumeMounts") or [] if not self._volume_known(component, item["name"])]:
                container["volumeMounts"].remove(mount)
        return {
            "metadata": {
                "labels": {
                    "app.kubernetes.io/component": definition.name,
                    **self._labels(obj, component),
                    "apps.kubeblocks.io/release-phase": "stable",
                    "apps.kubeblocks.io/service-version": component["serviceVersion"],
                }
            },
            "spec": {"serviceAccountName": f"kb-{definition.name}", "containers": containers},
        }

    @staticmethod
    def _volume_known(component: Json, name: str) -> bool:
        return any(claim["name"] == name for claim in component.get("volumeClaimTemplates") or [])

    def _instance_set(self, obj: Json, name: str, definition: Definition) -> None:
        namespace, cluster = obj["metadata"]["namespace"], obj["metadata"]["name"]
        component = next((item for item in obj["spec"]["componentSpecs"] if item["name"] == name), None)
        owner = self.api.find("Component", f"{cluster}-{name}", namespace)
        if component is None or owner is None:
            return
        full, labels = f"{cluster}-{name}", self._labels(obj, component)
        made = self._put_new(
            {
                "apiVersion": "workloads.kubeblocks.io/v1",
                "kind": "InstanceSet",
                "metadata": {
                    "name": full,
                    "namespace": namespace,
                    "labels": labels,
                    "ownerReferences": [owner_reference(owner)],
                    "finalizers": [COMPONENT_FINALIZER, "instanceset.workloads.kubeblocks.io/finalizer"],
                    "annotations": {"kubeblocks.io/crd-api-version": "workloads.kubeblocks.io/v1"},
                },
                "spec": {
                    "replicas": component.get("replicas", 1),
                    "selector": {"matchLabels": labels},
                    "roles": [{"name": role} for role in definition.roles],
                    "template": self._template(obj, component, definition),
                },
            }
        )
        ports = [
            (item.get("name") or str(item["containerPort"]), item["containerPort"])
            for container in definition.containers
            for item in container.get("ports") or []
        ]
        if ports:
            self._put_new(
                {
                    "apiVersion": "v1",
                    "kind": "Service",
                    "metadata": {
                        "name": f"{full}-headless",
                        "namespace": namespace,
                        "ownerReferences": [owner_reference(made)],
                        "labels": {
                            "app.kubernetes.io/managed-by": "kubeblocks",
                            "workloads.kubeblocks.io/instance": full,
                            "workloads.kubeblocks.io/managed-by": "InstanceSet",
                        },
                    },
                    "spec": {
                        "clusterIP": "None",
                        "publishNotReadyAddresses": True,
                        "selector": {**labels, "apps.kubeblocks.io/release-phase": "stable"},
                        "ports": [{"name": label, "port": port, "targetPort": port} for label, port in ports],
                    },
                }
            )

        def alter(current: Json) -> None:
            states = current["status"].setdefault("components", {})
            states[name] = {"phase": "Creating", "upToDate": True, "observedGeneration": current["metadata"]["generation"]}

        if "phase" not in ((obj.get("status") or {}).get("components") or {}).get(name, {}):
            self._write_status(obj, alter)
        self._members(obj, component, made)

    def _members(self, obj: Json, component: Json, owner: Json) -> None:
        """The pods that should be, and their claims."""
        namespace, full = obj["metadata"]["namespace"], owner["metadata"]["name"]
        wanted = 0 if component.get("stop") else component.get("replicas", 1)
        why = self._refused.get(obj["metadata"]["name"])
        for number in range(wanted):
            name = f"{full}-{number}"
            if self.api.find("Pod", name, namespace) is not None:
                continue
            if why:
                text = f'pods "{name}" is forbidden: {why}'
                events = self.api.objects("Event", namespace)
                if not any(event["message"] == text for event in events):
                    self.api.event(owner, "FailedReconcile", text, component="instance-set-controller")
                return
            self._member(component, owner, name)
        for pod in self._pods(obj, component["name"]):
            if int(pod["metadata"]["name"].rpartition("-")[2]) >= wanted:
                self.api.remove("Pod", pod["metadata"]["name"], namespace)

    def _member(self, component: Json, owner: Json, name: str) -> None:
        namespace, template = owner["metadata"]["namespace"], owner["spec"]["template"]
        labels = {
            "apps.kubeblocks.io/pod-name": name,
            "workloads.kubeblocks.io/instance": owner["metadata"]["name"],
            "workloads.kubeblocks.io/managed-by": "InstanceSet",
            "controller-revision-hash": "59b887c76c",
        }
        pod = pod_from(template, name, namespace, owner, labels)
        pod["spec"].update(hostname=name, subdomain=f"{owner['metadata']['name']}-headless")
        for claim in component.get("volumeClaimTemplates") or []:
            claimed = f"{claim['name']}-{name}"
            self._put_new(
                {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "metadata": {
                        "name": claimed,
                        "namespace": namespace,
                        "ownerReferences": [owner_reference(owner)],
                        "labels": {**pod["metadata"]["labels"], "apps.kubeblocks.io/vct-name": claim["name"]},
                    },
                    "spec": copy.deepcopy(claim["spec"]),
                }
            )
            volumes = [volume for volume in pod["spec"].get("volumes") or [] if volume["name"] != claim["name"]]
            pod["spec"]["volumes"] = [*volumes, {"name": claim["name"], "persistentVolumeClaim": {"claimName": claimed}}]
        self.api.put(pod, manager=MANAGER)

    def _pods(self, obj: Json, component: str) -> list[Json]:
        full = f"{obj['metadata']['name']}-{component}"
        return [
            pod
            for pod in self.api.objects("Pod", obj["metadata"]["namespace"])
            if pod["metadata"].get("labels", {}).get("workloads.kubeblocks.io/instance") == full and not pod["metadata"].get("deletionTimestamp")
        ]

    def _pod_changed(self, change: Change) -> None:
        labels = change.obj["metadata"].get("labels") or {}
        cluster = labels.get("app.kubernetes.io/instance")
        if not self.answering or not cluster or "workloads.kubeblocks.io/instance" not in labels:
            return
        obj = self.api.find("Cluster", cluster, change.namespace)
        if obj is None:
            return
        definition = self.definitions.all().get(labels.get("app.kubernetes.io/component", ""))
        pod = self.api.find("Pod", change.name, change.namespace)
        probed = pod is not None and is_ready(pod) and definition is not None and definition.roles
        if pod and probed and definition and "kubeblocks.io/role" not in labels and f"{cluster}#norole" not in self.kubelet.troubles:
            role = definition.roles[0 if change.name.endswith("-0") else min(1, len(definition.roles) - 1)]
            with self._going():
                self.api.edit("Pod", change.name, change.namespace, manager=MANAGER, metadata={"labels": {"kubeblocks.io/role": role}})
            return
        self._refresh(change.namespace, cluster)

    def _refresh(self, namespace: str, cluster: str) -> None:
        """Phases from the pods as they are."""
        key = (namespace, cluster)
        obj = self.api.find("Cluster", cluster, namespace)
        if obj is None or key in self._replayed or obj["metadata"].get("deletionTimestamp") or key in self._busy:
            return
        states = copy.deepcopy((obj.get("status") or {}).get("components") or {})
        changed = False
        for component in obj["spec"]["componentSpecs"]:
            state = states.get(component["name"])
            if not state or "phase" not in state or not state.get("upToDate"):
                continue
            owner = self.api.find("InstanceSet", f"{cluster}-{component['name']}", namespace)
            if owner is not None:
                with self._going():
                    self._members(obj, component, owner)
            phase, message = self._component_phase(obj, component, state["phase"])
            if (phase, message) != (state["phase"], state.get("message")):
                changed = True
                state["phase"] = phase
                state.pop("message", None)
                if message:
                    state["message"] = message
                self._set_health(owner, message)
        if changed:
            with self._going():
                self._conclude(obj, states)

    def _component_phase(self, obj: Json, component: Json, before: str) -> tuple[str, Json | None]:
        pods = self._pods(obj, component["name"])
        if component.get("stop"):
            return ("Stopped" if not pods else "Stopping"), None
        wanted = component.get("replicas", 1)
        definition = self.definitions.all().get(component["componentDef"])
        ready = [pod for pod in pods if is_ready(pod) and (not (definition and definition.roles) or "kubeblocks.io/role" in pod["metadata"]["labels"])]
        if len(ready) == wanted == len(pods):
            return "Running", None
        reasons = _LATER["image"] + _LATER["crash"]
        bad = [
            pod["metadata"]["name"]
            for pod in pods
            for state in (pod.get("status") or {}).get("containerStatuses") or []
            if ((state.get("state") or {}).get("waiting") or {}).get("reason") in reasons
        ]
        if bad:
            return "Failed", {f"InstanceSet/{obj['metadata']['name']}-{component['name']}": json.dumps(bad)}
        if before in ("Creating", "Failed", "Starting", "Stopping", "Stopped"):
            return ("Starting" if before in ("Stopped", "Stopping", "Starting") else "Creating" if before == "Creating" else "Updating"), None
        return "Updating", None

    def _set_health(self, owner: Json | None, message: Json | None) -> None:
        if owner is None:
            return
        conditions: list[Json] = []
        if message:
            names = next(iter(message.values()))
            conditions = [
                {"type": "InstanceReady", "status": "False", "reason": "NotReady", "message": names, "lastTransitionTime": now()},
                {"type": "InstanceFailure", "status": "True", "reason": "InstanceFailure", "message": names, "lastTransitionTime": now()},
            ]
        with self._going():
            self.api.edit(
                "InstanceSet",
                owner["metadata"]["name"],
                owner["metadata"]["namespace"],
                manager=MANAGER,
                status={"conditions": conditions, "observedGeneration": owner["metadata"]["generation"], "replicas": owner["spec"]["replicas"]},
            )

    def _conclude(self, obj: Json, states: Json) -> None:
        """The Cluster's own phase and its condition Ready."""
        phases = [state.get("phase", "Creating") for state in states.values()]
        before = (obj.get("status") or {}).get("phase", "")
        name, generation = obj["metadata"]["name"], obj["metadata"]["generation"]
        if all(phase == "Running" for phase in phases):
            phase = "Running"
        elif all(phase == "Stopped" for phase in phases):
            phase = "Stopped"
        elif all(phase in ("Stopping", "Stopped") for phase in phases):
            phase = "Stopping"
        elif all(phase == "Failed" for phase in phases):
            phase = "Failed"
        elif "Failed" in phases:
            phase = "Abnormal"
        else:
            phase = "Creating" if before == "Creating" else "Updating"
        for state in states.values():
            if "phase" in state:
                state["observedGeneration"] = generation
        if phase == "Running":
            self._condition(obj, "Ready", "True", "ClusterReady", f"cluster {name} is ready", phase=phase, components=states)
        elif phase in ("Failed", "Abnormal"):
            bad = ",".join(sorted(component for component, state in states.items() if state.get("phase") == "Failed"))
            self._condition(
                obj, "Ready", "False", "ComponentsNotReady", f"cluster {name} is NOT ready, unavailable components: {bad}", phase=phase, components=states
            )
        else:
            self._write_status(obj, lambda current: current["status"].update(phase=phase, components=states))
        for component, state in states.items():
            with self._going():
                if state.get("phase"):
                    self.api.edit(
                        "Component",
                        f"{name}-{component}",
                        obj["metadata"]["namespace"],
                        manager=MANAGER,
                        status={"phase": state["phase"], "observedGeneration": 1, "message": state.get("message")},
                    )
        fresh = self.api.find("Cluster", name, obj["metadata"]["namespace"])
        if fresh is not None:
            self._create_components(fresh)

    # changes --------------------------------------------------------------------------------

    def _roll(self, key: tuple[str, str], obj: Json) -> None:
        """A changed spec: the observed sequence with its window in which everything looks done already."""
        generation = obj["metadata"]["generation"]

        def forget(current: Json) -> None:
            for state in current["status"].setdefault("components", {}).values():
                state.pop("upToDate", None)

        def observe(current: Json) -> None:
            current["status"]["observedGeneration"] = generation
            for item in current["spec"]["componentSpecs"]:
                state = current["status"].setdefault("components", {}).setdefault(item["name"], {})
                state["observedGeneration"] = generation

        self._condition(obj, "ProvisioningStarted", "True", "PreCheckSucceed", f"The operator has started the provisioning of Cluster: {key[1]}")
        self._write_status(obj, forget)
        self._later(0.03, key, lambda current: self._write_status(current, observe))
        self._later(0.1, key, lambda current: self._update_members(key, current))

    def _update_members(self, key: tuple[str, str], obj: Json) -> None:
        restarted: set[str] = set()
        for component in obj["spec"]["componentSpecs"]:
            full = f"{key[1]}-{component['name']}"
            owner = self.api.find("InstanceSet", full, key[0])
            definition, _version = self.definitions.resolve(component["componentDef"], component["serviceVersion"])
            if owner is None:
                self._build(obj, component)
                continue
            template = self._template(obj, component, definition)
            if component.get("annotations"):
                template["metadata"]["annotations"] = dict(component["annotations"])
            for item in component.get("env") or []:
                template["spec"]["containers"][0].setdefault("env", []).append(item)
            resized = owner["spec"]["replicas"] != component.get("replicas", 1) or bool(component.get("stop")) != (not self._pods(obj, component["name"]))
            if owner["spec"]["template"] != template or resized:
                restarted.add(component["name"])

                def alter(current: Json, template: Json = template, component: Json = component) -> None:
                    current["spec"].update(template=template, replicas=component.get("replicas", 1))

                same = owner["spec"]["template"] == template
                self.api.change("InstanceSet", full, key[0], alter, manager=MANAGER)
                if not same:
                    for pod in self._pods(obj, component["name"]):
                        self.api.remove("Pod", pod["metadata"]["name"], key[0])

        def alter_status(current: Json) -> None:
            states = current["status"]["components"]
            for component in current["spec"]["componentSpecs"]:
                state = states.setdefault(component["name"], {})
                if component["name"] in restarted:
                    stopped = state.get("phase") in ("Stopped", "Stopping")
                    state["phase"] = "Stopping" if component.get("stop") else "Starting" if stopped else "Updating"
                elif "phase" in state:
                    state["upToDate"] = True
            for name in [name for name in states if name not in {item["name"] for item in current["spec"]["componentSpecs"]}]:
                del states[name]
            if restarted:
                phases = {states[name]["phase"] for name in restarted}
                current["status"]["phase"] = "Stopping" if phases == {"Stopping"} else "Updating"

        self._write_status(obj, alter_status)

        def up_to_date(current: Json) -> None:
            for name in restarted:
                current["status"]["components"][name]["upToDate"] = True

        def finish(current: Json) -> None:
            if restarted:
                self._write_status(current, up_to_date)
            self._refresh(*key)

        self._later(0.1, key, finish)

    def _secret_changed(self, change: Change) -> None:
        """A source Secret appears: what waited for it goes on; its password is copied again when it changes."""
        if not self.answering:
            return
        for obj in self.api.objects("Cluster"):
            for component in obj["spec"].get("componentSpecs") or []:
                for account in component.get("systemAccounts") or []:
                    ref = account.get("secretRef") or {}
                    if (ref.get("name"), ref.get("namespace") or obj["metadata"]["namespace"]) == (change.name, change.namespace):
                        self._later(
                            0.2,
                            (obj["metadata"]["namespace"], obj["metadata"]["name"]),
                            lambda current, component=component: self._source_changed(current, component),
                        )  # type: ignore[misc]

    def _source_changed(self, obj: Json, component: Json) -> None:
        namespace, full = obj["metadata"]["namespace"], f"{obj['metadata']['name']}-{component['name']}"
        if self.api.find("Component", full, namespace) is None:
            return
        if self.api.find("InstanceSet", full, namespace) is None:
            self._build(obj, component)
            return
        for account in component.get("systemAccounts") or []:
            ref = account.get("secretRef") or {}
            source = self.api.find("Secret", ref.get("name", ""), ref.get("namespace") or namespace)
            encoded = ((source or {}).get("data") or {}).get(ref.get("password") or "password")
            target = f"{full}-account-{account['name'].replace('_', '-')}"
            if encoded and self.api.find("Secret", target, namespace):
                self.api.edit("Secret", target, namespace, manager=MANAGER, data={"password": encoded})

    # deletion -------------------------------------------------------------------------------

    def _delete(self, obj: Json) -> None:
        meta = obj["metadata"]
        key = (meta["namespace"], meta["name"])
        if obj["spec"].get("terminationPolicy") == "DoNotTerminate" or FINALIZER not in (meta.get("finalizers") or []):
            return
        if (obj.get("status") or {}).get("phase") != "Deleting":
            self._write_status(obj, lambda current: current.setdefault("status", {}).update(phase="Deleting"))
            self.api.later(self.delay * 0.3, lambda: self._sweep(key))

    def _sweep(self, key: tuple[str, str]) -> None:
        """Pods, claims, InstanceSet, Secrets, Services, Component, Cluster; what is shared stays."""
        namespace, cluster = key
        selector = {"app.kubernetes.io/instance": cluster, "app.kubernetes.io/managed-by": "kubeblocks"}

        def ours(kind: str) -> list[Json]:
            return [item for item in self.api.objects(kind, namespace) if selector.items() <= (item["metadata"].get("labels") or {}).items()]

        for kind in ("ConfigMap", "Pod", "PersistentVolumeClaim", "InstanceSet", "Secret", "Service", "Component"):
            for item in ours(kind):
                with self._going():
                    self.api.remove(kind, item["metadata"]["name"], namespace)
                for finalizer in item["metadata"].get("finalizers") or []:
                    if "kubeblocks.io" in finalizer:
                        with self._going():
                            self.api.release(kind, item["metadata"]["name"], namespace, finalizer)
        if ours("Pod") or ours("PersistentVolumeClaim"):
            self.api.later(max(self.delay * 0.1, 0.01), lambda: self._sweep(key))
            return
        self._rolled.pop(key, None)
        self.api.release("Cluster", cluster, namespace, FINALIZER)

    # OpsRequests ----------------------------------------------------------------------------

    def _ops_changed(self, change: Change) -> None:
        if self.answering:
            self._ops(change.namespace, change.name)

    def _ops_status(self, namespace: str, name: str, **status: Any) -> None:
        with self._going():
            self.api.edit("OpsRequest", name, namespace, manager=MANAGER, status=status)

    def _ops(self, namespace: str, name: str) -> None:
        ops = self.api.find("OpsRequest", name, namespace)
        if ops is None:
            return
        spec = ops["spec"]
        cluster = self.api.find("Cluster", spec.get("clusterName", ""), namespace)
        kind = spec["type"]
        section = spec.get(
            {
                "Restart": "restart",
                "VerticalScaling": "verticalScaling",
                "HorizontalScaling": "horizontalScaling",
                "VolumeExpansion": "volumeExpansion",
                "Start": "start",
                "Stop": "stop",
            }.get(kind, ""),
            [],
        )
        names = [item["componentName"] for item in section or []] if isinstance(section, list) else []

        def failed(reason: str, message: str) -> None:
            self._ops_status(
                namespace,
                name,
                phase="Failed",
                progress="-/-",
                completionTimestamp=now(),
                conditions=[{"type": "Validated", "status": "False", "reason": reason, "message": message, "lastTransitionTime": now()}],
            )

        if cluster is None:
            failed("ClusterNotFound", f'spec.clusterName: "{spec.get("clusterName")}" not found')
            return
        known = {component["name"] for component in cluster["spec"]["componentSpecs"]}
        if set(names) - known:
            failed("ValidateFailed", f"components: {sorted(set(names) - known)} not found, in cluster.spec.componentSpecs")
            return
        if kind == "VolumeExpansion":
            failed("ValidateFailed", 'storageClass: [standard] of volumeClaimTemplate: "data"] not support volume expansion in component')
            return
        self._ops_status(namespace, name, phase="Pending", startTimestamp=now(), clusterGeneration=cluster["metadata"]["generation"])
        self.api.later(self.delay * 0.05, lambda: self._ops_status(namespace, name, phase="Creating"))
        self.api.later(self.delay * 0.1, lambda: self._ops_apply(namespace, name, spec, kind, section if isinstance(section, list) else []))

    def _ops_apply(self, namespace: str, name: str, spec: Json, kind: str, section: list[Json]) -> None:
        def alter(current: Json) -> None:
            asked = {item["componentName"]: item for item in section}
            for component in current["spec"]["componentSpecs"]:
                item = asked.get(component["name"])
                if kind == "Restart" and item is not None:
                    component.setdefault("annotations", {})["kubeblocks.io/restart"] = f"{now()}#{name}"
                elif kind == "VerticalScaling" and item is not None:
                    component["resources"] = {key: item[key] for key in ("limits", "requests") if key in item}
                elif kind == "HorizontalScaling" and item is not None:
                    more = int((item.get("scaleOut") or {}).get("replicaChanges") or 0) - int((item.get("scaleIn") or {}).get("replicaChanges") or 0)
                    component["replicas"] = component.get("replicas", 1) + more
                elif kind == "Stop":
                    component["stop"] = True
                elif kind == "Start":
                    component.pop("stop", None)

        with self._going():
            self._ops_status(namespace, name, phase="Running")
            self.api.change("Cluster", spec["clusterName"], namespace, alter, manager=MANAGER)
            self.api.later(self.delay * 0.3, lambda: self._ops_watch(namespace, name, spec["clusterName"], "Stopped" if kind == "Stop" else "Running"))

    def _ops_watch(self, namespace: str, name: str, cluster: str, phase: str) -> None:
        obj = self.api.find("Cluster", cluster, namespace)
        if obj is None or self.api.find("OpsRequest", name, namespace) is None:
            return
        status = obj.get("status") or {}
        settled = status.get("observedGeneration") == obj["metadata"]["generation"] and all(
            state.get("upToDate") for state in (status.get("components") or {}).values()
        )
        if settled and status.get("phase") == phase:
            self._ops_status(
                namespace,
                name,
                phase="Succeed",
                progress="1/1",
                completionTimestamp=now(),
                conditions=[
                    {
                        "type": "Succeed",
                        "status": "True",
                        "reason": "OpsRequestProcessedSuccessfully",
                        "lastTransitionTime": now(),
                        "message": f"Successfully processed the OpsRequest: {name} in Cluster: {cluster}",
                    }
                ],
            )
        elif settled and status.get("phase") == "Failed":
            self._ops_status(namespace, name, phase="Failed", completionTimestamp=now())
        else:
            self.api.later(max(self.delay * 0.1, 0.01), lambda: self._ops_watch(namespace, name, cluster, phase))


class _Tolerant:
    """Not found and conflict are part of a controller's life."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        return isinstance(error, ApiError) and error.code in (403, 404, 409)
