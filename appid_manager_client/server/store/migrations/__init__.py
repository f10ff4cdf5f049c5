"""How the tables of one version become those of the next. Needs Alembic, of the extra `server`.

`versions` has one file for each schema, `steps` runs them. The number of the schema that a database
has stands in its table `meta`, where services of every version have looked for it; Alembic's own
table for that is not used.
"""
