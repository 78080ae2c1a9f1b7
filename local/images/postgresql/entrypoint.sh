#!/usr/bin/env bash
# initdb on an empty PGDATA from POSTGRES_{USER,PASSWORD[_FILE],DB}; then exec postgres.
set -euo pipefail
umask 077
[ "${1:-postgres}" = postgres ] || exec "$@"
[ $# -gt 0 ] && shift
: "${PGDATA:=/var/lib/postgresql/data/pgdata}" "${POSTGRES_USER:=postgres}"
: "${POSTGRES_DB:=$POSTGRES_USER}"
export PGDATA
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  mkdir -p "$PGDATA"
  pw=$(mktemp /tmp/pw.XXXXXX); trap 'rm -f "$pw"' EXIT
  if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then cat "$POSTGRES_PASSWORD_FILE" > "$pw"
  else printf '%s\n' "${POSTGRES_PASSWORD:?POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE is needed}" > "$pw"; fi
  initdb -D "$PGDATA" -U "$POSTGRES_USER" --pwfile="$pw" -E UTF8 --locale=C.UTF-8 --auth-host=scram-sha-256 --auth-local=trust
  rm -f "$pw"; trap - EXIT
  echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
  printf "listen_addresses = '*'\njit = off\n" >> "$PGDATA/postgresql.conf"
  pg_ctl -D "$PGDATA" -w -s -o "-c listen_addresses='' -c unix_socket_directories=/tmp" start
  q=(psql -v ON_ERROR_STOP=1 -X -q -h /tmp -U "$POSTGRES_USER")
  [ "$POSTGRES_DB" = postgres ] || "${q[@]}" -d postgres -v db="$POSTGRES_DB" <<< 'CREATE DATABASE :"db";'
  for f in /docker-entrypoint-initdb.d/*; do
    case $f in *.sh) bash "$f" ;; *.sql) "${q[@]}" -d "$POSTGRES_DB" -f "$f" ;; esac
  done
  pg_ctl -D "$PGDATA" -w -s -m fast stop
fi
unset POSTGRES_PASSWORD
socks=/tmp; [ ! -w /var/run/postgresql ] || socks=$socks,/var/run/postgresql   # read-only root: /tmp only
exec postgres -D "$PGDATA" -c unix_socket_directories="$socks" "$@"
