# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of role lightrag to the environment of the LightRAG server (1.5), and what speaks against them.

The tables here and in _lightrag_options are the only places that know LightRAG's variable names and storage classes.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.ragops.stack.plugins.plugin_utils._lightrag_options import GROUPS, ROLE_OPTIONS, ROLES, Option, role_option

# ---- storage slots -----------------------------------------------------------------------------------------

SLOTS = {
    "kv": "LIGHTRAG_KV_STORAGE",
    "vector": "LIGHTRAG_VECTOR_STORAGE",
    "graph": "LIGHTRAG_GRAPH_STORAGE",
    "doc_status": "LIGHTRAG_DOC_STATUS_STORAGE",
}

# engine -> slot -> class. Graphs in PostgreSQL are plain tables: Apache AGE is not in most images and 1.8 crashes.
STORAGE_CLASSES: dict[str, dict[str, str]] = {
    "files": {"kv": "JsonKVStorage", "vector": "NanoVectorDBStorage", "graph": "NetworkXStorage", "doc_status": "JsonDocStatusStorage"},
    "postgresql": {"kv": "PGKVStorage", "vector": "PGVectorStorage", "graph": "PGTableGraphStorage", "doc_status": "PGDocStatusStorage"},
    "neo4j": {"graph": "Neo4JStorage"},
    "memgraph": {"graph": "MemgraphStorage"},
    "qdrant": {"vector": "QdrantVectorDBStorage"},
    "milvus": {"vector": "MilvusVectorDBStorage"},
    "redis": {"kv": "RedisKVStorage", "doc_status": "RedisDocStatusStorage"},
    "mongodb": {"kv": "MongoKVStorage", "graph": "MongoGraphStorage", "doc_status": "MongoDocStatusStorage"},
    "opensearch": {
        "kv": "OpenSearchKVStorage",
        "vector": "OpenSearchVectorDBStorage",
        "graph": "OpenSearchGraphStorage",
        "doc_status": "OpenSearchDocStatusStorage",
    },
}

REFUSED_ENGINES = {
    "elasticsearch": "LightRAG has no Elasticsearch backend",
    "chromadb": "LightRAG's Chroma backend is deprecated and no longer loaded",
    "chroma": "LightRAG's Chroma backend is deprecated and no longer loaded",
}
REFUSED_SLOTS = {
    ("mongodb", "vector"): "it needs Atlas Search or mongot; a plain MongoDB makes the server exit at start",
}

# variables that the role sets by itself; naming them in lightrag_env is a mistake
MANAGED = {
    "HOST": "lightrag_paths and the Service need it as it is",
    "PORT": "use lightrag_port",
    "WORKERS": "use lightrag_workers",
    "WORKSPACE": "use lightrag_workspace",
    "LIGHTRAG_API_KEY": "use lightrag_api_key_secret",
    "POSTGRES_HOST": "use lightrag_postgresql_connection",
    "POSTGRES_PORT": "use lightrag_postgresql_connection",
    "POSTGRES_USER": "use lightrag_postgresql_connection",
    "POSTGRES_PASSWORD": "use lightrag_postgresql_connection",
    "POSTGRES_DATABASE": "use lightrag_postgresql_database",
    "NEO4J_USERNAME": "use lightrag_neo4j_connection",
    "NEO4J_PASSWORD": "use lightrag_neo4j_connection",
    "QDRANT_URL": "use lightrag_qdrant_connection",
    "QDRANT_API_KEY": "use lightrag_qdrant_connection",
    "REDIS_URI": "use lightrag_redis_connection",
    "MONGO_URI": "use lightrag_mongodb_connection",
    "MONGO_DATABASE": "use lightrag_mongodb_connection",
    "MILVUS_URI": "use lightrag_milvus_connection",
    "MEMGRAPH_URI": "use lightrag_memgraph_connection",
    "OPENSEARCH_HOSTS": "use lightrag_opensearch_connection",
    **dict.fromkeys(SLOTS.values(), "use lightrag_storage"),
}
REFUSED_ENV = {
    "LIGHTRAG_RUNTIME_TARGET": "inside a pod it makes the server exit; leave it out",
    "ENTITY_TYPES": "LightRAG 1.5 no longer reads it; use lightrag_ingest.entity_type_prompt_file",
    "MAX_ASYNC": "it is an alias; use lightrag_llm.max_async",
}

ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SECRET_NAME = re.compile(r"(PASSWORD|SECRET|TOKEN|API_KEY|CREDENTIALS?|ACCOUNTS)$")

