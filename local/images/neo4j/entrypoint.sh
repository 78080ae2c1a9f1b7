#!/usr/bin/env bash
# Neo4j Community from its jars. NEO4J_AUTH=neo4j/PASSWORD (or none, or NEO4J_AUTH_FILE); NEO4J_<setting>=... goes into neo4j.conf.
set -euo pipefail; umask 077
H=/var/lib/neo4j C=/var/lib/neo4j/conf
[ "${1:-neo4j}" = neo4j ] || exec "$@"
conf=$C/neo4j.conf
{ cat <<CONF
server.default_listen_address=0.0.0.0
server.directories.data=/data
server.directories.logs=/data/logs
server.directories.run=/tmp
server.bolt.enabled=true
server.bolt.listen_address=:7687
server.http.enabled=true
server.http.listen_address=:7474
server.https.enabled=false
dbms.usage_report.enabled=false
server.memory.pagecache.size=${NEO4J_server_memory_pagecache_size:-128m}
CONF
  env -0 | while IFS='=' read -r -d '' k v; do case $k in
    NEO4J_server_memory_pagecache_size|NEO4J_server_memory_heap_*) ;;
    NEO4J_[a-z]*) k=${k#NEO4J_}; k=${k//__/$'\1'}; k=${k//_/.}; printf '%s=%s\n' "${k//$'\1'/_}" "$v" ;; esac; done
} > "$conf"
[ -z "${NEO4J_AUTH_FILE:-}" ] || NEO4J_AUTH=$(cat "$NEO4J_AUTH_FILE")
case ${NEO4J_AUTH:-} in
  none) echo dbms.security.auth_enabled=false >> "$conf" ;;
  neo4j/?*) if [ ! -e /data/dbms/auth.ini ] && [ ! -e /data/databases/system ]; then
      a=$(mktemp); p=${NEO4J_AUTH#neo4j/}; p=${p//\\/\\\\}; p=${p//\"/\\\"}
      printf 'set-initial-password\n--\n"%s"\n' "$p" > "$a"           # picocli @file: not on argv
      NEO4J_HOME=$H NEO4J_CONF=$C java @$H/java.options -Xmx128m -cp "$(cat $H/classpath)" org.neo4j.cli.AdminTool dbms "@$a" || { rm -f "$a"; exit 1; }
      rm -f "$a"; fi ;;
  ?*) echo 'NEO4J_AUTH must be none or neo4j/PASSWORD' >&2; exit 1 ;;
esac
unset NEO4J_AUTH
archive=()
[ ! -e $H/neo4j.jsa ] || archive=(-XX:SharedArchiveFile=$H/neo4j.jsa -Xshare:auto -Xlog:cds=off)
# NEO4J_JAVA_OPTIONS comes last, so that it can take back what java.options sets for a quick start.
# shellcheck disable=SC2086
exec java @$H/java.options "${archive[@]}" -Xms"${NEO4J_server_memory_heap_initial__size:-256m}" \
  -Xmx"${NEO4J_server_memory_heap_max__size:-512m}" ${NEO4J_JAVA_OPTIONS:-} \
  -cp "$(cat $H/classpath)" org.neo4j.server.CommunityEntryPoint --home-dir=$H --config-dir=$C --console-mode
