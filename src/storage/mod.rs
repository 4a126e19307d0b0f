//! Bytes and files: formats, and the door to the disk. Synchronous; knows nothing of actors or protocols.

pub mod bytes;
pub mod codec;
pub mod disk;
pub mod frame;
pub mod segment;
pub mod error;
pub mod layout;
pub mod line;
pub mod manifest_log;
pub mod chain;
pub mod recovery;
pub mod segment_file;
