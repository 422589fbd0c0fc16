# This package has no targets of its own.
