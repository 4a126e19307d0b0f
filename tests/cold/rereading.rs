//! A disk that fails once while a restart reads cold files: that is one more death, and no reason to take no commands
//! any more.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use mainstay::kv::Command;
use mainstay::sim::{Call, FaultKind, Operation, SimDisk};
use mainstay::{Options, RestartBudget};

use crate::damage;
use crate::disk::{failing, is_cold};
use crate::state::{key, value};

/// Keys that commands behind the snapshot read.
const READ: u32 = 300;

fn has_end(path: &Path, end: &str) -> bool {
    path.extension().is_some_and(|extension| extension == end)
}

/// Lets the log fail until the shard's files are read again, and then one read of a cold file. Counts these.
fn dies_and_fails_once(failed: Arc<AtomicU32>) -> impl FnMut(&Call) -> Option<FaultKind> {
    let mut is_read_again = false;
    move |call| {
        is_read_again |= call.operation == Operation::Read && has_end(&call.path, "snap");
        let is_log = has_end(&call.path, "seg") && matches!(call.operation, Operation::Sync | Operation::Create);
        let is_cold = is_cold(&call.path) && call.operation == Operation::Read;
        if is_read_again && is_cold && failed.load(Ordering::SeqCst) == 0 {
            failed.fetch_add(1, Ordering::SeqCst);
            return Some(FaultKind::ErrorOnce);
        }
        (is_log && !is_read_again).then_some(FaultKind::ErrorOnce)
    }
}

/// With a digest the snapshot's values are read, without one those that commands read.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_fails_once_in_a_restart_is_tried_again() {
    for digest in [false, true] {
        let disk = SimDisk::new(7);
        let budget = RestartBudget { restarts: 100, ..failing().restarts };
        let options = Options { digest, restarts: budget, ..damage::options() };
        let (runtime, mut book) = damage::filled(&disk, options).await;
        runtime.snapshot().await.unwrap();
        for number in 0..READ {
            let append = Command::Append { key: key(number).into(), suffix: "more".into() };
            runtime.submit(append).await.unwrap();
            let content = [value(number, 1), b"more".to_vec()].concat();
            book.note(&key(number), Some(content), Ok(()));
        }
        let failed = Arc::new(AtomicU32::new(0));
        disk.fail_when(dies_and_fails_once(Arc::clone(&failed)));
        // Nobody knows what becomes of the first one.
        book.send(&runtime, vec![(key(1_000), Some(b"once".to_vec()))]).await;
        book.refused.clear();
        book.send(&runtime, vec![(key(1_001), Some(b"again".to_vec()))]).await;
        assert_eq!((failed.load(Ordering::SeqCst), &book.refused[..]), (1, &[][..]), "{digest}: {:?}", runtime.stats());
        assert_eq!(book.check(&runtime).await, [""; 0], "{digest}");
        assert_eq!(runtime.stats().shards[0].refusal, None, "{digest}");
    }
}
