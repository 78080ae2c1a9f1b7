# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The refusals that manifests meet most often."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any

from . import quantities
from .defaults import containers, pod_spec
from .errors import ApiError, bad_request, invalid
from .resources import ResourceType
from .selectors import matches

Json = dict[str, Any]
Problem = tuple[str, str, str]

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SERVICE = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_ENV_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
_KEY = re.compile(r"[-._a-zA-Z0-9]+")

_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric "
    "character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_SERVICE_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an "
    "alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_KEY_TEXT = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', "
    "regex used for validation is '[-._a-zA-Z0-9]+')"
)


#: (path in the object, Go struct and field, the value) of something that is no text but should be
Misfit = tuple[str, str, Any]


def _go_type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    return "array" if isinstance(value, list) else "object"


def _go_value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _undecodable(rtype: ResourceType, why: str) -> ApiError:
    return bad_request(f'{rtype.kind} in version "{rtype.version}" cannot be handled as a {rtype.kind}: {why}')


def _misfits_of_map(holder: Json, name: str, path: str, struct: str) -> list[Misfit]:
    values = holder.get(name)
    if values is None:
        return []
    if not isinstance(values, dict):
        return [(f"{path}.{name}", f"{struct}.{name}", values)]
    return [(f"{path}.{name}.{key}", f"{struct}.{name}", value) for key, value in values.items() if value is not None and not isinstance(value, str)]


def _misfits(rtype: ResourceType, obj: Json) -> list[Misfit]:
    meta = obj.get("metadata") or {}
    found = [*_misfits_of_map(meta, "labels", ".metadata", "ObjectMeta.metadata"), *_misfits_of_map(meta, "annotations", ".metadata", "ObjectMeta.metadata")]
    if rtype.key == ("", "configmaps"):
        found += _misfits_of_map(obj, "data", "", "ConfigMap")
    if rtype.key == ("", "secrets"):
        found += [*_misfits_of_map(obj, "stringData", "", "Secret"), *_misfits_of_map(obj, "data", "", "Secret")]
    spec = pod_spec(obj)
    if spec is None:
        return found
    at = {"Pod": "spec", "CronJob": "spec.jobTemplate.spec.template.spec"}.get(rtype.kind, "spec.template.spec")
    for group in ("initContainers", "containers"):
        for container in spec.get(group) or []:
            found.extend(
                (f'.{at}.{group}[name="{container.get("name")}"].env[name="{item.get("name")}"].value', f"EnvVar.{at}.{group}.env.value", item["value"])
                for item in container.get("env") or []
                if item.get("value") is not None and not isinstance(item["value"], str)
            )
    return found


def check_types(rtype: ResourceType, obj: Json, *, applying: bool = False) -> None:
    """What the decoder refuses: numbers and booleans where text belongs (400; from server-side apply 500), bad base64, bad quantities."""
    for path, struct, value in _misfits(rtype, obj):
        if applying:
            meta = obj.get("metadata") or {}
            raise ApiError(
                500,
                f"failed to create typed patch object ({meta.get('namespace', '')}/{meta.get('name', '')}; {rtype.group}/{rtype.version}, "
                f"Kind={rtype.kind}): {path}: expected string, got &value.valueUnstructured{{Value:{_go_value(value)}}}",
                "",
            )
        raise _undecodable(rtype, f"json: cannot unmarshal {_go_type(value)} into Go struct field {struct} of type string")
    if rtype.key == ("", "secrets"):
        for value in (obj.get("data") or {}).values():
            try:
                base64.b64decode(value or "", validate=True)
            except (binascii.Error, ValueError) as error:
                raise _undecodable(rtype, "illegal base64 data at input byte 0") from error
    for container in containers(pod_spec(obj) or {}):
        for port in container.get("ports") or []:
            if not isinstance(port.get("containerPort"), int):
                raise _undecodable(rtype, "json: cannot unmarshal string into Go struct field ContainerPort.containerPort of type int32")
        for amounts in (container.get("resources") or {}).values():
            for amount in amounts.values() if isinstance(amounts, dict) else ():
                try:
                    quantities.parse(amount)
                except ValueError as error:
                    raise _undecodable(rtype, str(error)) from error


