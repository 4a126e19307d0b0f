//! The manifest: whatever is wrong with it, the directory is not opened and nothing in it is touched.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mainstay::sim::SimDisk;
use mainstay::storage::disk::Disk;
use mainstay::storage::layout::Layout;
use mainstay::storage::manifest_log;
use mainstay::{LogError, ManifestError, OpenError, Runtime};

use crate::scene::{DIR, flip, killed, open, options, refusal};
use crate::support::{Counters, add};

/// A spare that nobody has registered.
const ORPHAN: &str = "/data/shard-0/wal-0000000000000077.seg";

/// Where a generation is.
pub fn generation(number: u64) -> PathBuf {
    PathBuf::from(format!("{DIR}/manifest-{number:016}.log"))
}

/// A closed directory of two lives and two generations, the second with edits, and with what a sweep or the next
/// change of generation would remove: an orphan, and half a `CURRENT`.
pub async fn two_generations() -> SimDisk {
    let sim = SimDisk::new(8);
    let runtime = open(&sim, 1).await;
    runtime.submit(add("a", 1)).await.unwrap();
    let sim = killed(runtime, &sim).await;
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let mut opened = manifest_log::open(&disk, &Layout::new(Path::new(DIR))).unwrap();
    opened.log.change_generation(&opened.manifest).unwrap();
    let runtime = open(&sim, 1).await;
    runtime.submit(add("a", 1)).await.unwrap();
    runtime.shutdown().await.unwrap();
    let sim = killed(runtime, &sim).await;
    sim.put(ORPHAN, &[0; 8192]);
    sim.put(format!("{DIR}/CURRENT.tmp"), b"mainstay-current-1:00000000000");
    sim
}

/// Guards F20, F28, F30: nothing is swept, nothing is fallen back to, and the error names the line.
#[tokio::test]
async fn every_flipped_byte_of_the_manifest_is_a_typed_error() {
    let base = two_generations().await;
    let mut expected = base.files();
    for file in [PathBuf::from(format!("{DIR}/CURRENT")), generation(2)] {
        let bytes = base.read(&file).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        // The last newline may be missing: its edit is complete all the same.
        for at in 0..used {
            let sim = base.after_kill();
            flip(&sim, &file, at);
            expected.get_mut(&file).unwrap()[at] = sim.read(&file).unwrap()[at];
            let line = bytes[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1) as u64;
            match Runtime::open_on(sim.clone(), Counters, options(1)).await {
                Err(OpenError::Manifest(ManifestError::Damaged { path, offset, .. })) => {
                    assert_eq!((&path, offset), (&file, line), "{} byte {at}", file.display());
                }
                Err(OpenError::Manifest(ManifestError::NewerFormat { path, .. })) if line == 0 => {
                    assert_eq!(path, file, "{} byte {at}", file.display());
                }
                other => panic!("{} byte {at}: {other:?}", file.display()),
            }
            assert!(expected == sim.files(), "{} byte {at}: something was touched", file.display());
            expected.get_mut(&file).unwrap()[at] = bytes[at];
        }
    }
}

/// Guards F20, F28, F30: the same for files that lost their end, or are lost.
#[tokio::test]
async fn a_manifest_that_is_cut_or_missing_is_a_typed_error() {
    let base = two_generations().await;
    let (current, generation) = (PathBuf::from(format!("{DIR}/CURRENT")), generation(2));
    for lost in [1, 64 * 1024, 2 * 1024 * 1024] {
        let sim = base.after_kill();
        let bytes = sim.read(&generation).unwrap();
        sim.put(&generation, &bytes[..bytes.len() - lost]);
        let before = sim.files();
        let error = Runtime::open_on(sim.clone(), Counters, options(1)).await.unwrap_err();
        assert!(matches!(error, OpenError::Manifest(ManifestError::Damaged { .. })), "{error:?}");
        assert_eq!(before, sim.files());
    }
    for path in [&current, &generation] {
        let sim = base.after_kill();
        sim.erase(path).unwrap();
        let before = sim.files();
        let error = Runtime::open_on(sim.clone(), Counters, options(1)).await.unwrap_err();
        let expected = if path == &current { "CurrentMissing" } else { "GenerationMissing" };
        assert!(format!("{error:?}").contains(expected), "{error:?}");
        assert_eq!(before, sim.files());
    }
}

/// Guards F30: the same directory undamaged is swept, also when what is damaged is the generation that is kept for
/// repair, or the free space behind the edits.
#[tokio::test]
async fn damage_that_nothing_depends_on_refuses_nothing() {
    let base = two_generations().await;
    let used =
        |sim: &SimDisk, number| sim.read(generation(number)).unwrap().iter().rposition(|byte| *byte != 0).unwrap();
    let mut damages = vec![(2, used(&base, 2)), (2, used(&base, 2) + 1), (2, used(&base, 2) + 70_000)];
    damages.extend((0..=used(&base, 1)).step_by(97).map(|at| (1, at)));
    for (number, at) in damages {
        let sim = base.after_kill();
        flip(&sim, &generation(number), at);
        let runtime = open(&sim, 1).await;
        assert_eq!(refusal(&runtime), None, "generation {number} byte {at}");
        assert_eq!(runtime.latest().get(b"a").unwrap().unwrap().sum, 2);
        assert!(sim.read(ORPHAN).is_none(), "a good directory is swept");
        runtime.submit(add("a", 1)).await.unwrap();
        let sim = killed(runtime, &sim).await.crash(at as u64);
        let runtime = open(&sim, 1).await;
        assert_eq!(refusal(&runtime), None, "generation {number} byte {at}");
        assert_eq!(runtime.latest().get(b"a").unwrap().unwrap().sum, 3, "generation {number} byte {at}");
    }
}

/// An older manifest beside newer segments is noticed by what the segments say.
#[tokio::test]
async fn a_manifest_that_lost_its_last_edits_is_refused() {
    let sim = SimDisk::new(9);
    let runtime = open(&sim, 1).await;
    runtime.submit(add("a", 1)).await.unwrap();
    let sim = killed(runtime, &sim).await;
    let generation = PathBuf::from(format!("{DIR}/manifest-{:016}.log", 1));
    let old = sim.read(&generation).unwrap();
    let runtime = open(&sim, 1).await;
    runtime.submit(add("a", 1)).await.unwrap();
    let sim = killed(runtime, &sim).await;
    sim.put(&generation, &old);
    let runtime = open(&sim, 1).await;
    let (_, error) = runtime.recovery().refused().next().unwrap();
    assert!(matches!(error, LogError::ManifestLost { .. }), "{error}");
}
