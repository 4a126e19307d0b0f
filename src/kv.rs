//! A ready-made machine of byte keys and values.
