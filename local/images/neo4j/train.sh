#!/usr/bin/env bash
# Start the server once with a throw-away database and archive the classes it loaded (class data sharing).
set -euo pipefail
H=/var/lib/neo4j W=/tmp/training
mkdir -p $W/conf
cat > $W/conf/neo4j.conf <<CONF
server.default_listen_address=127.0.0.1
server.directories.data=$W/data
server.directories.logs=$W/logs
server.directories.run=$W
server.bolt.enabled=true
server.http.enabled=true
server.https.enabled=false
dbms.usage_report.enabled=false
server.memory.pagecache.size=64m
CONF
java @$H/java.options -Xmx512m -XX:ArchiveClassesAtExit=/tmp/neo4j.jsa -Xlog:cds=off -cp "$(cat $H/classpath)" \
  org.neo4j.server.CommunityEntryPoint --home-dir=$W --config-dir=$W/conf --console-mode > $W/out 2>&1 & pid=$!
for _ in $(seq 240); do
  grep -q 'Started\.' $W/out && break
  kill -0 $pid || { cat $W/out; exit 1; }
  sleep 0.5
done
kill $pid
wait $pid || true
rm -rf $W
test -s /tmp/neo4j.jsa
