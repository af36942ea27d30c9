"""Customer tables and texts: public sets by name, a user's own tables by YAML schema, splits and catalog.

`loading.load(name)` gives a checked Table, `splits.split(table)` its 80/10/10 row positions.
Texts are in modules of their own: `messages` (the retention corpus), `text_loading` (public sets), `texts`.
"""
