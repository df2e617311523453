"""Everything that touches text or weights."""

from workers.ray_address import expect_token

expect_token()
