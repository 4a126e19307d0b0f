//! The manifest: whatever is wrong with it, the directory is not opened and nothing in it is touched.

use std::path::PathBuf;

use mainstay::sim::SimDisk;
use mainstay::{LogError, ManifestError, OpenError, Runtime};

use crate::scene::{DIR, flip, killed, open, options};
use crate::support::{Counters, add};

/// Guards F28, F20: nothing is swept, nothing is fallen back to.
#[tokio::test]
async fn every_flipped_byte_of_the_manifest_is_a_typed_error() {
    let sim = SimDisk::new(8);
    let runtime = open(&sim, 1).await;
    runtime.submit(add("a", 1)).await.unwrap();
    runtime.shutdown().await.unwrap();
    let base = killed(runtime, &sim).await;
    let current = PathBuf::from(format!("{DIR}/CURRENT"));
    let generation = PathBuf::from(format!("{DIR}/manifest-{:016}.log", 1));
    for path in [&current, &generation] {
        let bytes = base.read(path).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        // The last newline may be missing: its edit is complete all the same.
        for at in 0..used {
            let sim = base.after_kill();
            flip(&sim, path, at);
            let before = sim.files();
            match Runtime::open_on(sim.clone(), Counters, options(1)).await {
                Err(OpenError::Manifest(
                    ManifestError::Damaged { .. }
                    | ManifestError::NewerFormat { .. }
                    | ManifestError::GenerationMissing { .. },
                )) => {}
                other => panic!("{} byte {at}: {other:?}", path.display()),
            }
            assert_eq!(before, sim.files());
        }
    }
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
