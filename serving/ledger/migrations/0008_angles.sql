-- The reason to leave that a wording speaks to; empty: to none.
ALTER TABLE variants ADD COLUMN angle TEXT NOT NULL DEFAULT '';
