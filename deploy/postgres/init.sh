#!/bin/sh
# Runs once, when the volume of PostgreSQL is new: two roles and a database a service.
set -eu
make() {
    psql --set=ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
        --set=service="$1" --set=database="$1db" --set=password="$2" --set=owner_password="$OWNER_PASSWORD" \
        --file=/roles.sql
}
make auth "$AUTH_PASSWORD"
make profile "$PROFILE_PASSWORD"
make commerce "$COMMERCE_PASSWORD"
