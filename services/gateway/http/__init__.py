"""Requests, responses, headers, and the calls that are made for them."""
