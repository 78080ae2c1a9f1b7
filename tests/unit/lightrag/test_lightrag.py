# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of role lightrag to the environment, and what is refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.ragops.stack.plugins.plugin_utils._lightrag import (
    REFUSED_ENGINES,
    SLOTS,
    STORAGE_CLASSES,
    Config,
    environment,
    given_secrets,
    problems,
)

MODEL = {
    "provider": "stub",
    "binding": "openai",
    "base_url": "http://rag-model.rag.svc:8000/v1",
    "secret": {"name": "rag-model", "key": "api-key"},
    "llm_model": "m",
    "embedding_model": "e",
    "embedding_dim": 256,
}
POSTGRESQL = {
    "engine": "postgresql",
    "host": "pg.rag.svc",
    "port": 5432,
    "database": "rag_lightrag",
    "namespace": "rag",
    "secret": {"name": "rag-lightrag-postgresql", "username_key": "username", "password_key": "password"},
    "superuser_secret": {"name": "pg", "username_key": "username", "password_key": "password"},
}
NEO4J = {
    "engine": "neo4j",
    "host": "neo.rag.svc",
    "port": 7687,
    "namespace": "rag",
    "secret": {"name": "neo", "username_key": "username", "password_key": "password"},
}


def raw(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "namespace": "rag",
        "port": 9621,
        "workers": 1,
        "workspace": "rag_lightrag",
        "replicas": 1,
        "strategy": "Recreate",
        "access_modes": ["ReadWriteOnce"],
        "storage": {"kv": "postgresql", "vector": "postgresql", "graph": "neo4j", "doc_status": "postgresql"},
        "groups": {"auth": {"whitelist_paths": ["/health"]}},
        "model": copy.deepcopy(MODEL),
        "connections": {"postgresql": copy.deepcopy(POSTGRESQL), "neo4j": copy.deepcopy(NEO4J)},
        "api_key_secret": {"name": "rag-lightrag-api", "key": "api-key"},
        "token_secret": {"name": "rag-lightrag-api", "key": "token-secret"},
    }
    base.update(changes)
    return base


def plain(**changes: Any) -> dict[str, str]:
    return {item["name"]: item["value"] for item in environment(Config.read(raw(**changes))) if "value" in item}


def refs(**changes: Any) -> dict[str, tuple[str, str]]:
    found = {}
    for item in environment(Config.read(raw(**changes))):
        if "valueFrom" in item:
            ref = item["valueFrom"]["secretKeyRef"]
            found[item["name"]] = (ref["name"], ref["key"])
    return found


def found(**changes: Any) -> list[str]:
    return problems(Config.read(raw(**changes)))


def only(**changes: Any) -> str:
    all_of_them = found(**changes)
    assert len(all_of_them) == 1, all_of_them
    return all_of_them[0]


# ---- environment -------------------------------------------------------------------------------------------


def test_the_minimum_is_set_and_nothing_else() -> None:
    assert plain() == {
        "EMBEDDING_BINDING": "openai",
        "EMBEDDING_BINDING_HOST": "http://rag-model.rag.svc:8000/v1",
        "EMBEDDING_DIM": "256",
        "EMBEDDING_MODEL": "e",
        "HOST": "0.0.0.0",
        "LIGHTRAG_DOC_STATUS_STORAGE": "PGDocStatusStorage",
        "LIGHTRAG_GRAPH_STORAGE": "Neo4JStorage",
        "LIGHTRAG_KV_STORAGE": "PGKVStorage",
        "LIGHTRAG_VECTOR_STORAGE": "PGVectorStorage",
        "LLM_BINDING": "openai",
        "LLM_BINDING_HOST": "http://rag-model.rag.svc:8000/v1",
        "LLM_MODEL": "m",
        "NEO4J_DATABASE": "neo4j",
        "NEO4J_URI": "bolt://neo.rag.svc:7687",
        "PORT": "9621",
        "POSTGRES_DATABASE": "rag_lightrag",
        "POSTGRES_HOST": "pg.rag.svc",
        "POSTGRES_PORT": "5432",
        "WHITELIST_PATHS": "/health",
        "WORKSPACE": "rag_lightrag",
    }
    assert refs() == {
        "EMBEDDING_BINDING_API_KEY": ("rag-model", "api-key"),
        "LIGHTRAG_API_KEY": ("rag-lightrag-api", "api-key"),
        "LLM_BINDING_API_KEY": ("rag-model", "api-key"),
        "NEO4J_PASSWORD": ("neo", "password"),
        "NEO4J_USERNAME": ("neo", "username"),
        "POSTGRES_PASSWORD": ("rag-lightrag-postgresql", "password"),
        "POSTGRES_USER": ("rag-lightrag-postgresql", "username"),
        "TOKEN_SECRET": ("rag-lightrag-api", "token-secret"),
    }


