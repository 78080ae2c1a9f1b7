# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of role lightrag and the variables of the LightRAG server (1.5) that they set: the one place that knows both.

A section is a variable of the role (`[query]` is `lightrag_query`) and the prefix of its variables. A line is an option,
its kind, and its variable where that is not prefix + NAME. Kinds: str, int, float, bool, list (joined by commas), json,
secret (a reference to a key of a Secret), or the values to choose from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

TABLE = """
[server]
timeout                     int
log_level                   DEBUG|INFO|WARNING|ERROR|CRITICAL
verbose                     bool
cors_origins                list
enable_api_docs             bool
max_upload_size             int
max_request_body_bytes      int
max_texts_per_request       int
webui_title                 str
webui_description           str
api_prefix                  str LIGHTRAG_API_PREFIX
default_ui                  webui|workspace LIGHTRAG_DEFAULT_UI
ssl                         bool
ssl_certfile                str
ssl_keyfile                 str
keepalive                   int
access_log                  str
error_log                   str
log_max_bytes               int
log_backup_count            int
performance_timing_logs     bool LIGHTRAG_PERFORMANCE_TIMING_LOGS
enable_ai_content_notice    bool
ui_templates_dir            str
ollama_emulating_model_name str
ollama_emulating_model_tag  str

[paths]
working_dir        str
input_dir          str
prompt_dir         str
log_dir            str
tiktoken_cache_dir str
scan_spool_dir     str

[auth]
accounts_secret              secret AUTH_ACCOUNTS
token_secret                 secret
token_expire_hours           float
guest_token_expire_hours     float
jwt_algorithm                str
token_auto_renew             bool
token_renew_threshold        float
login_max_failed_attempts    int
login_lockout_window_seconds float
whitelist_paths              list

[llm LLM_]
binding                  lollms|ollama|openai|openai-ollama|azure_openai|bedrock|gemini
model                    str
host                     str LLM_BINDING_HOST
api_key_secret           secret LLM_BINDING_API_KEY
timeout                  int
max_async                int MAX_ASYNC_LLM
enable_cache             bool ENABLE_LLM_CACHE
enable_cache_for_extract bool ENABLE_LLM_CACHE_FOR_EXTRACT

[embedding EMBEDDING_]
binding                  lollms|ollama|openai|azure_openai|bedrock|jina|gemini|voyageai
model                    str
dim                      int
host                     str EMBEDDING_BINDING_HOST
api_key_secret           secret EMBEDDING_BINDING_API_KEY
send_dim                 bool
token_limit              int
timeout                  int
func_max_async           int
batch_num                int
use_base64               bool
asymmetric               bool
query_prefix             str
document_prefix          str
chunk_overlap_token_size int

[rerank RERANK_]
binding            null|cohere|jina|aliyun
model              str
host               str RERANK_BINDING_HOST
api_key_secret     secret RERANK_BINDING_API_KEY
timeout            int
max_async          int MAX_ASYNC_RERANK
min_score          float MIN_RERANK_SCORE
by_default         bool
enable_chunking    bool
max_tokens_per_doc int

[ingest]
chunk_size                            int
chunk_overlap_size                    int
summary_language                      str
summary_max_tokens                    int
summary_context_size                  int
summary_length_recommended            int
force_llm_summary_on_merge            int
max_parallel_insert                   int
max_parallel_analyze                  int
max_parallel_parse_native             int
max_parallel_parse_docling            int
max_parallel_parse_mineru             int
max_pending_documents                 int
max_gleaning                          int
max_extract_input_tokens              int
max_extraction_records                int
max_extraction_entities               int
max_source_ids_per_entity             int
max_source_ids_per_relation           int
source_ids_limit_method               str
max_file_paths                        int
entity_type_prompt_file               str
entity_extraction_use_json            bool
enable_content_headings               bool
scan_enqueue_batch_size               int
pipeline_scheduling_page_size         int
pipeline_require_strict_storage_reads bool
vlm_process_enable                    bool
vlm_max_image_bytes                   int
vlm_min_image_pixel                   int

[query]
top_k                   int
chunk_top_k             int
max_entity_tokens       int
max_relation_tokens     int
max_total_tokens        int
cosine_threshold        float
max_graph_nodes         int
related_chunk_number    int
kg_chunk_pick_method    str
user_prompt_prefix      str
user_prompt_prefix_file str

[parsers]
parser                        str LIGHTRAG_PARSER
pdf_decrypt_password_secret   secret PDF_DECRYPT_PASSWORD
docling_endpoint              str
docling_do_ocr                bool
docling_force_ocr             bool
docling_ocr_engine            str
docling_ocr_lang              str
docling_ocr_preset            str
docling_engine_version        str
docling_do_formula_enrichment bool
mineru_api_mode               local|official
mineru_api_token_secret       secret MINERU_API_TOKEN
mineru_local_endpoint         str
mineru_local_backend          str
mineru_local_parse_method     str
mineru_official_endpoint      str
mineru_model_version          str
mineru_language               str
mineru_enable_table           bool
mineru_enable_formula         bool
mineru_is_ocr                 bool
mineru_page_ranges            str
mineru_poll_interval_seconds  float
mineru_max_polls              int
mineru_engine_version         str

[cloud]
azure_openai_endpoint          str
azure_openai_api_version       str
azure_openai_deployment        str
azure_openai_api_key_secret    secret AZURE_OPENAI_API_KEY
azure_embedding_endpoint       str
azure_embedding_api_version    str
azure_embedding_deployment     str
azure_embedding_api_key_secret secret AZURE_EMBEDDING_API_KEY
aws_region                     str
aws_access_key_id_secret       secret AWS_ACCESS_KEY_ID
aws_secret_access_key_secret   secret AWS_SECRET_ACCESS_KEY
aws_session_token_secret       secret AWS_SESSION_TOKEN
gemini_api_key_secret          secret GEMINI_API_KEY
google_api_key_secret          secret GOOGLE_API_KEY
google_genai_use_vertexai      bool
google_cloud_project           str
google_cloud_location          str
google_vertex_base_url         str
google_application_credentials str
openai_api_key_secret          secret OPENAI_API_KEY
jina_api_key_secret            secret JINA_API_KEY
cohere_api_key_secret          secret COHERE_API_KEY
voyage_api_key_secret          secret VOYAGE_API_KEY
dashscope_api_key_secret       secret DASHSCOPE_API_KEY
langfuse_public_key            str
langfuse_secret_key_secret     secret LANGFUSE_SECRET_KEY
langfuse_host                  str
langfuse_enable_trace          bool

[openai OPENAI_LLM_]
temperature           float
top_p                 float
frequency_penalty     float
presence_penalty      float
max_tokens            int
max_completion_tokens int
reasoning_effort      str
safety_identifier     str
service_tier          str
stop                  json
extra_body            json

[ollama OLLAMA_LLM_]
num_ctx           int
num_predict       int
num_keep          int
seed              int
top_k             int
repeat_last_n     int
mirostat          int
num_batch         int
num_gpu           int
main_gpu          int
num_thread        int
temperature       float
top_p             float
tfs_z             float
typical_p         float
min_p             float
repeat_penalty    float
presence_penalty  float
frequency_penalty float
mirostat_tau      float
mirostat_eta      float
numa              bool
low_vram          bool
f16_kv            bool
logits_all        bool
vocab_only        bool
use_mmap          bool
use_mlock         bool
embedding_only    bool
penalize_newline  bool
stop              json

[gemini GEMINI_LLM_]
temperature         float
top_p               float
top_k               int
max_output_tokens   int
candidate_count     int
presence_penalty    float
frequency_penalty   float
stop_sequences      json
seed                int
thinking_config     json
safety_settings     json
embedding_task_type str GEMINI_EMBEDDING_TASK_TYPE

[bedrock BEDROCK_LLM_]
temperature    float
top_p          float
max_tokens     int
stop_sequences json
extra_fields   json

[postgresql POSTGRES_]
workspace                     str
max_connections               int
ssl_mode                      disable|allow|prefer|require|verify-ca|verify-full
ssl_root_cert                 str
ssl_cert                      str
ssl_key                       str
ssl_crl                       str
vector_index_type             HNSW|HNSW_HALFVEC|IVFFLAT|VCHORDRQ
hnsw_m                        int
hnsw_ef                       int
ivfflat_lists                 int
vchordrq_build_options        str
vchordrq_probes               str
vchordrq_epsilon              float
connection_retries            int
connection_retry_backoff      float
connection_retry_backoff_max  float
pool_close_timeout            float
statement_cache_size          int
server_settings               str
age_allow_unsupported_version bool
upsert_max_payload_bytes      int
upsert_max_records_per_batch  int
delete_max_records_per_batch  int

[neo4j NEO4J_]
uri                            str
database                       str
workspace                      str
max_connection_pool_size       int
connection_timeout             float
connection_acquisition_timeout float
max_transaction_retry_time     float
max_connection_lifetime        float
liveness_check_timeout         float
keep_alive                     bool

[redis REDIS_]
workspace             str
max_connections       int
socket_timeout        float
connect_timeout       float
retry_attempts        int
allow_eviction_policy bool

[mongodb MONGO_]
workspace                    str MONGODB_WORKSPACE
graph_bfs_mode               str
upsert_max_payload_bytes     int
upsert_max_records_per_batch int
delete_max_records_per_batch int

[qdrant QDRANT_]
workspace                    str
upsert_max_payload_bytes     int
upsert_max_records_per_batch int QDRANT_UPSERT_MAX_POINTS_PER_BATCH
delete_max_records_per_batch int QDRANT_DELETE_MAX_POINTS_PER_BATCH

[milvus MILVUS_]
workspace                    str
token_secret                 secret MILVUS_TOKEN
db_name                      str
index_type                   str
metric_type                  str
hnsw_m                       int
hnsw_ef                      int
hnsw_ef_construction         int
hnsw_sq_type                 str
hnsw_sq_refine               bool
hnsw_sq_refine_type          str
hnsw_sq_refine_k             int
ivf_nlist                    int
ivf_nprobe                   int
upsert_max_payload_bytes     int
upsert_max_records_per_batch int
delete_max_records_per_batch int

[memgraph MEMGRAPH_]
workspace str
database  str

[opensearch OPENSEARCH_]
workspace                    str
use_ssl                      bool
verify_certs                 bool
timeout                      int
max_retries                  int
number_of_shards             int
number_of_replicas           int
knn_ef_construction          int
knn_ef_search                int
knn_m                        int
use_ppl_graphlookup          bool
upsert_max_payload_bytes     int
upsert_max_records_per_batch int
delete_max_records_per_batch int
"""


