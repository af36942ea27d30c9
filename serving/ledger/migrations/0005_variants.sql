-- Wordings of messages, with stand-ins, by what competes with what; the shield's template is one of each kind without a
-- row. A text never changes: an edited one is another.
CREATE TABLE variants (
    variant_id TEXT NOT NULL PRIMARY KEY,
    offer TEXT NOT NULL,
    channel TEXT NOT NULL,
    tone TEXT NOT NULL,
    text TEXT NOT NULL,
    author TEXT NOT NULL CHECK (author IN ('model', 'person')),
    state TEXT NOT NULL CHECK (state IN ('proposed', 'approved', 'refused', 'retired')),
    rules_version TEXT NOT NULL,
    proposed_at REAL NOT NULL,
    proposed_by TEXT NOT NULL,
    decided_at REAL,
    decided_by TEXT,
    CHECK ((state = 'proposed') = (decided_at IS NULL)),
    CHECK ((decided_at IS NULL) = (decided_by IS NULL))
) STRICT;

-- Which wording a contact was sent, and with what probability it was drawn; empty where an older program chose.
ALTER TABLE contacts ADD COLUMN variant_id TEXT NOT NULL DEFAULT '';
ALTER TABLE contacts ADD COLUMN variant_propensity REAL NOT NULL DEFAULT 1;
CREATE INDEX contacts_of_variant ON contacts (variant_id) WHERE variant_id <> '';