def test_the_order_is_stable() -> None:
    names = [item["name"] for item in environment(Config.read(raw()))]
    assert names == sorted(names)


def test_values_are_written_as_the_server_reads_them() -> None:
    got = plain(
        groups={
            "server": {"verbose": True, "cors_origins": ["https://a", "https://b"], "timeout": 60, "webui_title": None},
            "openai": {"extra_body": {"b": 1, "a": [True]}, "temperature": 0.5},
            "query": {"cosine_threshold": 0.15},
        }
    )
    assert got["VERBOSE"] == "true"
    assert got["CORS_ORIGINS"] == "https://a,https://b"
    assert got["TIMEOUT"] == "60"
    assert "WEBUI_TITLE" not in got
    assert got["OPENAI_LLM_EXTRA_BODY"] == '{"a": [true], "b": 1}'
    assert got["OPENAI_LLM_TEMPERATURE"] == "0.5"
    assert got["COSINE_THRESHOLD"] == "0.15"


def test_options_win_over_the_model_connection() -> None:
    got = plain(groups={"llm": {"model": "other"}, "embedding": {"dim": 64}})
    assert (got["LLM_MODEL"], got["EMBEDDING_DIM"], got["EMBEDDING_MODEL"]) == ("other", "64", "e")


def test_embeddings_and_rerank_may_have_endpoints_of_their_own() -> None:
    model = {
        **MODEL,
        "embedding": {"base_url": "https://emb/v1", "binding": "jina", "secret": {"name": "emb", "key": "k"}},
        "rerank": {"base_url": "https://rr", "binding": "cohere", "model": "rr-1", "secret": {"name": "rr", "key": "k"}},
    }
    got = plain(model=model)
    assert (got["EMBEDDING_BINDING"], got["EMBEDDING_BINDING_HOST"]) == ("jina", "https://emb/v1")
    assert (got["RERANK_BINDING"], got["RERANK_BINDING_HOST"], got["RERANK_MODEL"]) == ("cohere", "https://rr", "rr-1")
    assert refs(model=model)["EMBEDDING_BINDING_API_KEY"] == ("emb", "k")
    assert refs(model=model)["RERANK_BINDING_API_KEY"] == ("rr", "k")
    assert "RERANK_BINDING" not in plain()


def test_llm_roles() -> None:
    got = plain(llm_roles={"query": {"model": "big", "max_async": 2}})
    assert (got["QUERY_LLM_MODEL"], got["QUERY_MAX_ASYNC_LLM"]) == ("big", "2")
    roles = {"query": {"api_key_secret": {"name": "q", "key": "k"}, "aws_secret_access_key_secret": {"name": "a", "key": "s"}}}
    assert refs(llm_roles=roles)["QUERY_LLM_BINDING_API_KEY"] == ("q", "k")
    assert refs(llm_roles=roles)["QUERY_AWS_SECRET_ACCESS_KEY"] == ("a", "s")