@dataclass(frozen=True)
class Option:
    """The variable that an option sets, and what it may be."""

    env: str
    kind: str
    choices: tuple[str, ...] = ()


def _read(table: str) -> Iterator[tuple[str, str, Option]]:
    section = prefix = ""
    for line in filter(None, table.splitlines()):
        if line.startswith("["):
            section, _space, prefix = line.strip("[]").partition(" ")
            continue
        name, kind, *env = line.split()
        choices = tuple(kind.split("|")) if "|" in kind else ()
        yield section, name, Option(env[0] if env else prefix + name.upper(), "str" if choices else kind, choices)


def _groups() -> dict[str, dict[str, Option]]:
    groups: dict[str, dict[str, Option]] = {}
    for section, name, option in _read(TABLE):
        groups.setdefault(section, {})[name] = option
    # Ollama takes the same settings for embeddings
    groups["ollama_embedding"] = {
        name: Option(option.env.replace("OLLAMA_LLM_", "OLLAMA_EMBEDDING_"), option.kind) for name, option in groups["ollama"].items()
    }
    return groups


GROUPS = _groups()

# What can be set for each of LightRAG's own roles (lightrag_llm_roles): EXTRACT_LLM_MODEL, QUERY_MAX_ASYNC_LLM, ...
ROLES = ("extract", "keyword", "query", "vlm")
ROLE_OPTIONS: dict[str, Option] = {
    **{name: GROUPS["llm"][name] for name in ("binding", "model", "host", "api_key_secret", "timeout", "max_async")},
    **{name: option for name, option in GROUPS["cloud"].items() if name.startswith("aws_")},
}


def role_option(role: str, name: str) -> Option:
    """The option of one of LightRAG's roles."""
    base = ROLE_OPTIONS[name]
    return Option(f"{role.upper()}_{base.env}", base.kind, base.choices)
