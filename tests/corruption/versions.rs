//! Files of newer code: told of as such where the format says so first, and never taken for a torn end.

use std::path::PathBuf;

use mainstay::model::Lsn;
use mainstay::sim::SimDisk;
use mainstay::storage::line;
use mainstay::{LogError, ManifestError, OpenError, Runtime};

use crate::log::{Rest, headers, history, reseal, reseal_header, small_segments};
use crate::scene::{DIR, SEGMENT_HEADER, killed, open, options};
use crate::support::{Counters, add};

const NEWER: [u32; 3] = [2, 3, u32::MAX];

/// Guards F17, F20: a header that is whole and newer is not damage, wherever its file stands in the log, and with it
/// nothing is touched.
#[tokio::test]
async fn a_newer_segment_is_told_of_and_nothing_is_touched() {
    let rest = history(false, |_, _| {}).await;
    for link in rest.chain() {
        for version in NEWER {
            let mut bytes = rest.bytes(&link.path);
            bytes[8..12].copy_from_slice(&version.to_le_bytes());
            let unsealed = rest.read_with(&link.path, &bytes);
            assert!(matches!(unsealed, Err(LogError::Damaged { offset: 0, .. })), "a version without its hash");
            reseal_header(&mut bytes);
            for frames in [true, false] {
                let end = if frames { bytes.len() } else { SEGMENT_HEADER };
                let content = [&bytes[..end], &vec![0; bytes.len() - end]].concat();
                match rest.read_with(&link.path, &content) {
                    Err(LogError::NewerFormat { path, found, supported: 1 }) => {
                        assert_eq!((path, found), (link.path.clone(), version));
                    }
                    other => panic!("{} version {version}: {other:?}", link.path.display()),
                }
            }
        }
        let sim = rest.sim.after_kill();
        let mut bytes = rest.bytes(&link.path);
        bytes[8] = 2;
        reseal_header(&mut bytes);
        sim.put(&link.path, &bytes);
        sim.put(format!("{DIR}/shard-0/wal-{:016}.seg", 99), &[0; 4096]);
        let before = sim.files();
        let runtime = Runtime::open_on(sim.clone(), Counters, small_segments(Default::default())).await.unwrap();
        let (_, error) = runtime.recovery().refused().next().unwrap();
        assert!(matches!(error, LogError::NewerFormat { .. }), "{error}");
        drop(runtime);
        assert_eq!(before, sim.files(), "not even what is left over is swept");
    }
}

/// Guards F12: a frame's version is a matter of its segment's header. One that is newer all the same is no end of the
/// log where anything says that it was durable.
#[tokio::test]
async fn a_newer_frame_is_never_torn_where_there_is_evidence() {
    for closed in [false, true] {
        let rest = history(closed, |_, _| {}).await;
        let whole = rest.read().unwrap();
        let chain = rest.chain();
        for link in &chain {
            let bytes = rest.bytes(&link.path);
            let is_last = link.path == chain.last().unwrap().path;
            let frames = headers(&bytes);
            for (place, (at, header)) in frames.iter().enumerate() {
                let mut newer = bytes.clone();
                newer[at + 4] = 2;
                reseal(&mut newer, *at);
                let vouched = frames[place + 1..].iter().any(|(_, later)| later.durable_end > header.first);
                let may_be_torn = is_last && !closed && !vouched;
                match rest.read_with(&link.path, &newer) {
                    Err(LogError::Damaged { path, offset, lsn, .. }) if !may_be_torn => {
                        assert_eq!((&path, offset, lsn), (&link.path, *at as u64, header.first));
                    }
                    Ok(torn) if may_be_torn => {
                        let left = whole.commands.len() - header.count as usize;
                        assert!(torn.commands == whole.commands[..left], "other commands");
                        assert!(torn.recovered.torn_bytes > 0);
                    }
                    other => panic!("{} at {at}: {other:?}", link.path.display()),
                }
            }
        }
    }
}

async fn manifest_error(sim: &SimDisk) -> ManifestError {
    sim.put(format!("{DIR}/shard-0/wal-{:016}.seg", 99), &[0; 4096]);
    sim.put(format!("{DIR}/CURRENT.tmp"), b"half a li");
    let before = sim.files();
    let error = Runtime::open_on(sim.clone(), Counters, options(1)).await.unwrap_err();
    assert_eq!(before, sim.files());
    match error {
        OpenError::Manifest(error) => error,
        other => panic!("{other:?}"),
    }
}

