#!/bin/sh
# Runs once, when PostgreSQL makes its files: the two roles and the database, as leaky_tokens/local/postgres.py does.
# The owner migrates; the application cannot rewrite the ledger. psql reads the passwords from the environment itself,
# so that they are in no process list.
set -eu

: "${POSTGRES_OWNER_PASSWORD:?}" "${POSTGRES_APP_PASSWORD:?}"

psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\getenv owner_password POSTGRES_OWNER_PASSWORD
\getenv app_password POSTGRES_APP_PASSWORD
CREATE ROLE leaky_owner LOGIN CREATEDB PASSWORD :'owner_password';
CREATE ROLE leaky_app LOGIN PASSWORD :'app_password';
CREATE DATABASE leaky_tokens OWNER leaky_owner;
SQL
