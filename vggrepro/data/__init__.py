"""Images: how they lie on disk, the prepared store, and what happens to them before the net sees them."""
