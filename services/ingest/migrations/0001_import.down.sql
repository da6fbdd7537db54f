DROP TABLE invoice;
DROP TABLE return_row;
DROP TABLE rejected_row;
DROP TABLE accepted_row;
DROP TABLE import;
