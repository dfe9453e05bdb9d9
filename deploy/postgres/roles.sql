-- The roles and the database of one service, by psql:
--   psql --set=service=auth --set=password=... --set=owner_password=... --set=database=authdb --file=roles.sql
-- `service` works with the data. `owner` makes the tables: `lockstep migrate` connects as it.
\set owner :service '_owner'
CREATE ROLE :"owner" LOGIN PASSWORD :'owner_password';
CREATE ROLE :"service" LOGIN PASSWORD :'password';
CREATE DATABASE :"database" OWNER :"owner" TEMPLATE template0 ENCODING 'UTF8';
REVOKE CONNECT, TEMPORARY ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO :"service";
