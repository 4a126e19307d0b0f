//! Every file of a log, not only the last: flipped bytes of its header and of what is sealed in it.

use std::collections::BTreeSet;

use mainstay::model::Edit;
use mainstay::storage::chain::Link;
use mainstay::storage::frame;
use mainstay::{LogError, Lsn, ShardId};

use crate::log::{Rest, headers, history, reseal};
use crate::scene::{FRAME_HEADER, SEGMENT_HEADER, segment};

/// The last position in front of a file that its predecessors' headers and the manifest know of.
fn proven(rest: &Rest, chain: &[Link], at: usize) -> Lsn {
    let before = &chain[..at];
    let headers = before.iter().map(|link| link.header.follows.end);
    let seals = before.iter().filter_map(|link| Some(rest.sealed(link)?.end));
    let begins = rest.manifest.shards[0].epochs.iter().filter(|epoch| epoch.segment == chain[at].header.segment);
    headers.chain(seals).chain(begins.map(|epoch| epoch.first)).max().unwrap_or(Lsn::FIRST)
}

/// Guards F12, F14: a file whose header cannot be read is named, with a position that is in front of it and not in
/// front of what is proven.
#[tokio::test]
async fn every_flipped_byte_of_every_header_names_its_file_and_a_position_in_front_of_it() {
    for closed in [false, true] {
        let rest = history(closed, |_, _| {}).await;
        let chain = rest.chain();
        let opened: BTreeSet<_> = chain.iter().map(|link| link.header.opened as u32).collect();
        assert_eq!(opened, BTreeSet::from([1, 2, 3]), "begin, roll and move");
        assert_eq!(chain.last().unwrap().header.epoch.0, 3);
        for (place, link) in chain.iter().enumerate() {
            let (least, most) = (proven(&rest, &chain, place), link.header.follows.end);
            assert!(least <= most);
            for at in 0..SEGMENT_HEADER {
                match rest.read_flipped(&link.path, at) {
                    Err(LogError::Damaged { path, offset: 0, lsn, .. }) => {
                        assert_eq!(path, link.path, "byte {at}");
                        assert!(lsn >= least, "{} byte {at}: {lsn} is in front of {least}", path.display());
                        assert!(lsn <= most, "{} byte {at}: {lsn} is behind {most}", path.display());
                    }
                    other => panic!("{} byte {at}: {other:?}", link.path.display()),
                }
            }
        }
    }
}

/// Guards F12: what is sealed has to be there to the byte, and what lies behind its end or is padding is nobody's.
#[tokio::test]
async fn every_flipped_byte_of_a_sealed_frame_is_damage_and_of_its_padding_is_nothing() {
    let rest = history(false, |_, _| {}).await;
    let whole = rest.read().unwrap();
    assert_eq!(whole.commands.len(), 36);
    let chain = rest.chain();
    let mut frames = 0;
    for link in &chain {
        if link.ends.is_none() {
            continue;
        }
        for (at, header) in headers(&rest.bytes(&link.path)) {
            let padding = at + FRAME_HEADER + header.payload_bytes as usize;
            let next = at + header.bytes() as usize;
            let payload = (at + FRAME_HEADER..padding).step_by(7);
            for byte in (at..at + FRAME_HEADER).chain(payload).chain([padding - 1]) {
                match rest.read_flipped(&link.path, byte) {
                    Err(LogError::Damaged { path, offset, lsn, .. }) => {
                        assert_eq!((path, offset, lsn), (link.path.clone(), at as u64, header.first), "byte {byte}");
                    }
                    other => panic!("{} byte {byte}: {other:?}", link.path.display()),
                }
            }
            for byte in padding..next {
                assert_eq!(rest.read_flipped(&link.path, byte).unwrap(), whole, "padding at {byte}");
            }
            frames += 1;
        }
    }
    assert!(frames > 20, "{frames} frames");
}

/// Guards F4, F10: a frame that a failed sync has left behind the end of its file is nobody's, although it verifies
/// and continues the log.
#[tokio::test]
async fn a_frame_behind_a_recorded_end_is_never_read() {
    let rest = history(false, |_, _| {}).await;
    let whole = rest.read().unwrap();
    let chain = rest.chain();
    let mut tried = 0;
    for (link, next) in chain.iter().zip(&chain[1..]) {
        let (mut bytes, following) = (rest.bytes(&link.path), rest.bytes(&next.path));
        let (ends, length) = (link.ends.unwrap(), headers(&following)[0].1.bytes() as usize);
        let at = ends.offset as usize;
        if at + length > bytes.len() {
            continue;
        }
        bytes[at..at + length].copy_from_slice(&following[SEGMENT_HEADER..SEGMENT_HEADER + length]);
        bytes[at + 8..at + 16].copy_from_slice(&link.header.epoch.0.to_le_bytes());
        bytes[at + 64..at + 96].copy_from_slice(&ends.hash);
        reseal(&mut bytes, at);
        assert!(frame::verify(&bytes[at..], &link.header.salt).is_some());
        assert_eq!(rest.read_with(&link.path, &bytes).unwrap(), whole, "{}", link.path.display());
        tried += 1;
    }
    assert!(tried > 1, "{tried} files with room behind their end");
}

/// Guards F32: a spare is not data, whatever is in its first bytes.
#[tokio::test]
async fn a_flipped_byte_of_a_spare_changes_nothing() {
    let mut rest = history(false, |_, _| {}).await;
    let whole = rest.read().unwrap();
    let record = rest.manifest.shards[0].clone();
    let (incarnation, spare) = (record.incarnation, record.next_segment);
    rest.manifest.apply(&Edit::Register { shard: ShardId(0), incarnation, segment: spare, bytes: 4096 }).unwrap();
    let path = segment(0, spare.0);
    rest.sim.put(&path, &[0; 4096]);
    for at in 0..SEGMENT_HEADER {
        assert_eq!(rest.read_flipped(&path, at).unwrap(), whole, "byte {at}");
    }
    assert!(rest.read_flipped(&path, SEGMENT_HEADER).is_err(), "nothing was ever written behind no header");
}
