"""All of Auth's SQL, a file for each aggregate."""
