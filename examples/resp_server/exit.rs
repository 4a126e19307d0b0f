//! Why the server ended, and the exit code that says so.

use std::io;
use std::process::ExitCode;

use mainstay::{LogError, ManifestError, OpenError, ShardId, ShutdownError};

/// The server could not start, or could not end in good order.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line asks for what cannot be.
    #[error("{0}")]
    Usage(String),
    /// The data cannot be read.
    #[error("{0}")]
    Corruption(String),
    /// Somebody else has the directory.
    #[error("{0}")]
    Locked(String),
    /// The system failed.
    #[error("{0}")]
    Io(String),
}

impl Failure {
    pub fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_) => 2,
            Self::Corruption(_) => 3,
            Self::Locked(_) => 4,
            Self::Io(_) => 5,
        })
    }

    /// A shard whose log was refused. The others would work, but half of the keys is not what a client expects.
    pub fn from_log(shard: ShardId, error: &LogError) -> Self {
        let text = format!("{shard}: {error}");
        match error {
            LogError::Disk(_) => Self::Io(text),
            _ => Self::Corruption(text),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let text = error.to_string();
        match error {
            OpenError::Options(_)
            | OpenError::Memory { .. }
            | OpenError::ShardCount { .. }
            | OpenError::NotADirectory { .. }
            | OpenError::NetworkFileSystem { .. } => Self::Usage(text),
            OpenError::Manifest(ManifestError::Disk(_)) => Self::Io(text),
            OpenError::Manifest(_) | OpenError::UnknownRouting { .. } => Self::Corruption(text),
            OpenError::Locked { .. } => Self::Locked(text),
            _ => Self::Io(text),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error.to_string())
    }
}

impl From<ShutdownError> for Failure {
    fn from(error: ShutdownError) -> Self {
        Self::Io(error.to_string())
    }
}
