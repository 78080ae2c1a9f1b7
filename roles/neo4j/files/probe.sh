# Is the server ready? Logs in and runs a query over HTTP, with nothing but bash: the image's own client takes seconds to start.
# A refused login counts as an answer, so that a changed password does not take the server out of service.
set -u
(exec 3<> /dev/tcp/127.0.0.1/7687) || exit 1
exec 4<> /dev/tcp/127.0.0.1/7474 || exit 1
body='{"statements":[{"statement":"RETURN 1"}]}'
login=$(printf '%s:%s' "$DB_ADMIN_USER" "$DB_ADMIN_PASSWORD" | base64 -w0)
printf 'POST /db/neo4j/tx/commit HTTP/1.0\r\nAuthorization: Basic %s\r\nContent-Type: application/json\r\nContent-Length: %s\r\n\r\n%s' \
  "$login" "${#body}" "$body" >&4
answer=$(timeout 8 cat <&4)
case $answer in
  *'"errors":[]'*) exit 0 ;;
  *Unauthorized* | *RateLimit* | *CredentialsExpired*) exit 0 ;;
esac
exit 1
