#!/usr/bin/env bash
# Makes every secret of docker-compose.yml that is not there yet. Back up `deployment_key`: without it new events of a person no
# longer meet the old ones. The folder lets nobody else in; within their containers the files are read by users of other numbers.
set -euo pipefail
dir=$(cd "$(dirname "$0")" && pwd)/secrets
mkdir -p -m 700 "$dir"
for name in deployment_key clickhouse_password keycloak_admin_password keycloak_db_password keycloak_webhook keycloak_token backstage_token; do
  [ -e "$dir/$name" ] && continue
  (umask 077; openssl rand -hex 32 > "$dir/$name.part")
  chmod 444 "$dir/$name.part"
  mv "$dir/$name.part" "$dir/$name"
  echo "made $name"
done
