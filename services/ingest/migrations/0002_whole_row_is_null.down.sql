UPDATE rejected_row SET column_name = '' WHERE column_name IS NULL;
ALTER TABLE rejected_row ALTER COLUMN column_name SET NOT NULL;
