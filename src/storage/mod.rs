//! Bytes and files: formats, and the door to the disk. Synchronous; knows nothing of actors or protocols.

pub mod backup;
pub mod bytes;
pub mod chain;
pub mod codec;
pub mod cold;
pub mod disk;
pub mod error;
pub mod frame;
pub mod layout;
pub mod line;
pub mod manifest_log;
mod new_file;
pub mod recovery;
pub mod segment;
pub mod segment_file;
pub mod snapshot;
