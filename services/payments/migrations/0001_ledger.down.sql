-- The books are deleted.
DROP TABLE posting;
DROP TABLE ledger_event;
DROP TABLE payment;
DROP TABLE account;
DROP FUNCTION check_payment;
DROP FUNCTION check_postings;
DROP FUNCTION refuse_change;