/// Guards F28: a newer manifest or `CURRENT` is known by its first word, whatever the rest of it means.
#[tokio::test]
async fn a_newer_manifest_is_told_of_whatever_it_holds() {
    let sim = SimDisk::new(22);
    let runtime = open(&sim, 1).await;
    runtime.submit(add("a", 1)).await.unwrap();
    let base = killed(runtime, &sim).await;
    for (file, kind, known) in [("CURRENT", "current", 1), ("manifest-0000000000000001.log", "manifest", 2)] {
        let path = PathBuf::from(format!("{DIR}/{file}"));
        let old = base.read(&path).unwrap();
        let colon = old.iter().position(|byte| *byte == b':').unwrap();
        for version in NEWER.into_iter().filter(|version| *version > known) {
            let kind = format!("mainstay-{kind}-{version}");
            let (whole, _) = line::encode(&kind, 1, b"what nobody knows yet", &[]);
            let other_hash = [kind.as_bytes(), b":1:0:aa:00\nmore\n"].concat();
            let flipped = [kind.as_bytes(), &old[colon..]].concat();
            for content in [whole, other_hash, flipped] {
                let sim = base.after_kill();
                sim.put(&path, &content);
                match manifest_error(&sim).await {
                    ManifestError::NewerFormat { path: named, found, supported } => {
                        assert_eq!((named, found, supported), (path.clone(), version, known));
                    }
                    other => panic!("{kind}: {other:?}"),
                }
            }
        }
        for version in 1..known {
            let sim = base.after_kill();
            sim.put(&path, &line::encode(&format!("mainstay-{kind}-{version}"), 1, b"what nobody knows now", &[]).0);
            let error = manifest_error(&sim).await;
            let ManifestError::OlderFormat { found, supported, .. } = error else { panic!("{kind}: {error:?}") };
            assert_eq!((found, supported), (version, known));
        }
        for kind in [format!("mainstay-{kind}-0"), "another-thing-2".to_owned(), format!("mainstay-{kind}-")] {
            let sim = base.after_kill();
            sim.put(&path, &line::encode(&kind, 1, &[], &[]).0);
            let error = manifest_error(&sim).await;
            assert!(matches!(error, ManifestError::Damaged { offset: 0, .. }), "{kind}: {error:?}");
        }
    }
}

/// Guards F28: an edit that this code does not know ends the manifest for nobody; it is an error, never a torn line.
#[tokio::test]
async fn an_unknown_edit_is_refused_and_never_torn() {
    let sim = SimDisk::new(23);
    let runtime = open(&sim, 1).await;
    runtime.submit(add("a", 1)).await.unwrap();
    let base = Rest::new(killed(runtime, &sim).await).sim;
    let path = format!("{DIR}/manifest-{:016}.log", 1);
    let bytes = base.read(&path).unwrap();
    let end = bytes.iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    let last = bytes[..end - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    let text = std::str::from_utf8(&bytes[last..end - 1]).unwrap();
    let fields: Vec<_> = text.split(':').collect();
    let number = u64::from_str_radix(fields[1], 16).unwrap() + 1;
    let hash = blake3::Hash::from_hex(fields[3]).unwrap();
    // One edit of a kind that does not exist; no edit at all, of a newer line.
    for (kind, payload) in [("edit", [1, 200].as_slice()), ("edit-2", &[0]), ("snapshot", &[0])] {
        let (line, _) = line::encode(kind, number, payload, hash.as_bytes());
        let sim = base.after_kill();
        sim.overwrite(&path, end as u64, &line).unwrap();
        match manifest_error(&sim).await {
            ManifestError::Damaged { offset, .. } => assert_eq!(offset, end as u64, "{kind}"),
            other => panic!("{kind}: {other:?}"),
        }
    }
    let (known, _) = line::encode("edit", number, &[0], hash.as_bytes());
    let sim = base.after_kill();
    sim.overwrite(&path, end as u64, &known).unwrap();
    assert_eq!(open(&sim, 1).await.recovery().shards[0].next, Lsn(2), "no edit at all is one that counts");
}