def _names(rtype: ResourceType, obj: Json) -> list[Problem]:
    name = obj.get("metadata", {}).get("name") or ""
    if not name:
        return [("metadata.name", "Required value: name or generateName is required", "FieldValueRequired")]
    if rtype.group == "rbac.authorization.k8s.io":
        return []
    shape, text, longest = _SUBDOMAIN, _SUBDOMAIN_TEXT, 253
    if rtype.key == ("", "namespaces"):
        shape, text, longest = _LABEL, _LABEL_TEXT, 63
    elif rtype.key == ("", "services"):
        shape, text, longest = _SERVICE, _SERVICE_TEXT, 63
    problems: list[Problem] = []
    if not shape.fullmatch(name):
        problems.append(("metadata.name", f'Invalid value: "{name}": {text}', "FieldValueInvalid"))
    if len(name) > longest:
        problems.append(("metadata.name", f'Invalid value: "{name}": must be no more than {longest} characters', "FieldValueInvalid"))
    return problems


def _labels(obj: Json) -> list[Problem]:
    problems: list[Problem] = []
    for value in (obj.get("metadata", {}).get("labels") or {}).values():
        if not _LABEL_VALUE.fullmatch(value):
            problems.append(("metadata.labels", f'Invalid value: "{value}": {_VALUE_TEXT}', "FieldValueInvalid"))
        elif len(value) > 63:
            problems.append(("metadata.labels", f'Invalid value: "{value}": must be no more than 63 characters', "FieldValueInvalid"))
    return problems


def _pod_problems(spec: Json, at: str) -> list[Problem]:
    problems: list[Problem] = []
    if not spec.get("containers"):
        problems.append((f"{at}.containers", "Required value", "FieldValueRequired"))
    volumes = {volume.get("name") for volume in spec.get("volumes") or []}
    for group in ("initContainers", "containers"):
        seen: set[str] = set()
        for index, container in enumerate(spec.get(group) or []):
            here = f"{at}.{group}[{index}]"
            name = container.get("name")
            if not name:
                problems.append((f"{here}.name", "Required value", "FieldValueRequired"))
            elif name in seen:
                problems.append((f"{here}.name", f'Duplicate value: "{name}"', "FieldValueDuplicate"))
            seen.add(name)
            if not container.get("image"):
                problems.append((f"{here}.image", "Required value", "FieldValueRequired"))
            for number, mount in enumerate(container.get("volumeMounts") or []):
                if mount.get("name") not in volumes:
                    problems.append((f"{here}.volumeMounts[{number}].name", f'Not found: "{mount.get("name")}"', "FieldValueNotFound"))
            for number, item in enumerate(container.get("env") or []):
                if not _ENV_NAME.fullmatch(str(item.get("name", ""))):
                    problems.append(
                        (
                            f"{here}.env[{number}].name",
                            f'Invalid value: "{item.get("name", "")}": a valid environment variable name must consist '
                            "only of printable ASCII characters other than '='",
                            "FieldValueInvalid",
                        )
                    )
                if item.get("value") and item.get("valueFrom"):
                    problems.append(
                        (f"{here}.env[{number}].valueFrom", 'Invalid value: "": may not be specified when `value` is not empty', "FieldValueInvalid")
                    )
            resources = container.get("resources") or {}
            for key, amount in (resources.get("requests") or {}).items():
                limit = (resources.get("limits") or {}).get(key)
                if limit is not None and quantities.parse(amount) > quantities.parse(limit):
                    problems.append(
                        (f"{here}.resources.requests", f'Invalid value: "{amount}": must be less than or equal to {key} limit of {limit}', "FieldValueInvalid")
                    )
    return problems


