"""Everything that becomes a page or a picture."""
