//! One cold file: what the manifest says about it, and what its first sector says.

use mainstay::model::{ColdRecord, ColdSeq, Manifest, ShardId, ShardRecord};
use mainstay::storage::cold::{ColdHeader, ColdId, NoHeader, SECTOR_BYTES};
use mainstay::storage::disk::Disk;
use serde::Serialize;

use super::super::directory::Directory;

/// A cold file.
#[derive(Debug, Serialize)]
pub struct Cold {
    /// Its number.
    pub cold: u64,
    /// Its length, as recorded.
    pub bytes: u64,
    /// How many values it has, needed or not.
    pub values: u64,
    /// Whose working state it was made for.
    pub incarnation: u64,
    /// No working state refers to it any more.
    pub released: bool,
    /// Those that refer to it.
    pub snapshots: Vec<u64>,
    /// What is wrong with it, as far as its length and its header tell.
    pub error: Option<String>,
}

impl Cold {
    /// Looks at a shard's cold files.
    pub fn all(dir: &Directory, manifest: &Manifest, shard: ShardId, record: &ShardRecord) -> Vec<Self> {
        let all = record.cold.iter().map(|(file, cold)| {
            let id = ColdId { directory: manifest.directory, shard, file: *file };
            Self::new(dir, id, cold, naming(record, *file))
        });
        all.collect()
    }

    fn new(dir: &Directory, id: ColdId, record: &ColdRecord, snapshots: Vec<u64>) -> Self {
        Self {
            cold: id.file.0,
            bytes: record.bytes,
            values: record.values,
            incarnation: record.incarnation.0,
            released: record.released,
            snapshots,
            error: wrong(dir, id, record),
        }
    }
}

fn naming(record: &ShardRecord, file: ColdSeq) -> Vec<u64> {
    let naming = record.snapshots.iter().filter(|(_, snapshot)| snapshot.cold.contains(&file));
    naming.map(|(number, _)| number.0).collect()
}

fn wrong(dir: &Directory, id: ColdId, record: &ColdRecord) -> Option<String> {
    let mut header = [0; SECTOR_BYTES];
    let path = dir.layout.cold(id.shard, id.file);
    let looked = dir.disk.open(&path).and_then(|file| Ok((file.size()?, file.read_at(&mut header, 0)?)));
    let bytes = match looked {
        Ok((bytes, _)) => bytes,
        Err(error) => return Some(error.to_string()),
    };
    match ColdHeader::decode(&header) {
        Err(NoHeader::Newer(found)) => Some(format!("newer code has written it, in format {found}")),
        Err(NoHeader::Invalid) => Some("its header does not verify".to_owned()),
        Ok((header, _)) if header.id != id => {
            Some("it does not belong here: its header names another place".to_owned())
        }
        Ok(_) => (bytes != record.bytes).then(|| format!("its length is {bytes} bytes")),
    }
}