def test_tls_of_the_databases() -> None:
    got = plain(connections={"postgresql": {**POSTGRESQL, "tls": True}, "neo4j": {**NEO4J, "tls": True}})
    assert got["POSTGRES_SSL_MODE"] == "require"
    assert got["NEO4J_URI"] == "bolt+s://neo.rag.svc:7687"
    got = plain(connections={"postgresql": {**POSTGRESQL, "tls": True}, "neo4j": NEO4J}, groups={"postgresql": {"ssl_mode": "verify-full"}})
    assert got["POSTGRES_SSL_MODE"] == "verify-full"


def test_uris_with_credentials_are_put_together_by_the_kubelet() -> None:
    secret = {"name": "s", "username_key": "username", "password_key": "password"}
    changes: dict[str, Any] = {
        "storage": {"kv": "redis", "vector": "qdrant", "graph": "mongodb", "doc_status": "mongodb"},
        "connections": {
            "redis": {"host": "r", "port": 6379, "secret": secret},
            "mongodb": {"host": "m", "port": 27017, "secret": secret},
            "qdrant": {"host": "q", "port": 6333, "secret": {"name": "s", "password_key": "key"}},
        },
    }
    got = plain(**changes)
    assert got["REDIS_URI"] == "redis://$(RAGOPS_REDIS_USERNAME):$(RAGOPS_REDIS_PASSWORD)@r:6379/0"
    assert got["MONGO_URI"] == "mongodb://$(RAGOPS_MONGODB_USERNAME):$(RAGOPS_MONGODB_PASSWORD)@m:27017/?authSource=admin"
    assert got["QDRANT_URL"] == "http://q:6333"
    assert refs(**changes)["QDRANT_API_KEY"] == ("s", "key")
    names = [item["name"] for item in environment(Config.read(raw(**changes)))]
    # a variable is only expanded in those after it
    assert names.index("RAGOPS_REDIS_PASSWORD") < names.index("REDIS_URI")
    changes["connections"]["redis"] = {"host": "r", "port": 6379, "uri_secret": {"name": "u", "key": "uri"}}
    assert refs(**changes)["REDIS_URI"] == ("u", "uri")


def test_a_value_that_looks_like_an_expansion_is_left_as_it_is() -> None:
    assert plain(env={"GREETING": "a $(HOME) b"})["GREETING"] == "a $$(HOME) b"


def test_extra_variables() -> None:
    changes = {"env": {"CHUNK_R_SIZE": 500}, "env_from_secret": {"X_KEY": {"name": "x", "key": "k"}}, "secret_env": ["Y_KEY"], "secret_env_name": "mine"}
    assert plain(**changes)["CHUNK_R_SIZE"] == "500"
    assert refs(**changes)["X_KEY"] == ("x", "k")
    assert refs(**changes)["Y_KEY"] == ("mine", "Y_KEY")


def test_no_secret_is_in_clear() -> None:
    got = plain(groups={"auth": {"accounts_secret": {"name": "a", "key": "k"}}})
    assert not [name for name in got if name.endswith(("PASSWORD", "API_KEY", "ACCOUNTS", "TOKEN_SECRET"))]


def test_workers_run_under_gunicorn_only() -> None:
    assert plain(workers=3)["WORKERS"] == "3"
    assert "WORKERS" not in plain()


def test_given_secrets_are_those_of_others() -> None:
    changes: dict[str, Any] = {
        "groups": {"cloud": {"jina_api_key_secret": {"name": "mine", "key": "k"}}},
        "env_from_secret": {"X": {"name": "also", "key": "k"}},
        "own_secrets": ["rag-lightrag-api", "rag-lightrag-postgresql"],
    }
    assert given_secrets(Config.read(raw(**changes))) == {
        "also": ["k"],
        "mine": ["k"],
        "neo": ["password", "username"],
        "rag-model": ["api-key"],
    }
    assert list(given_secrets(Config.read(raw(**changes, follow=["neo4j", "postgresql", "model"])))) == ["also", "mine"]
    assert list(given_secrets(Config.read(raw(**changes, connections={}, follow=["neo4j", "postgresql"])))) == ["also", "mine", "rag-model"]


