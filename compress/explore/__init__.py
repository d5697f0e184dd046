"""The design space of a recipe: which points it has, what each costs before anything runs, and all of them run and compared."""
