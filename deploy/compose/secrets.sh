#!/usr/bin/env bash
# Makes every secret of docker-compose.yml that is not there yet. Back up `deployment_key`: without it new events of a person no
# longer meet the old ones. The folder lets nobody else in; within their containers the files are read by users of other numbers.
set -euo pipefail
dir=$(cd "$(dirname "$0")" && pwd)/secrets
mkdir -p -m 700 "$dir"
for name in deployment_key clickhouse_password tokentrail_reader_password grafana_admin_password keycloak_admin_password keycloak_db_password keycloak_webhook keycloak_token backstage_token; do
  [ -e "$dir/$name" ] && continue
  (umask 077; openssl rand -hex 32 > "$dir/$name.part")
  chmod 444 "$dir/$name.part"
  mv "$dir/$name.part" "$dir/$name"
  echo "made $name"
done
# What ClickHouse is told of the reader's password: its hash. Made anew whenever the password is newer.
if [ ! "$dir/clickhouse_reader.xml" -nt "$dir/tokentrail_reader_password" ]; then
  hash=$(tr -d '\n' < "$dir/tokentrail_reader_password" | openssl dgst -sha256 -r | cut -c1-64)
  (umask 077; printf '<clickhouse><users><tokentrail_reader><password_sha256_hex>%s</password_sha256_hex></tokentrail_reader></users></clickhouse>\n' "$hash" > "$dir/clickhouse_reader.xml.part")
  chmod 444 "$dir/clickhouse_reader.xml.part"
  mv "$dir/clickhouse_reader.xml.part" "$dir/clickhouse_reader.xml"
  echo "made clickhouse_reader.xml"
fi
