# This package has no targets.
