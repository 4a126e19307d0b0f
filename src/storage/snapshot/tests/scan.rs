//! What is compared with the digest of a snapshot's entries, and what is not.

use super::*;
use crate::model::{Digest, TakeDigest};

/// The sum of the entries' hashes, byte by byte.
#[derive(Default)]
struct Sum([u8; 32]);

impl TakeDigest for Sum {
    fn take(&mut self, key: &[u8], value: &[u8]) {
        let entry = blake3::hash(&[key, b"=", value].concat());
        self.0.iter_mut().zip(entry.as_bytes()).for_each(|(sum, byte)| *sum = sum.wrapping_add(*byte));
    }

    fn taken(&self) -> [u8; 32] {
        self.0
    }
}

/// A file whose footer says that its entries make this.
fn scanned(footer: Option<[u8; 32]>) -> Result<Scanned, SnapshotError> {
    let disk = disk();
    let mut writer = SnapshotWriter::create(&disk, &layout(), header()).unwrap();
    small().iter().for_each(|(key, value)| writer.entry(key, Value::Here(value)).unwrap());
    let written = writer.finish(footer).unwrap();
    scan::<Sum>(&disk, &layout(), &expected(&written))
}

#[test]
fn a_digest_is_held_against_all_that_were_recorded_under_its_schema() {
    let plain = scanned(None).unwrap();
    let hash = plain.digest.unwrap().hash;
    let mut sum = Sum::default();
    small().iter().for_each(|(key, value)| sum.take(key, value));
    assert_eq!(plain.digest, Some(Digest { hash: sum.0, schema: 3 }));
    assert_eq!((plain.summary.entries, plain.summary.digest), (3, None));

    let wrong = [1; 32];
    let of = |hash, schema| Digest { hash, schema };
    let compare = |recorded: &[Digest]| plain.compare(&path(), recorded.iter().copied());
    let refused = |result: Result<(), SnapshotError>| {
        matches!(result, Err(error @ SnapshotError::Digest { recorded, found, .. })
            if (recorded, found) == (wrong, hash) && error.is_damage())
    };
    compare(&[]).unwrap();
    compare(&[of(hash, 3), of(wrong, 2)]).unwrap();
    assert!(refused(compare(&[of(wrong, 3)])));
    assert!(refused(compare(&[of(hash, 3), of(wrong, 3)])));
    scanned(Some(hash)).unwrap().compare(&path(), [of(hash, 3)]).unwrap();
    assert!(refused(scanned(Some(wrong)).unwrap().compare(&path(), [])));
}

#[test]
fn what_does_not_verify_has_no_digest() {
    let disk = disk();
    let expect = expected(&write(&disk, &layout(), &small()).unwrap());
    disk.overwrite(path(), 330, &[9]).unwrap();
    assert!(matches!(scan::<Sum>(&disk, &layout(), &expect), Err(SnapshotError::Damaged { .. })));
}
