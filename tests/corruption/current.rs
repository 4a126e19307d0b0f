//! `CURRENT`: cut, followed by something, or naming what is not there or belongs elsewhere.

use mainstay::sim::SimDisk;
use mainstay::storage::line;
use mainstay::{LogError, ManifestError, OpenError, Runtime};

use crate::manifest::{generation, two_generations};
use crate::scene::{DIR, open, options};
use crate::support::Counters;

fn current() -> String {
    format!("{DIR}/CURRENT")
}

/// A `CURRENT` that names a generation.
fn names(generation: u64) -> Vec<u8> {
    line::encode("mainstay-current-1", generation, &[], &[]).0
}

/// The error of opening with this `CURRENT`; nothing is touched.
async fn refused(base: &SimDisk, content: &[u8]) -> ManifestError {
    let sim = base.after_kill();
    sim.put(current(), content);
    let before = sim.files();
    let opened = Runtime::open_on(sim.clone(), Counters, options(1)).await;
    assert_eq!(before, sim.files());
    match opened {
        Err(OpenError::Manifest(error)) => error,
        other => panic!("{:?}: {other:?}", String::from_utf8_lossy(content)),
    }
}

/// Guards F20, F28: a pointer that is not whole points nowhere; no generation is guessed.
#[tokio::test]
async fn a_current_that_is_cut_or_followed_by_anything_is_damaged() {
    let base = two_generations().await;
    let whole = base.read(current()).unwrap();
    assert_eq!(whole, names(2));
    let mut contents: Vec<_> = (0..whole.len()).map(|cut| whole[..cut].to_vec()).collect();
    for trailing in [b"\n".as_slice(), b"\0", b"x", b" ", &[0; 512], &names(1), &names(2), b"edit:1::0\n"] {
        contents.push([&whole, trailing].concat());
    }
    contents.push([b"\n".as_slice(), &whole].concat());
    contents.push([b"\0".as_slice(), &whole].concat());
    contents.push(vec![0; whole.len()]);
    contents.push(line::encode("mainstay-current-1", 2, b"payload", &[]).0);
    contents.push(line::encode("mainstay-manifest-2", 2, &[], &[]).0);
    contents.push(line::encode("mainstay-current-1", 2, &[], &[1; 32]).0);
    for content in contents {
        let error = refused(&base, &content).await;
        assert!(matches!(error, ManifestError::Damaged { .. }), "{:?}: {error:?}", String::from_utf8_lossy(&content));
        assert!(error.to_string().contains("CURRENT is damaged at byte"), "{error}");
    }
}

/// Guards F20, F28: a generation that is not there is named; the one beside it is not taken in its place.
#[tokio::test]
async fn a_current_that_names_a_missing_generation_is_told_of() {
    let base = two_generations().await;
    for missing in [0, 3, 12, u64::MAX] {
        match refused(&base, &names(missing)).await {
            ManifestError::GenerationMissing { path } => assert_eq!(path, generation(missing)),
            other => panic!("{other:?}"),
        }
    }
    let sim = base.after_kill();
    sim.erase(generation(2)).unwrap();
    assert!(matches!(refused(&sim, &names(2)).await, ManifestError::GenerationMissing { .. }));
    // The state says which generation it is: a copy under another name is not that one.
    sim.put(generation(2), &sim.read(generation(1)).unwrap());
    assert!(matches!(refused(&sim, &names(2)).await, ManifestError::Damaged { offset: 0, .. }));
}

/// The shard's error; nothing in the directory is touched.
async fn shard_refused(sim: &SimDisk) -> String {
    let before = sim.files();
    let runtime = open(sim, 1).await;
    let (_, error) = runtime.recovery().refused().next().expect("the shard is refused");
    assert!(matches!(error, LogError::ManifestLost { .. } | LogError::Foreign { .. }), "{error}");
    let error = format!("{error:?}");
    drop(runtime);
    assert_eq!(before, sim.files());
    error
}

/// Guards F28, F32: the older generation and another directory's are whole, but they are not what the log belongs to.
#[tokio::test]
async fn a_current_that_leads_to_an_older_or_a_foreign_generation_loses_no_file() {
    let base = two_generations().await;
    let sim = base.after_kill();
    sim.put(current(), &names(1));
    assert!(shard_refused(&sim).await.starts_with("ManifestLost"));
    let other = two_generations().await;
    let sim = base.after_kill();
    sim.put(generation(2), &other.read(generation(2)).unwrap());
    // Which of its numbers are here depends on how far its spares were.
    let error = shard_refused(&sim).await;
    assert!(error.starts_with("Foreign") || error.starts_with("ManifestLost"), "{error}");
    let fresh = SimDisk::new(1);
    drop(open(&fresh, 1).await);
    let sim = base.after_kill();
    sim.put(generation(1), &fresh.read(generation(1)).unwrap());
    sim.put(current(), &fresh.read(current()).unwrap());
    assert!(shard_refused(&sim).await.starts_with("ManifestLost"));
}