def test_secrets_that_are_not_there() -> None:
    changes: dict[str, Any] = {"own_secrets": ["rag-lightrag-api", "rag-lightrag-postgresql"], "namespace": "rag"}
    neo = {"name": "neo", "exists": True, "readable": True, "keys": ["password", "username"], "empty_keys": []}
    model = {"name": "rag-model", "exists": True, "readable": True, "keys": ["api-key"], "empty_keys": []}
    assert found(**changes, secrets_found=[neo, model]) == []
    assert "Secret rag/rag-model does not exist" in only(**changes, secrets_found=[neo, {**model, "exists": False, "keys": []}])
    assert "has nothing in api-key (its keys: key)" in only(**changes, secrets_found=[neo, {**model, "keys": ["key"]}])
    assert "has nothing in api-key" in only(**changes, secrets_found=[neo, {**model, "empty_keys": ["api-key"]}])
    assert found(**changes, secrets_found=[neo, {"name": "rag-model", "exists": False, "readable": False}]) == []


# ---- refusals ----------------------------------------------------------------------------------------------


def test_nothing_speaks_against_the_defaults() -> None:
    assert found() == []


@pytest.mark.parametrize("engine", sorted(STORAGE_CLASSES))
@pytest.mark.parametrize("slot", sorted(SLOTS))
def test_each_engine_in_each_slot(engine: str, slot: str) -> None:
    storage = {**dict.fromkeys(SLOTS, "files"), slot: engine}
    connection = {"host": "h", "port": 1, "secret": {"name": "s", "username_key": "u", "password_key": "p"}}
    got = found(storage=storage, connections={engine: connection})
    if slot in STORAGE_CLASSES[engine]:
        assert got == []
    else:
        assert len(got) == 1 and got[0].startswith(f"lightrag_storage.{slot} is '{engine}', but")
        assert "Choose one of:" in got[0]


@pytest.mark.parametrize("engine", sorted(REFUSED_ENGINES))
def test_engines_that_are_no_backends(engine: str) -> None:
    assert REFUSED_ENGINES[engine] in only(storage={**dict.fromkeys(SLOTS, "files"), "vector": engine})