def _go_map(values: Json) -> str:
    return json.dumps(values, separators=(",", ":"), sort_keys=True)


def _workload(obj: Json) -> list[Problem]:
    problems: list[Problem] = []
    spec = obj.get("spec") or {}
    if obj["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"):
        labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
        if not spec.get("selector"):
            problems.append(("spec.selector", "Required value", "FieldValueRequired"))
        elif not matches(spec["selector"], labels):
            problems.append(
                ("spec.template.metadata.labels", f"Invalid value: {_go_map(labels)}: `selector` does not match template `labels`", "FieldValueInvalid")
            )
        strategy = spec.get("strategy") or {}
        if strategy.get("type") == "Recreate" and "rollingUpdate" in strategy:
            problems.append(("spec.strategy.rollingUpdate", "Forbidden: may not be specified when strategy `type` is 'Recreate'", "FieldValueForbidden"))
    inner = pod_spec(obj)
    if inner is not None:
        at = {"Pod": "spec", "CronJob": "spec.jobTemplate.spec.template.spec"}.get(obj["kind"], "spec.template.spec")
        problems.extend(_pod_problems(inner, at))
        if obj["kind"] in ("Job", "CronJob") and inner.get("restartPolicy") == "Always":
            problems.append((f"{at}.restartPolicy", 'Required value: valid values: "OnFailure", "Never"', "FieldValueRequired"))
    return problems


def _kubeblocks_cluster(obj: Json, old: Json | None) -> list[Problem]:
    spec = obj.get("spec") or {}
    problems: list[Problem] = []
    policies = ("DoNotTerminate", "Delete", "WipeOut")
    policy = spec.get("terminationPolicy")
    if policy is None:
        problems.append(("spec.terminationPolicy", "Required value", "FieldValueRequired"))
    elif policy not in policies:
        listed = ", ".join(f'"{known}"' for known in policies)
        problems.append(("spec.terminationPolicy", f'Unsupported value: "{policy}": supported values: {listed}', "FieldValueNotSupported"))
    if problems:  # the schema failed, so the server leaves its CEL rules alone
        problems.append(
            (
                "<nil>",
                "Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing "
                "errors to complete validation",
                "FieldValueInvalid",
            )
        )
    if not spec.get("componentSpecs") and not spec.get("shardings"):
        problems.append(("spec.componentSpecs", "Invalid value: 0: spec.componentSpecs in body should have at least 1 items", "FieldValueInvalid"))
    for index, component in enumerate(spec.get("componentSpecs") or []):
        definition = component.get("componentDef")
        if definition is not None and not re.fullmatch(r"[a-z]([-a-z0-9.]*[a-z0-9])?", definition):
            problems.append(
                (
                    f"spec.componentSpecs[{index}].componentDef",
                    f"Invalid value: \"{definition}\": spec.componentSpecs[{index}].componentDef in body should match '^[a-z]([a-z0-9\\.\\-]*[a-z0-9])?$'",
                    "FieldValueInvalid",
                )
            )
    if old is not None:
        for name in ("clusterDef", "topology"):
            before, after = old.get("spec", {}).get(name), spec.get(name)
            if before is not None and before != after:
                problems.append((f"spec.{name}" if name == "clusterDef" else "spec", f'Invalid value: "string": {name} is immutable', "FieldValueInvalid"))
    return problems


