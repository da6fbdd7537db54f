-- Clients, keys and revocations are deleted: no credential is valid afterwards.
DROP TABLE signing_key;
DROP TABLE revocation;
DROP TABLE api_key;
DROP TABLE client_secret;
DROP TABLE client;
