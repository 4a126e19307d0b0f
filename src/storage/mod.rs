//! Bytes and files: formats, and the door to the disk. Synchronous; knows nothing of actors or protocols.

pub mod disk;
