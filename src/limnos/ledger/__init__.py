"""The events, linked by hashes, and what is read from them."""
