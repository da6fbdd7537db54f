DROP TABLE events.expiry;
