//! Whatever is flipped, cut or missing: no command panics or writes, and `verify` finds what an opening would find.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mainstay::sim::SimDisk;
use mainstay::{Options, Runtime};

use crate::places::{all, on};
use crate::scene::{DIR, flip};
use crate::support::Counters;
use crate::tool::Exit;

const LOOKS: [&str; 7] = [
    "inspect /data",
    "inspect /data --json",
    "verify /data --deep",
    "verify /data --json",
    "repair /data --dry-run",
    "digest /data",
    "log /data --shard 0 --from 3 --limit 20",
];

/// What is in an opened directory; `None` if something was refused or given up.
type State = Option<BTreeMap<Vec<u8>, i64>>;

async fn opened(sim: &SimDisk, options: &Options) -> State {
    let runtime = Runtime::open_on(sim.after_kill(), Counters, options.clone()).await.ok()?;
    let recovery = runtime.recovery();
    let is_damaged = |shard: &mainstay::ShardRecovery| shard.refused.is_some() || !shard.damaged_snapshots.is_empty();
    if recovery.shards.iter().any(is_damaged) {
        return None;
    }
    let view = runtime.latest();
    let entries = view.shards().flat_map(|shard| view.iter(shard).unwrap().collect::<Vec<_>>());
    Some(entries.map(|(key, entity)| (key.to_vec(), entity.sum)).collect())
}

/// Runs every command on a directory and compares with what an opening makes of it.
async fn look(sim: &SimDisk, options: &Options, whole: &State, what: &str) -> Exit {
    let before = sim.files();
    let mut exits = Vec::new();
    for arguments in LOOKS {
        let (exit, text) = on(sim, arguments);
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{what}: {arguments}: {text:?}");
        exits.push((exit, text));
    }
    let (verify, text) = exits.swap_remove(2);
    assert!(verify != Exit::Failed, "{what}: {text}");
    assert_eq!(sim.files(), before, "{what}: something was written");
    match opened(sim, options).await {
        // The last life's end may be torn; what was closed cannot be.
        Some(state) if verify == Exit::Sound => {
            let is_whole = Some(&state) == whole.as_ref();
            assert!(is_whole || what.contains("killed"), "{what}: sound, and not what it was");
        }
        Some(_) => {}
        None => assert_eq!(verify, Exit::Damage, "{what}: an opening finds damage, and verify does not: {text}"),
    }
    verify
}

fn files(sim: &SimDisk) -> Vec<(PathBuf, Vec<u8>)> {
    let files = sim.files().into_iter().filter(|(path, _)| !path.ends_with("LOCK"));
    files.filter(|(_, bytes)| !bytes.is_empty()).collect()
}

/// The manifest's zeroes are looked at less closely.
fn offsets(path: &Path, bytes: &[u8]) -> Vec<usize> {
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let is_manifest = path.to_string_lossy().contains("manifest-");
    let step = if is_manifest { used / 7 } else { bytes.len() / 5 };
    let last = if is_manifest { used + 100 } else { bytes.len() };
    // Headers of files, of the first frame or block, and the last byte that is used.
    let odd = [0, 8, 100, 255, 260, 300, 400, used.saturating_sub(1)];
    let all = odd.into_iter().chain((0..last).step_by(step.max(1)).skip(1));
    all.filter(|at| *at < bytes.len()).collect()
}

/// Guards F11, F12, F20: a flipped bit in any file.
#[tokio::test]
async fn a_flipped_bit_is_found_by_verify_if_it_matters() {
    let (mut sound, mut damage) = (0, 0);
    for (name, sim, options) in all().await {
        let whole = opened(&sim, &options).await;
        assert_eq!(look(&sim, &options, &whole, name).await, Exit::Sound, "{name}");
        for (path, bytes) in files(&sim) {
            for at in offsets(&path, &bytes) {
                flip(&sim, &path, at);
                match look(&sim, &options, &whole, &format!("{name}: {} flipped at {at}", path.display())).await {
                    Exit::Sound => sound += 1,
                    _ => damage += 1,
                }
                flip(&sim, &path, at);
            }
        }
    }
    println!("{damage} flips were damage, {sound} were where nothing is read");
    assert!(damage > 100 && sound > 20, "{damage} and {sound}");
}

/// Guards F11, F12, F17: every file cut, and taken away.
#[tokio::test]
async fn a_cut_or_missing_file_is_found_by_verify_if_it_matters() {
    let mut damage = 0;
    for (name, sim, options) in all().await {
        let whole = opened(&sim, &options).await;
        for (path, bytes) in files(&sim) {
            for cut in [1, 300, bytes.len() / 2, bytes.len() - 1].into_iter().filter(|cut| *cut < bytes.len()) {
                sim.put(&path, &bytes[..cut]);
                let what = format!("{name}: {} cut to {cut}", path.display());
                damage += usize::from(look(&sim, &options, &whole, &what).await == Exit::Damage);
            }
            sim.erase(&path).unwrap();
            let what = format!("{name}: without {}", path.display());
            damage += usize::from(look(&sim, &options, &whole, &what).await == Exit::Damage);
            sim.put(&path, &bytes);
        }
    }
    println!("{damage} cuts and losses were damage");
    assert!(damage > 50, "{damage}");
}

/// Every damaged file of a log is told of, not only the first.
#[tokio::test]
async fn each_damage_has_a_line_with_file_offset_and_lsn() {
    let (_, sim, _) = all().await.swap_remove(1);
    let (first, second) = (crate::scene::segment(0, 1), crate::scene::segment(1, 1));
    flip(&sim, &first, 300);
    flip(&sim, &second, 300);
    let snapshot = files(&sim).into_iter().find(|(path, _)| path.extension().is_some_and(|end| end == "snap"));
    let (snapshot, _) = snapshot.unwrap();
    flip(&sim, &snapshot, 300);
    let (exit, text) = on(&sim, "verify /data");
    assert_eq!(exit, Exit::Damage);
    for path in [first, second, snapshot] {
        let line = text.lines().find(|line| line.contains(&format!("{}", path.display())));
        let line = line.unwrap_or_else(|| panic!("no line for {}: {text}", path.display()));
        assert!(line.starts_with("damaged: ") && line.contains(" offset ") && line.contains(" lsn "), "{line}");
    }
    let (exit, text) = on(&sim, "repair /data --dry-run");
    assert_eq!((exit, text.contains("nothing is touched")), (Exit::Damage, true), "{text}");
}

/// A directory that is none is told from a damaged one.
#[tokio::test]
async fn what_holds_no_data_is_no_damage() {
    let sim = SimDisk::new(5);
    for arguments in LOOKS {
        assert_eq!(on(&sim, arguments).0, Exit::Failed, "{arguments}");
    }
    sim.put(format!("{DIR}/notes.txt"), b"x");
    for arguments in LOOKS {
        let (exit, text) = on(&sim, arguments);
        assert_eq!((exit, text.contains("holds no data")), (Exit::Failed, true), "{arguments}: {text}");
    }
}