def test_unknown_engine_and_slot() -> None:
    assert "which is no engine of LightRAG" in only(storage={**dict.fromkeys(SLOTS, "files"), "kv": "oracle"})
    assert "has no slot 'cache'" in only(storage={**dict.fromkeys(SLOTS, "files"), "cache": "files"})
    assert "lightrag_storage.graph is not set" in only(storage={"kv": "files", "vector": "files", "doc_status": "files"})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"replicas": 2}, "lightrag_replicas is 2"),
        ({"strategy": "RollingUpdate"}, "cannot work on a ReadWriteOnce volume"),
        ({"strategy": "RollingUpdate", "access_modes": ["ReadWriteMany"]}, "two servers on one workspace"),
        ({"port": 80}, "needs root"),
        ({"workspace": "my-rag"}, "lightrag_workspace 'my-rag'"),
        ({"mounts": ["/app/data/"]}, "would hide the tokenizer files"),
        ({"connections": {"postgresql": POSTGRESQL}}, "lightrag_neo4j_connection is not set"),
        ({"connections": {"postgresql": POSTGRESQL, "neo4j": {**NEO4J, "host": ""}}}, "lightrag_neo4j_connection.host is empty"),
        ({"connections": {"postgresql": POSTGRESQL, "neo4j": {**NEO4J, "secret": {}}}}, "lightrag_neo4j_connection.secret.name is empty"),
        ({"connections": {"postgresql": POSTGRESQL, "neo4j": {**NEO4J, "namespace": "db"}}}, "can only use Secrets of rag"),
        ({"model": {**MODEL, "base_url": ""}, "groups": {"embedding": {"host": "http://e/v1"}}}, "lightrag_llm.host is empty"),
        ({"model": {**MODEL, "embedding_dim": None}}, "The embedding dimension is not set"),
        ({"model": {**MODEL, "embedding_dim": 3072}}, "HNSW_HALFVEC (up to 4000"),
        ({"model": {**MODEL, "embedding_dim": 5000}}, "VCHORDRQ"),
        ({"model": {**MODEL, "embedding_dim": 5000}, "groups": {"postgresql": {"vector_index_type": "HNSW_HALFVEC"}}}, "limit of 4000"),
        ({"groups": {"server": {"webui_title": ""}}}, "lightrag_server.webui_title is empty"),
        ({"groups": {"server": {"wibble": 1}}}, "lightrag_server.wibble is no option"),
        ({"groups": {"query": {"topk": 1}}}, "Did you mean top_k?"),
        ({"llm_roles": {"query": {"modell": "x"}}}, "Did you mean model?"),
        ({"groups": {"server": {"log_level": "loud"}}}, "lightrag_server.log_level is 'loud'"),
        ({"groups": {"query": {"top_k": "many"}}}, "TOP_K must be a whole number"),
        ({"groups": {"auth": {"whitelist_paths": ["/docs"]}}}, "lacks /health"),
        ({"groups": {"cloud": {"jina_api_key_secret": {"name": "x"}}}}, "is never given in clear"),
        ({"groups": {"auth": {"accounts_secret": {"name": "a", "key": "k"}}}, "token_secret": {}}, "needs a token secret"),
        ({"llm_roles": {"poet": {"model": "x"}}}, "has no role 'poet'"),
        ({"env": {"FOO": ""}}, "lightrag_env.FOO is empty"),
        ({"env": {"LLM_BINDING_API_KEY": "x"}}, "lightrag_env.LLM_BINDING_API_KEY is a secret"),
        ({"env": {"MY_PASSWORD": "x"}}, "lightrag_env.MY_PASSWORD is a secret"),
        ({"env": {"NOT A NAME": "x"}}, "is no name of a variable"),
        ({"env": {"PORT": "80"}}, "PORT is set by the role: use lightrag_port"),
        ({"env": {"LIGHTRAG_RUNTIME_TARGET": "host"}}, "makes the server exit"),
        ({"env_from_secret": {"FOO": {"name": "x"}}}, "lightrag_env_from_secret.FOO must name a Secret"),
        ({"workers": 2, "storage": dict.fromkeys(SLOTS, "files")}, "workers overwrite each other's files"),
    ],
)
def test_refusals_name_cause_and_remedy(changes: dict[str, Any], said: str) -> None:
    assert said in only(**changes)


def test_a_missing_model_connection_says_what_to_do() -> None:
    got = found(model={})
    assert any("lightrag_llm.binding is not set and no model connection is given" in line for line in got)
    assert any("run role model before this one" in line for line in got)


def test_no_key() -> None:
    got = found(model={**MODEL, "secret": {}})
    assert [line.split(" ")[0] for line in got] == ["lightrag_llm.api_key_secret", "lightrag_embedding.api_key_secret"]


def test_a_url_with_credentials_is_refused() -> None:
    assert any("holds credentials" in line for line in found(model={**MODEL, "base_url": "https://u:p@h/v1"}))


def test_connections_that_follow_are_not_asked_for() -> None:
    assert found(connections={}, follow=["postgresql", "neo4j"]) == []


def test_an_own_database_user_needs_no_secret_in_the_same_namespace() -> None:
    connections = {"postgresql": {**POSTGRESQL, "namespace": "db"}, "neo4j": NEO4J}
    assert found(connections=connections) == []


def test_large_dimensions_are_fine_elsewhere() -> None:
    storage = dict.fromkeys(SLOTS, "files")
    assert found(storage=storage, model={**MODEL, "embedding_dim": 3072}) == []
    assert found(model={**MODEL, "embedding_dim": 3072}, groups={"postgresql": {"vector_index_type": "HNSW_HALFVEC"}}) == []
