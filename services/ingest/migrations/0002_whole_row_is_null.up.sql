-- A rejection that is about the whole row has no column: null, where it was an empty text.
ALTER TABLE rejected_row ALTER COLUMN column_name DROP NOT NULL;
UPDATE rejected_row SET column_name = NULL WHERE column_name = '';
