-- What operators have done is forgotten.
DROP TABLE desk.act;
