-- Orders say by which channel they came. Programs of the release before write rows without it: a trigger fills them. Rows
-- from before are filled in batches, while everything runs.
ALTER TABLE orders ADD COLUMN channel text;

CREATE FUNCTION fill_channel() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.channel := coalesce(NEW.channel, CASE NEW.origin WHEN 'CALLER' THEN 'CALLER' ELSE 'IMPORT' END);
    RETURN NEW;
END $$;

CREATE TRIGGER orders_fill_channel BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION fill_channel();
