-- The rollback: `mesh migrate down` runs it.
DROP TABLE totals;
DROP TABLE item;