# ---- the environment ---------------------------------------------------------------------------------------


@dataclass
class Config:
    """The role's options, as `__lightrag_config` holds them."""

    namespace: str = ""
    port: int = 9621
    workers: int = 1
    workspace: str = ""
    replicas: int = 1
    strategy: str = "Recreate"
    access_modes: list[str] = field(default_factory=list)
    storage: dict[str, str] = field(default_factory=dict)
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    llm_roles: dict[str, dict[str, Any]] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    connections: dict[str, dict[str, Any]] = field(default_factory=dict)
    follow: list[str] = field(default_factory=list)
    api_key_secret: dict[str, str] = field(default_factory=dict)
    token_secret: dict[str, str] = field(default_factory=dict)
    env: dict[str, Any] = field(default_factory=dict)
    network_env: dict[str, str] = field(default_factory=dict)
    secret_env: list[str] = field(default_factory=list)
    secret_env_name: str = ""
    own_secrets: list[str] = field(default_factory=list)
    secrets_found: list[dict[str, Any]] | None = None  # as preflight_info returns them
    env_from_secret: dict[str, dict[str, str]] = field(default_factory=dict)
    mounts: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Config:
        """Unset groups may be None."""
        known = {name: value for name, value in raw.items() if name in cls.__dataclass_fields__ and value is not None}
        config = cls(**known)
        config.groups = {name: dict(options or {}) for name, options in config.groups.items()}
        config.port, config.workers, config.replicas = int(config.port), int(config.workers), int(config.replicas)
        return config

    def engines(self) -> list[str]:
        """The databases in use, each once."""
        return list(dict.fromkeys(engine for engine in self.storage.values() if engine != "files"))

    def llm(self) -> dict[str, Any]:
        """LLM options, what the model's connection says underneath."""
        return {**_from_model(self.model, "llm"), **_set_only(self.groups.get("llm", {}))}

    def embedding(self) -> dict[str, Any]:
        """Embedding options, what the model's connection says underneath."""
        return {**_from_model(self.model, "embedding"), **_set_only(self.groups.get("embedding", {}))}

    def rerank(self) -> dict[str, Any]:
        """Rerank options, what the model's connection says underneath."""
        return {**_from_model(self.model, "rerank"), **_set_only(self.groups.get("rerank", {}))}


