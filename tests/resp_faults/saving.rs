//! Snapshots and versions over a disk that stalls and fails.

use mainstay::sim::{Call, FaultKind, Operation, SimDisk};

use crate::local::{info, once, serve, until};
use crate::resp::{self, Raw};

const IN_PROGRESS: &str = "-ERR Background save already in progress";

fn is_snapshot(call: &Call, operation: Operation) -> bool {
    call.operation == operation && call.path.to_string_lossy().contains("/snapshot-")
}

/// Fills both shards.
fn fill(raw: &mut Raw) {
    for n in 0..50 {
        raw.line(&format!("SET k{n} v"), "+OK");
    }
}

/// Guards against a save that others wait for, and against one that is told or called over before it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_save_holds_nobody_up() {
    let sim = SimDisk::new(7);
    let local = serve(&sim, |options| {
        (options.sync_deadline, options.view_deadline) = (resp::PATIENCE, resp::PATIENCE);
    })
    .await;
    let test = tokio::task::spawn_blocking(move || {
        let (mut first, mut second) = (Raw::connect(local.address), Raw::connect(local.address));
        fill(&mut first);
        let stall = sim.stall(|call| is_snapshot(call, Operation::Write));
        first.send("INCR n\r\nSAVE\r\nINCR n\r\n");
        first.expect(":1\r\n");
        until("both shards write", || stall.waiting() == 2);
        second.line("GET n", "$1\r\n1");
        second.line("SET k0 w", "+OK");
        assert_eq!((info(&mut second, "rdb_bgsave_in_progress"), info(&mut second, "rdb_saves")), one_and("0"));
        // It is behind the first one, and then there is one in the background.
        second.line("BGSAVE", "+Background saving started");
        second.line("BGSAVE", IN_PROGRESS);
        second.line("BGSAVE SCHEDULE", IN_PROGRESS);
        second.line("SAVE", IN_PROGRESS);
        second.line("BGREWRITEAOF", "+Background append only file rewriting started");
        until("the rewrite writes too", || stall.waiting() == 4);
        second.line("BGREWRITEAOF", "-ERR Background append only file rewriting already in progress");
        second.line("MAINSTAY MARK", "-BUSY another version is being made");
        assert_eq!((info(&mut second, "aof_rewrite_in_progress"), info(&mut second, "aof_rewrites")), one_and("0"));
        second.line("INCR n", ":2");
        stall.release();
        first.expect("+OK\r\n:3\r\n");
        until("the others end", || {
            info(&mut second, "rdb_bgsave_in_progress") + &info(&mut second, "aof_rewrite_in_progress") == "00"
        });
        assert_eq!((info(&mut second, "aof_rewrites"), info(&mut second, "rdb_saves")), one_and("2"));
        second.line("MAINSTAY MARK", ":2");
    });
    test.await.unwrap();
}

fn one_and(other: &str) -> (String, String) {
    ("1".to_owned(), other.to_owned())
}

/// Guards against a save that is taken for one that succeeded.
#[tokio::test(flavor = "multi_thread")]
async fn a_save_that_failed_is_told() {
    let sim = SimDisk::new(8);
    let local = serve(&sim, |options| options.shards = Some(1)).await;
    let test = tokio::task::spawn_blocking(move || {
        let mut raw = Raw::connect(local.address);
        let fail_once = || {
            let mut fails = once(|call| is_snapshot(call, Operation::Sync));
            sim.fail_when(move |call| fails(call).then_some(FaultKind::ErrorOnce));
        };
        let status = |raw: &mut Raw| (info(raw, "rdb_last_bgsave_status"), info(raw, "rdb_saves"));
        let words = |status: &str, saves: &str| (status.to_owned(), saves.to_owned());
        fill(&mut raw);
        fail_once();
        raw.line("SAVE", "-ERR no snapshot of shard 0: the shard, the disk or a thread failed");
        assert_eq!(status(&mut raw), words("err", "0"));
        assert_eq!((info(&mut raw, "mainstay_snapshots"), info(&mut raw, "mainstay_snapshots_failed")).1, "1");
        raw.line("SAVE", "+OK");
        assert_eq!(status(&mut raw), words("ok", "1"));

        fill(&mut raw);
        fail_once();
        raw.line("BGSAVE", "+Background saving started");
        until("a failure", || status(&mut raw) == words("err", "1"));
        until("its end", || info(&mut raw, "rdb_bgsave_in_progress") == "0");
        assert_eq!(info(&mut raw, "rdb_changes_since_last_save"), "50");
        raw.line("SAVE", "+OK");
        assert_eq!(status(&mut raw), words("ok", "2"));

        fail_once();
        raw.line("BGREWRITEAOF", "+Background append only file rewriting started");
        until("a failure", || info(&mut raw, "aof_last_bgrewrite_status") == "err");
        assert_eq!((info(&mut raw, "aof_rewrites"), info(&mut raw, "mainstay_versions")).1, "0");
        raw.line("BGREWRITEAOF", "+Background append only file rewriting started");
        until("a rewrite", || info(&mut raw, "aof_rewrites") == "1");
        assert_eq!((info(&mut raw, "mainstay_versions"), info(&mut raw, "aof_last_bgrewrite_status")), one_and("ok"));
    });
    test.await.unwrap();
}

/// Guards F2, F3: whether a version was made or given up is not told if it is not known.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_in_doubt_is_never_answered() {
    for request in ["MAINSTAY MARK", "MAINSTAY RETIRE 1"] {
        let sim = SimDisk::new(9);
        let local = serve(&sim, |_| {}).await;
        let test = tokio::task::spawn_blocking(move || {
            let mut raw = Raw::connect(local.address);
            fill(&mut raw);
            raw.line("MAINSTAY MARK", ":1");
            sim.fail_when(|call| {
                let path = call.path.to_string_lossy();
                let is_manifest = path.contains("/manifest-") || path.contains("/CURRENT");
                (is_manifest && call.operation.is_mutation()).then_some(FaultKind::ErrorForEver)
            });
            raw.send(format!("PING\r\n{request}\r\nPING\r\n"));
            raw.expect("+PONG\r\n");
            raw.expect_end();
            Raw::connect(local.address).line("GET k0", "$1\r\nv");
        });
        test.await.unwrap();
    }
}
