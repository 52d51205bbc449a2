-- Deleting a run and naming one by its end look at one row instead of all.

CREATE INDEX runs_by_definition ON runs(definition);
-- An end that names a run has four characters or more: the last four are what all of them have.
CREATE INDEX runs_by_end ON runs(substr(id, -4));