def _set_only(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _from_model(model: Mapping[str, Any], part: str) -> dict[str, Any]:
    """The part (llm, embedding, rerank) of a model connection as options of our groups."""
    if not model:
        return {}
    own = dict(model.get(part) or {})
    if part == "rerank" and not own:
        return {}
    found: dict[str, Any] = {"binding": own.get("binding") or model.get("binding") or "openai"}
    found["host"] = own.get("base_url") or model.get("base_url")
    found["model"] = own.get("model") or model.get(f"{part}_model")
    secret = own.get("secret") or model.get("secret")
    found["api_key_secret"] = {"name": secret["name"], "key": secret["key"]} if secret else None
    if part == "embedding":
        found["dim"] = own.get("dim") or model.get("embedding_dim")
    return _set_only(found)


def environment(config: Config) -> list[dict[str, Any]]:
    """The container's `env`, helpers first, then by name. Unset options are left out."""
    plain: dict[str, str] = {"HOST": "0.0.0.0", "PORT": str(config.port)}  # noqa: S104 - it serves other pods
    refs: dict[str, dict[str, str]] = {}
    if config.workspace:
        plain["WORKSPACE"] = config.workspace
    if config.workers > 1:
        plain["WORKERS"] = str(config.workers)
    for slot, engine in config.storage.items():
        plain[SLOTS[slot]] = STORAGE_CLASSES[engine][slot]
    merged = {**config.groups, "llm": config.llm(), "embedding": config.embedding(), "rerank": config.rerank()}
    for group, options in merged.items():
        for name, value in _set_only(options).items():
            _put(GROUPS[group][name], value, plain, refs)
    for role, options in config.llm_roles.items():
        for name, value in _set_only(options or {}).items():
            _put(role_option(role, name), value, plain, refs)
    if config.api_key_secret:
        refs["LIGHTRAG_API_KEY"] = config.api_key_secret
    if config.token_secret:
        refs.setdefault("TOKEN_SECRET", config.token_secret)
    plain.update(config.network_env)
    plain.update((name, _text(value)) for name, value in config.env.items())
    refs.update({name: {"name": config.secret_env_name, "key": name} for name in config.secret_env})
    refs.update(config.env_from_secret)
    helpers: dict[str, dict[str, str]] = {}
    templates: dict[str, str] = {}
    for engine in config.engines():
        _connection(engine, config, plain, refs, helpers, templates)
    for name in refs:
        plain.pop(name, None)
    return [
        *(_ref(name, refs=helpers) for name in sorted(helpers)),
        *sorted(
            [
                # $(NAME) in a value would be expanded by the kubelet
                *({"name": name, "value": value.replace("$(", "$$(")} for name, value in plain.items()),
                *({"name": name, "value": value} for name, value in templates.items()),
                *(_ref(name, refs) for name in refs),
            ],
            key=lambda item: item["name"],
        ),
    ]


def _put(option: Option, value: Any, plain: dict[str, str], refs: dict[str, dict[str, str]]) -> None:
    if option.kind == "secret":
        if value:
            refs[option.env] = value
    elif option.kind == "list":
        plain[option.env] = ",".join(str(item) for item in value)
    elif option.kind == "json":
        plain[option.env] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    elif option.kind == "bool":
        plain[option.env] = _text(value if isinstance(value, bool) else str(value).lower() in ("true", "yes", "on", "1"))
    else:
        plain[option.env] = _text(value)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _ref(name: str, refs: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": refs[name]["name"], "key": refs[name]["key"]}}}


def _connection(
    engine: str,
    config: Config,
    plain: dict[str, str],
    refs: dict[str, dict[str, str]],
    helpers: dict[str, dict[str, str]],
    templates: dict[str, str],
) -> None:
    """How the server finds a database: host in clear, credentials by reference."""
    connection = config.connections.get(engine) or {}
    host, port, tls = str(connection.get("host")), connection.get("port"), bool(connection.get("tls"))
    user, password = _credentials(connection)
    options = config.groups.get(engine, {})
    if engine == "postgresql":
        plain.update(POSTGRES_HOST=host, POSTGRES_PORT=str(port), POSTGRES_DATABASE=str(connection.get("database")))
        if tls:
            plain.setdefault("POSTGRES_SSL_MODE", "require")
        _take(refs, POSTGRES_USER=user, POSTGRES_PASSWORD=password)
    elif engine == "neo4j":
        # bolt, not neo4j: routing hands out addresses that are not reachable from everywhere
        plain.setdefault("NEO4J_URI", f"bolt{'+s' if tls else ''}://{host}:{port}")
        plain.setdefault("NEO4J_DATABASE", str(connection.get("database") or "neo4j"))
        _take(refs, NEO4J_USERNAME=user, NEO4J_PASSWORD=password)
    elif engine == "memgraph":
        plain["MEMGRAPH_URI"] = f"bolt{'+s' if tls else ''}://{host}:{port}"
        _take(refs, MEMGRAPH_USERNAME=user, MEMGRAPH_PASSWORD=password)
    elif engine == "qdrant":
        plain["QDRANT_URL"] = f"http{'s' if tls else ''}://{host}:{port}"
        _take(refs, QDRANT_API_KEY=password)
    elif engine == "milvus":
        plain["MILVUS_URI"] = f"http{'s' if tls else ''}://{host}:{port}"
        plain.setdefault("MILVUS_DB_NAME", str(connection.get("database") or options.get("db_name") or "lightrag"))
        _take(refs, MILVUS_USER=user, MILVUS_PASSWORD=password)
    elif engine == "opensearch":
        plain["OPENSEARCH_HOSTS"] = f"{host}:{port}"
        plain.setdefault("OPENSEARCH_USE_SSL", _text(tls))
        _take(refs, OPENSEARCH_USER=user, OPENSEARCH_PASSWORD=password)
    elif engine in ("redis", "mongodb"):
        env = "REDIS_URI" if engine == "redis" else "MONGO_URI"
        if engine == "mongodb":
            plain["MONGO_DATABASE"] = str(connection.get("database") or "lightrag")
        if connection.get("uri_secret"):
            refs[env] = connection["uri_secret"]
            return
        name = engine.upper()
        _take(helpers, **{f"RAGOPS_{name}_PASSWORD": password, f"RAGOPS_{name}_USERNAME": user})
        # the kubelet puts the credentials in, so they stand in no manifest
        login = (f"$(RAGOPS_{name}_USERNAME)" if user else "") + (f":$(RAGOPS_{name}_PASSWORD)" if password else "")
        scheme, path = (f"redis{'s' if tls else ''}", f"/{connection.get('database') or 0}") if engine == "redis" else ("mongodb", "/")
        query = "" if engine == "redis" else "?authSource=admin" + ("&tls=true" if tls else "")
        templates[env] = f"{scheme}://{login + '@' if login else ''}{host}:{port}{path}{query}"


def _take(into: dict[str, dict[str, str]], **found: dict[str, str] | None) -> None:
    into.update({name: value for name, value in found.items() if value})


def _credentials(connection: Mapping[str, Any]) -> tuple[dict[str, str] | None, dict[str, str] | None]:
    secret = connection.get("secret") or {}
    if not secret.get("name"):
        return None, None
    user, password = secret.get("username_key"), secret.get("password_key")
    return (
        {"name": secret["name"], "key": user} if user else None,
        {"name": secret["name"], "key": password} if password else None,
    )


def given_secrets(config: Config) -> dict[str, list[str]]:
    """Secrets that others made and the pod will refer to, with the keys it wants of them."""
    wanted: dict[str, list[str]] = {}
    for item in environment(_what_is_there(config)):
        ref = item.get("valueFrom", {}).get("secretKeyRef")
        if ref and ref["name"] not in config.own_secrets and ref["key"] not in wanted.setdefault(ref["name"], []):
            wanted[ref["name"]].append(ref["key"])
    return dict(sorted(wanted.items()))


def _what_is_there(config: Config) -> Config:
    """Secrets of databases and models that follow in the same play are made by their roles, which have not run yet."""
    there = {
        slot: engine if engine not in config.follow and config.connections.get(engine) else "files"
        for slot, engine in config.storage.items()
        if engine in STORAGE_CLASSES and slot in STORAGE_CLASSES[engine]
    }
    return replace(config, storage=there, model={} if "model" in config.follow else config.model)


# ---- what speaks against it --------------------------------------------------------------------------------


def problems(config: Config) -> list[str]:
    """Everything that can be known to be wrong before the first write: cause and remedy, one line each."""
    return [
        *_workload_problems(config),
        *_storage_problems(config),
        *_connection_problems(config),
        *_option_problems(config),
        *_model_problems(config),
        *_env_problems(config),
        *_secret_problems(config),
    ]


def _workload_problems(config: Config) -> Iterator[str]:
    if config.replicas != 1:
        yield (
            f"lightrag_replicas is {config.replicas}: a second LightRAG on the same workspace races its migrations and ingests twice. "
            "Set it to 1, or deploy a second instance with its own lightrag_workspace and databases."
        )
    if config.strategy != "Recreate" and "ReadWriteMany" not in config.access_modes:
        yield (
            f"lightrag_strategy {config.strategy} cannot work on a ReadWriteOnce volume: the new pod waits for the old one's volume, "
            "and two servers on one workspace corrupt it. Use Recreate."
        )
    if config.strategy != "Recreate" and "ReadWriteMany" in config.access_modes:
        yield f"lightrag_strategy {config.strategy} would run two servers on one workspace for a while. Use Recreate."
    if config.workers > 1 and "files" in config.storage.values():
        slots = ", ".join(slot for slot, engine in config.storage.items() if engine == "files")
        yield f"lightrag_workers is {config.workers}, but workers overwrite each other's files ({slots}). Choose databases for them or 1 worker."
    if not 1 <= config.port <= 65535:
        yield f"lightrag_port is {config.port}. Choose a port from 1024 to 65535: the server is not root."
    elif config.port < 1024:
        yield f"lightrag_port {config.port} needs root, and the server is not root. Choose a port from 1024 to 65535."
    if config.workspace and not re.fullmatch(r"[A-Za-z0-9_]+", config.workspace):
        yield f"lightrag_workspace '{config.workspace}' may only hold letters, digits and underscores: LightRAG would rename it silently."
    for path in config.mounts:
        if path.rstrip("/") in ("/app", "/app/data", "/app/data/tiktoken"):
            yield f"A volume on {path} would hide the tokenizer files of the image. Mount below /app/data or elsewhere."


def _storage_problems(config: Config) -> Iterator[str]:
    engines = ", ".join(STORAGE_CLASSES)
    for slot in sorted(set(config.storage) - set(SLOTS)):
        yield f"lightrag_storage has no slot '{slot}'. The slots are {', '.join(SLOTS)}."
    for slot in SLOTS:
        engine = config.storage.get(slot)
        if not engine:
            yield f"lightrag_storage.{slot} is not set. Choose one of: {_engines_for(slot)}."
        elif engine in REFUSED_ENGINES:
            yield f"lightrag_storage.{slot} is '{engine}', but {REFUSED_ENGINES[engine]}. Choose one of: {_engines_for(slot)}."
        elif engine not in STORAGE_CLASSES:
            yield f"lightrag_storage.{slot} is '{engine}', which is no engine of LightRAG ({engines}). Choose one of: {_engines_for(slot)}."
        elif slot not in STORAGE_CLASSES[engine]:
            why = REFUSED_SLOTS.get((engine, slot), f"LightRAG cannot keep its {slot} data there")
            yield f"lightrag_storage.{slot} is '{engine}', but {why}. Choose one of: {_engines_for(slot)}."


def _engines_for(slot: str) -> str:
    return ", ".join(engine for engine, slots in STORAGE_CLASSES.items() if slot in slots)


def _connection_problems(config: Config) -> Iterator[str]:
    for engine in config.engines():
        if engine not in STORAGE_CLASSES:
            continue
        connection = config.connections.get(engine) or {}
        variable = f"lightrag_{engine}_connection"
        if not connection:
            if engine not in config.follow:
                yield (
                    f"{variable} is not set, but lightrag_storage uses {engine}. "
                    f"Run role {engine} before this one (it publishes {engine}_connection), or describe your own server."
                )
            continue
        for key in ("host", "port"):
            if connection.get(key) in (None, ""):
                yield f"{variable}.{key} is empty. Say where the {engine} server listens."
        secret = connection.get("secret") or {}
        if not secret.get("name") and not connection.get("uri_secret") and engine not in ("qdrant", "redis", "memgraph", "milvus"):
            yield f"{variable}.secret.name is empty. Name the Secret that holds the credentials of {engine}."
        elif secret.get("name") and not secret.get("password_key"):
            yield f"{variable}.secret.password_key is empty. Name the key of Secret {secret['name']} that holds the password."
        there = connection.get("namespace")
        own_user = engine == "postgresql" and connection.get("superuser_secret")
        if there and config.namespace and there != config.namespace and not own_user:
            yield (
                f"{variable} has its Secret in namespace {there}, but a pod in {config.namespace} can only use Secrets of {config.namespace}. "
                f"Copy the Secret there and set {variable}.namespace, or deploy LightRAG in {there}."
            )


def _option_problems(config: Config) -> Iterator[str]:
    for group, options in config.groups.items():
        for name, value in options.items():
            yield from _value_problems(f"lightrag_{group}.{name}", GROUPS[group].get(name), value)
    for role, options in config.llm_roles.items():
        if role not in ROLES:
            yield f"lightrag_llm_roles has no role '{role}'. The roles are {', '.join(ROLES)}."
            continue
        for name, value in (options or {}).items():
            known = role_option(role, name) if name in ROLE_OPTIONS else None
            yield from _value_problems(f"lightrag_llm_roles.{role}.{name}", known, value)
    paths = _set_only(config.groups.get("auth", {})).get("whitelist_paths")
    if paths is not None and "/health" not in paths:
        yield "lightrag_auth.whitelist_paths lacks /health: the start-up probe would get 403 and kill the pod. Add /health."
    auth = _set_only(config.groups.get("auth", {}))
    if auth.get("accounts_secret") and not auth.get("token_secret") and not config.token_secret:
        yield "lightrag_auth.accounts_secret needs a token secret, else LightRAG refuses to start. Set lightrag_auth.token_secret."


def _value_problems(where: str, option: Option | None, value: Any) -> Iterator[str]:
    if option is None:
        group, _dot, name = where.rpartition(".")
        near = difflib.get_close_matches(name, GROUPS.get(group.removeprefix("lightrag_"), ROLE_OPTIONS), 1)
        hint = f"Did you mean {near[0]}?" if near else "Its options are in the role's argument_specs; use lightrag_env for other variables."
        yield f"{where} is no option of this role. {hint}"
    elif value is None:
        return
    elif value == "" or value == []:
        yield f"{where} is empty, and LightRAG takes an empty {option.env} for a value. Leave it out or give it one."
    elif option.kind == "secret":
        if not isinstance(value, Mapping) or not value.get("name") or not value.get("key"):
            yield f"{where} must name a Secret and a key of it ({{name: ..., key: ...}}). {option.env} is never given in clear."
    elif option.choices and str(value) not in option.choices:
        yield f"{where} is '{value}'. Choose one of: {', '.join(option.choices)}."
    elif option.kind in ("int", "float") and not _is_number(value, option.kind):
        yield f"{where} is '{value}', but {option.env} must be a {'whole ' if option.kind == 'int' else ''}number."


def _is_number(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return False
    try:
        int(str(value)) if kind == "int" else float(str(value))
    except ValueError:
        return False
    return True


KEYLESS = ("ollama", "lollms", "bedrock", "openai-ollama")
INDEX_LIMITS = {"HNSW": 2000, "IVFFLAT": 2000, "HNSW_HALFVEC": 4000}


def _model_problems(config: Config) -> Iterator[str]:
    for part, options in (("llm", config.llm()), ("embedding", config.embedding())):
        where, binding = f"lightrag_{part}", options.get("binding")
        source = f"Set {where}.{{key}}, or run role model before this one (it publishes model_connection)."
        if not binding:
            yield f"{where}.binding is not set and no model connection is given. " + source.replace("{key}", "binding")
            continue
        if not options.get("model"):
            yield f"{where}.model is not set. " + source.replace("{key}", "model")
        if binding in ("openai", "ollama", "openai-ollama", "lollms"):
            yield from _url_problems(f"{where}.host", options.get("host"), source.replace("{key}", "host"))
        cloud_key = _set_only(config.groups.get("cloud", {})).get(f"{binding}_api_key_secret")
        if binding not in KEYLESS and not options.get("api_key_secret") and not cloud_key:
            yield f"{where}.api_key_secret is not set, and binding {binding} needs a key. " + source.replace("{key}", "api_key_secret")
    yield from _dimension_problems(config)


def _url_problems(where: str, value: Any, source: str) -> Iterator[str]:
    if not value:
        yield f"{where} is empty. {source}"
        return
    parts = urlsplit(str(value))
    if parts.scheme not in ("http", "https") or not parts.netloc:
        yield f"{where} is '{value}', which is no http(s) URL. Give one such as https://api.openai.com/v1."
    if "@" in parts.netloc:
        yield f"{where} holds credentials. Take them out and use an api_key_secret."


def _dimension_problems(config: Config) -> Iterator[str]:
    dim = config.embedding().get("dim")
    if dim is None or not _is_number(dim, "int") or int(dim) < 1:
        yield (
            f"The embedding dimension is {'not set' if dim is None else repr(dim)}. "
            "Set lightrag_embedding.dim (or model_embedding_dim) to the length of your embedding model's vectors."
        )
        return
    if config.storage.get("vector") != "postgresql":
        return
    index = str(_set_only(config.groups.get("postgresql", {})).get("vector_index_type") or "HNSW")
    limit = INDEX_LIMITS.get(index)
    if limit is not None and int(dim) > limit:
        remedy = (
            "Set lightrag_postgresql.vector_index_type to HNSW_HALFVEC (up to 4000, pgvector 0.7 or newer)"
            if int(dim) <= INDEX_LIMITS["HNSW_HALFVEC"]
            else "Set lightrag_postgresql.vector_index_type to VCHORDRQ (extension vchord)"
        )
        yield (
            f"An embedding dimension of {dim} is above the limit of {limit} of index type {index}: "
            f"LightRAG would search without an index. {remedy}, or use a smaller embedding model."
        )


def secret_variables() -> set[str]:
    """Every variable that holds a secret."""
    found = {option.env for options in GROUPS.values() for option in options.values() if option.kind == "secret"}
    found |= {role_option(role, name).env for role in ROLES for name in ROLE_OPTIONS if role_option(role, name).kind == "secret"}
    return found | {
        "LIGHTRAG_API_KEY", "POSTGRES_PASSWORD", "NEO4J_PASSWORD", "QDRANT_API_KEY", "REDIS_URI", "MONGO_URI", "MILVUS_PASSWORD",
        "MILVUS_TOKEN", "MEMGRAPH_PASSWORD", "OPENSEARCH_PASSWORD",
    }  # fmt: skip


def _env_problems(config: Config) -> Iterator[str]:
    secrets = secret_variables()
    for name, value in config.env.items():
        if not ENV_NAME.fullmatch(str(name)):
            yield f"lightrag_env: '{name}' is no name of a variable."
        elif value is None or str(value) == "":
            yield f"lightrag_env.{name} is empty, and LightRAG takes an empty value for a value. Leave it out or give it one."
        elif name in secrets or SECRET_NAME.search(str(name)):
            yield f"lightrag_env.{name} is a secret and would stand in the pod's manifest. Use lightrag_env_from_secret or lightrag_secret_env."
    for name, ref in config.env_from_secret.items():
        if not ENV_NAME.fullmatch(str(name)):
            yield f"lightrag_env_from_secret: '{name}' is no name of a variable."
        elif not isinstance(ref, Mapping) or not ref.get("name") or not ref.get("key"):
            yield f"lightrag_env_from_secret.{name} must name a Secret and a key of it ({{name: ..., key: ...}})."
    for name in config.secret_env:
        if not ENV_NAME.fullmatch(str(name)):
            yield f"lightrag_secret_env: '{name}' is no name of a variable."
    for name in [*config.env, *config.env_from_secret, *config.secret_env]:
        if name in REFUSED_ENV:
            yield f"{name} cannot be set: {REFUSED_ENV[name]}."
        elif name in MANAGED:
            yield f"{name} is set by the role: {MANAGED[name]}."


def _secret_problems(config: Config) -> Iterator[str]:
    """Once preflight has looked: a pod that refers to a missing Secret or key never starts."""
    if config.secrets_found is None:
        return
    found = {secret["name"]: secret for secret in config.secrets_found}
    for name, keys in given_secrets(config).items():
        secret = found.get(name, {})
        if not secret.get("readable", True):
            continue
        if not secret.get("exists"):
            yield f"Secret {config.namespace}/{name} does not exist, and LightRAG's pod would not start without it. Create it, or correct the reference."
            continue
        lacking = [key for key in keys if key not in secret.get("keys", []) or key in secret.get("empty_keys", [])]
        if lacking:
            has = ", ".join(secret.get("keys", [])) or "none"
            yield f"Secret {config.namespace}/{name} has nothing in {', '.join(lacking)} (its keys: {has}). Fill it, or correct the reference."
