DROP TABLE contract;
DROP TABLE spool_chunk;
DROP TABLE spool;
DROP TABLE quarantine;
DROP TABLE unit;
DROP TABLE source;
