#!/bin/sh
# Print the Secrets of a release, as `kubectl apply --filename -` takes them.
#
#   SMTP_URL=smtp://user:password@mail.example.com:587 ./secrets.sh lockstep .lockstep
#
# The first word is the name of the release, the second the data folder, in which
# `lockstep keys init` has made the keys. Passwords of databases are made once and kept there.
# With databases.create=false say DATABASES=none, and make the Secrets of the databases yourself.
#   CLUSTERS=separate   as databases.clusters has it (shared)
#   POOLER=on           as databases.pooler.enabled has it (off)
# With relay.enabled=true say NATS_URL=nats://nats.example.com:4222, after `lockstep keys init
# --service relay`. NATS_CREDENTIALS and NATS_CA name the files of nats.credentials and nats.ca.
set -eu
umask 077
release=${1:?the name of the release} folder=${2:?the data folder with the keys}
kubectl=${KUBECTL:-kubectl}
keys=$folder/keys passwords=$folder/database-passwords
: "${SMTP_URL:?the URL of the mail server}"

# Values are in files, because everybody on this machine can read arguments.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

secret() {
    name=$release-$1
    shift
    echo ---
    "$kubectl" create secret generic "$name" --dry-run=client --output yaml "$@"
}

password() {
    mkdir -p "$passwords"
    [ -s "$passwords/$1" ] || head -c 24 /dev/urandom | base64 | tr '+/' '-_' | tr -d '\n' >"$passwords/$1"
    cat "$passwords/$1"
}

# url ROLE HOST SERVICE
url() {
    printf 'postgresql://%s:%s@%s:5432/%sdb?sslmode=verify-full&sslrootcert=/run/secrets/%s-database-ca/ca.crt' \
        "$1" "$(cat "$scratch/password")" "$2" "$3" "$3"
}

# database NAME ROLE HOST SERVICE [HOST OF THE STANDBYS]
database() {
    printf %s "$2" >"$scratch/username"
    password "$2" >"$scratch/password"
    url "$2" "$3" "$4" >"$scratch/url"
    [ -z "${5:-}" ] || url "$2" "$5" "$4" >"$scratch/read-url"
    secret "$1-database" --type=kubernetes.io/basic-auth --from-file="$scratch/username" \
        --from-file="$scratch/password" --from-file="$scratch/url" \
        ${5:+--from-file="$scratch/read-url"}
}

secret trusted --from-file="$keys/trusted.json"
for process in auth profile commerce gateway operator; do
    secret "$process-keys" --from-file="$keys/$process"
done
secret auth-tokens --from-file="$keys/auth/tokens"

printf %s "$SMTP_URL" >"$scratch/url"
secret smtp --from-file="$scratch/url"

if [ -n "${NATS_URL:-}" ]; then
    secret relay-keys --from-file="$keys/relay"
    printf %s "$NATS_URL" >"$scratch/url"
    secret nats --from-file="$scratch/url" \
        ${NATS_CREDENTIALS:+--from-file=relay.creds="$NATS_CREDENTIALS"} \
        ${NATS_CA:+--from-file=ca.crt="$NATS_CA"}
fi

[ "${DATABASES:-cloudnative-pg}" != none ] || exit 0
for service in auth profile commerce; do
    cluster=$release-db
    [ "${CLUSTERS:-shared}" != separate ] || cluster=$release-$service-db
    primary=$cluster-rw served=$cluster-rw
    [ "${POOLER:-off}" != on ] || served=$cluster-pooler
    standbys=
    [ "$service" != commerce ] || standbys=$cluster-ro
    database "$service" "$service" "$served" "$service" "$standbys"
    database "$service-owner" "${service}_owner" "$primary" "$service"
done
