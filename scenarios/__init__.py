"""The scenarios that ship with exoabm: one TOML file and one Markdown page per question."""
