-- The rows of a run lie side by side in every index, so that a run in which nothing had to be done costs the same however
-- many were before it.

-- By name only what has results of its own: steps that ran, those that took over what a deleted run had made, those of
-- other workspaces.
DROP INDEX steps_by_name;
CREATE INDEX steps_by_name ON steps(name, run_id) WHERE attempts > 0 OR source_run IS NULL;
CREATE INDEX steps_by_run_and_name ON steps(run_id, name);
DROP INDEX steps_by_source;
CREATE INDEX steps_by_source ON steps(source_run, run_id, source_step) WHERE source_run IS NOT NULL;
