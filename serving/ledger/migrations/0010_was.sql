-- What a setting was before somebody changed it; empty where there was nothing, or an older program wrote the change.
ALTER TABLE changes ADD COLUMN was TEXT NOT NULL DEFAULT '';
-- The wording in whose place this one was edited, which is sent until this one is approved; empty: in nobody's.
ALTER TABLE variants ADD COLUMN replaces TEXT NOT NULL DEFAULT '';
