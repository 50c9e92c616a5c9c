"""Where results go out."""
