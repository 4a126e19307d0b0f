//! What requests ask for: data between the parsers and whoever carries it out.

use std::path::PathBuf;

use bytes::Bytes;
use mainstay::VersionId;
use mainstay::kv::Command;

/// A request that makes sense.
pub enum Action<'a> {
    /// Change one key.
    Write(Command, Shape),
    /// Store several keys, split by shard.
    SetMany(Vec<(Bytes, Bytes)>),
    /// Remove several keys, split by shard.
    Delete(Vec<Bytes>),
    /// Look at some keys.
    Read(Read<'a>),
    /// Look at all keys, or clear them.
    Keyspace(Keyspace<'a>),
    /// Save the data, or look at what was saved.
    Saving(Saving),
    /// About the connection or the server.
    Session(Session<'a>),
}

/// How the reply of a command is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `OK`, or null if it was not stored.
    Status,
    /// The value that was there, or null.
    Value,
    /// A number; 1 or 0 for yes or no.
    Integer,
}

pub enum Read<'a> {
    Get(&'a [u8]),
    GetMany(Vec<&'a [u8]>),
    Exists(Vec<&'a [u8]>),
    Length(&'a [u8]),
    /// The time to live in units of so many milliseconds.
    Lifetime(&'a [u8], u64),
    Type(&'a [u8]),
}

pub enum Keyspace<'a> {
    Size,
    Scan(Scan<'a>),
    Keys(&'a [u8]),
    Clear,
    Digest,
}

/// `SCAN`.
pub struct Scan<'a> {
    pub cursor: u64,
    pub pattern: Option<&'a [u8]>,
    pub count: usize,
    /// Whether strings, the only type there is, were asked for.
    pub strings: bool,
}

/// Snapshots and versions.
pub enum Saving {
    /// `SAVE`
    Save,
    /// `BGSAVE`
    InBackground,
    /// `LASTSAVE`
    Last,
    /// `BGREWRITEAOF`
    Rewrite,
    /// `MAINSTAY MARK`
    Mark,
    /// `MAINSTAY VERSIONS`
    Versions,
    /// `MAINSTAY RETIRE`
    Retire(VersionId),
    /// `MAINSTAY ROLLBACK`
    RollBack(VersionId),
    /// `MAINSTAY BACKUP`
    Backup(PathBuf),
    /// `MAINSTAY HELP`
    Help,
}

pub enum Session<'a> {
    Ping(Option<&'a [u8]>),
    Echo(&'a [u8]),
    Hello(Hello),
    Select,
    ClientId,
    ClientName,
    ClientSetName(Bytes),
    ClientInfo,
    /// A request that changes nothing here and is always granted.
    Granted,
    ConfigGet(Vec<&'a [u8]>),
    CommandCount,
    CommandInfo(Option<Vec<&'a [u8]>>),
    CommandList,
    CommandDocs,
    Info(Vec<&'a [u8]>),
    Time,
    Quit,
    Shutdown,
}

/// `HELLO`.
#[derive(Default)]
pub struct Hello {
    /// 2 or 3.
    pub version: Option<u8>,
    pub name: Option<Bytes>,
}

impl Read<'_> {
    /// The keys that it looks at.
    pub fn keys(&self) -> &[&[u8]] {
        match self {
            Self::Get(key) | Self::Length(key) | Self::Lifetime(key, _) | Self::Type(key) => std::slice::from_ref(key),
            Self::GetMany(keys) | Self::Exists(keys) => keys,
        }
    }
}
