//! A backup with a fault at every mutating call of the disk: the live directory is what it was, and the new one opens
//! as a whole or not at all.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mainstay::sim::{Fault, FaultKind, SimDisk};
use mainstay::storage::disk::Disk;
use mainstay::storage::layout::Layout;
use mainstay::storage::manifest_log;
use mainstay::{Options, Runtime};

use super::disk::{DIR, State, options, state};
use super::reclaim::write;
use crate::support::Counters;

const BACKUP: &str = "/backup";

/// A directory with snapshots and some log behind them, at rest; and what it holds.
async fn prepared() -> (SimDisk, State) {
    let sim = SimDisk::new(3);
    let runtime = super::disk::open(&sim, 2).await;
    write(&runtime, 150).await;
    runtime.snapshot().await.unwrap();
    write(&runtime, 150).await;
    let held = state(&runtime).await;
    runtime.shutdown().await.unwrap();
    (sim, held)
}

fn hasty() -> Options {
    Options { sync_deadline: Duration::from_millis(80), lock_wait: Duration::from_secs(5), ..options(2) }
}

/// Is there a directory of ours, by its own manifest?
fn is_there(sim: &SimDisk) -> bool {
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    manifest_log::exists(disk.as_ref(), &Layout::new(Path::new(BACKUP))).is_ok_and(|there| there)
}

async fn check(sim: SimDisk, dir: &str, held: &State, what: &str) {
    let runtime = Runtime::open_on(sim, Counters, Options { dir: dir.into(), ..options(2) }).await.unwrap();
    assert_eq!(runtime.recovery().refused().map(|(_, why)| why.to_string()).next(), None, "{what}, {dir}");
    assert!(state(&runtime).await == *held, "{what}: {dir} holds something else");
}

/// Guards F6, F23, F32.
#[tokio::test]
async fn a_backup_is_whole_or_does_not_open() {
    let (base, held) = prepared().await;
    let (mut call, mut complete, mut cut_short) = (0, 0, 0);
    loop {
        call += 1;
        let mut past_the_end = true;
        for kind in [FaultKind::ErrorOnce, FaultKind::ErrorForEver, FaultKind::NoSpace, FaultKind::Crash] {
            let what = format!("call {call} {kind:?}");
            let sim = base.after_kill();
            let runtime = Runtime::open_on(sim.clone(), Counters, hasty()).await.unwrap();
            sim.count_only_mutations(true);
            sim.set_call_count(0);
            sim.fail(Fault { at: call, kind });
            let backed_up = tokio::time::timeout(Duration::from_secs(20), runtime.backup(BACKUP)).await;
            let backed_up = backed_up.unwrap_or_else(|_| panic!("{what}: it hangs")).is_ok();
            past_the_end &= sim.calls() < call;
            drop(runtime);
            // Whatever has failed, the machine goes down behind it.
            let after = sim.crash(call);
            check(after.clone(), DIR, &held, &what).await;
            assert!(!backed_up || is_there(&after), "{what}: it was made, and does not open");
            match is_there(&after) {
                true => {
                    complete += 1;
                    check(after, BACKUP, &held, &what).await;
                }
                false => cut_short += 1,
            }
        }
        if past_the_end {
            break;
        }
    }
    assert!(complete > 4 && cut_short > 20, "{complete} complete, {cut_short} cut short");
}
