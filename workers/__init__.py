"""Everything that touches text or weights."""
