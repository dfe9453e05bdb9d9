"""All of Profile's SQL, a file for each aggregate."""
