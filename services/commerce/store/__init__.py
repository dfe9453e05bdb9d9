"""All SQL of Commerce, one file an aggregate."""