def _changes(rtype: ResourceType, obj: Json, old: Json) -> list[Problem]:
    problems: list[Problem] = []
    new_spec, old_spec = obj.get("spec") or {}, old.get("spec") or {}
    if rtype.key in (("apps", "deployments"), ("apps", "daemonsets"), ("apps", "replicasets")) and new_spec.get("selector") != old_spec.get("selector"):
        shown = _go_map((new_spec.get("selector") or {}).get("matchLabels") or {})
        problems.append(("spec.selector", f'Invalid value: {{"matchLabels":{shown}}}: field is immutable', "FieldValueInvalid"))
    if rtype.key == ("apps", "statefulsets"):
        free = {"replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit", "persistentVolumeClaimRetentionPolicy", "minReadySeconds"}
        if any(new_spec.get(key) != old_spec.get(key) for key in {*new_spec, *old_spec} - free):
            problems.append(
                (
                    "spec",
                    "Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
                    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
                    "FieldValueForbidden",
                )
            )
    if rtype.key == ("", "persistentvolumeclaims"):
        free = {"resources", "volumeAttributesClassName", "volumeName"}
        if any(new_spec.get(key) != old_spec.get(key) for key in {*new_spec, *old_spec} - free):
            problems.append(
                (
                    "spec",
                    "Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
                    "FieldValueForbidden",
                )
            )
    if rtype.key == ("", "secrets") and obj.get("type") != old.get("type"):
        problems.append(("type", f'Invalid value: "{obj.get("type")}": field is immutable', "FieldValueInvalid"))
    if (
        rtype.key in (("", "secrets"), ("", "configmaps"))
        and old.get("immutable")
        and any(obj.get(key) != old.get(key) for key in ("data", "binaryData", "immutable"))
    ):
        problems.append(("data", "Forbidden: field is immutable when `immutable` is set", "FieldValueForbidden"))
    if rtype.key in (("batch", "jobs"),) and (new_spec.get("template") != old_spec.get("template") or new_spec.get("selector") != old_spec.get("selector")):
        problems.append(("spec.template", "Invalid value: {}: field is immutable", "FieldValueInvalid"))
    if rtype.key[1] in ("rolebindings", "clusterrolebindings") and obj.get("roleRef") != old.get("roleRef"):
        problems.append(("roleRef", "Invalid value: {}: cannot change roleRef", "FieldValueInvalid"))
    if rtype.key == ("", "services") and old_spec.get("clusterIP") not in (None, new_spec.get("clusterIP")) and new_spec.get("type") == old_spec.get("type"):
        problems.append(("spec.clusterIPs[0]", f'Invalid value: ["{new_spec.get("clusterIP")}"]: may not change once set', "FieldValueInvalid"))
    if rtype.key == ("storage.k8s.io", "storageclasses") and obj.get("provisioner") != old.get("provisioner"):
        problems.append(("provisioner", "Forbidden: updates to provisioner are forbidden.", "FieldValueForbidden"))
    return problems


def check(rtype: ResourceType, obj: Json, old: Json | None = None) -> None:
    """Raise Invalid (422) as the server would; old: the stored object when this is a change."""
    problems = [*_names(rtype, obj), *_labels(obj)]
    if rtype.key in (("", "secrets"), ("", "configmaps")):
        problems.extend(
            (f"data[{key}]", f'Invalid value: "{key}": {_KEY_TEXT}', "FieldValueInvalid")
            for key in {**(obj.get("data") or {}), **(obj.get("binaryData") or {})}
            if not _KEY.fullmatch(key)
        )
    if rtype.key == ("", "secrets") and obj.get("type") == "kubernetes.io/tls":
        problems.extend((f"data[{key}]", "Required value", "FieldValueRequired") for key in ("tls.crt", "tls.key") if key not in (obj.get("data") or {}))
    if (
        rtype.key == ("", "services")
        and not (obj.get("spec") or {}).get("ports")
        and (obj.get("spec") or {}).get("clusterIP") != "None"
        and (obj["spec"].get("type") != "ExternalName")
    ):
        problems.append(("spec.ports", "Required value", "FieldValueRequired"))
    if not rtype.custom:
        problems.extend(_workload(obj))
    if rtype.key == ("apps.kubeblocks.io", "clusters"):
        problems.extend(_kubeblocks_cluster(obj, old))
    if old is not None:
        problems = [*_changes(rtype, obj, old), *problems]
    if problems:
        raise invalid(rtype, obj.get("metadata", {}).get("name") or "", problems)
