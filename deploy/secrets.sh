#!/bin/sh
# Writes the passwords and keys of an installation into a file that only its owner can read. compose.yaml reads
# deploy/.env, the systemd units read /etc/kronos/secrets.env:
#   deploy/secrets.sh [FILE]
# A secret that the file has already stays as it is. To replace one, delete its line and run this again;
# docs/deploying.md says what to restart.
set -eu
umask 077

file=${1:-$(dirname "$0")/.env}
touch "$file"
chmod 600 "$file"
[ -z "$(tail -c 1 "$file")" ] || echo >>"$file" # the next line must not continue an unfinished one

random() {
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}

value() {
    sed -n "s/^$1=//p" "$file" | tail -n 1
}

# add NAME VALUE: appends the line unless the file has one of this name.
add() {
    grep -q "^$1=." "$file" || printf '%s=%s\n' "$1" "$2" >>"$file"
}

add POSTGRES_PASSWORD "$(random)"        # the owner of the tables, for migrations, flows and Prefect
add SERVER_ROLE_PASSWORD "$(random)"     # the database's role kronos_server, which only reads
add KRONOS_API_KEYS "$(random)"          # what the inference server accepts …
add KRONOS_API_KEY "$(value KRONOS_API_KEYS | cut -d , -f 1)"  # … and the flows and Prometheus send
add KRONOS_ADMIN_KEYS "$(random)"        # /admin of the inference server
add PREFECT_SERVER_API_AUTH_STRING "admin:$(random)"  # what Prefect's API and page accept …
add PREFECT_API_AUTH_STRING "$(value PREFECT_SERVER_API_AUTH_STRING)" # … and its worker and commands send
add GRAFANA_ADMIN_PASSWORD "$(random)"   # the user admin of Grafana
echo "secrets are in $file"
