-- Since when the campaign contacts nobody, for a while; NULL where it does.
ALTER TABLE campaigns ADD COLUMN paused_at REAL;
